"""The pods: every pod of the fleet or of some pools, the worst first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from agentdash.tui.actions import KeyScope
from agentdash.tui.lines import Line, Span, Tone, line
from agentdash.tui.pod_log import PodRef
from agentdash.tui.pods import POD_ROW_COLUMNS, WORST_FIRST, PodRow, PodRows, pod_lines
from agentdash.tui.screens.table_view import RowTarget, TableView
from agentdash.tui.view import Frame
from agentdash.tui.widgets.live_table import TableSpec


class PodTable(TableView[PodRow]):
    """A table of pods; a row opens why its pool has its number."""

    @property
    def subject(self) -> str | None:
        """The pool of the pod under the cursor."""
        row = self.table.cursor_row
        return None if row is None else row.pool.key

    @property
    def pod_under_cursor(self) -> PodRef | None:
        """The pod of the row; None for a pool whose pods are not known."""
        row = self.table.cursor_row
        return None if row is None or row.pod is None else PodRef(row.pool.key, row.pod.name)

    def detail_lines(self, row: PodRow, frame: Frame, width: int) -> Sequence[Line]:
        """Where the pod is on its way, and why it waits."""
        return pod_lines(row, frame, width)

    def opening(self, row: PodRow) -> RowTarget | None:
        """Why the pod's pool has its number."""
        return RowTarget("why", frozenset({row.pool.key}))


class PodsScreen(PodTable):
    """One row for each pod of the fleet, or of some pools."""

    VIEW: ClassVar[str] = "pods"
    SCOPE: ClassVar[KeyScope] = KeyScope.PODS
    SPEC = TableSpec[PodRow](
        "pods",
        POD_ROW_COLUMNS,
        key=lambda row: row.key,
        filter_text=lambda row: row.filter_text,
        sort=WORST_FIRST,
    )

    def __init__(self) -> None:
        super().__init__()
        self._pod_rows = PodRows()
        self._all: Sequence[PodRow] | None = None
        self._shown: Sequence[PodRow] = ()

    def show_only(self, target: RowTarget | None) -> None:
        """Show the pods of some pools; None: all of them."""
        super().show_only(target)
        self._all = None

    def rows(self, frame: Frame) -> Sequence[PodRow]:
        """Those that are to be shown."""
        rows = self._pod_rows.rows(frame)
        if rows is not self._all:
            self._all, only = rows, self.only
            self._shown = rows
            if only is not None:
                self._shown = [row for row in rows if row.pool.key in only.pools]
        return self._shown

    def nothing(self, frame: Frame) -> Sequence[Line]:
        """Pools at zero have no pods."""
        del frame
        return [
            line(Span(" no pods", Tone.DIM)),
            line(Span(" every pool that is shown here is at zero", Tone.DIM)),
        ]
