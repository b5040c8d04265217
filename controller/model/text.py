"""Text from outside: cleaned once where it enters, then safe on any screen and log; and names
similar to a misspelt one. Light: each `--help` loads it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
NAME_LIMIT: Final = 253  # characters of a name, as in Kubernetes
MESSAGE_LIMIT: Final = 1024  # characters of a message
ECHO_LIMIT: Final = 60  # characters of an input that an error message about it repeats
_LISTED: Final = 10

# Cc control (ESC, C1), Cf format (bidi, zero width, tags), Cs surrogates, Co private, Cn
# unassigned, Zl and Zp line and paragraph separators
_FORBIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_PLAIN: Final = re.compile(r"[ -~]*\Z")


def clean(text: object, limit: int = MESSAGE_LIMIT) -> str:
    """Any text, or any object as text, as one printable line of at most `limit` characters.

    Control, escape, bidi, zero-width, private, unassigned and surrogate characters become U+FFFD.
    Each line break or tab becomes a space. A text that is cut ends in an ellipsis.
    """
    raw = text if isinstance(text, str) else str(text)
    if len(raw) > limit:
        raw = raw[: limit - 1] + "…"
    if _PLAIN.match(raw):
        return raw
    return "".join(_harmless(character) for character in raw)


def clean_name(text: object) -> str:
    """`clean` with `NAME_LIMIT`, for names."""
    return clean(text, NAME_LIMIT)


def quote(text: object) -> str:
    """The beginning of an input, cleaned and in quotes, for an error message about it."""
    return f'"{clean(text, ECHO_LIMIT)}"'


def _harmless(character: str) -> str:
    if " " <= character <= "~":
        return character
    if character in "\t\n\r":
        return " "
    if unicodedata.category(character) in _FORBIDDEN_CATEGORIES or _is_filler(character):
        return REPLACEMENT
    return character


def _is_filler(character: str) -> bool:
    """Whether the character is invisible although it is a letter or mark: Hangul fillers, Khmer
    inherent vowels, the combining grapheme joiner, variation selectors.
    """
    code = ord(character)
    return (
        code in {0x115F, 0x1160, 0x3164, 0xFFA0, 0x17B4, 0x17B5, 0x034F}
        or 0xFE00 <= code <= 0xFE0F
        or 0xE0100 <= code <= 0xE01EF
    )


def nearest(name: str, known: Iterable[str], limit: int = 1) -> list[str]:
    """At most `limit` of the known names, the most similar first; none if none is similar."""
    return get_close_matches(name, sorted(known), n=limit)


def listed(names: Iterable[str]) -> str:
    """The first ten names, and how many more there are."""
    given = list(names)
    told, more = ", ".join(given[:_LISTED]), len(given) - _LISTED
    return f"{told} and {more:,} more" if more > 0 else told
