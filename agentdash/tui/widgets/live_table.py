"""A table of live rows: the cursor stays on its row, and only cells that change are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic

from textual.events import Click
from textual.message import Message

from agentdash.tui.columns import Column, PlacedColumn, R, Sort, place_columns, sort_rows
from agentdash.tui.filters import RowFilter, parse_filter
from agentdash.tui.lines import Line, Span, Tone, cut, fit, line, wrap
from agentdash.tui.view import Frame
from agentdash.tui.widgets.panel import Panel

# below this width, a row shows its details on lines of its own: so many lines for each row
_NARROW: Final = 60
_LINES_OF_TALL_ROW: Final = 4
# a lower table has no line for the column headings
_HEIGHT_FOR_HEADINGS: Final = 4


@dataclass(frozen=True)
class TableSpec(Generic[R]):
    """What a table shows.

    `title` stands in its border. `key` identifies a row, and `filter_text` is the text that a
    filter searches. Without `sort`, the rows stay in the order in which they come. On a narrow
    panel, each row may have the `narrow` columns instead, and its `details` on the lines below.
    `name` is how a row is called elsewhere, where that is not its key.
    """

    title: str
    columns: Sequence[Column[R]]
    key: Callable[[R], str]
    filter_text: Callable[[R], str]
    sort: Sort | None = None
    narrow: Sequence[Column[R]] = ()
    details: Callable[[R], str] | None = None
    name: Callable[[R], str] | None = None


class LiveTable(Panel, Generic[R]):
    """A table of a snapshot's rows. A new snapshot never moves the cursor to another row.

    `of` is what its rows belong to, where they are not all there are: it stands in the title.
    """

    class RowOpened(Message):
        """A person asked to open a row."""

        def __init__(self, table: Panel, row: object) -> None:
            super().__init__()
            self.table = table
            self.row = row

    class CursorMoved(Message):
        """The cursor is on another row, or the sort or the filter has changed."""

    class KeyIgnored(Message):
        """A key did nothing; `text` says why."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, spec: TableSpec[R], *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._spec = spec
        self._frame: Frame | None = None
        self._rows: Sequence[R] = ()
        self._visible: list[R] = []
        self._keys: list[str] = []
        self._placeholder: Sequence[Line] = ()
        self._cursor_key: str | None = None
        self._cursor_index = 0
        self._rows_on_screen = 1
        self._heading_lines = 1
        self._lines_per_row = 1
        self.sort = spec.sort
        self.filter = RowFilter()
        self.of = ""

    @property
    def cursor_key(self) -> str | None:
        """The key of the row under the cursor."""
        return self._cursor_key

    @property
    def cursor_row(self) -> R | None:
        """The row under the cursor."""
        return self._visible[self._cursor_index] if self._visible else None

    @property
    def visible_keys(self) -> tuple[str, ...]:
        """The keys of all rows that pass the filter, in the order of the table."""
        return tuple(self._keys)

    def set_rows(self, rows: Sequence[R], frame: Frame, placeholder: Sequence[Line] = ()) -> None:
        """Show these rows; if there are none, show `placeholder`.

        Rows never change in place. The same sequence again needs no sorting.
        """
        changed = rows is not self._rows
        self._rows, self._frame, self._placeholder = rows, frame, placeholder
        self.glyphs = frame.glyphs
        if changed:
            self._arrange()
        self._set_titles()
        self.update_lines()

    def set_filter(self, text: str) -> None:
        """Show only the rows that pass this filter."""
        self.filter = parse_filter(text)
        self._rearrange()

    def select(self, key: str) -> None:
        """Move the cursor to the row with this key, if the table shows it."""
        if key in self._keys:
            self._move_to(self._keys.index(key))

    def _rearrange(self) -> None:
        """After a change of the filter or the sort."""
        self._arrange()
        self._set_titles()
        self.update_lines()
        self.post_message(self.CursorMoved())

    def _arrange(self) -> None:
        """Filter and sort the rows, and find the cursor's row again."""
        spec = self._spec
        rows = self._rows
        if self.filter:
            rows = [row for row in rows if self.filter.passes(spec.filter_text(row))]
        if self.sort is not None:
            rows = sort_rows(rows, spec.columns, self.sort, spec.key)
        self._visible = list(rows)
        self._keys = [spec.key(row) for row in rows]
        self._restore_cursor()

    def _restore_cursor(self) -> None:
        if not self._keys:
            self._cursor_index = 0
            # a filter may let the row pass again
            self._cursor_key = self._cursor_key if self.filter else None
            return
        if self._cursor_key in self._keys:
            self._cursor_index = self._keys.index(self._cursor_key or "")
            return
        self._cursor_index = min(self._cursor_index, len(self._keys) - 1)
        self._cursor_key = self._keys[self._cursor_index]

    def _set_titles(self) -> None:
        shown, total = len(self._visible), len(self._rows)
        counted = f" [{shown}/{total}]" if self.filter else f" [{total}]"
        known = self._frame is not None and self._frame.snapshot is not None
        name = f"{self._spec.title} of {cut(self.of, 40)}" if self.of else self._spec.title
        title: list[Span | str] = [Span(name + (counted if known else ""), Tone.TITLE)]
        if self.filter:
            title.append(Span(f" /{fit(self.filter.text, 24).rstrip()}", Tone.WARN))
        self._title = title
        self._note = ()
        if self.sort is not None and known:
            arrow = self.glyphs.down if self.sort.descending else self.glyphs.up
            self._note = (Span(f"sort {self._heading(self.sort.title)} {arrow}", Tone.DIM),)

    def _heading(self, title: str) -> str:
        return title.replace("→", self.glyphs.arrow)

    def inside(self, width: int, height: int) -> Sequence[Line]:
        """The headings and the rows on the screen."""
        if self._frame is None or not self._visible:
            self._foot = ()
            return self._no_row_lines(width, height)
        tall = bool(self._spec.narrow) and width < _NARROW
        placed = place_columns(self._spec.narrow if tall else self._spec.columns, width - 2)
        self._heading_lines = int(height >= _HEIGHT_FOR_HEADINGS and not tall)
        self._lines_per_row = _LINES_OF_TALL_ROW if tall else 1
        self._rows_on_screen = max((height - self._heading_lines) // self._lines_per_row, 1)
        self._offset = max(min(self._offset, len(self._visible) - self._rows_on_screen), 0)
        rows = self._visible[self._offset : self._offset + self._rows_on_screen]
        self._foot = self._position()
        found = [self._heading_line(placed)] if self._heading_lines else []
        for index, row in enumerate(rows, self._offset):
            found.append(self._row_line(row, index, placed, self._frame))
            if tall:
                found += self._detail_lines(row, width)
        return found

    def _detail_lines(self, row: R, width: int) -> list[Line]:
        details = self._spec.details
        texts = wrap(details(row), width - 6) if details is not None else []
        most = _LINES_OF_TALL_ROW - 1
        if len(texts) > most:
            texts[most - 1] = cut(" ".join(texts[most - 1 :]), width - 6, self.glyphs.ellipsis)
        found = [line(Span(f"    {text}", Tone.DIM)) for text in texts[:most]]
        return found + [line()] * (most - len(found))

    def _position(self) -> Sequence[Span | str]:
        """Which rows are on the screen, if not all of them are."""
        total = len(self._visible)
        if total <= self._rows_on_screen:
            return ()
        last = min(self._offset + self._rows_on_screen, total)
        return (Span(f"{self._offset + 1}-{last} of {total}", Tone.DIM),)

    def _no_row_lines(self, width: int, height: int) -> Sequence[Line]:
        if self._rows and self.filter:
            text = f" none of {len(self._rows)} matches /{self.filter.text}"
            return [
                line(Span(fit(text, width), Tone.WARN)),
                line(Span(" esc clears the filter", Tone.DIM)),
            ]
        return list(self._placeholder)[:height]

    def _heading_line(self, placed: Sequence[PlacedColumn[R]]) -> Line:
        spans: list[Span | str] = [" "]
        for each in placed:
            column = each.column
            sorted_by = self.sort is not None and self.sort.title == column.title
            text = fit(
                self._heading(column.title),
                each.width,
                right=column.right,
                ellipsis=self.glyphs.ellipsis,
            )
            spans += [Span(text, Tone.SORTED if sorted_by else Tone.HEADING), " "]
        return line(*spans)

    def _row_line(
        self, row: R, index: int, placed: Sequence[PlacedColumn[R]], frame: Frame
    ) -> Line:
        at_cursor = index == self._cursor_index
        spans: list[Span] = [
            Span(self.glyphs.cursor if at_cursor and self.has_focus else " ", Tone.TITLE)
        ]
        for each in placed:
            text, tone, _ = each.column.cell(row, frame)
            shown = fit(
                text,
                each.width,
                right=each.column.right,
                keep_end=each.column.keep_end,
                ellipsis=self.glyphs.ellipsis,
            )
            spans += [Span(shown, tone), Span(" ")]
        cursor = Tone.CURSOR if self.has_focus else Tone.CURSOR_BLUR
        return Line(tuple(spans), cursor if at_cursor else Tone.PLAIN)

    def _move_to(self, index: int) -> None:
        if not self._keys:
            return
        self._cursor_index = max(min(index, len(self._keys) - 1), 0)
        self._cursor_key = self._keys[self._cursor_index]
        if self._cursor_index < self._offset:
            self._offset = self._cursor_index
        elif self._cursor_index >= self._offset + self._rows_on_screen:
            self._offset = self._cursor_index - self._rows_on_screen + 1
        self.update_lines()
        self.post_message(self.CursorMoved())

    def _sort_by(self, title: str, *, turn: bool) -> None:
        """Sort by this column. `turn` reverses the order if it is sorted by this column already."""
        column = next((each for each in self._spec.columns if each.title == title), None)
        if column is None or column.sort_key is None:
            self.post_message(self.KeyIgnored(f"this table cannot be sorted by {title}"))
            return
        descending = column.descending
        if turn and self.sort is not None and self.sort.title == title:
            descending = not self.sort.descending
        self.sort = Sort(title, descending)
        self._rearrange()

    def _sort_by_neighbour(self, distance: int) -> None:
        titles = [column.title for column in self._spec.columns if column.sort_key is not None]
        if self.sort is None or not titles:
            self._say_order_is_fixed()
            return
        index = titles.index(self.sort.title) + distance
        self._sort_by(titles[index % len(titles)], turn=False)

    def _say_order_is_fixed(self) -> None:
        self.post_message(self.KeyIgnored("this table has a fixed order"))

    def action_down(self) -> None:
        """Move the cursor to the next row."""
        self._move_to(self._cursor_index + 1)

    def action_up(self) -> None:
        """Move the cursor to the previous row."""
        self._move_to(self._cursor_index - 1)

    def action_page_down(self) -> None:
        """Move the cursor one page down."""
        self._move_to(self._cursor_index + self.page)

    def action_page_up(self) -> None:
        """Move the cursor one page up."""
        self._move_to(self._cursor_index - self.page)

    def action_top(self) -> None:
        """Move the cursor to the first row."""
        self._move_to(0)

    def action_bottom(self) -> None:
        """Move the cursor to the last row."""
        self._move_to(len(self._keys) - 1)

    def action_open(self) -> None:
        """Open the row under the cursor."""
        row = self.cursor_row
        if row is not None:
            self.post_message(self.RowOpened(self, row))

    def action_sort_left(self) -> None:
        """Sort by the previous column."""
        self._sort_by_neighbour(-1)

    def action_sort_right(self) -> None:
        """Sort by the next column."""
        self._sort_by_neighbour(1)

    def action_sort_turn(self) -> None:
        """Reverse the order."""
        if self.sort is None:
            self._say_order_is_fixed()
            return
        self._sort_by(self.sort.title, turn=True)

    def action_sort_by(self, letter: str) -> None:
        """Sort by the column with this letter; if it is sorted by it already, reverse the order."""
        column = next((each for each in self._spec.columns if each.letter == letter), None)
        if column is None:
            self.post_message(self.KeyIgnored(f"shift-{letter} sorts by no column of this table"))
            return
        self._sort_by(column.title, turn=True)

    @property
    def page(self) -> int:
        """How many rows a page key moves."""
        return self._rows_on_screen

    def on_click(self, event: Click) -> None:
        """A click moves the cursor; a double click opens the row."""
        below_headings = event.y - 1 - self._heading_lines
        index = self._offset + below_headings // self._lines_per_row
        end = min(len(self._keys), self._offset + self._rows_on_screen)
        if below_headings >= 0 and index < end:
            self._move_to(index)
            if event.chain > 1:
                self.action_open()
