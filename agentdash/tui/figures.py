"""Numbers, times, money and resources as text, and the few symbols that are no letters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from controller.model import clock


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The few symbols that are not letters. Each fills one cell, except the ellipsis of ASCII."""

    arrow: str
    up: str
    down: str
    ellipsis: str
    horizontal: str
    vertical: str
    top_left: str
    top_right: str
    bottom_left: str
    bottom_right: str
    bar: str
    bars: str
    gap: str
    cursor: str = ">"
    stale: str = "~"
    unknown: str = "?"
    none: str = "-"


UNICODE: Final = Glyphs("→", "↑", "↓", "…", "─", "│", "┌", "┐", "└", "┘", "█", "▁▂▃▄▅▆▇█", "·")
ASCII: Final = Glyphs(">", "^", "v", "..", "-", "|", "+", "+", "+", "+", "#", "_.:-=+*#", " ")


_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86400
_THOUSANDS: Final = ("", "k", "M", "G", "T", "P")
_BYTES: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi")


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
    """`12:04:49Z`; `14:04:49` in local time."""
    return f"{clock.moment(at):%H:%M:%S}{clock.mark()}"


def minute_of_day(at: float) -> str:
    """`12:04Z`; `14:04` in local time."""
    return f"{clock.moment(at):%H:%M}{clock.mark()}"


def since(at: float, now: float) -> str:
    """`12:04Z`; `Mar 02` where that was a day ago or longer."""
    return minute_of_day(at) if now - at < _DAY_S else f"{clock.moment(at):%b %d}"


def date_and_time(at: float) -> str:
    """`2026-03-02 12:04:49Z`, `2026-03-02 13:04:49+01:00`."""
    return f"{clock.moment(at):%Y-%m-%d %H:%M:%S}{clock.offset(at)}"


def percent(share: float) -> str:
    """`94%`; a part of one percent is `<1%`, and what is not all yet is never `100%`."""
    value = share * 100
    if 0 < value < 1:
        return "<1%"
    return f"{99 if 99 < value < 100 else round(value)}%"


def rate(per_minute: float, width: int = 5) -> str:
    """Amounts per minute: `0.4`, `12`, `41.0k`."""
    if 0 < per_minute < 10:
        return f"{per_minute:.1f}"
    return count(round(per_minute), width)


def wait(seconds: float, interval_s: float) -> str:
    """`9s`, `2m04s`; what is shorter than the polling interval is `<1s`."""
    least = max(interval_s, 1.0)
    return f"<{least:g}s" if seconds < least else age(seconds)


def usd(per_hour: float) -> str:
    """`0.42`, `31.20`, `1,204`."""
    return f"{per_hour:,.2f}" if per_hour < 1000 else f"{per_hour:,.0f}"


def cores(milli: int) -> str:
    """`0.25`, `3.5`, `128`: CPUs."""
    value = milli / 1000
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.2f}" if value < 1 else f"{value:.1f}"


def memory(amount: int) -> str:
    """`512Mi`, `1.5Gi`: bytes."""
    value = float(amount)
    for unit in _BYTES:
        if value < 1024 or unit == _BYTES[-1]:
            break
        value /= 1024
    return f"{value:.0f}{unit}" if value >= 100 or value == int(value) else f"{value:.1f}{unit}"


def bar(share: float, width: int, glyphs: Glyphs) -> str:
    """A bar that is full at 1; anything above nothing shows."""
    filled = round(min(max(share, 0.0), 1.0) * width)
    return glyphs.bar * max(filled, int(share > 0))


def as_words(code: str) -> str:
    """A code with spaces: `not_becoming_ready` is `not becoming ready`."""
    return str(code).replace("_", " ")
