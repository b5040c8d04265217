"""Fleets of several tenants: strategies for what a fleet file, operators and sources can say, and a
cluster that obeys every decision in virtual time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache, reduce
from typing import NamedTuple

from hypothesis import Phase, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Plan
from controller.model.fleet import Behavior, Fleet, Pool, Rule, ScalingRules, Tenant, Tier
from controller.model.ids import PoolKey, pool_key
from controller.model.intents import Freeze, Intents, Pause, Pin, Scope
from controller.model.memory import Memory
from controller.model.metrics import (
    AverageValueTarget,
    ConditionStatus,
    ExternalMetric,
    Fallback,
    MeasuredPod,
    MetricValue,
    Modifiers,
    PodPhase,
    PodReadiness,
    Series,
    ValueTarget,
)
from controller.model.observation import (
    ClusterRoom,
    Observation,
    Pods,
    PoolObservation,
    QueueDepth,
    TenantObservation,
    TokenUsage,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.model.scarcity import (
    Budget,
    Capacity,
    LlmModel,
    Pacing,
    Price,
    RateLimits,
    Resources,
    TaskUsage,
    Warm,
)
from controller.model.schedule import Schedule, WeeklyWindow
from controller.planning.behavior import hpa_defaults
from controller.planning.planner import plan
from property.worlds import START, as_bytes, behaviors

HURRIED = settings(deadline=None, phases=[*set(Phase) - {Phase.explain}])
"""To explain a failure line by line takes longer than to make it small."""
STEADY = Behavior(
    scale_up=ScalingRules(stabilization_window_s=0),
    scale_down=ScalingRules(stabilization_window_s=10),
)

TIERS = (
    Tier(name="enterprise", priority=1000),
    Tier(name="growth", priority=500),
    Tier(name="starter", priority=100),
)
ALWAYS = WeeklyWindow(days=(0, 1, 2, 3, 4, 5, 6), from_minute=0, until_minute=0)
NEVER = WeeklyWindow(days=(), from_minute=0, until_minute=60)
CLASSES = ("spot", "on-demand")
MODEL = "gpt"
LAG = "lag"

weights = st.sampled_from([Decimal(1), Decimal(2), Decimal("0.5")])
untils = st.sampled_from([None, START + 10_000, START - 1])


def maybe(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.one_of(st.none(), values)


limits = st.builds(
    Resources,
    replicas=maybe(st.integers(0, 24)),
    cpu_milli=maybe(st.sampled_from([0, 1000, 5000, 12_000])),
    memory_bytes=maybe(st.sampled_from([2**30, 2**33])),
)
few_limits = st.one_of(st.just(Resources()), limits)
requests = st.sampled_from(
    [Resources(cpu_milli=500), Resources(cpu_milli=1500, memory_bytes=2**29)]
)
budgets = st.builds(
    Budget,
    tokens_per_day=st.sampled_from([None, 0, 50_000, 1_000_000, 10_000_000]),
    hard=st.booleans(),
    pacing=st.sampled_from(Pacing),
    usd_per_hour=st.sampled_from([None, Decimal(0), Decimal("1.25"), Decimal(10)]),
)
usages = st.builds(
    TokenUsage,
    used=st.sampled_from([Decimal(0), Decimal(45_000), Decimal(900_000), Decimal(20_000_000)]),
    reserved=st.sampled_from([Decimal(0), Decimal(3000)]),
    burn_per_minute=st.sampled_from([Decimal(0), Decimal(700)]),
)
task_usages = st.sampled_from(
    [
        TaskUsage(input_tokens=800, output_tokens=200, seconds=Decimal(60)),
        TaskUsage(input_tokens=50, output_tokens=10, calls=7, seconds=Decimal("2.5")),
    ]
)
models = st.builds(
    LlmModel,
    name=st.just(MODEL),
    shared=st.booleans(),
    limits=maybe(
        st.builds(
            RateLimits,
            requests_per_minute=maybe(st.sampled_from([3, 60, 600])),
            input_tokens_per_minute=maybe(st.sampled_from([2000, 20_000])),
            parallel=maybe(st.integers(1, 20)),
            headroom=st.sampled_from([Decimal(0), Decimal("0.1")]),
        )
    ),
    price=maybe(st.just(Price(input=Decimal("2.50"), output=Decimal("10.00")))),
)
lag_metrics = st.builds(
    ExternalMetric,
    name=st.just(LAG),
    target=st.sampled_from(
        [AverageValueTarget(milli=2000), AverageValueTarget(milli=500), ValueTarget(milli=4000)]
    ),
)
formulas = st.builds(
    Modifiers,
    formula=st.sampled_from(["queue + lag", "max(queue, lag)", "(lag ?? 3) * 2"]),
    target_milli=st.sampled_from([1000, 2500]),
)
fallbacks = st.builds(Fallback, failure_threshold=st.integers(0, 2), replicas=st.integers(0, 6))


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    low, more = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    window = draw(st.sampled_from([ALWAYS, NEVER]))
    which = draw(st.sampled_from(["both", "min", "max"]))
    return Schedule(
        window=window,
        min=None if which == "max" else low,
        max=None if which == "min" else low + more,
    )


def said(**fields: object) -> st.SearchStrategy[dict[str, object]]:
    """These fields of a value, each from its strategy or as it is."""
    return st.fixed_dictionaries(
        {
            name: field if isinstance(field, st.SearchStrategy) else st.just(field)
            for name, field in fields.items()
        }
    )


def among(low: int, more: int) -> dict[str, object]:
    return {"min": low, "max": max(low + more, 1)}


# a pool says little; what it says can be left out one by one when a failure is made smaller
of_each = (
    st.builds(among, st.sampled_from([0, 0, 1, 3]), st.integers(0, 12)),
    said(behavior=behaviors),
    said(rule=Rule.HPA),
    said(rule=Rule.HPA, without_behavior=True, behavior=hpa_defaults(10)),
    said(slots=3),
    said(target=4),
    said(activation=5),
    said(cooldown_s=0.5),
    said(min=3, idle=0),
    said(schedules=schedules().map(lambda one: (one,))),
    said(warm=Warm(replicas=2)),
)
of_scarce = (
    said(weight=weights),
    said(requests=requests),
    said(nodes=st.sampled_from([CLASSES[:1], CLASSES])),
    said(model=MODEL, usage=task_usages),
    said(usage=task_usages),
)
of_measured = (
    said(metrics=lag_metrics.map(lambda one: (one,))),
    said(metrics=lag_metrics.map(lambda one: (one,)), modifiers=formulas),
    said(metrics=lag_metrics.map(lambda one: (one,)), fallback=fallbacks),
)


def members(*, scarce: bool, measured: bool) -> st.SearchStrategy[list[dict[str, object]]]:
    """What one pool says beside its name."""
    kinds = of_each + (of_scarce if scarce else ()) + (of_measured if measured else ())
    return st.lists(st.one_of(*kinds), max_size=6)


def member(tenant: str, name: str, sayings: list[dict[str, object]]) -> Pool:
    pool = Pool(
        key=pool_key(tenant, name),
        name=name,
        tenant=tenant,
        namespace=tenant,
        deployment=name,
        stream="TASKS",
        consumer=f"{tenant}-{name}",
        behavior=STEADY,
        max=6,
        cooldown_s=4.5,
    )
    for fields in sayings:
        pool = replace(pool, **fields)
    return replace(pool, max=max(pool.min, pool.max))


of_tenants = (
    said(tier=st.sampled_from(TIERS)),
    said(timezone="Asia/Kathmandu"),
    said(weight=weights),
    said(quota=limits),
    said(budget=budgets),
)


@st.composite
def fleets(draw: st.DrawFn, *, scarce: bool = True, measured: bool = True, most: int = 6) -> Fleet:
    """2 to `most` pools of 1 to 3 tenants; scarce in any of the ways there are, or in none."""
    kinds = of_tenants if scarce else of_tenants[:1]
    tenants = tuple(
        reduce(
            lambda tenant, fields: replace(tenant, **fields),
            draw(st.lists(st.one_of(*kinds), max_size=4)),
            Tenant(name=name, tier=TIERS[0], namespace=name),
        )
        for name in ("acme", "globex", "initech")[: draw(st.integers(1, 3))]
    )
    sayings = st.lists(
        st.tuples(st.sampled_from(tenants), members(scarce=scarce, measured=measured)),
        min_size=2,
        max_size=most,
    )
    pools = tuple(
        member(tenant.name, f"p{number}", said_of_it)
        for number, (tenant, said_of_it) in enumerate(draw(sayings))
    )
    if not scarce:
        return Fleet(tenants=tenants, pools=pools)
    usd = draw(st.sampled_from([None, None, Decimal(2), Decimal(30)]))
    capacity = Capacity(resources=draw(few_limits), usd_per_hour=usd)
    return Fleet(tenants=tenants, pools=pools, models=(draw(models),), capacity=capacity)


@st.composite
def intents_for(draw: st.DrawFn, fleet: Fleet) -> Intents:
    """Up to two pins, a pause and a freeze, some of them over."""
    keys = [pool.key for pool in fleet.pools]
    scopes = st.one_of(
        st.builds(Scope, pool=st.sampled_from(keys)),
        st.builds(Scope, tenant=st.sampled_from([tenant.name for tenant in fleet.tenants])),
        st.just(Scope()),
    )
    pins = st.builds(Pin, pool=st.sampled_from(keys), replicas=st.integers(0, 4), until=untils)
    pauses = st.builds(Pause, scope=scopes, keep=maybe(st.integers(0, 3)), until=untils)
    freezes = st.builds(Freeze, scope=scopes, until=untils)
    return Intents(
        pins=tuple(draw(st.lists(pins, max_size=2, unique_by=lambda pin: pin.pool))),
        pauses=tuple(draw(st.lists(pauses, max_size=1))),
        freezes=tuple(draw(st.lists(freezes, max_size=1))),
    )


class Load(NamedTuple):
    """What waits and what is worked on in one pool, and what its other metric shows."""

    pending: int
    in_flight: int
    lag: int


loads = st.builds(
    Load,
    pending=st.one_of(st.integers(0, 3), st.integers(0, 8), st.integers(0, 30)),
    in_flight=st.sampled_from([0, 0, 1, 4]),
    lag=st.integers(0, 12),
)
moments = st.tuples(st.sampled_from([1.0, 4.0, 31.0]), st.lists(loads, min_size=1, max_size=3))
"""Seconds to the next tick, and the loads now: pools take them in turn."""
Past = list[tuple[float, list[Load]]]
pasts = st.lists(moments, max_size=5)
some_sizes = st.lists(st.integers(0, 14), min_size=1, max_size=4)
rooms = st.builds(
    ClusterRoom,
    resources=few_limits,
    classes=st.dictionaries(
        st.sampled_from(CLASSES), st.builds(Resources, replicas=st.integers(0, 12)), max_size=2
    ),
)
UNREAD = Absent(why=Why.NEVER_READ)
Surroundings = tuple[dict[str, TenantObservation], Reading[ClusterRoom]]


@st.composite
def surroundings_of(draw: st.DrawFn, fleet: Fleet) -> Surroundings:
    """What is known of tenants and of the cluster: fresh, or never read."""
    tenants = {
        tenant.name: TenantObservation(
            usage=Fresh(value=draw(usages), at=START) if draw(st.booleans()) else UNREAD,
            quota=Fresh(value=draw(limits), at=START) if draw(st.booleans()) else UNREAD,
        )
        for tenant in fleet.tenants
    }
    room = Fresh(value=draw(rooms), at=START) if draw(st.booleans()) else UNREAD
    return tenants, room


class Cluster:
    """A fleet whose Deployments obey every decision at once, in virtual time."""

    def __init__(
        self,
        fleet: Fleet,
        sizes: Sequence[int],
        intents: Intents | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        self.fleet = fleet
        self.intents = intents or Intents()
        self.tenants, self.room = surroundings or ({}, UNREAD)
        self.memory = Memory()
        self.now = START
        self.replicas: dict[PoolKey, int] = {}
        self.resize(sizes)

    def __repr__(self) -> str:
        said = (self.fleet, self.intents, self.replicas, self.tenants, self.room, self.memory)
        return "\n".join(as_bytes(one).decode() for one in said)

    def resize(self, sizes: Sequence[int]) -> None:
        """Somebody else sets every pool's size."""
        for number, pool in enumerate(self.fleet.pools):
            self.replicas[pool.key] = sizes[number % len(sizes)]

    def seen(self, work: Sequence[Load]) -> Observation:
        """Everything, as it is now; each pool has its turn of the loads."""
        return Observation(
            pools={
                pool.key: self._pool(pool, work[number % len(work)])
                for number, pool in enumerate(self.fleet.pools)
            },
            tenants=self.tenants,
            capacity=self.room,
        )

    def ask(self, seen: Observation) -> tuple[Plan, Memory]:
        """What would be decided and remembered; nothing moves."""
        return plan(seen, self.fleet, self.intents, self.memory, self.now)

    def tick(self, work: Sequence[Load]) -> Plan:
        """Decide, remember and obey."""
        decided, self.memory = self.ask(self.seen(work))
        self.obey(decided)
        return decided

    def obey(self, decided: Plan) -> None:
        for key, decision in decided.decisions.items():
            if decision.next is not None:
                self.replicas[key] = decision.next

    def live(self, past: Sequence[tuple[float, Sequence[Load]]]) -> Cluster:
        for wait_s, work in past:
            self.tick(work)
            self.now += wait_s
        return self

    def is_warming_up(self, pool: Pool, memory: Memory) -> bool:
        """Whether what is remembered of it does not reach back one window yet."""
        window_s = pool.behavior.scale_down.stabilization_window_s
        return pool.key not in memory.pools or memory.pools[pool.key].since + window_s > self.now

    def _pool(self, pool: Pool, load: Load) -> PoolObservation:
        size = self.replicas[pool.key]
        depth = QueueDepth(pending=load.pending, in_flight=load.in_flight)
        lag: Fresh[MetricValue] = Fresh(value=Series(values_milli=(1000 * load.lag,)), at=self.now)
        return PoolObservation(
            queue=Fresh(value=depth, at=self.now),
            workload=Fresh(value=Workload(replicas=size, current=size), at=self.now),
            pods=Fresh(value=Pods(ready=size), at=self.now),
            metrics={LAG: lag},
            measured_pods=tuple(_serving(number) for number in range(size)),
        )


