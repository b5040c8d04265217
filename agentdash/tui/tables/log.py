"""The log: every scale event that the controller remembers and every change that people asked for,
the newest first; either of them alone by its old name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from agentdash.tui import figures
from agentdash.tui.cells import change_text, none_span, when_parts
from agentdash.tui.lines import Line, Span, Tone, labelled, labelled_text
from agentdash.tui.table import Column, Need, Opening, PlainValue, Sort, Table, View
from agentdash.tui.view import Frame
from controller.model.decision import HARMLESS, Code, OutcomeKind
from controller.model.intents import (
    NAMELESS,
    Audit,
    Intent,
    IntentChange,
    Scope,
    asked_words,
    can_be_undone,
    key_words,
    scope_name,
    until_words,
)
from controller.model.snapshot import ScaleEvent
from controller.planning import explain

CONTROLLER: Final = "auto"
_ASKED_FOR: Final = frozenset({Code.PAUSED, Code.KEPT_WHILE_PAUSED})
"""These name the number; on top of a pin's spares the controller resizes by itself."""


class LogRow(NamedTuple):
    """A scale event, or what a person changed, at this time (Unix seconds). `author` is the person
    who asked for it or whose pause decided the number; else `auto`, the controller by
    itself. `kind` is the rule that decided, or the kind of what was asked for; `outcome` what
    became of it, or until when it is.
    """

    key: str
    at: float
    scope: Scope
    author: str
    kind: str
    outcome: str
    event: ScaleEvent | None = None
    change: IntentChange | None = None


def _of_event(event: ScaleEvent) -> LogRow:
    reason, author = event.reason, CONTROLLER
    if reason.code is Code.KEPT_BY_ANNOTATION:
        author = "annotation"
    elif reason.code in _ASKED_FOR:
        author = str(reason.numbers.get("who") or "someone")
    key = f"{event.at:.6f} {event.pool} {event.before} {event.after}"
    outcome = figures.as_words(event.outcome.kind)
    return LogRow(key, event.at, Scope(pool=event.pool), author, event.bound, outcome, event)


def _of_change(change: IntentChange) -> LogRow:
    until = None if change.after is None else change.after.until
    outcome = "" if until is None else f"until {figures.minute_of_day(until)}"
    key, kind = f"{change.revision}{' ended' if change.expired else ''}", str(change.key.kind)
    who = change.who or "?"
    return LogRow(key, change.at, change.key.scope, who, kind, outcome, change=change)


def before_text(change: IntentChange) -> str:
    """What was asked for before; `?` where that is not kept any longer."""
    return _asked(change.before) if change.is_whole else "?"


def after_text(change: IntentChange) -> str:
    """What is asked for since."""
    if change.problem:
        return "unreadable"
    return "ended" if change.expired else _asked(change.after)


def _asked(intent: Intent | None) -> str:
    return "nothing" if intent is None else asked_words(intent)


def changes_of(frame: Frame) -> Sequence[IntentChange]:
    """The changes that are known; where one tenant is shown, those for it or for the fleet."""
    changes = frame.asked.audit.changes if isinstance(frame.asked.audit, Audit) else ()
    scopes = ((each, each.key.scope) for each in changes)
    return [each for each, of in scopes if not frame.leaves_out(of.pool or of.tenant or "")]


def is_mine(change: IntentChange, frame: Frame) -> bool:
    """Whether the person at the dashboard made this change and can take it back."""
    return change.who == frame.asked.who and can_be_undone(change, changes_of(frame), frame.now)


def _rows(frame: Frame, *, events: bool = True, changes: bool = True) -> list[LogRow]:
    seen = () if frame.snapshot is None or not events else frame.snapshot.events
    return [
        *(_of_event(each) for each in seen),
        *(_of_change(each) for each in (changes_of(frame) if changes else ())),
    ]


def _change(row: LogRow, frame: Frame) -> Span:
    event, change = row.event, row.change
    if event is not None:
        difference = event.after - event.before
        text = f"{change_text(event.before, event.after, frame)} {difference:+d}"
        return Span(text, Tone.BUSY)
    if change is None:
        return none_span(frame)
    text = f"{before_text(change)} {frame.glyphs.arrow} {after_text(change)}"
    return Span(text, Tone.DIM if change.expired else Tone.PLAIN)


