"""The messages of a pool's queue, and the replicas that they need."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final

from controller.model.decision import Code, Number, Reason
from controller.model.fleet import Pool
from controller.model.limits import INT32_MAX
from controller.model.observation import PoolObservation, QueueDepth
from controller.model.readings import Absent, Fresh, Reading, Why
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
