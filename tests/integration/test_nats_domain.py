"""A daemon whose servers are a leaf node, and whose queues and buckets are in the hub's domain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentdash.demo.cluster.objects import DEPLOYMENTS
from controller.engine.supervise import SystemClock
from controller.model.settings import NatsSettings
from controller.nats.bucket import Bucket
from controller.nats.session import NatsSession
from fakes.cluster import SimCluster
from support.asked import a_pin
from support.intent_desk import IntentDesk
from support.live import daemon, fleet_text, streams, until
from support.nats_server import RealNats
from support.ports import free_port

NAMESPACE = "tenant-acme"
LEASE = "{lease: {store: nats, duration: 3s, renew_deadline: 2s, retry: 200ms}, interval"


@pytest.fixture
def hub_and_leaf(tmp_path: Path) -> Iterator[tuple[RealNats, RealNats]]:
    """Two servers with a JetStream each, in domains hub and leaf."""
    port = free_port()
    listening = f'leafnodes {{listen: "127.0.0.1:{port}"}}'
    leading = f'leafnodes {{remotes: [{{url: "nats://127.0.0.1:{port}"}}]}}'
    with (
        RealNats(tmp_path / "hub", listening, name="hub", domain="hub") as hub,
        RealNats(tmp_path / "leaf", leading, name="leaf", domain="leaf") as leaf,
    ):
        yield hub, leaf


async def test_queues_memory_intents_and_the_lease_are_those_of_the_domain(
    hub_and_leaf: tuple[RealNats, RealNats], tmp_path: Path
) -> None:
    hub, leaf = hub_and_leaf
    settings = NatsSettings(servers=(leaf.url,), domain="hub")
    # the leaf has a queue by the same name, and its own bucket: neither is ours
    async with (
        streams(hub.url, ["research"]) as there,
        streams(leaf.url, ["research"]) as here,
        SimCluster(speed=50) as sim,
        NatsSession(settings, SystemClock()) as session,
    ):
        await here.jetstream().create_key_value(bucket="agentdash")
        sim.write_kubeconfig(tmp_path / "kubeconfig")
        await sim.create_namespace(NAMESPACE)
        await sim.create_deployment("research", NAMESPACE)

        def replicas() -> int:
            stored = sim.store.get(DEPLOYMENTS, NAMESPACE, "research")
            assert stored is not None
            return int(stored.object["spec"]["replicas"])

        fleet = tmp_path / "fleet.yaml"
        text = fleet_text(leaf.url, ["research"], nats_options=", domain: hub")
        fleet.write_text(text.replace("{interval", LEASE), "utf-8")
        async with daemon(fleet, tmp_path / "kubeconfig") as running:
            await until(lambda: running.said("leading"))
            for _ in range(3):
                await there.jetstream().publish("tasks.research", b"work", stream="TASKS")
            await until(lambda: replicas() == 3)
            await until(lambda: session.connected)
            pin = a_pin(pool="acme/research", replicas=2, who="ann")
            await IntentDesk(Bucket(session, "agentdash")).put(pin, replaces=None)
            await until(lambda: replicas() == 5)
        kept = await there.jetstream().stream_info("KV_agentdash", subjects_filter=">")
        subjects = set(kept.state.subjects or ())
        assert {"$KV.agentdash.lease", "$KV.agentdash.memory.head"} <= subjects
        assert any(subject.startswith("$KV.agentdash.intent.") for subject in subjects)
        assert (await here.jetstream().stream_info("KV_agentdash")).state.messages == 0
