"""The control loop: each tick observes, plans, actuates, records and publishes, in this order."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Final, NamedTuple

from controller.engine.actuate import Write, WriteDispatcher, WriteHealth, announcement
from controller.engine.intents import Switches
from controller.engine.lead import Lead, Leadership
from controller.engine.memory import FrameKeeper, Keeper
from controller.engine.observe import Observer, Sources
from controller.engine.show.findings import Found, found, listed
from controller.engine.show.snapshot import SnapshotBuilder
from controller.engine.supervise import Hub, is_under_way, next_slot
from controller.engine.workers import Allotment, Crews
from controller.model.decision import Decision, OutcomeKind
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey, WorkloadName
from controller.model.intents import Intents, Scope
from controller.model.memory import TICK_VERSION, Memory, Tick
from controller.model.observation import Observation, TenantSpent, Workload
from controller.model.readings import Fresh
from controller.model.snapshot import OVERTAKEN, Link
from controller.planning.compile import FleetTerms, compile_fleet
from controller.planning.inputs import concerns
from controller.planning.memo import Kept, Planned
from controller.planning.resume import anew, doubted, joined
from controller.planning.share.rows import spends_budget
from controller.ports import (
    Actuator,
    AllowanceStore,
    Announcer,
    Clock,
    SnapshotStore,
    StoreError,
    Workloads,
    sleep_unless,
)

log = logging.getLogger(__name__)

SETTLE_S: Final = 5.0
"""How long `stop` waits for writes that have begun."""
COALESCE_S: Final = 0.02
"""All changes within this time are published in one snapshot, for example a burst of writes."""


class Handover(NamedTuple):
    """What an engine leaves to the next one in the same process, which has another fleet. `leads`:
    its memory is the fleet's. `unread`: why an earlier process's is not read yet, else empty.
    `snapshots` made its snapshots; `frame_unread`: an earlier process's last one is not read yet.
    `spent`: what tenants have.
    """

    memory: Memory
    leads: bool
    unread: str
    snapshots: SnapshotBuilder
    frame_unread: bool
    spent: Mapping[str, TenantSpent]


Planner = Callable[[Observation, FleetTerms, Intents, Memory, float, Kept | None], Planned]


class Writes(NamedTuple):
    """What an engine acts through; without a `leadership` it leads, unless it never writes."""

    actuator: Actuator
    allowances: AllowanceStore
    announcer: Announcer
    switches: Switches
    leadership: Leadership | None = None
    writes: bool = True


class Keeps(NamedTuple):
    """What an engine keeps beyond the process; `before` was left by the one before it here."""

    memory: Keeper
    snapshots: SnapshotStore
    before: Handover | None = None


class Shows(NamedTuple):
    """What an engine shows its work by; `links`, `findings` and `failures` (source, failed
    requests) are others'.
    """

    hub: Hub
    snapshots: SnapshotBuilder
    links: Collection[Callable[[], Link]]
    findings: Callable[[], Iterable[Found]] = tuple
    failures: Callable[[], Iterable[tuple[str, int]]] = tuple


class Engine:
    """The control loop of one fleet. It runs until `stop`: a failure of a source, a write or a
    store becomes a reading, an outcome or a finding, and the loop goes on.
    """

    def __init__(
        self,
        fleet: Fleet,
        sources: Sources,
        writes: Writes,
        keeps: Keeps,
        shows: Shows,
        *,
        plan: Planner,
        clock: Clock,
        interval_s: float,
    ) -> None:
        """`interval_s` is the time between full ticks, and the time limit of their readings."""
        self._fleet = fleet
        self._pools = {pool.key: pool for pool in fleet.pools}
        self._tenants = {tenant.name: tenant for tenant in fleet.tenants}
        self._terms = compile_fleet(fleet)
        self._sources = sources
        self._writes = writes
        self._keeper, self._before = keeps.memory, keeps.before
        self._shows = shows
        self._snapshots, self._recorder = shows.snapshots, shows.snapshots.recorder
        self._frames = FrameKeeper(keeps.snapshots, clock, self._snapshots)
        self._plan = plan
        self._clock = clock
        self._interval_s = interval_s
        self._lead = Lead(writes.leadership, writes=writes.writes)
        self._crews = Crews(sources.workers, sources.workloads)
        self._allotment = Allotment(fleet, sources.workers, writes.allowances, clock)
        self._observer = Observer(fleet, sources, clock, deadline_s=interval_s)
        self._health = WriteHealth(interval_s)
        self._publishing: asyncio.TimerHandle | None = None
        self._memory = Memory()
        self._kept: Kept | None = None
        self._to_write: dict[PoolKey, Decision] = {}
        self._taking_over: asyncio.Task[None] | None = None
        self._watching = asyncio.Lock()
        self._stopping = asyncio.Event()

    def look(self) -> Tick | None:
        """What a full tick would plan from now, None before the first; it changes nothing."""
        if self._kept is None:
            return None
        return Tick(
            version=TICK_VERSION,
            now=self._clock.now(),
            observation=self._observer.peek(
                self._fleet.pools, under_way=self._dispatcher.under_way
            ),
            intents=self._intents(),
            memory=self._lead.to_plan_with(self._memory),
        )

    def stop(self) -> None:
        """Ask the loop to end: no new tick begins, and writes get `SETTLE_S` to finish."""
        self._stopping.set()

    async def run(self) -> None:
        """Tick every interval until `stop`; slots that have passed count as late."""
        async with asyncio.TaskGroup() as self._tasks, AsyncExitStack() as at_end:
            at_end.callback(self._stopping.set)  # what is told from then on begins no tick
            self._dispatcher = WriteDispatcher(
                pools=self._pools,
                actuator=self._writes.actuator,
                crews=self._crews,
                clock=self._clock,
                tasks=self._tasks,
                on_write=self._written,
                on_told=lambda key: self._early.ended(key),  # noqa: PLW0108  made below
            )
            self._early = EarlyTicks(
                pools=self._pools,
                observer=self._observer,
                workloads=self._sources.workloads,
                writes=self._dispatcher,
                tasks=self._tasks,
                tick=self._early_tick,
                stopping=self._stopping,
            )
            self._sources.wakes.on_wake(self._early.woken)
            self._sources.workloads.on_change(self._early.changed)
            self._sources.workers.on_change(self._early.heard)
            self._memory = await self._begin_with(self._before)
            if self._lead.may_write():
                await self._release_workers()
            self._sources.usage.on_use(self._used)
            self._keeper.on_change(self._early.asked)
            self._keeper.on_found(self._found)
            self._writes.switches.on_change(self._early.asked)
            self._lead.begin(
                self._lead_changed, has_led=self._before is not None and self._before.leads
            )
            slot = self._clock.monotonic()
            while not self._stopping.is_set():
                await self._full_tick()
                slot, late = next_slot(slot, self._clock.monotonic(), self._interval_s)
                self._snapshots.count_late(late)
                pause_s = slot - self._clock.monotonic()
                await sleep_unless(self._stopping, self._clock, pause_s)
            await self._dispatcher.settle(SETTLE_S)
            self._recorder.tell()
            self._publish()
            last = self._shows.hub.latest() if self._lead.may_write() else None
            await asyncio.gather(self._keeper.finish(), self._frames.finish(last))
        self._publish()

    def handover(self) -> Handover:
        """What the next engine in this process goes on from. To be called when `run` has ended."""
        return Handover(
            self._memory,
            self._lead.has_memory,
            self._keeper.unread,
            self._snapshots,
            self._frames.is_unread,
            self._keeper.spent,
        )

    async def _begin_with(self, before: Handover | None) -> Memory:
        """The memory to begin with: of the engine before in this process, else the stored one."""
        if before is None:
            memory = self._doubted(await self._keeper.recall())
            await self._frames.recall()
            return memory
        self._snapshots.go_on_from(before.snapshots)
        self._keeper.go_on_with(before.unread, before.spent)
        self._frames.is_unread = before.frame_unread
        return before.memory

    def _doubted(self, memory: Memory) -> Memory:
        """A memory that another process has left, compared with the sizes there are."""
        return doubted(memory, self._workloads(), self._clock.now())

    def _workloads(self) -> dict[PoolKey, Workload]:
        """The workload of each pool that is known."""
        seen = {pool.key: self._sources.workloads.workload(pool) for pool in self._fleet.pools}
        return {key: one.value for key, one in seen.items() if isinstance(one, Fresh)}

    async def _full_tick(self) -> None:
        """Read the queues of the whole fleet, then tick for all pools."""
        began = self._clock.monotonic()
        if self._lead.lacks_memory() and not is_under_way(self._taking_over):
            # the right had lapsed for a moment while the memory was read: nobody else tells so
            self._begin_to_lead()
        await self._ask(self._fleet.pools)
        self._tick(self._fleet.pools)
        if self._lead.may_write():
            sizes = {key: each.replicas for key, each in self._workloads().items()}
            self._allotment.begin(self._tasks, sizes)
        self._recorder.tell()
        self._snapshots.ticked(self._clock.monotonic() - began)
        latest = self._shows.hub.latest()
        if latest is not None and self._lead.may_write():
            self._frames.remember(latest, self._tasks)

    async def _early_tick(self) -> None:
        """Tick between two slots, for the pools that are due only."""
        due = self._early.take()
        if asked := [self._pools[key] for key, ask in sorted(due.items()) if ask]:
            await self._ask(asked)
        self._tick([self._pools[key] for key in sorted(due)])

    def _tick(self, pools: Collection[Pool]) -> None:
        """Decide and actuate these pools. Never awaits, so the tick sees one instant."""
        # 1 observe
        observation = self._observe(pools)
        # 2 plan
        memory = self._lead.to_plan_with(self._memory)
        intents, now = self._intents(), self._clock.now()
        planned = self._plan(observation, self._terms, intents, memory, now, self._kept)
        changed = self._lead.held(planned.changed)
        self._memory, self._kept = planned.memory, planned.kept
        # 3 actuate
        for key, decision in changed.items():
            if self._dispatcher.is_due(decision):
                self._to_write[key] = decision
            else:
                self._to_write.pop(key, None)
        self._early.forget_conflicts(self._to_write)
        if not self._to_write or not self._lead.may_write():
            self._health.nothing_to_write()
        if self._lead.may_write():
            self._dispatcher.begin(self._to_write.values())
        # 4 record
        news = self._recorder.decided(planned.plan.at, changed.values())
        if self._lead.may_write():
            self._keeper.remember(self._memory, self._tasks, decided=news)
        self._early.decided(changed)
        # 5 publish
        self._snapshots.saw(observation)
        self._snapshots.decided(changed)
        self._snapshots.planned(self._kept, intents)
        self._publish_soon()

    def _intents(self) -> Intents:
        """What operators ask for, and the kill switches that are on."""
        return self._writes.switches.added_to(self._keeper.intents())

    async def _ask(self, pools: Iterable[Pool]) -> None:
        """Read the queues of these pools, after subscribing for the pools at zero.

        The order matters: a message that arrives between a LIST and the subscription would be
        missed by both.
        """
        async with self._watching:
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._sources.wakes.watch(self._early.asleep.values())
            except TimeoutError:
                log.warning("subscribing for pools at zero timed out; they are polled meanwhile")
        await self._observer.ask(list(pools))

    def _observe(self, pools: Collection[Pool]) -> Observation:
        step = self._clock.follow_step()
        if step:
            log.warning("the system clock was stepped; all times follow it", extra={"step_s": step})
            self._observer.shift(step)
            self._dispatcher.backoff.shift(step)
        return self._observer.see(pools, under_way=self._dispatcher.under_way, clock_step_s=step)

    def _used(self, tenant: str, used: Decimal) -> None:
        """If these tokens spend a tenant's budget, decide its pools, so that none pulls more."""
        scarcity = None if self._kept is None else self._kept.scarcity
        if scarcity is not None and spends_budget(self._tenants[tenant], scarcity, used):
            for key, pool in self._pools.items():
                if pool.tenant == tenant:
                    self._early.again(key)

    def _lead_changed(self, leads: bool) -> None:  # the callback of `Leadership.on_change`
        """This process has become the leader, or is it no longer."""
        if self._taking_over is not None:
            self._taking_over.cancel()  # another process may have led and saved since it began
        if leads:
            self._begin_to_lead()
            return
        self._lead.has_memory = False
        self._keeper.follow()
        self._frames.follow()
        self._decide_anew()

    def _begin_to_lead(self) -> None:
        self._taking_over = self._tasks.create_task(self._take_over(), name="take over")

    async def _take_over(self) -> None:
        """Continue with the previous leader's memory, so that no window begins again."""
        memory = await self._keeper.take_over(lambda: self._memory)
        if not self._lead.is_elected():
            return
        if memory is None:
            self._memory = anew(self._memory, self._workloads(), self._clock.now())
        else:
            self._memory = self._doubted(memory)
        self._lead.has_memory = True
        self._snapshots.epoch = self._clock.now()
        self._decide_anew()
        await self._frames.recall()
        await self._release_workers()

    def _found(self, left: Memory) -> None:
        """What an earlier process has left could be read at last: go on from it."""
        if self._lead.has_memory:
            self._memory = self._doubted(joined(left, self._memory))
            self._decide_anew()

    def _decide_anew(self) -> None:
        """Decide all pools at once, also those for which nothing has changed."""
        self._kept = None
        for key in self._pools:
            self._early.soon(key, ask=True)

    async def _release_workers(self) -> None:
        """Remove what was told to the workers of pools that have left the fleet."""
        left = self._memory.pools.keys() - self._pools.keys()
        try:
            await self._sources.workers.release(left)
        except StoreError as error:
            log.warning("orders of pools that left the fleet stay: %s", error)

    def _written(self, write: Write) -> None:
        self._recorder.written(write)
        if (news := announcement(write)) is not None:
            self._writes.announcer.announce(self._pools[write.decision.pool], news)
        self._snapshots.written(write)
        self._health.ended(write.outcome, self._clock.monotonic())
        if write.outcome.kind is OutcomeKind.APPLIED:
            # an early tick of other pools must not write it again before this pool is decided anew
            self._to_write.pop(write.decision.pool, None)
        self._early.written(write)
        self._publish_soon()

    def _publish_soon(self) -> None:
        if self._publishing is None:
            loop = asyncio.get_running_loop()
            self._publishing = loop.call_later(COALESCE_S, self._publish)

    def _publish(self) -> None:
        """Publish what is known now."""
        if self._publishing is not None:
            self._publishing.cancel()
            self._publishing = None
        switches = self._writes.switches.freezes
        self._shows.hub.publish(
            self._snapshots.snapshot(
                links=[link() for link in self._shows.links],
                notices=tuple(self._findings()),
                failures=(
                    ("nats", self._observer.failed),
                    *self._shows.failures(),
                    *self._sources.metrics.failures(),
                ),
                now=self._clock.now(),
                role=self._lead.role,
                lease=self._lead.view(),
                frozen_by=tuple(f"{each.who}: {each.why}" for each in switches),
            )
        )

    def _findings(self) -> Iterator[Found]:
        """What is wrong beside the pools, tenants and models."""
        yield from self._keeper.notices()
        yield from self._sources.metrics.findings()
        yield from self._health.findings(self._clock.monotonic())
        if pools := self._dispatcher.backoff.outdated():
            yield found(OVERTAKEN, "kubernetes", pools=listed(pools))
        yield from self._lead.findings()
        yield from self._writes.switches.findings()
        yield from self._shows.findings()
        if refusal := self._writes.announcer.refusal():
            yield found("events", "kubernetes", why=refusal)
        yield from self._crews.findings()
        yield from self._allotment.findings()


