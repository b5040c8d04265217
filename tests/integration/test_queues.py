"""A pool with two queues: real NATS, a daemon, and the simulated cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agentdash.demo.cluster.objects import DEPLOYMENTS
from fakes.cluster import SimCluster
from support.live import daemon, fleet_text, streams, until
from support.nats_server import RealNats

NAMESPACE = "tenant-acme"


@pytest.mark.parametrize("queue", ["high", "low"])
async def test_the_first_message_of_each_queue_wakes_the_pool_between_two_ticks(
    queue: str, tmp_path: Path
) -> None:
    with RealNats(tmp_path / "nats") as server:
        async with streams(server.url, ["high", "low"]) as client, SimCluster(speed=50) as sim:
            await sim.create_namespace(NAMESPACE)
            await sim.create_deployment("research", NAMESPACE, replicas=0)
            one = "queue: {stream: TASKS, consumer: research}"
            both = "queues: [{stream: TASKS, consumer: high}, {stream: TASKS, consumer: low}]"
            text = fleet_text(server.url, ["research"], interval="60s")
            assert one in text
            fleet, kubeconfig = tmp_path / "fleet.yaml", tmp_path / "kubeconfig"
            fleet.write_text(text.replace(one, both), "utf-8")
            sim.write_kubeconfig(kubeconfig)

            def replicas() -> int:
                stored = sim.store.get(DEPLOYMENTS, NAMESPACE, "research")
                assert stored is not None
                return int(stored.object["spec"]["replicas"])

            async with daemon(fleet, kubeconfig) as running:
                await until(lambda: running.said("started"))
                while (await running.get("/readyz"))[0] != 200:
                    await asyncio.sleep(0.05)
                for _ in range(3):
                    await client.jetstream().publish(f"tasks.{queue}", b"work")
                await until(lambda: replicas() > 0)
                _, page = await running.get("/metrics")
                for consumer in ("high", "low"):
                    assert f'nats_consumer_pending{{consumer="{consumer}",stream="TASKS"}}' in page
