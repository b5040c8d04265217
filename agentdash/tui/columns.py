"""Columns of a table as data: the text of a cell, its sort key, and which columns fit a width."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Generic, TypeAlias, TypeVar

from agentdash.tui.lines import Span
from agentdash.tui.view import Frame

R = TypeVar("R")
SortValue: TypeAlias = tuple[float | str, ...]
NOTHING_LONGER: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column.

    `width` and `widest` are in cells: cells that are left over on a line go to the columns with
    longer values, up to `widest`, and then to those that `fill` the line. If the line is too
    narrow, the column with the highest `rank` is dropped first.
    `sort_key` gives None for a row without a value: it comes last in both directions. Shift and
    `letter` sort by the column, `descending` first if that is set. A long text of a column of
    `names` is cut in the middle.
    """

    title: str
    width: int
    cell: Callable[[R, Frame], Span]
    sort_key: Callable[[R], SortValue | None] | None = None
    rank: int = 0
    widest: int = 24
    fill: bool = False
    right: bool = False
    names: bool = False
    letter: str = ""
    descending: bool = False


@dataclass(frozen=True)
class PlacedColumn(Generic[R]):
    """A column and the width it gets on the screen."""

    column: Column[R]
    width: int


def place_columns(
    columns: Sequence[Column[R]], width: int, longest: Mapping[str, int] = NOTHING_LONGER
) -> tuple[PlacedColumn[R], ...]:
    """The columns that fit in `width` cells, with one blank between them.

    Columns are dropped by rank, never made narrower than their width. `longest` is the width of the
    longest value of a column, by its title.
    """
    kept = list(columns)
    while len(kept) > 1 and _needed(kept) > width:
        kept.remove(max(reversed(kept), key=lambda column: column.rank))
    spare = max(width - _needed(kept), 0)
    placed: list[PlacedColumn[R]] = []
    for column in kept:
        more = min(spare, max(min(longest.get(column.title, 0), column.widest) - column.width, 0))
        spare -= more
        placed.append(PlacedColumn(column, column.width + more))
    for index, each in enumerate(placed):
        if each.column.fill:
            placed[index] = PlacedColumn(each.column, each.width + spare)
            break
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
