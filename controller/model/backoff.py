"""Exponential backoff: how long to wait before a failed call is tried again."""

from __future__ import annotations

import random as _random
from collections.abc import Callable
from typing import Final

_MOST_DOUBLINGS: Final = 32
"""A limit on the exponent against float overflow; every wait has reached its cap before."""


class Backoff:
    """Exponential backoff with full jitter: a random wait between 0 and min(most, first · 2ⁿ).

    Full jitter keeps clients that failed together from coming back together (AWS Architecture Blog,
    "Exponential Backoff and Jitter"). `first_s` and `most_s` are seconds; `random` returns a number
    from 0 to 1, as `random.random` does. With `no_jitter` each wait is the longest it may be.
    """

    def __init__(
        self, first_s: float, most_s: float, *, random: Callable[[], float] = _random.random
    ) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._random = random
        self._failures = 0

    def next_s(self) -> float:
        """Count one more failure; returns how many seconds to wait."""
        longest_s = min(self._most_s, self._first_s * 2.0 ** min(self._failures, _MOST_DOUBLINGS))
        self._failures += 1
        return longest_s * self._random()

    def reset(self) -> None:
        """Start again with the first wait, because a call has succeeded."""
        self._failures = 0


def no_jitter() -> float:
    """Stands in for a random number where waits must not vary."""
    return 1.0
