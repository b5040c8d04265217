"""The few symbols that are not letters, and what replaces them on an ASCII terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set of symbols. Each fills one cell, except the ellipsis of the ASCII set."""

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
    cursor: str = ">"
    stale: str = "~"
    unknown: str = "?"
    none: str = "-"
    bars: str = "▁▂▃▄▅▆▇█"
    gap: str = "·"


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
    bar="█",
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
    bars="_.:-=+*#",
    gap=" ",
    bar="#",
)
