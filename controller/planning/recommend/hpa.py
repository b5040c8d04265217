"""The recommendation of rule hpa: what an HPA recommends for the same metrics. KEDA's part is to
scale from and to zero or the idle size.

Two things differ from KEDA, so that no work is lost: an idle pool shrinks by the HPA's windows and
policies instead of at once, and missing metrics never remove replicas.

Source: kubernetes pkg/controller/podautoscaler/horizontal.go (reconcileAutoscaler,
normalizeDesiredReplicas and normalizeDesiredReplicasWithBehaviors).
"""

from __future__ import annotations

from typing import Final

from controller.model.decision import Bound, Code, Reason
from controller.model.memory import PoolMemory
from controller.planning.inputs import Moment, PoolInput
from controller.planning.recommend.behavior import (
    LimitReason,
    clamp_without_behavior,
    limit_change,
    longest_window_s,
    stabilize,
    stabilize_down,
)
from controller.planning.recommend.explained import explain_limit, explain_window
from controller.planning.recommend.history import ended, remember, seeded
from controller.planning.recommend.idle import (
    BOTTOM,
    cooldown_until,
    explain_activation,
    explain_below_min,
    explain_inactive,
    floor_at_rest,
    scale_to_rest,
)
from controller.planning.recommend.recommendation import Sized, add_reason, kept_size, made
from controller.planning.values import Demand, Recommendation

DOWNSCALE_WINDOW_S: Final = 300
"""The window downwards without `behavior` (kube-controller-manager's default)."""
_GROWTH: Final = "of the HPA without behavior, twice the size or 4"


def recommend_hpa(
    given: PoolInput, demand: Demand, rest: int | None, moment: Moment
) -> Recommendation:
    """The size that an HPA and KEDA would set; `rest` is the size of an idle pool."""
    if given.current == 0:
        return _from_zero(given, demand, rest)
    return _running(given, demand, rest, moment)


def _from_zero(given: PoolInput, demand: Demand, rest: int | None) -> Recommendation:
    """KEDA takes the first step, to min and at least 1; from there on the HPA decides."""
    reasons: list[Reason] = []
    if not demand.active:
        explain_inactive(given, demand, reasons)
        _explain_unusable(demand, reasons)
        return made(given, kept_size(given), reasons, minimum=floor_at_rest(given, rest))
    replicas = max(given.override.bounds.min, BOTTOM)
    explain_activation(given, demand, replicas, reasons)
    if not reasons and not demand.work.woken:
        # KEDA: a pool with only CPU and memory metrics always counts as active
        add_reason(reasons, Code.AT_MIN, replicas, min=replicas)
    return made(given, kept_size(given, replicas), reasons)


def _running(given: PoolInput, demand: Demand, rest: int | None, moment: Moment) -> Recommendation:
    reasons: list[Reason] = []
    current = given.current
    memory = seeded(given.memory, current, moment.now)
    if demand.active or rest is None:
        sized = _by_metrics(given, memory, demand.proposal, moment, reasons)
        return made(given, sized, reasons, memory=memory)
    low = max(given.override.bounds.min, BOTTOM)
    explain_inactive(given, demand, reasons)
    until = cooldown_until(given, memory)
    cooling = not moment.passed(until)
    counted = demand.work.counted
    if current < low and (cooling or not counted or current <= rest):
        if counted:
            explain_below_min(given, until, reasons, cooling=cooling)
        _explain_unusable(demand, reasons)
        minimum = floor_at_rest(given, rest)
        return made(given, kept_size(given), reasons, memory=memory, minimum=minimum)
    if cooling or not counted:
        sized = _by_metrics(given, memory, demand.proposal, moment, reasons)
        if counted and sized.replicas <= low:
            add_reason(reasons, Code.COOLDOWN, sized.replicas, until=until)
        return made(given, sized, reasons, memory=memory)
    sized = kept_size(given, memory=memory)
    if current >= low:
        sized = _by_metrics(given, memory, 0, moment, reasons)
    if sized.replicas > low:
        return made(given, sized, reasons, memory=memory)
    last = scale_to_rest(given, memory, rest, moment, reasons)
    last = Sized(last.replicas, last.unstabilized, sized.history)
    minimum = min(given.override.bounds.min, rest)
    return made(given, last, reasons, memory=memory, minimum=minimum)


def _by_metrics(
    given: PoolInput,
    memory: PoolMemory,
    proposal: int | None,
    moment: Moment,
    reasons: list[Reason],
) -> Sized:
    """One evaluation of the HPA: the size, and the history with it."""
    pool, current, bounds = given.terms.pool, given.current, given.override.bounds
    low, history = max(bounds.min, BOTTOM), memory.recommendations
    # HPA: a size out of bounds is corrected at once, without metrics, windows and rates
    if current > bounds.max:
        return Sized(bounds.max, bounds.max, ended(history, given.planned_at), Bound.MAX)
    if current < low:
        return Sized(low, low, ended(history, given.planned_at), Bound.MIN)
    if proposal is None:
        return kept_size(given, memory=memory)
    if pool.without_behavior:
        window_s = DOWNSCALE_WINDOW_S
        stable = stabilize_down(
            proposal, history, window_s, planned_at=given.planned_at, moment=moment
        )
        limited = clamp_without_behavior(current, stable, low, bounds.max)
    else:
        window_s = longest_window_s(pool.behavior)
        stable = stabilize(
            current,
            proposal,
            history,
            pool.behavior,
            planned_at=given.planned_at,
            moment=moment,
        )
        limited = limit_change(
            current,
            stable,
            low=low,
            high=bounds.max,
            behavior=pool.behavior,
            added=memory.scaled_up,
            removed=memory.scaled_down,
            moment=moment,
        )
    wanted = max(proposal, low)
    if max(stable, low) != wanted:
        explain_window(
            given,
            memory,
            pool.behavior,
            stable=stable,
            wanted=wanted,
            moment=moment,
            reasons=reasons,
        )
    bound = Bound.DEMAND
    if limited.reason is LimitReason.SCALE_UP_LIMIT and pool.without_behavior:
        add_reason(reasons, Code.RATE_LIMITED_UP, limited.replicas, policy=_GROWTH)
    else:
        bound = explain_limit(limited, reasons) or bound
    if limited.replicas == bounds.min > proposal:
        bound = Bound.MIN
    remembered = remember(history, proposal, window_s, planned_at=given.planned_at, moment=moment)
    return Sized(limited.replicas, wanted, remembered, bound)


def _explain_unusable(demand: Demand, reasons: list[Reason]) -> None:
    if demand.unusable is not None:
        reasons.append(Reason(code=Code.METRIC_UNKNOWN, numbers=demand.unusable.numbers))
