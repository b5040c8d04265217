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
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from controller.model.decision import Code, Number, Reason
from controller.model.fleet import Pool, Rule
from controller.model.limits import INT32_MAX
from controller.model.native import FIRST_SERVICE_S, NativeMemory, NativeState
from controller.model.observation import PoolObservation, QueueDepth
from controller.model.readings import Fresh, last_known
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
from controller.planning.inputs import Moment, PoolTerms
from controller.planning.values import Work

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


class Learned(msgspec.Struct, frozen=True, gc=False):
    """The work, corrected by what was learned, and the memory.

    `base`: replicas for the present messages; None if nothing is learned about them. `arrivals`:
    the expected arrivals during one time to ready; None if not known.
    """

    work: Work
    memory: NativeMemory | None
    settled: bool
    base: int | None = None
    arrivals: float | None = None


class _Counters(NamedTuple):
    """The tasks that arrived and those that finished since the last evaluation."""

    arrived: int
    completed: int


def learn(
    terms: PoolTerms,
    seen: PoolObservation,
    work: Work,
    before: NativeMemory | None,
    *,
    current: int,
    moment: Moment,
    reasons: list[Reason],
) -> Learned:
    """The work, with its demand raised or lowered by what was learned from the pool's past. Nothing
    changes if the queue is not known or does not count its deliveries.
    """
    queue = seen.queue
    if not (work.counted and isinstance(queue, Fresh) and _counts(queue.value)):
        settled = work.counted and _is_settled(terms, before)
        return Learned(work, before, settled, arrivals=_arrivals(terms, before, moment))
    depth = queue.value
    memory = _updated(terms, seen, depth, before, current=current, moment=moment)
    base = _base(terms, memory, depth)
    memory = _with_surplus(memory, base, current, moment.now)
    arrivals = _arrivals(terms, memory, moment)
    if not _is_settled(terms, memory):
        return Learned(work, memory, False, arrivals=arrivals)
    advice = _applied(terms, memory, base, current, moment)
    if not (work.woken and not advice.replicas):  # else the wake-up alone asks for a replica
        demand = min(advice.replicas, INT32_MAX)
        reasons.append(_reason(terms, memory, advice, current))
        work = Work(work.messages, work.counted, work.woken, demand)
    return Learned(work, memory, True, base=min(advice.base, INT32_MAX), arrivals=arrivals)


def moved(memory: NativeMemory, by_s: float) -> NativeMemory:
    """The memory with all its times moved by `by_s`, because the clock was set."""
    learned = memory.learned
    forecasts = tuple(replace(each, at=max(each.at + by_s, 0.0)) for each in learned.forecasts)
    learned = replace(
        learned,
        at=max(learned.at + by_s, 0.0),
        wanted_at=max(learned.wanted_at + by_s, 0.0),
        forecasts=forecasts,
    )
    quiet, surplus = memory.quiet_since, memory.surplus_since
    return replace(
        memory,
        learned=learned,
        asked_at=max(memory.asked_at + by_s, 0.0),
        in_flight_at=max(memory.in_flight_at + by_s, 0.0),
        quiet_since=None if quiet is None else max(quiet + by_s, 0.0),
        surplus_since=None if surplus is None else max(surplus + by_s, 0.0),
    )


def latest_time(memory: NativeMemory) -> float:
    """The latest time in the memory."""
    learned = memory.learned
    times = (memory.asked_at, memory.in_flight_at, memory.quiet_since, memory.surplus_since)
    forecasts = (forecast.at for forecast in learned.forecasts)
    return max(at for at in (*times, learned.at, learned.wanted_at, *forecasts) if at is not None)


def _updated(
    terms: PoolTerms,
    seen: PoolObservation,
    depth: QueueDepth,
    before: NativeMemory | None,
    *,
    current: int,
    moment: Moment,
) -> NativeMemory:
    """The memory after this reading of the queue."""
    if before is None:
        return _learned_now(terms, seen, depth, None, current=current, now=moment.now)
    if _is_quiet(before, depth):
        return _reevaluated(terms, before, current, moment)
    if moment.reached(_next_turn(terms, before)):
        return _learned_now(terms, seen, depth, before, current=current, now=moment.now)
    return _with_in_flight(before, depth, moment.now)


