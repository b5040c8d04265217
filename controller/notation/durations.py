"""Durations as people write them: a number of seconds, or Go's spelling such as "1h30m"."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_UNITS: Final = {
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("1e-3"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ns": Decimal("1e-9"),
}
_TERM: Final = r"([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))"

GO_DURATION_PATTERN: Final = rf"(0|{_TERM}+)"
"""Go's spelling, as a regular expression that JSON Schema understands too."""

_GO_DURATION: Final = re.compile(GO_DURATION_PATTERN)
_ONE_TERM: Final = re.compile(_TERM)
_MAX_CHARACTERS: Final = 40


def read_duration(text: str) -> float:
    """The seconds of a duration in Go's spelling. Raises ValueError."""
    if len(text) > _MAX_CHARACTERS or not _GO_DURATION.fullmatch(text):
        raise ValueError('must be a duration: a number of seconds, or like "15m", "1h30m", "500ms"')
    terms = (found.groups() for found in _ONE_TERM.finditer(text))
    return float(sum(Decimal(term.removesuffix(unit)) * _UNITS[unit] for term, _, unit in terms))


def spell_duration(seconds: float) -> str:
    """Seconds in Go's spelling: 900 is "15m"."""
    for size, unit in ((3600, "h"), (60, "m"), (1, "s")):
        if seconds and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0s"
