"""What a pod has written last. It does not come with snapshots: the app asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from agentdash.tui.actions import KeyScope
from agentdash.tui.lines import Line, Span, Tone, line, wrap
from agentdash.tui.pod_log import LOG_COLUMNS, LogLine, PodRef, log_line_in_full, log_lines
from agentdash.tui.requests import Reach
from agentdash.tui.screens.table_view import RowTarget, TableView
from agentdash.tui.view import Frame
from agentdash.tui.widgets.live_table import TableSpec
from controller.model.snapshot import PodLog


class LogsScreen(TableView[LogLine]):
    """One row for each line, the newest at the end; below, the line under the cursor in full."""

    VIEW: ClassVar[str] = "logs"
    SCOPE: ClassVar[KeyScope] = KeyScope.LOGS
    OPENS: ClassVar[bool] = False
    REACH: ClassVar[Reach | None] = None
    COPIES_ROWS: ClassVar[bool] = False
    SPEC = TableSpec[LogLine](
        "last lines",
        LOG_COLUMNS,
        key=lambda row: row.key,
        filter_text=lambda row: row.text,
        name=lambda row: f"line {row.number}",
    )

    def __init__(self) -> None:
        super().__init__()
        self._pod: PodRef | None = None
        self._lines: tuple[LogLine, ...] | None = None
        self._problem = ""

    def show_pod(self, pod: PodRef) -> None:
        """Show this pod from the next draw on; its lines are asked for."""
        self._pod, self._lines, self._problem = pod, None, ""
        self.table.of = pod.name

    def show_log(self, log: PodLog) -> None:
        """These are its last lines."""
        self._lines = log_lines(log)
        note = f", container {log.container}" if log.container else ""
        cut = ", cut: newer lines are missing" if log.is_cut else ""
        self.table.of = f"{self._pod.name if self._pod else ''}{note}{cut}"

    def show_problem(self, words: str) -> None:
        """Say why there are no lines."""
        self._problem = words

    @property
    def subject(self) -> str | None:
        """The pool of the pod."""
        return None if self._pod is None else self._pod.pool

    @property
    def pod_under_cursor(self) -> PodRef | None:
        """The pod whose lines are shown: the key reads them again."""
        return self._pod

    def select_newest(self) -> None:
        """Move the cursor to the newest line."""
        if self._lines:
            self.table.select(self._lines[-1].key)

    def rows(self, frame: Frame) -> Sequence[LogLine]:
        """The lines that were read."""
        del frame
        return self._lines or ()

    def nothing(self, frame: Frame) -> Sequence[Line]:
        """Why there are no lines."""
        del frame
        if self._problem:
            return [line(Span(f" {part}", Tone.WARN)) for part in wrap(self._problem, 74)]
        if self._lines is None:
            return [line(Span(" reading …", Tone.DIM))]
        return [line(Span(" it has written nothing", Tone.DIM))]

    def detail_lines(self, row: LogLine, frame: Frame, width: int) -> Sequence[Line]:
        """The whole line."""
        del frame
        return log_line_in_full(row, width)

    def opening(self, row: LogLine) -> RowTarget | None:
        """The line stands in full below already."""
        del row
        return None