def _outcome(row: LogRow, frame: Frame) -> Span:
    if row.event is None:
        return Span(row.outcome) if row.outcome else none_span(frame)
    kind = row.event.outcome.kind
    tone = Tone.OK if kind is OutcomeKind.APPLIED else Tone.CRIT
    return Span(row.outcome, Tone.WARN if tone is Tone.CRIT and kind in HARMLESS else tone)


def _because(row: LogRow, frame: Frame) -> Span:
    """Why the number was changed, or why it was not written; why a person asked."""
    event = row.event
    if event is None:
        why = "" if row.change is None else row.change.problem or row.change.why
        return Span(why or frame.glyphs.none, Tone.DIM)
    if event.outcome.kind is not OutcomeKind.APPLIED:
        kind = figures.as_words(event.outcome.kind)
        return Span(f"not written, {kind}: {event.outcome.detail}", Tone.CRIT)
    return Span(explain.sentence(event.reason, event.at))


def _reason(row: LogRow) -> str | None:
    if row.event is None:
        return row.change.why or None if row.change is not None else None
    return explain.sentence(row.event.reason, row.event.at)


def _sides(row: LogRow) -> tuple[PlainValue, PlainValue]:
    """Replicas before and after; of a person's change, what was asked for."""
    if row.change is not None:
        return before_text(row.change), after_text(row.change)
    return (None, None) if row.event is None else (row.event.before, row.event.after)


def _ago(row: LogRow, frame: Frame) -> Span:
    """In whole minutes: with seconds, each row would write 8 bytes a second over SSH."""
    age_s = frame.now - row.at
    return Span(figures.whole_age(age_s) if age_s >= 60 else "<1m", Tone.DIM)


_Column = Column[LogRow]
_COLUMNS: Final[Sequence[Column[LogRow]]] = (
    _Column(
        "TIME", 9, "when it was", "at", text=figures.time_of_day, tone=Tone.DIM,
        letter="A", descending=True,
    ),
    _Column(
        "AGO", 6, "since then", cell=_ago,
        more={"age_s": lambda row, frame: max(frame.now - row.at, 0.0)}, rank=4, right=True,
    ),
    _Column(
        "OF", 17, "the pool or tenant that it is about, or the fleet", "scope",
        lambda row: scope_name(row.scope), more={"pool": "scope.pool"},
        widest=28, letter="N", names=True,
    ),
    _Column(
        "BY", 6, "who: the controller, or the person who asked", "by", "author",
        tone=lambda row: Tone.DIM if row.author == CONTROLLER else Tone.HEADING,
        more={
            "who": lambda row, _: None if row.change is None else row.change.who or None,
            "origin": lambda row, _: None if row.change is None else row.change.origin or None,
        },
        widest=16, letter="T",
    ),
    _Column(
        "CHANGE", 10, "replicas before and after; or what was asked for before, and since",
        cell=_change,
        sort=lambda row: None if row.event is None else row.event.after - row.event.before,
        more={
            "before": lambda row, _: _sides(row)[0],
            "after": lambda row, _: _sides(row)[1],
            "expired": "change.expired",
            "undoes": "change.undoes",
            "revision": "change.revision",
        },
        widest=44, letter="X", descending=True,
    ),
    _Column(
        "BOUND", 8, "the rule that decided; or what was asked for: pin, pause, freeze, cap,"
        " no-growth, budget", "bound", lambda row: row.kind or None,
        more={"kind": "change.key.kind"}, rank=1, letter="B",
    ),
    _Column(
        "OUTCOME", 12, "what became of the write; or when it ends", "outcome",
        "event.outcome.kind", _outcome, sort=lambda row: row.outcome,
        more={"outcome_detail": "event.outcome.detail", "until": "change.after.until"},
        rank=3, widest=12, letter="S",
    ),
    _Column(
        "BECAUSE", 20, "the rule that moved the number, or why a person asked; enter shows all of"
        " it", "because", _reason, _because,
        more={"why": lambda row, _: None if row.change is None else row.change.why or None},
        rank=2, fill=True,
    ),
)  # fmt: skip