def _is_settled(terms: PoolTerms, memory: NativeMemory | None) -> bool:
    """Whether rule native uses what it has learned about the pool."""
    return memory is not None and terms.pool.rule is Rule.NATIVE and memory.served >= SETTLED_AFTER


def _is_quiet(before: NativeMemory, depth: QueueDepth) -> bool:
    """Whether nothing has happened since the rule learned."""
    return (
        depth.pending == before.pending
        and depth.delivered == before.delivered
        and depth.in_flight == before.learned.in_flight == before.in_flight
    )


def _next_turn(terms: PoolTerms, before: NativeMemory) -> float:
    turns = (before.asked_at + terms.turn_s) // ASK_EVERY_S + 1
    return turns * ASK_EVERY_S - terms.turn_s


def _last_look(before: NativeMemory, moment: Moment) -> float:
    """The latest time at which a quiet pool was due for evaluation. These times depend on the
    memory alone, not on when plans are made.
    """
    at = before.asked_at
    quiet_since = at if before.quiet_since is None else before.quiet_since
    while True:
        next_at = at + max(LOOK_AFTER_S, LOOK_SHARE * (at - quiet_since))
        if not moment.reached(next_at):
            return at
        at = next_at


def _reevaluated(
    terms: PoolTerms, before: NativeMemory, current: int, moment: Moment
) -> NativeMemory:
    """The memory of a quiet pool; the same object while the advice is the same. Without arrivals
    the advice never rises, so it is not computed again once nothing is worth keeping.
    """
    if before.keep == 0:
        return before
    at = _last_look(before, moment)
    if at == before.asked_at:
        return before
    advice, learned = native(
        _same_input(terms, before, current, at), _wanted(before, at), terms.costs, at
    )
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


def _learned_now(
    terms: PoolTerms,
    seen: PoolObservation,
    depth: QueueDepth,
    before: NativeMemory | None,
    *,
    current: int,
    now: float,
) -> NativeMemory:
    """The memory after the rule has learned from this queue, with its advice."""
    pool = terms.pool
    ready_s = _measured_ready_s(seen) or (None if before is None else before.ready_s)
    task_s = FIRST_SERVICE_S if before is None else service_s(before.learned)
    starts = _starts(pool, seen, depth, task_s, FIRST_READY_S if ready_s is None else ready_s)
    counters, learned, worked_s, served = _Counters(0, 0), None, None, 0
    if before is not None:
        before = _caught_up(terms, before, current, now)
        since = _since(before, depth)
        learned = _wanted(before, now)
        counters = _Counters(
            learned.arrivals + since.arrived, learned.completions + since.completed
        )
        worked_s, served = _worked_s(before, now), before.served + since.completed
    known = NativeInput(
        pending=depth.pending,
        in_flight=depth.in_flight,
        arrivals=counters.arrived,
        completions=counters.completed,
        replicas=current,
        slots=max(pool.slots, 1),
        time_to_ready_s=(FIRST_READY_S if ready_s is None else ready_s) * starts,
        worked_s=worked_s,
    )
    if learned is None and pool.usage is not None:
        learned = begin_native(known, now, float(pool.usage.seconds))
    advice, learned = native(known, learned, terms.costs, now)
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


def _caught_up(terms: PoolTerms, before: NativeMemory, current: int, now: float) -> NativeMemory:
    """The memory of a pool that was quiet until now, with the forecast for now, as it was one time
    to ready ago. The arrivals are compared with it.
    """
    ready_s = _ready_s(before)
    at = now - ready_s
    if at - before.asked_at < ready_s or before.in_flight_at > at:
        return before
    seen = _same_input(terms, before, current, at)
    _, learned = native(seen, _wanted(before, at), terms.costs, at)
    return replace(before, learned=learned, in_flight_at=at, worked_s=0.0)


