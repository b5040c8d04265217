"""Exact numbers of the fleet file: money, weights, shares, and Kubernetes quantities. Nothing is
rounded: a number that cannot be represented exactly is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

from controller.model.limits import INT64_MAX, MILLI
from controller.notation.decimals import DECIMAL_PATTERN, read_decimal
from controller.notation.quantity import QUANTITY_PATTERN, QuantityError, exact_quantity

MAX_USD: Final = 1_000_000_000
"""The largest amount in USD; no fleet costs so much in an hour."""
MAX_WEIGHT: Final = 1_000_000
"""The largest weight; only the ratios of weights matter."""

# a float keeps this many digits of what was written, whatever they are
_FLOAT_DIGITS: Final = 15


@dataclass(frozen=True, slots=True)
class DecimalReader:
    """Reads a decimal number between two limits. A limit itself is allowed unless it is open."""

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
        if isinstance(written, str):
            return read_decimal(written)
        text = _spelled(written)
        if text is None:
            raise ValueError("must be a number, such as 3 or 0.25")
        return Decimal(text)

    def schema(self) -> dict[str, Any]:
        """The values that it takes, as JSON Schema."""
        low = "exclusiveMinimum" if self.open_low else "minimum"
        high = "exclusiveMaximum" if self.open_high else "maximum"
        return {
            "anyOf": [
                {"type": "number", low: self.low, high: self.high},
                {"type": "string", "pattern": f"^{DECIMAL_PATTERN}$"},
            ]
        }


@dataclass(frozen=True, slots=True)
class QuantityReader:
    """Reads a Kubernetes quantity as a whole number of units, of which `per_one` make 1.

    The messages name `unit` and `example`.
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
        text = written if isinstance(written, str) else _spelled(written)
        try:
            return exact_quantity("" if text is None else text)
        except QuantityError:
            raise ValueError(f"must be a quantity, such as {self.example}") from None

    def schema(self) -> dict[str, Any]:
        """The values that it takes, as JSON Schema."""
        low = "exclusiveMinimum" if self.open_low else "minimum"
        pattern = f"^{QUANTITY_PATTERN}$"
        return {"anyOf": [{"type": "number", low: 0}, {"type": "string", "pattern": pattern}]}


def _spelled(written: object) -> str | None:
    """A number of YAML as it was written; None for any other value. Raises ValueError if digits of
    it are lost.
    """
    if isinstance(written, bool):
        return None
    if isinstance(written, float):
        if not math.isfinite(written):
            return None
        text = repr(written)
        if len(Decimal(text).normalize().as_tuple().digits) > _FLOAT_DIGITS:
            raise ValueError("has more digits than are kept: write fewer, or put it in quotes")
        return text
    return str(written) if isinstance(written, int) else None


_USD: Final = DecimalReader(0, MAX_USD)
_WEIGHT: Final = DecimalReader(0, MAX_WEIGHT, open_low=True)
_SHARE: Final = DecimalReader(0, 1)
_SHARE_BELOW_ONE: Final = DecimalReader(0, 1, open_high=True)
_FACTOR: Final = DecimalReader(0, 1000)
_TASK_SECONDS: Final = DecimalReader(0, 30 * 86_400, open_low=True)
_CORES: Final = QuantityReader(MILLI, "millicores", '"500m" or 2')
_BYTES: Final = QuantityReader(1, "bytes", '"512Mi" or "16Gi"')
_METRIC: Final = QuantityReader(MILLI, "thousandths", '"30", "500m" or "2k"')
_METRIC_TARGET: Final = QuantityReader(MILLI, "thousandths", '"30", "500m" or "2k"', open_low=True)
_BILLIONTHS: Final = QuantityReader(10**9, "billionths", '"0.05" or "50m"')


def _tolerance(written: object) -> Decimal:
    return Decimal(_BILLIONTHS(written)).scaleb(-9).normalize()


Usd = Annotated[Decimal, BeforeValidator(_USD), WithJsonSchema(_USD.schema())]
Weight = Annotated[Decimal, BeforeValidator(_WEIGHT), WithJsonSchema(_WEIGHT.schema())]
Share = Annotated[Decimal, BeforeValidator(_SHARE), WithJsonSchema(_SHARE.schema())]
ShareBelowOne = Annotated[
    Decimal, BeforeValidator(_SHARE_BELOW_ONE), WithJsonSchema(_SHARE_BELOW_ONE.schema())
]
Factor = Annotated[Decimal, BeforeValidator(_FACTOR), WithJsonSchema(_FACTOR.schema())]
TaskSeconds = Annotated[
    Decimal, BeforeValidator(_TASK_SECONDS), WithJsonSchema(_TASK_SECONDS.schema())
]
Cpu = Annotated[int, BeforeValidator(_CORES), WithJsonSchema(_CORES.schema())]
"""Millicores."""
Memory = Annotated[int, BeforeValidator(_BYTES), WithJsonSchema(_BYTES.schema())]
"""Bytes."""
MetricQuantity = Annotated[int, BeforeValidator(_METRIC), WithJsonSchema(_METRIC.schema())]
"""Thousandths of the metric's unit."""
MetricTarget = Annotated[
    int, BeforeValidator(_METRIC_TARGET), WithJsonSchema(_METRIC_TARGET.schema())
]
"""Thousandths of the metric's unit, more than 0."""
Tolerance = Annotated[Decimal, BeforeValidator(_tolerance), WithJsonSchema(_BILLIONTHS.schema())]
