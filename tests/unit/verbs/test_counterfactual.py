from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from agentdash.foreseen import ahead_of
from controller.model.decision import Bound
from controller.model.fleet import Fleet, Pool, Schedule, Tenant, Tier, WeeklyWindow
from controller.model.intents import Intents, Scope
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
from controller.model.readings import Fresh, Stale
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
from controller.planning.whatif import (
    Counterfactual,
    Outlook,
    counterfactuals,
)
from support.asked import a_cap, a_pause, a_pin, intents_of, no_growth_of
from support.planning import plan
from support.table import tabled
from unit.planning.story import make_pool

NOW = 1_700_000_000.0
INPUTS = ("observation", "fleet", "intents", "memory", "now")
TIER = Tier(name="growth", priority=500)
ACME = Tenant(name="acme", tier=TIER, namespace="tenant-acme")


def unlimited(pool: Pool, replicas: int, pending: int) -> Observation:
    observed = PoolObservation(
        queue=Fresh(value=QueueDepth(pending=pending, in_flight=0), at=NOW),
        workload=Fresh(value=Workload(replicas=replicas), at=NOW),
        pods=Fresh(value=Pods(ready=replicas), at=NOW),
    )
    return Observation(pools={pool.key: observed})


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


@tabled(
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


@tabled("bound", RULES)
def test_without_the_rule_that_binds_it_a_pool_has_what_its_work_asks_for(bound: Bound) -> None:
    fleet, intents = RULES[bound]
    [pool] = fleet.pools
    # a quota and the room are lifted where they are written and where they were read
    five = Resources(replicas=5) if bound in {Bound.QUOTA, Bound.CAPACITY} else Resources()
    used = TenantObservation(
        usage=Fresh(value=TokenUsage(used=Decimal(9)), at=NOW),
        quota=Stale(value=five if bound is Bound.QUOTA else Resources(), at=NOW - 9),
    )
    observation = replace(
        unlimited(pool, 2, 8),
        tenants={"acme": used},
        capacity=Fresh(
            value=ClusterRoom(resources=five if bound is Bound.CAPACITY else Resources()), at=NOW
        ),
    )
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


@tabled("bound", [Bound.PIN, Bound.WARM])
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


@tabled("bound", [Bound.MAX, Bound.CAP])
def test_the_rules_of_other_pools_stay(bound: Bound) -> None:
    """Two pools of twelve places that want eight each, and may have four."""
    pools = tuple(make_pool(name, max=4 if bound is Bound.MAX else 20) for name in ("a", "b"))
    caps = [a_cap(pool=pool.key, replicas=4) for pool in pools if bound is Bound.CAP]
    capacity = Capacity(resources=Resources(replicas=12))
    fleet = Fleet(tenants=(ACME,), pools=pools, capacity=capacity)
    both = {key: seen for pool in pools for key, seen in unlimited(pool, 2, 8).pools.items()}
    inputs = {"observation": Observation(pools=both), "fleet": fleet, "now": NOW}
    inputs |= {"intents": intents_of(caps=caps), "memory": Memory()}
    decision = plan(*(inputs[name] for name in INPUTS))[0].decisions[pools[0].key]
    found = counterfactuals(decision, **inputs)  # type: ignore[arg-type]  # a test's table
    assert [(each.lifted, each.target) for each in found] == [(bound, 8)]
