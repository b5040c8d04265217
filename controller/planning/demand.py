"""Step 1a, demand: the replicas that the waiting work asks for, and how sure we are of it."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final

import msgspec

from controller.model.decision import Code, Number, Reason
from controller.model.fleet import Pool
from controller.model.observation import PoolObservation, QueueDepth
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.planning.behavior import REPLICAS_LIMIT

# what no queue holds: a number this large is a fault of whoever counted
IMPLAUSIBLE_MESSAGES: Final = 10**12


class Work(msgspec.Struct, frozen=True, gc=False):
    """The work of one pool.

    `messages` wait or are in flight, None where nobody can know. Only if `counted`, by a complete
    answer, are they the whole truth; else there are at least so many. `woken`: a message was
    published that the count does not show yet. `demand` in replicas.
    """

    messages: int | None
    counted: bool
    woken: bool
    demand: int | None


def read_work(pool: Pool, seen: PoolObservation, now: float, reasons: list[Reason]) -> Work:
    """The pool's work, from its queue's reading and from a wake-up; demand as rule `native` has it.

    A wake-up after the reading was asked for, or beside no reading, proves one message and no more.
    """
    queue, per_replica = seen.queue, max(pool.target, 1)
    if isinstance(queue, Fresh) and _is_plausible(queue.value, queue.at):
        depth = queue.value
        messages = depth.pending + depth.in_flight
        demand = min(-(-messages // per_replica), REPLICAS_LIMIT)
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
            return _woken(seen, now, reasons, counted=True)
        return Work(messages, True, False, demand)
    reasons.append(Reason(code=Code.QUEUE_UNKNOWN, numbers=blindness(queue, now)))
    if _woken_since(seen.woken_at, _last_answer_at(queue)):
        return _woken(seen, now, reasons, counted=False)
    return Work(None, False, False, None)


def blindness(reading: Reading[Any], now: float) -> dict[str, Number]:
    """Why a reading cannot be used, and for how long: since its last good answer, or since it was
    found to be absent. A fresh one that cannot be used is implausible.
    """
    why = Why.IMPLAUSIBLE if isinstance(reading, Fresh) else reading.why
    numbers: dict[str, Number] = {"why": why.value}
    if isfinite(reading.at) and reading.at > 0:
        numbers["age_s"] = round(max(now - reading.at, 0.0), 3)
    return numbers


def _is_plausible(depth: QueueDepth, at: float) -> bool:
    return (
        0 <= depth.pending < IMPLAUSIBLE_MESSAGES
        and 0 <= depth.in_flight < IMPLAUSIBLE_MESSAGES
        and isfinite(at)
    )


def _last_answer_at(queue: Reading[QueueDepth]) -> float:
    """When the queue was last known, so that an older wake-up is already accounted for."""
    return float("-inf") if isinstance(queue, Absent) or not isfinite(queue.at) else queue.at


def _woken_since(woken_at: float | None, at: float) -> bool:
    return woken_at is not None and isfinite(woken_at) and woken_at >= at


def _woken(seen: PoolObservation, now: float, reasons: list[Reason], *, counted: bool) -> Work:
    woken_at = now if seen.woken_at is None else seen.woken_at
    age_s = round(max(now - woken_at, 0.0), 3)
    reasons.append(Reason(code=Code.WOKEN, value=1, numbers={"age_s": age_s}))
    return Work(1, counted, True, 1)
