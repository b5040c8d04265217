"""How the panels of a column share its lines: each has what it can fill, the first has the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_FRAME: Final = 2
# the frame and the headings of a table
_AROUND_ROWS: Final = 3
_LEAST_TABLE: Final = 5


def share_lines(lines: int, wanted: Sequence[int], least: Sequence[int]) -> list[int]:
    """Lines for each panel. Each has its least, or what it wants if that is less. Then they get one
    line after the other, the first panel two at a time, until each has what it wants. What is left
    goes to the first.
    """
    found = [min(want, low) for want, low in zip(wanted, least, strict=True)]
    room = lines - sum(found)
    steps = [0, *range(len(found))]
    while room > 0 and any(has < want for has, want in zip(found, wanted, strict=True)):
        for index in steps:
            if room > 0 and found[index] < wanted[index]:
                found[index] += 1
                room -= 1
    found[0] = max(found[0] + room, 0)
    return found


def details_lines(lines: int, rows: int, details: int) -> int:
    """How high the panel of details below a table is, with its frame: as high as its lines. The
    table keeps half of the `lines` where its rows need them, and its headings and two rows at
    least; without any details the panel has no lines.
    """
    if not details:
        return 0
    table = min(rows + _AROUND_ROWS, max(lines // 2, _LEAST_TABLE))
    return max(min(details + _FRAME, lines - table), _FRAME + 1)
