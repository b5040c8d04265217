"""Spares for arrivals: how many, and that the work of no pool waits for them."""

from __future__ import annotations

from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
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
from controller.model.intents import Intents
from controller.model.memory import BINS, ArrivalRate, Memory, NativeMemory, NativeState, PoolMemory
from controller.model.observation import Observation, Workload
from controller.model.scarcity import Capacity, Resources, Warm
from controller.planning.demand.native import SUMMED, spares_for_arrivals
from support.planning import plan, seen_pool
from support.table import tabled
from support.world import make_pool
from unit.planning.story import OBSERVED_FOR_LONG, START, behavior

EXACT = Context(prec=60)
TENANTS = tuple(
    Tenant(name=name, tier=Tier(name=name, priority=priority), namespace=name)
    for name, priority in (("acme", 1000), ("globex", 100))
)


def summed(mean: float, probability: float) -> int:
    """The sum of the terms, 60 digits of each."""
    rate, wanted = Decimal(mean), Decimal(probability)
    number, term = 0, EXACT.exp(-rate)
    total = term
    while total < wanted:
        number += 1
        term = EXACT.divide(EXACT.multiply(term, rate), Decimal(number))
        total = EXACT.add(total, term)
    return number


@given(
    st.integers(1, 400_000).map(lambda each: each / 1000),
    st.integers(10_000, 999_999).map(lambda each: each / 1_000_000),
)
def test_it_is_the_quantile_of_the_poisson_distribution(mean: float, probability: float) -> None:
    found = spares_for_arrivals(mean, probability)
    assert found == summed(mean, probability)
    assert found <= spares_for_arrivals(mean + 1, probability)


@tabled(
    ("mean", "slo", "spares"),
    [
        (5.8, 0.99, 12),
        (0.0, 0.99, 0),
        (29.0, 0.0, 0),
        (10_000.0, 0.99, 10_233),
        (1e16, 0.99, 10**16 + 232_634_788),
    ],
)
def test_any_mean_has_one(mean: float, slo: float, spares: int) -> None:
    assert spares_for_arrivals(mean, slo) == pytest.approx(spares, rel=1e-14)


@tabled("slo", [0.1, 0.5, 0.999])
def test_above_a_million_it_goes_on_as_below(slo: float) -> None:
    below, above = (spares_for_arrivals(float(SUMMED + each), slo) for each in (0, 1))
    assert 0 <= above - below <= 2


def pool(tenant: str, slo: str | None = None) -> Pool:
    return replace(
        make_pool("agents", tenant=tenant, maximum=50, cooldown_s=0.0),
        behavior=behavior(down_window_s=0),
        rule=Rule.HPA,
        metrics=(ExternalMetric(name="queue", target=AverageValueTarget(milli=1000)),),
        warm=None if slo is None else Warm(slo=Decimal(slo)),
    )


def remembered(rate_per_s: float) -> PoolMemory:
    """Watched for long, with so many arrivals a second."""
    rate = ArrivalRate(fast=rate_per_s, slow=rate_per_s)
    learned = NativeState(at=START, arrivals=0, completions=0, moves=(0.0,) * BINS, rate=rate)
    native = NativeMemory(learned=learned, asked_at=START, pending=0, delivered=0, ready_s=9.0)
    return replace(OBSERVED_FOR_LONG, native=native)


def decide(
    works: dict[Pool, int], *, room: int | None = None, rate_per_s: float = 0.2, replicas: int = 1
) -> list[Decision]:
    """What each pool gets where so much work waits."""
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
    return [result.decisions[each.key] for each in works]


@tabled(
    ("slo", "spares", "rate"),
    [("0.99", 6, 0.2), ("0.9", 4, 0.2), ("0.5", 2, 0.2), ("0", 0, 0.2), ("0.99", 0, 0.0)],
)
def test_they_are_the_poisson_quantile_of_one_time_to_ready(
    slo: str, spares: int, rate: float
) -> None:
    # 0.2 a second over 9 s are 1.8 arrivals on average
    [decision] = decide({pool("acme", slo): 2}, rate_per_s=rate)
    assert decision.target == 2 + spares
    assert decision.bound is (Bound.WARM if spares else Bound.DEMAND)


@tabled(("room", "high", "low"), [(6, 2, 4), (8, 4, 4), (20, 8, 4)])
def test_all_tiers_are_served_before_the_spares_of_the_highest(
    room: int, high: int, low: int
) -> None:
    upper, lower = decide({pool("acme", "0.99"): 2, pool("globex"): 4}, room=room)
    assert (upper.target, lower.target) == (high, low)
