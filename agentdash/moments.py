"""The end of an intent as people write it: after a time, at a time of day, or at a date."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from controller.model.text import quote
from controller.model.value import Moment, is_within
from controller.notation.quantity import read_duration

_TIME_OF_DAY: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_ADVICE: Final = (
    "must be a duration such as 2h, a time of day such as 14:00, "
    "or a date such as 2026-11-23T08:00Z"
)


def read_until(text: str, now: float) -> float:
    """The time in Unix seconds: `2h` from now; `14:00`, the next one on this machine's clock; or a
    date and time, on this machine's clock unless it names its offset. Raises ValueError.
    """
    if found := _TIME_OF_DAY.fullmatch(text):
        return _next_time_of_day(int(found[1]), int(found[2]), now)
    until = _after(text, now)
    if until is None:
        until = _at(text)
    if until is None:
        raise ValueError(f"{quote(text)} {_ADVICE}")
    if until <= now:
        raise ValueError(f"{quote(text)} is in the past")
    if not is_within(until, Moment):
        raise ValueError(f"{quote(text)} is too far away")
    return until


def _after(text: str, now: float) -> float | None:
    try:
        return now + read_duration(text)
    except ValueError:
        return None


def _at(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _next_time_of_day(hour: int, minute: int, now: float) -> float:
    day = datetime.fromtimestamp(now).astimezone()
    local = datetime(day.year, day.month, day.day, hour, minute).astimezone()
    if local.timestamp() <= now:
        following = day.date() + timedelta(days=1)
        local = datetime(following.year, following.month, following.day, hour, minute).astimezone()
    return local.timestamp()
