"""A table of live rows: the cursor stays on its row, and only cells that change are drawn.

Behind the difference writer Textual's DataTable costs about as many bytes where 10 cells change
(160 B against 229 B, for it does not draw what stands beyond its last column), but 105 ms of the
processor a second against 22 ms at 50 rows, and 128 ms against 23 ms at 1,000: each changed cell
draws the whole table again. Its cursor belongs to a place, and columns that do not fit are not
dropped but scrolled. (tests/benchmarks/bench_widgets.py, 160x45, true colour)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic

from textual.events import Click
from textual.message import Message

from agentdash.tui.lines import Line, Span, Tone, cut, fit, line, width_of, wrap
from agentdash.tui.table import Column, PlacedColumn, R, Sort, Table, place_columns, sort_rows
from agentdash.tui.view import Frame
from agentdash.tui.widgets.lines_widget import Panel
from controller.model.text import clean


class Cursor:
    """Which row the cursor is on, and which row is the first on the screen.

    It stays on its row from the first rows on. Once a person has moved it, the row stays on its
    line of the screen. Before, the first rows stay on the screen: a row that leaves them gives the
    cursor back to the first one. `go_to_first` lets it stay there again; with `holds_place` it
    then stands on the first row, whichever that is, as in a log.
    """

    def __init__(self, *, holds_place: bool = False) -> None:
        self.holds_place = holds_place
        self.key: str | None = None
        self.index = 0
        self.offset = 0
        self.follows = True
        self.rows_on_screen = 1

    def place(self, keys: Sequence[str], *, keep: bool) -> None:
        """Find the row again among these. Without rows, `keep` says whether it may come back."""
        if not keys:
            self.index = self.offset = 0
            self.key = self.key if keep else None
            return
        before, found = self.index, keys.index(self.key) if self.key in keys else None
        if not self.follows:
            self.index = min(before, len(keys) - 1) if found is None else found
            self.offset += 0 if found is None else found - before
        elif self.holds_place or found is None or found >= self.rows_on_screen:
            self.index = self.offset = 0
        else:
            self.index = found
        self.key = keys[self.index]
        self._clamp(len(keys))

    def resize(self, rows_on_screen: int, count: int) -> None:
        """So many of `count` rows fit on the screen."""
        self.rows_on_screen = rows_on_screen
        self._clamp(count)

    def move_to(self, index: int, keys: Sequence[str]) -> None:
        """A person moves the cursor to this row, or to the nearest one that exists."""
        if not keys:
            return
        self.follows = False
        self.index = max(min(index, len(keys) - 1), 0)
        self.key = keys[self.index]
        self._clamp(len(keys))

    def go_to_first(self, keys: Sequence[str]) -> None:
        """A person moves the cursor to the first row, and the first rows stay on the screen."""
        self.move_to(0, keys)
        self.follows = True

    def scroll(self, lines: int, keys: Sequence[str]) -> None:
        """Show other rows; the cursor stays on its row for as long as that one is seen."""
        last = max(len(keys) - self.rows_on_screen, 0)
        self.offset = max(min(self.offset + lines, last), 0)
        end = self.offset + self.rows_on_screen - 1
        self.move_to(max(min(self.index, end), self.offset), keys)

    def _clamp(self, count: int) -> None:
        """No empty lines where there are rows for them, and the cursor among those shown."""
        rows = self.rows_on_screen
        self.offset = max(min(self.offset, self.index, count - rows), self.index - rows + 1, 0)


# the values of a row are lines: ^ and $ find the ends of each, and a dot goes on to the next
_FLAGS: Final = re.IGNORECASE | re.MULTILINE | re.DOTALL


@dataclass(frozen=True, slots=True)
class RowFilter:
    """The filter that a person typed, compiled. It is false when it is empty: all rows pass then.

    `note` explains to the person how the text was read; it is empty for a valid expression.
    """

    text: str = ""
    note: str = ""
    _pattern: re.Pattern[str] | None = None
    _inverse: bool = False

    def __bool__(self) -> bool:
        return self._pattern is not None

    def passes(self, row_text: str) -> bool:
        """Whether a row with this text is shown."""
        if self._pattern is None:
            return True
        return (self._pattern.search(row_text) is None) is self._inverse


def parse_filter(text: str) -> RowFilter:
    """The filter for a text; one that is no regular expression is searched for literally."""
    wanted = text.strip()
    inverse = wanted.startswith("!")
    body = wanted[1:] if inverse else wanted
    if not body:
        return RowFilter(text=text)
    note = ""
    try:
        pattern = re.compile(body, _FLAGS)
    except re.error as error:
        pattern = re.compile(re.escape(body), _FLAGS)
        note = f"taken as text: {error.msg}"
    return RowFilter(text=text, note=note, _pattern=pattern, _inverse=inverse)


# below this width, a row shows its details on lines of its own: so many lines for each row
_NARROW: Final = 60
_LINES_OF_TALL_ROW: Final = 4
# a table in which the cursor was moved is read for so long, and its rows keep their places
_READING_S: Final = 10.0
# otherwise rows change their places at most this often
_REORDER_S: Final = 5.0
_SLIDES_S: Final = 1.5


class LiveTable(Panel, Generic[R]):
    """A table of a snapshot's rows. A new snapshot never moves the cursor to another row.

    `of` is what its rows belong to, where they are not all there are: it stands in the title.
    `state` stands after the title, where there is more to say of the rows than their number.
    """

    class RowOpened(Message):
        """A person asked to open a row."""

        def __init__(self, table: LiveTable[Any], row: object) -> None:
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

    def __init__(self, spec: Table[R], *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.spec = spec
        self._frame: Frame | None = None
        self._rows: list[R] = []
        self._visible: list[R] = []
        self._keys: list[str] = []
        self._placeholder: Sequence[Line] = ()
        self._placed: Sequence[PlacedColumn[R]] = ()
        self._longest: dict[str, int] = {}
        self._cursor = Cursor(holds_place=any(each.title == "TIME" for each in spec.columns))
        self._slid_at = float("-inf")
        self._moved_at = self._ordered_at = float("-inf")
        self._order: dict[str, int] = {}
        self._order_is_old = False
        self._heading_lines = 1
        self._lines_per_row = 1
        self._more: Sequence[Line] = ()
        self.sort = spec.sort
        self.filter = RowFilter()
        self.of = ""
        self.state = ""

    @property
    def cursor_key(self) -> str | None:
        """The key of the row under the cursor."""
        return self._cursor.key

    @property
    def cursor_row(self) -> R | None:
        """The row under the cursor."""
        return self._visible[self._cursor.index] if self._visible else None

    @property
    def shown_rows(self) -> Sequence[R]:
        """The rows that it was given last."""
        return self._rows

    @property
    def sort_letters(self) -> dict[str, str]:
        """The letters that sort by one of its columns, each with the title of that."""
        if self.sort is None:
            return {}
        return {each.letter: each.title for each in self.spec.columns if each.letter}

    @property
    def visible_rows(self) -> Sequence[R]:
        """The rows that pass the filter, in the order of the table."""
        return self._visible

    @property
    def visible_keys(self) -> tuple[str, ...]:
        """The keys of all rows that pass the filter, in the order of the table."""
        return tuple(self._keys)

    def set_rows(self, rows: Sequence[R], frame: Frame, placeholder: Sequence[Line] = ()) -> None:
        """Show these rows; if there are none, show `placeholder`.

        Rows never change in place. Equal ones again need no sorting.
        """
        changed = list(rows) != self._rows
        if changed:
            self._rows = list(rows)
        self._frame, self._placeholder = frame, placeholder
        self.state = self.spec.state(frame)
        self.glyphs = frame.glyphs
        # rows change their places not while a person reads them, and not often
        reading = self.has_focus and frame.now - self._moved_at < _READING_S
        since = frame.now - self._ordered_at
        settled = not self._order or since < 0 or (not reading and since >= _REORDER_S)
        if changed or (settled and self._order_is_old):
            before = self._cursor.key
            self._arrange(in_order=settled)
            if before != self._cursor.key and before in self._keys:
                self._slid_at = frame.now
        self._set_titles()
        self.update_lines()

    def set_filter(self, text: str) -> None:
        """Show only the rows that pass this filter."""
        self.filter = parse_filter(text)
        self._rearrange()

    def select(self, key: str) -> None:
        """Move the cursor to the row with this key, if the table shows it."""
        if key in self._keys:
            self._cursor.move_to(self._keys.index(key), self._keys)
            self._moved()

    def put_in_order(self) -> None:
        """Sort the rows now. The cursor goes to the first one, unless a person has moved it."""
        self._arrange(in_order=True)
        if self._cursor.follows:
            self._cursor.go_to_first(self._keys)
        self._set_titles()
        self.update_lines()

    def _rearrange(self) -> None:
        """After a change of the filter or the sort."""
        self.put_in_order()
        self.post_message(self.CursorMoved())

    def _arrange(self, *, in_order: bool) -> None:
        """Filter and sort the rows, and find the cursor's row again. Unless they are put `in_order`
        now, rows that were there before keep their places, and new ones come last.
        """
        key, places, rows = self.spec.key, self._order, list(self._rows)
        if self.sort is not None:
            rows = sort_rows(rows, self.spec.columns, self.sort, key)
            self._order_is_old = not in_order
            if not in_order:
                rows.sort(key=lambda row: places.get(key(row), len(places)))
            elif self._frame is not None:
                self._ordered_at = self._frame.now
            self._order = {key(row): place for place, row in enumerate(rows)}
        if self.filter:
            rows = [row for row in rows if self.filter.passes(self._text_of(row))]
        self._visible = rows
        self._keys = [key(row) for row in rows]
        self._cursor.place(self._keys, keep=bool(self.filter))

    @property
    def has_just_moved(self) -> bool:
        """Whether another row has just come under the cursor by itself."""
        return self._frame is not None and self._frame.now < self._slid_at + _SLIDES_S

    def _text_of(self, row: R) -> str:
        """What a filter searches. Each value is a line, so that ^ and $ find its ends."""
        frame, columns = self._frame, [each.column for each in self._placed] or self.spec.columns
        shown = () if frame is None else (column.span(row, frame).text for column in columns)
        return "\n".join((self.spec.text(row), *shown))

    def _set_titles(self) -> None:
        shown, total = len(self._visible), len(self._rows)
        counted = f" [{shown}/{total}]" if self.filter else f" [{total}]"
        known = self._frame is not None and self._frame.snapshot is not None
        name = f"{self.spec.title} of {cut(self.of, 40)}" if self.of else self.spec.title
        title: list[Span | str] = [Span(name + (counted if known else ""), Tone.TITLE)]
        if self.state:
            title.append(Span(f" {self.state}", Tone.DIM))
        if self.filter:
            title.append(Span(f" /{fit(self.filter.text, 24).rstrip()}", Tone.WARN))
        self._title = title
        self._note = ()
        # lines of a log come at its end: there the cursor goes along
        if known and self.sort is None and self.spec.copies and self._cursor.index:
            key = "" if self._frame is None else self._frame.top_key
            self._note = (Span(f"held; {key} goes to the first", Tone.DIM),)
        if self.sort is not None and known:
            arrow = self.glyphs.down if self.sort.descending else self.glyphs.up
            self._note = (Span(f"sort {self._heading(self.sort.title)} {arrow}", Tone.DIM),)

    def _heading(self, title: str) -> str:
        return title.replace("→", self.glyphs.arrow)

    def inside(self, width: int, height: int) -> Sequence[Line]:
        """The headings and the rows on the screen."""
        frame, spec, cursor = self._frame, self.spec, self._cursor
        if frame is None or not self._visible:
            self._foot = ()
            return self._no_row_lines(width, height)
        tall = bool(spec.narrow) and width < _NARROW
        # headings have room where there is enough, or a line that no row needs
        spare = len(self._visible) < height and spec.unfolds is None
        self._heading_lines = int(not tall and (spare or height >= spec.headings_from))
        self._lines_per_row = _LINES_OF_TALL_ROW if tall else 1
        columns = [each for each in spec.columns if not tall or each.title in spec.narrow]
        room = height - self._heading_lines
        self._more = () if tall else self._rest_of_cursor_row(width - 2, room - 1, frame)
        cursor.resize(max((room - len(self._more)) // self._lines_per_row, 1), len(self._visible))
        first, total = cursor.offset, len(self._visible)
        rows = self._visible[first : first + cursor.rows_on_screen]
        is_part = total > cursor.rows_on_screen
        place = f"{first + 1}-{first + len(rows)} of {total}"
        self._foot = (Span(place, Tone.DIM),) if is_part else ()
        self._placed, cells = self._cells(rows, columns, width - 2, frame)
        found = [self._heading_line(self._placed)] if self._heading_lines else []
        for index, row in enumerate(rows, first):
            found.append(self._row_line(cells[index - first], index))
            if tall:
                found += self._detail_lines(row, width)
            elif index == cursor.index:
                found += self._more
        return found

    def _rest_of_cursor_row(self, width: int, most: int, frame: Frame) -> Sequence[Line]:
        """What does not fit the column that fills the line, in at most `most` lines below it: of
        the row under the cursor, in a table whose rows have details.
        """
        row = self.cursor_row
        if self.spec.unfolds is None or row is None or most < 1:
            return ()
        start, offset = 1, self._cursor.offset
        nearby = self._visible[offset : offset + most + 1]
        placed, _ = self._cells([row, *nearby], self.spec.columns, width, frame)
        for column, cells in placed:
            if column.fill:
                parts = wrap(column.span(row, frame).text, cells)
                rest = parts[1 : most + 1]
                if len(parts) > most + 1:
                    rest[-1] = cut(" ".join(parts[most:]), cells, self.glyphs.ellipsis)
                tone = Tone.CURSOR if self.has_focus else Tone.CURSOR_BLUR
                return [line(" " * start, part, background=tone) for part in rest]
            start += cells + 1
        return ()

    def _cells(
        self, rows: Sequence[R], columns: Sequence[Column[R]], width: int, frame: Frame
    ) -> tuple[Sequence[PlacedColumn[R]], list[list[Span]]]:
        """The columns as wide as the longest value that was on the screen, and the rows' cells."""
        placed = place_columns(columns, width, self._longest)
        cells = [[each.column.span(row, frame) for each in placed] for row in rows]
        for number, each in enumerate(placed):
            longest = max((width_of(clean(row[number].text)) for row in cells), default=0)
            if longest > self._longest.get(each.column.title, each.column.width):
                self._longest[each.column.title] = longest
        return place_columns(columns, width, self._longest), cells

    def _detail_lines(self, row: R, width: int) -> list[Line]:
        details = self.spec.unfolds
        texts = wrap(details(row), width - 6) if details is not None else []
        most = _LINES_OF_TALL_ROW - 1
        if len(texts) > most:
            texts[most - 1] = cut(" ".join(texts[most - 1 :]), width - 6, self.glyphs.ellipsis)
        found = [line(Span(f"    {text}", Tone.DIM)) for text in texts[:most]]
        return found + [line()] * (most - len(found))

    def _no_row_lines(self, width: int, height: int) -> Sequence[Line]:
        if not self._rows or not self.filter:
            return list(self._placeholder)[:height]
        text = fit(f" none of {len(self._rows)} matches /{self.filter.text}", width)
        clears = Span(" esc clears the filter", Tone.DIM)
        return [line(Span(text, Tone.WARN)), line(clears)]

    def _heading_line(self, placed: Sequence[PlacedColumn[R]]) -> Line:
        spans: list[Span | str] = [" "]
        for column, cells in placed:
            sorted_by = self.sort is not None and self.sort.title == column.title
            title, ellipsis = self._heading(column.title), self.glyphs.ellipsis
            text = fit(title, cells, right=column.right, ellipsis=ellipsis)
            spans += [Span(text, Tone.SORTED if sorted_by else Tone.HEADING), " "]
        return line(*spans)

    def _row_line(self, cells: Sequence[Span], index: int) -> Line:
        at_cursor, ellipsis = index == self._cursor.index, self.glyphs.ellipsis
        mark = self.glyphs.cursor if at_cursor and self.has_focus else " "
        spans = [Span(mark, Tone.TITLE)]
        for (column, width), span in zip(self._placed, cells, strict=True):
            goes_on = at_cursor and self._more and column.fill
            text = wrap(span.text, width)[0] if goes_on else span.text
            shown = fit(text, width, right=column.right, name=column.names, ellipsis=ellipsis)
            spans += [Span(shown, span.tone), Span(" ")]
        cursor = Tone.CURSOR if self.has_focus else Tone.CURSOR_BLUR
        return Line(tuple(spans), cursor if at_cursor else Tone.PLAIN)

    def _moved(self) -> None:
        """After a person has moved the cursor or the rows on the screen."""
        if self._frame is not None:
            self._moved_at = self._frame.now
        self._set_titles()
        self.update_lines()
        self.post_message(self.CursorMoved())

    def scroll_by(self, lines: int) -> None:
        """Show other rows; the cursor stays among those on the screen."""
        self._cursor.scroll(lines, self._keys)
        self._moved()

    def sort_by(self, title: str, *, turn: bool = True) -> None:
        """Sort by this column. `turn` reverses the order if it is sorted by this column already."""
        column = next((each for each in self.spec.columns if each.title == title), None)
        if column is None or not column.sorts:
            self.post_message(self.KeyIgnored(f"this table cannot be sorted by {title}"))
            return
        descending = column.descending
        if turn and self.sort is not None and self.sort.title == title:
            descending = not self.sort.descending
        self.sort = Sort(title, descending)
        self._rearrange()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A letter that its view needs does not sort."""
        sorts = action == "do" and parameters[0] == "sort_by"
        return not (sorts and str(parameters[1]) in self.spec.own_letters)

    def action_do(self, key: str, argument: str = "") -> None:
        """Open the row under the cursor, sort by another column or the other way, or move."""
        titles = [column.title for column in self.spec.columns if column.sorts]
        match key:
            case "open":
                if self._visible:
                    self.post_message(self.RowOpened(self, self.cursor_row))
            case "sort_by":
                self._sort_by_letter(argument)
            case "sort_left" | "sort_right" | "sort_turn" if self.sort is None or not titles:
                self.post_message(self.KeyIgnored("this table has a fixed order"))
            case "sort_left" | "sort_right" | "sort_turn" if self.sort is not None:
                step = {"sort_left": -1, "sort_right": 1}.get(key, 0)
                index = (titles.index(self.sort.title) + step) % len(titles)
                self.sort_by(titles[index], turn=not step)
            case "top":
                self._cursor.go_to_first(self._keys)
                self._moved()
            case _:
                step = self.steps(self._cursor.rows_on_screen).get(key, 0)
                self._cursor.move_to(self._cursor.index + step, self._keys)
                self._moved()

    def _sort_by_letter(self, letter: str) -> None:
        """Sort by the column with this letter; if it is sorted by it already, reverse the order."""
        column = next((each for each in self.spec.columns if each.letter == letter), None)
        if column is None:
            self.post_message(self.KeyIgnored(f"shift-{letter} sorts by no column of this table"))
            return
        self.sort_by(column.title)

    def on_click(self, event: Click) -> None:
        """A click moves the cursor, or sorts by the heading; a double click opens the row."""
        below_headings = event.y - 1 - self._heading_lines
        first, rows = self._cursor.offset, self._cursor.rows_on_screen
        # what belongs to the row under the cursor is on that row
        below_cursor = below_headings - (self._cursor.index - first)
        below_headings -= max(min(below_cursor, len(self._more)), 0)
        index = first + below_headings // self._lines_per_row
        if below_headings >= 0 and index < min(len(self._keys), first + rows):
            self._cursor.move_to(index, self._keys)
            self._moved()
            if event.chain > 1:
                self.action_do("open")
        elif self._heading_lines and event.y == 1:
            cell, end = event.x - 2, -1
            for column, cells in self._placed:
                end += cells + 1
                if 0 <= cell <= end:
                    self.sort_by(column.title)
                    return
