"""The messages of a pool's queue, and the replicas that they need."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final, NamedTuple

from controller.model.decision import Code, Number, Reason
from controller.model.fleet import Pool, Rule
from controller.model.limits import INT32_MAX
from controller.model.memory import PoolMemory, Repeats
from controller.model.observation import PoolObservation, QueueDepth
from controller.model.readings import Absent, Fresh, Reading, Why, last_known
from controller.planning.values import Work

IMPLAUSIBLE_MESSAGES: Final = 10**12
"""No queue holds so many messages: such a count is an error of the source."""


_UNKNOWN: Final = Work(None, False, False, None)


def read_work(pool: Pool, seen: PoolObservation, reasons: list[Reason]) -> Work:
    """The pool's work, from its queue's reading and from a wake-up; its demand is the messages
    divided by the target of one replica. Adds the reason to `reasons`.

    A wake-up that is newer than the reading, or for which there is no reading, proves one message.
    """
    queue, per_replica = seen.queue, max(pool.target, 1)
    if isinstance(queue, Fresh) and _is_plausible(queue.value, queue.at):
        depth = queue.value
        messages = depth.pending + depth.in_flight
        demand = min(-(-messages // per_replica), INT32_MAX)
        reasons.append(
            Reason(
                code=Code.QUEUE,
                value=demand,
                numbers={
                    "pending": depth.pending,
                    "in_flight": depth.in_flight,
                    "target": pool.target,
                    "slots": pool.slots,
                },
            )
        )
        if depth.paused:
            reasons.append(Reason(code=Code.QUEUE_PAUSED))
        if messages == 0 and _woken_since(seen.woken_at, queue.at):
            return _woken(seen, reasons, counted=True)
        return Work(messages, True, False, demand)
    reasons.append(Reason(code=Code.QUEUE_UNKNOWN, numbers=blindness(queue)))
    if _woken_since(seen.woken_at, _last_answer_at(queue)):
        return _woken(seen, reasons, counted=False)
    return _UNKNOWN


def blindness(reading: Reading[Any]) -> dict[str, Number]:
    """Why a reading cannot be used, and since when: since its last good answer, or since it was
    found to be absent. A fresh reading that cannot be used is implausible.
    """
    why = Why.IMPLAUSIBLE if isinstance(reading, Fresh) else reading.why
    numbers: dict[str, Number] = {"why": why.value}
    if isfinite(reading.at) and reading.at > 0:
        numbers["since"] = reading.at
    return numbers


def _is_plausible(depth: QueueDepth, at: float) -> bool:
    return (
        0 <= depth.pending < IMPLAUSIBLE_MESSAGES
        and 0 <= depth.in_flight < IMPLAUSIBLE_MESSAGES
        and isfinite(at)
    )


def _last_answer_at(queue: Reading[QueueDepth]) -> float:
    """When the queue was last known: an older wake-up is included in that answer."""
    return float("-inf") if isinstance(queue, Absent) or not isfinite(queue.at) else queue.at


def _woken_since(woken_at: float | None, at: float) -> bool:
    return woken_at is not None and isfinite(woken_at) and woken_at >= at


def _woken(seen: PoolObservation, reasons: list[Reason], *, counted: bool) -> Work:
    numbers: dict[str, Number] = {} if seen.woken_at is None else {"since": seen.woken_at}
    reasons.append(Reason(code=Code.WOKEN, value=1, numbers=numbers))
    return Work(1, counted, True, 1)


POISON_DELIVERIES: Final = 3
"""Deliveries of each message in flight, none acknowledged, from which these messages are poison."""


class Capped(NamedTuple):
    """The work without the replicas that only redelivered messages would add, and what is
    remembered of these messages; where the pool has several queues, of those of each.
    """

    work: Work
    repeats: Repeats | None
    queue_repeats: tuple[Repeats | None, ...]


def cap_redelivered(
    pool: Pool,
    seen: PoolObservation,
    work: Work,
    memory: PoolMemory,
    *,
    settled: bool,
    current: int,
    now: float,
    reasons: list[Reason],
) -> Capped:
    """Cap the demand for redelivered messages. `settled`: rule native used what it has learned.

    An HPA knows nothing about redeliveries, so rule hpa counts these messages like any other.
    """
    queue = seen.queue
    if pool.rule is Rule.HPA or not (work.counted and isinstance(queue, Fresh)):
        return Capped(work, memory.repeats, memory.queue_repeats)
    depth, demand = queue.value, work.demand or 0
    if depth.redelivered == 0 and memory.repeats is None and not memory.queue_repeats:
        return Capped(work, None, ())
    per_replica = pool.slots if settled else pool.target
    capped = capped_demand(demand, depth, max(per_replica, 1), current)
    repeats: Repeats | None = None
    queue_repeats: tuple[Repeats | None, ...] = ()
    if len(pool.queues) == 1:
        repeats = _updated(memory.repeats, depth, now)
        poison = [_poison(repeats, depth, capped)]
    else:
        queue_repeats = _of_each(seen.queues, memory.queue_repeats, now)
        poison = [
            _poison(each, last_known(reading), capped, str(name))
            for name, reading, each in zip(pool.queues, seen.queues, queue_repeats, strict=False)
        ]
    named = [reason for reason in poison if reason is not None]
    reasons += named
    if capped < demand and not named:
        numbers: dict[str, Number] = {"redelivered": _redelivered(depth)}
        reasons.append(Reason(code=Code.REDELIVERED, value=capped, numbers=numbers))
    if capped != demand:
        work = Work(work.messages, work.counted, work.woken, capped)
    return Capped(work, repeats, queue_repeats)


def capped_demand(demand: int, depth: QueueDepth, per_replica: int, current: int) -> int:
    """The demand, limited so that redelivered messages alone add no replicas to those that run; it
    is at least 1. Waiting messages count in full on top of what runs, because the redelivered ones
    may keep the running replicas busy.
    """
    redelivered = _redelivered(depth)
    if not redelivered:
        return demand
    total = depth.pending + depth.in_flight
    added = _rounded_up(total, per_replica) - _rounded_up(total - redelivered, per_replica)
    return min(demand, max(demand - added, current + _rounded_up(depth.pending, per_replica), 1))


def _rounded_up(messages: int, per_replica: int) -> int:
    return -(-messages // per_replica)


def _redelivered(depth: QueueDepth) -> int:
    """Messages in flight that were delivered before."""
    return min(depth.redelivered, depth.in_flight) if depth.redelivered > 0 else 0


def _updated(before: Repeats | None, depth: QueueDepth, now: float) -> Repeats | None:
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
    known = before or (None,) * len(readings)
    if len(known) != len(readings):  # the fleet file has other queues now
        known = (None,) * len(readings)
    after = tuple(
        _updated(last, reading.value, now) if isinstance(reading, Fresh) else last
        for reading, last in zip(readings, known, strict=True)
    )
    if not any(after):
        return before if not before else ()
    unchanged = len(before) == len(after) and all(
        one is other for one, other in zip(before, after, strict=True)
    )
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
    numbers: dict[str, Number] = {
        "redelivered": repeats.messages,
        "deliveries": deliveries,
        "since": repeats.since,
    }
    if queue:
        numbers["queue"] = queue
    return Reason(code=Code.POISON, value=value, numbers=numbers)
