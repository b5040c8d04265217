"""Step 1a for rule `native`: what a pool's past says of the work there is and will be.

The queue's counters say what arrived and what was done since the last look; the pods, how long a
start takes. Until enough tasks were seen done to know what one takes, the plain count stands:
messages by target.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from types import MappingProxyType
from typing import Final, NamedTuple
from zlib import crc32

from msgspec.structs import replace

from controller.model.decision import Code, Number, Reason
from controller.model.fleet import NativeCosts, NativePreset, Pool, Rule
from controller.model.native import NativeMemory
from controller.model.observation import PoolObservation, QueueDepth
from controller.model.readings import Fresh, last_known
from controller.planning.behavior import REPLICAS_LIMIT
from controller.planning.demand import Work
from controller.planning.native import (
    CALM,
    PROMPT,
    THRIFTY,
    Advice,
    NativeInput,
    arrivals_per_s,
    begin_native,
    native,
    replicas_needed,
    service_s,
    slots_needed,
)

SETTLED_AFTER: Final = 10
"""Tasks seen done before the pool's past is trusted."""
ASK_EVERY_S: Final = 2.0
"""The rule learns from a pool no more often; in between what it has learned is applied. Each pool
has its own turn, so that a large fleet is not asked in one tick.
"""
LOOK_AGAIN_S: Final = 5.0
"""While nothing happens the advice stands for so long."""
FIRST_READY_S: Final = 9.0
"""The time to ready before any start was seen: scheduling 2, image 2, MCP servers 2; memory, queue
and first task 1 each.
"""
COSTS: Final[Mapping[NativePreset, NativeCosts]] = MappingProxyType(
    {NativePreset.PROMPT: PROMPT, NativePreset.THRIFTY: THRIFTY, NativePreset.CALM: CALM}
)

_PODS_ASKED: Final = 16
_SLOWEST_START_S: Final = 3600.0
_COUNTER_LIMIT: Final = 2**62


class Counters(NamedTuple):
    """What happened since the last look: tasks that came, and tasks that were done."""

    arrived: int
    completed: int


def needs_past(pool: Pool) -> bool:
    """Whether the pool's past says anything of its size."""
    return pool.rule is Rule.NATIVE or (pool.warm is not None and pool.warm.slo is not None)


def foresee(
    pool: Pool,
    seen: PoolObservation,
    work: Work,
    before: NativeMemory | None,
    *,
    current: int,
    now: float,
    reasons: list[Reason],
) -> tuple[Work, NativeMemory | None]:
    """The work with the demand that the pool's past adds to it or takes from it, and what to
    remember. Both are as they were where the queue is not known or does not count its deliveries.
    """
    queue = seen.queue
    if not (work.counted and isinstance(queue, Fresh) and _counts(queue.value)):
        return work, before
    depth = queue.value
    if before is not None and (
        _still_holds(before, depth, current, now) or not _is_turn(pool, before, now)
    ):
        memory = _noted(before, depth, now)
        advice = _meanwhile(pool, before, depth, current, now)
    else:
        memory, advice = _ask(pool, seen, depth, before, current=current, now=now)
    if pool.rule is not Rule.NATIVE or not is_settled(memory):
        return work, memory
    if work.woken and not advice.replicas:
        return work, memory  # the wake-up alone says why there is one
    demand = min(advice.replicas, REPLICAS_LIMIT)
    reasons.append(_reason(pool, memory, advice, demand))
    return replace(work, demand=demand), memory


def is_settled(memory: NativeMemory | None) -> bool:
    """Whether enough of the pool's past is known to go by it."""
    return memory is not None and memory.served >= SETTLED_AFTER


def expected_arrivals(memory: NativeMemory, now: float) -> float:
    """Tasks that are likely to arrive while a replica started now becomes ready."""
    ready_s = FIRST_READY_S if memory.ready_s is None else memory.ready_s
    return arrivals_per_s(memory.learned, now) * ready_s


def moved(memory: NativeMemory, by_s: float) -> NativeMemory:
    """The memory with all its times moved, as when the clock was set."""
    learned = memory.learned
    forecasts = tuple(replace(each, at=max(each.at + by_s, 0.0)) for each in learned.forecasts)
    learned = replace(
        learned,
        at=max(learned.at + by_s, 0.0),
        wanted_at=max(learned.wanted_at + by_s, 0.0),
        forecasts=forecasts,
    )
    return replace(
        memory,
        learned=learned,
        asked_at=max(memory.asked_at + by_s, 0.0),
        in_flight_at=max(memory.in_flight_at + by_s, 0.0),
    )


