"""Windows of schedules: days and times as people write them, and windows of one pool that
contradict each other, because both are open at once and the min of one is above the max of the
other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import permutations
from math import ceil
from typing import Annotated, Any, Final, Protocol

from pydantic import BeforeValidator, WithJsonSchema

from controller.config.document import Document, Problem
from controller.model.fleet import CronWindow, WeeklyWindow
from controller.model.text import nearest
from controller.notation.cron import read_cron

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES: Final = 24 * 60

_ONE_DAY: Final = f"({'|'.join(DAYS)})"
_SOME_DAYS: Final = rf"^{_ONE_DAY}(-{_ONE_DAY})?(\s*,\s*{_ONE_DAY}(-{_ONE_DAY})?)*$"
_TIME: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
_END: Final = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
_NOT_DAYS: Final = 'must be days: mon-fri, "sat,sun" or [mon, wed]'


def days_of_week(written: object) -> tuple[int, ...]:
    """The days (0 is Monday) of `mon-fri`, `sat,sun` or a list of such texts, in order, each once.

    A range may run past Sunday, such as `fri-mon`. Raises ValueError.
    """
    parts = written if isinstance(written, list) else [written]
    texts = [part for part in parts if isinstance(part, str)]
    if not texts or len(texts) < len(parts):
        raise ValueError(_NOT_DAYS)
    found = set[int]()
    for item in ",".join(texts).split(","):
        first, dash, last = item.strip().partition("-")
        start = _day(first)
        span = (_day(last) - start) % len(DAYS) if dash else 0
        found |= {(start + ahead) % len(DAYS) for ahead in range(span + 1)}
    return tuple(sorted(found))


def _day(name: str) -> int:
    if name not in DAYS:
        near = nearest(name.lower()[:20], DAYS)
        raise ValueError(f"{_NOT_DAYS}{f'; did you mean {near[0]}?' if near else ''}")
    return DAYS.index(name)


def minute_of_day(written: object) -> int:
    """Minutes from midnight of "HH:MM". Raises ValueError."""
    if not isinstance(written, str) or not re.fullmatch(_TIME[1:-1], written):
        raise ValueError(
            'must be a time of the day, such as "08:00": two digits, colon, two digits'
        )
    hours, _, minutes = written.partition(":")
    return 60 * int(hours) + int(minutes)


def end_of_window(written: object) -> int:
    """The same for "HH:MM" or "24:00", the end of the day. Raises ValueError."""
    return DAY_MINUTES if written == "24:00" else minute_of_day(written)


_DAYS_TEXT: Final[dict[str, Any]] = {"type": "string", "pattern": _SOME_DAYS}
_DAYS_LIST: Final = {"type": "array", "items": _DAYS_TEXT, "minItems": 1}
Days = Annotated[
    tuple[int, ...],
    BeforeValidator(days_of_week),
    WithJsonSchema({"anyOf": [_DAYS_TEXT, _DAYS_LIST]}),
]
FromTime = Annotated[
    int, BeforeValidator(minute_of_day), WithJsonSchema({"type": "string", "pattern": _TIME})
]
UntilTime = Annotated[
    int, BeforeValidator(end_of_window), WithJsonSchema({"type": "string", "pattern": _END})
]


_Window = WeeklyWindow | CronWindow


class Scheduled(Protocol):
    """A window, and the min and max while it is open."""

    @property
    def window(self) -> _Window: ...  # noqa: D102
    @property
    def min(self) -> int | None: ...  # noqa: D102
    @property
    def max(self) -> int | None: ...  # noqa: D102


def problems(pools: Iterable[Sequence[Scheduled]], document: Document) -> list[Problem]:
    """A problem for each min above the max of another window that is open at the same time, because
    the largest min and the smallest max of all open windows apply.

    All calendars are searched, but changes of the clock are ignored. Where windows meet only
    because of one, min counts for that hour.
    """
    return [
        problem
        for index, schedules in enumerate(pools)
        if len(schedules) > 1
        for problem in _contradictions(index, schedules, document)
    ]


def _contradictions(
    pool: int, schedules: Sequence[Scheduled], document: Document
) -> Iterator[Problem]:
    for one, other in permutations(range(len(schedules)), 2):
        least, most = schedules[one].min, schedules[other].max
        if least is None or most is None or least <= most:
            continue
        at = _both_open(schedules[one].window, schedules[other].window)
        if at is None:
            continue
        path = ("pools", pool, "schedules")
        line = document.position((*path, other)).line
        message = (
            f"{least} is more than the max ({most}) of the window on line {line}, and both are "
            f"open on {at}: change one"
        )
        yield document.problem((*path, one, "min"), message)


FIRST_DAY: Final = date(2029, 1, 1)
"""A Monday."""
CYCLE_DAYS: Final = 28 * 1461 // 4
"""28 years. After that, days of the week and leap days repeat in the same order (until 2100), so
all calendars are covered.
"""
# days and minutes are bits of integers, so that two windows are compared in a few operations
_CYCLE: Final = (1 << CYCLE_DAYS) - 1
_DAY: Final = (1 << DAY_MINUTES) - 1
_MONDAYS: Final = sum(1 << day for day in range(0, CYCLE_DAYS, len(DAYS)))


def _both_open(one: _Window, other: _Window) -> str | None:
    """The first minute in which both windows are open, as text; None if there is none."""
    found = first_common(one, other)
    if found is None:
        return None
    day, minute = FIRST_DAY + timedelta(days=found[0]), found[1]
    every_week = isinstance(one, WeeklyWindow) and isinstance(other, WeeklyWindow)
    date_text = "" if every_week else f" {day}"
    return f"{DAYS[day.weekday()]}{date_text} at {minute // 60:02}:{minute % 60:02}"


@lru_cache(maxsize=1024)
def first_common(one: _Window, other: _Window) -> tuple[int, int] | None:
    """The first day from FIRST_DAY and the minute of it in which both windows are open; None if
    there is none.
    """
    found = [
        (_lowest(days), _lowest(minutes))
        for one_days, one_minutes in _opening(one)
        for other_days, other_minutes in _opening(other)
        if (minutes := one_minutes & other_minutes) and (days := one_days & other_days)
    ]
    return min(found, default=None)


@lru_cache(maxsize=1024)
def _opening(window: _Window) -> tuple[tuple[int, int], ...]:
    """When a window is open, as pairs of days (from FIRST_DAY) and minutes of those days: one that
    runs past midnight has several. Raises CronError.
    """
    if isinstance(window, WeeklyWindow):
        length = (window.until_minute - window.from_minute - 1) % DAY_MINUTES + 1
        days = _MONDAYS * sum(1 << day for day in window.days)
        minutes = ((1 << length) - 1) << window.from_minute
    else:
        days = _cron_days(window.cron)
        minutes = sum(1 << minute for minute in read_cron(window.cron).minutes)
        run, length = 1, ceil(window.for_s / 60)
        while run < length:  # each minute extended to a run of this length
            step = min(run, length - run)
            minutes |= minutes << step
            run += step
    parts = []
    while minutes:
        parts.append((days, minutes & _DAY))
        days = (days << 1 | days >> (CYCLE_DAYS - 1)) & _CYCLE
        minutes >>= DAY_MINUTES
    return tuple(parts)


@lru_cache(maxsize=256)
def _cron_days(text: str) -> int:
    cron = read_cron(text)
    return sum(
        1 << day for day in range(CYCLE_DAYS) if cron.fires_on(FIRST_DAY + timedelta(days=day))
    )


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1
