"""A model's rate limits as rows: how many replicas they can feed."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest

from controller.model.scarcity import LlmModel, RateLimits
from controller.planning.share.rows import (
    CallRate,
    calls_per_minute,
    rate_key,
    rate_rows,
    rate_uses,
)
from support.sharing import AmountError, Claim, allocate


def fed(limits: RateLimits, replica: CallRate) -> tuple[int, str]:
    """The replicas that a key of its own feeds, and the limit that decides."""
    uses = rate_uses("gpt", limits, replica)
    pool = Claim(pool="a", tenant="a", demand=999, uses=uses)
    allotment = allocate([pool], rate_rows("gpt", limits))["a"]
    return allotment.replicas, allotment.limited_by.removesuffix(":gpt")


def test_every_slot_calls() -> None:
    assert calls_per_minute(4, 12, 90) == 32
    with pytest.raises(AmountError):
        calls_per_minute(1, 1, 0)


@pytest.mark.parametrize(("seconds", "replicas"), [(1, 1), (2, 2), (10, 10)])
def test_a_limit_feeds_as_many_as_littles_law_says(seconds: int, replicas: int) -> None:
    replica = CallRate(calls=calls_per_minute(1, 1, seconds))
    assert fed(RateLimits(requests_per_minute=60), replica) == (replicas, "rpm")


@pytest.mark.parametrize(
    ("limits", "replicas", "by"),
    [
        (RateLimits(requests_per_minute=100), 10, "rpm"),
        (RateLimits(requests_per_minute=104), 10, "rpm"),
        (RateLimits(requests_per_minute=105), 11, "rpm"),
        (RateLimits(requests_per_minute=100, headroom=Decimal("0.1")), 9, "rpm"),
        (RateLimits(requests_per_minute=100, input_tokens_per_minute=500), 5, "itpm"),
        (RateLimits(requests_per_minute=100, output_tokens_per_minute=80), 4, "otpm"),
        (RateLimits(requests_per_minute=100, tokens_per_minute=360), 3, "tpm"),
        (RateLimits(requests_per_minute=100, parallel=6), 3, "parallel"),
        (RateLimits(parallel=6, headroom=Decimal("0.5")), 3, "parallel"),
        (RateLimits(requests_per_minute=1), 1, "rpm"),
    ],
)
def test_the_tightest_limit_binds(limits: RateLimits, replicas: int, by: str) -> None:
    replica = CallRate(calls=10, input_tokens=100, output_tokens=20, slots=2)
    assert fed(limits, replica) == (replicas, by)


def test_without_a_known_limit_there_is_no_row() -> None:
    assert rate_rows("gpt", RateLimits()) == ()
    assert rate_uses("gpt", RateLimits(output_tokens_per_minute=5), CallRate(calls=10)) == {}


def test_headroom_cannot_be_more_than_all() -> None:
    with pytest.raises(AmountError):
        rate_rows("gpt", RateLimits(requests_per_minute=1, headroom=Decimal(2)))


def test_a_shared_key_has_one_row_and_another_one_for_each_tenant() -> None:
    assert rate_key(LlmModel(name="gpt"), "acme") == "gpt"
    assert rate_key(LlmModel(name="gpt", shared=False), "acme") == "gpt/acme"


@pytest.mark.parametrize("rpm", [1, 95, 104, 105, 250])
def test_a_shared_key_of_one_pool_gives_as_many_as_it_feeds_and_a_half_fed_one(rpm: int) -> None:
    limits = RateLimits(requests_per_minute=rpm, parallel=12, headroom=Decimal("0.05"))
    by_calls = max(math.floor(rpm * Fraction(95, 100) / 10 + Fraction(1, 2)), 1)
    expected = (12, "parallel") if by_calls > 12 else (by_calls, "rpm")
    assert fed(limits, CallRate(calls=10)) == expected
