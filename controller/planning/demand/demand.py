"""Step 1, first half: the replicas that a pool's work asks for, and how sure that is."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from controller.model.decision import Reason
from controller.model.fleet import Rule
from controller.model.memory import PoolMemory
from controller.model.observation import PoolObservation
from controller.planning.demand.hpa_metrics import MetricContext, propose_all
from controller.planning.demand.keda_metrics import Measured, measure
from controller.planning.demand.learned import learn
from controller.planning.demand.queue import cap_redelivered, read_work
from controller.planning.inputs import Moment, PoolInput, PoolTerms
from controller.planning.values import Demand, UnusableMetric, Work


class BlindDemand(msgspec.Struct, frozen=True, gc=False):
    """What is known of the work of a pool whose Deployment is not known."""

    work: Work
    active: bool
    reasons: tuple[Reason, ...]


def demand_of(given: PoolInput, moment: Moment) -> Demand:
    """What the pool's queue, its past and its metrics ask for."""
    terms, seen, memory = given.terms, given.seen, given.memory
    pool, current = terms.pool, given.workload.replicas
    reasons: list[Reason] = []
    work = read_work(pool, seen, reasons)
    needed = work.demand if work.counted else None
    native, settled, arrivals = memory.native, False, None
    if terms.needs_past:
        learned = learn(terms, seen, work, native, current=current, moment=moment, reasons=reasons)
        work, native, settled = learned.work, learned.memory, learned.settled
        arrivals = learned.arrivals
        if learned.base is not None:
            needed = max(learned.base, 1) if work.woken else learned.base
    work, repeats, queue_repeats = cap_redelivered(
        pool,
        seen,
        work,
        memory,
        settled=settled,
        current=current,
        now=moment.now,
        reasons=reasons,
    )
    if needed is not None and work.demand is not None:
        needed = min(needed, work.demand)
    expects_work = settled and pool.activation == 0 and bool(work.demand)
    forced = given.override.forced
    active = forced or is_active(terms, work)
    if not terms.has_metrics:
        return Demand(
            work=work,
            needed=needed,
            active=active,
            forced=forced,
            activator=None,
            settled=settled,
            expects_work=expects_work,
            proposal=None,
            arrivals=arrivals,
            unusable=None,
            native=native,
            repeats=repeats,
            queue_repeats=queue_repeats,
            failures=memory.failures,
            reasons=tuple(reasons),
        )
    measured = measure(
        terms, seen, work, current=current, failures=memory.failures, reasons=reasons
    )
    is_hpa = pool.rule is Rule.HPA
    found = _by_hpa if is_hpa else _beside_the_queue
    combined = found(given, work, needed, measured, moment=moment, reasons=reasons)
    return Demand(
        work=combined.work,
        needed=combined.needed,
        active=forced or measured.active or (not is_hpa and active),
        forced=forced,
        activator=measured.activator,
        settled=settled,
        expects_work=expects_work,
        proposal=combined.proposal,
        arrivals=arrivals,
        unusable=combined.unusable,
        native=native,
        repeats=repeats,
        queue_repeats=queue_repeats,
        # the same object while the counts are the same, so that an unchanged memory is kept
        failures=measured.failures if measured.failures != memory.failures else memory.failures,
        reasons=tuple(reasons),
    )


def blind_demand_of(
    terms: PoolTerms, seen: PoolObservation, memory: PoolMemory | None
) -> BlindDemand:
    """What is known of the work if the Deployment is not known. It is shown, and no cooldown begins
    while the pool is active.
    """
    reasons: list[Reason] = []
    work = read_work(terms.pool, seen, reasons)
    active = is_active(terms, work)
    if terms.has_metrics:
        failures = {} if memory is None else memory.failures
        measured = measure(terms, seen, work, current=None, failures=failures, reasons=reasons)
        active = measured.active or (terms.pool.rule is Rule.NATIVE and active)
    return BlindDemand(work, active, tuple(reasons))


def is_active(terms: PoolTerms, work: Work) -> bool:
    """Whether more messages than the activation are known (KEDA: strictly more)."""
    return work.messages is not None and work.messages > terms.pool.activation


class _Combined(NamedTuple):
    """The work with what its metrics ask for."""

    work: Work
    needed: int | None
    proposal: int | None
    unusable: UnusableMetric | None


def _beside_the_queue(
    given: PoolInput,
    work: Work,
    needed: int | None,
    measured: Measured,
    *,
    moment: Moment,
    reasons: list[Reason],
) -> _Combined:
    """Rule native: the demand is the largest of the queue's and the metrics'. A metric without a
    proposal does not lower it.
    """
    if not measured.metrics:
        return _Combined(work, needed, None, None)
    found = propose_all(
        measured.metrics, _metric_context(given, moment), measured.unusable, reasons
    )
    counted = work.counted and found.unusable is None
    demand = _largest(work.demand, found.replicas)
    return _Combined(
        Work(work.messages, counted, work.woken, demand),
        _largest(needed, found.needed) if counted else None,
        None,
        found.unusable if work.counted else None,
    )


def _by_hpa(
    given: PoolInput,
    work: Work,
    needed: int | None,
    measured: Measured,
    *,
    moment: Moment,
    reasons: list[Reason],
) -> _Combined:
    """Rule hpa: the demand is that of the metrics alone. They are evaluated if pods run and the
    size is within its bounds; the HPA corrects any other size without them.
    """
    unusable = measured.unusable[0] if measured.unusable else None
    low, high = max(given.override.bounds.min, 1), given.override.bounds.max
    current = given.workload.replicas
    if not low <= current <= high or not measured.metrics:
        counted, demand = unusable is None, work.demand
        by_metrics = measured.active or given.override.forced
        if current == 0 and counted and not by_metrics and is_active(given.terms, work):
            demand = needed = 0  # the queue is not one of its metrics, and these ask for nothing
        work = Work(work.messages, counted, work.woken, demand)
        return _Combined(work, needed if counted else None, None, unusable)
    found = propose_all(
        measured.metrics, _metric_context(given, moment), measured.unusable, reasons
    )
    counted = found.unusable is None
    proposal = found.replicas
    if not counted and (proposal is None or proposal < current):
        proposal = None  # HPA: no scale-down while a metric has no proposal
    return _Combined(
        Work(work.messages, counted, work.woken, found.replicas),
        found.needed if counted else None,
        proposal,
        found.unusable,
    )


def _metric_context(given: PoolInput, moment: Moment) -> MetricContext:
    return MetricContext(
        current=given.current,
        status_replicas=given.status_replicas,
        pods=given.seen.measured_pods,
        tolerance=given.terms.tolerance,
        moment=moment,
    )


def _largest(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
