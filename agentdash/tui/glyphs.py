"""The few signs that are not letters, and their twins for terminals that only have ASCII."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set of signs; each is one cell wide, but for the ellipsis."""

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
    cursor: str = ">"
    stale: str = "~"
    unknown: str = "?"
    none: str = "-"


UNICODE: Final = Glyphs(
    arrow="→",
    up="↑",
    down="↓",
    ellipsis="…",
    horizontal="─",
    vertical="│",
    top_left="┌",
    top_right="┐",
    bottom_left="└",
    bottom_right="┘",
)
ASCII: Final = Glyphs(
    arrow=">",
    up="^",
    down="v",
    ellipsis="..",
    horizontal="-",
    vertical="|",
    top_left="+",
    top_right="+",
    bottom_left="+",
    bottom_right="+",
)
