"""Histories of a whole fleet for a planner that keeps results: what changes from tick to tick, and
what stays the same object, as an engine hands it over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from decimal import Decimal
from math import inf, nextafter
from random import Random
from typing import NamedTuple, TypeAlias

import msgspec
from msgspec.structs import replace

from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey, pool_key
from controller.model.intents import Intent, IntentKind, Intents, Scope
from controller.model.memory import Memory
from controller.model.observation import (
    ClusterRoom,
    ConditionStatus,
    ContainerRequest,
    MeasuredPod,
    Observation,
    Pod,
    PodPhase,
    PodReadiness,
    Pods,
    PodUsage,
    PodUsages,
    PoolObservation,
    Series,
    StatusPhase,
    TenantObservation,
    TokenUsage,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import Resources
from controller.planning.compile import compile_fleet
from controller.planning.memo import Kept, Planned
from controller.planning.memory import without_writes
from controller.planning.planner import plan as plan_terms
from property.clusters import HALTED_SIGHTS, PLAIN, SIGHTS, Sight
from property.fleets import CLASSES, CPU, LAG, UNREAD
from property.queues import Counted, Load
from property.worlds import START

SOURCES = ("queue", "workload", "pods", "metrics")
KINDS = ("pin", "pause", "freeze", "cap", "no-growth", "budget")
REQUESTS = (
    Resources(),
    Resources(cpu_milli=700),
    Resources(cpu_milli=1500, memory_bytes=2**29),
    Resources(cpu_milli=2**63),
)
DAY_BUDGET_UNIT = 400_000
"""Below, around and above what tenants have used."""


class Work(NamedTuple):
    """Another load in this pool's queue; `woken`: a message was published since."""

    pool: int
    load: Load
    woken: bool = False


class Again(NamedTuple):
    """This pool is seen as before, in another object; where `later`, the readings are new ones."""

    pool: int
    later: bool


class Blind(NamedTuple):
    """These sources of a pool fall silent, or all are heard again where there are none."""

    pool: int
    sources: frozenset[str]
    stale: bool


class Looks(NamedTuple):
    """What else is seen of a pool: annotations, pods that leave, how old its pods are, how many of
    them are stuck, what its tasks take and what its pods request.
    """

    pool: int
    sight: Sight
    stuck: int
    pod_age_s: float
    requests: Resources


class ByHand(NamedTuple):
    """Another writer sets a pool's size, with so many writes."""

    pool: int
    size: int
    writes: int


class Writing(NamedTuple):
    """A pool is being written until the write is said to have ended (`most` is None)."""

    pool: int
    most: int | None


class Asked(NamedTuple):
    """An operator's intent, which ends after so many seconds; `place` is a pool, the tenant of a
    pool, or the fleet. The one of the same kind and number is replaced, and removed
    where there is nothing to put in its place.
    """

    kind: str
    number: int
    pool: int
    place: str
    replicas: int | None
    for_s: float | None
    gone: bool


class Spent(NamedTuple):
    """A tenant's use of tokens, as known so many seconds ago; None where nothing is known."""

    tenant: int
    usage: TokenUsage | None
    ago_s: float
    stale: bool


class Quota(NamedTuple):
    """What a tenant's namespace leaves it; None where nothing is known."""

    tenant: int
    quota: Resources | None
    stale: bool


class Nodes(NamedTuple):
    """What the nodes can hold; None where nothing is known."""

    room: ClusterRoom | None
    stale: bool


class Recall(NamedTuple):
    """The memory is decoded anew, is lost, or comes from a process that writes nothing."""

    how: str


Change: TypeAlias = (
    Work | Again | Blind | Looks | ByHand | Writing | Asked | Spent | Quota | Nodes | Recall
)


class Tick(NamedTuple):
    """What happens before a plan, and how it is made.

    `wait`: seconds that pass first; or "before", "at" or "after" the next time at which something
    kept may no longer hold. `times`: so many plans in a row, with the same wait between them.
    `only`: the pools that are observed, None for all. `unseen`: a pool that is in no observation.
    `stranger`: a pool is observed that the fleet does not have. `obeyed`: the decisions are
    written. `drops`: nothing is kept from the plan before.
    """

    wait: float | str
    changes: tuple[Change, ...] = ()
    times: int = 1
    only: frozenset[int] | None = None
    unseen: int | None = None
    stranger: bool = False
    step_s: float = 0.0
    obeyed: bool = True
    drops: bool = False


