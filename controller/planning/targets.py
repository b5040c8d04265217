"""Step 3 for the whole fleet: the targets that may have changed since the previous plan."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import compress
from operator import ne
from typing import NamedTuple

from controller.model.decision import Code, Number, Reason
from controller.model.fleet import Pool
from controller.model.observation import Observation, PoolObservation
from controller.planning.allocation.values import SharingError
from controller.planning.changes import Changes
from controller.planning.compile import FleetTerms
from controller.planning.context import PlanContext
from controller.planning.kept import Kept, LocalPlan, Result, last_size
from controller.planning.share.claims import Entry, Sharer, entry_of, fixed_sharer
from controller.planning.share.scarcity import NOTHING_SCARCE, Scarcity, scarcity_of
from controller.planning.share.share import Shared, share, target_of
from controller.planning.values import Target


class Targets(NamedTuple):
    """One division of all rows. `entries` and `targets` are by pool number and have only the pools
    that may differ from the previous plan.

    `shared` is None if there are no rows. `is_unshared`: an input cannot be used for sharing.
    """

    scarcity: Scarcity
    shared: Shared | None
    entries: Mapping[int, Entry]
    targets: Mapping[int, Target]
    is_unshared: bool = False


def targets_of(observation: Observation, context: PlanContext) -> Targets:
    """Divide all rows over all pools. Raises SharingError if an input cannot be used."""
    terms, changes, local, unknown = context.terms, context.changes, context.local, context.unknown
    now, kept = context.now, context.kept
    sharing = terms.sharing
    scarcity = scarcity_of(
        sharing,
        observation,
        now,
        None if kept is None else kept.scarcity,
        context.intents.budgets,
    )
    decided = dict(local)
    if (
        kept is not None
        and scarcity.tenants is not kept.scarcity.tenants
        and not changes.is_partial
    ):
        decided = {**_with_changed_limits(terms, scarcity, kept, changes), **decided}
    if not (scarcity.rows or scarcity.restrained or scarcity.unreadable):
        free = {
            number: Target(one.limits.replicas, one.limits.bound)
            for number, one in decided.items()
            if number not in changes.fixed and number not in unknown
        }
        return Targets(scarcity, None, {}, free)
    entries = {
        number: entry_of(
            sharing.pools[number],
            one.given.seen,
            one.limits,
            current=one.given.current,
            messages=one.demand.work.messages,
            scarcity=scarcity,
        )
        for number, one in decided.items()
    }
    before = None if kept is None else kept.shared
    if not scarcity.rows:
        shared = None
    else:
        sharers = _sharers(context, entries)
        shared = share(sharing, scarcity, sharers, before)
    moved = _moved(shared, scarcity, kept) if kept is not None and not changes.is_partial else set()
    moved.update(entries)
    targets: dict[int, Target] = {}
    for number in moved:
        entry = entries.get(number)
        if entry is None and kept is not None and (result := kept.results[number]) is not None:
            entry = result.entry
        is_decided = changes.seen[number] is not None and number not in changes.fixed
        if entry is not None and is_decided and number not in unknown:
            targets[number] = target_of(number, entry, sharing.pools[number], shared, scarcity)
    return Targets(scarcity, shared, entries, targets)


def unshared(local: Mapping[int, LocalPlan], error: SharingError) -> Targets:
    """The targets if an input cannot be used for sharing: each pool keeps its present size."""
    targets = {}
    for number, one in local.items():
        limits, current = one.limits, one.given.current
        targets[number] = Target(limits.replicas, limits.bound)
        if limits.replicas != current and not limits.left_alone:
            numbers: dict[str, Number] = {"subject": error.subject}
            reason = Reason(code=Code.UNSHAREABLE, value=current, numbers=numbers)
            targets[number] = Target(current, limits.bound, (reason,))
    return Targets(NOTHING_SCARCE, None, {}, targets, is_unshared=True)


def _with_changed_limits(
    terms: FleetTerms, scarcity: Scarcity, kept: Kept, changes: Changes
) -> dict[int, LocalPlan]:
    """The pools for which a limit without a row has changed, by number."""
    before = kept.scarcity
    if scarcity.unreadable != before.unreadable or bool(scarcity.rows) is not bool(before.rows):
        tenants = None
    else:
        tenants = {
            name
            for name in scarcity.restrained | before.restrained
            if scarcity.tenants.get(name) != before.tenants.get(name)
        }
        if not tenants:
            return {}
    return {
        number: result.local
        for number, result in enumerate(kept.results)
        if result is not None
        and result.local is not None
        and (tenants is None or terms.sharing.pools[number].tenant in tenants)
        and changes.seen[number] is not None
        and number not in changes.fixed
    }


def _sharers(context: PlanContext, entries: Mapping[int, Entry]) -> dict[int, Sharer | None]:
    """The pools, by number, whose sharer differs from the previous division; all without one."""
    changes, kept = context.changes, context.kept
    pools, seen = context.terms.sharing.pools, changes.seen
    found: dict[int, Sharer | None] = {}
    if kept is not None and changes.has_unseen:
        found.update((number, None) for number, each in enumerate(seen) if each is None)
    found.update((number, entry.sharer) for number, entry in entries.items())
    for number, replicas in (*context.unknown.items(), *changes.fixed.items()):
        found[number] = (
            None if replicas is None else fixed_sharer(pools[number], seen[number], replicas)
        )
    if kept is None:
        return found
    if kept.shared is None:
        rest = {
            number: _sharer_of(pools[number], seen[number], result)
            for number, result in enumerate(kept.results)
            if result is not None
        }
        return {**rest, **found}
    sharers = kept.shared.sharers
    return {number: sharer for number, sharer in found.items() if sharer != sharers[number]}


def _sharer_of(pool: Pool, seen: PoolObservation | None, result: Result) -> Sharer | None:
    """The sharer of a pool with an unchanged result; an unknown Deployment keeps its last size."""
    if result.entry is not None:
        return result.entry.sharer
    size = last_size(result)
    return None if size is None else fixed_sharer(pool, seen, size)


def _moved(shared: Shared | None, scarcity: Scarcity, kept: Kept) -> set[int]:
    """The pools, by number, whose size or reason may differ from the previous division."""
    numbers = range(len(kept.results))
    before = kept.shared
    if shared is None or before is None:
        return set() if shared is before else set(numbers)
    same_rows = scarcity.rows is kept.scarcity.rows
    if shared is before and shared.division.have is kept.have and same_rows:
        return set()
    division = shared.division
    moved = set(compress(numbers, map(ne, division.have, kept.have)))
    moved.update(compress(numbers, map(ne, division.refused_by, kept.refused)))
    moved.update(division.by_baseline.keys() ^ before.division.by_baseline.keys())
    if not same_rows:
        # reasons show the numbers of rows, so those of limited pools may have changed
        moved.update(
            number
            for number, (have, want) in enumerate(
                zip(division.have, shared.claims.wants, strict=True)
            )
            if have != want
        )
    return moved
