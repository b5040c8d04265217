"""Numbers and times as text for an operator."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86400
_THOUSANDS: Final = ("", "k", "M", "G", "T", "P")


def count(number: int, width: int = 7) -> str:
    """`3,912`; `3.9k` if the number with its commas is wider than `width`."""
    grouped = f"{number:,}"
    if len(grouped) <= width:
        return grouped
    value = float(number)
    for suffix in _THOUSANDS:
        if abs(value) < 999.5:
            text = f"{value:.1f}" if abs(value) < 99.95 and suffix else f"{value:.0f}"
            return f"{text}{suffix}"
        value /= 1000
    return f"{number:.0e}"


def amount(number: int, noun: str) -> str:
    """`1 pool`, `12 pools`."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def ratio(value: float) -> str:
    """`0.92`, `14.2`, `138`: at most three digits."""
    if value < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def age(seconds: float) -> str:
    """`47s`, `2m04s`, `3h12m`, `5d02h`; a negative age is `0s`."""
    whole = max(int(seconds), 0)
    if whole < _MINUTE_S:
        return f"{whole}s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S}m{whole % _MINUTE_S:02d}s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S}h{whole % _HOUR_S // _MINUTE_S:02d}m"
    return f"{whole // _DAY_S}d{whole % _DAY_S // _HOUR_S:02d}h"


def whole_age(seconds: float) -> str:
    """`47s`, `2m`, `3h12m`, `5d02h`: as `age`, without the seconds from a minute on."""
    whole = int(seconds)
    return f"{whole // _MINUTE_S}m" if _MINUTE_S <= whole < _HOUR_S else age(seconds)


def milliseconds(seconds: float) -> str:
    """`4.2 ms`, `310 ms`."""
    value = seconds * 1000
    return f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"


def time_of_day(at: float) -> str:
    """`12:04:49`, in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"


def since(at: float, now: float) -> str:
    """`12:04` in UTC; `Mar 02` where that was a day ago or longer."""
    return f"{datetime.fromtimestamp(at, UTC):{'%H:%M' if now - at < _DAY_S else '%b %d'}}"


def date_and_time(at: float) -> str:
    """`2026-03-02 12:04:49Z`."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}Z"
