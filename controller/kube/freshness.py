"""How far a view of the cluster may be trusted, and the readings that follow from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from controller.kube.link import LinkTracker
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.ports import Clock

T = TypeVar("T")

GRACE_S: Final = 15.0
"""A watch may be down for so long before what it last said counts as stale."""


class Freshness:
    """One view: when it last proved to be true, and since when and why it no longer does.

    The rules, first match wins: never listed in full → Absent; known to have missed something →
    Stale(VIEW_INCOMPLETE); watch or link down for longer than the grace → Stale; else Fresh, as of
    now while the watch is open, as of its last proof while it is being taken up again.
    Ages are monotonic; they become Unix seconds only in what is returned.
    """

    def __init__(
        self,
        clock: Clock,
        link: LinkTracker,
        *,
        on_answer: Callable[[], None] = lambda: None,
        grace_s: float = GRACE_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._link = link
        self._on_answer = on_answer
        self._grace_s = grace_s
        self._monotonic = monotonic
        self._seen = self._down_since = monotonic()
        self._listed = False
        self._missed = False
        self._open = False
        self._why = Why.NEVER_READ
        self._detail = ""

    @property
    def listed(self) -> bool:
        """A complete list was read at least once."""
        return self._listed

    @property
    def answered(self) -> bool:
        """A complete list was read, or it is known why there is none."""
        return self._listed or self._why is not Why.NEVER_READ

    @property
    def trouble(self) -> str:
        """What stands in the way at the moment, in the server's words; empty if nothing does."""
        return self._detail

    @property
    def seen_at(self) -> float:
        """When the view last proved to be true, in Unix seconds."""
        return self._clock.now() - (self._monotonic() - self._seen)

    def completed(self) -> None:
        """A complete list was read."""
        self._listed, self._missed = True, False
        self._seen = self._down_since = self._monotonic()
        self._why, self._detail = Why.NEVER_READ, ""
        self._on_answer()

    def alive(self) -> None:
        """The watch was opened, or said something."""
        self._open = True
        self._seen = self._monotonic()
        self._why, self._detail = Why.NEVER_READ, ""

    def interrupted(self) -> None:
        """The watch ended as it should; it is about to be taken up again."""
        if self._open:
            self._open, self._down_since = False, self._monotonic()

    def missed(self) -> None:
        """Changes were missed, or half a list was read: no complete view until the next list."""
        self._missed = True

    def broke(self, why: Why, detail: str) -> None:
        """The list or the watch failed."""
        self.interrupted()
        self._why, self._detail = why, detail
        self._on_answer()

    def judge(self, value: T) -> Reading[T]:
        """The value, wrapped in what this view is worth now."""
        if not self._listed:
            why = Why.VIEW_INCOMPLETE if self._missed else self._why
            return Absent(why=why, at=self._clock.now(), detail=self._detail)
        if self._missed:
            detail = self._detail or "changes were missed; listing anew"
            return Stale(value=value, at=self.seen_at, why=Why.VIEW_INCOMPLETE, detail=detail)
        if self._open and self._link.silent_for() > self._grace_s:
            at = self._clock.now() - self._link.silent_for()
            return Stale(value=value, at=at, why=self._link.why, detail=self._link.detail)
        if self._open:
            return Fresh(value=value, at=self._clock.now())
        if self._monotonic() - self._down_since > self._grace_s:
            why = Why.DISCONNECTED if self._why is Why.NEVER_READ else self._why
            return Stale(value=value, at=self.seen_at, why=why, detail=self._detail)
        return Fresh(value=value, at=self.seen_at)
