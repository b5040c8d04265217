"""The audit: every change of what operators ask for, as columns of a table and in full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agentdash.tui import figures
from agentdash.tui.columns import Column, Sort
from agentdash.tui.labels import labelled, labelled_text
from agentdash.tui.lines import Line, Span, Tone
from agentdash.tui.times import time_columns, when_parts
from agentdash.tui.view import Frame
from controller.model.intents import (
    Intent,
    IntentChange,
    asked_words,
    key_words,
    scope_name,
    until_words,
)

NAMELESS: Final = "a writer without a name"
NEWEST_FIRST: Final = Sort("TIME", descending=True)


def before_text(change: IntentChange) -> str:
    """What was asked for before; `?` where that is not kept any longer."""
    return _asked(change.before) if change.is_whole else "?"


def after_text(change: IntentChange) -> str:
    """What is asked for since."""
    return "ended" if change.expired else _asked(change.after)


def _asked(intent: Intent | None) -> str:
    return "nothing" if intent is None else asked_words(intent)


def audit_filter_text(change: IntentChange) -> str:
    """The text that a filter searches."""
    return f"{change.who} {key_words(change.key)} {change.why} {change.revision}"


def _until(change: IntentChange, frame: Frame) -> Span:
    until = None if change.after is None else change.after.until
    if until is None:
        return Span(frame.glyphs.none, Tone.DIM)
    return Span(f"{figures.time_of_day(until)[:5]}Z")


def _change(change: IntentChange, frame: Frame) -> Span:
    text = f"{before_text(change)} {frame.glyphs.arrow} {after_text(change)}"
    return Span(text, Tone.DIM if change.expired else Tone.PLAIN)


AUDIT_COLUMNS: Final[Sequence[Column[IntentChange]]] = (
    *time_columns(lambda change: change.at, lambda change: (change.revision,)),
    Column[IntentChange](
        "WHO",
        10,
        lambda change, _: Span(change.who or "?", Tone.HEADING),
        lambda change: (change.who,),
        widest=24,
        letter="T",
    ),
    Column[IntentChange](
        "ASKED FOR",
        9,
        lambda change, _: Span(str(change.key.kind)),
        lambda change: (str(change.key.kind),),
        letter="B",
    ),
    Column[IntentChange](
        "OF",
        13,
        lambda change, _: Span(scope_name(change.key.scope)),
        lambda change: (scope_name(change.key.scope),),
        widest=28,
        letter="N",
        names=True,
    ),
    Column[IntentChange]("BEFORE → AFTER", 24, _change, rank=1, widest=52),
    Column[IntentChange]("UNTIL", 6, _until, rank=3),
    Column[IntentChange](
        "REASON",
        14,
        lambda change, frame: Span(change.why or frame.glyphs.none, Tone.DIM),
        rank=2,
        fill=True,
    ),
)


def audit_lines(change: IntentChange, frame: Frame, width: int, *, mine: bool) -> list[Line]:
    """One change in full: when, who from where, what, why, until when, before and after."""
    who = change.who or NAMELESS
    origin = f"from {change.origin}" if change.origin else ""
    when = when_parts(change.at, frame)
    lines = labelled("when", (*when, Span(who, Tone.HEADING), Span(origin, Tone.DIM)), width)
    what = f"{key_words(change.key)}, revision {change.revision}"
    lines += labelled_text("what", what, width)
    lines += labelled_text("why", change.why or "no reason given", width)
    lines += labelled_text("before", _in_full(change.before, before_text(change), frame), width)
    lines += labelled_text("after", _in_full(change.after, after_text(change), frame), width)
    if mine:
        lines += labelled_text("undo", "u takes it back", width, Tone.DIM)
    return lines


def _in_full(intent: Intent | None, text: str, frame: Frame) -> str:
    return text if intent is None else f"{text}, {until_words(intent.until, frame.now)}"
