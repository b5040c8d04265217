"""What is learned about a pool's demand from its past, for rule native and for spares by a service
level.

The queue's counters give the arrivals and completions since the last evaluation; the pods give the
time to ready. The rule learns from a pool at most every 2 s. In between, its last advice is applied
to the present messages. While nothing happens, the advice is evaluated again after a quarter of the
quiet time so far, and remembered only if it has changed.
"""

from __future__ import annotations

from bisect import bisect_left
from statistics import median
from typing import Final

from msgspec.structs import replace

from controller.model.decision import Code, Number, Reason
from controller.model.fleet import Rule
from controller.model.memory import FIRST_SERVICE_S, NativeMemory, NativeState
from controller.model.observation import PoolObservation, QueueDepth
from controller.model.readings import Fresh, last_known
from controller.model.value import INT32_MAX
from controller.planning.demand.native import (
    Advice,
    NativeInput,
    arrivals_per_s,
    begin_native,
    native,
    replicas_needed,
    service_s,
    slots_needed,
)
from controller.planning.inputs import Moment, PoolInput, PoolTerms
from controller.planning.values import Demand

SETTLED_AFTER: Final = 10
"""The number of tasks that must have finished before the pool's past is used."""
ASK_EVERY_S: Final = 2.0
"""The rule learns from a pool at most once in this time. Each pool has its own turn in it, so that
the pools of a large fleet do not all learn in the same tick.
"""
LOOK_AFTER_S: Final = 5.0
LOOK_SHARE: Final = 0.25
"""While nothing happens, the advice is evaluated again after 5 s, and later after this share of the
quiet time so far.
"""
FIRST_READY_S: Final = 9.0
"""The assumed time to ready until one was measured: scheduling 2 s, image 2, MCP servers 2; memory,
queue and first task 1 each. Of a StatefulSet that starts its pods one after the other, the last of
n is ready after n such times.
"""
_PODS_ASKED: Final = 16
_SLOWEST_START_S: Final = 3600.0
_COUNTER_LIMIT: Final = 2**62


def learn(given: PoolInput, demand: Demand, moment: Moment) -> Demand:
    """The demand by the pool's past, if the queue is known and counts its deliveries."""
    terms, queue, memory = given.terms, given.seen.queue, demand.memory.native
    if not (demand.counted and isinstance(queue, Fresh) and _counts(queue.value)):
        settled = demand.counted and _is_settled(terms, memory)
        arrivals = _arrivals(terms, memory, moment)
        expects_work = settled and terms.pool.activation == 0 and bool(demand.replicas)
        return replace(demand, settled=settled, expects_work=expects_work, arrivals=arrivals)
    depth = queue.value
    memory = _updated(given, depth, memory, moment)
    slots = slots_needed(
        depth.pending, depth.in_flight, service_s(memory.learned), _ready_s(memory)
    )
    base = replicas_needed(slots, max(terms.pool.slots, 1), depth.total)
    is_surplus = given.current > max(memory.keep, memory.start, base)
    if is_surplus is (memory.surplus_since is None):
        memory = replace(memory, surplus_since=moment.now if is_surplus else None)
    after = demand.memory
    if memory is not after.native:
        after = replace(after, native=memory)
    arrivals = _arrivals(terms, memory, moment)
    if not _is_settled(terms, memory):
        return replace(demand, memory=after, arrivals=arrivals)
    advice, needed = _applied(given, memory, base, moment), min(base, INT32_MAX)
    replicas, reasons = demand.replicas, demand.reasons
    if not (demand.woken and not advice.replicas):  # else the wake-up alone asks for a replica
        replicas = min(advice.replicas, INT32_MAX)
        reasons = (*reasons, _reason(terms, memory, advice, given.current))
    return replace(
        demand,
        replicas=replicas,
        needed=max(needed, 1) if demand.woken else needed,
        memory=after,
        settled=True,
        expects_work=terms.pool.activation == 0 and bool(replicas),
        arrivals=arrivals,
        reasons=reasons,
    )


def _updated(
    given: PoolInput, depth: QueueDepth, before: NativeMemory | None, moment: Moment
) -> NativeMemory:
    """The memory after this reading. Between turns only messages in flight are noted."""
    if before is None:
        return _learned_now(given, depth, None, moment)
    if (
        depth.pending == before.pending
        and depth.delivered == before.delivered
        and depth.in_flight == before.learned.in_flight == before.in_flight
    ):
        return _reevaluated(given, before, moment)
    turns = (before.asked_at + given.terms.turn_s) // ASK_EVERY_S + 1
    if moment.reached(turns * ASK_EVERY_S - given.terms.turn_s):
        return _learned_now(given, depth, before, moment)
    if depth.in_flight == before.in_flight:
        return before
    worked_s = _worked_s(before, moment.now)
    return replace(before, in_flight=depth.in_flight, in_flight_at=moment.now, worked_s=worked_s)


