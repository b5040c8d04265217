"""When the windows of schedules are open, over 28 years. After that, days of the week and leap days
repeat in the same order (until 2100), so all calendars are covered.

Days and minutes are bits of integers, so that two windows are compared in a few operations. Changes
of the clock are ignored: windows that overlap only because of one are not found.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache
from math import ceil
from typing import Final, NamedTuple

from controller.config.weekdays import DAY_MINUTES, DAYS
from controller.model.fleet import CronWindow, WeeklyWindow
from controller.notation.cron import read_cron

FIRST_DAY: Final = date(2029, 1, 1)
"""A Monday."""
CYCLE_DAYS: Final = 28 * 1461 // 4
_CYCLE: Final = (1 << CYCLE_DAYS) - 1
_DAY: Final = (1 << DAY_MINUTES) - 1
_MONDAYS: Final = sum(1 << day for day in range(0, CYCLE_DAYS, len(DAYS)))


class Opening(NamedTuple):
    """The days on which a window opens, and the minutes in which it is open from then, both as
    bits.

    Days count from FIRST_DAY, minutes from the midnight of the day on which it opens.
    """

    days: int
    minutes: int


class Minute(NamedTuple):
    """A minute of a day. Days count from FIRST_DAY."""

    day: int
    minute: int


@lru_cache(maxsize=1024)
def opening(window: WeeklyWindow | CronWindow) -> Opening:
    """The times at which a window is open. Raises CronError."""
    match window:
        case WeeklyWindow(days=days, from_minute=from_minute, until_minute=until_minute):
            length = (until_minute - from_minute - 1) % DAY_MINUTES + 1
            week = sum(1 << day for day in days)
            return Opening(_MONDAYS * week, ((1 << length) - 1) << from_minute)
        case CronWindow(cron=text, for_s=for_s):
            cron = read_cron(text)
            minutes = sum(1 << minute for minute in cron.minutes)
            return Opening(_days(text), _stretched(minutes, ceil(for_s / 60)))


def first_common(one: Opening, other: Opening) -> Minute | None:
    """The first minute in which both windows are open; None if there is none."""
    found = [
        Minute(_lowest(days), _lowest(minutes))
        for one_days, one_minutes in _parts(one)
        for other_days, other_minutes in _parts(other)
        if (minutes := one_minutes & other_minutes) and (days := one_days & other_days)
    ]
    return min(found, default=None)


def _parts(opened: Opening) -> Iterator[tuple[int, int]]:
    """Days, and the minutes of those days. A window that runs past midnight has several such
    pairs.
    """
    days, minutes = opened
    while minutes:
        yield days, minutes & _DAY
        days = (days << 1 | days >> (CYCLE_DAYS - 1)) & _CYCLE
        minutes >>= DAY_MINUTES


def _stretched(minutes: int, length: int) -> int:
    """The minutes, each extended to a run of this length."""
    run = 1
    while run < length:
        step = min(run, length - run)
        minutes |= minutes << step
        run += step
    return minutes


@lru_cache(maxsize=256)
def _days(text: str) -> int:
    cron = read_cron(text)
    return sum(
        1 << day for day in range(CYCLE_DAYS) if cron.fires_on(FIRST_DAY + timedelta(days=day))
    )


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1
