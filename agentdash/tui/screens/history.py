"""Since when: how a pool, a tenant or the whole fleet went, as high as the screen."""

from __future__ import annotations

from typing import Final

from textual.app import ComposeResult

from agentdash.tui.charts import FleetHistory, history_lines, token_history_lines
from agentdash.tui.lines import Line, Span, Tone, cut_middle, line
from agentdash.tui.screens.base import ViewScreen
from agentdash.tui.tables.tenants import tenant_history
from agentdash.tui.view import Frame
from agentdash.tui.widgets.panel import Panel
from controller.model.intents import Scope

_TITLE_WIDTH: Final = 48


class HistoryScreen(ViewScreen):
    """The last 15 minutes and 24 hours of one pool, of one tenant, or of all pools together."""

    def __init__(self, *, tab: str = "") -> None:
        super().__init__("history", tab=tab)
        self._of = Scope()
        self._fleet_history = FleetHistory()
        self.panel = Panel(id="history")

    def show_of(self, scope: Scope) -> None:
        """Show the history of this from the next draw on."""
        self._of = scope
        self.panel.scroll_by(-self.panel.offset_lines)

    def compose_body(self) -> ComposeResult:
        """The panel."""
        yield self.panel

    def draw_body(self, frame: Frame) -> None:
        """Fill the panel."""
        scope = Scope(pool=self.pool) if self.pool else self._of
        name = scope.pool or scope.tenant or "the fleet"
        self.panel.show_titled(
            lambda width, height: self._lines(scope, frame, width, height),
            title=(
                Span(
                    f"history of {cut_middle(name, _TITLE_WIDTH, frame.glyphs.ellipsis)}",
                    Tone.TITLE,
                ),
            ),
            glyphs=frame.glyphs,
        )

    def _lines(self, scope: Scope, frame: Frame, width: int, height: int) -> list[Line]:
        snapshot = frame.snapshot
        if snapshot is None:
            return [line(Span(" no snapshot yet", Tone.DIM))]
        if scope.tenant is not None:
            history = tenant_history(scope.tenant, frame)
            return token_history_lines(history, frame, width, height)
        if scope.pool is None:
            history = self._fleet_history.of(snapshot.histories)
            return history_lines(history, frame, width, height, both=True)
        row = frame.row(scope.pool)
        if row is None:
            return [line(Span(" it is no pool of this fleet now", Tone.WARN))]
        return history_lines(row.history, frame, width, height, both=True)