class _Face:
    """What is seen of one pool, apart from the time at which it is read."""

    def __init__(self, size: int) -> None:
        self.size, self.generation = size, 1
        self.load, self.counted = Load(0, 0, 0), Counted()
        self.sight, self.stuck, self.pod_age_s = PLAIN, 0, 900.0
        self.requests = Resources()
        self.blind: dict[str, tuple[bool, float]] = {}
        self.woken_at: float | None = None


class Fleeting:
    """A fleet in virtual time. Each pool's observation stays the same object until something
    changes for it, as in an engine. `memory` and `kept` are those of the plan before.
    """

    def __init__(self, fleet: Fleet, sizes: Sequence[int] = (0,), *, counts: bool = True) -> None:
        self.fleet, self.terms, self.counts = fleet, compile_fleet(fleet), counts
        self.now = START
        self.memory = Memory()
        self.kept: Kept | None = None
        self.intents = Intents()
        self.tenants: dict[str, TenantObservation] = {}
        self.room: Reading[ClusterRoom] = UNREAD
        self.under_way: dict[PoolKey, int] = {}
        self._asked: dict[tuple[str, int], Intent] = {}
        self._faces = {
            pool.key: _Face(sizes[number % len(sizes)]) for number, pool in enumerate(fleet.pools)
        }
        self._seen: dict[PoolKey, PoolObservation] = {}
        for pool in fleet.pools:
            self._look(pool)

    def pass_time(self, wait: float | str) -> None:
        self.now += wait if isinstance(wait, float) else self._until_next(wait)

    def apply(self, change: Change) -> None:
        match change:
            case Work() | Again() | Blind() | Looks() | ByHand() | Writing():
                self._at_pool(self.fleet.pools[change.pool % len(self.fleet.pools)], change)
            case Asked():
                self._ask(change)
            case Spent():
                usage = self._read(change.usage, self.now - change.ago_s, stale=change.stale)
                self._of_tenant(change.tenant, usage=usage)
            case Quota():
                quota = self._read(change.quota, self.now, stale=change.stale)
                self._of_tenant(change.tenant, quota=quota)
            case Nodes():
                self.room = self._read(change.room, self.now, stale=change.stale)
            case Recall(how="decoded"):
                self.memory = msgspec.json.decode(msgspec.json.encode(self.memory), type=Memory)
            case Recall(how="lost"):
                self.memory = Memory()
            case Recall():
                self.memory = without_writes(self.memory)

    def observation(self, tick: Tick = Tick(1.0), step_s: float = 0.0) -> Observation:  # noqa: B008
        keys = [pool.key for pool in self.fleet.pools]
        if tick.only is not None:
            keys = [key for number, key in enumerate(keys) if number in tick.only]
        if tick.unseen is not None and len(keys) > 1:
            del keys[tick.unseen % len(keys)]
        pools = {key: self._seen[key] for key in keys}
        if tick.stranger:
            pools[pool_key("nobody", "unknown")] = PoolObservation()
        return Observation(
            pools=pools,
            tenants=self.tenants,
            capacity=self.room,
            clock_step_s=step_s,
            under_way=dict(self.under_way),
        )

    def plan(self, seen: Observation, *, keeps: bool) -> Planned:
        kept = self.kept if keeps else None
        return plan_terms(seen, self.terms, self.intents, self.memory, self.now, kept)

    def go_on(self, planned: Planned, *, obeyed: bool) -> None:
        """Remember and keep; write what was decided. What is written is seen at the next tick."""
        self.memory, self.kept = planned.memory, planned.kept
        if not obeyed:
            return
        for pool in self.fleet.pools:
            decision = planned.plan.decisions.get(pool.key)
            if decision is not None and decision.next is not None and decision.changes:
                self._set(pool, decision.next, 1)

    def _until_next(self, when: str) -> float:
        """Seconds until the next time at which something that is kept may no longer hold."""
        kept = self.kept
        if kept is None:
            return 1.0
        noted = [*kept.times, *(each.changes_at for each in kept.scarcity.tenants.values())]
        at = min((each for each in noted if self.now < each < inf), default=self.now + 1.0)
        if when == "before":
            at = max(nextafter(at, 0.0), self.now)
        elif when == "after":
            at = nextafter(at, inf)
        return at - self.now

    def _at_pool(self, pool: Pool, change: Work | Again | Blind | Looks | ByHand | Writing) -> None:
        face = self._faces[pool.key]
        match change:
            case Work():
                face.load, face.counted = change.load, face.counted.after(change.load)
                face.woken_at = self.now if change.woken else None
            case Again(later=False):
                seen = self._seen[pool.key]
                copied = deepcopy(seen)
                self._seen[pool.key] = copied
                return
            case Blind():
                face.blind = dict.fromkeys(change.sources, (change.stale, self.now))
            case Looks():
                face.sight, face.stuck = change.sight, change.stuck
                face.pod_age_s, face.requests = change.pod_age_s, change.requests
            case ByHand():
                self._set(pool, change.size, change.writes)
            case Writing(most=None):
                self.under_way.pop(pool.key, None)
                return
            case Writing():
                self.under_way[pool.key] = change.most or 0
                return
        self._look(pool)

    def _set(self, pool: Pool, size: int, writes: int) -> None:
        face = self._faces[pool.key]
        face.size, face.generation = size, face.generation + writes
        self._look(pool)

    def _ask(self, change: Asked) -> None:
        pool = self.fleet.pools[change.pool % len(self.fleet.pools)]
        until = None if change.for_s is None else self.now + change.for_s
        scope = {"pool": Scope(pool=pool.key), "tenant": Scope(tenant=pool.tenant)}.get(
            change.place, Scope()
        )
        name, kind, amount = (change.kind, change.number), IntentKind(change.kind), change.replicas
        if kind in {IntentKind.PIN, IntentKind.CAP}:
            scope, amount = Scope(pool=pool.key), amount or 0
        elif kind is IntentKind.BUDGET:
            scope, amount = Scope(tenant=pool.tenant), (amount or 0) * DAY_BUDGET_UNIT
        elif kind is not IntentKind.PAUSE:
            amount = None
        asked = Intent(
            kind=kind, scope=scope, amount=amount, until=until, who=f"operator {change.number}"
        )
        if change.gone:
            self._asked.pop(name, None)
        else:
            self._asked[name] = asked
        self.intents = Intents(asked=tuple(self._asked.values()))

    def _of_tenant(self, number: int, **fields: object) -> None:
        name = self.fleet.tenants[number % len(self.fleet.tenants)].name
        known = self.tenants.get(name, TenantObservation())
        self.tenants = {**self.tenants, name: replace(known, **fields)}

    def _read(self, value: object, at: float, *, stale: bool) -> Reading[object]:
        if value is None:
            return Absent(why=Why.TIMED_OUT, at=at)
        return Stale(value=value, at=at) if stale else Fresh(value=value, at=at)

    def _look(self, pool: Pool) -> None:
        """Read everything of the pool anew."""
        face, now = self._faces[pool.key], self.now
        depth = face.counted.depth(face.load)
        if not self.counts:
            depth = replace(depth, delivered=None, sequence=None)
        ready = max(face.size - face.stuck, 0)
        created_at = now - face.pod_age_s
        after_s = min(face.sight.ready_after_s, face.pod_age_s)
        items = tuple(
            Pod(
                name=str(number),
                phase=PodPhase.READY if number < ready else PodPhase.CRASHING,
                created_at=created_at,
                ready_at=created_at + after_s if number < ready else None,
            )
            for number in range(face.size)
        )
        workload = Workload(
            replicas=face.size,
            current=face.size,
            generation=face.generation,
            resource_version=str(face.generation),
            annotations=dict(face.sight.annotations),
            requests=face.requests,
        )
        share: dict[str, int | None] = {"agent": 1000 * face.load.lag // max(face.size, 1)}
        uses = PodUsages(
            items=tuple(
                PodUsage(pod=str(number), containers=share, at=now, window_s=30.0)
                for number in range(face.size)
            )
        )
        seen = PoolObservation(
            queue=Fresh(value=depth, at=now),
            workload=Fresh(value=workload, at=now),
            pods=Fresh(
                value=Pods(ready=ready, terminating=face.sight.terminating, items=items), at=now
            ),
            metrics={
                LAG: Fresh(value=Series(values_milli=(1000 * face.load.lag,)), at=now),
                CPU: Fresh(value=uses, at=now),
            },
            measured_pods=tuple(_measured(each) for each in items),
            task_usage=face.sight.usage,
            woken_at=face.woken_at,
        )
        for source, (stale, at) in face.blind.items():
            seen = replace(seen, **{source: _silent(getattr(seen, source), at, stale=stale)})
        self._seen[pool.key] = seen


def _silent(found: object, at: float, *, stale: bool) -> object:
    if isinstance(found, dict):
        return {name: _silent(each, at, stale=stale) for name, each in found.items()}
    if stale and isinstance(found, Fresh):
        return Stale(value=found.value, at=at)
    return Absent(why=Why.TIMED_OUT, at=at)


def _measured(pod: Pod) -> MeasuredPod:
    is_ready = pod.ready_at is not None
    since = pod.created_at if pod.ready_at is None else pod.ready_at
    status = ConditionStatus.TRUE if is_ready else ConditionStatus.FALSE
    return MeasuredPod(
        name=pod.name,
        phase=StatusPhase.RUNNING,
        started_at=pod.created_at,
        readiness=PodReadiness(status=status, since=since),
        containers=(ContainerRequest(name="agent", requests_milli={CPU: 1000}),),
    )


def _half(choose: Random) -> bool:
    return choose.random() < 0.5


def _work(choose: Random) -> Change:
    load = Load(
        pending=choose.randrange(9),
        in_flight=choose.choice([0, 1, 4]),
        lag=choose.randrange(12),
        through=choose.choice([0, 3, 12]),
        anew=choose.random() < 0.05,
        again=choose.choice([0, 0, 2]),
    )
    return Work(choose.randrange(99), load, woken=choose.random() < 0.1)


def _blind(choose: Random) -> Change:
    sources = choose.sample(SOURCES, choose.choice([0, 0, 1, 2]))
    return Blind(choose.randrange(99), frozenset(sources), stale=_half(choose))


def _looks(choose: Random) -> Change:
    return Looks(
        choose.randrange(99),
        choose.choice([*SIGHTS, *HALTED_SIGHTS]),
        stuck=choose.choice([0, 0, 1]),
        pod_age_s=choose.choice([0.0, 3.0, 50.0, 280.0, 900.0]),
        requests=choose.choice(REQUESTS),
    )


def _asked(choose: Random) -> Change:
    return Asked(
        kind=choose.choice(KINDS),
        number=choose.randrange(4),
        pool=choose.randrange(99),
        place=choose.choice(["pool"] * 6 + ["tenant", "fleet"]),
        replicas=choose.choice([None, 0, 1, 4]),
        for_s=choose.choice([None, 0.0, 1.0, 1.5, 6.0, 45.0, -1.0]),
        gone=choose.random() < 0.4,
    )


def _spent(choose: Random) -> Change:
    used = choose.choice([choose.randrange(1_200_000), 45_000, 20_000_000])
    usage = TokenUsage(used=Decimal(used), burn_per_minute=Decimal(700))
    ago_s = choose.choice([0.0, 0.0, 30.0, 590.0, 700.0])
    return Spent(choose.randrange(99), choose.choice([usage, usage, None]), ago_s, _half(choose))


def _quota(choose: Random) -> Change:
    quota = Resources(replicas=choose.randrange(24), cpu_milli=choose.choice([None, 5000]))
    return Quota(choose.randrange(99), choose.choice([quota, quota, None]), stale=_half(choose))


def _nodes(choose: Random) -> Change:
    cpu = Resources(cpu_milli=choose.choice([0, 2000, 9000]))
    places = Resources(replicas=choose.choice([None, choose.randrange(40)]))
    room = ClusterRoom(resources=places, classes={CLASSES[0]: cpu} if _half(choose) else {})
    return Nodes(choose.choice([room, room, None]), stale=_half(choose))


_CHANGES: list[Callable[[Random], Change]] = [
    *[_work] * 8,
    *[_blind, _looks, _asked, _spent, _quota] * 2,
    *[lambda choose: Again(choose.randrange(99), later=_half(choose))] * 2,
    *[lambda choose: ByHand(choose.randrange(99), choose.randrange(10), choose.choice([1, 2]))] * 2,
    *[
        lambda choose: Writing(
            choose.randrange(99), choose.choice([None, None, choose.randrange(9)])
        )
    ]
    * 2,
    _nodes,
    lambda choose: Recall(how=choose.choice(["decoded", "decoded", "lost", "follower"])),
]
WAITS: tuple[float | str, ...] = (
    *[1.0] * 20,
    *["before", "at", "after"] * 3,
    *(0.0, 0.001, 2.5, 7.5, 31.0, 61.0, 700.0, 3600.0, 30_000.0),
)


def any_tick(choose: Random, fleet: Fleet, *, scoped: bool = True) -> Tick:
    """One tick: most are a second after the last and see few changes; with `scoped` some see only a
    part of the fleet.
    """
    count, is_part = len(fleet.pools), scoped and choose.random() < 0.2
    return Tick(
        wait=choose.choice(WAITS),
        changes=tuple(
            choose.choice(_CHANGES)(choose) for _ in range(choose.choice([0, 0, 1, 2, 3, 12]))
        ),
        times=choose.choice([1, 1, 1, 1, 2, 4]),
        only=frozenset(choose.sample(range(count), min(3, count))) if is_part else None,
        unseen=choose.randrange(count) if scoped and choose.random() < 0.05 else None,
        stranger=choose.random() < 0.05,
        step_s=choose.choice([0.0] * 40 + [-90.0, 45.5]),
        obeyed=choose.random() < 0.9,
        drops=choose.random() < 0.05,
    )