def _lines(row: LogRow, frame: Frame, width: int) -> Iterator[Line]:
    """All of a person's change; or one event in full, and how the pool is now."""
    event, outcome = row.event, _outcome(row, frame)
    if row.change is not None:
        yield from change_lines(row.change, frame, width)
    if event is None:
        return
    who = "the controller by itself" if row.author == CONTROLLER else f"asked for by {row.author}"
    status = f" ({event.outcome.status})" if event.outcome.status else ""
    detail = f": {event.outcome.detail}" if event.outcome.detail else ""
    yield from labelled("when", (*when_parts(event.at, frame), who), width)
    yield from labelled("change", (_change(row, frame), f"bound by {event.bound}"), width)
    because = explain.sentence(event.reason, event.at)
    yield from labelled_text("because", because, width)
    text = f"{outcome.text}{status}{detail}"
    yield from labelled_text("outcome", text, width, outcome.tone)
    pool = frame.row(event.pool)
    if pool is not None and pool.ready is not None:
        old = frame.glyphs.stale if pool.workload_is_old or frame.stale else ""
        now = f"{pool.ready} of {pool.current} replicas ready{old}"
        yield from labelled("now", (now,), width)


def change_lines(change: IntentChange, frame: Frame, width: int) -> Iterator[Line]:
    """One change in full: when, who from where, what, why, until when, before and after."""
    origin = f"from {change.origin}" if change.origin else ""
    who = Span(change.who or NAMELESS, Tone.HEADING)
    parts = (*when_parts(change.at, frame), who, Span(origin, Tone.DIM))
    yield from labelled("when", parts, width)
    for label, text in (
        ("what", f"{key_words(change.key)}, revision {change.revision}"),
        ("why", change.problem or change.why or "no reason given"),
        ("before", _in_full(change.before, before_text(change), frame)),
        ("after", _in_full(change.after, after_text(change), frame)),
    ):
        yield from labelled_text(label, text, width)
    if is_mine(change, frame):
        yield from labelled_text("undo", "u takes it back", width, Tone.DIM)


def _in_full(intent: Intent | None, text: str, frame: Frame) -> str:
    return text if intent is None else f"{text}, {until_words(intent.until, frame.now)}"


def _filter_text(row: LogRow) -> str:
    change, event = row.change, row.event
    if change is not None:
        return f"person {change.who} {key_words(change.key)} {change.why} {change.revision}"
    way = "" if event is None else "up" if event.after > event.before else "down"
    return f"scaled {way} {row.author} {row.kind} {row.outcome}"


def no_change(frame: Frame) -> list[Span]:
    """What is said where no change is known."""
    audit = frame.asked.audit
    if isinstance(audit, str):
        return [Span(f"the audit is not known: {audit}", Tone.WARN)]
    if audit is None:
        return [Span(f"asking {frame.glyphs.ellipsis}", Tone.DIM)]
    return [
        Span("nothing was ever asked for", Tone.DIM),
        Span("each pin, pause and freeze appears here, with its author", Tone.DIM),
    ]


LOG: Final = Table[LogRow](
    "log",
    "log",
    _COLUMNS,
    _rows,
    key=lambda row: row.key,
    nothing=lambda _: [
        Span("nothing has been scaled yet", Tone.DIM),
        Span("each write since the controller began appears here", Tone.DIM),
    ],
    text=_filter_text,
    sort=Sort("TIME", descending=True),
    details=_lines,
    called=lambda row: (
        row.scope.pool or "" if row.change is None else f"revision {row.change.revision}"
    ),
    # all of it, an event with the decision of its moment
    opens=lambda row, _: Opening(
        "detail", "" if row.event is None else row.event.pool, row=row.event or row.change
    ),
    about=lambda row: None if row.scope.pool is None else Scope(pool=row.scope.pool),
)
EVENTS: Final = replace(
    LOG, name="events", title="scale events", rows=partial(_rows, changes=False)
)
AUDIT: Final = replace(
    LOG,
    name="audit",
    title="audit",
    columns=(
        _Column("REV", 4, "its number", value="change.revision", right=True, rank=5),
        *_COLUMNS,
    ),
    rows=partial(_rows, events=False),
    nothing=no_change,
    asked=True,
)
VIEWS: Final = (
    View("log", (LOG,), "scale events and people's acts", ("lo",), needs=(*Need,)[:2]),
    View("events", (EVENTS,), "what was scaled", ("ev", "event"), listed=False),
    View("audit", (AUDIT,), "who asked for what", ("au",), needs=(Need.AUDIT,), listed=False),
)
