"""Operators' intents. They are not in the fleet file, because an intent has an author, a reason and
an end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from controller.model.value import Value


class Scope(Value):
    """The pools that an intent is for: one pool (`tenant/name`), one tenant's, or all if neither is
    given.
    """

    tenant: str | None = None
    pool: str | None = None


class Pin(Value):
    """Spare replicas on top of min and of what the work needs, but never above a ceiling."""

    pool: str
    replicas: int
    until: float | None = None
    who: str = ""
    why: str = ""


class Pause(Value):
    """Stop the work: the target is 0, or `keep` replicas if given. Busy replicas finish first."""

    scope: Scope
    keep: int | None = None
    until: float | None = None
    who: str = ""
    why: str = ""


class Freeze(Value):
    """Write nothing to the pools."""

    scope: Scope
    until: float | None = None
    who: str = ""
    why: str = ""


class Cap(Value):
    """The most replicas a pool may have for a time. It only lowers: the pool's own max stays."""

    pool: str
    replicas: int
    until: float | None = None
    who: str = ""
    why: str = ""


class NoGrowth(Value):
    """No replica is added; the pools may shrink."""

    scope: Scope
    until: float | None = None
    who: str = ""
    why: str = ""


class DayBudget(Value):
    """A tenant's tokens per day, in place of the fleet file's. A tenant without a budget there gets
    none, because nothing counts its tokens.
    """

    tenant: str
    tokens: int
    until: float | None = None
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
