"""Operators' intents, their words, and the audit of their changes. Intents are not in the fleet
file, because an intent has an author, a reason and an end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec.structs import replace

from controller.model.clock import time_words
from controller.model.value import INT32_MAX, Asked, Moment, Time, Value


class Scope(Value):
    """The pools of an intent: one (`tenant/name`), one tenant's, or all if neither is given."""

    tenant: str | None = None
    pool: str | None = None


class IntentKind(StrEnum):
    """What an intent asks for. BUDGET gives none where the fleet file counts no tokens."""

    PIN = "pin"  # spare replicas of a pool, on top of min and of what the work needs; ceilings win
    PAUSE = "pause"  # the target is 0, or `amount` replicas; busy replicas finish first
    FREEZE = "freeze"  # nothing is written to the pools
    CAP = "cap"  # the most replicas that a pool may have; it only lowers its max
    NO_GROWTH = "no-growth"  # no replica is added; the pools may shrink
    BUDGET = "budget"  # a tenant's tokens a day, in place of the fleet file's


class IntentKey(NamedTuple):
    """What an intent asks for, and for which scope. There is one intent for each key."""

    kind: IntentKind
    scope: Scope


_OF_POOLS: Final = frozenset({IntentKind.PIN, IntentKind.CAP})
_UNCOUNTED: Final = frozenset({IntentKind.FREEZE, IntentKind.NO_GROWTH})


class Intent(Value):
    """What an operator asks for: `who` and `why`, `until` when (Unix seconds, None without an end).

    `amount` is a pin's spares, a cap's replicas, a budget's tokens, or the replicas that a pause
    keeps (None: none); the other kinds have none. Raises ValueError for a kind without its amount,
    or with a scope that it cannot have.
    """

    kind: IntentKind
    scope: Scope = Scope()
    amount: Asked | None = None
    until: Moment | None = None
    who: str = ""
    why: str = ""

    def __post_init__(self) -> None:
        """Check the amount and the scope."""
        is_budget, of_pool = self.kind is IntentKind.BUDGET, self.scope.pool is not None
        if (self.kind in _OF_POOLS and not of_pool) or (
            is_budget and (of_pool or self.scope.tenant is None)
        ):
            raise ValueError(f"only a {'tenant' if is_budget else 'pool'} can have a {self.kind}")
        if self.amount is None:
            if is_budget or self.kind in _OF_POOLS:
                missing = "tokens" if is_budget else "replicas"
                raise ValueError(f"a {self.kind} without {missing}")
        elif self.kind in _UNCOUNTED or (not is_budget and self.amount > INT32_MAX):
            raise ValueError(f"a {self.kind} of {self.amount:,}")

    @property
    def key(self) -> IntentKey:
        """What it asks for, and for which scope."""
        return IntentKey(self.kind, self.scope)

    @property
    def count(self) -> int:
        """The amount; 0 without one."""
        return self.amount or 0


class Intents(Value):
    """The intents in force."""

    asked: tuple[Intent, ...] = ()

    def __iter__(self) -> Iterator[Intent]:
        """All of them, in their order."""
        return iter(self.asked)

    def of(self, kind: IntentKind) -> tuple[Intent, ...]:
        """Those of one kind, in their order."""
        return tuple(each for each in self.asked if each.kind is kind)


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
    """One entry of the audit: `who` made `after` of `before`; None where nothing was asked for."""

    revision: int  # its name
    at: Time  # Unix seconds, by the server's clock
    key: IntentKey
    who: str = ""
    origin: str = ""
    why: str = ""
    before: Intent | None = None
    after: Intent | None = None
    undoes: int | None = None  # the revision of the change that it takes back
    is_whole: bool = True  # False: what was there before is not kept any longer, or unreadable
    expired: bool = False  # the intent had ended, and the next writer cleared it away
    problem: str = ""  # why what was written cannot be read; a controller takes care not to grow


class Audit(Value):
    """Changes, oldest first; of each intent the last `kept_of_each` (None: all) are kept."""

    changes: tuple[IntentChange, ...] = ()
    kept_of_each: int | None = None


