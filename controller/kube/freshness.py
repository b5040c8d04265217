"""How far a view of the cluster may be trusted, and the readings that follow from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from controller.kube.link import LinkTracker
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.ports import Clock

T = TypeVar("T")

WATCH_GRACE_S: Final = 15.0
"""A watch may be down for this long before its view counts as stale."""


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """How far a view may be trusted for a stretch of time: one object for the whole stretch.

    `why` is None while the view is fresh; else `at` is when it was last known to be true, or, if it
    was never `listed`, when the reason was found out (Unix seconds).
    """

    listed: bool
    why: Why | None
    detail: str
    at: float
    clock_epoch: int


class Freshness:
    """One view: when it last proved to be true, and since when and why it no longer does.

    The rules, first match wins: never listed in full → Absent; known to have missed something →
    Stale(VIEW_INCOMPLETE); watch or link down for longer than the grace → Stale; else Fresh.
    Ages are monotonic; they become Unix seconds only in what is returned.
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
        self._seen = self._down_since = link.monotonic()
        self._listed = False
        self._missed = False
        self._open = False
        self._why = Why.NEVER_READ
        self._detail = ""
        self._trust = self._trust_now()
        self._settled = False  # True: only the link or the clock can change the trust

    @property
    def listed(self) -> bool:
        """A complete list was read at least once."""
        return self._listed

    @property
    def answered(self) -> bool:
        """A complete list was read, or it is known why there is none."""
        return self._listed or self._why is not Why.NEVER_READ

    def completed(self) -> None:
        """A complete list was read."""
        self._listed, self._missed = True, False
        self._seen = self._down_since = self._monotonic()
        self._why, self._detail = Why.NEVER_READ, ""
        self._settled = False
        self._on_answer()

    def alive(self) -> None:
        """The watch was opened, or brought a line."""
        self._open = True
        self._seen = self._monotonic()
        self._why, self._detail = Why.NEVER_READ, ""

    def interrupted(self) -> None:
        """The watch ended normally and is about to be opened again."""
        if self._open:
            self._open, self._down_since = False, self._monotonic()
            self._settled = False

    def missed(self) -> None:
        """Changes were missed, or a list broke off: no complete view until the next list."""
        self._missed = True
        self._settled = False

    def broke(self, why: Why, detail: str) -> None:
        """The list or the watch failed."""
        self.interrupted()
        self._why, self._detail = why, detail
        self._settled = False
        self._on_answer()

    def trust(self) -> Trust:
        """How far the view may be trusted now; the same object while nothing about that changes.
        While the view is fresh this costs a few comparisons.
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
        self._settled = now.why is None and self._open
        return self._trust

    def judge(self, value: T) -> Reading[T]:
        """The value as a reading, as far as the view may be trusted. Of a fresh view `at` is now,
        or when the watch last brought a line if it is being opened again.
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
        if not self._open and self._monotonic() - self._down_since > self._grace_s:
            why = Why.DISCONNECTED if self._why is Why.NEVER_READ else self._why
            return Trust(True, why, self._detail, self._seen_at(), epoch)
        return Trust(True, None, "", 0.0, epoch)

    def _seen_at(self) -> float:
        """When the view last proved to be true, in Unix seconds."""
        return self._clock.now() - (self._monotonic() - self._seen)
