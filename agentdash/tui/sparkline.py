"""Rows of numbers as bars, one cell each: of one line, or of several.

Textual's Sparkline has a colour for each bar: 20 of them cost 8.4 kB a second where each number
changes, and 1.4 kB here. (tests/benchmarks/bench_widgets.py, 160x45, true colour)
"""

from __future__ import annotations

from collections.abc import Sequence

from agentdash.tui.glyphs import Glyphs
from controller.model.snapshot import NOT_KNOWN


def sparkline(values: Sequence[int], width: int, glyphs: Glyphs, top: int | None = None) -> str:
    """The last values in `width` cells, the newest at the right.

    Several values share a cell where there are more of them than cells: it shows the largest. A bar
    is as high as its part of `top`, by default the largest value; 0 is the lowest bar. What is not
    known is a dot.
    """
    return plot(values, width, 1, glyphs, top)[0]


def plot(
    values: Sequence[int], width: int, rows: int, glyphs: Glyphs, top: int | None = None
) -> list[str]:
    """The same in bars of so many rows, the upper row first; empty rows without values or cells."""
    if not values or width < 1:
        return [""] * rows
    cells = _cells(values, width)
    most = max(*cells, 0) if top is None else top
    each = len(glyphs.bars)
    heights = [
        NOT_KNOWN if value == NOT_KNOWN else _height(value, most, rows * each) for value in cells
    ]
    return [
        "".join(_cell(height, row * each, row, glyphs) for height in heights)
        for row in reversed(range(rows))
    ]


def _cell(height: int, below: int, row: int, glyphs: Glyphs) -> str:
    """What a bar of this height shows in a row with so many heights `below` it."""
    if height == NOT_KNOWN:
        return " " if row else glyphs.gap
    if height < below:
        return " "
    return glyphs.bars[min(height - below, len(glyphs.bars) - 1)]


def _cells(values: Sequence[int], width: int) -> list[int]:
    each = -(-len(values) // width)
    first = len(values) % each
    starts = [0, *range(first, len(values), each)] if first else range(0, len(values), each)
    return [max(values[start : start + each]) for start in starts] if each > 1 else list(values)


def _height(value: int, most: int, heights: int) -> int:
    """0 for nothing, else at least one step above it."""
    if value <= 0 or most <= 0:
        return 0
    return min(-(-value * (heights - 1) // most), heights - 1)
