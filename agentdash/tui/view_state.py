"""Which snapshot is shown: the newest one, one that a person froze, or one of the past. No clock,
no I/O but that of a journal.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from operator import is_not
from typing import Any, Final, NamedTuple

from agentdash.tui import figures
from agentdash.tui.figures import Glyphs
from agentdash.tui.view import Frame, ShownMoment, is_newer, of_scope, pool_rows, totals
from controller.model.clock import read_time
from controller.model.intents import Scope
from controller.model.snapshot import Snapshot
from controller.model.text import quote
from controller.model.value import Moment, is_within
from controller.notation.quantity import read_duration
from controller.ports import Past, PastMoment, Place

RECENT_S: Final = 900.0
MOST_VIEWS: Final = 20_000
"""So many views of pools are kept beside those of the newest snapshot: about 40 MB."""


class _KeptSnapshot(NamedTuple):
    """`views`: how many pools' views no snapshot before it has."""

    number: int
    snapshot: Snapshot
    views: int


class RecentPast:
    """The last 15 minutes, or `MOST_VIEWS` changes. Snapshots share what did not change."""

    def __init__(self) -> None:
        self._kept: deque[_KeptSnapshot] = deque()
        self._views = 0
        self._number = 0

    def keep(self, snapshot: Snapshot) -> None:
        """Keep the newest snapshot, and let the oldest go."""
        views = len(snapshot.pools)
        if self._kept:
            before = self._kept[-1].snapshot
            if snapshot.at < before.at:  # the clock was set back: times would not be found
                self._kept.clear()
                self._views = 0
            elif len(before.pools) == views:
                views = sum(map(is_not, snapshot.pools, before.pools))
        self._number += 1
        self._views += views
        self._kept.append(_KeptSnapshot(self._number, snapshot, views))
        while len(self._kept) > 1 and (
            snapshot.at - self._kept[0].snapshot.at > RECENT_S or self._views > MOST_VIEWS
        ):
            self._views -= self._kept.popleft().views

    def begin_with(self, earlier: Sequence[Snapshot]) -> None:
        """Put those before the first that is kept, the oldest first; places stay where they are."""
        kept = [each.snapshot for each in self._kept]
        older = [each for each in earlier if not kept or each.at < kept[0].at]
        self._number -= len(kept) + len(older)
        self._kept.clear()
        self._views = 0
        for snapshot in (*older, *kept):
            self.keep(snapshot)

    def last(self) -> PastMoment | None:
        """The newest snapshot; None before the first."""
        return self._moment(len(self._kept) - 1) if self._kept else None

    def at(self, at: float) -> PastMoment | None:
        """The last snapshot at this time or before it (Unix seconds), else the first."""
        if not self._kept:
            return None
        index = bisect_right(self._kept, at, key=lambda each: each.snapshot.at) - 1
        return self._moment(max(index, 0))

    def before(self, place: Place) -> PastMoment | None:
        """The snapshot before this place that differs, else the first; None at the first."""
        index = min(self._index(place), len(self._kept)) - 1
        while index > 0 and not self._is_change(index):
            index -= 1
        return self._moment(index) if index >= 0 else None

    def after(self, place: Place) -> PastMoment | None:
        """The snapshot after this place that differs, else the last; None at the last."""
        index, end = self._index(place) + 1, len(self._kept) - 1
        while index < end and not self._is_change(index):
            index += 1
        return self._moment(index) if 0 <= index <= end else None

    def notes(self) -> Sequence[str]:
        """All can be read."""
        return ()

    def begins_at(self) -> None:
        """All of it is there."""

    def _index(self, place: Place) -> int:
        """Where a place is now: -1 if it is no longer kept."""
        return max(place[1] - self._kept[0].number, -1) if self._kept else -1

    def _moment(self, index: int) -> PastMoment:
        kept = self._kept[index]
        return PastMoment((0, kept.number), kept.snapshot)

    def _is_change(self, index: int) -> bool:
        """Whether a pool, a finding or a scale event differs from the snapshot before."""
        kept, before = self._kept[index], self._kept[index - 1].snapshot
        after = kept.snapshot
        return bool(kept.views) or (after.findings, after.events, after.tenants) != (
            before.findings,
            before.events,
            before.tenants,
        )


