"""An engine on fakes in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest import mock

from controller.engine import loop
from controller.engine.actuate import Recorder
from controller.engine.intents import Switches
from controller.engine.lead import Leadership
from controller.engine.loop import Engine, Keeps, Shows, Writes
from controller.engine.memory import Keeper
from controller.engine.show.snapshot import SnapshotBuilder
from controller.engine.supervise import Hub, SignalSwitch
from controller.model.fleet import Pool
from controller.model.observation import QueueDepth
from controller.model.snapshot import Snapshot
from controller.planning.planner import plan
from controller.ports import WorkerSource
from support.sources import NoAllowances, NoEvents, NoUsage, sources
from support.stores import FakeHistories, FakeIntents, FakeMemories, FakeSnapshots
from support.world import (
    START,
    FakeCluster,
    FakeLink,
    FakeQueues,
    FakeWakes,
    VirtualClock,
    make_fleet,
    settle,
)


class Harness:
    """The engine and everything around it, with shorthands for a test's sentences."""

    def __init__(
        self,
        *pools: Pool,
        replicas: int = 0,
        writes: bool = True,
        leadership: Leadership | None = None,
        workers: WorkerSource | None = None,
        interval_s: float = 1.0,
    ) -> None:
        self.clock = VirtualClock()
        self.pools = pools
        self.queues = FakeQueues(self.clock)
        self.wakes = FakeWakes()
        self.cluster = FakeCluster(self.clock, pools, replicas)
        self.link = FakeLink("nats")
        self.hub = Hub()
        self.memories = FakeMemories(self.clock)
        self.intents = FakeIntents()
        self.frames = FakeSnapshots()
        self.histories = FakeHistories()
        self.signals = SignalSwitch()
        self.switches = Switches(None, self.signals, self.clock, interval_s=interval_s)
        fleet = make_fleet(*pools)
        self.engine = Engine(
            fleet,
            sources(self.queues, self.wakes, self.cluster, self.clock, workers=workers),
            Writes(
                actuator=self.cluster,
                allowances=NoAllowances(),
                announcer=NoEvents(),
                switches=self.switches,
                leadership=leadership,
                writes=writes,
            ),
            Keeps(
                Keeper(
                    fleet=fleet,
                    memories=self.memories,
                    intents=self.intents,
                    clock=self.clock,
                    histories=self.histories,
                    usage=NoUsage(),
                ),
                self.frames,
            ),
            Shows(
                hub=self.hub,
                snapshots=SnapshotBuilder(
                    fleet=fleet,
                    recorder=Recorder(writes=writes),
                    name="fleet.yaml",
                    context="test",
                    interval_s=interval_s,
                    epoch=START,
                ),
                links=[self.link.link],
            ),
            plan=plan,
            clock=self.clock,
            interval_s=interval_s,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Harness]:
        """What is published is published at once: no time but the clock's passes."""
        with mock.patch.object(loop, "COALESCE_S", 0.0):
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(self.engine.run())
                await settle()
                yield self
                self.engine.stop()
                while not running.done():
                    await self.clock.advance(1.0)

    def queue(self, pool: Pool, pending: int, in_flight: int = 0) -> None:
        self.queues.depths[pool.key] = QueueDepth(pending=pending, in_flight=in_flight)

    async def snapshot(self) -> Snapshot:
        """The latest, once everything that waits to be published has been."""
        await settle()
        snapshot = self.hub.latest()
        assert snapshot is not None
        return snapshot
