"""Cron expressions: the five fields of Debian's cron, and when they fire in a time zone.

cronsim parses the fields and matches the days. Besides numbers it knows `L` (the last day of a
month), `LW` (its last weekday), `5L` (its last Friday), `1#2` (its second Monday) and names such as
`MON` and `JAN`. As in Debian's cron, if both a day of the month and a day of the week are given,
one match is enough, unless one of the two fields begins with a star.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

MAX_CRON_CHARACTERS: Final = 200
"""Characters of one expression."""
FIELDS: Final = ("minute", "hour", "day-of-month", "month", "day-of-week")
_ALIEN: Final = re.compile(r"[^0-9A-Za-z*,/# -]")
_ANY_DAY: Final = datetime(2000, 1, 1)  # noqa: DTZ001  a day of the calendar, in no time zone


class CronError(ValueError):
    """A cron expression that cannot be read; the message says why."""


class Cron(NamedTuple):
    """A parsed expression. `minutes` are its times of the day, in minutes from midnight.

    `every_hour`: its hour field begins with a star. If the clock is set back and an hour is
    repeated, such an expression fires in both.
    """

    text: str
    minutes: tuple[int, ...]
    every_hour: bool
    calendar: CronSim

    def fires_on(self, day: date) -> bool:
        """Whether it fires on this day."""
        return day.month in self.calendar.months and self.calendar.match_day(day)


@lru_cache(maxsize=4096)
def read_cron(text: str) -> Cron:
    """Parse an expression. Raises CronError."""
    if len(text) > MAX_CRON_CHARACTERS:
        raise CronError(
            f"has {len(text)} characters: {MAX_CRON_CHARACTERS} are the most it may have"
        )
    if found := _ALIEN.search(text):
        raise CronError(f"holds {found.group()!r}, which no field of cron can have")
    fields = text.split()
    if len(fields) != len(FIELDS):
        raise CronError(
            f"must have five fields, {' '.join(FIELDS)}, such as 0 18 * * 5; it has {len(fields)}"
        )
    try:
        calendar = CronSim(text, _ANY_DAY)
    except CronSimError as error:
        name = str(error).removeprefix("Bad ")
        raise CronError(f"has an impossible {name}: {fields[FIELDS.index(name)]}") from None
    minutes = tuple(
        60 * hour + minute for hour in sorted(calendar.hours) for minute in sorted(calendar.minutes)
    )
    return Cron(text, minutes, fields[1].startswith("*"), calendar)


def last_firing(cron: Cron, zone: ZoneInfo, now: float, reach_s: float) -> float | None:
    """The latest firing up to `now` (Unix seconds); None if that is `reach_s` seconds ago or more.

    The expression is in local times of the zone. If the clock skips such a time, the expression
    fires once, when the clock jumps. If a time comes twice, it fires at the first, and at both if
    its hour field begins with a star.
    """
    local = datetime.fromtimestamp(now, zone)
    wall = local.replace(tzinfo=None, fold=0)
    oldest = datetime.fromtimestamp(now - reach_s, zone).date()
    # In a repeated hour, all of its first run is in the past, also times that the clock has not
    # reached again yet.
    seen = wall + _put_back(local)
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
    """The local times at which it fires, from `start` back to the day `oldest`."""
    day, last_minute = start.date(), 60 * start.hour + start.minute
    while day >= oldest:
        if cron.fires_on(day):
            midnight = datetime.combine(day, time())
            for minute in reversed(cron.minutes):
                if minute <= last_minute:
                    yield midnight + timedelta(minutes=minute)
        day, last_minute = day - timedelta(days=1), 24 * 60


def _put_back(local: datetime) -> timedelta:
    """How far the clock was set back, if it shows this time for the second time; else 0."""
    first, second = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    if not local.fold or first is None or second is None:
        return timedelta()
    return first - second


def _moments(wall: datetime, zone: ZoneInfo, every_hour: bool) -> tuple[float, ...]:
    """When the clock shows this time: once, twice if `every_hour`, or at a jump."""
    # PEP 495: fold 0 takes the offset before a change of the clock, fold 1 the one after it
    before = wall.replace(tzinfo=zone).timestamp()
    after = wall.replace(tzinfo=zone, fold=1).timestamp()
    if before < after:
        return (before, after) if every_hour else (before,)
    return (before if before == after else _jump(int(after), int(before), zone),)


def _jump(early: int, late: int, zone: ZoneInfo) -> float:
    """The time between these two (Unix seconds) at which the zone's offset changes."""
    offset = datetime.fromtimestamp(late, zone).utcoffset()
    while late - early > 1:
        middle = (early + late) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            late = middle
        else:
            early = middle
    return float(late)
