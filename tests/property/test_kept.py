"""A planner that keeps results from plan to plan decides as one that keeps nothing, over any
history.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from functools import reduce
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Decision
from controller.model.fleet import (
    AverageValueTarget,
    Behavior,
    BlindPolicy,
    CronWindow,
    ExternalMetric,
    Fleet,
    PolicyType,
    Pool,
    Rule,
    ScalingPolicy,
    ScalingRules,
    Schedule,
    Tenant,
    Tier,
    WeeklyWindow,
)
from controller.model.ids import PoolKey
from controller.model.observation import ClusterRoom
from controller.model.scarcity import (
    Budget,
    Capacity,
    LlmModel,
    Price,
    RateLimits,
    Resources,
    TaskUsage,
    Warm,
)
from controller.planning.memo import Planned
from property.fleets import (
    CLASSES,
    HURRIED,
    LAG,
    MODEL,
    TIERS,
    fleets,
    maybe,
    member,
    said,
    some_sizes,
)
from property.histories import Fleeting, Nodes, Tick, any_tick
from support.examples import scaled

LAGGING = ExternalMetric(name=LAG, target=AverageValueTarget(milli=2000))
SLOW = Behavior(
    scale_up=ScalingRules(
        stabilization_window_s=3,
        policies=(ScalingPolicy(type=PolicyType.PODS, value=2, period_s=5),),
    ),
    scale_down=ScalingRules(
        stabilization_window_s=30,
        policies=(ScalingPolicy(type=PolicyType.PERCENT, value=50, period_s=15),),
    ),
)
MANY = settings(HURRIED, max_examples=scaled(80))
BLIND_TIER = Tier(name="growth", priority=500, blind=BlindPolicy(after_s=20.0, replicas=3))
windows = st.sampled_from(
    [
        # 22:14 to 22:16, two minutes after every third, and until midnight, where START is 22:13:20
        WeeklyWindow(days=(1,), from_minute=22 * 60 + 14, until_minute=22 * 60 + 16),
        CronWindow(cron="*/3 * * * *", for_s=90.5),
        WeeklyWindow(days=(0, 1, 2), from_minute=18 * 60, until_minute=0),
    ]
)
of_time = st.one_of(
    said(schedules=windows.map(lambda one: (Schedule(window=one, min=2, max=5),))),
    said(initial_cooldown_s=7.0),
    said(minimum_runtime_s=12.0),
    said(cooldown_s=40.0),
)
of_tenant = st.one_of(
    said(tier=st.just(BLIND_TIER)),
    said(timezone=st.sampled_from(["Asia/Kathmandu", "America/New_York"])),
)


@st.composite
def timely_fleets(draw: st.DrawFn, *, scarce: bool = True) -> Fleet:
    """A fleet of 1 to 6 pools that also has rules which depend on the time."""
    fleet = draw(fleets(scarce=scarce))
    first = draw(st.integers(0, len(fleet.pools) - 1))
    pools = tuple(
        reduce(_with, draw(st.lists(of_time, max_size=2)), pool) for pool in fleet.pools[first:]
    )
    tenants = tuple(
        reduce(_with, draw(st.lists(of_tenant, max_size=2)), one) for one in fleet.tenants
    )
    if scarce and (places := draw(maybe(st.integers(0, 14)))) is not None:
        resources = replace(fleet.capacity.resources, replicas=places)
        fleet = replace(fleet, capacity=replace(fleet.capacity, resources=resources))
    if scarce and (alert := draw(maybe(st.just(Decimal(1))))) is not None:
        tenants = tuple(
            replace(one, budget=replace(one.budget, usd_alert=alert)) for one in tenants
        )
    return replace(fleet, pools=pools, tenants=tenants)


def _with(value: Pool | Tenant, fields: dict[str, object]) -> Pool | Tenant:
    return replace(value, **fields)


def differing(one: Planned, other: Planned) -> dict[PoolKey, tuple[Decision | None, ...]]:
    """The decisions that are not the same."""
    ours, theirs = one.plan.decisions, other.plan.decisions
    return {
        key: (ours.get(key), theirs.get(key))
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    }


def assert_same(keeping: Planned, anew: Planned) -> None:
    assert not (found := differing(keeping, anew)), found
    remembered, expected = keeping.memory.pools, anew.memory.pools
    assert remembered.keys() == expected.keys()
    for key, memory in remembered.items():
        assert memory == expected[key], key
    assert keeping.memory == anew.memory
    assert keeping.plan.at == anew.plan.at


def live(history: Fleeting, ticks: Iterable[Tick]) -> None:
    """Plan every tick twice, with what was kept and without, and go on with the first. A reader of
    `changed` alone knows every decision.
    """
    known: dict[PoolKey, Decision] = {}
    for tick in ticks:
        step_s = tick.step_s
        for change in tick.changes:
            history.apply(change)
        if tick.drops:
            history.kept = None
        for _ in range(tick.times):
            history.pass_time(tick.wait)
            history.now, seen = history.now + step_s, history.observation(tick, step_s)
            step_s = 0.0
            keeping, anew = history.plan(seen, keeps=True), history.plan(seen, keeps=False)
            is_whole = len(seen.pools) >= len(history.fleet.pools)
            kept = history.kept
            if is_whole or kept is None or is_plenty(history, keeping):
                assert_same(keeping, anew)
            if not has_alerts(history):
                assert keeping.plan.decisions.keys() == anew.plan.decisions.keys()
            known.update(keeping.changed)
            told = {key: known.get(key) for key in keeping.plan.decisions}
            assert told == keeping.plan.decisions
            history.go_on(keeping, obeyed=tick.obeyed)


def is_plenty(history: Fleeting, planned: Planned) -> bool:
    """Whether nothing is shared: then a part of the fleet is planned as in the whole."""
    kept = planned.kept
    return kept is not None and not kept.scarcity.rows and not has_alerts(history)


def has_alerts(history: Fleeting) -> bool:
    """Whether what one pool costs may add a reason to others."""
    return any(one.budget.usd_alert is not None for one in history.fleet.tenants)


def large_fleet(choose: Random) -> Fleet:
    """60 pools of 12 tenants, where everything is scarce."""
    fields: list[dict[str, object]] = [
        {"min": 1, "max": 4},
        {"rule": Rule.HPA},
        {"rule": Rule.HPA, "metrics": (LAGGING,)},
        {"metrics": (LAGGING,)},
        {"slots": 3},
        {"activation": 2},
        {"cooldown_s": 40.0},
        {"warm": Warm(replicas=1)},
        {"warm": Warm(slo=Decimal("0.9"))},
        {"requests": Resources(cpu_milli=500)},
        {"requests": Resources(cpu_milli=1500, memory_bytes=2**29)},
        {"nodes": CLASSES[:1]},
        {"nodes": CLASSES},
        {"weight": Decimal(2)},
        {"minimum_runtime_s": 12.0},
        {"schedules": (Schedule(window=CronWindow(cron="*/3 * * * *", for_s=90.5), min=2),)},
        {"behavior": SLOW},
    ]
    usage = TaskUsage(input_tokens=800, output_tokens=200, seconds=Decimal(60))
    tenants = tuple(
        Tenant(
            name=f"t{number}",
            tier=TIERS[number % 3],
            namespace=f"t{number}",
            timezone=choose.choice(["UTC", "Asia/Kathmandu"]),
            quota=Resources(replicas=choose.choice([None, 9, 20])),
            budget=Budget(
                tokens_per_day=choose.choice([None, 1_000_000]),
                hard=choose.random() < 0.5,
                usd_per_hour=choose.choice([None, Decimal(20)]),
                usd_alert=choose.choice([None, Decimal(1)]),
            ),
        )
        for number in range(12)
    )
    pools = tuple(
        member(
            f"t{number % 12}",
            f"p{number}",
            [{"model": MODEL, "usage": usage}, *choose.sample(fields, choose.randrange(4))],
        )
        for number in range(60)
    )
    model = LlmModel(
        name=MODEL,
        limits=RateLimits(requests_per_minute=120),
        price=Price(input=Decimal("2.5"), output=Decimal(10)),
    )
    capacity = Capacity(
        resources=Resources(replicas=130, cpu_milli=90_000), usd_per_hour=Decimal(400)
    )
    return Fleet(tenants=tenants, pools=pools, models=(model,), capacity=capacity)


def test_a_large_scarce_fleet_is_planned_the_same_for_80_ticks() -> None:
    choose = Random(8)
    history = Fleeting(large_fleet(choose), [0, 3, 1, 6])
    room = ClusterRoom(classes={CLASSES[0]: Resources(replicas=9)})
    history.apply(Nodes(room=room, stale=False))
    live(history, (any_tick(choose, history.fleet) for _ in range(80)))


seeds = st.integers(0, 2**32)


@MANY
@given(fleet=timely_fleets(), sizes=some_sizes, counts=st.booleans(), seed=seeds)
def test_a_planner_that_keeps_results_decides_as_one_that_keeps_nothing(
    fleet: Fleet, sizes: list[int], seed: int, *, counts: bool
) -> None:
    history, choose = Fleeting(fleet, sizes, counts=counts), Random(seed)
    scoped = seed % 2 == 0  # after plans for a part of the fleet the next whole plan is the same
    live(history, (any_tick(choose, fleet, scoped=scoped) for _ in range(12)))


@MANY
@given(fleet=timely_fleets(scarce=False), sizes=some_sizes, counts=st.booleans(), seed=seeds)
def test_where_nothing_is_scarce_a_part_of_the_fleet_is_planned_the_same_too(
    fleet: Fleet, sizes: list[int], seed: int, *, counts: bool
) -> None:
    history, choose = Fleeting(fleet, sizes, counts=counts), Random(seed)
    live(history, (any_tick(choose, fleet) for _ in range(12)))
