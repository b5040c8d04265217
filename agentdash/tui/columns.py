"""Columns of a table as data: what a cell says, how it sorts, and which ones fit a width."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from agentdash.tui.lines import Span
from agentdash.tui.view import Scene

R = TypeVar("R")
Ordering: TypeAlias = tuple[float | str, ...]


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column.

    `width` and `widest` are in cells; what is left over on a line goes to those that may grow.
    Columns of the highest `rank` are dropped first. `order` is None for a row that goes last
    whatever the direction. `letter` with shift sorts by it. `keep_end` cuts a long text in front.
    """

    title: str
    width: int
    cell: Callable[[R, Scene], Span]
    order: Callable[[R], Ordering | None] | None = None
    rank: int = 0
    widest: int = 0
    right: bool = False
    keep_end: bool = False
    letter: str = ""
    descending: bool = False


@dataclass(frozen=True)
class Placed(Generic[R]):
    """A column with the width it gets."""

    column: Column[R]
    width: int


def place(columns: Sequence[Column[R]], width: int) -> tuple[Placed[R], ...]:
    """The columns that fit in `width` cells, one blank between: dropped by rank, never squeezed."""
    kept = list(columns)
    while len(kept) > 1 and _needed(kept) > width:
        kept.remove(max(reversed(kept), key=lambda column: column.rank))
    spare = max(width - _needed(kept), 0)
    placed: list[Placed[R]] = []
    for column in kept:
        more = min(spare, max(column.widest - column.width, 0))
        spare -= more
        placed.append(Placed(column, column.width + more))
    return tuple(placed)


def _needed(columns: Sequence[Column[R]]) -> int:
    return sum(column.width for column in columns) + len(columns) - 1


@dataclass(frozen=True, slots=True)
class Sort:
    """By which column, by its title, and which way."""

    title: str
    descending: bool


def sort_rows(
    rows: Iterable[R], columns: Sequence[Column[R]], sort: Sort, key: Callable[[R], str]
) -> list[R]:
    """Rows in the sort's order; ties by key, so that equal rows never swap places."""
    found = sorted(rows, key=key)
    order = next((column.order for column in columns if column.title == sort.title), None)
    if order is None:
        return found
    known: list[tuple[Ordering, R]] = []
    unknown: list[R] = []
    for row in found:
        place_in_order = order(row)
        if place_in_order is None:
            unknown.append(row)
        else:
            known.append((place_in_order, row))
    known.sort(key=lambda pair: pair[0], reverse=sort.descending)
    return [row for _, row in known] + unknown
