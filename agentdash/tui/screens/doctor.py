"""The doctor: whether everything that the fleet needs works, checked when a person asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from agentdash.tui import figures
from agentdash.tui.actions import KeyScope
from agentdash.tui.doctor import (
    DOCTOR_COLUMNS,
    WORST_FIRST,
    diagnosis_filter_text,
    diagnosis_key,
    diagnosis_lines,
)
from agentdash.tui.lines import Line, Span, Tone, line
from agentdash.tui.requests import Reach
from agentdash.tui.screens.table_view import RowTarget, TableView
from agentdash.tui.view import Frame
from agentdash.tui.widgets.live_table import TableSpec
from controller.model.snapshot import Diagnosis, Progress


class DoctorScreen(TableView[Diagnosis]):
    """One row for each line of the checks; they come as the checks end. It needs no snapshot: it
    may say why there is none.
    """

    VIEW: ClassVar[str] = "doctor"
    SCOPE: ClassVar[KeyScope] = KeyScope.DOCTOR
    REACH: ClassVar[Reach | None] = None
    SPEC = TableSpec[Diagnosis](
        "doctor",
        DOCTOR_COLUMNS,
        key=diagnosis_key,
        filter_text=diagnosis_filter_text,
        sort=WORST_FIRST,
        name=lambda found: f"{found.check} {found.subject}".rstrip(),
    )

    def __init__(self) -> None:
        super().__init__()
        self._progress: Progress | None = None
        self._ended_at: float | None = None
        self._problem = ""

    def begin(self) -> None:
        """The checks are asked for now; what they found before goes."""
        self._progress, self._ended_at, self._problem = None, None, ""

    def show_progress(self, progress: Progress) -> None:
        """Show the lines so far from the next draw on."""
        self._progress = progress

    def end(self, at: float) -> None:
        """All checks have ended (Unix seconds)."""
        self._ended_at = at
        self.table.put_in_order()

    def show_problem(self, words: str) -> None:
        """Say why nothing can be checked."""
        self._problem = words

    def rows(self, frame: Frame) -> Sequence[Diagnosis]:
        """The lines so far."""
        del frame
        return () if self._progress is None else self._progress.lines

    def nothing(self, frame: Frame) -> Sequence[Line]:
        """No check has ended yet, or none can be made."""
        del frame
        if self._problem:
            why, *to_do = self._problem.split("; ")
            return [
                line(Span(f" nothing was checked: {why}", Tone.WARN)),
                *(line(Span(f" {each}", Tone.DIM)) for each in to_do),
            ]
        return [line(Span(" looking at NATS and Kubernetes …", Tone.DIM))]

    def draw_body(self, frame: Frame) -> None:
        """Fill the table, and say in its title how far the checks are."""
        self.table.state = self._state()
        self.table.set_rows(self.rows(frame), frame, self.nothing(frame))

    def detail_lines(self, row: Diagnosis, frame: Frame, width: int) -> Sequence[Line]:
        """The line in full, and what to do."""
        return diagnosis_lines(row, frame, width)

    def opening(self, row: Diagnosis) -> RowTarget | None:
        """A line stands in full below already."""
        del row
        return None

    def _state(self) -> str:
        if self._ended_at is not None:
            return f"checked at {figures.time_of_day(self._ended_at)}Z; :doctor again"
        if self._progress is None:
            return ""
        return f"{self._progress.ended} of {self._progress.checks} checks have ended"
