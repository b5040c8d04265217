"""The `/` filter: text or a regular expression, `!` in front for all that does not match."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Filter:
    """What the prompt holds, ready to ask; an empty one passes everything."""

    text: str = ""
    note: str = ""
    _pattern: re.Pattern[str] | None = None
    _inverse: bool = False

    def __bool__(self) -> bool:
        return self._pattern is not None

    def passes(self, haystack: str) -> bool:
        """Whether a row with this text stays."""
        if self._pattern is None:
            return True
        return (self._pattern.search(haystack) is None) is self._inverse


def parse_filter(text: str) -> Filter:
    """The filter as typed so far; what is no regular expression is looked for as it stands."""
    wanted = text.strip()
    inverse = wanted.startswith("!")
    body = wanted[1:] if inverse else wanted
    if not body:
        return Filter(text=text)
    note = ""
    try:
        pattern = re.compile(body, re.IGNORECASE)
    except re.error as error:
        pattern = re.compile(re.escape(body), re.IGNORECASE)
        note = f"taken as text: {error.msg}"
    return Filter(text=text, note=note, _pattern=pattern, _inverse=inverse)
