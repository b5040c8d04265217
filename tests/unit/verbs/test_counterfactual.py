from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from agentdash.foreseen import ahead_of
from controller.model.decision import Bound
from controller.model.fleet import CronWindow, Fleet, Pool, Schedule, Tenant, Tier, WeeklyWindow
from controller.model.intents import IntentKind, Intents, Scope
from controller.model.memory import Memory
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
from controller.model.readings import Absent, Fresh, Stale, Why
from controller.model.scarcity import (
    Budget,
    Capacity,
    LlmModel,
    NodeClass,
    Price,
    RateLimits,
    Resources,
    TaskUsage,
    Warm,
)
from controller.planning.whatif import (
    Counterfactual,
    Outlook,
    counterfactuals,
    lifted,
)
from support.asked import a_cap, a_pause, a_pin, intents_of, no_growth_of
from support.planning import plan
from unit.planning.story import make_pool

NOW = 1_700_000_000.0
TIER = Tier(name="growth", priority=500)
ACME = Tenant(name="acme", tier=TIER, namespace="tenant-acme")
NIGHT = Schedule(window=CronWindow(cron="0 0 * * *", for_s=60.0), max=1)
LIMITS = RateLimits(requests_per_minute=60)
RULED = make_pool(
    min=1, max=4, schedules=(NIGHT,), warm=Warm(replicas=1), model="large", nodes=("spot",)
)
OTHER = make_pool("browser", min=1, max=4, nodes=("spot",))
FLEET = Fleet(
    tiers=(TIER,),
    tenants=(
        replace(
            ACME,
            quota=Resources(replicas=5),
            budget=Budget(tokens_per_day=1000, usd_per_hour=Decimal(50)),
        ),
    ),
    pools=(RULED, OTHER),
    models=(LlmModel(name="large", limits=LIMITS), LlmModel(name="small", limits=LIMITS)),
    capacity=Capacity(
        resources=Resources(cpu_milli=4000),
        usd_per_hour=Decimal(90),
        node_classes=(NodeClass(name="spot", max_nodes=2),),
    ),
)
INTENTS = intents_of(
    pins=(a_pin(pool=RULED.key, replicas=1), a_pin(pool=OTHER.key, replicas=1)),
    pauses=(
        a_pause(scope=Scope(tenant="acme")),
        a_pause(scope=Scope(pool=OTHER.key)),
        a_pause(scope=Scope(tenant="globex")),
    ),
)


def seen(pool: Pool, replicas: int, pending: int) -> Observation:
    observed = PoolObservation(
        queue=Fresh(value=QueueDepth(pending=pending, in_flight=0), at=NOW),
        workload=Fresh(value=Workload(replicas=replicas), at=NOW),
        pods=Fresh(value=Pods(ready=replicas), at=NOW),
    )
    return Observation(
        pools={pool.key: observed},
        tenants={
            "acme": TenantObservation(
                quota=Stale(value=Resources(replicas=5), at=NOW - 9, why=Why.TIMED_OUT)
            )
        },
        capacity=Fresh(value=ClusterRoom(resources=Resources(cpu_milli=9000)), at=NOW),
    )


def unlimited(pool: Pool, replicas: int, pending: int) -> Observation:
    return Observation(pools=seen(pool, replicas, pending).pools)


SEEN = seen(RULED, 2, 8)


def without(bound: Bound) -> tuple[Observation, Fleet, Intents]:
    return lifted(bound, RULED, SEEN, FLEET, INTENTS)


@pytest.mark.parametrize(
    ("bound", "unruled"),
    [
        (Bound.MIN, {"min": 0}),
        (Bound.MAX, {"max": 2**31 - 1}),
        (Bound.SCHEDULE, {"schedules": ()}),
        (Bound.WARM, {"warm": None}),
    ],
)
def test_a_pools_own_rule_is_lifted_for_it_alone(bound: Bound, unruled: dict[str, object]) -> None:
    expected = replace(FLEET, pools=(replace(RULED, **unruled), OTHER))
    assert without(bound) == (SEEN, expected, INTENTS)


def without_first(kind: IntentKind) -> Intents:
    first = INTENTS.of(kind)[0]
    return Intents(asked=tuple(each for each in INTENTS if each is not first))


def test_a_pin_is_lifted_for_the_pool_alone() -> None:
    assert without(Bound.PIN) == (
        SEEN,
        FLEET,
        without_first(IntentKind.PIN),
    )


def test_every_pause_that_concerns_the_pool_is_lifted() -> None:
    assert without(Bound.PAUSE) == (
        SEEN,
        FLEET,
        without_first(IntentKind.PAUSE),
    )


