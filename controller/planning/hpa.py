"""One evaluation of a pool's rule: its demand within windows, rates and bounds, as the HPA does it.

Source: kubernetes pkg/controller/podautoscaler/horizontal.go (reconcileAutoscaler,
normalizeDesiredReplicas and normalizeDesiredReplicasWithBehaviors).
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.decision import Bound, Code, Reason
from controller.model.fleet import Behavior, Rule
from controller.model.memory import PoolMemory
from controller.planning.inputs import Moment, PoolInput
from controller.planning.values import Demand, Recommendation, because
from controller.planning.windows import (
    LimitReason,
    clamp_without_behavior,
    ended,
    held_by_window,
    limit_change,
    longest_window_s,
    remember,
    stabilize,
    stabilize_down,
)

BOTTOM: Final = 1
"""KEDA: the HPA of a pool that may go to zero has minReplicas 1."""
DOWNSCALE_WINDOW_S: Final = 300
"""The window downwards without `behavior` (kube-controller-manager's default)."""
_GROWTH: Final = "of the HPA without behavior, twice the size or 4"


def unchanged(
    given: PoolInput,
    memory: PoolMemory,
    replicas: int,
    *reasons: Reason,
    minimum: int | None = None,
    bound: Bound = Bound.DEMAND,
) -> Recommendation:
    """A size that is not calculated from the demand, so that the last recommendation has ended."""
    history = ended(memory.recommendations, given.planned_at)
    if history is not memory.recommendations:
        memory = replace(memory, recommendations=history)
    return Recommendation(
        replicas=replicas,
        bound=bound,
        min=given.override.bounds.min if minimum is None else minimum,
        unstabilized=given.current if bound is Bound.DEMAND else replicas,
        left_alone=False,
        memory=memory,
        reasons=reasons,
    )


def by_metrics(
    given: PoolInput, memory: PoolMemory, proposal: int | None, moment: Moment
) -> Recommendation:
    """Rule hpa: the size for what the metrics propose."""
    pool, bounds = given.terms.pool, given.override.bounds
    # HPA: a size out of bounds is corrected at once, without metrics, windows and rates
    if given.current > bounds.max:
        return unchanged(given, memory, bounds.max, bound=Bound.MAX)
    if given.current < (low := max(bounds.min, BOTTOM)):
        return unchanged(given, memory, low, bound=Bound.MIN)
    if proposal is None:
        return unchanged(given, memory, given.current)
    return _within_windows(given, memory, proposal, proposal, pool.behavior, moment)


def by_demand(
    given: PoolInput, demand: Demand, memory: PoolMemory, asked: int, moment: Moment
) -> Recommendation:
    """Rule native: the size for the pool's own demand. What it has learned says what is worth
    keeping, so that no default downward window is needed.
    """
    terms = given.terms
    is_learned = demand.settled and not terms.pool.window_given
    behavior = terms.learned_behavior if is_learned else terms.pool.behavior
    desired = max(asked, given.override.bounds.min, BOTTOM)
    return _within_windows(given, memory, asked, desired, behavior, moment)


def _within_windows(  # noqa: PLR0917 - what windows and rates depend on
    given: PoolInput,
    memory: PoolMemory,
    asked: int,
    desired: int,
    behavior: Behavior,
    moment: Moment,
) -> Recommendation:
    """Windows, then rates with min and max. The history gets what was asked for, `desired` is what
    the windows go by.
    """
    current, bounds, planned_at = given.current, given.override.bounds, given.planned_at
    low, history = max(bounds.min, BOTTOM), memory.recommendations
    goes_on = bool(history) and history[-1].last_at is None and history[-1].replicas == asked
    earlier = history[:-1] if goes_on else history
    pool = given.terms.pool
    is_plain = pool.without_behavior and pool.rule is Rule.HPA
    if is_plain:
        window_s = DOWNSCALE_WINDOW_S
        stable = stabilize_down(desired, earlier, window_s, planned_at=planned_at, moment=moment)
        limited = clamp_without_behavior(current, stable, low, bounds.max)
    else:
        window_s = longest_window_s(behavior)
        stable = stabilize(
            current, desired, earlier, behavior, planned_at=planned_at, moment=moment
        )
        limited = limit_change(
            current,
            stable,
            low=low,
            high=bounds.max,
            behavior=behavior,
            added=memory.scaled_up,
            removed=memory.scaled_down,
            moment=moment,
        )
    wanted, reasons = max(asked, low), limited.because()
    if limited.reason is LimitReason.SCALE_UP_LIMIT and is_plain:
        reasons = (because(Code.RATE_LIMITED_UP, limited.replicas, policy=_GROWTH),)
    if max(stable, low) != wanted:
        window = held_by_window(
            given, memory, behavior, stable=stable, wanted=wanted, moment=moment
        )
        reasons = (*window, *reasons)
    bound = Bound.MAX if limited.reason is LimitReason.TOO_MANY else Bound.DEMAND
    if limited.replicas == bounds.min > asked:
        bound = Bound.MIN
    after = remember(history, asked, window_s, planned_at=planned_at, moment=moment)
    if after is not history:
        memory = replace(memory, recommendations=after)
    return Recommendation(
        replicas=limited.replicas,
        bound=bound,
        min=bounds.min,
        unstabilized=wanted,
        left_alone=False,
        memory=memory,
        reasons=reasons,
    )
