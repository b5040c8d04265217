"""Operators' intents, their words, and the audit of their changes. Intents are not in the fleet
file, because an intent has an author, a reason and an end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from controller.model.value import DayTokens, Moment, Replicas, Time, Value


class Scope(Value):
    """The pools that an intent is for: one pool (`tenant/name`), one tenant's, or all if neither is
    given.
    """

    tenant: str | None = None
    pool: str | None = None


class Pin(Value):
    """Spare replicas on top of min and of what the work needs, but never above a ceiling."""

    pool: str
    replicas: Replicas
    until: Moment | None = None
    who: str = ""
    why: str = ""


class Pause(Value):
    """Stop the work: the target is 0, or `keep` replicas if given. Busy replicas finish first."""

    scope: Scope
    keep: Replicas | None = None
    until: Moment | None = None
    who: str = ""
    why: str = ""


class Freeze(Value):
    """Write nothing to the pools."""

    scope: Scope
    until: Moment | None = None
    who: str = ""
    why: str = ""


class Cap(Value):
    """The most replicas a pool may have for a time. It only lowers: the pool's own max stays."""

    pool: str
    replicas: Replicas
    until: Moment | None = None
    who: str = ""
    why: str = ""


class NoGrowth(Value):
    """No replica is added; the pools may shrink."""

    scope: Scope
    until: Moment | None = None
    who: str = ""
    why: str = ""


class DayBudget(Value):
    """A tenant's tokens per day, in place of the fleet file's. A tenant without a budget there gets
    none, because nothing counts its tokens.
    """

    tenant: str
    tokens: DayTokens
    until: Moment | None = None
    who: str = ""
    why: str = ""


Intent: TypeAlias = Pin | Pause | Freeze | Cap | NoGrowth | DayBudget


class IntentKind(StrEnum):
    """What an intent asks for."""

    PIN = "pin"
    PAUSE = "pause"
    FREEZE = "freeze"
    CAP = "cap"
    NO_GROWTH = "no-growth"
    BUDGET = "budget"


class IntentKey(NamedTuple):
    """What an intent asks for, and for which scope. There is one intent for each key."""

    kind: IntentKind
    scope: Scope


class Intents(Value):
    """The intents in force. `until` is in Unix seconds, None without an end."""

    pins: tuple[Pin, ...] = ()
    pauses: tuple[Pause, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    caps: tuple[Cap, ...] = ()
    no_growths: tuple[NoGrowth, ...] = ()
    budgets: tuple[DayBudget, ...] = ()

    def __iter__(self) -> Iterator[Intent]:
        """All of them, kind by kind."""
        yield from self.pins
        yield from self.pauses
        yield from self.freezes
        yield from self.caps
        yield from self.no_growths
        yield from self.budgets


def gathered(intents: Iterable[Intent]) -> Intents:
    """These intents by kind, each kind in the order given."""
    values = tuple(intents)
    return Intents(
        pins=tuple(each for each in values if isinstance(each, Pin)),
        pauses=tuple(each for each in values if isinstance(each, Pause)),
        freezes=tuple(each for each in values if isinstance(each, Freeze)),
        caps=tuple(each for each in values if isinstance(each, Cap)),
        no_growths=tuple(each for each in values if isinstance(each, NoGrowth)),
        budgets=tuple(each for each in values if isinstance(each, DayBudget)),
    )


def key_of(intent: Intent) -> IntentKey:
    """What an intent asks for, and for which scope."""
    match intent:
        case Pin():
            return IntentKey(IntentKind.PIN, Scope(pool=intent.pool))
        case Pause():
            return IntentKey(IntentKind.PAUSE, intent.scope)
        case Freeze():
            return IntentKey(IntentKind.FREEZE, intent.scope)
        case Cap():
            return IntentKey(IntentKind.CAP, Scope(pool=intent.pool))
        case NoGrowth():
            return IntentKey(IntentKind.NO_GROWTH, intent.scope)
        case DayBudget():
            return IntentKey(IntentKind.BUDGET, Scope(tenant=intent.tenant))


def intent_for(
    key: IntentKey, *, number: int | None, until: float | None = None, why: str = ""
) -> Intent:
    """The intent that a request states at a key. `number`: a pin's spares, a cap's replicas, a
    budget's tokens, or the replicas that a pause keeps; the other kinds have none.

    Raises ValueError where the kind needs a number, or a scope of another kind.
    """
    scope = key.scope
    match key.kind:
        case IntentKind.PIN if scope.pool is not None and number is not None:
            return Pin(pool=scope.pool, replicas=number, until=until, why=why)
        case IntentKind.CAP if scope.pool is not None and number is not None:
            return Cap(pool=scope.pool, replicas=number, until=until, why=why)
        case IntentKind.BUDGET if scope.tenant is not None and number is not None:
            return DayBudget(tenant=scope.tenant, tokens=number, until=until, why=why)
        case IntentKind.PAUSE:
            return Pause(scope=scope, keep=number, until=until, why=why)
        case IntentKind.FREEZE:
            return Freeze(scope=scope, until=until, why=why)
        case IntentKind.NO_GROWTH:
            return NoGrowth(scope=scope, until=until, why=why)
    missing = "tokens" if key.kind is IntentKind.BUDGET else "replicas"
    raise ValueError(f"a {key.kind} without {missing}")


class Operator(Value):
    """A person who asks for something: `who` is `user@host`, `origin` the address of the terminal
    from which they logged in, empty if that is this machine.
    """

    who: str
    origin: str = ""


class StandingIntent(Value):
    """An intent as it is stored. The next writer names its revision as replaced; `set_at` is the
    server's time of the write, so that ages do not depend on an operator's clock.
    """

    intent: Intent
    revision: int
    set_at: Time
    origin: str = ""


class IntentChange(Value):
    """One entry of the audit: at `at` (Unix seconds, the server's clock) `who` made `after` of
    `before`; None where nothing was asked for.

    - `revision` names it. `undoes` is the revision of the change that it takes back.
    - `is_whole` is False where what was there before is not kept any longer, or cannot be read.
    - `expired`: the intent had ended, and the next writer cleared it away.
    """

    revision: int
    at: Time
    key: IntentKey
    who: str = ""
    origin: str = ""
    why: str = ""
    before: Intent | None = None
    after: Intent | None = None
    undoes: int | None = None
    is_whole: bool = True
    expired: bool = False


class Audit(Value):
    """The changes that are kept, the oldest first. Of each intent the last `kept_of_each` are kept;
    None: all.
    """

    changes: tuple[IntentChange, ...] = ()
    kept_of_each: int | None = None


def can_be_undone(change: IntentChange, changes: Sequence[IntentChange]) -> bool:
    """Whether a person can ask to take back this one of the changes: not an undo, nor what an undo
    has taken back, nor what has ended by itself. The desk refuses what was changed since.
    """
    undone = any(each.undoes == change.revision for each in changes)
    return change.undoes is None and not change.expired and not undone


def last_of(changes: Sequence[IntentChange], who: str) -> IntentChange | None:
    """The last change by this person that can be undone; None without one."""
    mine = (each for each in reversed(changes) if each.who == who)
    return next((each for each in mine if can_be_undone(each, changes)), None)


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