def test_a_quota_is_lifted_where_it_is_written_and_where_it_was_read() -> None:
    observation, fleet, intents = without(Bound.QUOTA)
    assert observation.tenants["acme"].quota == Fresh(value=Resources(), at=NOW - 9)
    assert fleet.tenants[0].quota == Resources()
    assert fleet.tenants[0].budget == FLEET.tenants[0].budget
    assert intents is INTENTS


def test_tokens_and_dollars_are_two_rules() -> None:
    tokens = without(Bound.BUDGET)[1]
    assert tokens.tenants[0].budget == Budget(usd_per_hour=Decimal(50))
    assert tokens.capacity is FLEET.capacity
    dollars = without(Bound.COST)[1]
    assert dollars.tenants[0].budget == Budget(tokens_per_day=1000)
    assert dollars.capacity.usd_per_hour is None
    assert dollars.capacity.resources == FLEET.capacity.resources


def test_a_rate_limit_is_lifted_for_the_pools_model() -> None:
    models = without(Bound.RATE)[1].models
    assert [model.limits for model in models] == [None, LIMITS]


def test_capacity_is_lifted_with_its_classes_of_nodes() -> None:
    observation, fleet, _ = without(Bound.CAPACITY)
    assert observation.capacity == Fresh(value=ClusterRoom(), at=NOW)
    assert fleet.capacity == Capacity(usd_per_hour=Decimal(90))
    assert [pool.nodes for pool in fleet.pools] == [(), ()]


def test_a_capacity_that_was_never_read_stays_so() -> None:
    blind = replace(SEEN, capacity=Absent(why=Why.REFUSED))
    assert lifted(Bound.CAPACITY, RULED, blind, FLEET, INTENTS)[0] is blind


@pytest.mark.parametrize("bound", Bound)
def test_where_there_is_no_rule_nothing_is_made_anew(bound: Bound) -> None:
    pool = make_pool(min=0, max=2**31 - 1)
    bare = (Observation(), Fleet(tenants=(ACME,), pools=(pool,)), Intents())
    again = lifted(bound, pool, *bare)
    assert all(new is old for new, old in zip(again, bare, strict=True))


def asked(pool: Pool, replicas: int, pending: int) -> tuple[Counterfactual, ...]:
    world = (unlimited(pool, replicas, pending), Fleet(tenants=(ACME,), pools=(pool,)), Intents())
    decision = plan(*world, Memory(), NOW)[0].decisions[pool.key]
    observation, fleet, intents = world
    return counterfactuals(
        decision, observation=observation, fleet=fleet, intents=intents, memory=Memory(), now=NOW
    )


def test_only_the_rules_that_matter_to_the_number_are_named() -> None:
    pool = make_pool(min=1, max=4)
    [only] = asked(pool, 2, 8)
    assert only == Counterfactual(lifted=Bound.MAX, target=8, next=8, bound=Bound.DEMAND)
    assert asked(pool, 2, 3) == ()


def test_min_is_named_where_it_holds_a_pool_up() -> None:
    [only] = asked(make_pool(min=3, max=4), 1, 1)
    assert (only.lifted, only.target, only.next) == (Bound.MIN, 1, 1)


def test_a_bound_that_another_rule_shares_is_named_with_that_rule() -> None:
    pool = make_pool(min=1, max=4)
    fleet = Fleet(tenants=(ACME,), pools=(pool,))
    observation = unlimited(pool, 4, 4)
    decision = plan(observation, fleet, Intents(), Memory(), NOW)[0].decisions[pool.key]
    [only] = counterfactuals(
        replace(decision, bound=Bound.MAX),
        observation=observation,
        fleet=fleet,
        intents=Intents(),
        memory=Memory(),
        now=NOW,
    )
    assert (only.lifted, only.target) == (Bound.MAX, 4)


def test_a_pool_that_was_not_decided_has_none() -> None:
    pool = make_pool(max=4)
    blind = Observation(pools={pool.key: PoolObservation()})
    fleet = Fleet(tenants=(ACME,), pools=(pool,))
    decision = plan(blind, fleet, Intents(), Memory(), NOW)[0].decisions[pool.key]
    assert (
        counterfactuals(
            decision, observation=blind, fleet=fleet, intents=Intents(), memory=Memory(), now=NOW
        )
        == ()
    )


