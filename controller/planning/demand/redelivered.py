"""Messages that are delivered again and again and never acknowledged (poison) add no replicas."""

from __future__ import annotations

from typing import Final, NamedTuple

from controller.model.decision import Code, Number, Reason
from controller.model.fleet import Pool, Rule
from controller.model.memory import Repeats
from controller.model.observation import PoolObservation, QueueDepth
from controller.model.readings import Fresh
from controller.planning.demand.work import Work

POISON_DELIVERIES: Final = 3
"""Deliveries of each message in flight, none acknowledged, from which these messages are poison."""


class Capped(NamedTuple):
    """The work without the replicas that only redelivered messages would add, and what is
    remembered of these messages.
    """

    work: Work
    repeats: Repeats | None


def cap_redelivered(
    pool: Pool,
    seen: PoolObservation,
    work: Work,
    before: Repeats | None,
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
        return Capped(work, before)
    depth, demand = queue.value, work.demand or 0
    if depth.redelivered == 0 and before is None:
        return Capped(work, None)
    per_replica = pool.slots if settled else pool.target
    capped = capped_demand(demand, depth, max(per_replica, 1), current)
    repeats = _updated(before, depth, now)
    if (reason := _poison(repeats, depth, capped)) is not None:
        reasons.append(reason)
    elif capped < demand:
        numbers: dict[str, Number] = {"redelivered": _redelivered(depth)}
        reasons.append(Reason(code=Code.REDELIVERED, value=capped, numbers=numbers))
    if capped != demand:
        work = Work(work.messages, work.counted, work.woken, capped)
    return Capped(work, repeats)


def capped_demand(demand: int, depth: QueueDepth, per_replica: int, current: int) -> int:
    """The demand, limited so that redelivered messages alone add no replicas to those that run; it
    is at least 1. Waiting messages count in full on top of what runs, because the redelivered ones
    may keep the running replicas busy.
    """
    redelivered = _redelivered(depth)
    if not redelivered:
        return demand
    total = depth.pending + depth.in_flight
    added = _replicas(total, per_replica) - _replicas(total - redelivered, per_replica)
    return min(demand, max(demand - added, current + _replicas(depth.pending, per_replica), 1))


def _replicas(messages: int, per_replica: int) -> int:
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


def _poison(repeats: Repeats | None, depth: QueueDepth, value: int) -> Reason | None:
    if repeats is None or repeats.delivered is None or depth.delivered is None:
        return None
    deliveries = depth.delivered - repeats.delivered
    if deliveries < POISON_DELIVERIES * repeats.messages:
        return None
    return Reason(
        code=Code.POISON,
        value=value,
        numbers={
            "redelivered": repeats.messages,
            "deliveries": deliveries,
            "since": repeats.since,
        },
    )
