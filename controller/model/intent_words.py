"""Intents in words, for messages and lists."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from controller.model.audit import IntentChange, StandingIntent
from controller.model.intents import (
    Cap,
    DayBudget,
    Freeze,
    Intent,
    IntentKey,
    IntentKind,
    NoGrowth,
    Pause,
    Pin,
    Scope,
    key_of,
)

_NAMELESS: Final = "a writer without a name"


def scope_name(scope: Scope) -> str:
    """`acme/research`, `tenant acme` or `the fleet`."""
    if scope.pool is not None:
        return scope.pool
    return "the fleet" if scope.tenant is None else f"tenant {scope.tenant}"


def key_words(key: IntentKey) -> str:
    """`the pin of acme/research`."""
    what = "ban on growth" if key.kind is IntentKind.NO_GROWTH else key.kind.value
    return f"the {what} of {scope_name(key.scope)}"


def asked_words(intent: Intent) -> str:
    """What is asked for, without for whom: `2 spares kept ready`, `8,000,000 tokens a day`."""
    match intent:
        case Pin():
            words = f"{intent.replicas:,} {_noun(intent.replicas, 'spare')} kept ready"
        case Cap():
            words = f"at most {intent.replicas:,} {_noun(intent.replicas, 'replica')}"
        case Pause(keep=None):
            words = "paused"
        case Pause(keep=kept):
            words = f"paused, {kept:,} {_noun(kept or 0, 'replica')} kept"
        case Freeze():
            words = "frozen"
        case NoGrowth():
            words = "no growth"
        case DayBudget():
            words = f"{intent.tokens:,} {_noun(intent.tokens, 'token')} a day"
    return words


def stands(standing: StandingIntent, now: float) -> str:
    """An intent in one line: what, until when, by whom, since when, why."""
    intent = standing.intent
    since = time_words(standing.set_at, now)
    why = f" ({intent.why})" if intent.why else ""
    return (
        f"{key_words(key_of(intent))}: {asked_words(intent)}, {until_words(intent.until, now)},"
        f" by {intent.who or _NAMELESS} since {since}{why}"
    )


def change_words(change: IntentChange) -> str:
    """A change in one line: `revision 7, the pin of acme/research: 2 spares kept ready`."""
    after = "taken back" if change.after is None else asked_words(change.after)
    return f"revision {change.revision}, {key_words(change.key)}: {after}"


def until_words(until: float | None, now: float) -> str:
    """`until 14:00Z`, with its date unless that is today's; `until it is taken back`."""
    return "until it is taken back" if until is None else f"until {time_words(until, now)}"


def time_words(at: float, now: float, *, to_seconds: bool = False) -> str:
    """A time in UTC to the minute, or `to_seconds`; with its date unless it is that of `now`."""
    moment, form = datetime.fromtimestamp(at, UTC), "%H:%M:%SZ" if to_seconds else "%H:%MZ"
    if moment.date() == datetime.fromtimestamp(now, UTC).date():
        return moment.strftime(form)
    return moment.strftime(f"%Y-%m-%d {form}")


def _noun(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"
