"""Cron expressions: the five fields of Debian's cron, and the moments they name in a time zone.

cronsim reads the fields and matches the days: `L` and `LW` (the last day, the last weekday of a
month), `5L` and `1#2` (the last Friday, the second Monday) and names such as `MON` or `JAN` too.
As in Debian's cron a day of the month and a day of the week are alternatives, unless one of them
begins with a star.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

LENGTH_LIMIT: Final = 200
FIELDS: Final = ("minute", "hour", "day-of-month", "month", "day-of-week")
_TEXT: Final = re.compile(r"[0-9A-Za-z*,/# -]*\Z")
_ANY_DAY: Final = datetime(2000, 1, 1)  # noqa: DTZ001  a day of the calendar, in no time zone


class CronError(ValueError):
    """A cron expression that cannot be read; the text says which field."""


class Cron(NamedTuple):
    """An expression that has been read: on the days it names, at these minutes from midnight.

    `every_hour`: its hours begin with a star, so that it goes on when an hour comes twice.
    """

    text: str
    minutes: tuple[int, ...]
    every_hour: bool
    calendar: CronSim

    def names(self, day: date) -> bool:
        """Whether it fires on this day."""
        return day.month in self.calendar.months and self.calendar.match_day(day)


@lru_cache(maxsize=4096)
def read_cron(text: str) -> Cron:
    """The expression that a text holds. Raises CronError."""
    fields = text.split()
    if len(text) > LENGTH_LIMIT or len(fields) != len(FIELDS) or not _TEXT.match(text):
        raise CronError(f"must be five fields, {' '.join(FIELDS)}, such as 0 18 * * 5")
    try:
        calendar = CronSim(text, _ANY_DAY)
    except CronSimError as error:
        name = str(error).removeprefix("Bad ")
        raise CronError(f"has no {name} that can be: {fields[FIELDS.index(name)]}") from None
    minutes = tuple(
        60 * hour + minute for hour in sorted(calendar.hours) for minute in sorted(calendar.minutes)
    )
    return Cron(text, minutes, fields[1].startswith("*"), calendar)


def last_firing(cron: Cron, zone: ZoneInfo, now: float, reach_s: float) -> float | None:
    """The latest moment up to `now` (Unix seconds) at which it fires; None where that is `reach_s`
    seconds ago or more. No more days than those are looked at.

    Times are the zone's wall clock. What it names inside an hour that the clocks skip is the moment
    they jump, once. Of an hour that comes twice the first counts; an expression whose hours begin
    with a star fires in both.
    """
    local = datetime.fromtimestamp(now, zone)
    wall = local.replace(tzinfo=None, fold=0)
    oldest = datetime.fromtimestamp(now - reach_s, zone).date()
    # in an hour's second coming all of its first one is over, though the clock shows less
    seen = wall + _repeated(local)
    starts = {seen, wall} if cron.every_hour else {seen}
    found = [
        moment
        for start in starts
        if (moment := _latest(cron, zone, start, oldest, now)) is not None
        and moment > now - reach_s
    ]
    return max(found, default=None)


def _latest(cron: Cron, zone: ZoneInfo, start: datetime, oldest: date, now: float) -> float | None:
    for wall in _backwards(cron, start, oldest):
        past = [moment for moment in _moments(wall, zone, cron.every_hour) if moment <= now]
        if past:
            return max(past)
    return None


def _backwards(cron: Cron, start: datetime, oldest: date) -> Iterator[datetime]:
    """The times it names on the wall clock, from `start` into the past."""
    day, most = start.date(), 60 * start.hour + start.minute
    while day >= oldest:
        if cron.names(day):
            midnight = datetime.combine(day, time())
            for minute in reversed(cron.minutes):
                if minute <= most:
                    yield midnight + timedelta(minutes=minute)
        day, most = day - timedelta(days=1), 24 * 60


def _repeated(local: datetime) -> timedelta:
    """How far the clock was put back before a time that it shows for the second time."""
    first, second = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    if not local.fold or first is None or second is None:
        return timedelta()
    return first - second


def _moments(wall: datetime, zone: ZoneInfo, every_hour: bool) -> tuple[float, ...]:
    """When the clock shows this time: once or twice; where it is skipped, when the clock jumps."""
    # PEP 495: with fold 0 by the offset before the change, with fold 1 by the one after it
    before = wall.replace(tzinfo=zone).timestamp()
    after = wall.replace(tzinfo=zone, fold=1).timestamp()
    if before < after:
        return (before, after) if every_hour else (before,)
    return (before if before == after else _jump(int(after), int(before), zone),)


def _jump(early: int, late: int, zone: ZoneInfo) -> float:
    """The moment between these two at which the zone's offset changes."""
    offset = datetime.fromtimestamp(late, zone).utcoffset()
    while late - early > 1:
        middle = (early + late) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            late = middle
        else:
            early = middle
    return float(late)
