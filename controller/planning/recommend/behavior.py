"""The HPA's normalisation, with a `behavior` block and without: windows, rate policies, bounds.

Source: kubernetes pkg/controller/podautoscaler/horizontal.go, normalizeDesiredReplicas and
normalizeDesiredReplicasWithBehaviors. Stabilisation comes first, then the rates with min and max.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from controller.model.fleet import Behavior, PolicyType, ScalingPolicy, ScalingRules, SelectPolicy
from controller.model.limits import INT32_MAX
from controller.model.memory import RecommendationRun, ScaleChange
from controller.planning.inputs import Moment

GROWTH_FACTOR: Final = 2
GROWTH_MINIMUM: Final = 4
"""Without `behavior` a size at most doubles, or goes to 4 (the controller manager's defaults)."""


class LimitReason(StrEnum):
    """What limited a number; the values are reasons of the HPA's condition ScalingLimited."""

    WITHIN_RANGE = "DesiredWithinRange"
    SCALE_UP_LIMIT = "ScaleUpLimit"
    SCALE_DOWN_LIMIT = "ScaleDownLimit"
    TOO_MANY = "TooManyReplicas"
    TOO_FEW = "TooFewReplicas"


class Limited(NamedTuple):
    """A number after rates and bounds, what limited it, and the policy if a policy did."""

    replicas: int
    reason: LimitReason
    policy: ScalingPolicy | None = None


def stabilize(
    current: int,
    desired: int,
    history: Sequence[RecommendationRun],
    behavior: Behavior,
    *,
    planned_at: float,
    moment: Moment,
) -> int:
    """The current size, raised to the lowest recommendation of the upward window and lowered to the
    highest of the downward one; `desired` belongs to both (stabilizeRecommendationWithBehaviors).
    A run that is still open lasted until `planned_at`.
    """
    up = down = desired
    up_window_s = behavior.scale_up.stabilization_window_s
    down_window_s = behavior.scale_down.stabilization_window_s
    now, until = moment.now, math.inf
    for run in history:
        replicas = run.replicas
        if replicas < up:
            end = (planned_at if run.last_at is None else run.last_at) + up_window_s
            if end > now:
                up, until = replicas, min(until, end)
        elif replicas > down:
            end = (planned_at if run.last_at is None else run.last_at) + down_window_s
            if end > now:
                down, until = replicas, min(until, end)
    moment.note(until)
    return min(max(current, up), down)


def stabilize_down(
    desired: int,
    history: Sequence[RecommendationRun],
    window_s: float,
    *,
    planned_at: float,
    moment: Moment,
) -> int:
    """Without `behavior` there is only a downward window: the result is the highest recommendation
    in it. A recommendation exactly as old as the window still counts (stabilizeRecommendation).
    """
    highest = desired
    for run in history:
        if run.replicas > highest:
            last_at = planned_at if run.last_at is None else run.last_at
            if not moment.passed(last_at + window_s):
                highest = run.replicas
    return highest


def clamp_without_behavior(current: int, desired: int, low: int, high: int) -> Limited:
    """Apply the bounds, and limit growth to twice the current size or 4, whichever is more
    (convertDesiredReplicasWithRules).
    """
    growth = max(GROWTH_FACTOR * current, GROWTH_MINIMUM)
    if desired < low:
        return Limited(low, LimitReason.TOO_FEW)
    if desired > min(high, growth):
        if high > growth:
            return Limited(growth, LimitReason.SCALE_UP_LIMIT)
        return Limited(high, LimitReason.TOO_MANY)
    return Limited(desired, LimitReason.WITHIN_RANGE)


def limit_change(
    current: int,
    desired: int,
    *,
    low: int,
    high: int,
    behavior: Behavior,
    added: Sequence[ScaleChange],
    removed: Sequence[ScaleChange],
    moment: Moment,
) -> Limited:
    """Apply the rates and bounds of `behavior` (convertDesiredReplicasWithBehaviorRate).

    A rate never reverses the direction: if past changes exceed it already, the current size stays.
    """
    if desired > current:
        limit, policy = _up_limit(current, behavior.scale_up, added, removed, moment)
        if desired > min(high, limit):
            if high > limit:
                return Limited(limit, LimitReason.SCALE_UP_LIMIT, policy)
            return Limited(high, LimitReason.TOO_MANY)
    elif desired < current:
        limit, policy = _down_limit(current, behavior.scale_down, added, removed, moment)
        if desired < max(low, limit):
            if low < limit:
                return Limited(limit, LimitReason.SCALE_DOWN_LIMIT, policy)
            return Limited(low, LimitReason.TOO_FEW)
    return Limited(desired, LimitReason.WITHIN_RANGE)


def changed_within(events: Sequence[ScaleChange], period_s: float, moment: Moment) -> int:
    """Replicas changed by events strictly newer than one period (getReplicasChangePerPeriod)."""
    return sum(event.change for event in events if not moment.reached(event.at + period_s))


def longest_period_s(rules: ScalingRules) -> int:
    """The longest period of the policies, for which a change can count; 0 without policies."""
    return max((policy.period_s for policy in rules.policies), default=0)


def longest_window_s(behavior: Behavior) -> int:
    """The longer window, for which a recommendation can count."""
    return max(behavior.scale_up.stabilization_window_s, behavior.scale_down.stabilization_window_s)


def record_change(
    events: tuple[ScaleChange, ...], change: int, at: float, keep_s: float
) -> tuple[ScaleChange, ...]:
    """The log with one more event, without those that can no longer count (storeScaleEvent)."""
    if keep_s <= 0:
        return ()
    cutoff = at - keep_s
    kept = tuple(event for event in events if event.at >= cutoff)
    return (*kept, ScaleChange(change=change, at=at))


def _up_limit(
    current: int,
    rules: ScalingRules,
    added: Sequence[ScaleChange],
    removed: Sequence[ScaleChange],
    moment: Moment,
) -> tuple[int, ScalingPolicy | None]:
    if rules.select_policy is SelectPolicy.DISABLED:
        return current, None
    if not rules.policies:
        return INT32_MAX, None
    limits = [
        (_grown(_period_start(current, policy, added, removed, moment), policy), policy)
        for policy in rules.policies
    ]
    limit, policy = limits[0]
    if len(limits) > 1:
        most = rules.select_policy is SelectPolicy.MAX
        limit, policy = (max if most else min)(limits, key=_by_limit)
    return max(limit, current), policy


def _down_limit(
    current: int,
    rules: ScalingRules,
    added: Sequence[ScaleChange],
    removed: Sequence[ScaleChange],
    moment: Moment,
) -> tuple[int, ScalingPolicy | None]:
    if rules.select_policy is SelectPolicy.DISABLED:
        return current, None
    if not rules.policies:
        return 0, None
    limits = [
        (_shrunk(_period_start(current, policy, added, removed, moment), policy), policy)
        for policy in rules.policies
    ]
    limit, policy = limits[0]
    if len(limits) > 1:
        most = rules.select_policy is SelectPolicy.MAX
        limit, policy = (min if most else max)(limits, key=_by_limit)
    return min(limit, current), policy


def _by_limit(limit: tuple[int, ScalingPolicy]) -> int:
    return limit[0]


def _period_start(
    current: int,
    policy: ScalingPolicy,
    added: Sequence[ScaleChange],
    removed: Sequence[ScaleChange],
    moment: Moment,
) -> int:
    """The size when the period began: the current size without the changes since then."""
    return (
        current
        - changed_within(added, policy.period_s, moment)
        + changed_within(removed, policy.period_s, moment)
    )


def _grown(start: int, policy: ScalingPolicy) -> int:
    if policy.type is PolicyType.PODS:
        return min(start + policy.value, INT32_MAX)
    return min(math.ceil(start * (1 + policy.value / 100)), INT32_MAX)


def _shrunk(start: int, policy: ScalingPolicy) -> int:
    if policy.type is PolicyType.PODS:
        return start - policy.value
    return int(start * (1 - policy.value / 100))  # truncated, so that the reduction is rounded up
