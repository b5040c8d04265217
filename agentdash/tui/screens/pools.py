"""The pools: every pool with all its numbers."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult

from agentdash.tui.actions import KeyScope
from agentdash.tui.screens.base import ViewScreen
from agentdash.tui.screens.overview import placeholder_lines
from agentdash.tui.tables import BY_PRESSURE, POOL_COLUMNS
from agentdash.tui.view import Frame, PoolRow
from agentdash.tui.widgets.live_table import LiveTable, TableSpec


class PoolsScreen(ViewScreen):
    """One table that fills the screen."""

    VIEW: ClassVar[str] = "pools"
    SCOPE: ClassVar[KeyScope] = KeyScope.POOLS

    def __init__(self) -> None:
        super().__init__()
        self.pools: LiveTable[PoolRow] = LiveTable(
            TableSpec(
                "pools",
                POOL_COLUMNS,
                key=lambda row: row.key,
                filter_text=lambda row: row.filter_text,
                sort=BY_PRESSURE,
            ),
            id="pools",
        )

    def compose_body(self) -> ComposeResult:
        """The table."""
        yield self.pools

    @property
    def subject(self) -> str | None:
        """The pool under the cursor."""
        return self.pools.cursor_key

    def draw_body(self, frame: Frame) -> None:
        """Fill the table."""
        self.pools.set_rows(frame.rows, frame, placeholder_lines(frame))
