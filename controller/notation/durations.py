"""Durations as people write them: a number of seconds, or Go's spelling such as "1h30m"."""

from __future__ import annotations

import re
from typing import Final

import durationpy

GO_DURATION_PATTERN: Final = r"(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)"
"""Go's spelling, as a regular expression that JSON Schema understands too."""

_GO_DURATION: Final = re.compile(GO_DURATION_PATTERN)
_MAX_CHARACTERS: Final = 40


def read_duration(text: str) -> float:
    """The seconds of a duration in Go's spelling. Raises ValueError."""
    # durationpy reads more than Go does: d, w, mm (months) and y, and text between the terms
    if len(text) > _MAX_CHARACTERS or not _GO_DURATION.fullmatch(text):
        raise ValueError('must be a duration: a number of seconds, or like "15m", "1h30m", "500ms"')
    try:
        return float(durationpy.from_str(text).total_seconds())
    except durationpy.DurationError:
        raise ValueError("is too long a duration") from None


def spell_duration(seconds: float) -> str:
    """Seconds in Go's spelling: 900 is "15m"."""
    for size, unit in ((3600, "h"), (60, "m"), (1, "s")):
        if seconds and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0s"
