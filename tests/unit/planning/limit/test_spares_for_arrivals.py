"""Spares for arrivals: how many, and that the work of no pool waits for them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from controller.model.decision import Bound, Decision
from controller.model.fleet import (
    AverageValueTarget,
    ExternalMetric,
    Fleet,
    Pool,
    Rule,
    Tenant,
    Tier,
)
from controller.model.ids import pool_key
from controller.model.intents import Intents
from controller.model.memory import (
    BINS,
    ArrivalRate,
    Memory,
    NativeMemory,
    NativeState,
    PoolMemory,
    RecommendationRun,
)
from controller.model.observation import Observation, Workload
from controller.model.scarcity import Capacity, Resources, Warm
from support.planning import plan, seen_pool
from unit.planning.story import START, behavior

HIGH, LOW = Tier(name="enterprise", priority=1000), Tier(name="starter", priority=100)
TENANTS = (
    Tenant(name="acme", tier=HIGH, namespace="acme"),
    Tenant(name="globex", tier=LOW, namespace="globex"),
)


def pool(tenant: str, slo: str | None = None) -> Pool:
    return Pool(
        key=pool_key(tenant, "agents"),
        name="agents",
        tenant=tenant,
        namespace=tenant,
        deployment="agents",
        stream="TASKS",
        consumer=tenant,
        behavior=behavior(down_window_s=0),
        rule=Rule.HPA,
        metrics=(ExternalMetric(name="queue", target=AverageValueTarget(milli=1000)),),
        max=50,
        cooldown_s=0.0,
        warm=None if slo is None else Warm(slo=Decimal(slo)),
    )


def remembered(rate_per_s: float) -> PoolMemory:
    """Watched for long, with so many arrivals a second."""
    rate = ArrivalRate(fast=rate_per_s, slow=rate_per_s)
    learned = NativeState(at=START, arrivals=0, completions=0, moves=(0.0,) * BINS, rate=rate)
    native = NativeMemory(learned=learned, asked_at=START, pending=0, delivered=0, ready_s=9.0)
    run = RecommendationRun(replicas=0, first_at=START - 9000, last_at=START - 9000)
    return PoolMemory(
        since=START - 9000, last_active_at=START - 9000, recommendations=(run,), native=native
    )


def decide(
    works: dict[Pool, int], *, room: int | None, rate_per_s: float = 0.2, replicas: int = 1
) -> dict[str, Decision]:
    """What each tenant's pool gets where so much work waits."""
    pools = {
        each.key: seen_pool(waiting, Workload(replicas=replicas, current=replicas), at=START)
        for each, waiting in works.items()
    }
    capacity = Capacity(resources=Resources(replicas=room))
    result, _ = plan(
        Observation(pools=pools),
        Fleet(tenants=TENANTS, pools=tuple(works), capacity=capacity),
        Intents(),
        Memory(pools=dict.fromkeys(pools, remembered(rate_per_s))),
        START,
    )
    return {key.partition("/")[0]: each for key, each in result.decisions.items()}


@pytest.mark.parametrize(("slo", "spares"), [("0.99", 6), ("0.9", 4), ("0.5", 2)])
def test_they_are_the_poisson_quantile_of_one_time_to_ready(slo: str, spares: int) -> None:
    # 0.2 a second over 9 s are 1.8 arrivals on average
    [decision] = decide({pool("acme", slo): 2}, room=None).values()
    assert decision.target == 2 + spares
    assert decision.bound is Bound.WARM


@pytest.mark.parametrize(("room", "high", "low"), [(6, 2, 4), (8, 4, 4), (20, 8, 4)])
def test_all_tiers_are_served_before_the_spares_of_the_highest(
    room: int, high: int, low: int
) -> None:
    given = decide({pool("acme", "0.99"): 2, pool("globex"): 4}, room=room)
    assert (given["acme"].target, given["globex"].target) == (high, low)


def test_no_arrivals_ask_for_no_spares() -> None:
    [decision] = decide({pool("acme", "0.99"): 2}, room=None, rate_per_s=0.0).values()
    assert decision.target == 2


def test_spares_that_run_stay_while_the_rate_is_near() -> None:
    slower = pool("acme", "0.99")
    [decision] = decide({slower: 2}, room=None, rate_per_s=0.17, replicas=8).values()
    assert decision.target == 8
    [far] = decide({slower: 2}, room=None, rate_per_s=0.05, replicas=8).values()
    assert far.target is not None
    assert far.target < 8


def test_a_higher_share_never_asks_for_fewer() -> None:
    targets = [
        decide({replace(pool("acme"), warm=Warm(slo=Decimal(part) / 100)): 2}, room=None)[
            "acme"
        ].target
        or 0
        for part in range(0, 100, 9)
    ]
    assert targets == sorted(targets)
