"""One process of the product: its engine, elector, keeper and writers, on simulated connections."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from controller.engine.actuate import Recorder
from controller.engine.intents import Switches
from controller.engine.lead import Elector, WriteRight
from controller.engine.loop import Engine, Keeps, Planner, Shows, Writes
from controller.engine.memory import Keeper
from controller.engine.show.snapshot import SnapshotBuilder
from controller.engine.supervise import Hub, SignalSwitch, SystemClock
from controller.kube.writes import ClusterActuator, KubernetesLease, WriteGate
from controller.model.ids import PoolKey
from controller.model.snapshot import Snapshot
from controller.nats.state import MemoryBucket
from simulation.engine.eyes import (
    ClusterView,
    IntentView,
    LinkView,
    QueueView,
    UsageView,
    WorkerView,
)
from simulation.engine.kernel import Machine
from simulation.engine.wire import ApiClient, RemoteBucket, Wire
from simulation.engine.world import TOKENS_OF_A_TASK, World
from support.sources import NoAllowances, NoEvents, sources
from support.stores import FakeHistories, FakeSnapshots
from support.world import START, FakeWakes

SHOWN_EVERY_S: Final = 5.0


class Snapshots(SnapshotBuilder):
    """Builds a whole snapshot every few seconds only, and renews the views of pools in between,
    because memory is saved with them. No promise speaks of the rest, a sixth of all work.
    """

    last: Snapshot | None = None

    def snapshot(self, **known: Any) -> Snapshot:
        if self.last is None or not 0.0 <= known["now"] - self.last.at < SHOWN_EVERY_S:
            self.last = super().snapshot(**known)
        else:
            self._renew_views(known["now"])
        return self.last


class Controller:
    """A process from its start to its end. `step_s` is how far its wall clock is from the truth;
    `watched` wraps its planner; `judged` are called as `ApiClient` calls them.
    """

    def __init__(
        self,
        world: World,
        name: str,
        *,
        watched: Callable[[Controller], Planner],
        judged: Callable[[Controller, ApiClientFactory], ApiClient],
    ) -> None:
        kernel = world.kernel
        self.world = world
        self.machine = Machine(kernel, name)
        self.step_s = 0.0
        self.clock = SystemClock(
            wall=lambda: START + kernel.now + self.step_s, monotonic=lambda: kernel.now
        )
        self.api = Wire(kernel, self.machine, "api")
        self.nats = Wire(kernel, self.machine, "nats")
        self.view = ClusterView(self.clock, self.api, world.sights(), world.sight)
        self.queues = QueueView(self.nats, self.clock, world.crews)
        self.wakes = FakeWakes()
        self.workers = WorkerView(self.nats, self.clock, world.fleet, world.states, world.orders)
        self.workers.found(world.states, world.orders)
        self.intents = IntentView()
        self.usage = UsageView(world.fleet, self.clock, world.crews, TOKENS_OF_A_TASK)
        self.right = WriteRight(lambda: kernel.now)
        self.hub = Hub()
        self.down: Counter[PoolKey] = Counter()
        self.deaf = 0
        self.engine: Engine | None = None
        self._planner = watched(self)
        self._judged = judged
        self.machine.start(self._main())

    def view_is_down(self, key: PoolKey) -> bool:
        """Whether no news of this pool's objects reach it."""
        return bool(self.down[key] or self.api.cuts)

    def stop(self) -> None:
        """SIGTERM."""
        engine = self.engine
        if engine is None:
            self.machine.kill()
        else:
            self.machine.post(engine.stop)

    async def _main(self) -> None:
        world, clock, setting = self.world, self.clock, self.world.setting
        make: ApiClientFactory = lambda **told: ApiClient(  # noqa: E731
            self.machine, self.api, world.deployments, world.lease, **told
        )
        client = self._judged(self, make)
        gate, marks = WriteGate(), WriteGate()
        chance = world.kernel.chance(f"election of {self.machine.name}")
        elector = Elector(
            KubernetesLease(client, clock, namespace="agents", name="agentdash"),  # type: ignore[arg-type]
            self.machine.name,
            setting.times,
            self.right,
            clock,
            random=chance.random,
        )
        keeper = Keeper(
            fleet=world.fleet,
            memories=MemoryBucket(RemoteBucket(self.nats, world.memory)),  # type: ignore[arg-type]
            intents=self.intents,
            clock=clock,
            histories=FakeHistories(),
            usage=self.usage,
        )
        engine = Engine(
            world.fleet,
            sources(
                self.queues,
                self.wakes,
                self.view,
                clock,
                usage=self.usage,
                workers=self.workers,
            ),
            Writes(
                actuator=ClusterActuator(
                    client,  # type: ignore[arg-type]
                    gate,
                    marks,
                    self.view,
                    self.right.may_write,
                    timeout_s=setting.times.write_s,
                ),
                allowances=NoAllowances(),
                announcer=NoEvents(),
                leadership=elector,
                switches=Switches(None, SignalSwitch(), clock, interval_s=setting.interval_s),
            ),
            Keeps(keeper, FakeSnapshots()),
            Shows(
                hub=self.hub,
                snapshots=Snapshots(
                    fleet=world.fleet,
                    recorder=Recorder(writes=True),
                    name="fleet.yaml",
                    context="simulated",
                    interval_s=setting.interval_s,
                    epoch=clock.now(),
                ),
                links=[
                    LinkView("nats", self.machine).link,
                    LinkView("kubernetes", self.machine).link,
                ],
            ),
            plan=self._planner,
            clock=clock,
            interval_s=setting.interval_s,
        )
        self.engine = engine
        async with asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(each) for each in (gate.run(), marks.run(), elector.run())]
            await tasks.create_task(engine.run(), name="engine")
            for each in beside:
                each.cancel()
        await elector.release()


ApiClientFactory = Callable[..., ApiClient]
