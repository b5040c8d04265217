"""A table as data. From one `Table` follow its panel, what is printed, saved and copied of it, its
sort keys, and what the help page says of its columns; from a `View` its command and its screen.

To add a view, add a file to the folder `tables` that defines `VIEWS`; to add a column, add a
`Column` to its table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

from agentdash.tui.lines import Line, Span, Tone, cut, fit, line, width_of
from agentdash.tui.view import Frame
from controller.model.intents import IntentChange, Scope
from controller.model.snapshot import Finding, ScaleEvent
from controller.model.tasks import TaskRow
from controller.model.text import clean

R = TypeVar("R")
PlainValue: TypeAlias = str | int | float | bool | list[str] | list[int | None] | None
"""What JSON and CSV have: units are in the names, times are Unix seconds, None is not known."""
SortValue: TypeAlias = str | float | tuple[str | float, ...]
NOTHING_LONGER: Final[Mapping[str, int]] = MappingProxyType({})


@cache
def part(path: str) -> Callable[..., Any]:
    """Finds `tokens.cap` of a row; None where a step before the last is None."""
    *steps, last = path.split(".")

    def find(row: object, *_: object) -> object:
        for each in steps:
            row = None if row is None else getattr(row, each)
        return None if row is None else getattr(row, last)

    return find


def never(row: object) -> bool:
    """Of a measured value that is old only while no news comes at all."""
    del row
    return False


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column.

    - `legend` is what the help page says of it.
    - Its `value` is a function of the row or a path to it, `tokens.cap`; by default, the path is
      its `name`. JSON and CSV have it under that name, and what `more` has under its names.
    - It shows what `cell` gives, else the value as `text` writes it, in this `tone`; `-` where it
      is not known, or `?` where it should be (`unknown`). Where a value is measured, `old` says
      whether only the last known one can be shown: a `~` stands behind it.
    - It is sorted by `sort`, else by the value; None comes last in both directions. Shift and
      `letter` sort by it, `descending` first if that is set. What is `drawn` has no text: it is not
      sorted, printed plain or written as CSV.
    - `width` and `widest` are in cells: what is left over on a line goes to the columns with longer
      values, up to `widest`, and then to the one that `fill`s the line. Where the line is too
      narrow, the column with the highest `rank` goes first. Long `names` are cut in the middle.
    """

    title: str
    width: int
    legend: str
    name: str = ""
    value: Callable[[R], PlainValue] | str = ""
    cell: Callable[[R, Frame], Span] | None = None
    text: Callable[[Any], str] = str
    tone: Tone | Callable[[R], Tone] = Tone.PLAIN
    unknown: bool = False
    old: Callable[[R], bool] | str = ""
    sort: Callable[[R], SortValue | None] | None = None
    more: Mapping[str, Callable[[R, Frame], PlainValue] | str] = field(default_factory=dict)
    rank: int = 0
    widest: int = 24
    fill: bool = False
    right: bool = False
    names: bool = False
    letter: str = ""
    descending: bool = False
    drawn: bool = False

    def span(self, row: R, frame: Frame) -> Span:
        """What the column shows of a row."""
        if self.cell is not None:
            return self.cell(row, frame)
        value = self._value(row)
        if value is None and self.unknown:
            return Span(frame.glyphs.unknown, Tone.WARN)
        if value is None:
            return Span(frame.glyphs.none, Tone.DIM)
        tone = self.tone if isinstance(self.tone, Tone) else self.tone(row)
        if self.old:
            is_old = part(self.old) if isinstance(self.old, str) else self.old
            if is_old(row) or frame.stale:
                return Span(self.text(value) + frame.glyphs.stale, Tone.WARN)
            tone = Tone.DIM if value == 0 else tone
        return Span(self.text(value), tone)

    def _value(self, row: R) -> PlainValue:
        value = self.value or self.name
        found: PlainValue = (part(value) if isinstance(value, str) else value)(row)
        return found

    @property
    def sorts(self) -> bool:
        """Whether a table can be sorted by it."""
        return not self.drawn and (self.sort is not None or bool(self.name))

    def sort_key(self, row: R) -> SortValue | None:
        """What a row is sorted by; None comes last."""
        if self.sort is not None:
            return self.sort(row)
        value = self._value(row) if self.name else None
        return None if value is None or isinstance(value, list) else value

    def values(self, row: R, frame: Frame) -> dict[str, PlainValue]:
        """What JSON and CSV have of a row."""
        own = {self.name: self._value(row)} if self.name else {}
        more = {n: part(each) if isinstance(each, str) else each for n, each in self.more.items()}
        return own | {name: value(row, frame) for name, value in more.items()}

    @property
    def names_of_values(self) -> tuple[str, ...]:
        """The names of these values."""
        return (*((self.name,) if self.name else ()), *self.more)


class Sort(NamedTuple):
    """The title of the column to sort by, and the direction."""

    title: str
    descending: bool


class PodRef(NamedTuple):
    """A pod by its name, and the key of its pool."""

    pool: str
    name: str


Opened: TypeAlias = ScaleEvent | Finding | IntentChange | TaskRow | PodRef
"""What can be shown in full."""


class Opening(NamedTuple):
    """What opens with a row: a view by its name; of a `pool`, the page with this tab; or the `row`
    itself in full. `where` says which rows the view has, and `of` stands in its title.
    """

    view: str
    pool: str = ""
    of: str = ""
    where: Callable[[Any], bool] | None = None
    row: Opened | None = None


def _opens_nothing(row: object, frame: Frame) -> Opening | None:
    del row, frame
    return None


