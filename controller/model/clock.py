"""The clock that people read and type: UTC, or by their choice the local time of this machine.

Only words for people go by it; JSON, CSV, metrics, logs and everything stored have UTC. A time in
UTC has its Z. Local times have their offset in sentences and where a date stands; in columns and
pictures they are plain, and the header's clock has the offset.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from controller.model.text import quote

CLOCK_VARIABLE: Final = "AGENTDASH_CLOCK"
_ZONES: Final[Mapping[str, tzinfo | None]] = {"utc": UTC, "local": None}
_zone: tzinfo | None = UTC  # of the whole process; None: what the machine goes by
_TIME_OF_DAY: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?(Z?)")


def use_clock(environment: Mapping[str, str]) -> None:
    """Go by the clock that this environment names from now on. Raises ValueError."""
    global _zone  # noqa: PLW0603 - as the zone of the machine itself
    name = environment.get(CLOCK_VARIABLE, "") or "utc"
    if name not in _ZONES:
        raise ValueError(f"{CLOCK_VARIABLE} must be utc or local, not {quote(name)}")
    _zone = _ZONES[name]


def moment(at: float) -> datetime:
    """Unix seconds as a date and time of that clock."""
    return datetime.fromtimestamp(at, UTC).astimezone(_zone)


def mark() -> str:
    """What follows a time without its offset: Z in UTC, nothing in local time."""
    return "Z" if _zone else ""


def offset(at: float) -> str:
    """What follows a time that stands alone: `Z`, `+02:00`."""
    return "Z" if _zone else moment(at).isoformat()[-6:]


def time_words(at: float, now: float, *, to_seconds: bool = False) -> str:
    """A time to the minute, or `to_seconds`; with its date unless it is that of `now`."""
    shown, form = moment(at), "%H:%M:%S" if to_seconds else "%H:%M"
    if shown.date() != moment(now).date():
        form = f"%Y-%m-%d {form}"
    return f"{shown:{form}}{offset(at)}"


def read_time(text: str, near: float, *, later: bool) -> float:
    """Unix seconds of what was typed: a time of day such as `14:00`, the next one after `near`, or
    the last one up to it; or a date and time. It is of this clock, unless it names its offset or
    ends in Z. Raises ValueError, without words where it is neither.
    """
    found = _TIME_OF_DAY.fullmatch(text)
    if found is None:
        date = datetime.fromisoformat(text)
        return (date if date.tzinfo or not _zone else date.replace(tzinfo=_zone)).timestamp()
    zone = UTC if found[4] else _zone
    # without a zone the machine's rules hold for the day that comes out, also over a change of them
    day = datetime.fromtimestamp(near, zone)
    hour, minute, second = (int(part or 0) for part in found.groups()[:3])
    typed = day.replace(hour=hour, minute=minute, second=second, microsecond=0, fold=0)
    if later and typed <= day:
        typed += timedelta(days=1)
    elif not later and typed > day:
        typed -= timedelta(days=1)
    return typed.timestamp()
