"""The messages of a pool's queue, and the replicas that they need. Messages that are delivered
again and again and never acknowledged (poison) add none.
"""

from __future__ import annotations

from math import inf, isfinite
from typing import Any, Final

from msgspec.structs import replace

from controller.model.decision import Code, Number, Reason
from controller.model.fleet import Pool, Rule
from controller.model.memory import PoolMemory, Repeats
from controller.model.observation import PoolObservation, QueueDepth
from controller.model.readings import Absent, Fresh, Reading, Why, last_known
from controller.model.value import INT32_MAX
from controller.planning.inputs import PoolInput
from controller.planning.values import Demand, because

IMPLAUSIBLE_MESSAGES: Final = 10**12
"""No queue holds so many messages: such a count is an error of the source."""
POISON_DELIVERIES: Final = 3
"""Deliveries of each message in flight, none acknowledged, from which these messages are poison."""


def read_work(
    pool: Pool, seen: PoolObservation, memory: PoolMemory, *, forced: bool = False
) -> Demand:
    """The demand of the pool's queue and of a wake-up: the messages divided by the target of one
    replica.

    A wake-up that is newer than the reading, or for which there is no reading, proves one message.
    """
    queue, woken_at = seen.queue, seen.woken_at
    # an older wake-up is included in the last answer
    answered_at = -inf if isinstance(queue, Absent) or not isfinite(queue.at) else queue.at
    is_woken = woken_at is not None and isfinite(woken_at) and woken_at >= answered_at
    depth = queue.value if isinstance(queue, Fresh) and _is_plausible(queue) else None
    messages = replicas = None
    if depth is None:
        reasons = [Reason(code=Code.QUEUE_UNKNOWN, numbers=blindness(queue))]
    else:
        messages = depth.pending + depth.in_flight
        is_woken = is_woken and messages == 0
        replicas = min(-(-messages // max(pool.target, 1)), INT32_MAX)
        numbers: dict[str, Number] = {
            "pending": depth.pending,
            "in_flight": depth.in_flight,
            "target": pool.target,
            "slots": pool.slots,
        }
        reasons = [Reason(code=Code.QUEUE, value=replicas, numbers=numbers)]
        if depth.paused:
            reasons.append(Reason(code=Code.QUEUE_PAUSED))
    if woken_at is not None and is_woken:
        reasons.append(because(Code.WOKEN, 1, since=woken_at))
        messages = replicas = 1
    return Demand(
        messages=messages,
        counted=depth is not None,
        woken=is_woken,
        replicas=replicas,
        needed=None if depth is None else replicas,
        # KEDA: strictly more messages than the activation
        active=forced or (messages is not None and messages > pool.activation),
        forced=forced,
        memory=memory,
        reasons=tuple(reasons),
    )


def blindness(reading: Reading[Any]) -> dict[str, Number]:
    """Why a reading cannot be used, and since when; a fresh one is implausible then."""
    why = Why.IMPLAUSIBLE if isinstance(reading, Fresh) else reading.why
    numbers: dict[str, Number] = {"why": why.value}
    if isfinite(reading.at) and reading.at > 0:
        numbers["since"] = reading.at
    return numbers


def _is_plausible(queue: Fresh[QueueDepth]) -> bool:
    pending, in_flight = queue.value.pending, queue.value.in_flight
    is_counted = 0 <= pending < IMPLAUSIBLE_MESSAGES and 0 <= in_flight < IMPLAUSIBLE_MESSAGES
    return is_counted and isfinite(queue.at)


def cap_redelivered(given: PoolInput, demand: Demand, now: float) -> Demand:
    """The demand without the replicas that only redelivered messages would add, and the memory with
    what is remembered of these messages; where the pool has several queues, of those of each.

    An HPA knows nothing about redeliveries, so rule hpa counts these messages like any other.
    """
    pool, queue, memory = given.terms.pool, given.seen.queue, demand.memory
    if pool.rule is Rule.HPA or not (demand.counted and isinstance(queue, Fresh)):
        return demand
    depth, asked = queue.value, demand.replicas or 0
    if depth.redelivered == 0 and memory.repeats is None and not memory.queue_repeats:
        return demand
    per_replica = max(pool.slots if demand.settled else pool.target, 1)
    redelivered = _redelivered(depth)
    capped = asked
    if redelivered:
        # Waiting messages count in full on top of what runs, because the redelivered ones may keep
        # the running replicas busy; these alone add none to those that run, at least 1
        total, waiting = depth.pending + depth.in_flight, -(-depth.pending // per_replica)
        added = -(-total // per_replica) - -(-(total - redelivered) // per_replica)
        capped = min(asked, max(asked - added, given.current + waiting, 1))
    repeats: Repeats | None = None
    queue_repeats: tuple[Repeats | None, ...] = ()
    if len(pool.queues) == 1:
        repeats = _repeated(memory.repeats, depth, now)
        poison = [_poison(repeats, depth, capped)]
    else:
        readings = given.seen.queues
        queue_repeats = _of_each(readings, memory.queue_repeats, now)
        poison = [
            _poison(each, last_known(reading), capped, str(name))
            for name, reading, each in zip(pool.queues, readings, queue_repeats, strict=False)
        ]
    reasons = tuple(reason for reason in poison if reason is not None)
    if capped < asked and not reasons:
        reasons = (because(Code.REDELIVERED, capped, redelivered=redelivered),)
    if repeats is not memory.repeats or queue_repeats is not memory.queue_repeats:
        memory = replace(memory, repeats=repeats, queue_repeats=queue_repeats)
    return replace(
        demand,
        replicas=capped,
        needed=None if demand.needed is None else min(demand.needed, capped),
        memory=memory,
        reasons=demand.reasons + reasons,
    )


def _redelivered(depth: QueueDepth) -> int:
    """Messages in flight that were delivered before."""
    return min(depth.redelivered, depth.in_flight) if depth.redelivered > 0 else 0


def _repeated(before: Repeats | None, depth: QueueDepth, now: float) -> Repeats | None:
    """Since when it has had the same redelivered messages alone; None if it has others."""
    if depth.pending or not depth.in_flight or _redelivered(depth) < depth.in_flight:
        return None
    if (
        before is not None
        and (before.messages, before.sequence) == (depth.in_flight, depth.sequence)
        and (before.delivered or 0) <= (depth.delivered or 0)
    ):
        return before
    return Repeats(
        messages=depth.in_flight, since=now, delivered=depth.delivered, sequence=depth.sequence
    )


def _of_each(
    readings: tuple[Reading[QueueDepth], ...], before: tuple[Repeats | None, ...], now: float
) -> tuple[Repeats | None, ...]:
    """For each of several queues; an unknown one stays as it was. One object if equal."""
    # the fleet file may have other queues now
    known = before if len(before) == len(readings) else (None,) * len(readings)
    after = tuple(
        _repeated(last, reading.value, now) if isinstance(reading, Fresh) else last
        for reading, last in zip(readings, known, strict=True)
    )
    if not any(after):
        return ()
    unchanged = all(one is other for one, other in zip(known, after, strict=True))
    return before if unchanged else after


def _poison(
    repeats: Repeats | None, depth: QueueDepth | None, value: int, queue: str = ""
) -> Reason | None:
    """`queue` names it where the pool has several."""
    if repeats is None or repeats.delivered is None or depth is None or depth.delivered is None:
        return None
    deliveries = depth.delivered - repeats.delivered
    if deliveries < POISON_DELIVERIES * repeats.messages:
        return None
    numbers: dict[str, Number] = {"queue": queue} if queue else {}
    return because(
        Code.POISON,
        value,
        redelivered=repeats.messages,
        deliveries=deliveries,
        since=repeats.since,
        **numbers,
    )
