"""The `/` filter: text or a regular expression; a `!` in front keeps the rows that do not match."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# the values of a row are lines: ^ and $ find the ends of each, and a dot goes on to the next
_FLAGS: Final = re.IGNORECASE | re.MULTILINE | re.DOTALL


@dataclass(frozen=True, slots=True)
class RowFilter:
    """The filter that a person typed, compiled. It is false when it is empty: all rows pass then.

    `note` explains to the person how the text was read; it is empty for a valid expression.
    """

    text: str = ""
    note: str = ""
    _pattern: re.Pattern[str] | None = None
    _inverse: bool = False

    def __bool__(self) -> bool:
        return self._pattern is not None

    def passes(self, row_text: str) -> bool:
        """Whether a row with this text is shown."""
        if self._pattern is None:
            return True
        return (self._pattern.search(row_text) is None) is self._inverse


def parse_filter(text: str) -> RowFilter:
    """The filter for the text typed so far. A text that is no valid regular expression is searched
    for literally.
    """
    wanted = text.strip()
    inverse = wanted.startswith("!")
    body = wanted[1:] if inverse else wanted
    if not body:
        return RowFilter(text=text)
    note = ""
    try:
        pattern = re.compile(body, _FLAGS)
    except re.error as error:
        pattern = re.compile(re.escape(body), _FLAGS)
        note = f"taken as text: {error.msg}"
    return RowFilter(text=text, note=note, _pattern=pattern, _inverse=inverse)
