"""What sharing a provider's limits promises for any workers, limits and needs."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from controller.model.fleet import Behavior, Fleet, Pool, ScalingRules
from controller.model.ids import PoolKey, pool_key
from controller.model.scarcity import LlmModel, RateLimits
from controller.model.worker_messages import ModelDemand, RateShare, WorkerState
from controller.planning.provider_shares import provider_shares

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


def fleet(rates: RateLimits | None, *pools: str, shared: bool = True) -> Fleet:
    return Fleet(
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


def usable(rates: RateLimits, name: str) -> Fraction | None:
    most = getattr(rates, name)
    if most is None:
        return None
    return Fraction(most) * (1 if name == "parallel" else 1 - Fraction(rates.headroom))


@given(limits, st.lists(demands, max_size=30), st.integers(0, 1000))
def test_the_shares_add_up_to_the_limit_and_never_to_more(
    rates: RateLimits, needs: list[ModelDemand], turn: int
) -> None:
    given_parts = list(parts(rates, states(needs), turn).values())
    for name in NAMES:
        most = usable(rates, name)
        if most is None:
            assert all(getattr(part, name) is None for part in given_parts)
        elif given_parts:
            # nothing is left over, except what is finer than a thousandth
            assert thousandths(given_parts, name) == (1000 * most) // 1


@given(limits, st.lists(demands, min_size=1, max_size=30))
def test_a_worker_that_is_short_gets_its_equal_share_at_least(
    rates: RateLimits, needs: list[ModelDemand]
) -> None:
    workers = states(needs)
    given_parts = parts(rates, workers)
    for states_of_pool in workers.values():
        for state in states_of_pool:
            for name in state.demand[0].short_of:
                most = usable(rates, name)
                if most is not None:
                    unit = 1 if name == "parallel" else 1000
                    equal = most * unit // len(needs)
                    assert round(getattr(given_parts[state.worker], name) * unit) >= equal


@given(st.integers(1, 10**6), st.integers(1, 40), st.integers(1, 40))
def test_what_idle_workers_leave_goes_to_those_that_are_short(
    per_minute: int, idle: int, short: int
) -> None:
    needs = [ModelDemand(model="gpt")] * idle
    needs += [ModelDemand(model="gpt", short_of=("requests_per_minute",))] * short
    given_parts = parts(RateLimits(requests_per_minute=per_minute), states(needs))
    theirs = [given_parts[f"w{number:03}"] for number in range(idle, idle + short)]
    unused = Fraction(5, 100) * idle / (idle + short)
    assert thousandths(theirs, "requests_per_minute") >= 1000 * per_minute * (1 - unused) - 1


@given(st.integers(1, 30), st.integers(1, 30))
def test_each_worker_has_a_parallel_call_in_turn(parallel: int, count: int) -> None:
    needs = [ModelDemand(model="gpt", short_of=("parallel",))] * count
    rates = RateLimits(parallel=parallel)
    served: set[str] = set()
    for turn in range(count):
        given_parts = parts(rates, states(needs), turn)
        served |= {worker for worker, part in given_parts.items() if part.parallel}
    assert len(served) == count


def test_limits_that_are_not_shared_are_each_tenants_own() -> None:
    workers = states([ModelDemand(model="gpt")] * 2)
    shares = provider_shares(fleet(RateLimits(requests_per_minute=60), A, B, shared=False), workers)
    for key in (A, B):
        (part,) = shares[key][0].workers.values()
        assert part.requests_per_minute == 60


def test_a_model_without_limits_has_no_shares() -> None:
    assert provider_shares(fleet(None, A), {}) == {A: ()}


def test_a_worker_that_is_not_known_yet_has_room_for_one_more() -> None:
    workers = states([ModelDemand(model="gpt")] * 2)
    (share,) = provider_shares(fleet(RateLimits(requests_per_minute=60), A, B), workers)[A]
    assert share.of("new").requests_per_minute == 20
