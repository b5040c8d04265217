"""The timeline of scale events: who changed which pool, why, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agentdash.tui import words
from agentdash.tui.columns import Column, Sort
from agentdash.tui.labels import labelled, labelled_text
from agentdash.tui.lines import Line, Span, Tone
from agentdash.tui.tables import change_text, event_reason
from agentdash.tui.times import time_columns, when_parts
from agentdash.tui.view import Frame
from controller.model.decision import HARMLESS, Code, OutcomeKind
from controller.model.snapshot import ScaleEvent

CONTROLLER: Final = "auto"
_ASKED_FOR: Final = frozenset({Code.PAUSED, Code.KEPT_WHILE_PAUSED, Code.PINNED})


def event_author(event: ScaleEvent) -> str:
    """The person whose pin or pause decided the number; else `auto`, the controller by itself."""
    if event.reason.code is Code.KEPT_BY_ANNOTATION:
        return "annotation"
    if event.reason.code not in _ASKED_FOR:
        return CONTROLLER
    return str(event.reason.numbers.get("who") or "someone")


def event_filter_text(event: ScaleEvent) -> str:
    """The text that a filter searches."""
    way = "up" if event.after > event.before else "down"
    return f"{event.pool} {event_author(event)} {event.bound} {way} {_outcome_words(event)}"


def _outcome_words(event: ScaleEvent) -> str:
    return words.as_words(event.outcome.kind)


def _author(event: ScaleEvent, frame: Frame) -> Span:
    del frame
    author = event_author(event)
    return Span(author, Tone.DIM if author == CONTROLLER else Tone.HEADING)


def _change(event: ScaleEvent, frame: Frame) -> Span:
    difference = event.after - event.before
    return Span(f"{change_text(event.before, event.after, frame)} {difference:+d}", Tone.BUSY)


def _outcome(event: ScaleEvent, frame: Frame) -> Span:
    del frame
    kind = event.outcome.kind
    tone = Tone.OK if kind is OutcomeKind.APPLIED else Tone.CRIT
    return Span(
        _outcome_words(event), Tone.WARN if tone is Tone.CRIT and kind in HARMLESS else tone
    )


TIMELINE_COLUMNS: Final[Sequence[Column[ScaleEvent]]] = (
    *time_columns(lambda event: event.at, lambda event: (event.at,)),
    Column[ScaleEvent](
        "POOL",
        17,
        lambda event, _: Span(event.pool),
        lambda event: (event.pool,),
        widest=24,
        letter="N",
        names=True,
    ),
    Column[ScaleEvent](
        "BY", 6, _author, lambda event: (event_author(event),), widest=12, letter="T"
    ),
    Column[ScaleEvent](
        "CHANGE",
        10,
        _change,
        lambda event: (event.after - event.before,),
        letter="X",
        descending=True,
    ),
    Column[ScaleEvent](
        "BOUND", 8, lambda event, _: Span(event.bound), lambda event: (event.bound,), letter="B"
    ),
    Column[ScaleEvent](
        "OUTCOME",
        9,
        _outcome,
        lambda event: (_outcome_words(event),),
        rank=3,
        widest=12,
        letter="S",
    ),
    Column[ScaleEvent](
        "BECAUSE",
        20,
        event_reason,
        rank=2,
        widest=200,
    ),
)
NEWEST_FIRST: Final = Sort("TIME", descending=True)


def event_lines(event: ScaleEvent, frame: Frame, width: int) -> list[Line]:
    """One event in full: when, who, what, why, its outcome, and how the pool is now."""
    author = event_author(event)
    who = "the controller by itself" if author == CONTROLLER else f"asked for by {author}"
    outcome = event.outcome
    lines = labelled("when", (*when_parts(event.at, frame), who), width)
    lines += labelled("change", (_change(event, frame), f"bound by {event.bound}"), width)
    lines += labelled_text("because", words.reason_sentence(event.reason, event.at), width)
    span = _outcome(event, frame)
    status = f" ({outcome.status})" if outcome.status else ""
    detail = f": {outcome.detail}" if outcome.detail else ""
    lines += labelled_text("outcome", f"{span.text}{status}{detail}", width, span.tone)
    row = frame.row(event.pool)
    if row is not None and row.ready is not None:
        old = frame.glyphs.stale if row.workload_is_old or frame.stale else ""
        now = f"{row.ready} of {row.current} replicas ready{old}"
        lines += labelled("now", (now,), width)
    return lines
