"""The pools: every pool with all its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult

from agentdash.tui.actions import KeyScope
from agentdash.tui.screens.base import ViewScreen
from agentdash.tui.screens.overview import placeholder_lines
from agentdash.tui.tables import BY_PRESSURE, POOL_COLUMNS
from agentdash.tui.view import Frame, PoolRow
from agentdash.tui.widgets.live_table import LiveTable, TableSpec


class PoolsScreen(ViewScreen):
    """One table that fills the screen: all pools, or those of one tenant or model."""

    VIEW: ClassVar[str] = "pools"
    SCOPE: ClassVar[KeyScope] = KeyScope.POOLS

    def __init__(self) -> None:
        super().__init__()
        self._only: frozenset[str] | None = None
        self._all: Sequence[PoolRow] = ()
        self._shown: Sequence[PoolRow] = ()
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

    def show_only(self, pools: frozenset[str] | None, of: str = "") -> None:
        """Show these pools from the next draw on, `of` in the title; None: all of them."""
        self._only, self._all, self._shown = pools, (), ()
        self.pools.of = of

    def draw_body(self, frame: Frame) -> None:
        """Fill the table."""
        if frame.rows is not self._all:
            only, self._all = self._only, frame.rows
            self._shown = frame.rows
            if only is not None:
                self._shown = tuple(row for row in frame.rows if row.key in only)
        self.pools.set_rows(self._shown, frame, placeholder_lines(frame))