class IntentFault(Value):
    """An intent that cannot be read: its key, and a text about what is done instead."""

    key: str
    text: str


class StoredIntents(Value):
    """Operators' intents, as far as they are known."""

    intents: Intents = Intents()
    faults: tuple[IntentFault, ...] = ()  # the first of them
    more_faults: int = 0
    # so many are in force that the bucket has no longer, because it was restored or made anew
    kept: int = 0
    read: bool = False  # they were read once
    lost_at: Time | None = None  # Unix seconds: when they became unreadable; None while they can be
    detail: str = ""  # why they cannot be read

    def in_force(self) -> Intents:
        """The intents to plan with; while unreadable, none expires: it may have been prolonged."""
        if self.lost_at is None:
            return self.intents
        asked = (
            replace(each, until=None) if (each.until or 0.0) > self.lost_at else each
            for each in self.intents
        )
        return Intents(asked=tuple(asked))


def has_ended(intent: Intent, now: float | None) -> bool:
    """Whether it has ended by itself; not while the time is unknown."""
    return now is not None and intent.until is not None and intent.until <= now


def can_be_undone(change: IntentChange, changes: Sequence[IntentChange], now: float) -> bool:
    """Whether a person can ask to take back this one of the changes: not an undo, nor what an undo
    has taken back, nor what has ended by itself. The desk refuses what was changed since.
    """
    ended = change.expired or (change.after is not None and has_ended(change.after, now))
    undone = any(each.undoes == change.revision for each in changes)
    return change.undoes is None and not ended and not undone


def last_of(changes: Sequence[IntentChange], who: str, now: float) -> IntentChange | None:
    """The last change by this person that can be undone; None without one."""
    mine = (each for each in reversed(changes) if each.who == who)
    return next((each for each in mine if can_be_undone(each, changes, now)), None)


NAMELESS: Final = "a writer without a name"


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
    count = intent.count
    match intent.kind:
        case IntentKind.PIN:
            words = f"{count:,} {_noun(count, 'spare')} kept ready"
        case IntentKind.CAP:
            words = f"at most {count:,} {_noun(count, 'replica')}"
        case IntentKind.PAUSE if intent.amount is not None:
            words = f"paused, {count:,} {_noun(count, 'replica')} kept"
        case IntentKind.PAUSE:
            words = "paused"
        case IntentKind.FREEZE:
            words = "frozen"
        case IntentKind.NO_GROWTH:
            words = "no growth"
        case IntentKind.BUDGET:
            words = f"{count:,} {_noun(count, 'token')} a day"
    return words


def stands(standing: StandingIntent, now: float) -> str:
    """An intent in one line: what, until when, by whom, since when, why."""
    intent = standing.intent
    since = time_words(standing.set_at, now)
    why = f" ({intent.why})" if intent.why not in {"", "-"} else ""
    return (
        f"{key_words(intent.key)}: {asked_words(intent)}, {until_words(intent.until, now)},"
        f" by {intent.who or NAMELESS} since {since}{why}"
    )


def change_words(change: IntentChange) -> str:
    """A change in one line: `revision 7, the pin of acme/research: 2 spares kept ready`."""
    after = "taken back" if change.after is None else asked_words(change.after)
    return f"revision {change.revision}, {key_words(change.key)}: {after}"


def until_words(until: float | None, now: float) -> str:
    """`until 14:00Z`, with its date unless that is today's; `until it is taken back`."""
    return "until it is taken back" if until is None else f"until {time_words(until, now)}"


def _noun(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"


class Estimate(NamedTuple):
    """The pools that an intent is about, their ready replicas, and how many of those work."""

    pools: int
    ready: int
    busy: int
    unknown: int = 0

    def words(self) -> str:
        """`3 pools, 11 replicas ready, 4 of them busy; an estimate: …`."""
        pools = f"{self.pools:,} pool{'' if self.pools == 1 else 's'}"
        ready = f"{self.ready:,} replica{'' if self.ready == 1 else 's'} ready"
        parts = [pools, ready, f"{self.busy:,} of them busy"]
        if self.unknown:
            parts.append(f"{self.unknown:,} not known")
        return f"{', '.join(parts)}; an estimate: the controller did not say what changes"
