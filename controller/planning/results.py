"""The result of each pool, and the whole plan, memory and kept state that they make up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import compress
from math import inf
from operator import is_not

import msgspec

from controller.model.decision import Code, Decision, Gate, Plan, Reason
from controller.model.ids import PoolKey
from controller.model.memory import Memory, PoolMemory
from controller.model.observation import PoolObservation
from controller.model.readings import last_known
from controller.planning.allocation.rows import GRANTED
from controller.planning.changes import Changes
from controller.planning.compile import FleetTerms
from controller.planning.context import PlanContext
from controller.planning.demand.demand import blind_demand_of
from controller.planning.demand.queue import blindness
from controller.planning.growth import Growth
from controller.planning.inputs import Moment, PoolTerms
from controller.planning.kept import Kept, LocalPlan, Result
from controller.planning.memory import after_plan, blind_after_plan, fleet_memory
from controller.planning.room import Grown
from controller.planning.share.claims import Entry
from controller.planning.share.spending import CostAlert, CostTerms, cost_alerts, with_alert
from controller.planning.targets import Targets
from controller.planning.values import Gated, Next, Target


class Pending(msgspec.Struct, frozen=True, gc=False):
    """A pool whose target, or the room for it, may differ from the previous plan."""

    number: int
    local: LocalPlan
    entry: Entry | None
    target: Target
    grown: Grown | None


def pending(context: PlanContext, targets: Targets, growth: Growth) -> Iterator[Pending]:
    """The pools for which steps 4 and 5 have to be computed."""
    local, kept, entries = context.local, context.kept, targets.entries
    changes = context.changes
    for number, target in targets.targets.items():
        one, entry = local.get(number), entries.get(number)
        if (one is None or (entries and entry is None)) and kept is not None:
            before = kept.results[number]
            if before is not None:
                one, entry = one or before.local, entry or before.entry
        if one is not None:
            yield Pending(number, one, entry, target, growth.grown(number))
    if kept is None:
        return
    for number in growth.changed:
        before = kept.results[number]
        if number in targets.targets or number in context.unknown or before is None:
            continue
        if not _is_decided(changes, number):
            continue
        if before.local is not None and before.target is not None:
            grown = growth.grown(number)
            yield Pending(number, before.local, before.entry, before.target, grown)


def _is_decided(changes: Changes, number: int) -> bool:
    """Whether this plan decides the pool: it is observed, and no write to it is under way."""
    if changes.is_partial:
        return number in changes.recompute
    return changes.seen[number] is not None and number not in changes.fixed


def result_of(each: Pending, following: Next, held: Gated, moment: Moment) -> Result:
    """The pool's decision and its memory after the plan, from the values of all five steps."""
    given, demand, limits = each.local.given, each.local.demand, each.local.limits
    current, target = given.current, each.target
    decision = Decision(
        pool=given.terms.pool.key,
        current=current,
        demand=demand.work.demand,
        recommendation=limits.recommendation,
        target=target.replicas,
        next=held.replicas,
        bound=target.bound,
        gate=held.gate,
        wake=current == 0 < held.replicas and demand.active,
        resource_version=given.workload.resource_version,
        reasons=each.local.reasons + target.reasons + following.reasons + held.reasons,
        drain=held.drain,
    )
    memory = after_plan(given, demand, held, moment.now)
    return Result(decision, memory, moment.changes_at, each.local, each.entry, target)


def unknown_result(
    terms: PoolTerms,
    seen: PoolObservation,
    memory: PoolMemory | None,
    planned_at: float,
    now: float,
) -> Result:
    """The result of a pool whose Deployment is not known: its demand is shown, nothing is written.

    `planned_at` is the time of the previous plan; both times are Unix seconds.
    """
    demand = blind_demand_of(terms, seen, memory)
    reason = Reason(code=Code.WORKLOAD_UNKNOWN, numbers=blindness(seen.workload))
    workload = last_known(seen.workload)
    decision = Decision(
        pool=terms.pool.key,
        current=None if workload is None else workload.replicas,
        demand=demand.work.demand,
        recommendation=None,
        target=None,
        next=None,
        gate=Gate.BLIND,
        reasons=(*demand.reasons, reason),
    )
    if memory is not None:
        memory = blind_after_plan(memory, active=demand.active, planned_at=planned_at, now=now)
    return Result(decision, memory, inf)


