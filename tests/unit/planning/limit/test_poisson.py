"""How many arrivals there are at most with a given probability, and spares for them."""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.planning.limit import (
    SUMMED,
    _by_floats,
    poisson_quantile,
    spares_for_arrivals,
)
from support.sharing import AmountError


@pytest.mark.parametrize(
    ("arrivals", "slo", "spares"),
    [("5.8", "0.99", 12), ("5.8", "0.9", 9), ("1.8", "0.99", 6), ("2.11", "0.99", 6)],
)
def test_spares_cover_the_arrivals_of_one_time_to_ready(
    arrivals: str, slo: str, spares: int
) -> None:
    assert spares_for_arrivals(Decimal(arrivals), Decimal(slo)) == spares


def test_without_arrivals_there_are_no_spares() -> None:
    assert spares_for_arrivals(0, Decimal("0.99")) == 0
    assert spares_for_arrivals(29, 0) == 0


@pytest.mark.parametrize("slo", [1, 2])
def test_certainty_is_refused_because_it_takes_infinitely_many_spares(slo: int) -> None:
    with pytest.raises(AmountError):
        spares_for_arrivals(1, slo)


def summed(mean: Fraction, probability: Fraction) -> int:
    """The sum of the terms, 60 digits of each."""
    context = Context(prec=60)
    rate, wanted = (
        context.divide(Decimal(one.numerator), Decimal(one.denominator))
        for one in (mean, probability)
    )
    number, term = 0, context.exp(-rate)
    total = term
    while total < wanted:
        number += 1
        term = context.divide(context.multiply(term, rate), Decimal(number))
        total = context.add(total, term)
    return number


@given(
    st.fractions(Fraction(1, 1000), 400, max_denominator=1000),
    st.fractions(Fraction(1, 100), Fraction(999_999, 1_000_000), max_denominator=10**6),
)
def test_the_quantile_is_exact(mean: Fraction, probability: Fraction) -> None:
    assert poisson_quantile(mean, probability) == summed(mean, probability)


def test_a_sum_too_close_to_call_is_decided_with_more_digits() -> None:
    """P(0) of a mean of 1 is 1/e; these two differ from it in the twentieth digit."""
    below = Fraction("0.36787944117144232159")
    above = Fraction("0.36787944117144232160")
    assert poisson_quantile(Fraction(1), below) == 0
    assert poisson_quantile(Fraction(1), above) == 1


def test_a_large_mean_takes_no_longer() -> None:
    assert poisson_quantile(Fraction(10_000), Fraction(99, 100)) == 10_233


@pytest.mark.parametrize("probability", [Fraction(1, 10), Fraction(1, 2), Fraction(999, 1000)])
def test_above_a_million_the_quantile_is_that_of_the_sums_within_one(probability: Fraction) -> None:
    mean = Fraction(SUMMED + 1)
    summed_up, _ = _by_floats(float(mean), float(probability))
    assert abs(poisson_quantile(mean, probability) - summed_up) <= 1


def test_a_mean_of_ten_to_the_sixteenth_is_no_work() -> None:
    quantile = poisson_quantile(Fraction(10**16), Fraction(99, 100))
    assert quantile - 10**16 == pytest.approx(2.326348 * 10**8, rel=1e-6)


@given(st.fractions(0, 50), st.fractions(0, 50), st.fractions(0, Fraction(99, 100)))
def test_more_arrivals_never_need_fewer_spares(
    one: Fraction, other: Fraction, slo: Fraction
) -> None:
    few, many = sorted((one, other))
    assert poisson_quantile(few, slo) <= poisson_quantile(many, slo)