class EarlyTicks:
    """Begins ticks in `tasks` until `stopping`; pools due together share one (`take`)."""

    def __init__(
        self,
        *,
        pools: Mapping[PoolKey, Pool],
        observer: Observer,
        workloads: Workloads,
        writes: WriteDispatcher,
        tasks: asyncio.TaskGroup,
        tick: Callable[[], Coroutine[None, None, None]],
        stopping: asyncio.Event,
    ) -> None:
        self._pools = pools
        self._pools_at: defaultdict[tuple[str, WorkloadName], list[PoolKey]] = defaultdict(list)
        for pool in pools.values():
            self._pools_at[pool.namespace, pool.workload].append(pool.key)
        self._observer = observer
        self._workloads = workloads
        self._writes = writes
        self._tasks = tasks
        self._tick = tick
        self._stopping = stopping
        self._due: dict[PoolKey, bool] = {}
        self._asked_meanwhile: set[PoolKey] = set()
        self._draining: set[PoolKey] = set()
        self._untold: set[PoolKey] = set()
        self._overtaken: set[PoolKey] = set()
        self._rereading: set[PoolKey] = set()
        self.asleep: dict[PoolKey, Pool] = {}
        """The pools at zero, or about to be, without known work: only a wake-up tells of some."""

    def take(self) -> dict[PoolKey, bool]:
        """The pools that are due, and whether the queue of each is to be read first."""
        due, self._due = self._due, {}
        return due

    def soon(self, key: PoolKey, *, ask: bool) -> None:
        """The pool is due. With `ask` its queue is read first."""
        if self._stopping.is_set():
            return
        if not self._due:
            self._tasks.create_task(self._tick(), name="early tick")
        self._due[key] = ask or self._due.get(key, False)

    def decided(self, changed: Mapping[PoolKey, Decision]) -> None:
        """Note which pools wait for workers, and which sleep without known work: these get an early
        tick, which subscribes to wake-ups, then reads their queues.
        """
        for key, decision in changed.items():
            self._draining.discard(key)
            self._untold.discard(key)
            if decision.drain is None:
                self._untold.add(key)
            elif decision.drain.orders.drain:
                self._draining.add(key)
            if decision.next != 0 or self._observer.knows_work(self._pools[key]):
                self.asleep.pop(key, None)
            elif key not in self.asleep:
                self.asleep[key] = self._pools[key]
                self.soon(key, ask=True)

    def again(self, key: PoolKey) -> None:
        """Decide the pool at once, or as soon as its write has ended. If its workers were not heard
        its queue is read first: what an interval ago said that none is busy may be wrong now.
        """
        if key in self._writes.under_way:
            self._asked_meanwhile.add(key)
        else:
            self.soon(key, ask=key in self._untold)

    def woken(self, key: PoolKey) -> None:
        """A first message came for a pool at zero: decide the pool at once."""
        pool = self._pools.get(key)
        if pool is not None:
            self._observer.woken(key)
            # with an activation threshold, one message is not enough: read how many there are
            self.soon(key, ask=pool.activation > 0)

    def asked(self, scopes: Collection[Scope]) -> None:
        """Decide the pools that these scopes concern, at once or when their write has ended."""
        under_way = self._writes.under_way
        for key, pool in self._pools.items():
            if any(concerns(scope, pool) for scope in scopes):
                self.soon(key, ask=key in self._untold)
                if key in under_way:
                    self._asked_meanwhile.add(key)

    def changed(self, namespace: str, workload: WorkloadName) -> None:
        """A workload changed: decide its pool after a conflict, or if it waits for marks."""
        for key in self._pools_at.get((namespace, workload), ()):
            if key not in self._rereading:
                self._writes.backoff.heard_of(key)
            if key in self._overtaken or key in self._draining:
                self._overtaken.discard(key)
                self.again(key)

    def heard(self, key: PoolKey) -> None:
        """A worker has finished or is the first: if its pool waits for that, decide it again."""
        if key in self._draining or key in self._untold:
            self.again(key)

    def written(self, write: Write) -> None:
        """A write of this pool has ended."""
        key = write.decision.pool
        if write.outcome.kind is OutcomeKind.CONFLICT:
            self._overtaken.add(key)
            if self._writes.backoff.is_outdated(key):
                self._tasks.create_task(self._reread(self._pools[key]), name=f"read {key}")
        if write.decision.wake:
            # the first replica is on its way; the queue's length decides about more
            self.soon(key, ask=True)
        elif self._observer.is_woken(key):
            self.soon(key, ask=False)
        self.ended(key)

    def forget_conflicts(self, to_write: Collection[PoolKey]) -> None:
        """Of pools that were read again and need no write, no watch will report our own one."""
        for key in self._writes.backoff.outdated():
            if key not in to_write and key not in self._rereading:
                self._writes.backoff.nothing_to_write(key)

    def ended(self, key: PoolKey) -> None:
        """Nothing of the pool is under way any more: what came meanwhile is decided now."""
        if key in self._asked_meanwhile:
            self._asked_meanwhile.discard(key)
            self.again(key)

    async def _reread(self, pool: Pool) -> None:
        """Read a workload by itself, because no watch reports what our writes lose against."""
        if pool.key in self._rereading:
            return
        self._rereading.add(pool.key)
        try:
            await self._workloads.reread(pool)
        finally:
            self._rereading.discard(pool.key)
