"""How many replicas a rate limit can feed."""

from __future__ import annotations

from fractions import Fraction

import pytest

from controller.planning.share.rates import (
    CallRate,
    LearnedLimit,
    RateLimit,
    calls_per_minute,
    learn,
    rate_cap,
    rate_rows,
    rate_uses,
)
from support.sharing import HALF_FED, AmountError, Claim, allocate


@pytest.mark.parametrize(("seconds", "replicas"), [(1, 1), (2, 2), (10, 10)])
def test_a_limit_feeds_as_many_as_littles_law_says(seconds: int, replicas: int) -> None:
    limit = RateLimit(requests_per_minute=60)
    cap = rate_cap(limit, CallRate(calls=calls_per_minute(1, 1, seconds)))
    assert cap is not None
    assert (cap.replicas, cap.by) == (replicas, "rpm")


def test_every_slot_calls() -> None:
    assert calls_per_minute(4, 12, 90) == 32
    with pytest.raises(AmountError):
        calls_per_minute(1, 1, 0)


@pytest.mark.parametrize(
    ("limit", "replicas", "by"),
    [
        ({"requests_per_minute": 100}, 10, "rpm"),
        ({"requests_per_minute": 104}, 10, "rpm"),
        ({"requests_per_minute": 105}, 11, "rpm"),
        ({"requests_per_minute": 100, "headroom": Fraction(1, 10)}, 9, "rpm"),
        ({"requests_per_minute": 100, "input_tokens_per_minute": 500}, 5, "itpm"),
        ({"requests_per_minute": 100, "output_tokens_per_minute": 80}, 4, "otpm"),
        ({"requests_per_minute": 100, "parallel": 6}, 3, "parallel"),
        ({"parallel": 6, "headroom": Fraction(1, 2)}, 3, "parallel"),
        ({"requests_per_minute": 1}, 1, "rpm"),
    ],
)
def test_the_tightest_limit_binds(limit: dict[str, int], replicas: int, by: str) -> None:
    replica = CallRate(calls=10, input_tokens=100, output_tokens=20, slots=2)
    cap = rate_cap(RateLimit(**limit), replica)  # type: ignore[arg-type]
    assert cap is not None
    assert (cap.replicas, cap.by) == (replicas, by)


def test_no_limit_known_is_no_limit() -> None:
    assert rate_cap(RateLimit(), CallRate(calls=10)) is None
    assert rate_cap(RateLimit(output_tokens_per_minute=5), CallRate(calls=10)) is None


def test_headroom_cannot_be_more_than_all() -> None:
    with pytest.raises(AmountError):
        rate_cap(RateLimit(requests_per_minute=1, headroom=2), CallRate(calls=1))


@pytest.mark.parametrize("rpm", [1, 95, 104, 105, 250])
def test_a_shared_key_of_one_pool_gives_what_its_own_would(rpm: int) -> None:
    limit = RateLimit(requests_per_minute=rpm, parallel=12, headroom=Fraction(1, 20))
    replica = CallRate(calls=10, slots=1)
    cap = rate_cap(limit, replica, HALF_FED)
    pool = Claim(pool="a", tenant="a", demand=99, uses=rate_uses("gpt", limit, replica))
    allotment = allocate([pool], rate_rows("gpt", limit))["a"]
    assert cap is not None
    assert (allotment.replicas, allotment.limited_by) == (cap.replicas, f"{cap.by}:gpt")


def learned(limit: float, refused: float, successes: float = 60.0, minutes: float = 1.0) -> float:
    return learn(
        LearnedLimit(per_minute=limit),
        successes_per_minute=successes,
        refused_part=refused,
        minutes=minutes,
        most=200.0,
    ).per_minute


def test_a_limit_nobody_wrote_down_is_learned() -> None:
    assert learned(100.0, 0.0) == pytest.approx(105.0)
    assert learned(100.0, 0.0, minutes=2.0) == pytest.approx(110.25)
    assert learned(199.0, 0.0) == 200.0
    assert learned(100.0, 0.015) == 100.0
    assert learned(100.0, 0.03) == 80.0
    assert learned(100.0, 0.03, successes=120.0) == 100.0