def _ask(
    pool: Pool,
    seen: PoolObservation,
    depth: QueueDepth,
    before: NativeMemory | None,
    *,
    current: int,
    now: float,
) -> tuple[NativeMemory, Advice]:
    """What the rule says of this queue, and what to remember of it."""
    counters = Counters(0, 0) if before is None else _since(before, depth)
    ready_s = _ready_s(seen) or (None if before is None else before.ready_s)
    learned = None if before is None else before.learned
    if learned is not None:
        counters = Counters(
            learned.arrivals + counters.arrived, learned.completions + counters.completed
        )
    known = NativeInput(
        pending=depth.pending,
        in_flight=depth.in_flight,
        arrivals=counters.arrived,
        completions=counters.completed,
        replicas=current,
        slots=max(pool.slots, 1),
        time_to_ready_s=FIRST_READY_S if ready_s is None else ready_s,
        worked_s=None if before is None else _worked_s(before, now),
    )
    if learned is None and pool.usage is not None:
        learned = begin_native(known, now, float(pool.usage.seconds))
    advice, learned = native(known, learned, costs(pool), now)
    served = 0 if before is None else before.served
    done = 0 if before is None else counters.completed - before.learned.completions
    memory = NativeMemory(
        learned=learned,
        asked_at=now,
        pending=depth.pending,
        delivered=depth.delivered or 0,
        sequence=depth.sequence,
        served=min(served + done, SETTLED_AFTER),
        ready_s=ready_s,
        base=advice.base,
        start=advice.start,
        keep=advice.keep,
        in_flight=depth.in_flight,
        in_flight_at=now,
    )
    return memory, advice


def costs(pool: Pool) -> NativeCosts:
    """What waiting is worth to the pool, in numbers."""
    return COSTS[pool.native] if isinstance(pool.native, NativePreset) else pool.native


def _noted(before: NativeMemory, depth: QueueDepth, now: float) -> NativeMemory:
    """The memory with what is in flight now: short tasks come and go between two turns."""
    if depth.in_flight == before.in_flight:
        return before
    worked_s = _worked_s(before, now)
    return replace(before, in_flight=depth.in_flight, in_flight_at=now, worked_s=worked_s)


def _worked_s(before: NativeMemory, now: float) -> float:
    """The seconds of work since the rule was asked."""
    return before.worked_s + before.in_flight * max(now - before.in_flight_at, 0.0)


def _meanwhile(
    pool: Pool, before: NativeMemory, depth: QueueDepth, current: int, now: float
) -> Advice:
    """The last advice, applied to the messages there are now."""
    ready_s = FIRST_READY_S if before.ready_s is None else before.ready_s
    demand = slots_needed(depth.pending, depth.in_flight, service_s(before.learned), ready_s)
    base = replicas_needed(demand, max(pool.slots, 1), depth.total)
    start = max(before.start, base)
    keep = max(before.keep, start)
    replicas = min(max(current, start), keep)
    if current > keep and now - before.learned.wanted_at < costs(pool).hold_s:
        replicas = current
    return Advice(replicas, base, start, keep, arrivals_per_s(before.learned, now))


def _is_turn(pool: Pool, before: NativeMemory, now: float) -> bool:
    phase_s = ASK_EVERY_S * (crc32(pool.key.encode()) % 1024) / 1024
    return (now + phase_s) // ASK_EVERY_S != (before.asked_at + phase_s) // ASK_EVERY_S


def _counts(depth: QueueDepth) -> bool:
    delivered, sequence = depth.delivered, depth.sequence or 0
    return (
        delivered is not None and 0 <= delivered < _COUNTER_LIMIT and 0 <= sequence < _COUNTER_LIMIT
    )


def _still_holds(before: NativeMemory, depth: QueueDepth, current: int, now: float) -> bool:
    """Whether nothing has happened that the rule would want to know.

    Without arrivals it never wants more: where nothing is worth keeping it need not be asked again.
    """
    return (
        depth.pending == before.pending
        and depth.delivered == before.delivered
        and depth.in_flight == before.learned.in_flight
        and current <= before.keep
        and (before.keep == 0 or 0 <= now - before.asked_at < LOOK_AGAIN_S)
    )


def _since(before: NativeMemory, depth: QueueDepth) -> Counters:
    """What happened since. A message that is only delivered again has neither come nor been done;
    of a consumer that was made anew nothing is known.
    """
    delivered = (depth.delivered or 0) - before.delivered
    if depth.sequence is not None and before.sequence is not None:
        delivered = min(delivered, depth.sequence - before.sequence)
    if delivered < 0:
        return Counters(0, 0)
    arrived = depth.pending - before.pending + delivered
    completed = delivered - (depth.in_flight - before.learned.in_flight)
    return Counters(max(arrived, 0), max(completed, 0))


def _ready_s(seen: PoolObservation) -> float | None:
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


def _reason(pool: Pool, memory: NativeMemory, advice: Advice, demand: int) -> Reason:
    numbers: dict[str, Number] = {
        "base": advice.base,
        "start": advice.start,
        "keep": advice.keep,
        "arrivals_per_min": round(advice.arrivals_per_s * 60, 2),
        "service_s": round(service_s(memory.learned), 3),
        "ready_s": round(FIRST_READY_S if memory.ready_s is None else memory.ready_s, 3),
    }
    if advice.replicas > advice.keep:
        numbers["hold_s"] = costs(pool).hold_s
    return Reason(code=Code.LEARNED, value=demand, numbers=numbers)
