"""Parses numbers as people write them: ASCII digits, with nothing else around or between them.

Python's `int`, `float` and `Decimal` also accept "٣٤", "1_000" and " 100 ". Here these are errors.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

DECIMAL_PATTERN: Final = r"-?[0-9]{1,18}(\.[0-9]{1,18})?"
"""A decimal number, as a regular expression that JSON Schema understands too."""

_DECIMAL: Final = re.compile(DECIMAL_PATTERN)
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")


def read_decimal(text: str) -> Decimal:
    """The exact number of a text such as "-1.25". Raises ValueError."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError("must be a number, such as 3 or 0.25")
    return Decimal(text)


def read_whole(text: str) -> int:
    """The whole number of a text such as "42". Raises ValueError."""
    if not _WHOLE.fullmatch(text):
        raise ValueError("must be a whole number, such as 42")
    return int(text)
