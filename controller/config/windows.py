"""Finds schedules of one pool that contradict each other: their windows are open at the same time,
and the min of one is above the max of the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import lru_cache
from itertools import permutations

from controller.config.document import Document, Problem
from controller.config.openings import FIRST_DAY, Minute, first_common, opening
from controller.config.schema import FleetFile
from controller.config.schema.pools import ScheduleEntry
from controller.config.weekdays import DAYS
from controller.model.fleet import CronWindow, WeeklyWindow


def problems(file: FleetFile, document: Document) -> list[Problem]:
    """A problem for each min above the max of another window that is open at the same time, because
    the largest min and the smallest max of all open windows apply.

    All calendars are searched, but changes of the clock are ignored (see `openings`). Where windows
    meet only because of one, min counts for that hour.
    """
    return [
        problem
        for index, pool in enumerate(file.pools)
        if len(pool.schedules) > 1
        for problem in _contradictions(index, pool.schedules, document)
    ]


def _contradictions(
    pool: int, entries: Sequence[ScheduleEntry], document: Document
) -> Iterator[Problem]:
    for one, other in permutations(range(len(entries)), 2):
        least, most = entries[one].min, entries[other].max
        if least is None or most is None or least <= most:
            continue
        at = _both_open(entries[one].window, entries[other].window)
        if at is None:
            continue
        path = ("pools", pool, "schedules")
        line = document.position((*path, other)).line
        message = (
            f"{least} is more than the max ({most}) of the window on line {line}, and both are "
            f"open on {at}: change one"
        )
        yield document.problem((*path, one, "min"), message)


@lru_cache(maxsize=1024)
def _both_open(one: WeeklyWindow | CronWindow, other: WeeklyWindow | CronWindow) -> str | None:
    """The first minute in which both are open, as text; None if there is none."""
    found = first_common(opening(one), opening(other))
    if found is None:
        return None
    every_week = isinstance(one, WeeklyWindow) and isinstance(other, WeeklyWindow)
    return _in_words(found, dated=not every_week)


def _in_words(at: Minute, *, dated: bool) -> str:
    day, time = FIRST_DAY + timedelta(days=at.day), f"{at.minute // 60:02}:{at.minute % 60:02}"
    date = f" {day}" if dated else ""
    return f"{DAYS[day.weekday()]}{date} at {time}"
