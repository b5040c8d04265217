"""Schedules: which windows of a tenant's time are open, and the min and max they set."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from controller.model.schedule import CronWindow, Schedule, WeeklyWindow
from controller.notation.cron import CronError, last_firing, read_cron
from controller.planning.given.moment import Moment

_MINUTE_S: Final = 60
_FIRINGS_KEPT: Final = 16_384


class ScheduledBounds(NamedTuple):
    """A pool's min and max now; `scheduled` is true if an open window set one of them."""

    min: int
    max: int
    scheduled: bool = False


def bounds_now(
    minimum: int, maximum: int, schedules: Sequence[Schedule], zone: ZoneInfo, moment: Moment
) -> ScheduledBounds:
    """The pool's own bounds, or those of the windows that are open: of several windows the largest
    min and the smallest max.

    The times of a weekly window are local clock times: if the clocks skip or repeat an hour, the
    window is open whenever the clock shows a time in it. A cron window opens when its expression
    fires (`last_firing` says what that is on days on which the clocks change) and stays open for
    its duration, whatever the clocks do meanwhile; if it fires again while it is open, the duration
    starts again.
    """
    # windows open and close on whole minutes, except that a cron window may close within one
    moment.note((moment.now // _MINUTE_S + 1) * _MINUTE_S)
    open_now = [each for each in schedules if _is_open(each, zone, moment)]
    if not open_now:
        return ScheduledBounds(minimum, maximum)
    low = max((each.min for each in open_now if each.min is not None), default=minimum)
    high = min((each.max for each in open_now if each.max is not None), default=maximum)
    # a window that sets only one of the two must not make min larger than max
    if all(each.min is None for each in open_now):
        low = min(low, high)
    if all(each.max is None for each in open_now):
        high = max(low, high)
    return ScheduledBounds(low, max(low, high), scheduled=True)


def _is_open(schedule: Schedule, zone: ZoneInfo, moment: Moment) -> bool:
    match schedule.window:
        case WeeklyWindow() as window:
            # the time of day is rounded to microseconds, so only a whole minute is never early
            return _is_open_weekly(window, zone, moment.now // _MINUTE_S * _MINUTE_S)
        case CronWindow() as window:
            opened_at = _opened_at(window, zone, int(moment.now // _MINUTE_S))
            return opened_at is not None and not moment.reached(opened_at + window.for_s)


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
    """When it opened last, at or before this minute (minutes since 1970)."""
    try:
        cron = read_cron(window.cron)
    except CronError:
        # the fleet file's reader refuses it; in a fleet built in code such a window never opens
        return None
    return last_firing(cron, zone, float(minute * _MINUTE_S), window.for_s)