@dataclass(frozen=True)
class Table(Generic[R]):
    """One table: its name in JSON, its title, its columns, and how rows come from what is shown.

    - `key` identifies a row, `called` is how the panel of its `details` calls it. `nothing` is said
      where there are no rows.
    - A filter searches `text` and what the columns on the screen show.
    - Without `sort`, the rows stay in the order in which they come.
    - `opens` says what opens with a row, `about` what it is about that can be explained or changed,
      `pod` whose log it can show.
    - `unfolds` is the text that the row under the cursor goes on with below, where the columns that
      `fill` have no room; on a narrow panel, each row has the columns with the titles in `narrow`
      and that text on the lines below. A panel of fewer lines than `headings_from` has no headings.
    - `state` stands after the title, where there is more to say of the rows than their number.
      `copies`: its rows can be copied and saved as values. `asked`: they come with no snapshot.
      The `own_letters` do something else in its view than to sort.
    """

    name: str
    title: str
    columns: Sequence[Column[R]]
    rows: Callable[[Frame], Sequence[R]]
    key: Callable[[R], str]
    nothing: Callable[[Frame], Sequence[Span]]
    text: Callable[[R], str] = lambda _: ""
    sort: Sort | None = None
    details: Callable[[R, Frame, int], Iterable[Line]] | None = None
    called: Callable[[R], str] | None = None
    opens: Callable[[R, Frame], Opening | None] = _opens_nothing
    about: Callable[[R], Scope | None] = lambda _: None
    pod: Callable[[R], PodRef | None] = lambda _: None
    unfolds: Callable[[R], str] | None = None
    narrow: Sequence[str] = ()
    headings_from: int = 3
    state: Callable[[Frame], str] = lambda _: ""
    copies: bool = True
    asked: bool = False
    own_letters: str = ""

    @property
    def can_open(self) -> bool:
        """Whether enter opens its rows."""
        return self.opens is not _opens_nothing

    def sorted_rows(self, frame: Frame) -> Sequence[R]:
        """Its rows in the order in which the screen begins."""
        rows = self.rows(frame)
        return rows if self.sort is None else sort_rows(rows, self.columns, self.sort, self.key)


class KeyScope(StrEnum):
    """Where a key works: everywhere, above the overview, in every table, on the overview, on the
    page of a pool, among the intents, in the log of a pod, or among the tasks.
    """

    GLOBAL = "global"
    ABOVE = "above"
    TABLE = "table"
    OVERVIEW = "overview"
    PAGE = "page"
    INTENTS = "intents"
    LOGS = "logs"
    TASKS = "tasks"


class Need(StrEnum):
    """What a view is made of, which is asked for where it is shown or printed."""

    SNAPSHOT = "snapshot"
    AUDIT = "audit"
    DOCTOR = "doctor"
    TASKS = "tasks"


@dataclass(frozen=True)
class View:
    """One view: its name and `aliases` in the command line, what it is, and its tables, the first
    with most room. `screen` is the view that the command opens, where that is another one. What is
    not `listed` is an old name, or opens from a row. `scope`: the keys that work in it alone.
    """

    name: str
    tables: tuple[Table[Any], ...]
    help: str = ""
    aliases: tuple[str, ...] = ()
    screen: str = ""
    needs: tuple[Need, ...] = (Need.SNAPSHOT,)
    listed: bool = True
    printed: bool = True
    scope: KeyScope = KeyScope.ABOVE


class PlacedColumn(NamedTuple, Generic[R]):
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


def table_lines(
    table: Table[R], rows: Sequence[R], frame: Frame, width: int | None
) -> Iterator[Line]:
    """The headings and the rows of a table, or why there are none, where no cursor moves over them.
    Columns that do not fit in the width are left out; None gives every column all it needs.
    """
    ellipsis = frame.glyphs.ellipsis
    if not rows:
        text = clean(": ".join(span.text for span in table.nothing(frame)))
        yield line(Span(text if width is None else cut(text, width, ellipsis), Tone.DIM))
        return
    longest = {
        column.title: max(width_of(clean(column.span(row, frame).text)) for row in rows)
        for column in table.columns
    }
    placed: Sequence[PlacedColumn[R]] = [
        PlacedColumn(each, max(longest[each.title], len(each.title))) for each in table.columns
    ]
    if width is not None:
        placed = place_columns(table.columns, width, longest)
    titles = [
        fit(c.title.replace("→", frame.glyphs.arrow), cells, right=c.right) for c, cells in placed
    ]
    yield line(Span(" ".join(titles), Tone.HEADING))
    for row in rows:
        spans = [(c.span(row, frame), c, cells) for c, cells in placed]
        texts = [
            span._replace(
                text=fit(span.text, cells, right=c.right, name=c.names, ellipsis=ellipsis)
            )
            for span, c, cells in spans
        ]
        blanks = [Span(" ")] * len(texts)
        yield line(*(each for pair in zip(texts, blanks, strict=True) for each in pair))


def sort_rows(
    rows: Iterable[R], columns: Sequence[Column[R]], sort: Sort, key: Callable[[R], str]
) -> list[R]:
    """The rows, sorted. Equal rows are sorted by key, so that they never swap places."""
    found = sorted(rows, key=key)
    column = next((each for each in columns if each.title == sort.title), None)
    if column is None:
        return found
    keys = [(column.sort_key(row), row) for row in found]
    known: list[tuple[Any, R]] = [pair for pair in keys if pair[0] is not None]
    known.sort(key=lambda pair: pair[0], reverse=sort.descending)
    return [row for _, row in known] + [row for value, row in keys if value is None]
