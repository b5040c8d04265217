"""A row of numbers as a row of bars, one cell each.

Textual's Sparkline has a colour for each bar: 20 of them cost 8.4 kB a second where each number
changes, and 1.4 kB here. (tests/benchmarks/bench_widgets.py, 160x45, true colour)
"""

from __future__ import annotations

from collections.abc import Sequence

from agentdash.tui.glyphs import Glyphs
from controller.model.history import NOT_KNOWN


def sparkline(values: Sequence[int], width: int, glyphs: Glyphs, top: int | None = None) -> str:
    """The last values in `width` cells, the newest at the right.

    Several values share a cell where there are more of them than cells: it shows the largest. A bar
    is as high as its part of `top`, by default the largest value; 0 is the lowest bar. What is not
    known is a dot.
    """
    if not values or width < 1:
        return ""
    cells = _cells(values, width)
    bars = glyphs.bars
    most = max(*cells, 0) if top is None else top
    return "".join(
        glyphs.gap if value == NOT_KNOWN else bars[_height(value, most, len(bars))]
        for value in cells
    )


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
