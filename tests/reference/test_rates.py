"""How many replicas a rate limit can feed."""

from __future__ import annotations

from fractions import Fraction

import pytest

from reference.rates import CallRate, RateLimit, calls_per_minute, rate_cap
from support.sharing import AmountError


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
    cap = rate_cap(RateLimit(**limit), replica)
    assert cap is not None
    assert (cap.replicas, cap.by) == (replicas, by)


def test_without_a_known_limit_there_is_no_cap() -> None:
    assert rate_cap(RateLimit(), CallRate(calls=10)) is None
    assert rate_cap(RateLimit(output_tokens_per_minute=5), CallRate(calls=10)) is None


def test_headroom_cannot_be_more_than_all() -> None:
    with pytest.raises(AmountError):
        rate_cap(RateLimit(requests_per_minute=1, headroom=2), CallRate(calls=1))
