"""Windows of one pool's schedules that contradict each other: open together, they ask for more than
they allow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Final

from controller.config.document import Document
from controller.config.problems import Problem
from controller.config.schema import FleetFile
from controller.config.schema.schedules import ScheduleEntry
from controller.config.weekdays import DAY_MINUTES, DAYS

_WEEK_MINUTES: Final = len(DAYS) * DAY_MINUTES


def problems(file: FleetFile, document: Document) -> list[Problem]:
    """Every min that is more than the max of another window which is open at the same time: of
    open windows the largest min and the smallest max count.
    """
    return [
        problem
        for index, pool in enumerate(file.pools)
        if len(pool.schedules) > 1
        for problem in _contradictions(index, pool.schedules, document)
    ]


def _contradictions(
    pool: int, windows: Sequence[ScheduleEntry], document: Document
) -> Iterator[Problem]:
    minutes = [_open_minutes(window) for window in windows]
    for one, other in permutations(range(len(windows)), 2):
        least, most = windows[one].min, windows[other].max
        if least is None or most is None or least <= most or not minutes[one] & minutes[other]:
            continue
        path = ("pools", pool, "schedules")
        line = document.position((*path, other)).line
        at = _first(minutes[one] & minutes[other])
        message = (
            f"{least} is more than the max ({most}) of the window on line {line}, and both are "
            f"open on {at}: change one"
        )
        yield document.problem((*path, one, "min"), message)


def _open_minutes(window: ScheduleEntry) -> int:
    """The minutes of the week it is open in, one bit each, Monday's first minute lowest."""
    length = window.until_minute - window.from_minute
    if length <= 0:
        length += DAY_MINUTES
    minutes = 0
    for day in window.days:
        minutes |= ((1 << length) - 1) << (day * DAY_MINUTES + window.from_minute)
    return (minutes | minutes >> _WEEK_MINUTES) & ((1 << _WEEK_MINUTES) - 1)


def _first(minutes: int) -> str:
    """The first minute of some, as people say it."""
    day, minute = divmod((minutes & -minutes).bit_length() - 1, DAY_MINUTES)
    return f"{DAYS[day]} at {minute // 60:02}:{minute % 60:02}"
