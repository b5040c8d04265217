"""Whether a view of the cluster is up to date, and the readings that follow from that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from controller.kube.link import LinkTracker
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.ports.clock import Clock

T = TypeVar("T")

WATCH_GRACE_S: Final = 15.0
"""A watch may be down for this long before its view counts as stale."""
STEADY_S: Final = 5.0
"""A watch that has been open this long works, even without a line."""


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """Whether a view is up to date. It stays the same object until that changes.

    `why` is None while the view is fresh. Else `at` (Unix seconds) is when the view was last known
    to be right, or, if it was never `listed`, when the reason was found.
    """

    listed: bool
    why: Why | None
    detail: str
    at: float
    clock_epoch: int


class Freshness:
    """Tracks one view: when it was last confirmed, and if it no longer is, since when and why.

    The first rule that matches applies: never listed in full → Absent; known to have missed changes
    → Stale(VIEW_INCOMPLETE); watch or link down for longer than `grace_s` → Stale; else Fresh.
    Ages are monotonic; only returned times are Unix seconds.
    """

    def __init__(
        self,
        clock: Clock,
        link: LinkTracker,
        *,
        on_answer: Callable[[], None] = lambda: None,
        grace_s: float = WATCH_GRACE_S,
    ) -> None:
        """`on_answer` is called whenever a list ends, complete or not."""
        self._clock = clock
        self._link = link
        self._on_answer = on_answer
        self._grace_s = grace_s
        self._monotonic = link.monotonic
        self._seen = self._opened_at = link.monotonic()
        self._down_since: float | None = self._seen
        self._listed = False
        self._missed = False
        self._open = False
        self._why = Why.NEVER_READ
        self._detail = ""
        self._trust = self._trust_now()
        self._settled = False  # True: only the link or the clock can change the trust

    @property
    def listed(self) -> bool:
        """Whether a complete list was read at least once."""
        return self._listed

    @property
    def answered(self) -> bool:
        """Whether a complete list was read, or it is known why there is none."""
        return self._listed or self._why is not Why.NEVER_READ

    def completed(self) -> None:
        """Note that a complete list was read."""
        self._listed, self._missed = True, False
        self._seen = self._down_since = self._monotonic()
        self._why, self._detail = Why.NEVER_READ, ""
        self._settled = False
        self._on_answer()

    def opened(self) -> None:
        """Note that the watch was opened. It counts as up after its first line or `STEADY_S`."""
        self._open, self._opened_at = True, self._monotonic()
        self._settled = False

    def confirmed(self) -> None:
        """Note that the watch had a line."""
        self._seen, self._down_since = self._monotonic(), None
        self._why, self._detail = Why.NEVER_READ, ""

    def interrupted(self) -> None:
        """Note that the watch ended normally and will be opened again."""
        if self._open:
            now = self._monotonic()
            if self._down_since is None or self._is_steady(now):
                self._down_since = now
            self._open, self._settled = False, False

    def missed(self, detail: str = "") -> None:
        """Note that changes were missed, or a list broke off: the next list must be complete."""
        self._missed = True
        self._why, self._detail = Why.VIEW_INCOMPLETE, detail or self._detail
        self._settled = False

    def broke(self, why: Why, detail: str) -> None:
        """Note that the list or the watch failed."""
        self.interrupted()
        self._why, self._detail = why, detail
        self._settled = False
        self._on_answer()

    def trust(self) -> Trust:
        """Whether the view is up to date now; the same object until that changes. While the view is
        fresh this costs a few comparisons.
        """
        link, known = self._link, self._trust
        if self._settled and link.is_up and known.clock_epoch == link.clock_epoch:
            return known
        now = self._trust_now()
        if (now.why, now.detail, now.listed, now.clock_epoch) != (
            known.why,
            known.detail,
            known.listed,
            known.clock_epoch,
        ):
            self._trust = now
        self._settled = now.why is None and self._open and self._down_since is None
        return self._trust

    def judge(self, value: T) -> Reading[T]:
        """The value as a reading, by the rules of this class. For a fresh view `at` is now, or the
        time of the watch's last line if the watch is being opened again.
        """
        trust = self.trust()
        if trust.why is None:
            return Fresh(value=value, at=self._clock.now() if self._open else self._seen_at())
        if not trust.listed:
            return Absent(why=trust.why, at=trust.at, detail=trust.detail)
        return Stale(value=value, at=trust.at, why=trust.why, detail=trust.detail)

    def _trust_now(self) -> Trust:
        epoch = self._link.clock_epoch
        if not self._listed:
            why = Why.VIEW_INCOMPLETE if self._missed else self._why
            return Trust(False, why, self._detail, self._clock.now(), epoch)
        if self._missed:
            detail = self._detail or "changes were missed; a new list is being read"
            return Trust(True, Why.VIEW_INCOMPLETE, detail, self._seen_at(), epoch)
        if self._open and (silent_s := self._link.silent_for()) > self._grace_s:
            at = self._clock.now() - silent_s
            return Trust(True, self._link.why, self._link.detail, at, epoch)
        if self._down_for() > self._grace_s:
            why = Why.DISCONNECTED if self._why is Why.NEVER_READ else self._why
            return Trust(True, why, self._detail, self._seen_at(), epoch)
        return Trust(True, None, "", 0.0, epoch)

    def _down_for(self) -> float:
        """The seconds since the watch last worked; 0.0 while it does."""
        now = self._monotonic()
        if self._open and self._is_steady(now):
            self._down_since, self._why, self._detail = None, Why.NEVER_READ, ""
        return 0.0 if self._down_since is None else now - self._down_since

    def _is_steady(self, now: float) -> bool:
        return now - self._opened_at >= STEADY_S

    def _seen_at(self) -> float:
        """When the view was last confirmed, in Unix seconds."""
        return self._clock.now() - (self._monotonic() - self._seen)
