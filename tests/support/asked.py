"""Intents as tests write them: one function for each kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from controller.model.intents import Intent, IntentKind, Intents, Scope


def a_pin(*, pool: str, replicas: int, **rest: Any) -> Intent:
    return Intent(kind=IntentKind.PIN, scope=Scope(pool=pool), amount=replicas, **rest)


def a_cap(*, pool: str, replicas: int, **rest: Any) -> Intent:
    return Intent(kind=IntentKind.CAP, scope=Scope(pool=pool), amount=replicas, **rest)


def a_pause(*, scope: Scope, keep: int | None = None, **rest: Any) -> Intent:
    return Intent(kind=IntentKind.PAUSE, scope=scope, amount=keep, **rest)


def a_freeze(*, scope: Scope, **rest: Any) -> Intent:
    return Intent(kind=IntentKind.FREEZE, scope=scope, **rest)


def no_growth_of(*, scope: Scope, **rest: Any) -> Intent:
    return Intent(kind=IntentKind.NO_GROWTH, scope=scope, **rest)


def a_budget(*, tenant: str, tokens: int, **rest: Any) -> Intent:
    return Intent(kind=IntentKind.BUDGET, scope=Scope(tenant=tenant), amount=tokens, **rest)


def intents_of(
    *,
    pins: Iterable[Intent] = (),
    pauses: Iterable[Intent] = (),
    freezes: Iterable[Intent] = (),
    caps: Iterable[Intent] = (),
    no_growths: Iterable[Intent] = (),
    budgets: Iterable[Intent] = (),
) -> Intents:
    return Intents(asked=(*pins, *pauses, *freezes, *caps, *no_growths, *budgets))
