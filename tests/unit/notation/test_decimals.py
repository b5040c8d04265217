"""Numbers, durations and formulas take ASCII digits and nothing else."""

from __future__ import annotations

import pytest

from controller.notation.formula import FormulaError, FormulaFault, read_formula
from controller.notation.quantity import read_decimal, read_duration, read_whole, spell_duration
from support.table import tabled

NOT_ASCII_DECIMALS = [
    *("٣٤", "３", "²", "1_000", " 100", "100 ", "1\n", "\t1", "1,000", "1 000", "+1", "1.", ".5"),
    *("", "-", "1e3", "0x10", "NaN", "Infinity", "9" * 19),
]


@tabled("text", NOT_ASCII_DECIMALS)
def test_what_is_no_ascii_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a number"):
        read_decimal(text)
    with pytest.raises(ValueError, match="must be a whole number"):
        read_whole(text)


@tabled("text", ["٣s", "1_0s", " 1s", "1s ", "1 s", "1d", "60", "1h???30m", "1sm"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        read_duration(text)


def test_durations_are_read_in_gos_spelling() -> None:
    assert read_duration("1h30m0.5s") == 5400.5
    assert read_duration("1.5h2m3s4ms5us6µs7ns") == 5523.004011007
    assert read_duration("0") == 0.0
    assert spell_duration(5400.0) == "90m"


@tabled(
    ("text", "position", "complaint"),
    [
        ("queue + 1_000", 9, "1_000 is not a number"),
        ("1__0", 1, "1__0 is not a number"),
        ("0x1_F", 3, "0x1_F is not a number"),
        ("0x", 1, "0x is not a number"),
        ("1.5_5", 3, "1.5_5 is not a number"),
        ("1٣", 1, "1٣ is not a number"),
        ("queue + ٣٤", 8, "'٣' is not understood"),
    ],
)
def test_a_formulas_numbers_are_ascii_digits(text: str, position: int, complaint: str) -> None:
    with pytest.raises(FormulaError) as caught:
        read_formula(text)
    assert (caught.value.fault, caught.value.position) == (FormulaFault.SYNTAX, position)
    assert complaint in str(caught.value)
