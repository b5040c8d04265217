"""What sharing a provider's limits promises for any workers, limits and needs."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.model.fleet import Behavior, Fleet, Pool, ScalingRules, Tenant, Tier
from controller.model.ids import PoolKey, pool_key
from controller.model.scarcity import LlmModel, RateLimits
from controller.model.worker_messages import ModelDemand, RateShare, WorkerState
from controller.planning.provider_shares import (
    COMING_PART,
    KEPT_PART,
    NEWCOMERS,
    provider_shares,
)

NAMES = (
    "requests_per_minute",
    "tokens_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "parallel",
)
CALM = Behavior(
    scale_up=ScalingRules(stabilization_window_s=0),
    scale_down=ScalingRules(stabilization_window_s=300),
)
Workers = dict[PoolKey, list[WorkerState]]

limit = st.one_of(st.none(), st.integers(1, 2_000_000))
limits = st.builds(
    RateLimits,
    requests_per_minute=limit,
    tokens_per_minute=limit,
    input_tokens_per_minute=limit,
    output_tokens_per_minute=limit,
    parallel=limit,
    burst=limit,
    headroom=st.sampled_from([Decimal(0), Decimal("0.1"), Decimal("0.999")]),
)
demands = st.builds(
    ModelDemand,
    model=st.just("gpt"),
    requests_per_minute=st.floats(0, 10_000),
    input_tokens_per_minute=st.floats(0, 10**7),
    output_tokens_per_minute=st.floats(0, 10**7),
    parallel=st.integers(0, 300),
    short_of=st.lists(st.sampled_from(NAMES), unique=True).map(tuple),
)


def tenant(name: str, priority: int = 500, weight: Decimal = Decimal(1)) -> Tenant:
    tier = Tier(name=f"of {priority}", priority=priority)
    return Tenant(name=name, tier=tier, namespace=name, weight=weight)


def fleet(
    rates: RateLimits | None, *pools: str, shared: bool = True, tenants: tuple[Tenant, ...] = ()
) -> Fleet:
    return Fleet(
        tenants=tenants,
        models=(LlmModel(name="gpt", limits=rates, shared=shared),),
        pools=tuple(
            Pool(
                key=PoolKey(key),
                name=key.partition("/")[2],
                tenant=key.partition("/")[0],
                namespace=key.partition("/")[0],
                deployment="d",
                stream="TASKS",
                consumer="c",
                behavior=CALM,
                model="gpt",
            )
            for key in pools
        ),
    )


A, B = pool_key("acme", "a"), pool_key("globex", "b")


def states(needs: list[ModelDemand]) -> Workers:
    made = [
        WorkerState(worker=f"w{number:03}", slots=1, busy=0, pulling=True, demand=(need,))
        for number, need in enumerate(needs)
    ]
    return {A: made[::2], B: made[1::2]}


def parts(rates: RateLimits, workers: Workers, turn: int = 0) -> dict[str, RateShare]:
    shares = provider_shares(fleet(rates, A, B), workers, turn)
    return {name: part for key in (A, B) for name, part in shares[key][0].workers.items()}


def thousandths(given: list[RateShare], name: str) -> int:
    """The exact sum: shares are decimal numbers with at most three digits behind the point."""
    return sum(round(1000 * getattr(part, name)) for part in given)


def rpm(
    needs: dict[PoolKey, list[ModelDemand]], per_minute: int, *tenants: Tenant
) -> dict[PoolKey, float]:
    """The requests per minute that all workers of a pool have together."""
    workers: Workers = {
        pool: [
            WorkerState(worker=f"w{number}", slots=1, busy=0, pulling=True, demand=(need,))
            for number, need in enumerate(of_pool)
        ]
        for pool, of_pool in needs.items()
    }
    rates = RateLimits(requests_per_minute=per_minute)
    shares = provider_shares(fleet(rates, *needs, tenants=tenants), workers)
    return {
        pool: sum(each.requests_per_minute or 0 for each in shares[pool][0].workers.values())
        for pool in needs
    }


def short(*names: str) -> ModelDemand:
    return ModelDemand(model="gpt", short_of=names or ("requests_per_minute",))


def using(requests: float) -> ModelDemand:
    return ModelDemand(model="gpt", requests_per_minute=requests)


@given(limits, st.lists(demands, min_size=1, max_size=30), st.integers(0, 1000), st.integers(0, 9))
def test_the_shares_and_those_of_newcomers_add_up_to_the_limit_and_never_to_more(
    rates: RateLimits, needs: list[ModelDemand], turn: int, starting: int
) -> None:
    shares = provider_shares(fleet(rates, A, B), states(needs), turn, {A: starting})
    given_parts = [part for key in (A, B) for part in shares[key][0].workers.values()]
    unknown = [shares[A][0].newcomer] * max(NEWCOMERS, starting)
    for name in NAMES:
        most = getattr(rates, name)
        if most is None:
            assert all(getattr(part, name) is None for part in given_parts)
        elif name == "parallel":
            kept = thousandths(unknown[:1], name) if most >= 2 * NEWCOMERS else 0
            assert thousandths(given_parts, name) + kept <= 1000 * most
        else:
            kept_part = max(KEPT_PART, min(COMING_PART, Fraction(starting, len(needs) + starting)))
            left = 1 - max(Fraction(rates.headroom), kept_part)
            # nothing is left over, except what is finer than a thousandth
            assert thousandths(given_parts, name) == floor(1000 * most * left)
            assert thousandths(given_parts + unknown, name) <= 1000 * most


@given(st.integers(1, 10**6), st.integers(1, 20), st.integers(1, 20), st.integers(1, 5))
def test_tenants_of_a_tier_share_by_weight_however_many_workers_they_have(
    per_minute: int, ours: int, theirs: int, weight: int
) -> None:
    tenants = tenant("acme", weight=Decimal(weight)), tenant("globex")
    given_rpm = rpm({A: [short()] * ours, B: [short()] * theirs}, per_minute, *tenants)
    left = per_minute * float(1 - KEPT_PART)
    assert given_rpm[A] == pytest.approx(left * weight / (weight + 1), abs=0.002 * (weight + 1))
    assert given_rpm[B] == pytest.approx(left / (weight + 1), abs=0.002 * (weight + 1))


def test_a_tenant_of_a_higher_tier_has_what_it_needs_first() -> None:
    tenants = tenant("acme", priority=100), tenant("globex", priority=1000)
    # one worker of an enterprise, many of a starter, and each wants more than there is
    both = rpm({A: [short()] * 9, B: [short()]}, 600, *tenants)
    assert both == {A: pytest.approx(29.4), B: pytest.approx(558.6)}
    # what the enterprise does not need is the starter's
    calm = rpm({A: [short()] * 9, B: [using(80)]}, 600, *tenants)
    assert calm == {A: pytest.approx(488), B: pytest.approx(100)}


def test_a_tenant_of_a_low_tier_keeps_its_baseline_and_no_more_than_it_needs() -> None:
    tenants = tenant("acme", priority=100), tenant("globex", priority=1000)
    assert rpm({A: [using(8)], B: [short()]}, 600, *tenants)[A] == pytest.approx(10)
    assert rpm({A: [using(80)], B: [short()]}, 600, *tenants)[A] == pytest.approx(29.4)


@given(limits, st.lists(demands, min_size=1, max_size=30))
def test_a_worker_that_is_short_has_an_equal_share_of_its_tenant_at_least(
    rates: RateLimits, needs: list[ModelDemand]
) -> None:
    made = [
        WorkerState(worker=f"w{number:03}", slots=1, busy=0, pulling=True, demand=(need,))
        for number, need in enumerate(needs)
    ]
    of = provider_shares(fleet(rates, A), {A: made})[A][0].workers
    for state in made:
        for name in state.demand[0].short_of:
            if getattr(rates, name) is not None:
                equal = thousandths(list(of.values()), name) // len(needs)
                floor_of = equal // 1000 * 1000 if name == "parallel" else equal
                assert thousandths([of[state.worker]], name) >= floor_of


@given(st.integers(1, 10**6), st.integers(1, 40), st.integers(1, 40))
def test_what_idle_workers_leave_goes_to_those_that_are_short(
    per_minute: int, idle: int, wanting: int
) -> None:
    given_rpm = rpm({A: [using(0)] * idle, B: [short()] * wanting}, per_minute)
    unused = Fraction(2, 100) * idle / (idle + wanting)
    assert given_rpm[B] >= per_minute * (1 - KEPT_PART) * (1 - unused) - Fraction(1, 100)


@given(st.integers(1, 30), st.integers(1, 30))
def test_each_worker_has_a_parallel_call_in_turn(parallel: int, count: int) -> None:
    needs = [ModelDemand(model="gpt", short_of=("parallel",))] * count
    rates = RateLimits(parallel=parallel)
    served: set[str] = set()
    for turn in range(2 * count):
        given_parts = parts(rates, states(needs), turn)
        served |= {worker for worker, part in given_parts.items() if part.parallel}
    assert len(served) == count


def test_limits_that_are_not_shared_are_each_tenants_own() -> None:
    workers = states([ModelDemand(model="gpt")] * 2)
    shares = provider_shares(fleet(RateLimits(requests_per_minute=60), A, B, shared=False), workers)
    for key in (A, B):
        (part,) = shares[key][0].workers.values()
        assert part.requests_per_minute == 58.8


def test_a_model_without_limits_has_no_shares() -> None:
    assert provider_shares(fleet(None, A), {}) == {A: ()}


def test_a_worker_that_is_not_known_yet_has_a_small_part_and_a_larger_one_where_it_is_awaited() -> (
    None
):
    workers, sixty = states([short()] * 2), fleet(RateLimits(requests_per_minute=60), A, B)
    (share,) = provider_shares(sixty, workers)[A]
    assert (share.of("new").requests_per_minute, share.of("w000").requests_per_minute) == (
        0.3,
        29.4,
    )
    (share,) = provider_shares(sixty, workers, 0, {A: 8})[A]
    assert (share.of("new").requests_per_minute, share.of("w000").requests_per_minute) == (1.5, 24)
    # where none is known, the first ones have all of it
    (share,) = provider_shares(sixty, {}, 0, {A: 3})[A]
    assert share.of("new").requests_per_minute == 15
