"""Looks up what holds for a pool now: its schedule, and what operators asked for by an intent or by
an annotation of the Deployment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import TypeVar

from controller.model.fleet import Pool
from controller.model.intents import Cap, Freeze, Intents, NoGrowth, Pause, Pin, Scope
from controller.model.observation import Workload
from controller.planning.given.annotations import (
    FORCE_ACTIVATION,
    is_on,
    read_freeze,
    read_halts,
)
from controller.planning.given.moment import Moment
from controller.planning.given.override import Override
from controller.planning.given.schedules import bounds_now
from controller.planning.given.terms import PoolTerms

_Scoped = TypeVar("_Scoped", Pause, Freeze, NoGrowth)
_OfPool = TypeVar("_OfPool", Pin, Cap)
_Numbered = tuple[int, _Scoped]


class Overrides:
    """What operators asked for, looked up by pool. An intent that has ended holds nothing."""

    def __init__(self, intents: Intents) -> None:
        self._pins = _by_pool(intents.pins)
        self._caps = _by_pool(intents.caps)
        self._pauses = _by_place(intents.pauses)
        self._freezes = _by_place(intents.freezes)
        self._no_growths = _by_place(intents.no_growths)
        self._any = any(
            (self._pins, self._caps, self._pauses, self._freezes, self._no_growths),
        )

    def of(self, terms: PoolTerms, workload: Workload, moment: Moment) -> Override:
        """What holds for this pool now, whose Deployment this is."""
        pool, annotations = terms.pool, workload.annotations
        is_annotated = bool(annotations) or workload.namespace_freeze is not None
        if not (self._any or pool.schedules or is_annotated):
            return terms.override
        bounds = terms.override.bounds
        if pool.schedules:
            bounds = bounds_now(pool.min, pool.max, pool.schedules, terms.zone, moment)
        freeze = _first_in_force(self._freezes, pool, moment)
        if freeze is None and is_annotated:
            freeze = read_freeze(workload, pool.key)
        return Override(
            bounds=bounds,
            pin=_last_in_force(self._pins.get(pool.key, ()), moment),
            pause=_first_in_force(self._pauses, pool, moment),
            freeze=freeze,
            cap=_last_in_force(self._caps.get(pool.key, ()), moment),
            no_growth=_first_in_force(self._no_growths, pool, moment),
            halts=read_halts(annotations) if annotations else (),
            forced=bool(annotations) and is_on(annotations, FORCE_ACTIVATION),
            blind=terms.override.blind,
        )


def concerns(scope: Scope, pool: Pool) -> bool:
    """Whether an intent with this scope is about this pool."""
    if scope.pool is not None:
        return scope.pool == pool.key
    return scope.tenant is None or scope.tenant == pool.tenant


def _by_pool(intents: Iterable[_OfPool]) -> dict[str, list[_OfPool]]:
    found: dict[str, list[_OfPool]] = {}
    for intent in intents:
        found.setdefault(intent.pool, []).append(intent)
    return found


def _by_place(intents: Iterable[_Scoped]) -> dict[Scope, list[_Numbered[_Scoped]]]:
    """The intents by what they are about, each with its place in the list."""
    found: dict[Scope, list[_Numbered[_Scoped]]] = {}
    for number, intent in enumerate(intents):
        scope = intent.scope
        place = Scope(pool=scope.pool) if scope.pool is not None else Scope(tenant=scope.tenant)
        found.setdefault(place, []).append((number, intent))
    return found


def _first_in_force(
    intents: Mapping[Scope, Sequence[_Numbered[_Scoped]]], pool: Pool, moment: Moment
) -> _Scoped | None:
    """The first of the pool's own, its tenant's and the fleet's intents."""
    if not intents:
        return None
    places = (Scope(pool=pool.key), Scope(tenant=pool.tenant), Scope())
    for _, intent in sorted(
        (each for place in places for each in intents.get(place, ())), key=itemgetter(0)
    ):
        if intent.until is None or not moment.reached(intent.until):
            return intent
    return None


def _last_in_force(intents: Sequence[_OfPool], moment: Moment) -> _OfPool | None:
    found = None
    for intent in intents:
        if intent.until is None or not moment.reached(intent.until):
            found = intent
    return found
