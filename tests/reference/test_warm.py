"""Spares for tasks that arrive before a new replica is ready, and Agones' buffer."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from reference.warm import buffered, warm_spares
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


def test_without_arrivals_there_are_no_spares() -> None:
    assert warm_spares(0, 10, 19, Decimal("0.99")) == 0
    assert warm_spares(1, 10, 19, 0) == 0


@pytest.mark.parametrize("slo", [1, 2])
def test_certainty_is_refused_because_it_takes_infinitely_many_spares(slo: int) -> None:
    with pytest.raises(AmountError):
        warm_spares(1, 1, 1, slo)


def test_a_buffer_in_percent_is_of_the_size_to_come() -> None:
    assert buffered(8, percent=30) == 12
    assert buffered(0, percent=30) == 0
    assert buffered(7, percent=30) == 10
    assert buffered(8, replicas=3) == 11
    with pytest.raises(AmountError):
        buffered(8, percent=100)