def _is_settled(terms: PoolTerms, memory: NativeMemory | None) -> bool:
    """Whether rule native uses what it has learned about the pool."""
    return memory is not None and terms.pool.rule is Rule.NATIVE and memory.served >= SETTLED_AFTER


def _last_look(before: NativeMemory, moment: Moment) -> float:
    """When a quiet pool was last due for evaluation: by its memory alone, not by plans made."""
    at = before.asked_at
    quiet_since = at if before.quiet_since is None else before.quiet_since
    while True:
        next_at = at + max(LOOK_AFTER_S, LOOK_SHARE * (at - quiet_since))
        if not moment.reached(next_at):
            return at
        at = next_at


def _reevaluated(given: PoolInput, before: NativeMemory, moment: Moment) -> NativeMemory:
    """The memory of a quiet pool; the same object while the advice is the same. Without arrivals
    the advice never rises, so it is not computed again once nothing is worth keeping.
    """
    if before.keep == 0:
        return before
    at = _last_look(before, moment)
    if at == before.asked_at:
        return before
    advice, learned = _asked_again(given, before, at)
    if (advice.base, advice.start, advice.keep) == (before.base, before.start, before.keep):
        return before
    return replace(
        before,
        learned=learned,
        asked_at=at,
        base=advice.base,
        start=advice.start,
        keep=advice.keep,
        in_flight_at=at,
        worked_s=0.0,
        quiet_since=before.asked_at if before.quiet_since is None else before.quiet_since,
    )


def _asked_again(given: PoolInput, before: NativeMemory, at: float) -> tuple[Advice, NativeState]:
    """The rule's answer for a quiet pool, whose queue is as it is remembered."""
    seen = NativeInput(
        pending=before.pending,
        in_flight=before.in_flight,
        arrivals=before.learned.arrivals,
        completions=before.learned.completions,
        replicas=given.current,
        slots=max(given.terms.pool.slots, 1),
        time_to_ready_s=_ready_s(before),
        worked_s=_worked_s(before, at),
    )
    return native(seen, _wanted(before, at), given.terms.costs, at)


def _learned_now(
    given: PoolInput, depth: QueueDepth, before: NativeMemory | None, moment: Moment
) -> NativeMemory:
    """The memory after the rule has learned from this queue, with its advice."""
    pool, now = given.terms.pool, moment.now
    moment.note(now + LOOK_AFTER_S)  # where nothing happens until then
    ready_s = _measured_ready_s(given.seen) or (None if before is None else before.ready_s)
    one_ready_s = FIRST_READY_S if ready_s is None else ready_s
    task_s = FIRST_SERVICE_S if before is None else service_s(before.learned)
    starts = _starts(given, depth, task_s, one_ready_s)
    arrivals = completions = completed = 0
    learned = worked_s = None
    if before is not None:
        # a pool that was quiet until now: the arrivals are compared with the forecast for now, as
        # it was one time to ready ago
        ago = now - _ready_s(before)
        if ago - before.asked_at >= _ready_s(before) and before.in_flight_at <= ago:
            _, learned = _asked_again(given, before, ago)
            before = replace(before, learned=learned, in_flight_at=ago, worked_s=0.0)
        arrived, completed = _since(before, depth)
        learned, worked_s = _wanted(before, now), _worked_s(before, now)
        arrivals, completions = learned.arrivals + arrived, learned.completions + completed
    known = NativeInput(
        pending=depth.pending,
        in_flight=depth.in_flight,
        arrivals=arrivals,
        completions=completions,
        replicas=given.current,
        slots=max(pool.slots, 1),
        time_to_ready_s=one_ready_s * starts,
        worked_s=worked_s,
    )
    if learned is None and pool.usage is not None:
        learned = begin_native(known, now, float(pool.usage.seconds))
    advice, learned = native(known, learned, given.terms.costs, now)
    served = 0 if before is None else before.served + completed
    return NativeMemory(
        learned=learned,
        asked_at=now,
        pending=depth.pending,
        delivered=depth.delivered or 0,
        sequence=depth.sequence,
        served=min(served, SETTLED_AFTER),
        ready_s=ready_s,
        starts=starts,
        base=advice.base,
        start=advice.start,
        keep=advice.keep,
        in_flight=depth.in_flight,
        in_flight_at=now,
        surplus_since=None if before is None else before.surplus_since,
    )


def _wanted(before: NativeMemory, at: float) -> NativeState:
    """What was learned. Without a surplus, all replicas were worth keeping until `at`."""
    surplus = before.surplus_since
    return replace(before.learned, wanted_at=at if surplus is None else surplus)


def _worked_s(before: NativeMemory, now: float) -> float:
    """The seconds of work since the rule learned."""
    return before.worked_s + before.in_flight * max(now - before.in_flight_at, 0.0)


