"""The last lines of a pod as rows of a table."""

from __future__ import annotations

from typing import Final, NamedTuple

from agentdash.tui.columns import Column
from agentdash.tui.labels import labelled_text
from agentdash.tui.lines import Line, Span, Tone
from controller.model.snapshot import PodLog


class PodRef(NamedTuple):
    """A pod by its name, and the key of its pool."""

    pool: str
    name: str


class LogLine(NamedTuple):
    """One line; `number` counts from the oldest that was read."""

    number: int
    text: str

    @property
    def key(self) -> str:
        """The number as the table's key."""
        return str(self.number)


def log_lines(log: PodLog) -> tuple[LogLine, ...]:
    """The lines, the oldest first."""
    return tuple(LogLine(number, text) for number, text in enumerate(log.lines, 1))


def log_line_in_full(row: LogLine, width: int) -> list[Line]:
    """The whole line."""
    return labelled_text(f"line {row.number}", row.text, width, Tone.PLAIN)


LOG_COLUMNS: Final = (
    Column[LogLine]("#", 4, lambda row, _: Span(row.key, Tone.DIM), right=True, rank=1),
    Column[LogLine]("LINE", 30, lambda row, _: Span(row.text), widest=4_000, fill=True),
)
