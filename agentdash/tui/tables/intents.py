"""The intents: what people ask for that stands now, until when, and who asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agentdash.tui import figures
from agentdash.tui.cells import since_column
from agentdash.tui.lines import Span, Tone
from agentdash.tui.table import Column, KeyScope, Need, Opening, Table, View, part
from agentdash.tui.tables.log import change_lines, changes_of, no_change
from agentdash.tui.view import Frame
from controller.model.intents import (
    NAMELESS,
    Audit,
    IntentChange,
    IntentKey,
    Scope,
    asked_words,
    scope_name,
)


def standing(frame: Frame) -> Sequence[IntentChange]:
    """The changes that made what stands now: what ends first, first."""
    newest: dict[IntentKey, IntentChange] = {each.key: each for each in changes_of(frame)}
    stands = [each for each in newest.values() if each.problem or (each.after and not each.expired)]
    found = [each for each in stands if (until := _until(each)) is None or until > frame.now]
    return sorted(found, key=lambda each: (_until(each) or float("inf"), each.revision))


_until = part("after.until")


def _left(change: IntentChange, frame: Frame) -> Span:
    """How long it stands still, in whole minutes until the last one."""
    until = _until(change)
    if until is None:
        return Span("no end", Tone.DIM)
    left = until - frame.now
    return Span(figures.whole_age(left), Tone.WARN if left < 600 else Tone.PLAIN)


def _asked(change: IntentChange) -> str:
    return "cannot be read" if change.after is None else asked_words(change.after)


def _who(change: IntentChange, frame: Frame) -> Span:
    del frame
    origin = f" from {change.origin}" if change.origin else ""
    return Span(f"{change.who or NAMELESS}{origin}", Tone.HEADING)


def _nothing(frame: Frame) -> list[Span]:
    if not isinstance(frame.asked.audit, Audit):
        return no_change(frame)
    return [
        Span("nothing stands: no pin, pause, freeze, cap, hold or budget", Tone.OK),
        Span(":log has what people asked for before", Tone.DIM),
    ]


_Column = Column[IntentChange]
_COLUMNS: Final[Sequence[Column[IntentChange]]] = (
    _Column(
        "OF", 16, "the pool or tenant that it is about, or the fleet", "scope",
        lambda change: scope_name(change.key.scope), widest=30, letter="N", names=True,
    ),
    _Column(
        "WHAT", 9, "the kind of request: pin, pause, freeze, cap, no-growth, budget", "kind",
        lambda change: str(change.key.kind), letter="B",
    ),
    _Column(
        "ASKED FOR", 16, "what is asked for", "asked", _asked, widest=34, rank=2,
        tone=lambda change: Tone.CRIT if change.problem else Tone.PLAIN,
    ),
    _Column(
        "LEFT", 7, "how long it stands still", "until", "after.until", _left,
        right=True, letter="A",
    ),
    _Column(
        "UNTIL", 6, "when it ends", value="after.until", tone=Tone.DIM,
        text=figures.minute_of_day, rank=4,
    ),
    _Column(
        "WHO", 10, "who asked for it", "who", lambda change: change.who or None,
        _who, letter="T", more={"origin": lambda change, _: change.origin or None}, widest=34,
    ),
    since_column("at", name="set_at", rank=3),
    _Column(
        "WHY", 14, "why, in the author's words; or why it cannot be read", "why",
        lambda change: change.problem or change.why or None,
        more={"revision": "revision"}, rank=1, fill=True,
    ),
)  # fmt: skip
INTENTS: Final = Table[IntentChange](
    "intents",
    "what stands now",
    _COLUMNS,
    standing,
    key=lambda change: f"{change.key.kind} {scope_name(change.key.scope)}",
    nothing=_nothing,
    text=_asked,
    details=change_lines,
    opens=lambda change, _: Opening("detail", row=change),
    asked=True,
    about=lambda change: change.key.scope if change.key.scope != Scope() else None,
)
VIEWS: Final = (
    View(
        "intents", (INTENTS,), "what stands now", ("int", "intent"),
        needs=(Need.AUDIT,), scope=KeyScope.INTENTS,
    ),
)  # fmt: skip
