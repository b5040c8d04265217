"""The audit: who asked for what, when, why, until when, and what was there before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from agentdash.tui.actions import KeyScope
from agentdash.tui.audit import AUDIT_COLUMNS, NEWEST_FIRST, audit_filter_text, audit_lines
from agentdash.tui.lines import Line, Span, Tone, line
from agentdash.tui.requests import Reach
from agentdash.tui.screens.table_view import RowTarget, TableView
from agentdash.tui.view import Frame
from agentdash.tui.widgets.live_table import TableSpec
from controller.model.intents import Audit, IntentChange, can_be_undone


class AuditScreen(TableView[IntentChange]):
    """One row for each change. It does not come with snapshots: the app asks for it."""

    VIEW: ClassVar[str] = "audit"
    SCOPE: ClassVar[KeyScope] = KeyScope.AUDIT
    REACH: ClassVar[Reach | None] = None
    COPIES_ROWS: ClassVar[bool] = False
    SPEC = TableSpec[IntentChange](
        "audit",
        AUDIT_COLUMNS,
        key=lambda change: str(change.revision),
        filter_text=audit_filter_text,
        sort=NEWEST_FIRST,
        name=lambda change: f"revision {change.revision}",
    )

    def __init__(self) -> None:
        super().__init__()
        self._audit: Audit | None = None
        self._problem = ""
        self._who = ""

    def show_audit(self, audit: Audit, who: str) -> None:
        """Show these changes from the next draw on; `who` is the person at the dashboard."""
        self._who, self._problem = who, ""
        if self._audit is None or audit.changes != self._audit.changes:
            self._audit = audit

    def show_problem(self, words: str) -> None:
        """Say why the changes are not known; those that are shown stay."""
        self._problem = words

    @property
    def change(self) -> IntentChange | None:
        """The change under the cursor."""
        return self.table.cursor_row

    def is_mine(self, change: IntentChange) -> bool:
        """Whether the person at the dashboard made this change and can take it back."""
        changes = () if self._audit is None else self._audit.changes
        return change.who == self._who and can_be_undone(change, changes)

    def rows(self, frame: Frame) -> Sequence[IntentChange]:
        """The changes that are kept."""
        del frame
        return () if self._audit is None else self._audit.changes

    def nothing(self, frame: Frame) -> Sequence[Line]:
        """Nobody has asked for anything, or it is not known."""
        del frame
        if self._problem:
            return [line(Span(f" the audit is not known: {self._problem}", Tone.WARN))]
        if self._audit is None:
            return [line(Span(" asking …", Tone.DIM))]
        return [
            line(Span(" nothing was ever asked for", Tone.DIM)),
            line(Span(" each pin, pause and freeze appears here, with its author", Tone.DIM)),
        ]

    def detail_lines(self, row: IntentChange, frame: Frame, width: int) -> Sequence[Line]:
        """The change in full."""
        return audit_lines(row, frame, width, mine=self.is_mine(row))

    def opening(self, row: IntentChange) -> RowTarget | None:
        """A change opens in full, which the app does."""
        del row
        return None