def _same_input(terms: PoolTerms, before: NativeMemory, current: int, at: float) -> NativeInput:
    """The rule's input for a quiet pool: the queue as it is remembered."""
    return NativeInput(
        pending=before.pending,
        in_flight=before.in_flight,
        arrivals=before.learned.arrivals,
        completions=before.learned.completions,
        replicas=current,
        slots=max(terms.pool.slots, 1),
        time_to_ready_s=_ready_s(before),
        worked_s=_worked_s(before, at),
    )


def _wanted(before: NativeMemory, at: float) -> NativeState:
    """What was learned. Without a surplus, all replicas were worth keeping until `at`."""
    surplus = before.surplus_since
    return replace(before.learned, wanted_at=at if surplus is None else surplus)


def _with_in_flight(before: NativeMemory, depth: QueueDepth, now: float) -> NativeMemory:
    """The memory with the messages in flight now: short tasks may end between two turns."""
    if depth.in_flight == before.in_flight:
        return before
    worked_s = _worked_s(before, now)
    return replace(before, in_flight=depth.in_flight, in_flight_at=now, worked_s=worked_s)


def _worked_s(before: NativeMemory, now: float) -> float:
    """The seconds of work since the rule learned."""
    return before.worked_s + before.in_flight * max(now - before.in_flight_at, 0.0)


def _with_surplus(memory: NativeMemory, base: int, current: int, now: float) -> NativeMemory:
    """The memory with the time since when more replicas run than are worth keeping."""
    is_surplus = current > max(memory.keep, memory.start, base)
    if is_surplus is (memory.surplus_since is not None):
        return memory
    return replace(memory, surplus_since=now if is_surplus else None)


def _base(terms: PoolTerms, memory: NativeMemory, depth: QueueDepth) -> int:
    """Replicas for the present messages."""
    task_s, ready_s = service_s(memory.learned), _ready_s(memory)
    slots = slots_needed(depth.pending, depth.in_flight, task_s, ready_s)
    return replicas_needed(slots, max(terms.pool.slots, 1), depth.total)


def _applied(
    terms: PoolTerms, memory: NativeMemory, base: int, current: int, moment: Moment
) -> Advice:
    """The last advice, applied to the messages there are now."""
    start = max(memory.start, base)
    keep = max(memory.keep, start)
    replicas = min(max(current, start), keep)
    since = memory.surplus_since
    if since is not None and not moment.reached(since + terms.costs.hold_s):
        replicas = current
    return Advice(replicas, base, start, keep, memory.learned.rate.expected)


def _arrivals(terms: PoolTerms, memory: NativeMemory | None, moment: Moment) -> float | None:
    """The expected arrivals during one time to ready; None for a pool without spares by a service
    level.
    """
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


def _since(before: NativeMemory, depth: QueueDepth) -> _Counters:
    """The arrivals and completions since `before`. A redelivery is neither of them. Both are 0 if
    the consumer was created again.
    """
    delivered = (depth.delivered or 0) - before.delivered
    if depth.sequence is not None and before.sequence is not None:
        delivered = min(delivered, depth.sequence - before.sequence)
    if delivered < 0:
        return _Counters(0, 0)
    arrived = depth.pending - before.pending + delivered
    completed = delivered - (depth.in_flight - before.learned.in_flight)
    return _Counters(max(arrived, 0), max(completed, 0))


def _starts(
    pool: Pool, seen: PoolObservation, depth: QueueDepth, task_s: float, ready_s: float
) -> int:
    """How many times to ready pass until the replicas that these messages need are ready. It is 1
    where they start at the same time. Where they start one after the other, the n-th is needed if
    that many messages will still be waiting when it is ready.
    """
    workload = last_known(seen.workload)
    if workload is None or not workload.one_by_one:
        return 1

    def is_superfluous(starts: int) -> bool:
        slots = slots_needed(depth.pending, depth.in_flight, task_s, ready_s * starts)
        return replicas_needed(slots, max(pool.slots, 1), depth.total) < workload.ready + starts

    most = replicas_needed(depth.total, max(pool.slots, 1), depth.total) - workload.ready
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
