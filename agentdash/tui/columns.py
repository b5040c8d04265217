"""Columns of a table as data: the text of a cell, its sort key, and which columns fit a width."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from agentdash.tui.lines import Span
from agentdash.tui.view import Frame

R = TypeVar("R")
SortValue: TypeAlias = tuple[float | str, ...]


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column.

    `width` and `widest` are in cells: cells that are left over on a line go to the columns that may
    grow. If the line is too narrow, the column with the highest `rank` is dropped first.
    `sort_key` gives None for a row without a value: it comes last in both directions. Shift and
    `letter` sort by the column, `descending` first if that is set. `keep_end` cuts a long text at
    its start.
    """

    title: str
    width: int
    cell: Callable[[R, Frame], Span]
    sort_key: Callable[[R], SortValue | None] | None = None
    rank: int = 0
    widest: int = 0
    right: bool = False
    keep_end: bool = False
    letter: str = ""
    descending: bool = False


@dataclass(frozen=True)
class PlacedColumn(Generic[R]):
    """A column and the width it gets on the screen."""

    column: Column[R]
    width: int


def place_columns(columns: Sequence[Column[R]], width: int) -> tuple[PlacedColumn[R], ...]:
    """The columns that fit in `width` cells, with one blank between them.

    Columns are dropped by rank, never made narrower than their width.
    """
    kept = list(columns)
    while len(kept) > 1 and _needed(kept) > width:
        kept.remove(max(reversed(kept), key=lambda column: column.rank))
    spare = max(width - _needed(kept), 0)
    placed: list[PlacedColumn[R]] = []
    for column in kept:
        more = min(spare, max(column.widest - column.width, 0))
        spare -= more
        placed.append(PlacedColumn(column, column.width + more))
    return tuple(placed)


def _needed(columns: Sequence[Column[R]]) -> int:
    return sum(column.width for column in columns) + len(columns) - 1


@dataclass(frozen=True, slots=True)
class Sort:
    """The title of the column to sort by, and the direction."""

    title: str
    descending: bool


def sort_rows(
    rows: Iterable[R], columns: Sequence[Column[R]], sort: Sort, key: Callable[[R], str]
) -> list[R]:
    """The rows, sorted. Equal rows are sorted by key, so that they never swap places."""
    found = sorted(rows, key=key)
    sort_key = next((column.sort_key for column in columns if column.title == sort.title), None)
    if sort_key is None:
        return found
    known: list[tuple[SortValue, R]] = []
    unknown: list[R] = []
    for row in found:
        value = sort_key(row)
        if value is None:
            unknown.append(row)
        else:
            known.append((value, row))
    known.sort(key=lambda pair: pair[0], reverse=sort.descending)
    return [row for _, row in known] + unknown
