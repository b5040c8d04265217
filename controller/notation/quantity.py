"""Parses Kubernetes quantities exactly, such as "250m" (1/4) and "512Mi" (512 · 2²⁰).

Source: apimachinery, pkg/api/resource/quantity.go. Digits are ASCII and their number is limited, so
that no text can make the arithmetic slow.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final

from controller.model.text import clean
from controller.model.value import INT64_MAX

QUANTITY_PATTERN: Final = (
    r"[+-]?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})"
    r"([eE][+-]?[0-9]{1,2}|[numkMGTPE]|[KMGTPE]i)?"
)
"""A quantity, as a regular expression that JSON Schema understands too."""

_QUANTITY: Final = re.compile(QUANTITY_PATTERN)
_SUFFIXES: Final = {
    **{letter: Fraction(1, 1000**power) for power, letter in enumerate("mun", start=1)},
    **{letter: Fraction(1000**power) for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", start=1)},
}
_ECHO_LENGTH: Final = 40


class QuantityError(ValueError):
    """A text that is not a quantity, or an implausible amount."""


class ImplausibleAmountError(QuantityError):
    """An implausible amount: negative, or more than Kubernetes can count (int64)."""


@lru_cache(maxsize=1024, typed=True)
def exact_quantity(written: str | float) -> Fraction:
    """The exact value of a quantity, which may be negative. Raises QuantityError."""
    found = _QUANTITY.fullmatch(str(written))
    if found is None:
        raise QuantityError(f"{_quoted(written)} is no quantity")
    suffix = found[3] or ""
    if suffix not in _SUFFIXES:  # none, or an exponent
        return Fraction(found[0])
    return Fraction(found[0].removesuffix(suffix)) * _SUFFIXES[suffix]


def exact_amount(written: str | float) -> Fraction:
    """The exact value of a quantity that must be from 0 to INT64_MAX, the most that
    resource.Quantity can hold. Raises QuantityError, and ImplausibleAmountError outside the range.
    """
    amount = exact_quantity(written)
    if amount < 0:
        raise ImplausibleAmountError(f"{_quoted(written)} is negative")
    if amount > INT64_MAX:
        raise _too_much(_quoted(written))
    return amount


def rounded_down(amount: Fraction, per_one: int = 1) -> int:
    """In whole units (`per_one` make 1), for room. Raises ImplausibleAmountError."""
    return _countable(math.floor(amount * per_one), amount)


def rounded_up(amount: Fraction, per_one: int = 1) -> int:
    """The amount in whole units, of which `per_one` make 1, rounded up; for requests and metrics
    (Quantity.Value and MilliValue round up). Raises ImplausibleAmountError above INT64_MAX units.
    """
    return _countable(math.ceil(amount * per_one), amount)


def _countable(units: int, amount: Fraction) -> int:
    if units > INT64_MAX:
        raise _too_much(f"{float(amount):g}")
    return units


def _too_much(shown: str) -> ImplausibleAmountError:
    return ImplausibleAmountError(f"{shown} is more than Kubernetes can count")


def _quoted(written: str | float) -> str:
    return repr(clean(written, _ECHO_LENGTH))


DECIMAL_PATTERN: Final = r"-?[0-9]{1,18}(\.[0-9]{1,18})?"
"""A decimal number, as a regular expression that JSON Schema understands too."""

_DECIMAL: Final = re.compile(DECIMAL_PATTERN)
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")


def read_decimal(text: str) -> Decimal:
    """The exact number of a text such as "-1.25". Raises ValueError."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError("must be a number, such as 3 or 0.25")
    return Decimal(text)


def read_whole(text: str) -> int:
    """The whole number of a text such as "42". Raises ValueError."""
    if not _WHOLE.fullmatch(text):
        raise ValueError("must be a whole number, such as 42")
    return int(text)


_UNITS: Final = {
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("1e-3"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ns": Decimal("1e-9"),
}
_TERM: Final = r"([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))"

GO_DURATION_PATTERN: Final = rf"(0|{_TERM}+)"
"""Go's spelling, as a regular expression that JSON Schema understands too."""

_GO_DURATION: Final = re.compile(GO_DURATION_PATTERN)
_ONE_TERM: Final = re.compile(_TERM)
_MAX_CHARACTERS: Final = 40


def read_duration(text: str) -> float:
    """The seconds of a duration in Go's spelling. Raises ValueError."""
    if len(text) > _MAX_CHARACTERS or not _GO_DURATION.fullmatch(text):
        raise ValueError('must be a duration: a number of seconds, or like "15m", "1h30m", "500ms"')
    terms = (found.groups() for found in _ONE_TERM.finditer(text))
    return float(sum(Decimal(term.removesuffix(unit)) * _UNITS[unit] for term, _, unit in terms))


def spell_duration(seconds: float) -> str:
    """Seconds in Go's spelling: 900 is "15m"."""
    for size, unit in ((3600, "h"), (60, "m"), (1, "s")):
        if seconds and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0s"
