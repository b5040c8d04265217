"""Which pools a plan has to compute again: those with a changed input since the previous plan."""

from __future__ import annotations

from itertools import compress
from operator import is_not
from typing import NamedTuple

from controller.model.ids import PoolKey
from controller.model.intents import Intents, Scope, key_of
from controller.model.memory import Memory
from controller.model.observation import Observation, PoolObservation
from controller.model.value import INT32_MAX
from controller.planning.compile import FleetTerms
from controller.planning.kept import Kept


class Changes(NamedTuple):
    """The pools of one plan, by number.

    - `seen`: the observations; None for a pool that has none. `has_unseen`: there is such a pool.
    - `recompute`: the pools to compute again.
    - `fixed`: the pools that are being written, with the most replicas they may have after it.
    - `is_partial`: only some pools were observed, and the others are not decided.
    """

    seen: list[PoolObservation | None]
    recompute: list[int]
    fixed: dict[int, int]
    is_partial: bool
    has_unseen: bool


def usable(
    kept: Kept | None, terms: FleetTerms, observation: Observation, now: float
) -> Kept | None:
    """`kept`, or None if it does not fit: another fleet, a later time, or a step of the clock."""
    if kept is None or kept.terms is not terms or now < kept.at or observation.clock_step_s:
        return None
    return kept


def changes_of(
    observation: Observation,
    terms: FleetTerms,
    intents: Intents,
    memory: Memory,
    *,
    now: float,
    kept: Kept | None,
) -> Changes:
    """What has changed since `kept`; without it, all observed pools. `now` in Unix seconds."""
    number_of = terms.sharing.number_of
    pools = observation.pools
    fixed = {
        number_of[key]: min(max(replicas, 0), INT32_MAX)
        for key, replicas in observation.under_way.items()
        if key in number_of
    }
    is_partial = len(pools) < len(number_of)
    if kept is not None and is_partial:
        recompute = sorted(number_of[key] for key in pools if key in number_of)
        seen = list(kept.seen)
        for number in recompute:
            seen[number] = pools[terms.sharing.pools[number].key]
        return Changes(seen, [each for each in recompute if each not in fixed], fixed, True, False)
    seen = list(map(pools.get, number_of))
    if kept is None:
        recompute = [
            number for number, each in enumerate(seen) if each is not None and number not in fixed
        ]
        return Changes(seen, recompute, fixed, is_partial, None in seen)
    changed = _changed(kept, seen, terms, intents, memory, now=now)
    changed.update(fixed.keys() ^ kept.fixed.keys())
    recompute = [each for each in sorted(changed) if seen[each] is not None and each not in fixed]
    return Changes(seen, recompute, fixed, False, None in seen)


def _changed(
    kept: Kept,
    seen: list[PoolObservation | None],
    terms: FleetTerms,
    intents: Intents,
    memory: Memory,
    *,
    now: float,
) -> set[int]:
    numbers, number_of = range(len(seen)), terms.sharing.number_of
    changed = set(compress(numbers, map(is_not, seen, kept.seen)))
    changed.update(kept.unsettled)
    if memory.pools is not kept.memories:
        after, before = map(memory.pools.get, number_of), map(kept.memories.get, number_of)
        changed.update(compress(numbers, map(is_not, after, before)))
    changed.update(compress(numbers, map(now.__ge__, kept.times)))
    if intents is not kept.intents:
        for scope in _differing(intents, kept.intents):
            changed.update(_concerned(scope, terms))
    return changed


def _differing(intents: Intents, before: Intents) -> set[Scope]:
    """The scopes of the intents that are new, gone or changed."""
    scopes: set[Scope] = set()
    for now, then in (
        (intents.pins, before.pins),
        (intents.pauses, before.pauses),
        (intents.freezes, before.freezes),
        (intents.caps, before.caps),
        (intents.no_growths, before.no_growths),
        (intents.budgets, before.budgets),
    ):
        if now != then:
            scopes.update(key_of(each).scope for each in (*now, *then))
    return scopes


def _concerned(scope: Scope, terms: FleetTerms) -> list[int]:
    """The numbers of the pools in this scope."""
    sharing = terms.sharing
    if scope.pool is not None:
        number = sharing.number_of.get(PoolKey(scope.pool))
        return [] if number is None else [number]
    return [
        number
        for number, pool in enumerate(sharing.pools)
        if scope.tenant is None or scope.tenant == pool.tenant
    ]
