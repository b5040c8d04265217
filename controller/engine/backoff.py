"""When a failing write is tried again: later each time, for each pool by itself."""

from __future__ import annotations

from typing import Final

from controller.model.ids import PoolKey
from controller.model.outcome import Outcome, OutcomeKind

FIRST_S: Final = 1.0
LONGEST_S: Final = 60.0

# a conflict is no failure: somebody else was faster, and the next tick decides on the new number
_NO_WAIT: Final = frozenset({OutcomeKind.APPLIED, OutcomeKind.CONFLICT, OutcomeKind.READ_ONLY})


class WriteBackoff:
    """For each pool, from when on the next write may be tried (Unix seconds)."""

    def __init__(self) -> None:
        self._delays: dict[PoolKey, float] = {}
        self._until: dict[PoolKey, float] = {}

    def learn(self, pool: PoolKey, outcome: Outcome, now: float) -> None:
        """Take an outcome into account; the server's own Retry-After counts where it is longer."""
        if outcome.kind in _NO_WAIT:
            self._delays.pop(pool, None)
            self._until.pop(pool, None)
            return
        delay = min(LONGEST_S, self._delays.get(pool, FIRST_S / 2) * 2)
        self._delays[pool] = delay
        self._until[pool] = now + max(delay, outcome.retry_after_s or 0.0)

    def holds(self, pool: PoolKey, now: float) -> bool:
        """Whether it is too early to write for this pool."""
        return now < self._until.get(pool, 0.0)

    def shift(self, seconds: float) -> None:
        """Follow a step of the clock."""
        self._until = {pool: until + seconds for pool, until in self._until.items()}
