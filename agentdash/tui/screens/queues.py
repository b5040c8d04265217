"""The queues: how much waits, how it moves, and how long messages wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from agentdash.tui.actions import KeyScope
from agentdash.tui.lines import Line
from agentdash.tui.queues import BY_PENDING, QUEUE_COLUMNS, QueueRow, queue_lines, queue_rows
from agentdash.tui.screens.overview import placeholder_lines
from agentdash.tui.screens.table_view import RowTarget, TableView
from agentdash.tui.view import Frame
from agentdash.tui.widgets.live_table import TableSpec


class QueuesScreen(TableView[QueueRow]):
    """One row for each stream and consumer of a pool; a row opens why its pool has its number."""

    VIEW: ClassVar[str] = "queues"
    SCOPE: ClassVar[KeyScope] = KeyScope.QUEUES
    SPEC = TableSpec[QueueRow](
        "queues",
        QUEUE_COLUMNS,
        key=lambda row: row.key,
        filter_text=lambda row: f"{row.key} {row.state.word} {row.name.stream} {row.name.consumer}",
        sort=BY_PENDING,
    )

    def __init__(self) -> None:
        super().__init__()
        self._rows: Sequence[QueueRow] = ()

    @property
    def subject(self) -> str | None:
        """The pool under the cursor."""
        return next((row.pool.key for row in self._rows if row.key == self.table.cursor_key), None)

    def rows(self, frame: Frame) -> Sequence[QueueRow]:
        """One for each queue."""
        self._rows = queue_rows(frame, self._rows)
        return self._rows

    def nothing(self, frame: Frame) -> Sequence[Line]:
        """Without pools there are no queues."""
        return placeholder_lines(frame)

    def detail_lines(self, row: QueueRow, frame: Frame, width: int) -> Sequence[Line]:
        """How the queue moves and what holds it."""
        return queue_lines(row, frame, width)

    def opening(self, row: QueueRow) -> RowTarget | None:
        """Why the pool has its number."""
        return RowTarget("why", frozenset({row.pool.key}))
