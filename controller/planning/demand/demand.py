"""Step 1, first half: the replicas that a pool's work asks for, and how sure that is."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from controller.model.decision import Reason
from controller.model.fleet import Rule
from controller.model.memory import PoolMemory
from controller.model.observation import PoolObservation
from controller.planning.demand.hpa_metrics import propose_all
from controller.planning.demand.keda_metrics import Measured, measure
from controller.planning.demand.learned import learn
from controller.planning.demand.queue import cap_redelivered, read_work
from controller.planning.inputs import Moment, PoolInput, PoolTerms
from controller.planning.values import Demand, Work


class BlindDemand(msgspec.Struct, frozen=True, gc=False):
    """What is known of the work of a pool whose Deployment is not known."""

    work: Work
    active: bool
    reasons: tuple[Reason, ...]


def demand_of(given: PoolInput, moment: Moment) -> Demand:
    """What the pool's queue, its past and its metrics ask for."""
    terms, memory, forced = given.terms, given.memory, given.override.forced
    work, reasons = read_work(terms.pool, given.seen)
    needed = work.demand if work.counted else None
    native, settled, arrivals = memory.native, False, None
    if terms.needs_past:
        learned = learn(given, work, moment)
        work, native, settled = learned.work, learned.memory, learned.settled
        arrivals, reasons = learned.arrivals, reasons + learned.reasons
        if learned.base is not None:
            needed = max(learned.base, 1) if work.woken else learned.base
    capped = cap_redelivered(given, work, moment.now, settled=settled)
    work = capped.work
    if needed is not None and work.demand is not None:
        needed = min(needed, work.demand)
    demand = Demand(
        work=work,
        needed=needed,
        active=forced or is_active(terms, work),
        forced=forced,
        settled=settled,
        expects_work=settled and terms.pool.activation == 0 and bool(work.demand),
        arrivals=arrivals,
        native=native,
        repeats=capped.repeats,
        queue_repeats=capped.queue_repeats,
        failures=memory.failures,
        reasons=reasons + capped.reasons,
    )
    if not terms.has_metrics:
        return demand
    measured = measure(terms, given.seen, work, current=given.current, failures=memory.failures)
    # the same object while the counts are the same, so that an unchanged memory is kept
    is_same = measured.failures == memory.failures
    demand = replace(
        demand,
        activator=measured.activator,
        failures=memory.failures if is_same else measured.failures,
        reasons=demand.reasons + measured.reasons,
    )
    by_metrics = _by_hpa if terms.pool.rule is Rule.HPA else _beside_the_queue
    return by_metrics(given, demand, measured, moment)


def blind_demand_of(
    terms: PoolTerms, seen: PoolObservation, memory: PoolMemory | None
) -> BlindDemand:
    """What is known of the work if the Deployment is not known. It is shown, and no cooldown begins
    while the pool is active.
    """
    work, reasons = read_work(terms.pool, seen)
    active = is_active(terms, work)
    if terms.has_metrics:
        failures = {} if memory is None else memory.failures
        measured = measure(terms, seen, work, current=None, failures=failures)
        active = measured.active or (terms.pool.rule is Rule.NATIVE and active)
        reasons += measured.reasons
    return BlindDemand(work, active, reasons)


def is_active(terms: PoolTerms, work: Work) -> bool:
    """Whether more messages than the activation are known (KEDA: strictly more)."""
    return work.messages is not None and work.messages > terms.pool.activation


def _beside_the_queue(
    given: PoolInput, demand: Demand, measured: Measured, moment: Moment
) -> Demand:
    """Rule native: the demand is the largest of the queue's and the metrics'. A metric without a
    proposal does not lower it.
    """
    active, work = demand.active or measured.active, demand.work
    if not measured.metrics:
        return replace(demand, active=active)
    found = propose_all(given, measured.metrics, measured.unusable, moment)
    counted = work.counted and found.unusable is None
    largest = _largest(work.demand, found.replicas)
    return replace(
        demand,
        work=replace(work, counted=counted, demand=largest),
        needed=_largest(demand.needed, found.needed) if counted else None,
        active=active,
        unusable=found.unusable if work.counted else None,
        reasons=demand.reasons + found.reasons,
    )


def _by_hpa(given: PoolInput, demand: Demand, measured: Measured, moment: Moment) -> Demand:
    """Rule hpa: the demand is that of the metrics alone. They are evaluated if pods run and the
    size is within its bounds; the HPA corrects any other size without them.
    """
    active, work, needed = demand.forced or measured.active, demand.work, demand.needed
    bounds, current = given.override.bounds, given.current
    if not max(bounds.min, 1) <= current <= bounds.max or not measured.metrics:
        unusable = measured.unusable[0] if measured.unusable else None
        counted, asked = unusable is None, work.demand
        if current == 0 and counted and not active and is_active(given.terms, work):
            asked = needed = 0  # the queue is not one of its metrics, and these ask for nothing
        return replace(
            demand,
            work=replace(work, counted=counted, demand=asked),
            needed=needed if counted else None,
            active=active,
            unusable=unusable,
        )
    found = propose_all(given, measured.metrics, measured.unusable, moment)
    counted, proposal = found.unusable is None, found.replicas
    if not counted and (proposal is None or proposal < current):
        proposal = None  # HPA: no scale-down while a metric has no proposal
    return replace(
        demand,
        work=replace(work, counted=counted, demand=found.replicas),
        needed=found.needed if counted else None,
        active=active,
        proposal=proposal,
        unusable=found.unusable,
        reasons=demand.reasons + found.reasons,
    )


def _largest(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
