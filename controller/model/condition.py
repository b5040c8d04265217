"""A pool's condition, out of what is seen and decided of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from controller.model.decision import CEILINGS, Bound, Code, Decision, Gate
from controller.model.observation import Workload
from controller.model.outcome import HARMLESS
from controller.model.readings import Absent, Stale, last_known
from controller.model.snapshot import PoolView
from controller.model.standing import Condition

_SHRINKS: Final = frozenset({Gate.BUSY, Gate.MINIMUM_RUNTIME})
"""With these a pool goes down as it should: only not at once."""


def condition_of(view: PoolView) -> Condition:
    """The worst condition that applies to the pool."""
    return next(_conditions(view))


def _conditions(view: PoolView) -> Iterator[Condition]:
    """The conditions that apply to the pool, the worst first."""
    seen = view.observation
    kinds = {type(seen.queue), type(seen.workload), type(seen.pods)}
    pods = last_known(seen.pods)
    if Absent in kinds:
        yield Condition.BLIND
    if pods is not None and pods.crashing:
        yield Condition.CRASH
    if view.outcome is not None and view.outcome.kind not in HARMLESS:
        yield Condition.ERROR
    if pods is not None and pods.unscheduled:
        yield Condition.STUCK
    if Stale in kinds:
        yield Condition.STALE
    if view.decision is not None:
        yield from _of_decision(view.decision, last_known(seen.workload))
    yield Condition.OK


def _of_decision(decision: Decision, workload: Workload | None) -> Iterator[Condition]:
    if decision.gate is Gate.FREEZE:
        yield Condition.FROZEN
    if decision.gate is not None and decision.gate not in _SHRINKS:
        yield Condition.HELD
    if decision.bound is Bound.PAUSE:
        yield Condition.PAUSED
    if decision.bound in CEILINGS and _is_below_demand(decision):
        yield Condition.CAPPED
    if decision.gate in _SHRINKS:
        yield Condition.DOWN
    if workload is None or decision.next is None:
        return
    # in a rollout, pods that begin and surge pods say nothing of where its size goes
    ready = workload.replicas if workload.is_rolling_out else workload.ready
    if decision.next > min(workload.replicas, ready):
        yield Condition.UP
    elif decision.next < max(workload.replicas, ready):
        yield Condition.DOWN
    elif any(reason.code is Code.PINNED for reason in decision.reasons):
        yield Condition.PINNED
    elif decision.next == 0:
        yield Condition.ZERO


def _is_below_demand(decision: Decision) -> bool:
    if decision.target is None or decision.demand is None:
        return False
    return decision.target < decision.demand
