"""What needs attention: every finding of the controller, the worst first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from agentdash.tui.actions import KeyScope
from agentdash.tui.attention import (
    ATTENTION_COLUMNS,
    WORST_FIRST,
    AttentionRow,
    attention_lines,
    attention_rows,
)
from agentdash.tui.lines import Line, Span, Tone, line
from agentdash.tui.screens.table_view import RowTarget, TableView
from agentdash.tui.view import Frame
from agentdash.tui.widgets.live_table import TableSpec


class AttentionScreen(TableView[AttentionRow]):
    """One row for each finding; a row opens what it leads to."""

    VIEW: ClassVar[str] = "attention"
    SCOPE: ClassVar[KeyScope] = KeyScope.ATTENTION
    SPEC = TableSpec[AttentionRow](
        "attention",
        ATTENTION_COLUMNS,
        key=lambda row: row.key,
        filter_text=lambda row: row.filter_text,
        sort=WORST_FIRST,
        name=lambda row: row.finding.subject,
    )

    def __init__(self) -> None:
        super().__init__()
        self._rows: Sequence[AttentionRow] = ()

    @property
    def subject(self) -> str | None:
        """The pool of the finding under the cursor, if it is about one."""
        row = self.table.cursor_row
        return min(row.pools) if row is not None and row.leads_to == "why" else None

    def rows(self, frame: Frame) -> Sequence[AttentionRow]:
        """The snapshot's findings; the same sequence as long as none of them changes."""
        rows = attention_rows(frame)
        if list(rows) != list(self._rows):
            self._rows = rows
        return self._rows

    def nothing(self, frame: Frame) -> Sequence[Line]:
        """A fleet without a finding."""
        del frame
        return [line(Span(" nothing needs attention", Tone.OK))]

    def detail_lines(self, row: AttentionRow, frame: Frame, width: int) -> Sequence[Line]:
        """The finding in full."""
        return attention_lines(row, frame, width)

    def opening(self, row: AttentionRow) -> RowTarget | None:
        """What the finding leads to; None for one that opens in full, which the app does."""
        if not row.leads_to:
            return None
        return RowTarget(row.leads_to, row.pools, of=row.finding.subject if row.pools else "")
