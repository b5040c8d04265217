"""The nodes of one class, each with its room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from agentdash.tui.actions import KeyScope
from agentdash.tui.lines import Line, Span, Tone, line
from agentdash.tui.nodes import ALL_NODES
from agentdash.tui.requests import Reach
from agentdash.tui.screens.table_view import RowTarget, TableView
from agentdash.tui.single_nodes import NODE_COLUMNS, NodeRow, NodeRows, is_of_class, node_lines
from agentdash.tui.view import Frame
from agentdash.tui.widgets.live_table import TableSpec


class NodeClassScreen(TableView[NodeRow]):
    """One row for each node of a class; a row opens the node."""

    VIEW: ClassVar[str] = "class"
    SCOPE: ClassVar[KeyScope] = KeyScope.CLASS
    REACH: ClassVar[Reach | None] = None
    SPEC = TableSpec[NodeRow](
        "nodes", NODE_COLUMNS, key=lambda row: row.key, filter_text=lambda row: row.filter_text
    )

    def __init__(self) -> None:
        super().__init__()
        self._node_rows = NodeRows()
        self._all: Sequence[NodeRow] | None = None
        self._shown: Sequence[NodeRow] = ()

    def show_only(self, target: RowTarget | None) -> None:
        """Show the nodes of the class that the target names; None: of all."""
        super().show_only(target)
        self._all = None

    def rows(self, frame: Frame) -> Sequence[NodeRow]:
        """Those that belong to the class."""
        rows = self._node_rows.rows(frame)
        if rows is not self._all:
            self._all = rows
            name = ALL_NODES if self.only is None else self.only.of
            self._shown = [row for row in rows if is_of_class(row.node, name)]
        return self._shown

    def nothing(self, frame: Frame) -> Sequence[Line]:
        """A class that its autoscaler has emptied has no nodes."""
        del frame
        return [line(Span(" no nodes are known here", Tone.DIM))]

    def detail_lines(self, row: NodeRow, frame: Frame, width: int) -> Sequence[Line]:
        """The node's room, and what is on it."""
        return node_lines(row, frame, width)

    def opening(self, row: NodeRow) -> RowTarget | None:
        """The node's own view."""
        return RowTarget("node", frozenset(), of=row.key)
