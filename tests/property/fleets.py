"""Fleets of several tenants: strategies for what a fleet file, operators and clusters can say."""

from __future__ import annotations

from decimal import Decimal
from functools import reduce

from hypothesis import Phase, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.fleet import (
    AverageValueTarget,
    Behavior,
    ExternalMetric,
    Fallback,
    Fleet,
    Modifiers,
    NativeCosts,
    NativePreset,
    PolicyType,
    Pool,
    ResourceMetric,
    Rule,
    ScalingPolicy,
    ScalingRules,
    Schedule,
    Tenant,
    Tier,
    UtilizationTarget,
    ValueTarget,
    WeeklyWindow,
)
from controller.model.ids import pool_key
from controller.model.intents import Intents, Scope
from controller.model.observation import (
    ClusterRoom,
    TenantObservation,
    TokenUsage,
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
from property.worlds import START, behaviors
from support.asked import a_cap, a_freeze, a_pause, a_pin, intents_of, no_growth_of
from support.examples import scaled

HURRIED = settings(max_examples=scaled(40), phases=[*set(Phase) - {Phase.explain}])
"""To explain a failure line by line takes longer than to make it small, and each example is a whole
fleet with its past.
"""
STEADY = Behavior(
    scale_up=ScalingRules(stabilization_window_s=0),
    scale_down=ScalingRules(stabilization_window_s=10),
)
_DOUBLE = ScalingPolicy(type=PolicyType.PERCENT, value=100, period_s=15)
_FOUR = ScalingPolicy(type=PolicyType.PODS, value=4, period_s=15)
BY_DEFAULT = Behavior(
    scale_up=ScalingRules(stabilization_window_s=0, policies=(_FOUR, _DOUBLE)),
    scale_down=ScalingRules(stabilization_window_s=10, policies=(_DOUBLE,)),
)
"""What the HPA's API fills in, with a short window."""

TIERS = (
    Tier(name="enterprise", priority=1000),
    Tier(name="growth", priority=500),
    Tier(name="starter", priority=100),
)
ALWAYS = WeeklyWindow(days=(0, 1, 2, 3, 4, 5, 6), from_minute=0, until_minute=0)
NEVER = WeeklyWindow(days=(), from_minute=0, until_minute=60)
CLASSES = ("spot", "on-demand")
MODEL = "gpt"
LAG, CPU = "lag", "cpu"

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
of_cpu = ResourceMetric(resource=CPU, target=UtilizationTarget(percent=60))
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


natives = st.one_of(
    st.sampled_from(NativePreset),
    st.builds(
        NativeCosts,
        start_wait_cost=st.sampled_from([0.5, 6.0, 40.0]),
        keep_wait_cost=st.sampled_from([2.0, 80.0]),
        hold_s=st.sampled_from([0.0, 20.0]),
        late_share=st.sampled_from([None, 0.02, 0.5]),
    ),
)
# a pool says little; what it says can be left out one by one when a failure is made smaller
of_each = (
    st.builds(among, st.sampled_from([0, 0, 1, 3]), st.integers(0, 12)),
    said(behavior=behaviors),
    said(rule=Rule.HPA),
    said(rule=Rule.HPA, without_behavior=True, behavior=BY_DEFAULT),
    said(slots=3),
    said(target=4),
    said(activation=5),
    said(cooldown_s=0.5),
    said(min=3, idle=0),
    said(schedules=schedules().map(lambda one: (one,))),
    said(warm=Warm(replicas=2)),
    said(warm=Warm(slo=Decimal("0.9"))),
    said(native=natives),
    said(native=natives, window_given=False),
)
of_scarce = (
    said(weight=weights),
    said(requests=requests),
    said(nodes=st.sampled_from([CLASSES[:1], CLASSES])),
    said(model=MODEL, usage=task_usages),
    said(usage=task_usages),
    said(minimum_runtime_s=60.0),
)
of_measured = (
    said(metrics=lag_metrics.map(lambda one: (one,))),
    said(metrics=lag_metrics.map(lambda one: (one,)), modifiers=formulas),
    said(metrics=lag_metrics.map(lambda one: (one,)), fallback=fallbacks),
    said(metrics=st.just((of_cpu,))),
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
    """Up to two pins and caps, a pause, a freeze and a ban on growth, some of them over."""
    keys = [pool.key for pool in fleet.pools]
    scopes = st.one_of(
        st.builds(Scope, pool=st.sampled_from(keys)),
        st.builds(Scope, tenant=st.sampled_from([tenant.name for tenant in fleet.tenants])),
        st.just(Scope()),
    )
    pins = st.builds(a_pin, pool=st.sampled_from(keys), replicas=st.integers(0, 4), until=untils)
    pauses = st.builds(a_pause, scope=scopes, keep=maybe(st.integers(-1, 8)), until=untils)
    freezes = st.builds(a_freeze, scope=scopes, until=untils)
    caps = st.builds(a_cap, pool=st.sampled_from(keys), replicas=st.integers(-1, 8), until=untils)
    no_growths = st.builds(no_growth_of, scope=scopes, until=untils)
    return intents_of(
        pins=tuple(draw(st.lists(pins, max_size=2, unique_by=lambda pin: pin.scope))),
        pauses=tuple(draw(st.lists(pauses, max_size=1))),
        freezes=tuple(draw(st.lists(freezes, max_size=1))),
        caps=tuple(draw(st.lists(caps, max_size=2, unique_by=lambda cap: cap.scope))),
        no_growths=tuple(draw(st.lists(no_growths, max_size=1))),
    )


some_sizes = st.lists(st.integers(0, 14), min_size=1, max_size=4)
rooms = st.builds(
    ClusterRoom,
    resources=few_limits,
    classes=st.dictionaries(
        st.sampled_from(CLASSES),
        st.one_of(
            st.builds(Resources, replicas=st.integers(0, 12)),
            st.builds(Resources, cpu_milli=st.sampled_from([0, 2000, 9000])),
        ),
        max_size=2,
    ),
)
UNREAD = Absent(why=Why.NEVER_READ)
MetricContext = tuple[dict[str, TenantObservation], Reading[ClusterRoom]]


@st.composite
def surroundings_of(draw: st.DrawFn, fleet: Fleet) -> MetricContext:
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
