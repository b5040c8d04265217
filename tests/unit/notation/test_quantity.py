"""Quantities as Kubernetes writes them are read exactly, and rounded as Kubernetes rounds them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from controller.model.value import INT64_MAX
from controller.notation.quantity import (
    ImplausibleAmountError,
    QuantityError,
    exact_amount,
    exact_quantity,
    rounded_down,
    rounded_up,
)
from support.table import tabled


@tabled(
    ("written", "value"),
    [
        ("0", Fraction(0)),
        ("250m", Fraction(1, 4)),
        ("1n", Fraction(1, 10**9)),
        ("3u", Fraction(3, 10**6)),
        ("2k", Fraction(2000)),
        ("1E", Fraction(10**18)),
        ("1E3", Fraction(1000)),
        ("1e-2", Fraction(1, 100)),
        ("1.5Gi", Fraction(3 * 2**29)),
        (".5", Fraction(1, 2)),
        ("5.", Fraction(5)),
        ("+1", Fraction(1)),
        ("-1.5", Fraction(-3, 2)),
        (7, Fraction(7)),
        (0.25, Fraction(1, 4)),
        (1e-07, Fraction(1, 10**7)),
    ],
)
def test_a_quantity_is_read_exactly(written: str | float, value: Fraction) -> None:
    assert exact_quantity(written) == value


@tabled(
    "written",
    [
        *(
            "",
            " 1",
            "1 ",
            "1\n",
            "1 Gi",
            "1_000",
            "٣٤",
            "３",
            "1K",
            "1GI",
            "1e3Ki",
            "1e",
            "e3",
            ".",
        ),
        *("--1", "0x10", "NaN", "inf", "1,5", "9" * 21, "1e100", "0." + "1" * 21, True),
    ],
)
def test_what_is_no_quantity_is_refused(written: str | float) -> None:
    with pytest.raises(QuantityError, match="is no quantity"):
        exact_quantity(written)


def test_an_amount_is_from_zero_to_what_kubernetes_counts() -> None:
    assert exact_amount(str(INT64_MAX)) == INT64_MAX
    for written in ("-1", "-1n"):
        with pytest.raises(ImplausibleAmountError, match="is negative"):
            exact_amount(written)
    for written in (str(INT64_MAX + 1), "8Ei", "1e99"):
        with pytest.raises(ImplausibleAmountError, match="is more than Kubernetes can count"):
            exact_amount(written)


def test_room_is_rounded_down_and_what_is_asked_for_is_rounded_up() -> None:
    part = exact_amount("1.0001")
    assert (rounded_down(part), rounded_up(part)) == (1, 2)
    assert (rounded_down(part, 1000), rounded_up(part, 1000)) == (1000, 1001)
    assert rounded_up(exact_amount("1n"), 1000) == 1
    assert rounded_down(exact_amount("1n"), 1000) == 0


def test_a_message_repeats_little_of_a_hostile_text_and_cleans_it() -> None:
    with pytest.raises(QuantityError) as caught:
        exact_quantity("\x1b[2J" + "x" * 1000)
    assert len(str(caught.value)) < 80
    assert str(caught.value).isprintable()