@lru_cache
def _serving(number: int) -> MeasuredPod:
    readiness = PodReadiness(status=ConditionStatus.TRUE, since=START - 900)
    return MeasuredPod(name=str(number), phase=PodPhase.RUNNING, readiness=readiness)


@st.composite
def clusters(
    draw: st.DrawFn,
    *,
    scarce: bool = True,
    measured: bool = True,
    overridden: bool = True,
    most: int = 6,
) -> Cluster:
    """A fleet after a past of its own, and after somebody set sizes by hand."""
    fleet = draw(fleets(scarce=scarce, measured=measured, most=most))
    intents = draw(intents_for(fleet)) if overridden else Intents()
    around = draw(surroundings_of(fleet)) if scarce else None
    cluster = Cluster(fleet, draw(some_sizes), intents, around).live(draw(pasts))
    by_hand = draw(st.one_of(st.none(), some_sizes))
    if by_hand is not None:
        cluster.resize(by_hand)
    return cluster


def of_pools(seen: Observation, changes: Mapping[PoolKey, Mapping[str, object]]) -> Observation:
    """The same view, these fields of these pools seen otherwise."""
    pools = {
        key: replace(pool, **changes[key]) if key in changes else pool
        for key, pool in seen.pools.items()
    }
    return replace(seen, pools=pools)
