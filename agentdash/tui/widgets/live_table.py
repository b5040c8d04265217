"""A table of live rows: the cursor stays on its row's key; only cells that changed are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from textual.events import Click
from textual.message import Message

from agentdash.tui.columns import Column, Placed, Sort, place, sort_rows
from agentdash.tui.filters import Filter, parse_filter
from agentdash.tui.lines import Line, Span, Tone, cut, fit, line, wrap
from agentdash.tui.view import Scene
from agentdash.tui.widgets.panel import Panel

R = TypeVar("R")
# below this width a row tells its story on lines of its own, so many in all
_NARROW: Final = 60
_TALL: Final = 4
# a table lower than this has no line to spare for headings
_HEADED: Final = 4


@dataclass(frozen=True)
class Table(Generic[R]):
    """What a table is of: `title` in its frame, its columns, what identifies a row and what a
    filter sees of it. `sort` is None for rows that come in order. On a narrow panel each row may
    have `narrow` columns and its `story` on lines of its own below.
    """

    title: str
    columns: Sequence[Column[R]]
    key: Callable[[R], str]
    haystack: Callable[[R], str]
    sort: Sort | None = None
    narrow: Sequence[Column[R]] = ()
    story: Callable[[R], str] | None = None


class LiveTable(Panel, Generic[R]):
    """Rows of a snapshot. New rows never move the cursor off the row that it is on."""

    class Opened(Message):
        """A row was asked to open."""

        def __init__(self, table: Panel, row: object) -> None:
            super().__init__()
            self.table = table
            self.row = row

        @property
        def control(self) -> Panel:
            """The table, for handlers that ask for one by selector."""
            return self.table

    class Moved(Message):
        """The cursor is on another row, or the sort or filter has changed."""

    class Refused(Message):
        """A key that does nothing here, and why."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, table: Table[R], *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._table = table
        self._scene: Scene | None = None
        self._rows: Sequence[R] = ()
        self._visible: list[R] = []
        self._keys: list[str] = []
        self._placeholder: Sequence[Line] = ()
        self._note_extra = ""
        self._cursor: str | None = None
        self._cursor_at = 0
        self._room = 1
        self._head_lines = 1
        self._lines_each = 1
        self.sort = table.sort
        self.filter = Filter()

    @property
    def cursor_key(self) -> str | None:
        """The key of the row under the cursor."""
        return self._cursor

    @property
    def cursor_row(self) -> R | None:
        """The row under the cursor."""
        return self._visible[self._cursor_at] if self._visible else None

    @property
    def visible_keys(self) -> tuple[str, ...]:
        """The keys of all rows that pass the filter, in their order."""
        return tuple(self._keys)

    def set_rows(self, rows: Sequence[R], scene: Scene, placeholder: Sequence[Line] = ()) -> None:
        """Show these rows; `placeholder` is said where there are none at all."""
        self._rows, self._scene, self._placeholder = rows, scene, placeholder
        self.glyphs = scene.glyphs
        self._sort_out()

    def set_filter(self, text: str) -> None:
        """Show only rows that pass."""
        self.filter = parse_filter(text)
        self._sort_out()
        self.post_message(self.Moved())

    def select(self, key: str) -> None:
        """Put the cursor on that row, if it is there."""
        if key in self._keys:
            self._go_to(self._keys.index(key))

    def _sort_out(self) -> None:
        table = self._table
        passed = [row for row in self._rows if self.filter.passes(table.haystack(row))]
        if self.sort is not None:
            passed = sort_rows(passed, table.columns, self.sort, table.key)
        self._visible = passed
        self._keys = [table.key(row) for row in passed]
        self._find_cursor()
        self._describe()
        self.update_lines()

    def _find_cursor(self) -> None:
        if not self._keys:
            self._cursor_at = 0
            self._cursor = None if not self.filter else self._cursor
            return
        if self._cursor in self._keys:
            self._cursor_at = self._keys.index(self._cursor or "")
            return
        self._cursor_at = min(self._cursor_at, len(self._keys) - 1)
        self._cursor = self._keys[self._cursor_at]

    def _describe(self) -> None:
        shown, total = len(self._visible), len(self._rows)
        counted = f" [{shown}/{total}]" if self.filter else f" [{total}]"
        known = self._scene is not None and self._scene.snapshot is not None
        title: list[Span | str] = [Span(self._table.title + (counted if known else ""), Tone.TITLE)]
        if self.filter:
            title.append(Span(f" /{fit(self.filter.text, 24).rstrip()}", Tone.WARN))
        self._title = title
        self._note = ()
        if self.sort is not None and known:
            way = self.glyphs.down if self.sort.descending else self.glyphs.up
            self._note = (Span(f"sort {self._heading(self.sort.title)} {way}", Tone.DIM),)

    def _heading(self, title: str) -> str:
        return title.replace("→", self.glyphs.arrow)

    def inside(self, width: int, height: int) -> Sequence[Line]:
        """The headings and the rows in view."""
        if self._scene is None or not self._visible:
            self._foot = ()
            return self._empty(width, height)
        tall = bool(self._table.narrow) and width < _NARROW
        placed = place(self._table.narrow if tall else self._table.columns, width - 2)
        self._head_lines = int(height >= _HEADED and not tall)
        self._lines_each = _TALL if tall else 1
        self._room = max((height - self._head_lines) // self._lines_each, 1)
        self._offset = max(min(self._offset, len(self._visible) - self._room), 0)
        rows = self._visible[self._offset : self._offset + self._room]
        self._foot = self._position(self._room)
        found = [self._head(placed)] if self._head_lines else []
        for index, row in enumerate(rows, self._offset):
            found.append(self._row(row, index, placed))
            if tall:
                found += self._story(row, width)
        return found

    def _story(self, row: R, width: int) -> list[Line]:
        told = self._table.story
        texts = wrap(told(row), width - 6) if told is not None else []
        if len(texts) >= _TALL:
            texts[_TALL - 2] = cut(" ".join(texts[_TALL - 2 :]), width - 6, self.glyphs.ellipsis)
        found = [line(Span(f"    {text}", Tone.DIM)) for text in texts[: _TALL - 1]]
        return found + [line()] * (_TALL - 1 - len(found))

    def _position(self, room: int) -> Sequence[Span | str]:
        total = len(self._visible)
        if total <= room:
            return ()
        last = min(self._offset + room, total)
        return (Span(f"{self._offset + 1}-{last} of {total}", Tone.DIM),)

    def _empty(self, width: int, height: int) -> Sequence[Line]:
        if self._rows and self.filter:
            text = f" none of {len(self._rows)} matches /{self.filter.text}"
            return [
                line(Span(fit(text, width), Tone.WARN)),
                line(Span(" esc clears the filter", Tone.DIM)),
            ]
        return list(self._placeholder)[:height]

    def _head(self, placed: Sequence[Placed[R]]) -> Line:
        spans: list[Span | str] = [" "]
        for place_ in placed:
            column = place_.column
            sorted_by = self.sort is not None and self.sort.title == column.title
            text = fit(
                self._heading(column.title),
                place_.width,
                right=column.right,
                ellipsis=self.glyphs.ellipsis,
            )
            spans += [Span(text, Tone.BAR if sorted_by else Tone.HEAD), " "]
        return line(*spans)

    def _row(self, row: R, index: int, placed: Sequence[Placed[R]]) -> Line:
        scene = self._scene
        if scene is None:
            return line()
        here = index == self._cursor_at
        spans: list[Span] = [
            Span(self.glyphs.cursor if here and self.has_focus else " ", Tone.TITLE)
        ]
        for place_ in placed:
            text, tone, _ = place_.column.cell(row, scene)
            shown = fit(
                text,
                place_.width,
                right=place_.column.right,
                keep_end=place_.column.keep_end,
                ellipsis=self.glyphs.ellipsis,
            )
            spans += [Span(shown, tone), Span(" ")]
        focus = Tone.CURSOR if self.has_focus else Tone.CURSOR_BLUR
        return Line(tuple(spans), focus if here else Tone.PLAIN)

    def _go_to(self, index: int) -> None:
        if not self._keys:
            return
        self._cursor_at = max(min(index, len(self._keys) - 1), 0)
        self._cursor = self._keys[self._cursor_at]
        room = self._room
        if self._cursor_at < self._offset:
            self._offset = self._cursor_at
        elif self._cursor_at >= self._offset + room:
            self._offset = self._cursor_at - room + 1
        self.update_lines()
        self.post_message(self.Moved())

    def _sort_on(self, title: str, *, turn: bool) -> None:
        column = next((each for each in self._table.columns if each.title == title), None)
        if column is None or column.order is None:
            self.post_message(self.Refused(f"no column {title} here to sort by"))
            return
        descending = column.descending
        if turn and self.sort is not None and self.sort.title == title:
            descending = not self.sort.descending
        self.sort = Sort(title, descending)
        self._sort_out()
        self.post_message(self.Moved())

    def _sort_beside(self, distance: int) -> None:
        titles = [column.title for column in self._table.columns if column.order is not None]
        if self.sort is None or not titles:
            self.post_message(self.Refused("this table keeps its own order"))
            return
        index = titles.index(self.sort.title) + distance
        self._sort_on(titles[index % len(titles)], turn=False)

    def action_down(self) -> None:
        """The next row."""
        self._go_to(self._cursor_at + 1)

    def action_up(self) -> None:
        """The row before."""
        self._go_to(self._cursor_at - 1)

    def action_page_down(self) -> None:
        """A page of rows on."""
        self._go_to(self._cursor_at + self.page)

    def action_page_up(self) -> None:
        """A page of rows back."""
        self._go_to(self._cursor_at - self.page)

    def action_top(self) -> None:
        """The first row."""
        self._go_to(0)

    def action_bottom(self) -> None:
        """The last row."""
        self._go_to(len(self._keys) - 1)

    def action_open(self) -> None:
        """Look into the row under the cursor."""
        row = self.cursor_row
        if row is not None:
            self.post_message(self.Opened(self, row))

    def action_sort_left(self) -> None:
        """Sort by the column before."""
        self._sort_beside(-1)

    def action_sort_right(self) -> None:
        """Sort by the next column."""
        self._sort_beside(1)

    def action_sort_turn(self) -> None:
        """Turn the order round."""
        if self.sort is None:
            self.post_message(self.Refused("this table keeps its own order"))
            return
        self._sort_on(self.sort.title, turn=True)

    def action_sort_by(self, letter: str) -> None:
        """Sort by the column of that letter, again to turn it round."""
        column = next((each for each in self._table.columns if each.letter == letter), None)
        if column is None:
            self.post_message(self.Refused(f"no column of this table answers to shift-{letter}"))
            return
        self._sort_on(column.title, turn=True)

    @property
    def page(self) -> int:
        """Rows that one page key moves."""
        return self._room

    def on_click(self, event: Click) -> None:
        """The mouse puts the cursor; a second click opens."""
        below_head = event.y - 1 - self._head_lines
        index = self._offset + below_head // self._lines_each
        if below_head >= 0 and index < min(len(self._keys), self._offset + self._room):
            self._go_to(index)
            if event.chain > 1:
                self.action_open()
