"""Workers that say what they do are never deleted while they work: NATS, daemon and cluster."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client

from agentdash.demo.cluster.objects import DEPLOYMENTS, PODS
from agentdash.worker.stores import ensure_usage_stream
from controller.kube.wire import DELETION_COST
from controller.model.ids import PoolKey
from controller.model.intents import Scope
from controller.model.worker_messages import UsageEvent, UsedTokens, usage_subject
from fakes.cluster import SimCluster
from support.asked import a_cap, a_pause
from support.desk import Desk, operator
from support.live import Daemon, daemon, fleet_text, streams, until
from support.nats_server import RealNats
from support.pod_workers import PodWorkers

NAMESPACE = "tenant-acme"
POOL = PoolKey("acme/research")
MOST = 8
LATE_S = 2.0
"""A pull ends within 0.1 s of a pause; a busy machine gets more, and the next tick is far later."""
RARELY = "5s"


class World:
    """A cluster whose pods work, and a queue that is never empty."""

    def __init__(
        self, sim: SimCluster, client: Client, url: str, fleet: Path, kubeconfig: Path
    ) -> None:
        self.sim, self.client, self.url = sim, client, url
        self.fleet, self.kubeconfig = fleet, kubeconfig
        chance = random.Random(7)
        self.workers = PodWorkers(url, lambda: chance.uniform(0.05, 0.4))

    async def run(self, pod: dict[str, Any], stopping: asyncio.Event) -> None:
        await self.workers.run(pod["metadata"]["name"], stopping)

    async def publish(self, count: int) -> None:
        for _ in range(count):
            await self.client.publish("tasks.research", b"work")
        await self.client.flush()

    def spec(self) -> int:
        stored = self.sim.store.get(DEPLOYMENTS, NAMESPACE, "research")
        assert stored is not None
        return int(stored.object["spec"]["replicas"])

    def costs(self) -> dict[str, str | None]:
        """The deletion costs of the pods."""
        pods = [each.object["metadata"] for each in self.sim.store.each(PODS, NAMESPACE)]
        return {pod["name"]: pod.get("annotations", {}).get(DELETION_COST) for pod in pods}

    async def ready(self, running: Daemon) -> None:
        await until(lambda: running.said("started"))
        while (await running.get("/readyz"))[0] != 200:
            await asyncio.sleep(0.05)


@pytest.fixture
async def desk(world: World) -> AsyncIterator[Desk]:
    async with operator(world.url) as found:
        yield found


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    with RealNats(tmp_path / "nats") as server:
        async with streams(server.url, ["research"]) as client:
            sim = SimCluster(speed=50)
            fleet, kubeconfig = tmp_path / "fleet.yaml", tmp_path / "kubeconfig"
            world = World(sim, client, server.url, fleet, kubeconfig)
            sim.pod_runner = world
            async with world.workers.connected(), sim:
                await sim.create_namespace(NAMESPACE)
                await sim.create_deployment("research", NAMESPACE)
                fleet.write_text(fleet_text(server.url, ["research"], maximum=MOST), "utf-8")
                sim.write_kubeconfig(kubeconfig)
                yield world


async def test_no_busy_worker_is_deleted_by_scaling_down_under_load(
    world: World, desk: Desk
) -> None:
    workers = world.workers
    async with daemon(world.fleet, world.kubeconfig) as running:
        await world.ready(running)
        await world.publish(3000)
        await until(lambda: len(workers.ready) == MOST)
        for _ in range(2):
            await desk.ask(a_cap(pool=POOL, replicas=3))
            await until(lambda: len(workers.ready) == 3)
            assert world.spec() == 3
            await desk.ask(a_cap(pool=POOL, replicas=MOST))
            await until(lambda: len(workers.ready) == MOST)
    assert workers.killed_busy == []
    assert workers.ended >= 10


async def test_a_spent_budget_stops_every_pull_at_once_whatever_the_interval(
    world: World,
) -> None:
    workers, stream = world.workers, world.client.jetstream()
    await ensure_usage_stream(stream)
    text = fleet_text(world.url, ["research"], maximum=MOST, interval=RARELY)
    budget = "budget: {tokens_per_day: 50000000, pacing: never}"
    world.fleet.write_text(text.replace("tier: growth,", f"tier: growth, {budget},"), "utf-8")
    spending = UsageEvent(
        tenant="acme", role="research", model="m", usage=UsedTokens(input=60_000_000), seconds=1.0
    )
    async with daemon(world.fleet, world.kubeconfig) as running:
        await world.ready(running)
        await world.publish(3000)
        await until(lambda: len(workers.ready) == MOST)
        taken = len(workers.begun)
        await until(lambda: len(workers.begun) > taken + MOST)
        await stream.publish(usage_subject("acme", "research"), msgspec.json.encode(spending))
        spent_at = time.monotonic()
        await until(lambda: not workers.ready)
        late = [at - spent_at for at in workers.begun if at > spent_at + LATE_S]
        assert late == []
    assert workers.killed_busy == []


async def test_a_pause_stops_every_pull_at_once(world: World, desk: Desk) -> None:
    workers = world.workers
    text = fleet_text(world.url, ["research"], maximum=MOST, interval=RARELY)
    world.fleet.write_text(text, "utf-8")
    async with daemon(world.fleet, world.kubeconfig) as running:
        await world.ready(running)
        await world.publish(3000)
        await until(lambda: len(workers.ready) == MOST)
        pause = a_pause(scope=Scope(pool=POOL))
        await desk.ask(pause)
        asked_at = time.monotonic()
        await until(lambda: not workers.ready)
        assert world.spec() == 0
        late = [at - asked_at for at in workers.begun if at > asked_at + LATE_S]
        assert late == []
        await desk.withdraw(pause.key)
        taken = len(workers.begun)
        await until(lambda: len(workers.begun) > taken)
    assert workers.killed_busy == []
