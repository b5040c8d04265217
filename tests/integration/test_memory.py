"""A controller that is killed and one that takes over decide as one controller would."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from agentdash.demo.cluster.objects import DEPLOYMENTS
from controller.attach import find_snapshot
from controller.engine.supervise import SystemClock
from controller.exit_codes import ExitCode
from controller.model.ids import PoolKey
from controller.model.intents import Scope
from controller.model.memory import Memory
from controller.model.settings import NatsSettings
from controller.model.snapshot import NOT_KNOWN, History, Snapshot
from controller.nats.bucket import Bucket
from controller.nats.session import NatsSession
from controller.nats.state import MemoryBucket
from fakes.cluster import SimCluster
from support.asked import a_freeze, a_pin
from support.forked import agentdash
from support.intent_desk import IntentDesk
from support.live import PATIENCE_S, Daemon, daemon, streams, until
from support.nats_server import RealNats

NAMESPACE = "tenant-acme"
NAMES = ["research", "browser"]
WINDOW_S = 60
"""Longer than a test."""

FLEET = """\
version: 1
nats: {{servers: ['{url}']}}
controller: {{interval: 200ms, lease: {{duration: 3s, renew_deadline: 2s, retry: 200ms}}}}
tenants:
  acme: {{tier: growth, namespace: tenant-acme}}
pools:
  - name: research
    tenant: acme
    queue: {{stream: TASKS, consumer: research}}
    replicas: {{min: 1, max: 10}}
    behavior: {{scaleDown: {{stabilizationWindowSeconds: {window}}}}}
  - name: browser
    tenant: acme
    queue: {{stream: TASKS, consumer: browser}}
    replicas: {{min: 0, max: 10}}
    cooldown: {window}s
    behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}
