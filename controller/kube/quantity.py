"""Kubernetes quantities, exactly: "250m" is a quarter, "512Mi" so many bytes."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import lru_cache
from typing import Final

from controller.kube.wire import WireQuantity
from controller.model.text import clean

MOST: Final = 2**63 - 1
"""resource.Quantity keeps no more than an int64 of whole units."""

_QUANTITY: Final = re.compile(
    r"(?P<number>[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20}))"
    r"(?:(?P<exponent>[eE][+-]?[0-9]{1,2})|(?P<suffix>[numkMGTPE]|[KMGTPE]i))?"
)
# apimachinery, resource.Quantity: decimal and binary suffixes
_SUFFIXES: Final = {
    **{letter: Fraction(1, 1000**power) for power, letter in enumerate("mun", start=1)},
    **{letter: Fraction(1000**power) for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", start=1)},
}


@lru_cache(maxsize=1024)
def exact(written: WireQuantity) -> Fraction:
    """The amount, 0 or more. Raises ValueError for what is no quantity, or none that can be."""
    found = _QUANTITY.fullmatch(str(written))
    if found is None:
        raise ValueError(f"{clean(written, 40)!r} is no quantity")
    amount = Fraction(found["number"] + (found["exponent"] or ""))
    amount *= _SUFFIXES[found["suffix"]] if found["suffix"] else 1
    if not 0 <= amount <= MOST:
        raise ValueError(f"{clean(written, 40)!r} is no amount that can be")
    return amount


def at_most(written: WireQuantity, per_one: int = 1) -> int:
    """What may be used, in units of which `per_one` make 1: part of a unit is none. Raises
    ValueError.
    """
    return math.floor(exact(written) * per_one)


def at_least(amount: Fraction, per_one: int = 1) -> int:
    """What is asked for, in units of which `per_one` make 1: part of a unit is one (Quantity.Value
    and MilliValue round up).
    """
    return math.ceil(amount * per_one)
