"""The control loop: each tick observes, plans, actuates, records and publishes, in this order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final

from controller.engine.actuate import Write, WriteDispatcher
from controller.engine.findings import Found
from controller.engine.hub import Hub
from controller.engine.keep import Keeper
from controller.engine.metric_polls import MetricPolls
from controller.engine.observe import Observer
from controller.engine.record import Recorder
from controller.engine.snapshots import SnapshotBuilder
from controller.model.decision import Decision
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.intents import Intents, Scope
from controller.model.memory import Memory
from controller.model.observation import Observation
from controller.model.outcome import OutcomeKind
from controller.model.snapshot import Severity
from controller.model.tick import TICK_VERSION, Tick
from controller.planning.compile import FleetTerms, compile_fleet
from controller.planning.given.overrides import concerns
from controller.planning.kept import Kept
from controller.planning.planner import Planned
from controller.planning.remember.writes import without_writes
from controller.ports import (
    Actuator,
    Clock,
    Journal,
    LinkStatus,
    QueueSource,
    Supply,
    UsageSource,
    WakeSource,
    Workloads,
)

log = logging.getLogger(__name__)

SETTLE_S: Final = 5.0
"""How long `stop` waits for writes that have begun."""
COALESCE_S: Final = 0.02
"""All changes within this time are published in one snapshot, for example a burst of writes."""

Planner = Callable[[Observation, FleetTerms, Intents, Memory, float, Kept | None], Planned]


class Engine:
    """The control loop of one fleet. It runs until `stop`: a failure of a source, a write or a
    store becomes a reading, an outcome or a finding, and the loop goes on.
    """

    def __init__(
        self,
        *,
        fleet: Fleet,
        plan: Planner,
        queues: QueueSource,
        wakes: WakeSource,
        workloads: Workloads,
        supply: Supply,
        actuator: Actuator | None,
        keeper: Keeper,
        links: Collection[LinkStatus],
        clock: Clock,
        hub: Hub,
        recorder: Recorder,
        snapshots: SnapshotBuilder,
        interval_s: float,
        usage: UsageSource | None = None,
        metrics: MetricPolls | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Without an actuator the engine only plans and never writes. `interval_s` is the time
        between full ticks, and the time limit of their readings.
        """
        self._fleet = fleet
        self._pools = {pool.key: pool for pool in fleet.pools}
        self._plan = plan
        self._wakes = wakes
        self._workloads = workloads
        self._actuator = actuator
        self._keeper = keeper
        self._links = links
        self._clock = clock
        self._hub = hub
        self._recorder = recorder
        self._snapshots = snapshots
        self._interval_s = interval_s
        self._metrics = metrics
        self._journal = journal
        self._observer = Observer(
            fleet=fleet,
            queues=queues,
            wakes=wakes,
            workloads=workloads,
            supply=supply,
            clock=clock,
            deadline_s=interval_s,
            usage=usage,
            metrics=metrics,
        )
        self._terms = compile_fleet(fleet)
        self._memory = Memory()
        self._kept: Kept | None = None
        self._to_write: dict[PoolKey, Decision] = {}
        self._asleep: dict[PoolKey, Pool] = {}
        self._watching = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._due: dict[PoolKey, bool] = {}
        self._overtaken: set[PoolKey] = set()
        self._asked_meanwhile: set[PoolKey] = set()
        self._publication: asyncio.TimerHandle | None = None

    def look(self) -> Tick | None:
        """What a tick of the whole fleet would plan from now, out of what is known already; None
        before the first tick. It changes nothing.
        """
        if self._kept is None:
            return None
        return Tick(
            version=TICK_VERSION,
            now=self._clock.now(),
            observation=self._observer.peek(self._fleet.pools, under_way=self._writes.under_way),
            intents=self._keeper.intents(),
            memory=without_writes(self._memory) if self._actuator is None else self._memory,
        )

    def stop(self) -> None:
        """Ask the loop to end: no new tick begins, and writes get `SETTLE_S` to finish."""
        self._stopping.set()

    async def run(self) -> None:
        """Tick every interval until `stop`. A slot that is past when a tick ends is skipped and
        counted as late.
        """
        self._wakes.on_wake(self._woken)
        self._workloads.on_change(self._changed)
        async with asyncio.TaskGroup() as self._tasks:
            self._writes = WriteDispatcher(
                pools=self._pools,
                actuator=self._actuator,
                clock=self._clock,
                tasks=self._tasks,
                on_write=self._written,
            )
            self._memory = await self._keeper.recall()
            self._keeper.on_change(self._asked)
            slot = self._clock.now()
            while not self._stopping.is_set():
                await self._full_tick()
                slot, late = next_slot(slot, self._clock.now(), self._interval_s)
                self._snapshots.count_late(late)
                await self._until(slot)
            await self._writes.settle(SETTLE_S)
            await self._keeper.finish()
        self._publish()

    async def _full_tick(self) -> None:
        """Read the queues of the whole fleet, then tick for all pools."""
        began = self._clock.now()
        await self._ask(self._fleet.pools)
        self._tick(self._fleet.pools)
        self._snapshots.ticked(self._clock.now() - began)

    async def _early_tick(self) -> None:
        """Tick between two slots, for the pools that are due only."""
        due, self._due = self._due, {}
        if asked := [self._pools[key] for key, ask in sorted(due.items()) if ask]:
            await self._ask(asked)
        self._tick([self._pools[key] for key in sorted(due)])

    def _tick(self, pools: Collection[Pool]) -> None:
        """Decide and actuate these pools with the readings known now. Never awaits, so the whole
        tick sees one instant.
        """
        # 1 observe
        observation = self._observe(pools)
        # 2 plan
        memory = without_writes(self._memory) if self._actuator is None else self._memory
        intents, now = self._keeper.intents(), self._clock.now()
        planned = self._plan(observation, self._terms, intents, memory, now, self._kept)
        changed, self._memory, self._kept = planned.changed, planned.memory, planned.kept
        # 3 actuate
        for key, decision in changed.items():
            if decision.changes:
                self._to_write[key] = decision
            else:
                self._to_write.pop(key, None)
        self._writes.begin(self._to_write.values())
        # 4 record
        news = self._recorder.decided(planned.plan.at, changed.values())
        self._keeper.remember(self._memory, self._tasks, decided=news)
        self._find_sleepers(changed)
        # 5 publish
        self._snapshots.saw(observation)
        self._snapshots.decided(changed)
        self._snapshots.planned(self._kept, intents)
        self._publish_soon()

    async def _ask(self, pools: Iterable[Pool]) -> None:
        """Read the queues of these pools, after subscribing for the pools at zero.

        The order matters: a message that arrives between a LIST and the subscription would be
        missed by both.
        """
        async with self._watching:
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._wakes.watch(self._asleep.values())
            except TimeoutError:
                log.warning("subscribing for pools at zero timed out; they are polled meanwhile")
        await self._observer.ask(list(pools))

    def _observe(self, pools: Collection[Pool]) -> Observation:
        step = self._clock.follow_step()
        if step:
            log.warning("the system clock was stepped; all times follow it", extra={"step_s": step})
            self._observer.shift(step)
            self._writes.backoff.shift(step)
        return self._observer.see(pools, under_way=self._writes.under_way, clock_step_s=step)

    def _find_sleepers(self, changed: Mapping[PoolKey, Decision]) -> None:
        """Find pools at zero, or about to be, without known work, and give each an early tick: it
        subscribes to their wake-ups, then reads their queues.
        """
        for key, decision in changed.items():
            asleep = decision.next == 0 and not self._observer.knows_work(self._pools[key])
            if not asleep:
                self._asleep.pop(key, None)
            elif key not in self._asleep:
                self._asleep[key] = self._pools[key]
                self._soon(key, ask=True)

    def _woken(self, key: PoolKey) -> None:
        """A first message came for a pool at zero: decide the pool at once."""
        pool = self._pools.get(key)
        if pool is not None:
            self._observer.woken(key)
            # with an activation threshold, one message is not enough: read how many there are
            self._soon(key, ask=pool.activation > 0)

    def _asked(self, scopes: Collection[Scope]) -> None:
        """Operators asked for something else: the pools it concerns are decided at once, those that
        are being written as soon as that has ended.
        """
        under_way = self._writes.under_way
        for key, pool in self._pools.items():
            if any(concerns(scope, pool) for scope in scopes):
                self._soon(key, ask=False)
                if key in under_way:
                    self._asked_meanwhile.add(key)

    def _changed(self, namespace: str, deployment: str) -> None:
        """A Deployment changed: if our last write to it met a conflict, decide its pool again."""
        for key in list(self._overtaken):
            pool = self._pools[key]
            if (pool.namespace, pool.deployment) == (namespace, deployment):
                self._overtaken.discard(key)
                self._soon(key, ask=False)

    def _soon(self, key: PoolKey, *, ask: bool) -> None:
        """Put the pool into an early tick; all pools due at the same moment share one. With `ask`
        its queue is read first.
        """
        if self._stopping.is_set():
            return
        if not self._due:
            self._tasks.create_task(self._early_tick(), name="early tick")
        self._due[key] = ask or self._due.get(key, False)

    def _written(self, write: Write) -> None:
        self._recorder.written(write)
        self._snapshots.written(write)
        if write.outcome.kind is OutcomeKind.CONFLICT:
            self._overtaken.add(write.decision.pool)
        if write.decision.wake:
            # the first replica is on its way; the queue's length decides about more
            self._soon(write.decision.pool, ask=True)
        elif (
            self._observer.is_woken(write.decision.pool)
            or write.decision.pool in self._asked_meanwhile
        ):
            self._soon(write.decision.pool, ask=False)
        self._asked_meanwhile.discard(write.decision.pool)
        self._publish_soon()

    def _publish_soon(self) -> None:
        if self._publication is None:
            loop = asyncio.get_running_loop()
            self._publication = loop.call_later(COALESCE_S, self._publish)

    def _publish(self) -> None:
        if self._publication is not None:
            self._publication.cancel()
            self._publication = None
        self._hub.publish(
            self._snapshots.snapshot(
                links=[status.link() for status in self._links],
                recorder=self._recorder,
                notices=(
                    *self._keeper.notices(),
                    *self._metric_findings(),
                    *self._journal_findings(),
                ),
                failed_readings=self._observer.failed,
                now=self._clock.now(),
            )
        )

    def _metric_findings(self) -> Iterable[Found]:
        return () if self._metrics is None else self._metrics.findings()

    def _journal_findings(self) -> Iterator[Found]:
        problem = None if self._journal is None else self._journal.problem()
        if problem is not None:
            text = f"is not complete, and the controller goes on: {problem}"
            yield Severity.WARNING, "journal", "incomplete", text

    async def _until(self, slot: float) -> None:
        """Sleep until the slot, or until asked to stop."""
        sleep = asyncio.ensure_future(self._clock.sleep(slot - self._clock.now()))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({sleep, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            stopping.cancel()


def next_slot(slot: float, now: float, interval_s: float) -> tuple[float, int]:
    """The first slot after `slot` that is not past at `now`, and how many slots were skipped."""
    following = slot + interval_s
    if now <= following:
        return following, 0
    late = int((now - following) // interval_s) + 1
    return following + late * interval_s, late
