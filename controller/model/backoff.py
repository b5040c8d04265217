"""How long to wait before something that failed is tried again."""

from __future__ import annotations

import random as _random
from collections.abc import Callable


class Backoff:
    """Waits that double from `first_s` up to `most_s`, with full jitter.

    Each wait is drawn evenly from 0 to the present limit, so that many clients of one server do not
    come back together (AWS Architecture Blog, "Exponential Backoff And Jitter").
    """

    def __init__(
        self, first_s: float, most_s: float, *, random: Callable[[], float] = _random.random
    ) -> None:
        """`random` gives numbers from 0 up to 1."""
        self._first_s = first_s
        self._most_s = most_s
        self._random = random
        self._limit_s = first_s

    def next_s(self) -> float:
        """How many seconds to wait after one more failure."""
        limit_s = min(self._limit_s, self._most_s)
        self._limit_s = limit_s * 2
        return self._random() * limit_s

    def reset(self) -> None:
        """Begin with the first wait again, after something worked."""
        self._limit_s = self._first_s
