"""The messages of a pool's queue, and the replicas that they need. Messages that are delivered
again and again and never acknowledged (poison) add none.
"""

from __future__ import annotations

from math import inf, isfinite
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from controller.model.decision import Code, Number, Reason
from controller.model.fleet import Pool, Rule
from controller.model.memory import Repeats
from controller.model.observation import PoolObservation, QueueDepth
from controller.model.readings import Absent, Fresh, Reading, Why, last_known
from controller.model.value import INT32_MAX
from controller.planning.inputs import PoolInput
from controller.planning.values import Work, because

IMPLAUSIBLE_MESSAGES: Final = 10**12
"""No queue holds so many messages: such a count is an error of the source."""
POISON_DELIVERIES: Final = 3
"""Deliveries of each message in flight, none acknowledged, from which these messages are poison."""


def read_work(pool: Pool, seen: PoolObservation) -> tuple[Work, tuple[Reason, ...]]:
    """The pool's work, from its queue's reading and from a wake-up, and the reasons; its demand is
    the messages divided by the target of one replica.

    A wake-up that is newer than the reading, or for which there is no reading, proves one message.
    """
    queue, woken_at = seen.queue, seen.woken_at
    # an older wake-up is included in the last answer
    answered_at = -inf if isinstance(queue, Absent) or not isfinite(queue.at) else queue.at
    is_woken = woken_at is not None and isfinite(woken_at) and woken_at >= answered_at
    depth = queue.value if isinstance(queue, Fresh) and _is_plausible(queue) else None
    if depth is None:
        work = Work(None, False, False, None)
        reasons = [Reason(code=Code.QUEUE_UNKNOWN, numbers=blindness(queue))]
    else:
        messages = depth.pending + depth.in_flight
        is_woken = is_woken and messages == 0
        work = Work(messages, True, False, min(-(-messages // max(pool.target, 1)), INT32_MAX))
        numbers: dict[str, Number] = {
            "pending": depth.pending,
            "in_flight": depth.in_flight,
            "target": pool.target,
            "slots": pool.slots,
        }
        reasons = [Reason(code=Code.QUEUE, value=work.demand, numbers=numbers)]
        if depth.paused:
            reasons.append(Reason(code=Code.QUEUE_PAUSED))
    if woken_at is not None and is_woken:
        reasons.append(because(Code.WOKEN, 1, since=woken_at))
        work = Work(1, work.counted, True, 1)
    return work, tuple(reasons)


def blindness(reading: Reading[Any]) -> dict[str, Number]:
    """Why a reading cannot be used, and since when: since its last good answer, or since it was
    found to be absent. A fresh reading that cannot be used is implausible.
    """
    why = Why.IMPLAUSIBLE if isinstance(reading, Fresh) else reading.why
    numbers: dict[str, Number] = {"why": why.value}
    if isfinite(reading.at) and reading.at > 0:
        numbers["since"] = reading.at
    return numbers


def _is_plausible(queue: Fresh[QueueDepth]) -> bool:
    pending, in_flight = queue.value.pending, queue.value.in_flight
    is_counted = 0 <= pending < IMPLAUSIBLE_MESSAGES and 0 <= in_flight < IMPLAUSIBLE_MESSAGES
    return is_counted and isfinite(queue.at)


class Capped(NamedTuple):
    """The work without the replicas that only redelivered messages would add, and what is
    remembered of these messages; where the pool has several queues, of those of each.
    """

    work: Work
    repeats: Repeats | None
    queue_repeats: tuple[Repeats | None, ...]
    reasons: tuple[Reason, ...] = ()


def cap_redelivered(given: PoolInput, work: Work, now: float, *, settled: bool) -> Capped:
    """Cap the demand for redelivered messages. `settled`: rule native used what it has learned.

    An HPA knows nothing about redeliveries, so rule hpa counts these messages like any other.
    """
    pool, seen, memory = given.terms.pool, given.seen, given.memory
    queue = seen.queue
    if pool.rule is Rule.HPA or not (work.counted and isinstance(queue, Fresh)):
        return Capped(work, memory.repeats, memory.queue_repeats)
    depth, demand = queue.value, work.demand or 0
    if depth.redelivered == 0 and memory.repeats is None and not memory.queue_repeats:
        return Capped(work, None, ())
    per_replica = pool.slots if settled else pool.target
    capped = capped_demand(demand, depth, max(per_replica, 1), given.current)
    repeats: Repeats | None = None
    queue_repeats: tuple[Repeats | None, ...] = ()
    if len(pool.queues) == 1:
        repeats = _repeated(memory.repeats, depth, now)
        poison = [_poison(repeats, depth, capped)]
    else:
        queue_repeats = _of_each(seen.queues, memory.queue_repeats, now)
        poison = [
            _poison(each, last_known(reading), capped, str(name))
            for name, reading, each in zip(pool.queues, seen.queues, queue_repeats, strict=False)
        ]
    reasons = tuple(reason for reason in poison if reason is not None)
    if capped < demand and not reasons:
        reasons = (because(Code.REDELIVERED, capped, redelivered=_redelivered(depth)),)
    if capped != demand:
        work = replace(work, demand=capped)
    return Capped(work, repeats, queue_repeats, reasons)


def capped_demand(demand: int, depth: QueueDepth, per_replica: int, current: int) -> int:
    """The demand, limited so that redelivered messages alone add no replicas to those that run; it
    is at least 1. Waiting messages count in full on top of what runs, because the redelivered ones
    may keep the running replicas busy.
    """

    def replicas(messages: int) -> int:
        return -(-messages // per_replica)

    redelivered, total = _redelivered(depth), depth.pending + depth.in_flight
    if not redelivered:
        return demand
    added = replicas(total) - replicas(total - redelivered)
    return min(demand, max(demand - added, current + replicas(depth.pending), 1))


def _redelivered(depth: QueueDepth) -> int:
    """Messages in flight that were delivered before."""
    return min(depth.redelivered, depth.in_flight) if depth.redelivered > 0 else 0


def _repeated(before: Repeats | None, depth: QueueDepth, now: float) -> Repeats | None:
    """Since when the queue has had only the same redelivered messages; None if it has others. While
    they are the same, none was acknowledged and none is new.
    """
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
    """The same for each of several queues; one that is not known now stays as it was. Empty if none
    has only redelivered messages; the same object if nothing changes.
    """
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
