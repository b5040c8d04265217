"""The planner: what was seen in, what to do out. The same input gives the same plan, anywhere."""

from __future__ import annotations

from msgspec.structs import replace

from controller.model.decision import Code, Decision, Gate, Plan, Reason
from controller.model.fleet import Fleet, Pool, Rule
from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.memory import Memory, PoolMemory
from controller.model.observation import Observation, PoolObservation, Workload
from controller.model.readings import Fresh, Reading, last_known
from controller.planning.activation import is_active
from controller.planning.allocation import SharingError
from controller.planning.behavior import REPLICAS_LIMIT
from controller.planning.demand import blindness, read_work
from controller.planning.draft import Draft
from controller.planning.foresight import foresee, needs_past
from controller.planning.gates import hold
from controller.planning.history import (
    ask,
    begin,
    carried,
    confirm,
    follow_clock,
    not_ahead,
    remember,
)
from controller.planning.limit import limit
from controller.planning.measured import measure, watches_metrics
from controller.planning.overrides import Override, Overrides, spares_asked_for
from controller.planning.poison import spare_repeats
from controller.planning.proposals import add_proposals
from controller.planning.recommend import recommend
from controller.planning.recommend_hpa import recommend_by_hpa
from controller.planning.scarcity import Scarcity
from controller.planning.share import Standing, keep_all, share
from controller.planning.spending import with_alerts
from controller.planning.stride import stride


def plan(
    observation: Observation,
    fleet: Fleet,
    intents: Intents,
    memory: Memory,
    now: float,
) -> tuple[Plan, Memory]:
    """Decide every pool that was observed; `now` in Unix seconds. Never raises.

    Pools that were not observed get no decision and keep their memory as it is; so do those that
    are being written, which keep their part of what is shared.
    """
    memory = follow_clock(memory, observation.clock_step_s)
    overrides = Overrides(fleet, intents, now)
    standing = _being_written(fleet, observation)
    decisions: dict[PoolKey, Decision] = {}
    changed: dict[PoolKey, PoolMemory] = {}
    drafts: list[Draft] = []
    for pool in fleet.pools:
        seen = observation.pools.get(pool.key)
        if seen is None or pool.key in observation.under_way:
            continue
        before = memory.pools.get(pool.key)
        workload = _usable(seen.workload)
        if workload is not None:
            override = overrides.of(pool, workload.annotations)
            drafts.append(_draft(pool, seen, workload, before, now=now, override=override))
            continue
        decisions[pool.key], active = _undecided(pool, seen, before, now)
        if active and before is not None:
            changed[pool.key] = replace(before, last_active_at=now)
        if (replicas := decisions[pool.key].current) is not None:
            standing.append(_standing(pool, replicas))

    for draft in drafts:
        _recommend(draft)  # 1. each pool for itself: demand, activation, windows, rates, cooldown
    for draft in drafts:
        limit(draft)  # 2. what one pool alone may have: ceilings, then floors
    try:
        scarcity = Scarcity(fleet, observation, now)
        share(drafts, standing, scarcity)  # 3. what several pools draw on = the targets
        stride(drafts, scarcity)  # 4. idle replicas go, busy ones finish, room is respected
    except SharingError as error:
        keep_all(drafts, error)
    for draft in drafts:
        hold(draft)  # 5. frozen, blind, warming up, not becoming ready = next

    for draft in drafts:
        key = draft.pool.key
        decisions[key] = _decision(draft)
        after = _memory(draft)
        if after is not memory.pools.get(key):
            changed[key] = after
    decisions = with_alerts(decisions, fleet)
    return Plan(at=now, decisions=decisions), carried(memory, changed, fleet)


def _being_written(fleet: Fleet, observation: Observation) -> list[Standing]:
    """They are not decided now, and what they may come to have is nobody else's."""
    under_way = observation.under_way
    return [_standing(pool, under_way[pool.key]) for pool in fleet.pools if pool.key in under_way]


def _standing(pool: Pool, replicas: int) -> Standing:
    return Standing(pool, min(max(replicas, 0), REPLICAS_LIMIT))


