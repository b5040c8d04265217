"""When a failed write is tried again: exponential backoff, separately for each pool."""

from __future__ import annotations

from typing import Final

from controller.model.decision import Outcome, OutcomeKind
from controller.model.ids import PoolKey
from controller.model.servers import Backoff, no_jitter

WRITE_RETRY_FIRST_S: Final = 1.0
WRITE_RETRY_MOST_S: Final = 60.0

FREE_CONFLICTS: Final = 2
"""After a conflict the pool is decided again at once: another writer was faster, and the API server
works. After more than these in a row, without news from the watch, our view of it is outdated."""
_NO_WAIT: Final = frozenset({OutcomeKind.APPLIED, OutcomeKind.READ_ONLY})


class WriteBackoff:
    """For each pool, the time from which the next write may be tried (Unix seconds).

    The waits have no jitter: only one process writes, so no others retry at the same moment.
    """

    def __init__(self) -> None:
        self._backoffs: dict[PoolKey, Backoff] = {}
        self._until: dict[PoolKey, float] = {}
        self._conflicts: dict[PoolKey, int] = {}

    def learn(self, pool: PoolKey, outcome: Outcome, now: float) -> None:
        """Set the pool's wait after an outcome: the backoff or the server's Retry-After, whichever
        is longer. A write that was applied or not sent (read-only) ends the wait, and the first
        conflicts do.
        """
        if outcome.kind is OutcomeKind.CONFLICT:
            self._conflicts[pool] = self._conflicts.get(pool, 0) + 1
        is_free = outcome.kind is OutcomeKind.CONFLICT and not self.is_outdated(pool)
        if outcome.kind in _NO_WAIT or is_free:
            self._backoffs.pop(pool, None)
            self._until.pop(pool, None)
            return
        backoff = self._backoffs.get(pool)
        if backoff is None:
            backoff = self._backoffs[pool] = Backoff(
                WRITE_RETRY_FIRST_S, WRITE_RETRY_MOST_S, random=no_jitter
            )
        self._until[pool] = now + max(backoff.next_s(), outcome.retry_after_s or 0.0)

    def holds(self, pool: PoolKey, now: float) -> bool:
        """Whether it is too early to write for this pool."""
        return now < self._until.get(pool, 0.0)

    def heard_of(self, pool: PoolKey) -> None:
        """A watch reported a change of this pool: its next conflict is the first one."""
        self._conflicts.pop(pool, None)

    def is_outdated(self, pool: PoolKey) -> bool:
        """Whether the view of this pool lags behind the changes that its writes lose against."""
        return self._conflicts.get(pool, 0) > FREE_CONFLICTS

    def outdated(self) -> list[PoolKey]:
        """The pools that are so, sorted."""
        return sorted(pool for pool in self._conflicts if self.is_outdated(pool))

    def shift(self, seconds: float) -> None:
        """Add a step of the clock to all remembered times."""
        self._until = {pool: until + seconds for pool, until in self._until.items()}
