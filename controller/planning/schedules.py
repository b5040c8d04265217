"""Schedules: which windows of a tenant's time are open, and the min and max they set."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from controller.model.schedule import CronWindow, Schedule, WeeklyWindow
from controller.notation.cron import CronError, last_firing, read_cron

_FIRINGS_KEPT: Final = 16_384


class Bounds(NamedTuple):
    """A pool's min and max now; `scheduled` where an open window set one of them."""

    min: int
    max: int
    scheduled: bool = False


def bounds_now(
    minimum: int, maximum: int, schedules: Sequence[Schedule], zone: ZoneInfo, now: float
) -> Bounds:
    """The pool's own bounds, or those of the windows open now: of several the largest min and the
    smallest max. `now` in Unix seconds.

    A weekly window's times are the wall clock's, so an hour that a clock skips or repeats is one of
    the window or not as that clock says. A cron window opens when its expression fires (see
    `last_firing` for the days on which the clock changes) and stays open for so long, however the
    clock changes meanwhile; one that fires again while it is open stays open for so long from then.
    """
    open_now = [each for each in schedules if _is_open(each, zone, now)]
    if not open_now:
        return Bounds(minimum, maximum)
    low = max((each.min for each in open_now if each.min is not None), default=minimum)
    high = min((each.max for each in open_now if each.max is not None), default=maximum)
    # a window that sets only one of them must not turn the other round
    if all(each.min is None for each in open_now):
        low = min(low, high)
    if all(each.max is None for each in open_now):
        high = max(low, high)
    return Bounds(low, max(low, high), scheduled=True)


def _is_open(schedule: Schedule, zone: ZoneInfo, now: float) -> bool:
    match schedule.window:
        case WeeklyWindow() as window:
            return _is_open_weekly(window, zone, now)
        case CronWindow() as window:
            opened = _opened_at(window, zone, int(now // 60))
            return opened is not None and now < opened + window.for_s


def _is_open_weekly(window: WeeklyWindow, zone: ZoneInfo, now: float) -> bool:
    local = datetime.fromtimestamp(now, zone)
    minute = local.hour * 60 + local.minute
    if window.from_minute < window.until_minute:
        return local.weekday() in window.days and window.from_minute <= minute < window.until_minute
    if local.weekday() in window.days and minute >= window.from_minute:
        return True
    yesterday = (local.date() - timedelta(days=1)).weekday()
    return yesterday in window.days and minute < window.until_minute


@lru_cache(maxsize=_FIRINGS_KEPT)
def _opened_at(window: CronWindow, zone: ZoneInfo, minute: int) -> float | None:
    """When it opened last; asked anew once a minute, for it fires on whole minutes only."""
    try:
        cron = read_cron(window.cron)
    except CronError:
        # refused when the fleet file is read; in a fleet made by hand it never opens
        return None
    return last_firing(cron, zone, minute * 60.0, window.for_s)