def _usable(workload: Reading[Workload]) -> Workload | None:
    """The Deployment as it is now, if it is known and its size is one that can be."""
    if isinstance(workload, Fresh) and 0 <= workload.value.replicas <= REPLICAS_LIMIT:
        return workload.value
    return None


def _draft(
    pool: Pool,
    seen: PoolObservation,
    workload: Workload,
    memory: PoolMemory | None,
    *,
    now: float,
    override: Override | None,
) -> Draft:
    reasons: list[Reason] = []
    work = read_work(pool, seen, now, reasons)
    if memory is None:
        memory = begin(workload.replicas, now)
    memory = confirm(not_ahead(memory, now), workload, pool.behavior, now)
    native = memory.native
    if needs_past(pool):
        # what stands on top of the work must not pass for work that is worth keeping
        own = max(workload.replicas - spares_asked_for(pool, override), 0)
        work, native = foresee(pool, seen, work, native, current=own, now=now, reasons=reasons)
    work, memory = spare_repeats(
        pool, seen, work, memory, native, current=workload.replicas, now=now, reasons=reasons
    )
    active, measured = is_active(pool, work), None
    if watches_metrics(pool):
        measured = measure(
            pool,
            seen,
            work,
            current=workload.replicas,
            failures=memory.failures,
            now=now,
            reasons=reasons,
        )
        if measured.failures != memory.failures:
            memory = replace(memory, failures=measured.failures)
        active = measured.active if pool.rule is Rule.HPA else active or measured.active
    return Draft(
        pool,
        seen,
        workload=workload,
        work=work,
        active=active,
        memory=memory,
        reasons=reasons,
        now=now,
        override=override,
        measured=measured,
        native=native,
    )


def _recommend(draft: Draft) -> None:
    """By the pool's own rule, its metrics beside it."""
    if draft.measured is None:
        recommend(draft)
    elif draft.pool.rule is Rule.HPA:
        recommend_by_hpa(draft, draft.measured)
    else:
        add_proposals(draft, draft.measured)
        recommend(draft)


def _undecided(
    pool: Pool, seen: PoolObservation, memory: PoolMemory | None, now: float
) -> tuple[Decision, bool]:
    """A pool whose Deployment is not known: nothing is written for it. Its demand is shown, and
    whether it has work, for that still keeps its cooldown from running.
    """
    reasons: list[Reason] = []
    work = read_work(pool, seen, now, reasons)
    active = is_active(pool, work)
    if watches_metrics(pool):
        failures = {} if memory is None else memory.failures
        measured = measure(
            pool, seen, work, current=None, failures=failures, now=now, reasons=reasons
        )
        active = measured.active if pool.rule is Rule.HPA else active or measured.active
    reasons.append(Reason(code=Code.WORKLOAD_UNKNOWN, numbers=blindness(seen.workload, now)))
    workload = last_known(seen.workload)
    decision = Decision(
        pool=pool.key,
        current=None if workload is None else workload.replicas,
        demand=work.demand,
        recommendation=None,
        target=None,
        next=None,
        gate=Gate.BLIND,
        reasons=tuple(reasons),
    )
    return decision, active


def _decision(draft: Draft) -> Decision:
    current, following = draft.current, draft.replicas
    return Decision(
        pool=draft.pool.key,
        current=current,
        demand=draft.work.demand,
        recommendation=draft.recommendation,
        target=draft.target,
        next=following,
        bound=draft.bound,
        gate=draft.gate,
        wake=current == 0 and following > 0 and draft.active,
        resource_version=draft.resource_version,
        reasons=tuple(draft.reasons),
    )


def _memory(draft: Draft) -> PoolMemory:
    memory, now = draft.memory, draft.now
    active_at = now if draft.active else memory.last_active_at
    history = draft.history
    if draft.current == 0 < draft.replicas and not (history or draft.active):
        # spares of an idle pool are no wish of its rule: the next plan adds none on top of them
        history = remember((), 0, now, window_s=0.0)
    if (
        active_at != memory.last_active_at
        or history is not memory.recommendations
        or draft.native is not memory.native
    ):
        memory = replace(
            memory, last_active_at=active_at, recommendations=history, native=draft.native
        )
    if draft.replicas != draft.current:
        memory = ask(memory, draft.workload, draft.replicas, now)
    return memory
