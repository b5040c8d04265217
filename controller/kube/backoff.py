"""How long to wait before trying again."""

from __future__ import annotations

import random


class Backoff:
    """Exponential with full jitter: 0 … min(cap, base·2ⁿ) seconds, so that many clients do not come
    back together (AWS Architecture Blog, "Exponential Backoff and Jitter").
    """

    def __init__(self, base_s: float, cap_s: float, dice: random.Random) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._dice = dice
        self._failures = 0

    def failed(self) -> float:
        """Count a failure; returns the seconds to wait."""
        ceiling = min(self._cap_s, self._base_s * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return self._dice.uniform(0.0, ceiling)

    def worked(self) -> None:
        """Begin anew."""
        self._failures = 0
