"""The last lines that a pod has written, the newest at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from agentdash.tui.lines import Span, Tone, labelled_text
from agentdash.tui.table import Column, Table, View
from agentdash.tui.view import Frame
from controller.model.snapshot import PodLog


class LogLine(NamedTuple):
    """One line; `number` counts from the oldest that was read."""

    number: int
    text: str


def _rows(frame: Frame) -> Sequence[LogLine]:
    log = frame.asked.log
    return [LogLine(*each) for each in enumerate(log.lines, 1)] if isinstance(log, PodLog) else []


def _nothing(frame: Frame) -> list[Span]:
    log = frame.asked.log
    if log is None:
        return [Span(f"reading {frame.glyphs.ellipsis}", Tone.DIM)]
    return [Span(log, Tone.WARN) if isinstance(log, str) else Span("it has written nothing")]


def _how_much(frame: Frame) -> str:
    log = frame.asked.log
    if not isinstance(log, PodLog):
        return ""
    container = f"container {log.container}" if log.container else ""
    return ", ".join(filter(None, (container, "cut: newer lines are missing" * log.is_cut)))


_Column = Column[LogLine]
LINES: Final = Table[LogLine](
    "lines",
    "last lines",
    (
        _Column(
            "#", 4, "the line's number, from the oldest that was read", "number", tone=Tone.DIM,
            right=True, rank=1,
        ),
        _Column("LINE", 30, "what the pod has written", "text", widest=4_000, fill=True),
    ),
    _rows,
    key=lambda row: str(row.number),
    nothing=_nothing,
    details=lambda row, _, width: labelled_text(f"line {row.number}", row.text, width),
    called=lambda row: f"line {row.number}",
    state=_how_much,
    copies=False,
    asked=True,
)  # fmt: skip
VIEWS: Final = (View("logs", (LINES,), needs=(), listed=False, printed=False),)
