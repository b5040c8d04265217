"""The one door for text from outside: what passes is harmless on any screen, in any log, at any
later time.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
NAME_LIMIT: Final = 253
MESSAGE_LIMIT: Final = 1024

# Cc control (ESC, C1), Cf format (bidi, zero width, tags), Cs surrogates, Co private, Cn
# unassigned, Zl/Zp line ends
_FORBIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_PLAIN: Final = re.compile(r"[ -~]*\Z")


def clean(text: object, limit: int = MESSAGE_LIMIT) -> str:
    """One line of printable text of at most `limit` characters, whatever came in.

    Control, escape, bidi, zero-width, private, unassigned and surrogate characters become U+FFFD;
    line breaks and tabs become one space; what is cut ends in an ellipsis.
    """
    raw = text if isinstance(text, str) else str(text)
    if len(raw) > limit:
        raw = raw[: limit - 1] + "…"
    if _PLAIN.match(raw):
        return raw
    return "".join(_harmless(character) for character in raw)


def clean_name(text: object) -> str:
    """`clean` with the length that Kubernetes allows a name."""
    return clean(text, NAME_LIMIT)


def _harmless(character: str) -> str:
    if " " <= character <= "~":
        return character
    if character in "\t\n\r":
        return " "
    if unicodedata.category(character) in _FORBIDDEN_CATEGORIES or _is_filler(character):
        return REPLACEMENT
    return character


def _is_filler(character: str) -> bool:
    """Letters and marks that draw nothing: Hangul fillers, the Khmer inherent vowels, the combining
    grapheme joiner, variation selectors.
    """
    code = ord(character)
    return (
        code in {0x115F, 0x1160, 0x3164, 0xFFA0, 0x17B4, 0x17B5, 0x034F}
        or 0xFE00 <= code <= 0xFE0F
        or 0xE0100 <= code <= 0xE01EF
    )
