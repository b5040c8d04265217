"""A pool that is a StatefulSet loses its highest ordinals first, and none of them while it works:
NATS, daemon, workers and a simulated cluster.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from agentdash.demo.cluster.objects import EVENTS, PODS, STATEFUL_SETS
from agentdash.demo.cluster.registry import StoredObject
from controller.kube.wire import DELETION_COST
from controller.model.ids import PoolKey
from fakes.cluster import SimCluster
from support.asked import a_cap
from support.desk import operator
from support.live import Daemon, daemon, fleet_text, streams, until
from support.nats_server import RealNats
from support.pod_workers import PodWorkers
from support.stateful import create_statefulset

NAMESPACE = "tenant-acme"
POOL = PoolKey("acme/research")
MOST = 6


class World:
    """A StatefulSet `db` whose pods work, and a queue."""

    def __init__(self, sim: SimCluster, client: Client, url: str, folder: Path) -> None:
        self.sim, self.client, self.url = sim, client, url
        self.fleet, self.kubeconfig = folder / "fleet.yaml", folder / "kubeconfig"
        self.chance = random.Random(7)
        self.shortest_s, self.longest_s = 0.05, 0.4
        self.workers = PodWorkers(url, lambda: self.chance.uniform(self.shortest_s, self.longest_s))

    async def run(self, pod: dict[str, Any], stopping: asyncio.Event) -> None:
        await self.workers.run(pod["metadata"]["name"], stopping)

    async def publish(self, count: int) -> None:
        for _ in range(count):
            await self.client.publish("tasks.research", b"work")
        await self.client.flush()

    def stored(self) -> StoredObject:
        found = self.sim.store.get(STATEFUL_SETS, NAMESPACE, "db")
        assert found is not None
        return found

    def ask(self) -> int:
        return int(self.stored().object["spec"]["replicas"])

    def pods(self) -> list[dict[str, Any]]:
        return [each.object["metadata"] for each in self.sim.store.each(PODS, NAMESPACE)]

    def events(self) -> set[str]:
        """What our events are about."""
        return {
            f"{about['kind']} {about['name']}"
            for each in self.sim.store.each(EVENTS, NAMESPACE)
            if each.object.get("reportingComponent") == "agentdash.dev/controller"
            for about in (each.object["involvedObject"],)
        }

    async def ready(self, running: Daemon) -> None:
        await until(lambda: running.said("started"))
        while (await running.get("/readyz"))[0] != 200:
            await asyncio.sleep(0.05)


@pytest.fixture
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    with RealNats(tmp_path / "nats") as server:
        async with streams(server.url, ["research"]) as client:
            sim = SimCluster(speed=50)
            world = World(sim, client, server.url, tmp_path)
            sim.pod_runner = world
            async with world.workers.connected(), sim:
                await sim.create_namespace(NAMESPACE)
                create_statefulset(
                    sim, "db", NAMESPACE, podManagementPolicy=getattr(request, "param", "Parallel")
                )
                text = fleet_text(server.url, ["research"], maximum=MOST)
                text = text.replace("    tenant: acme\n", "    tenant: acme\n    statefulset: db\n")
                world.fleet.write_text(text, "utf-8")
                sim.write_kubeconfig(world.kubeconfig)
                yield world


@pytest.mark.parametrize("world", ["OrderedReady"], indirect=True)
async def test_no_busy_ordinal_is_deleted_by_scaling_down_under_load(world: World) -> None:
    workers = world.workers
    async with daemon(world.fleet, world.kubeconfig) as running, operator(world.url) as desk:
        await world.ready(running)
        assert world.ask() == 0
        await world.publish(3000)
        await until(lambda: len(workers.ready) == MOST)
        for _ in range(2):
            await desk.ask(a_cap(pool=POOL, replicas=2))
            await until(lambda: workers.ready == {"db-0", "db-1"})
            assert world.ask() == 2
            await desk.ask(a_cap(pool=POOL, replicas=MOST))
            await until(lambda: len(workers.ready) == MOST)
        assert {pod["name"] for pod in world.pods()} == {f"db-{each}" for each in range(MOST)}
        assert not any(DELETION_COST in (pod.get("annotations") or {}) for pod in world.pods())
        await until(lambda: world.events() == {"StatefulSet db"})
    assert workers.killed_busy == []
    assert workers.ended >= 8


async def test_it_shrinks_to_the_busy_ordinal_and_on_once_that_has_finished(world: World) -> None:
    workers = world.workers
    text = world.fleet.read_text("utf-8").replace("min: 0", f"min: {MOST}")
    world.fleet.write_text(text, "utf-8")
    world.sim.registry.change(world.stored(), lambda item: item["spec"].update(replicas=MOST))
    world.longest_s = world.shortest_s = 8.0
    async with daemon(world.fleet, world.kubeconfig) as running, operator(world.url) as desk:
        await world.ready(running)
        await until(lambda: len(workers.ready) == MOST)
        await world.publish(1)
        await until(lambda: +workers.at_work)
        (busy,) = +workers.at_work
        kept = int(busy.removeprefix("db-")) + 1
        await desk.ask(a_cap(pool=POOL, replicas=0))
        await until(lambda: world.ask() == kept and len(workers.ready) == kept)
        assert workers.at_work[busy], "it is still at work"
        await until(lambda: world.ask() == 0 and not workers.ready)
    assert workers.killed_busy == []
