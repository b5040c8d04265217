"""The time of a plan, and until when an answer that depends on it stays the same."""

from __future__ import annotations

from math import inf, nextafter


class Moment:
    """The time `now` (Unix seconds) for the rules of one pool.

    Rules compare times only by `reached` and `passed`, which note when their answer will change.
    Before `changes_at`, the earliest of these times, the same input gives the same result.
    """

    __slots__ = ("changes_at", "now")

    def __init__(self, now: float, changes_at: float = inf) -> None:
        self.now = now
        self.changes_at = changes_at

    def reached(self, at: float) -> bool:
        """Whether it is `at` or later."""
        if at <= self.now:
            return True
        self.changes_at = min(self.changes_at, at)
        return False

    def note(self, at: float) -> None:
        """Note that an answer may change at `at`, a time after now."""
        self.changes_at = min(self.changes_at, at)

    def passed(self, at: float) -> bool:
        """Whether it is later than `at`."""
        return self.reached(nextafter(at, inf))
