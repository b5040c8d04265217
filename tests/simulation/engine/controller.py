"""One process of the product: its engine, elector, keeper and writers, on simulated connections."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from controller.engine.actuate import Recorder
from controller.engine.intents import Switches
from controller.engine.lead import Elector, WriteRight
from controller.engine.loop import Engine, Handover, Keeps, Planner, Shows, Writes
from controller.engine.memory import Keeper
from controller.engine.show.snapshot import SnapshotBuilder
from controller.engine.supervise import Hub, SignalSwitch, SystemClock
from controller.expose.server import unable_to_decide
from controller.kube.writes import ClusterActuator, KubernetesLease, WriteGate
from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.snapshot import Snapshot
from controller.nats.intents import IntentBucket
from controller.nats.jetstream import NatsDisconnectedError, StreamMissingError
from controller.nats.state import MemoryBucket
from controller.planning.planner import plan
from simulation.engine.eyes import (
    ClusterView,
    LinkView,
    QueueView,
    UsageView,
    Watch,
    WorkerView,
)
from simulation.engine.kernel import Machine
from simulation.engine.wire import ApiClient, RemoteBucket, Wire
from simulation.engine.work import INTENTS
from simulation.engine.world import TOKENS_OF_A_TASK, World
from support.sources import NoAllowances, NoEvents, sources
from support.stores import FakeHistories, FakeSnapshots
from support.world import START, FakeWakes

SHOWN_EVERY_S: Final = 15.0


class Snapshots(SnapshotBuilder):
    """Builds a whole snapshot at times only, and in between what tells whether the process can
    decide. No promise speaks of the rest, a sixth of all work.
    """

    last: Snapshot | None = None

    def snapshot(self, **known: Any) -> Snapshot:
        now = known["now"]
        if self.last is None or not 0.0 <= now - self.last.at < SHOWN_EVERY_S:
            self.last = super().snapshot(**known)
        elif self._changed or known["frozen_by"] != self.last.frozen_by:
            pools = tuple(self._view(pool) for pool in self._fleet.pools)
            self.last = replace(self.last, pools=pools, frozen_by=known["frozen_by"])
        return self.last


class Parts(NamedTuple):
    """What a process is made of. A saboteur puts something else in the place of one."""

    plan: Planner = plan
    clock: Callable[..., SystemClock] = SystemClock
    right: Callable[..., WriteRight] = WriteRight
    lease: Callable[..., KubernetesLease] = KubernetesLease
    elector: Callable[..., Elector] = Elector
    switches: Callable[..., Switches] = Switches
    actuator: Callable[..., ClusterActuator] = ClusterActuator
    memories: Callable[..., MemoryBucket] = MemoryBucket
    keeper: Callable[..., Keeper] = Keeper
    intents: Callable[..., IntentBucket] = IntentBucket
    queues: Callable[..., QueueView] = QueueView
    workers: Callable[..., WorkerView] = WorkerView
    usage: Callable[..., UsageView] = UsageView
    handover: Callable[[Handover], Handover] = lambda left: left


class Controller:
    """A process from its start to its end. `step_s` is how far its wall clock is from the truth;
    `watched` wraps its planner; `judged` are called as `ApiClient` calls them.
    """

    def __init__(
        self,
        world: World,
        name: str,
        *,
        parts: Parts,
        watched: Callable[[Controller, Planner], Planner],
        learned: Callable[[Controller], None],
        judged: Callable[[Controller, ApiClientFactory], ApiClient],
    ) -> None:
        kernel = world.kernel
        self.world = world
        self.machine = Machine(kernel, name)
        self.step_s = 0.0
        self.parts = parts
        self.clock = parts.clock(
            wall=lambda: START + kernel.now + self.step_s, monotonic=lambda: kernel.now
        )
        self.api = Wire(kernel, self.machine, "api")
        self.nats = Wire(kernel, self.machine, "nats")
        self.view = ClusterView(self.clock, self.api, world.sights(), world.sight)
        self.queues = parts.queues(self.nats, self.clock, world.crews)
        self.wakes = FakeWakes()
        self.workers = parts.workers(self.nats, self.clock, world.fleet, world.states, world.orders)
        self.workers.found(world.states, world.orders)
        bucket: Any = RemoteBucket(self.nats, world.memory)
        self.intents = parts.intents(None, bucket, self.clock)
        self.memories = parts.memories(bucket)
        self.watch = Watch(kernel, self.machine, self._lose_intents, self._find_intents)
        self._learned = learned
        self.usage = parts.usage(world.fleet, self.clock, world.crews, TOKENS_OF_A_TASK)
        self.right = parts.right(lambda: kernel.now)
        self.journal_down: str | None = None
        self.signal = SignalSwitch()
        self.switches = parts.switches(
            None,
            self.signal,
            self.clock,
            interval_s=world.setting.interval_s,
            journal_down=lambda: self.journal_down,
        )
        self.hub = Hub()
        self.down: Counter[PoolKey] = Counter()
        self.deaf = 0
        self.is_another = False
        self.fleet = world.fleet
        self.is_stopping = False
        self.engine: Engine | None = None
        self._planner = watched(self, parts.plan)
        self._judged = judged
        self.machine.start(self._main())
        self._find_intents()

    def may_write(self) -> bool:
        """As the product asks before each write."""
        return self.switches.allow() and self.right.may_write()

    def _lose_intents(self) -> None:
        gone = self.world.memory.is_gone
        lost = StreamMissingError("no stream") if gone else NatsDisconnectedError("cut")
        self.intents.lost(lost)

    def _find_intents(self) -> None:
        store = self.world.memory
        if store.is_gone:
            self.intents.lost(StreamMissingError("no stream"))
        else:
            is_another, self.is_another = self.is_another, False
            entries, bucket = store.entries(INTENTS), self.intents.bucket
            revisions = [each.revision for each in entries.values()]
            bucket.highest = max(revisions, default=0 if is_another else bucket.highest)
            self.intents.found(entries, is_another=is_another)
            self._learned(self)

    def view_is_down(self, key: PoolKey) -> bool:
        """Whether no news of this pool's objects reach it."""
        return bool(self.down[key] or self.api.cuts)

    def stop(self) -> None:
        """SIGTERM."""
        self.is_stopping = True
        self._end_engine()

    def reload(self, fleet: Fleet) -> None:
        """The fleet file has changed: another engine takes over from this one."""
        self.fleet = fleet
        self._end_engine()

    def _end_engine(self) -> None:
        if self.engine is not None:
            self.machine.post(self.engine.stop)

    async def _main(self) -> None:
        world, clock, setting = self.world, self.clock, self.world.setting
        make: ApiClientFactory = lambda **told: ApiClient(  # noqa: E731
            self.machine, self.api, world.deployments, world.lease, **told
        )
        client: Any = self._judged(self, make)
        gate, marks = WriteGate(), WriteGate()
        chance = world.kernel.chance(f"election of {self.machine.name}")
        elector = self.parts.elector(
            self.parts.lease(client, clock, namespace="agents", name="agentdash"),
            self.machine.name,
            setting.times,
            self.right,
            clock,
            random=chance.random,
        )
        self.hub.subscribe(lambda snapshot: elector.unable(unable_to_decide(snapshot)))
        writes = Writes(
            actuator=self.parts.actuator(
                client, gate, marks, self.view, self.may_write, timeout_s=setting.times.write_s
            ),
            allowances=NoAllowances(),
            announcer=NoEvents(),
            leadership=elector,
            switches=self.switches,
        )
        works = (gate.run(), marks.run(), elector.run(), self.switches.run())
        async with asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(each) for each in works]
            before: Handover | None = None
            while not self.is_stopping:
                engine = self.engine = self._engine_of(writes, before)
                await tasks.create_task(engine.run(), name="engine")
                before = self.parts.handover(engine.handover())
            for each in beside:
                each.cancel()
        await elector.release()

    def _engine_of(self, writes: Writes, before: Handover | None) -> Engine:
        clock, fleet, interval_s = self.clock, self.fleet, self.world.setting.interval_s
        keeper = self.parts.keeper(
            fleet=fleet,
            memories=self.memories,
            intents=self.intents,
            clock=clock,
            histories=FakeHistories(),
            usage=self.usage,
        )
        snapshots = Snapshots(
            fleet=fleet,
            recorder=Recorder(writes=True),
            name="fleet.yaml",
            context="simulated",
            interval_s=interval_s,
            epoch=clock.now(),
        )
        links = [LinkView(name, self.machine).link for name in ("nats", "kubernetes")]
        seen = sources(
            self.queues, self.wakes, self.view, clock, usage=self.usage, workers=self.workers
        )
        return Engine(
            fleet,
            seen,
            writes,
            Keeps(keeper, FakeSnapshots(), before),
            Shows(hub=self.hub, snapshots=snapshots, links=links),
            plan=self._planner,
            clock=clock,
            interval_s=interval_s,
        )


ApiClientFactory = Callable[..., ApiClient]