def said(found: Counterfactual) -> str:
    return ahead_of(Outlook(now=NOW, without=(found,))).without[0]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ({"target": 7, "next": 7, "bound": Bound.DEMAND}, "without the budget: 7"),
        ({"target": 7, "next": 3, "bound": Bound.DEMAND}, "without the budget: 7, next 3"),
        ({"target": 7, "next": 7, "bound": Bound.MAX}, "without the budget: 7 (bound by max)"),
        ({"target": None, "next": None, "bound": Bound.DEMAND}, "without the budget: ?"),
    ],
)
def test_a_counterfactual_is_one_short_sentence(numbers: dict[str, object], text: str) -> None:
    assert said(Counterfactual(lifted=Bound.BUDGET, **numbers)) == text  # type: ignore[arg-type]  # a test's table


@pytest.mark.parametrize("bound", Bound)
def test_every_bound_has_a_name(bound: Bound) -> None:
    other = Counterfactual(lifted=bound, target=1, next=1, bound=Bound.DEMAND)
    assert said(other).startswith("without ")


BARE = Fleet(tiers=(TIER,), tenants=(ACME,), pools=(make_pool(max=20),))
BURN = TaskUsage(input_tokens=600, calls=6, seconds=Decimal(60))
PRICE = Price(input=Decimal(1000), output=Decimal(1000))


def with_tenant(**fields: object) -> Fleet:
    return replace(BARE, tenants=(replace(ACME, **fields),))


def with_pool(**fields: object) -> Fleet:
    return replace(BARE, pools=(replace(BARE.pools[0], **fields),))


def with_model(**fields: object) -> Fleet:
    fleet = with_pool(model="large", usage=BURN)
    return replace(fleet, models=(LlmModel(name="large", **fields),))  # type: ignore[arg-type]  # a test's table


ALWAYS = WeeklyWindow(days=(0, 1, 2, 3, 4, 5, 6), from_minute=0, until_minute=0)
RULES = {
    Bound.QUOTA: (with_tenant(quota=Resources(replicas=5)), Intents()),
    Bound.CAPACITY: (replace(BARE, capacity=Capacity(resources=Resources(replicas=5))), Intents()),
    Bound.COST: (
        replace(with_model(price=PRICE), capacity=Capacity(usd_per_hour=Decimal(180))),
        Intents(),
    ),
    Bound.RATE: (with_model(limits=RateLimits(requests_per_minute=30)), Intents()),
    Bound.BUDGET: (
        replace(
            with_pool(usage=BURN), tenants=with_tenant(budget=Budget(tokens_per_day=9)).tenants
        ),
        Intents(),
    ),
    Bound.PAUSE: (BARE, intents_of(pauses=(a_pause(scope=Scope(tenant="acme")),))),
    Bound.CAP: (BARE, intents_of(caps=(a_cap(pool=BARE.pools[0].key, replicas=3),))),
    Bound.NO_GROWTH: (BARE, intents_of(no_growths=(no_growth_of(scope=Scope(tenant="acme")),))),
    Bound.SCHEDULE: (
        with_pool(schedules=(Schedule(window=ALWAYS, max=5),)),
        Intents(),
    ),
}


@pytest.mark.parametrize("bound", RULES)
def test_without_the_rule_that_binds_it_a_pool_has_what_its_work_asks_for(bound: Bound) -> None:
    fleet, intents = RULES[bound]
    [pool] = fleet.pools
    used = TenantObservation(usage=Fresh(value=TokenUsage(used=Decimal(9)), at=NOW))
    observation = replace(unlimited(pool, 2, 8), tenants={"acme": used})
    decision = plan(observation, fleet, intents, Memory(), NOW)[0].decisions[pool.key]
    assert decision.target is not None
    assert (decision.bound, decision.target < 8) == (bound, True)
    found = counterfactuals(
        decision,
        observation=observation,
        fleet=fleet,
        intents=intents,
        memory=Memory(),
        now=NOW,
    )
    assert [(each.lifted, each.target) for each in found] == [(bound, 8)]


@pytest.mark.parametrize("bound", [Bound.PIN, Bound.WARM])
def test_without_its_spares_a_pool_has_what_its_work_asks_for(bound: Bound) -> None:
    pinned = intents_of(pins=(a_pin(pool=BARE.pools[0].key, replicas=3),))
    fleet, intents = {
        Bound.PIN: (BARE, pinned),
        Bound.WARM: (with_pool(warm=Warm(replicas=3)), Intents()),
    }[bound]
    [pool] = fleet.pools
    observation = unlimited(pool, 2, 8)
    decision = plan(observation, fleet, intents, Memory(), NOW)[0].decisions[pool.key]
    assert (decision.bound, decision.target) == (bound, 11)
    found = counterfactuals(
        decision,
        observation=observation,
        fleet=fleet,
        intents=intents,
        memory=Memory(),
        now=NOW,
    )
    assert [(each.lifted, each.target) for each in found] == [(bound, 8)]