def assembled(
    context: PlanContext, targets: Targets, growth: Growth, results: Mapping[int, Result]
) -> tuple[Plan, dict[PoolKey, Decision], Memory, Kept | None]:
    """The fields of `Planned`: plan, changed decisions, memory after the plan, and kept state.

    `results` are by pool number. The kept state is None after a plan of some pools without a
    previous one, and if sharing was not possible.
    """
    terms, changes, kept, now = context.terms, context.changes, context.kept, context.now
    pools = terms.sharing.pools
    memories, unsettled = _memories(terms, results, context.memory)
    after = fleet_memory(context.memory, memories, terms.pools, now)
    decided = {pools[number].key: result.decision for number, result in results.items()}
    if kept is None and (changes.is_partial or targets.is_unshared):
        shown = _alerted(terms.costs, decided, cost_alerts(terms.costs, decided))
        return Plan(at=now, decisions=shown), shown, after, None
    columns, times, decisions = _merged(context, results, decided)
    alerts, alerted = _with_alerts(terms.costs, decisions, kept)
    changed = {key: alerted[key] for key in decided} if alerts else decided
    if kept is not None and alerts != kept.alerts:
        for alert in {*alerts, *kept.alerts}:
            costly = terms.costs.pools[alert.tenant]
            changed.update((key, alerted[key]) for key in costly if key in alerted)
    have, refused = _applied(changes, targets, results, kept)
    if kept is not None and changes.is_partial:
        others = {*kept.unsettled, *_replaced(context, kept), *growth.changed}
        if targets.scarcity.is_other_than(kept.scarcity):
            others.update(range(len(pools)))
        unsettled = (*others.difference(results), *unsettled)
    keeps = Kept(
        terms=terms,
        intents=context.intents if kept is None or not changes.is_partial else kept.intents,
        at=now,
        seen=changes.seen,
        results=columns,
        times=times,
        fixed=_fixed(changes, results, kept),
        scarcity=targets.scarcity,
        shared=targets.shared,
        have=have,
        refused=refused,
        room=growth.room,
        memories=after.pools,
        unsettled=unsettled,
        decisions=decisions,
        alerts=alerts,
        alerted=alerted,
    )
    shown = changed if changes.is_partial else alerted
    return Plan(at=now, decisions=shown), changed, after, keeps


def _memories(
    terms: FleetTerms, results: Mapping[int, Result], memory: Memory
) -> tuple[dict[PoolKey, PoolMemory], tuple[int, ...]]:
    """The memories that have changed, and the numbers of their pools."""
    pools, before = terms.sharing.pools, memory.pools
    changed: dict[PoolKey, PoolMemory] = {}
    numbers = []
    for number, result in results.items():
        key = pools[number].key
        if result.memory is not None and result.memory is not before.get(key):
            changed[key] = result.memory
            numbers.append(number)
    return changed, tuple(numbers)


def _replaced(context: PlanContext, kept: Kept) -> Iterator[int]:
    """The numbers of the pools whose memory is not the object that the previous plan returned."""
    now, before = context.memory.pools, kept.memories
    if now is before:
        return iter(())
    number_of = context.terms.sharing.number_of
    differ = map(is_not, map(now.get, number_of), map(before.get, number_of))
    return compress(range(len(number_of)), differ)


def _merged(
    context: PlanContext, results: Mapping[int, Result], decided: dict[PoolKey, Decision]
) -> tuple[list[Result | None], list[float], dict[PoolKey, Decision]]:
    """The results of all pools, the times at which they become invalid, and all decisions."""
    changes, kept, pools = context.changes, context.kept, context.terms.sharing.pools
    if kept is None:
        columns: list[Result | None] = [results.get(number) for number in range(len(pools))]
        return columns, [inf if each is None else each.changes_at for each in columns], decided
    gone = [] if changes.is_partial else _gone(changes, kept)
    if not results and not gone:
        return kept.results, kept.times, kept.decisions
    columns, times = list(kept.results), list(kept.times)
    for number, result in results.items():
        columns[number], times[number] = result, result.changes_at
    decisions = {**kept.decisions, **decided}
    for number in gone:
        columns[number], times[number] = None, inf
        decisions.pop(pools[number].key, None)
    return columns, times, decisions


def _gone(changes: Changes, kept: Kept) -> list[int]:
    """The numbers of pools with a kept result that now are not observed, or are being written."""
    gone = [number for number in changes.fixed if kept.results[number] is not None]
    if changes.has_unseen:
        gone.extend(
            number
            for number, seen in enumerate(changes.seen)
            if seen is None and kept.results[number] is not None
        )
    return gone


def _with_alerts(
    costs: CostTerms, decisions: dict[PoolKey, Decision], kept: Kept | None
) -> tuple[tuple[CostAlert, ...], dict[PoolKey, Decision]]:
    """The alerts that are reached, and the decisions with the alerts added to their reasons."""
    if not costs.alerts:
        return (), decisions
    if kept is not None and decisions is kept.decisions:
        return kept.alerts, kept.alerted
    alerts = cost_alerts(costs, decisions)
    return alerts, _alerted(costs, decisions, alerts)


def _alerted(
    costs: CostTerms, decisions: dict[PoolKey, Decision], alerts: tuple[CostAlert, ...]
) -> dict[PoolKey, Decision]:
    if not alerts:
        return decisions
    shown = dict(decisions)
    for alert in alerts:
        for key in costs.pools[alert.tenant]:
            if key in shown:
                shown[key] = with_alert(shown[key], alert)
    return shown


def _applied(
    changes: Changes, targets: Targets, results: Mapping[int, Result], kept: Kept | None
) -> tuple[list[int], list[int]]:
    """By pool number, the division's replicas and refusing row when the pool's result was made."""
    shared = targets.shared
    if shared is None:
        count = len(changes.seen)
        return [0] * count, [GRANTED] * count
    division = shared.division
    if kept is None or not changes.is_partial:
        return division.have, division.refused_by
    have, refused = list(kept.have), list(kept.refused)
    for number in results:
        have[number], refused[number] = division.have[number], division.refused_by[number]
    return have, refused


def _fixed(changes: Changes, results: Mapping[int, Result], kept: Kept | None) -> dict[int, int]:
    """The pools that enter the division with the size of a write under way, by number."""
    if kept is None or not changes.is_partial:
        return changes.fixed
    before = {number: size for number, size in kept.fixed.items() if number not in results}
    return {**before, **changes.fixed}