_MINUTE_S: Final = 60.0


class Step(StrEnum):
    """A step in time: to the change before or after, or by a minute."""

    BACK = "back"
    ON = "on"
    MINUTE_BACK = "minute_back"
    MINUTE_ON = "minute_on"


class ViewState:
    """Takes snapshots, ignores older ones, and keeps the frame that the screens are drawn from.

    `earlier` gives what is known of the time before the first. What else is given are fields of its
    frames.
    """

    def __init__(
        self,
        started_at: float,
        glyphs: Glyphs,
        earlier: Callable[[], tuple[Snapshot, ...]] = tuple,
        **of_frame: Any,
    ) -> None:
        self.frame = Frame(started_at, started_at, glyphs=glyphs, **of_frame)
        self._newest: Snapshot | None = None
        self._whole: Snapshot | None = None
        self._told_notes = 0
        self._timed: Snapshot | None = None
        self._came_at = started_at
        self._waiting: int | None = None
        self._recent = RecentPast()
        self._ask_earlier = earlier
        self._earlier: tuple[Snapshot, ...] = ()
        self._past: Past = self._recent
        self._replays = False
        self._place: Place | None = None

    @property
    def newest(self) -> Snapshot | None:
        """The newest snapshot of a live fleet; None before the first, and in a replay."""
        return self._newest

    def accept(self, snapshot: Snapshot) -> bool:
        """Show the snapshot, or only count it while the picture is still or shows the past.

        Returns False for a snapshot that is not newer than the last one.
        """
        if self._replays or not is_newer(snapshot, self._newest):
            return False
        self._newest = snapshot
        self._recent.keep(snapshot)
        if self._waiting is None or self.frame.snapshot is None:
            self._show(snapshot)
        else:
            self._waiting += 1
        return True

    def replay(self, journal: Past) -> None:
        """Show the moments of the journal from now on, its end first."""
        self._past, self._replays = journal, True
        self.go_live()

    def _begin(self) -> None:
        """Take what is known of the time before the first snapshot, once."""
        earlier = self._ask_earlier()
        if earlier is not self._earlier:
            self._earlier = earlier
            self._recent.begin_with(earlier)

    def toggle_still(self) -> None:
        """Keep the picture still; or go on, and from the past too, with the newest snapshot."""
        if self._replays or self._waiting is not None:
            self.go_live()
        else:
            self._waiting = 0

    def go_live(self) -> None:
        """Show the newest snapshot, of a journal its end, and go on from there."""
        if self._replays:
            last = self._past.last()
            if last is not None:
                self._travel(last)
            return
        self._waiting = self._place = None
        if self._newest is not None and self._newest is not self._whole:
            self._show(self._newest)

    def step(self, step: Step) -> str:
        """Step to another moment; why there is none, in words, else nothing."""
        self._begin()
        shown, last = self.frame.snapshot, self._past.last()
        if shown is None or last is None:
            return "no snapshot yet to step from"
        start = self._place
        if start is None:
            start = (self._past.at(shown.at) or last).place
        is_back = step in {Step.BACK, Step.MINUTE_BACK}
        minutes = {Step.MINUTE_BACK: -_MINUTE_S, Step.MINUTE_ON: _MINUTE_S}.get(step)
        moment = None if minutes is None else self._past.at(shown.at + minutes)
        if moment is None or (moment.place >= start if is_back else moment.place <= start):
            moment = self._past.before(start) if is_back else self._past.after(start)
        if moment is None:
            if not is_back and not self._replays:
                self.go_live()
            return "nothing earlier is kept" if is_back else "this is the newest"
        if moment.place == last.place and not self._replays:
            self.go_live()
        else:
            self._travel(moment)
        return ""

    def go_to(self, text: str, now: float) -> str:
        """Show the last moment at this time; what was meant, in words. Raises ValueError."""
        self._begin()
        at = read_past_moment(text, self._end_at(now))
        moment = self._past.at(at)
        if moment is None:
            return "no snapshot yet to step to"
        self._travel(moment)
        if moment.snapshot.at > at:
            return f"nothing before {figures.date_and_time(moment.snapshot.at)} is kept"
        return ""

    def _end_at(self, now: float) -> float:
        """The end of what can be stepped to: of a journal its last moment, else now."""
        last = self._past.last() if self._replays else None
        return now if last is None else last.snapshot.at

    def new_note(self) -> str:
        """What of the past could not be read, in words; empty if that has been told."""
        notes = self._past.notes()
        told, self._told_notes = self._told_notes, len(notes)
        return notes[-1] if len(notes) > told else ""

    def refresh(
        self,
        now: float,
        engine_error: str | None,
        feed_problem: str | None = None,
        *,
        reads_on: bool = False,
    ) -> Frame:
        """As of now, in the past of its moment; with `reads_on`, what is earlier is read on."""
        shown = self.frame.snapshot
        if self._newest is not self._timed:
            self._timed, self._came_at = self._newest, now
        is_past = shown is not None and self._place is not None
        begins_at = self._past.begins_at() if reads_on else None
        moment = ShownMoment(self._replays, self._end_at(now), begins_at)
        self.frame = replace(
            self.frame,
            now=shown.at if shown is not None and is_past else now,
            engine_error=engine_error,
            feed_problem=feed_problem,
            waiting=None if is_past else self._waiting,
            newest_at=shown.at if shown is not None and is_past else self._newest_at,
            moment=moment if is_past else None,
        )
        return self.frame

    @property
    def _newest_at(self) -> float | None:
        """When the newest snapshot was made; of another process, when it came."""
        newest = self._newest
        if newest is None:
            return None
        return self._came_at if newest.attached and not newest.recalled else newest.at

    def _travel(self, moment: PastMoment) -> None:
        """Show a moment of the past, with what grew and shrank since the change before it."""
        before = self._past.before(moment.place)
        if before is not None:
            self._show(before.snapshot)
        self._place = moment.place
        self._waiting = self._waiting or 0
        self._show(moment.snapshot)

    def keep(self, **asked: Any) -> None:
        """Show with the frame what was asked for and no snapshot brings, by its name."""
        self.frame = replace(self.frame, asked=self.frame.asked._replace(**asked))

    def show_only(self, scope: Scope) -> None:
        """Show from now on what belongs to this tenant or pool alone."""
        self.frame = replace(self.frame, scope=scope)
        if self._whole is not None:
            self._show(self._whole)

    @property
    def all_pools(self) -> tuple[str, ...]:
        """The keys of all pools, those too that belong to other tenants than the one shown."""
        return () if self._whole is None else tuple(each.key for each in self._whole.pools)

    @property
    def all_tenants(self) -> tuple[str, ...]:
        """The names of all tenants."""
        return () if self._whole is None else tuple(each.name for each in self._whole.tenants)

    def _show(self, snapshot: Snapshot) -> None:
        shown, self._whole = self.frame, snapshot
        snapshot, others = of_scope(snapshot, shown.scope)
        rows = pool_rows(snapshot, shown.rows)
        sums = totals(rows, shown.rows, shown.totals)
        self.frame = replace(shown, snapshot=snapshot, rows=rows, totals=sums, others=others)


_ADVICE: Final = "is no time: 11:50, 11:50:03, -15m or 2026-11-22T11:50Z"


def read_past_moment(text: str, end: float) -> float:
    """Unix seconds of `11:50`, of `-15m` before `end`, of a date and time. Raises ValueError."""
    try:
        if text.startswith("-"):
            at = end - read_duration(text[1:])
        else:
            at = read_time(text, end, later=False)
    except (ValueError, OverflowError):
        raise ValueError(f"{quote(text)} {_ADVICE}") from None
    if not is_within(at, Moment):
        raise ValueError(f"{quote(text)} {_ADVICE}")
    return at
