"""A view of one table, with what there is to say of the row under the cursor in a panel below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic

from textual.app import ComposeResult

from agentdash.tui.actions import UserAction
from agentdash.tui.columns import R
from agentdash.tui.heights import details_lines
from agentdash.tui.lines import Line, Span, Tone, cut
from agentdash.tui.screens.base import Chrome, ViewScreen
from agentdash.tui.screens.overview import placeholder_lines
from agentdash.tui.view import Frame
from agentdash.tui.widgets.live_table import LiveTable, TableSpec
from agentdash.tui.widgets.panel import Panel


@dataclass(frozen=True, slots=True)
class RowTarget:
    """What opens when a person opens a row: the view by its name, and what of it is shown.

    `of` stands in the table's title, and names a node or a class of nodes where one of them opens;
    `pools` are the keys of the pools that are shown. Where `why` opens, `pools` is the one that it
    explains.
    """

    view: str
    pools: frozenset[str]
    of: str = ""


class TableView(ViewScreen, Generic[R]):
    """The table fills the screen down to the details of the row under the cursor."""

    SPEC: TableSpec[R]

    def __init__(self) -> None:
        super().__init__()
        self.table: LiveTable[R] = LiveTable(self.SPEC, id="table")
        self.details = Panel(id="details")
        self.only: RowTarget | None = None
        self._frame: Frame | None = None

    def compose_body(self) -> ComposeResult:
        """The table above, the details below."""
        yield self.table
        yield self.details

    def show_only(self, target: RowTarget | None) -> None:
        """Show only the rows that belong to this from the next draw on; None: all of them."""
        self.only = target
        self.table.of = "" if target is None else target.of

    def rows(self, frame: Frame) -> Sequence[R]:
        """The rows of the table, the same sequence as long as none of them changes."""
        raise NotImplementedError

    def nothing(self, frame: Frame) -> Sequence[Line]:
        """What the table says where the snapshot has no rows for it."""
        raise NotImplementedError

    def detail_lines(self, row: R, frame: Frame, width: int) -> Sequence[Line]:
        """What there is to say of a row."""
        raise NotImplementedError

    def opening(self, row: R) -> RowTarget | None:
        """What opens with this row."""
        raise NotImplementedError

    @property
    def actions(self) -> tuple[UserAction, ...]:
        """The actions whose keys work here; a letter sorts by the column that has it here."""
        titles = {each.letter: each.title for each in self.SPEC.columns if each.letter}
        return tuple(
            action
            if action.id != "sort_by"
            else replace(action, help=f"sort by {titles[action.argument]}")
            for action in super().actions
            if action.id != "sort_by" or action.argument in titles
        )

    def draw_body(self, frame: Frame) -> None:
        """Fill the table."""
        rows: Sequence[R] = ()
        empty = placeholder_lines(frame)
        if frame.snapshot is not None:
            rows, empty = self.rows(frame), list(self.nothing(frame))
        self.table.set_rows(rows, frame, empty)

    def on_resize(self) -> None:
        """Share the lines again."""
        super().on_resize()
        self._draw_details()

    def lines_beside(self, frame: Frame) -> int:
        """How many lines the panels have that are neither the table nor the details."""
        del frame
        return 0

    def draw_chrome(self, frame: Frame, chrome: Chrome) -> None:
        """Draw the details with everything around the table: the cursor may have moved."""
        super().draw_chrome(frame, chrome)
        self._frame = frame
        self._draw_details()

    def _draw_details(self) -> None:
        """Say of the row under the cursor what there is to say, in a panel as high as its lines."""
        row, frame = self.table.cursor_row, self._frame
        self.details.display = row is not None
        if row is None or frame is None:
            return
        name = cut((self.SPEC.name or self.SPEC.key)(row), 60, frame.glyphs.ellipsis)
        # the panel is as wide as the screen, also before the first layout
        lines = self.detail_lines(row, frame, self.app.size.width - 2)
        room = self.body_lines - self.lines_beside(frame)
        self.details.styles.height = details_lines(room, len(self.table.visible_keys), len(lines))
        self.details.show_titled(
            lambda width, _: self.detail_lines(row, frame, width),
            title=(Span(name, Tone.TITLE),),
            glyphs=frame.glyphs,
        )
