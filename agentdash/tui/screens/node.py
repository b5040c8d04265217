"""One node: its room, its taints, and the pods of the fleet on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult

from agentdash.tui.actions import KeyScope
from agentdash.tui.lines import Line, Span, Tone, cut_middle, line
from agentdash.tui.pods import PodRow
from agentdash.tui.screens.pods import PodTable
from agentdash.tui.single_nodes import NODE_POD_COLUMNS, NodeRow, NodeRows, node_lines
from agentdash.tui.view import Frame
from agentdash.tui.widgets.live_table import TableSpec
from agentdash.tui.widgets.panel import Panel

_TITLE_WIDTH: Final = 60


class NodeScreen(PodTable):
    """The node above, and one row for each of the fleet's pods on it below."""

    VIEW: ClassVar[str] = "node"
    SCOPE: ClassVar[KeyScope] = KeyScope.NODE
    AUTO_FOCUS = "LiveTable"
    SPEC = TableSpec[PodRow](
        "pods", NODE_POD_COLUMNS, key=lambda row: row.key, filter_text=lambda row: row.filter_text
    )

    def __init__(self) -> None:
        super().__init__()
        self._node_rows = NodeRows()
        self.room = Panel(id="room")
        self._panel = self.table

    def compose_body(self) -> ComposeResult:
        """The node, its pods, and the pod under the cursor."""
        yield self.room
        yield from super().compose_body()

    @property
    def _node_name(self) -> str:
        return "" if self.only is None else self.only.of

    def _row(self, frame: Frame) -> NodeRow | None:
        rows = self._node_rows.rows(frame)
        return next((row for row in rows if row.key == self._node_name), None)

    def rows(self, frame: Frame) -> Sequence[PodRow]:
        """The pods on the node."""
        row = self._row(frame)
        return () if row is None else row.pods

    def lines_beside(self, frame: Frame) -> int:
        """The node itself: as high as its lines, and at most half of the screen."""
        row = self._row(frame)
        lines = 1 if row is None else len(node_lines(row, frame, self.app.size.width - 2))
        return min(lines + 2, max(self.body_lines // 2 - 1, 3))

    def nothing(self, frame: Frame) -> Sequence[Line]:
        """Pods of other fleets are not known."""
        del frame
        return [line(Span(" no pods of this fleet are on it", Tone.DIM))]

    def draw_body(self, frame: Frame) -> None:
        """Draw the node, and fill the table."""
        super().draw_body(frame)
        row = self._row(frame)
        self.room.styles.height = self.lines_beside(frame)
        gone = [line(Span(" it is no node of the cluster now", Tone.WARN))]
        self.room.show_titled(
            lambda width, _: gone if row is None else node_lines(row, frame, width),
            title=(
                Span(cut_middle(self._node_name, _TITLE_WIDTH, frame.glyphs.ellipsis), Tone.TITLE),
            ),
            glyphs=frame.glyphs,
        )
