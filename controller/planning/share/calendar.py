"""Days in a tenant's time zone: when a daily budget began, and when it is reset."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo


class Day(NamedTuple):
    """From one local midnight to the next, in Unix seconds; usually 23, 24 or 25 hours."""

    start: float
    end: float


def local_day(now: float, zone: ZoneInfo) -> Day:
    """The day that `now` (Unix seconds) belongs to; days have no gaps and no overlaps.

    If the clocks skip midnight, the day begins at their jump. If midnight comes twice, the day
    begins at the first one, and the repeated hour belongs to the new day.
    """
    day = datetime.fromtimestamp(now, zone).date()
    start, end = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
    while now < start:
        day -= timedelta(days=1)
        start, end = _midnight(day, zone), start
    while now >= end:
        day += timedelta(days=1)
        start, end = end, _midnight(day + timedelta(days=1), zone)
    return Day(start, end)


def _midnight(day: date, zone: ZoneInfo) -> float:
    # PEP 495: a skipped time with fold 0 is read with the offset before the jump
    return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()
