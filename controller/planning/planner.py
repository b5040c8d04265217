"""The planner: from an observation to a plan in five steps. Equal inputs give equal plans."""

from __future__ import annotations

from msgspec.structs import replace

from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import Observation, Workload
from controller.model.readings import Fresh, Reading
from controller.model.value import INT32_MAX
from controller.planning.compile import FleetTerms
from controller.planning.demand.demand import demand_of
from controller.planning.gate import gated
from controller.planning.inputs import Moment, Overrides, PoolInput
from controller.planning.limit import limit
from controller.planning.memo import Kept, LocalPlan, Planned, PlanPass
from controller.planning.memory import follow_clock, remembered
from controller.planning.recommend import recommend
from controller.planning.step import step
from controller.planning.values import SharingError


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
    tick = PlanPass(observation, terms, intents, memory, now, kept)
    overrides = Overrides(intents)
    is_ours = tick.kept is not None and memory.pools is tick.kept.memories
    for number in tick.recompute:
        pool, seen = terms.numbered[number], tick.seen[number]
        before = memory.pools.get(pool.pool.key)
        if seen is None:
            continue
        if (workload := _usable(seen.workload)) is None:
            tick.unknown(number, seen, before)
            continue
        moment, of_work = Moment(now), Moment(now)
        override = overrides.of(pool, workload, moment)
        past = remembered(before, workload, pool.pool.behavior, moment, is_ours=is_ours)
        others = memory.pools if pool.pool.serves else None
        given = PoolInput(
            pool, seen, workload, workload.replicas, past, override, tick.planned_at, others
        )
        # 1. recommend: what each pool asks for; demand, activation, windows, policies, cooldown
        demand = demand_of(given, of_work)
        if tick.still_holds(number, demand, of_work.changes_at):
            continue
        recommended = recommend(given, demand, moment)
        # 2. limit: the pool's own limits; ceilings, then floors
        limits = limit(given, demand, recommended, moment)
        tick.local[number] = LocalPlan(given, demand, limits, moment.changes_at)
    try:
        # 3. share: divide the rows that several pools use; the result is the targets
        tick.share()
        # 4. step: only idle replicas are removed, and pools grow only into free room
        tick.grow()
    except SharingError as error:
        if tick.kept is not None:
            return plan(replace(observation, clock_step_s=0.0), terms, intents, memory, now)
        tick.unshared(error)
    for number, one, target, grown in tick.pending():
        moment = Moment(now, one.changes_at)
        following = step(one.given, one.limits, target, grown, moment)
        # 5. gate: frozen, blind, warming up, contested, not becoming ready; the result is `next`
        now_set, after = gated(one.given, one.demand, one.limits, target, following, moment)
        tick.decide(number, one, target, now_set, after, moment)
    return tick.planned()


def _usable(workload: Reading[Workload]) -> Workload | None:
    """The Deployment, if its reading is fresh and its replica count is a valid int32."""
    if isinstance(workload, Fresh) and 0 <= workload.value.replicas <= INT32_MAX:
        return workload.value
    return None
