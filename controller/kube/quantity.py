"""Kubernetes quantities, exactly: "250m" is a quarter, "512Mi" is 536,870,912."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import lru_cache
from typing import Final

from controller.kube.wire import WireQuantity
from controller.model.limits import INT64_MAX
from controller.model.text import clean

_QUOTED_LENGTH: Final = 40
"""So many characters of a quantity are quoted in a message."""
_SYNTAX: Final = re.compile(
    r"(?P<number>[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20}))"
    r"(?:(?P<exponent>[eE][+-]?[0-9]{1,2})|(?P<suffix>[numkMGTPE]|[KMGTPE]i))?"
)
# apimachinery, resource.Quantity: decimal and binary suffixes
_FACTORS: Final = {
    **{letter: Fraction(1, 1000**power) for power, letter in enumerate("mun", start=1)},
    **{letter: Fraction(1000**power) for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", start=1)},
}


class ImplausibleAmountError(ValueError):
    """An amount that nothing can have: negative, or more than Kubernetes can count."""


@lru_cache(maxsize=1024)
def exact(written: WireQuantity) -> Fraction:
    """The amount, from 0 to INT64_MAX. Raises ValueError for text that is no quantity, and
    ImplausibleAmountError.
    """
    found = _SYNTAX.fullmatch(str(written))
    if found is None:
        raise ValueError(f"{_quoted(written)} is no quantity")
    amount = Fraction(found["number"] + (found["exponent"] or ""))
    amount *= _FACTORS[found["suffix"]] if found["suffix"] else 1
    if amount < 0:
        raise ImplausibleAmountError(f"{_quoted(written)} is negative")
    if amount > INT64_MAX:
        raise _too_much(written)
    return amount


def rounded_down(written: WireQuantity, per_one: int = 1) -> int:
    """An amount that may be used, in units of which `per_one` make 1. Raises as `exact` does."""
    units = math.floor(exact(written) * per_one)
    if units > INT64_MAX:
        raise _too_much(written)
    return units


def rounded_up(amount: Fraction, per_one: int = 1) -> int:
    """An amount that is asked for, in units of which `per_one` make 1 (Quantity.Value and
    MilliValue round up). Raises ImplausibleAmountError.
    """
    units = math.ceil(amount * per_one)
    if units > INT64_MAX:
        raise _too_much(f"{float(amount):g}")
    return units


def _too_much(written: WireQuantity) -> ImplausibleAmountError:
    return ImplausibleAmountError(f"{_quoted(written)} is more than Kubernetes can count")


def _quoted(written: WireQuantity) -> str:
    return repr(clean(written, _QUOTED_LENGTH))
