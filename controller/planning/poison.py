"""Poison: messages that are delivered again and again and never acknowledged add no replicas."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.decision import Code, Number, Reason
from controller.model.fleet import Pool, Rule
from controller.model.memory import PoolMemory, Repeats
from controller.model.native import NativeMemory
from controller.model.observation import PoolObservation, QueueDepth
from controller.model.readings import Fresh
from controller.planning.demand import Work
from controller.planning.foresight import is_settled

AGAIN_AND_AGAIN: Final = 3
"""Deliveries of each message in flight, with nothing acknowledged, from which it is poison."""


def spare_repeats(
    pool: Pool,
    seen: PoolObservation,
    work: Work,
    memory: PoolMemory,
    native: NativeMemory | None,
    *,
    current: int,
    now: float,
    reasons: list[Reason],
) -> tuple[Work, PoolMemory]:
    """The work without the replicas that only repeats would add, and what is remembered of them.
    `native` is what the demand was foreseen by. An HPA knows no repeats, so under rule `hpa` they
    count as they do there.
    """
    queue = seen.queue
    if pool.rule is Rule.HPA or not (work.counted and isinstance(queue, Fresh)):
        return work, memory
    depth, demand = queue.value, work.demand or 0
    if depth.redelivered == 0 and memory.repeats is None:
        return work, memory  # nearly always
    per_replica = pool.slots if is_settled(native) else pool.target
    capped = limit_repeats(demand, depth, max(per_replica, 1), current)
    repeats = _followed(memory.repeats, depth, now)
    if repeats != memory.repeats:
        memory = replace(memory, repeats=repeats)
    if (reason := _poison(repeats, depth, capped, now)) is not None:
        reasons.append(reason)
    elif capped < demand:
        numbers: dict[str, Number] = {"redelivered": _repeats(depth)}
        reasons.append(Reason(code=Code.REDELIVERED, value=capped, numbers=numbers))
    return work if capped == demand else replace(work, demand=capped), memory


def limit_repeats(demand: int, depth: QueueDepth, per_replica: int, current: int) -> int:
    """The demand, but for repeats alone no more than runs already, and one at least. What waits
    counts in full, beside what runs: the repeats may keep that busy.
    """
    repeats = _repeats(depth)
    if not repeats:
        return demand
    total = depth.pending + depth.in_flight
    theirs = _ceil(total, per_replica) - _ceil(total - repeats, per_replica)
    return min(demand, max(demand - theirs, current + _ceil(depth.pending, per_replica), 1))


def _repeats(depth: QueueDepth) -> int:
    """Messages in flight that were delivered before."""
    return min(depth.redelivered, depth.in_flight) if depth.redelivered > 0 else 0


def _followed(before: Repeats | None, depth: QueueDepth, now: float) -> Repeats | None:
    """Since when there has been nothing but the same repeats: none acknowledged, nothing new."""
    if depth.pending or not depth.in_flight or _repeats(depth) < depth.in_flight:
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


def _poison(repeats: Repeats | None, depth: QueueDepth, value: int, now: float) -> Reason | None:
    if repeats is None or repeats.delivered is None or depth.delivered is None:
        return None
    deliveries = depth.delivered - repeats.delivered
    if not deliveries >= AGAIN_AND_AGAIN * repeats.messages:  # nor where a counter is absurd
        return None
    return Reason(
        code=Code.POISON,
        value=value,
        numbers={
            "redelivered": repeats.messages,
            "deliveries": deliveries,
            "age_s": round(max(now - repeats.since, 0.0), 3),
        },
    )


def _ceil(messages: int, per_replica: int) -> int:
    return -(-messages // per_replica)
