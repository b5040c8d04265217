"""The planner: from an observation to a plan in five steps. Equal inputs give equal plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from controller.model.decision import Decision, Plan
from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import Observation, Workload
from controller.model.readings import Fresh, Reading
from controller.model.value import INT32_MAX
from controller.planning.allocation.values import SharingError
from controller.planning.changes import changes_of, usable
from controller.planning.compile import FleetTerms
from controller.planning.context import PlanContext
from controller.planning.demand.demand import demand_of
from controller.planning.gate import gated
from controller.planning.growth import UNLIMITED_GROWTH, growth_of
from controller.planning.inputs import Moment, Overrides, PoolInput
from controller.planning.kept import Kept, LocalPlan, Result, last_size
from controller.planning.limit import limit
from controller.planning.memory import follow_clock, remembered
from controller.planning.recommend import recommend
from controller.planning.results import assembled, pending, result_of, unknown_result
from controller.planning.step import step
from controller.planning.targets import targets_of, unshared


class Planned(NamedTuple):
    """A plan, and the memory and the kept state that the next plan takes.

    `changed` are the decisions made again; all others are those of the previous plan.
    """

    plan: Plan
    changed: Mapping[PoolKey, Decision]
    memory: Memory
    kept: Kept | None


def plan(  # noqa: PLR0917 - these are what a plan is a function of
    observation: Observation,
    terms: FleetTerms,
    intents: Intents,
    memory: Memory,
    now: float,
    kept: Kept | None = None,
) -> Planned:
    """Decide every observed pool; `now` in Unix seconds. Never raises.

    `terms` is `compile_fleet(fleet)`. Pools that were not observed, or that are being written, get
    no decision and keep their memory; pools that are being written still take part in sharing, with
    a fixed size. `kept` is from the previous plan: it saves time and changes no result.
    """
    memory = follow_clock(memory, observation.clock_step_s)
    kept = usable(kept, terms, observation, now)
    changes = changes_of(observation, terms, intents, memory, now=now, kept=kept)
    local: dict[int, LocalPlan] = {}
    results: dict[int, Result] = {}
    overrides, planned_at = Overrides(intents), _planned_at(memory, now)
    is_ours = kept is not None and memory.pools is kept.memories
    for number in changes.recompute:
        pool, seen = terms.numbered[number], changes.seen[number]
        before = memory.pools.get(pool.pool.key)
        if seen is None:
            continue
        if (workload := _usable(seen.workload)) is None:
            results[number] = unknown_result(pool, seen, before, planned_at, now)
            continue
        moment = Moment(now)
        override = overrides.of(pool, workload, moment)
        past = remembered(before, workload, pool.pool.behavior, moment, is_ours=is_ours)
        given = PoolInput(pool, seen, workload, workload.replicas, past, override, planned_at)
        # 1. recommend: what each pool asks for; demand, activation, windows, policies, cooldown
        demand = demand_of(given, moment)
        recommendation = recommend(given, demand, moment)
        # 2. limit: the pool's own limits; ceilings, then floors
        limits = limit(given, demand, recommendation, moment)
        reasons = demand.reasons + recommendation.reasons + limits.reasons
        local[number] = LocalPlan(given, demand, limits, reasons, moment.changes_at)
    unknown = {number: last_size(result) for number, result in results.items()}
    context = PlanContext(terms, intents, memory, now, kept, changes, local, unknown)
    try:
        # 3. share: divide the rows that several pools use; the result is the targets
        targets = targets_of(observation, context)
        # 4. step: only idle replicas are removed, and pools grow only into free room
        growth = growth_of(context, targets)
    except SharingError as error:
        if kept is not None:
            return plan(replace(observation, clock_step_s=0.0), terms, intents, memory, now)
        targets, growth = unshared(local, error), UNLIMITED_GROWTH
    for each in pending(context, targets, growth):
        one = each.local
        moment = Moment(now, one.changes_at)
        following = step(one.given, one.limits, each.target, each.grown, moment)
        # 5. gate: frozen, blind, warming up, contested, not becoming ready; the result is `next`
        held = gated(one.given, one.demand, one.limits, each.target, following, moment)
        results[each.number] = result_of(each, following, held, moment)
    return Planned(*assembled(context, targets, growth, results))


def _planned_at(memory: Memory, now: float) -> float:
    """The time of the previous plan, never after `now`; `now` if there was none."""
    return now if memory.planned_at is None else min(memory.planned_at, now)


def _usable(workload: Reading[Workload]) -> Workload | None:
    """The Deployment, if its reading is fresh and its replica count is a valid int32."""
    if isinstance(workload, Fresh) and 0 <= workload.value.replicas <= INT32_MAX:
        return workload.value
    return None
