"""Step 1c, the recommendation of rule `hpa`: what an HPA recommends of the same metrics, and KEDA's
loop around it from and to zero or idle.

Two things differ from KEDA, which loses work there: a pool that is idle goes down by the HPA's
windows and policies instead of jumping, and silence never takes anything away.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.decision import Bound, Code, Reason
from controller.model.metrics import AverageValueTarget, ExternalMetric, MeasuredMetric, Series
from controller.model.readings import Fresh
from controller.planning.activation import cooldown_left_s
from controller.planning.behavior import Limited, LimitReason
from controller.planning.draft import Draft
from controller.planning.history import seed
from controller.planning.hpa import HpaMemory, Pass, Scale, Settings, Spec, reconcile
from controller.planning.measured import Measured
from controller.planning.proposals import status_replicas, take, tolerance
from controller.planning.recommend import (
    BOTTOM,
    explain_activation,
    explain_below_min,
    explain_inactive,
    explain_limit,
    explain_window,
    is_switched_off,
    resting_size,
    stay_below_min,
    take_the_last,
)

# an idle pool, as its HPA would see it if its metric were at zero
_NOTHING_TO_DO: Final = MeasuredMetric(
    spec=ExternalMetric(name="idle", target=AverageValueTarget(milli=1000)),
    reading=Fresh(value=Series(values_milli=(0,)), at=0.0),
)
_HPA_GROWTH: Final = "of the HPA without behavior, twice the size or 4"


def recommend_by_hpa(draft: Draft, measured: Measured) -> None:
    """Set the replicas that an HPA and KEDA would, before the pool's limits."""
    if measured.unknown:
        draft.unknown = measured.unknown[0]
    # what counts are the metrics, not the queue as such
    draft.work = replace(draft.work, counted=not measured.unknown)
    if is_switched_off(draft):
        draft.left_alone = True
        draft.because(Code.SCALED_TO_ZERO_BY_HAND, 0, min=draft.min)
    elif draft.current == 0:
        _from_zero(draft)
    else:
        _running(draft, measured)


def _from_zero(draft: Draft) -> None:
    """KEDA takes the first step, to min and at least 1; from there on the HPA decides."""
    if draft.active:
        draft.replicas = max(draft.min, BOTTOM)
        said = len(draft.reasons)
        explain_activation(draft)
        if len(draft.reasons) == said and not draft.work.woken:
            # KEDA: where there is nothing but CPU and memory, nothing says that there is no work
            draft.because(Code.AT_MIN, draft.replicas, min=draft.replicas)
        return
    stay_below_min(draft)
    explain_inactive(draft)
    if draft.unknown is None and (draft.work.messages or 0) > draft.pool.activation:
        # its queue is not among what it goes by, and that asks for nothing
        draft.work = replace(draft.work, demand=0)
    _say_unknown(draft)


def _running(draft: Draft, measured: Measured) -> None:
    draft.memory = seed(draft.memory, draft.current, draft.now)
    rest = resting_size(draft)
    if draft.active or rest is None:
        _by_hpa(draft, measured.metrics)
        return
    low = max(draft.min, BOTTOM)
    explain_inactive(draft)
    left_s = cooldown_left_s(draft.pool, draft.memory, draft.now)
    waits = left_s >= 0 or not draft.work.counted
    if draft.current < low and (waits or draft.current <= rest):
        stay_below_min(draft)
        if draft.work.counted:
            explain_below_min(draft, left_s)
        _say_unknown(draft)
    elif waits:
        _by_hpa(draft, measured.metrics)
        if draft.work.counted and draft.replicas <= low:
            draft.because(Code.COOLDOWN, draft.replicas, remaining_s=round(left_s, 3))
    else:
        if draft.current >= low:
            _by_hpa(draft, (_NOTHING_TO_DO,), explained=False)
        if draft.replicas <= low:
            take_the_last(draft, rest)


def _by_hpa(draft: Draft, metrics: tuple[MeasuredMetric, ...], *, explained: bool = True) -> None:
    """One pass of the HPA: its size, its history, and why."""
    pool, memory = draft.pool, draft.memory
    low = max(draft.min, BOTTOM)
    done = reconcile(
        Spec(
            min=low,
            max=draft.max,
            metrics=metrics,
            behavior=None if pool.without_behavior else pool.behavior,
        ),
        Scale(
            replicas=draft.current,
            status_replicas=status_replicas(draft),
            pods=draft.seen.measured_pods,
        ),
        HpaMemory(
            recommendations=memory.recommendations or None,
            scaled_up=memory.scaled_up,
            scaled_down=memory.scaled_down,
        ),
        Settings(tolerance=tolerance(draft)),
        draft.now,
    )
    draft.history = done.memory.recommendations or ()
    if done.desired is not None:
        draft.replicas = draft.unheld = done.desired
    if explained:
        take(draft, metrics, done.proposals, queue_counts=False)
    _explain(draft, done, low)


def _explain(draft: Draft, done: Pass, low: int) -> None:
    """Say which window or limit stands between the largest proposal and the size."""
    raw, stable, limited = done.raw, done.stable, done.limited
    if raw is None or stable is None or limited is None:
        if draft.replicas != draft.current:  # out of bounds: the HPA goes there unasked
            draft.bound = Bound.MIN if draft.replicas > draft.current else Bound.MAX
        return
    draft.unheld, draft.stable = max(raw, low), max(stable, low)
    if max(stable, low) != draft.unheld:
        explain_window(draft, stable, draft.unheld)
    if limited.reason is LimitReason.SCALE_UP_LIMIT and draft.pool.without_behavior:
        _explain_growth(draft, limited)
    else:
        explain_limit(draft, limited)
    if draft.replicas == draft.min > raw:
        draft.bound = Bound.MIN


def _explain_growth(draft: Draft, limited: Limited) -> None:
    draft.because(Code.RATE_LIMITED_UP, limited.replicas, policy=_HPA_GROWTH)


def _say_unknown(draft: Draft) -> None:
    if draft.unknown is not None:
        draft.reasons.append(Reason(code=Code.METRIC_UNKNOWN, numbers=draft.unknown.numbers))
