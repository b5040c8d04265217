"""The last lines of a pod, the newest at the end, read on while they are looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from agentdash.tui.lines import Span, Tone, labelled_text, wrap
from agentdash.tui.table import Column, KeyScope, Table, View
from agentdash.tui.view import Frame
from controller.model.snapshot import PodLog

BESIDE_LINES: Final = 12
"""Cells of a row beside the text of a line."""


class LogLine(NamedTuple):
    """One line, or a `part` of it; `number` counts from the oldest that was read."""

    number: int
    text: str
    part: int = 0


def _rows(frame: Frame) -> Sequence[LogLine]:
    log = frame.asked.log
    return list(_lines(log, frame.asked.log_as.wraps_at)) if isinstance(log, PodLog) else []


def _lines(log: PodLog, width: int) -> Iterator[LogLine]:
    for number, text in enumerate(log.lines, log.first):
        for part, each in enumerate((wrap(text, width) or [""]) if width else [text]):
            yield LogLine(number, each, part)


def _nothing(frame: Frame) -> list[Span]:
    log, shown = frame.asked.log, frame.asked.log_as
    if log is None:
        return [Span(f"reading {frame.glyphs.ellipsis}", Tone.DIM)]
    if isinstance(log, str) or shown.problem:
        return [Span(log if isinstance(log, str) else shown.problem, Tone.WARN)]
    return [Span("it has written nothing")]


def _how_much(frame: Frame) -> str:
    """Of which container, and whether it is read on."""
    log, shown = frame.asked.log, frame.asked.log_as
    if not isinstance(log, PodLog):
        return ""
    names, name = log.containers, log.container
    which = name if len(names) > 1 else ""
    if which and name in names:
        which += f" {names.index(name) + 1}/{len(names)}"
    reads = "follows" if shown.follows else "stands still"
    if shown.problem and log.lines:
        reads = f"not read on: {shown.problem}"
    run = "previous run" if shown.is_previous else ""
    cut = "cut: newer lines are missing" * log.is_cut
    return ", ".join(filter(None, (which, run, reads, cut)))


_Column = Column[LogLine]
LINES: Final = Table[LogLine](
    "lines",
    "last lines",
    (
        _Column(
            "#", 4, "the line's number, from the oldest that was read", "number",
            lambda row: None if row.part else row.number,
            cell=lambda row, _: Span("" if row.part else str(row.number), Tone.DIM),
            right=True, rank=1,
        ),
        _Column("LINE", 30, "what the pod has written", "text", widest=4_000, fill=True),
    ),
    _rows,
    key=lambda row: f"{row.number}.{row.part}",
    nothing=_nothing,
    details=lambda row, _, width: labelled_text(f"line {row.number}", row.text, width),
    called=lambda row: f"line {row.number}",
    state=_how_much,
    copies=False,
    asked=True,
)  # fmt: skip
VIEWS: Final = (View("logs", (LINES,), needs=(), listed=False, printed=False, scope=KeyScope.LOGS),)
