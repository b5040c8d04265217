"""The recent pace of tokens."""

from __future__ import annotations

from decimal import Decimal
from math import exp, log
from typing import Final

BURN_HALF_LIFE_S: Final = 600.0
"""Tokens are reported when a task ends, and tasks take up to half an hour: with a shorter half-life
the end of each long task would look like a burst.
"""

_THOUSANDTH: Final = Decimal("0.001")


class BurnRate:
    """Tokens per minute: a decaying average, halved in each half-life."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._at = 0.0

    def add(self, tokens: float, at: float) -> None:
        """Add tokens that were used at `at` (Unix seconds)."""
        self._sum = self._left(at) + tokens
        self._at = max(self._at, at)

    def per_minute(self, now: float) -> Decimal:
        """The rate at `now`."""
        rate = self._left(now) * 60 * log(2) / BURN_HALF_LIFE_S
        return Decimal(rate).quantize(_THOUSANDTH)

    def _left(self, at: float) -> float:
        return self._sum * exp(-log(2) * max(0.0, at - self._at) / BURN_HALF_LIFE_S)
