"""How many arrivals there are at most with a given probability: spares for one time to ready."""

from __future__ import annotations

from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.planning.limit import SUMMED, spares_for_arrivals

EXACT = Context(prec=60)


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
    assert spares_for_arrivals(mean, probability) == summed(mean, probability)


@pytest.mark.parametrize(
    ("mean", "slo", "spares"),
    [
        (5.8, 0.99, 12),
        (5.8, 0.9, 9),
        (1.8, 0.99, 6),
        (0.0, 0.99, 0),
        (29.0, 0.0, 0),
        (10_000.0, 0.99, 10_233),
        (1e16, 0.99, 10**16 + 232_634_788),
    ],
)
def test_any_mean_has_one(mean: float, slo: float, spares: int) -> None:
    assert spares_for_arrivals(mean, slo) == pytest.approx(spares, rel=1e-14)


@pytest.mark.parametrize("slo", [0.1, 0.5, 0.999])
def test_above_a_million_it_goes_on_as_below(slo: float) -> None:
    below, above = (spares_for_arrivals(float(SUMMED + each), slo) for each in (0, 1))
    assert 0 <= above - below <= 2


@given(st.floats(0, 50), st.floats(0, 50), st.floats(0, 0.99))
def test_more_arrivals_never_need_fewer_spares(one: float, other: float, slo: float) -> None:
    few, many = sorted((one, other))
    assert spares_for_arrivals(few, slo) <= spares_for_arrivals(many, slo)
