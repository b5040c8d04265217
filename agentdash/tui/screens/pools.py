"""The pools: every pool with all its numbers."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult

from agentdash.tui.actions import Scope
from agentdash.tui.screens.base import ViewScreen
from agentdash.tui.screens.overview import placeholder_lines
from agentdash.tui.tables import BY_PRESSURE, POOLS
from agentdash.tui.view import PoolRow, Scene
from agentdash.tui.widgets.live_table import LiveTable, Table


class PoolsScreen(ViewScreen):
    """One table over the whole screen."""

    VIEW: ClassVar[str] = "pools"
    SCOPE: ClassVar[Scope] = Scope.POOLS

    def __init__(self) -> None:
        super().__init__()
        self.pools: LiveTable[PoolRow] = LiveTable(
            Table(
                "pools",
                POOLS,
                key=lambda row: row.key,
                haystack=lambda row: row.haystack,
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

    def draw_body(self, scene: Scene) -> None:
        """Fill the table."""
        self.pools.set_rows(scene.rows, scene, placeholder_lines(scene))
