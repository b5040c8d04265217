"""Spares for what arrives before a new replica is ready."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.planning.limit.poisson import _by_digits, buffered, poisson_quantile, warm_spares
from support.sharing import AmountError


@pytest.mark.parametrize(
    ("notice", "ready", "slo", "spares"),
    [
        (10, 19, "0.99", 12),
        (10, 19, "0.9", 9),
        (0, 9, "0.99", 6),
        (Fraction(1, 20), Fraction(21, 2), "0.99", 6),
    ],
)
def test_spares_cover_the_time_to_notice_and_to_be_ready(
    notice: int, ready: int, slo: str, spares: int
) -> None:
    assert warm_spares(Fraction(1, 5), notice, ready, Decimal(slo)) == spares


def test_no_arrivals_no_spares() -> None:
    assert warm_spares(0, 10, 19, Decimal("0.99")) == 0
    assert warm_spares(1, 10, 19, 0) == 0


@pytest.mark.parametrize("slo", [1, 2])
def test_certainty_is_refused_for_it_takes_infinitely_many(slo: int) -> None:
    with pytest.raises(AmountError):
        warm_spares(1, 1, 1, slo)


@given(
    st.fractions(Fraction(1, 1000), 400, max_denominator=1000),
    st.fractions(Fraction(1, 100), Fraction(999_999, 1_000_000), max_denominator=10**6),
)
def test_the_quantile_is_exact(mean: Fraction, probability: Fraction) -> None:
    assert poisson_quantile(mean, probability) == _by_digits(mean, probability)


def test_a_sum_too_close_to_call_is_settled_with_more_digits() -> None:
    """P(0) of a mean of 1 is 1/e; these two differ from it in the twentieth digit."""
    below = Fraction("0.36787944117144232159")
    above = Fraction("0.36787944117144232160")
    assert poisson_quantile(Fraction(1), below) == 0
    assert poisson_quantile(Fraction(1), above) == 1


def test_a_large_mean_is_as_quick() -> None:
    assert poisson_quantile(Fraction(10_000), Fraction(99, 100)) == 10_233


@given(st.fractions(0, 50), st.fractions(0, 50), st.fractions(0, Fraction(99, 100)))
def test_more_arrivals_never_need_fewer_spares(
    one: Fraction, other: Fraction, slo: Fraction
) -> None:
    few, many = sorted((one, other))
    assert poisson_quantile(few, slo) <= poisson_quantile(many, slo)


def test_a_buffer_in_percent_is_of_the_size_to_come() -> None:
    assert buffered(8, percent=30) == 12
    assert buffered(0, percent=30) == 0
    assert buffered(7, percent=30) == 10
    assert buffered(8, replicas=3) == 11
    with pytest.raises(AmountError):
        buffered(8, percent=100)