"""


class Live:
    def __init__(self, folder: Path, server: RealNats, sim: SimCluster, client: Client) -> None:
        self.fleet = folder / "fleet.yaml"
        self.kubeconfig = folder / "kubeconfig"
        self.server = server
        self.sim = sim
        self.client = client
        self.fleet.write_text(FLEET.format(url=server.url, window=WINDOW_S), "utf-8")
        sim.write_kubeconfig(self.kubeconfig)

    def replicas(self, name: str) -> int:
        stored = self.sim.store.get(DEPLOYMENTS, NAMESPACE, name)
        assert stored is not None
        return int(stored.object["spec"]["replicas"])

    async def publish(self, name: str, count: int) -> None:
        for _ in range(count):
            await self.client.jetstream().publish(f"tasks.{name}", b"work")

    async def finish(self, name: str, count: int) -> None:
        pull = await self.client.jetstream().pull_subscribe_bind(name, "TASKS")
        for message in await pull.fetch(count):
            await message.ack_sync()

    async def memory_saved_since(self, moment: float) -> None:
        """Wait until a memory was saved at this moment (Unix seconds) or later."""
        bucket = await self.client.jetstream().key_value("agentdash")
        while json.loads((await bucket.get("memory.head")).value or b"")["saved_at"] < moment:
            await asyncio.sleep(0.05)

    async def memory(self) -> Memory:
        """The memory that was saved last."""
        settings = NatsSettings(servers=(self.server.url,))
        async with NatsSession(settings, SystemClock()) as session:
            await until(lambda: session.connected)
            saved = await MemoryBucket(Bucket(session, "agentdash")).load()
        assert saved is not None
        return saved.memory

    async def started(self, running: Daemon) -> None:
        await until(lambda: running.said("started"))

    async def plan(self, *options: str) -> tuple[dict[str, Any], str]:
        """The answer for each pool, and the first note."""
        place = ("-f", self.fleet, "--kubeconfig", self.kubeconfig)
        said = await agentdash("plan", *place, "--json", *options)
        assert said.code == ExitCode.OK, said.err
        pools = {each["pool"]: each for each in json.loads(said.out)["pools"]}
        return pools, said.err.partition("\n")[0]

    async def shown(self, is_wanted: Callable[[Snapshot], bool]) -> Snapshot:
        """What the controller shows, as soon as it is as wanted."""
        settings = NatsSettings(servers=(self.server.url,))
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await find_snapshot(settings, SystemClock(), PATIENCE_S)
                if found is not None and is_wanted(found):
                    return found


def blind_since(snapshot: Snapshot) -> float | None:
    """Since when the finding about the queue of research is there."""
    subjects = {(each.subject, each.kind): each.since for each in snapshot.findings}
    return subjects.get((PoolKey("acme/research"), "queue"))


def known_slots(snapshot: Snapshot) -> int:
    """In how many slots of the last 15 minutes the size of browser is known."""
    history = snapshot.histories.get(PoolKey("acme/browser"), History())
    return sum(number != NOT_KNOWN for number in history.recent.ready)


NO_RIGHT_TO_WRITE = """
authorization {users: [{user: u, password: p, permissions: {publish: {deny: ["$KV.>"]}}}]}
no_auth_user: u
"""


@pytest.fixture
async def live(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Live]:
    with RealNats(tmp_path / "nats", getattr(request, "param", "")) as server:
        async with streams(server.url, NAMES) as client, SimCluster(speed=50) as sim:
            await sim.create_namespace(NAMESPACE)
            await sim.create_deployment("research", NAMESPACE, replicas=1)
            await sim.create_deployment("browser", NAMESPACE)
            yield Live(tmp_path, server, sim, client)


@pytest.fixture
async def desk(live: Live) -> AsyncIterator[IntentDesk]:
    settings = NatsSettings(servers=(live.server.url,))
    async with NatsSession(settings, SystemClock()) as session:
        await until(lambda: session.connected)
        yield IntentDesk(Bucket(session, "agentdash"))


def codes(answer: dict[str, Any]) -> set[str]:
    return {reason["code"] for reason in answer["reasons"]}


@pytest.mark.timeout(150)
async def test_a_plan_after_a_kill_is_made_with_the_memory_that_was_kept(
    live: Live,
) -> None:
    async with daemon(live.fleet, live.kubeconfig) as first:
        await live.started(first)
        await live.publish("browser", 2)
        await until(lambda: live.replicas("browser") == 2)
        await live.finish("browser", 2)
        ended_at = time.time()
        await until(lambda: live.replicas("browser") == 1)
        await live.memory_saved_since(ended_at)
        first.process.kill()
        await first.process.wait()
    planned, note = await live.plan()
    assert "planned with the controller's memory of " in note
    assert planned["acme/browser"]["next"] == 1
    assert "cooldown" in codes(planned["acme/browser"])


async def test_a_server_that_comes_after_the_controller_brings_the_memory_it_holds(
    live: Live,
) -> None:
    live.fleet.write_text(FLEET.format(url=live.server.url, window=2), "utf-8")
    async with daemon(live.fleet, live.kubeconfig) as first:
        await live.started(first)
        await live.publish("research", 5)
        await until(lambda: live.replicas("research") == 5)
        await first.pass_ticks(15)  # longer than the window
    assert not first.said(
        "memory was not saved in time; a restart begins a new stabilization window"
    )
    left = await live.memory()
    live.server.kill()
    async with daemon(live.fleet, live.kubeconfig) as second:
        await until(lambda: second.said("leading"))
        assert not second.said("memory loaded"), "it is to begin without the server"
        live.server.start()
        await until(lambda: second.said("memory loaded"))
    key = PoolKey("acme/research")
    kept = (await live.memory()).pools[key]
    assert kept.since == left.pools[key].since, "another window began"
    assert kept.scaled_up == left.pools[key].scaled_up


async def test_a_restart_keeps_since_when_a_finding_is_there_and_how_it_went(live: Live) -> None:
    async with daemon(live.fleet, live.kubeconfig):
        await live.client.jetstream().delete_consumer("TASKS", "research")
        first = await live.shown(lambda seen: bool(blind_since(seen)) and known_slots(seen) > 0)
    stopped_at = time.time()
    async with daemon(live.fleet, live.kubeconfig):
        second = await live.shown(lambda seen: seen.at > stopped_at and bool(blind_since(seen)))
    assert second.process != first.process
    assert blind_since(second) == blind_since(first)
    assert known_slots(second) >= known_slots(first)
    assert second.version == first.version != ""


async def test_a_plan_beside_no_controller_says_so_and_takes_nothing_away(live: Live) -> None:
    planned, note = await live.plan()
    assert "no controller has left a memory" in note
    names = [stream.config.name for stream in await live.client.jetstream().streams_info()]
    assert names == ["TASKS"]
    assert live.sim.requests.writes() == []
    assert planned["acme/research"]["next"] == 1


async def test_an_operators_freeze_stops_the_daemon_and_shows_in_a_plan_beside_it(
    live: Live, desk: IntentDesk
) -> None:
    async with daemon(live.fleet, live.kubeconfig) as running:
        await live.started(running)
        await desk.put(a_pin(pool="acme/browser", replicas=2, who="ann"), replaces=None)
        await until(lambda: live.replicas("browser") == 2)
        await desk.put(a_freeze(scope=Scope(), who="eve", why="incident"), replaces=None)
        await live.publish("research", 5)
        planned, _ = await live.plan()
        assert "frozen" in codes(planned["acme/research"])
        await running.pass_ticks(5)
        assert live.replicas("research") == 1
    _, note = await live.plan("--fresh")
    assert "--fresh: planned without memory" in note


@pytest.mark.parametrize("live", [NO_RIGHT_TO_WRITE], indirect=True)
async def test_without_the_right_to_write_the_bucket_the_daemon_says_so_and_scales_on(
    live: Live,
) -> None:
    async with daemon(live.fleet, live.kubeconfig) as running:
        await live.started(running)
        await live.publish("research", 3)
        await until(lambda: live.replicas("research") == 3)
        said = "memory cannot be saved: our NATS user may not publish to $kv.agentdash.memory"
        await until(lambda: any(str(line["message"]).startswith(said) for line in running.lines))
    assert running.process.returncode == ExitCode.OK


async def test_a_plan_names_what_cannot_be_read(live: Live) -> None:
    bucket = await live.client.jetstream().create_key_value(bucket="agentdash")
    await bucket.put("memory.head", b'{"version": 99}')
    await bucket.put("intent.freeze.acme", b"?")
    planned, note = await live.plan()
    assert "the controller's memory cannot be read (it has format 99" in note
    assert "frozen" in codes(planned["acme/research"])
