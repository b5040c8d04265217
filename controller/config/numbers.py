"""Exact numbers of the fleet file: money, weights and shares, and quantities as Kubernetes writes
them. Nothing is rounded: what cannot be kept exactly is refused.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

INT64_MAX: Final = 2**63 - 1
USD_LIMIT: Final = 1_000_000_000
WEIGHT_LIMIT: Final = 1_000_000

# a float keeps this many digits of what was written, whatever they are
_FLOAT_DIGITS: Final = 15
_DECIMAL: Final = r"^-?[0-9]{1,18}(\.[0-9]{1,18})?$"
_DECIMAL_TEXT: Final = re.compile(_DECIMAL.removesuffix("$") + r"\Z")

_QUANTITY: Final = (
    r"^[+-]?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})"
    r"([eE][+-]?[0-9]{1,2}|[numkMGTPE]|[KMGTPE]i)?$"
)
_QUANTITY_TEXT: Final = re.compile(
    r"(?P<number>[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20}))"
    r"(?:(?P<exponent>[eE][+-]?[0-9]{1,2})|(?P<suffix>[numkMGTPE]|[KMGTPE]i))?\Z"
)
# apimachinery, resource.Quantity: decimal and binary suffixes
_SUFFIXES: Final = {
    **{letter: Fraction(1, 1000**power) for power, letter in enumerate("mun", start=1)},
    **{letter: Fraction(1000**power) for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", start=1)},
}


@dataclass(frozen=True, slots=True)
class Exact:
    """Reads a decimal number between two limits, which belong to it unless they are open."""

    low: int
    high: int
    open_low: bool = False
    open_high: bool = False

    def __call__(self, written: object) -> Decimal:
        """The number as it is written. Raises ValueError."""
        number = self._number(written)
        too_low = number <= self.low if self.open_low else number < self.low
        too_high = number >= self.high if self.open_high else number > self.high
        if too_low or too_high:
            low = f"{'more than' if self.open_low else 'at least'} {self.low}"
            high = f"{'less than' if self.open_high else 'at most'} {self.high}"
            raise ValueError(f"must be {low} and {high}")
        return number

    @staticmethod
    def _number(written: object) -> Decimal:
        text = _spelled(written)
        if isinstance(written, str) and not _DECIMAL_TEXT.match(written):
            text = None
        if text is None:
            raise ValueError("must be a number, such as 3 or 0.25")
        return Decimal(text)

    def schema(self) -> dict[str, Any]:
        """What it takes, as JSON Schema."""
        low = "exclusiveMinimum" if self.open_low else "minimum"
        high = "exclusiveMaximum" if self.open_high else "maximum"
        return {
            "anyOf": [
                {"type": "number", low: self.low, high: self.high},
                {"type": "string", "pattern": _DECIMAL},
            ]
        }


@dataclass(frozen=True, slots=True)
class Quantity:
    """Reads a Kubernetes quantity as a whole number of units, of which `per_one` make 1.

    `unit` and `example` are for the person whose quantity is none.
    """

    per_one: int
    unit: str
    example: str
    open_low: bool = False

    def __call__(self, written: object) -> int:
        """The quantity in units, 0 or more. Raises ValueError."""
        amount = self._amount(written) * self.per_one
        if amount < 0 or (self.open_low and amount == 0):
            raise ValueError(f"must be {'more than' if self.open_low else 'at least'} 0")
        if amount.denominator != 1:
            raise ValueError(f"must be a whole number of {self.unit}")
        if amount > INT64_MAX:
            raise ValueError(f"must be at most {INT64_MAX} {self.unit}, the most Kubernetes counts")
        return int(amount)

    def _amount(self, written: object) -> Fraction:
        text = _spelled(written)
        found = _QUANTITY_TEXT.match(text) if text is not None else None
        if found is None:
            raise ValueError(f"must be a quantity, such as {self.example}")
        number = Fraction(found["number"] + (found["exponent"] or ""))
        return number * _SUFFIXES[found["suffix"]] if found["suffix"] else number

    def schema(self) -> dict[str, Any]:
        """What it takes, as JSON Schema."""
        low = "exclusiveMinimum" if self.open_low else "minimum"
        return {"anyOf": [{"type": "number", low: 0}, {"type": "string", "pattern": _QUANTITY}]}


def _spelled(written: object) -> str | None:
    """A number as it was written; None for what is none. Raises ValueError where it was cut."""
    if isinstance(written, bool):
        return None
    if isinstance(written, float):
        if not math.isfinite(written):
            return None
        text = repr(written)
        if len(Decimal(text).normalize().as_tuple().digits) > _FLOAT_DIGITS:
            raise ValueError("has more digits than are kept: write fewer, or put it in quotes")
        return text
    return str(written) if isinstance(written, int | str) else None


_USD: Final = Exact(0, USD_LIMIT)
_WEIGHT: Final = Exact(0, WEIGHT_LIMIT, open_low=True)
_SHARE: Final = Exact(0, 1)
_PART: Final = Exact(0, 1, open_high=True)
_FACTOR: Final = Exact(0, 1000)
_SECONDS: Final = Exact(0, 30 * 86_400, open_low=True)
_CPU: Final = Quantity(1000, "millicores", '"500m" or 2')
_MEMORY: Final = Quantity(1, "bytes", '"512Mi" or "16Gi"')
_METRIC: Final = Quantity(1000, "thousandths", '"30", "500m" or "2k"')
_TARGET: Final = Quantity(1000, "thousandths", '"30", "500m" or "2k"', open_low=True)
_TOLERANCE: Final = Quantity(10**9, "billionths", '"0.05" or "50m"')


def _tolerance(written: object) -> Decimal:
    return Decimal(_TOLERANCE(written)).scaleb(-9).normalize()


Usd = Annotated[Decimal, BeforeValidator(_USD), WithJsonSchema(_USD.schema())]
Weight = Annotated[Decimal, BeforeValidator(_WEIGHT), WithJsonSchema(_WEIGHT.schema())]
Share = Annotated[Decimal, BeforeValidator(_SHARE), WithJsonSchema(_SHARE.schema())]
Part = Annotated[Decimal, BeforeValidator(_PART), WithJsonSchema(_PART.schema())]
"""A share of less than all."""
Factor = Annotated[Decimal, BeforeValidator(_FACTOR), WithJsonSchema(_FACTOR.schema())]
Seconds = Annotated[Decimal, BeforeValidator(_SECONDS), WithJsonSchema(_SECONDS.schema())]
Cpu = Annotated[int, BeforeValidator(_CPU), WithJsonSchema(_CPU.schema())]
"""Millicores."""
Memory = Annotated[int, BeforeValidator(_MEMORY), WithJsonSchema(_MEMORY.schema())]
"""Bytes."""
MetricValue = Annotated[int, BeforeValidator(_METRIC), WithJsonSchema(_METRIC.schema())]
"""Thousandths of the metric's unit."""
MetricTarget = Annotated[int, BeforeValidator(_TARGET), WithJsonSchema(_TARGET.schema())]
"""Thousandths of the metric's unit, more than none."""
Tolerance = Annotated[Decimal, BeforeValidator(_tolerance), WithJsonSchema(_TOLERANCE.schema())]