def _applied(given: PoolInput, memory: NativeMemory, base: int, moment: Moment) -> Advice:
    """The last advice, applied to the messages there are now."""
    start = max(memory.start, base)
    keep = max(memory.keep, start)
    replicas = min(max(given.current, start), keep)
    since = memory.surplus_since
    if since is not None and not moment.reached(since + given.terms.costs.hold_s):
        replicas = given.current
    return Advice(replicas, base, start, keep, memory.learned.rate.expected)


def _arrivals(terms: PoolTerms, memory: NativeMemory | None, moment: Moment) -> float | None:
    """The arrivals expected during one time to ready; None without spares by a service level."""
    warm = terms.pool.warm
    if memory is None or warm is None or warm.slo is None:
        return None
    return arrivals_per_s(memory.learned, _last_look(memory, moment)) * _ready_s(memory)


def _counts(depth: QueueDepth) -> bool:
    """Whether the queue counts its deliveries."""
    delivered, sequence = depth.delivered, depth.sequence or 0
    return (
        delivered is not None and 0 <= delivered < _COUNTER_LIMIT and 0 <= sequence < _COUNTER_LIMIT
    )


def _since(before: NativeMemory, depth: QueueDepth) -> tuple[int, int]:
    """Arrivals and completions since `before`, without redeliveries; 0 for a new consumer."""
    delivered = (depth.delivered or 0) - before.delivered
    if depth.sequence is not None and before.sequence is not None:
        delivered = min(delivered, depth.sequence - before.sequence)
    if delivered < 0:
        return 0, 0
    arrived = depth.pending - before.pending + delivered
    completed = delivered - (depth.in_flight - before.learned.in_flight)
    return max(arrived, 0), max(completed, 0)


def _starts(given: PoolInput, depth: QueueDepth, task_s: float, ready_s: float) -> int:
    """How many times to ready pass until enough replicas for these messages are ready: 1 where they
    start together, else one each while that many messages will still be waiting.
    """
    workload, slots_each = given.workload, max(given.terms.pool.slots, 1)
    if not workload.one_by_one:
        return 1

    def is_superfluous(starts: int) -> bool:
        slots = slots_needed(depth.pending, depth.in_flight, task_s, ready_s * starts)
        return replicas_needed(slots, slots_each, depth.total) < workload.ready + starts

    most = replicas_needed(depth.total, slots_each, depth.total) - workload.ready
    if most <= 1:
        return 1
    # a later one is needed less: the first superfluous one is found by halves
    return max(bisect_left(range(1, min(most, INT32_MAX) + 1), True, key=is_superfluous), 1)


def _ready_s(memory: NativeMemory) -> float:
    """The time until the replicas that are needed are ready."""
    return (FIRST_READY_S if memory.ready_s is None else memory.ready_s) * max(memory.starts, 1)


def cold_start_s(seen: PoolObservation, memory: NativeMemory | None) -> float:
    """The seconds that one replica of a pool needs to become ready, as far as is known."""
    known_s = None if memory is None else memory.ready_s
    return _measured_ready_s(seen) or known_s or FIRST_READY_S


def _measured_ready_s(seen: PoolObservation) -> float | None:
    """The median time from a pod's creation to its readiness, over a few of the pool's pods."""
    pods = last_known(seen.pods)
    if pods is None:
        return None
    starts = [
        pod.ready_at - pod.created_at
        for pod in pods.items[:_PODS_ASKED]
        if pod.ready_at is not None and 0 < pod.ready_at - pod.created_at < _SLOWEST_START_S
    ]
    return median(starts) if starts else None


def _reason(terms: PoolTerms, memory: NativeMemory, advice: Advice, current: int) -> Reason:
    """Why the rule asks for so many: each of its five answers has a code of its own."""
    numbers: dict[str, Number] = {
        "base": advice.base,
        "start": advice.start,
        "keep": advice.keep,
        "arrivals_per_min": round(advice.arrivals_per_s * 60, 2),
        "service_s": round(service_s(memory.learned), 3),
        "ready_s": round(FIRST_READY_S if memory.ready_s is None else memory.ready_s, 3),
    }
    if memory.starts > 1:
        numbers["starts"] = memory.starts
    replicas = advice.replicas
    if replicas > advice.keep:
        code = Code.SURPLUS_HELD
        numbers["hold_s"] = terms.costs.hold_s
        if memory.surplus_since is not None:
            numbers["until"] = memory.surplus_since + terms.costs.hold_s
    elif replicas < current:
        code = Code.NOT_WORTH_KEEPING
    elif replicas > advice.start:
        code = Code.WORTH_KEEPING
    elif advice.start > advice.base:
        code = Code.WORTH_STARTING
        numbers["likely"] = advice.start - advice.base
    else:
        code = Code.LEARNED_NEED
    return Reason(code=code, value=min(replicas, INT32_MAX), numbers=numbers)
