"""A moment of the past as a person types it behind `:at`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from controller.model.text import quote
from controller.model.value import Moment, is_within
from controller.notation.quantity import read_duration

_TIME_OF_DAY: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?Z?")
_ADVICE: Final = "is no time: 11:50, 11:50:03, -15m or 2026-11-22T11:50Z"


def read_past_moment(text: str, end: float) -> float:
    """The time in Unix seconds: `11:50` (UTC), the last one up to `end`; `-15m` before `end`; or a
    date and time, in UTC unless it names its offset. Raises ValueError.
    """
    if found := _TIME_OF_DAY.fullmatch(text):
        hour, minute, second = (int(part or 0) for part in found.groups())
        day = datetime.fromtimestamp(end, UTC)
        moment = day.replace(hour=hour, minute=minute, second=second, microsecond=0)
        return (moment if moment <= day else moment - timedelta(days=1)).timestamp()
    try:
        if text.startswith("-"):
            at = end - read_duration(text[1:])
        else:
            date = datetime.fromisoformat(text)
            at = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"{quote(text)} {_ADVICE}") from None
    if not is_within(at, Moment):
        raise ValueError(f"{quote(text)} {_ADVICE}")
    return at
