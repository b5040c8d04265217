"""Any view of tables, one below the other, with the details of the row under the cursor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from textual.app import ComposeResult

from agentdash.tui.actions import KeyScope
from agentdash.tui.lines import Line, Span, Tone, cut, line, width_of, wrap
from agentdash.tui.screens.base import Chrome, ViewScreen, details_lines, share_lines
from agentdash.tui.table import Opening, PodRef, Table, View
from agentdash.tui.tables.pools import nothing_seen
from agentdash.tui.view import Frame
from agentdash.tui.widgets.live_table import LiveTable
from agentdash.tui.widgets.panel import Panel

_AROUND_ROWS: Final = 3
"""The frame and the headings of a table."""
_NOTE_WIDTH: Final = 76
_LEAST_LINES: Final = 4
"""Of a table among others: one row with its headings."""


class TableScreen(ViewScreen):
    """The tables of a view. One without rows gives its lines away, unless it is the first."""

    def __init__(self, view: View, *, tab: str = "") -> None:
        super().__init__(view.name, tab=tab)
        self.shown_view = view
        self.tables: list[LiveTable[Any]] = [LiveTable(each, id=each.name) for each in view.tables]
        self.details = Panel(id="details")
        self._where: Callable[[Any], bool] | None = None
        self._log_of: PodRef | None = None
        self._frame: Frame | None = None

    @property
    def table(self) -> LiveTable[Any]:
        """Its first table."""
        return self.tables[0]

    def compose_body(self) -> ComposeResult:
        """The tables above, the details below."""
        yield from self.tables
        yield self.details

    def show_only(self, opening: Opening | None) -> None:
        """Show only the rows that belong to this from the next draw on; None: all of them."""
        self._where = None if opening is None else opening.where
        self.table.of = "" if opening is None else opening.of

    def show_log_of(self, pod: PodRef) -> None:
        """Its lines are those of this pod from the next draw on."""
        self._log_of, self.table.of = pod, pod.name

    @property
    def pod_under_cursor(self) -> PodRef | None:
        """The pod of the row, or the one whose lines are shown: the key reads them again."""
        return self._log_of or super().pod_under_cursor

    @property
    def subject(self) -> str | None:
        """The pool that it is about."""
        return super().subject if self._log_of is None else self._log_of.pool

    def draw_body(self, frame: Frame) -> None:
        """Fill the tables."""
        self._frame = frame
        for table in self.tables:
            rows = table.spec.rows(frame)
            if self._where is not None:
                rows = [row for row in rows if self._where(row)]
            if self.tab:
                rows = [row for row in rows if self._is_of_pool(row, table.spec)]
            table.set_rows(rows, frame, [] if rows else nothing_lines(table.spec, frame))
        self._share_lines()

    def _is_of_pool(self, row: object, table: Table[Any]) -> bool:
        about = table.about(row)
        return about is not None and about.pool == self.pool

    def on_resize(self) -> None:
        """Share the lines again."""
        super().on_resize()
        self._share_lines()

    def draw_chrome(self, frame: Frame, chrome: Chrome) -> None:
        """Draw the details with everything around the tables: the cursor may have moved."""
        super().draw_chrome(frame, chrome)
        self._frame = frame
        self._share_lines()

    def _share_lines(self) -> None:
        frame, table = self._frame, self.filtered
        if frame is None:
            return
        row = None if table is None else table.cursor_row
        find = None if table is None else table.spec.details
        self.details.display = row is not None and find is not None
        height = 0
        if table is not None and row is not None and find is not None:
            # the panel is as wide as the screen, also before the first layout
            lines = list(find(row, frame, self.app.size.width - 2))
            height = self._details_height(len(lines), table)
            self._draw_details(table.spec, row, frame)
        self.details.styles.height = height
        self._share_among_tables(self.body_lines - height)

    def _details_height(self, lines: int, table: LiveTable[Any]) -> int:
        if len(self.tables) == 1:
            return details_lines(self.body_lines, len(table.visible_keys), lines)
        return min(lines + 2, max(self.body_lines // 3, 3))

    def _share_among_tables(self, room: int) -> None:
        seen = [each for each in self.tables if each is self.table or each.visible_keys]
        seen = seen if self._frame is None or self._frame.snapshot is not None else self.tables[:1]
        for each in self.tables:
            each.display = each in seen
        rows = [len(each.visible_keys) for each in seen]
        wanted = [each + _AROUND_ROWS if each else _LEAST_LINES for each in rows]
        shared = share_lines(room, wanted, [_LEAST_LINES] * len(seen))
        # what nobody needs goes to the one with most rows
        longest, spare = wanted.index(max(wanted)), max(shared[0] - wanted[0], 0)
        shared[0] -= spare
        shared[longest] += spare
        for each, lines in zip(seen, shared, strict=True):
            each.styles.height = lines

    def _draw_details(self, spec: Table[Any], row: object, frame: Frame) -> None:
        find, name = spec.details, (spec.called or spec.key)(row)
        if find is None:
            return
        self.details.show_titled(
            lambda width, _: list(find(row, frame, width)),
            title=(Span(cut(name, 60, frame.glyphs.ellipsis), Tone.TITLE),),
            glyphs=frame.glyphs,
        )


class IntentsScreen(TableScreen):
    """What stands now, each of which a key ends."""

    SCOPE: ClassVar[KeyScope] = KeyScope.INTENTS


class TasksScreen(TableScreen):
    """Tasks, each of which a key cancels or tries again."""

    SCOPE: ClassVar[KeyScope] = KeyScope.TASKS


def nothing_lines(table: Table[Any], frame: Frame) -> Sequence[Line]:
    """What a table says without rows, each part on lines of its own."""
    waits = frame.snapshot is None and not table.asked
    lines: list[Line] = []
    for text, tone, _ in nothing_seen(frame) if waits else table.nothing(frame):
        parts = [text] if width_of(text) <= _NOTE_WIDTH else wrap(text, _NOTE_WIDTH)
        lines += [line(Span(f" {part}", tone)) for part in parts]
    return lines
