"""The nodes: room by class, and the pods that fit nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult

from agentdash.tui.actions import KeyScope
from agentdash.tui.lines import Line, Span, Tone, cut, line
from agentdash.tui.nodes import (
    CLASS_COLUMNS,
    UNPLACED_COLUMNS,
    UnplacedPods,
    class_lines,
    class_name,
    nobody_waits,
    unplaced_pods,
)
from agentdash.tui.requests import Reach
from agentdash.tui.screens.table_view import RowTarget, TableView
from agentdash.tui.view import Frame
from agentdash.tui.widgets.live_table import LiveTable, TableSpec
from controller.model.snapshot import NodeClassView

_AROUND_ROWS: Final = 3
"""The frame and the headings of a table."""
_LOW_BODY: Final = 16
"""In a lower one, the panel without pods gives its place to the others."""


class NodesScreen(TableView[NodeClassView]):
    """One row for each class of nodes, which opens its nodes; below, one for each pool with pods
    that no node takes, which opens the pool's pods.
    """

    VIEW: ClassVar[str] = "nodes"
    SCOPE: ClassVar[KeyScope] = KeyScope.NODES
    REACH: ClassVar[Reach | None] = None
    SPEC = TableSpec[NodeClassView](
        "room",
        CLASS_COLUMNS,
        key=class_name,
        filter_text=lambda view: " ".join((class_name(view), *view.nodes)),
    )

    def __init__(self) -> None:
        super().__init__()
        self.unplaced: LiveTable[UnplacedPods] = LiveTable(
            TableSpec(
                "pods that fit nowhere",
                UNPLACED_COLUMNS,
                key=lambda row: row.key,
                filter_text=lambda row: f"{row.key} {row.reason}",
            ),
            id="unplaced",
        )

    def compose_body(self) -> ComposeResult:
        """Classes, what there is to say of one, and the pods without a node."""
        yield from super().compose_body()
        yield self.unplaced

    @property
    def subject(self) -> str | None:
        """The pool under the cursor, if the lower table has the focus."""
        return self.unplaced.cursor_key if self.focused is self.unplaced else None

    def rows(self, frame: Frame) -> Sequence[NodeClassView]:
        """The snapshot's classes, all nodes first."""
        return () if frame.snapshot is None else frame.snapshot.room.classes

    def nothing(self, frame: Frame) -> Sequence[Line]:
        """Nodes that cannot be read are no limit, and the reason is said."""
        why = "" if frame.snapshot is None else frame.snapshot.room.why
        text = cut(why or "nothing has been read yet", 74, frame.glyphs.ellipsis)
        return [
            line(Span(" no nodes are known, so they set no limit", Tone.WARN)),
            line(Span(f" {text}", Tone.DIM)),
        ]

    def draw_body(self, frame: Frame) -> None:
        """Fill both tables."""
        super().draw_body(frame)
        fine = () if frame.snapshot is None else (nobody_waits(frame.rows),)
        self.unplaced.set_rows(unplaced_pods(frame.rows), frame, fine)
        lines = self.lines_beside(frame)
        self.unplaced.display = bool(lines)
        self.unplaced.styles.height = lines

    def lines_beside(self, frame: Frame) -> int:
        """The pods without a node: as many as there are, and at most a third of the screen."""
        unplaced = unplaced_pods(frame.rows)
        if not unplaced:
            return _AROUND_ROWS if self.body_lines >= _LOW_BODY else 0
        return min(len(unplaced) + _AROUND_ROWS, max(self.body_lines // 3, _AROUND_ROWS + 1))

    def detail_lines(self, row: NodeClassView, frame: Frame, width: int) -> Sequence[Line]:
        """The nodes of a class, and what still fits on them."""
        return class_lines(row, frame, width)

    def opening(self, row: NodeClassView | UnplacedPods) -> RowTarget | None:
        """The nodes of a class, or the pods of a pool."""
        if isinstance(row, UnplacedPods):
            return RowTarget("pods", frozenset({row.key}), of=row.key)
        return RowTarget("class", frozenset(), of=class_name(row)) if row.nodes else None
