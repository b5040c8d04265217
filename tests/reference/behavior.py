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
from controller.model.memory import RecommendationRun, ScaleChange

REPLICAS_LIMIT: Final = 2**31 - 1

Log = tuple[RecommendationRun, ...]
"""An HPA's log of recommendations: one entry for each pass, given at `last_at`."""


class LimitReason(StrEnum):
    """What changed a number, as the condition ScalingLimited spells it."""

    WITHIN_RANGE = "DesiredWithinRange"
    SCALE_UP_LIMIT = "ScaleUpLimit"
    SCALE_DOWN_LIMIT = "ScaleDownLimit"
    TOO_MANY = "TooManyReplicas"
    TOO_FEW = "TooFewReplicas"


class Limited(NamedTuple):
    """A number after rates and bounds, what limited it, and the policy if it was one."""

    replicas: int
    reason: LimitReason
    policy: ScalingPolicy | None = None


def hpa_defaults(downscale_window_s: int = 300) -> Behavior:
    """What the API fills into a `behavior` block: into a direction that lists no policies of its
    own, and for each window that is left out (pkg/apis/autoscaling/v2/defaults.go).
    """
    whole = ScalingPolicy(type=PolicyType.PERCENT, value=100, period_s=15)
    four = ScalingPolicy(type=PolicyType.PODS, value=4, period_s=15)
    return Behavior(
        scale_up=ScalingRules(stabilization_window_s=0, policies=(four, whole)),
        scale_down=ScalingRules(stabilization_window_s=downscale_window_s, policies=(whole,)),
    )


def entry(replicas: int, at: float) -> RecommendationRun:
    """One recommendation in the log."""
    return RecommendationRun(replicas=replicas, first_at=at, last_at=at)


def logged(log: Log, replicas: int, now: float, window_s: float) -> Log:
    """The log with one more recommendation, without those that are older than every window."""
    return (*(one for one in log if _given_at(one) >= now - window_s), entry(replicas, now))


def stabilize(
    current: int,
    desired: int,
    log: Sequence[RecommendationRun],
    behavior: Behavior,
    now: float,
) -> int:
    """The current size, raised to the lowest recommendation of the upward window and lowered to the
    highest of the downward one; `desired` belongs to both (stabilizeRecommendationWithBehaviors).
    """
    up_cutoff = now - behavior.scale_up.stabilization_window_s
    down_cutoff = now - behavior.scale_down.stabilization_window_s
    lowest = min([desired, *(one.replicas for one in log if _given_at(one) > up_cutoff)])
    highest = max([desired, *(one.replicas for one in log if _given_at(one) > down_cutoff)])
    return min(max(current, lowest), highest)


def stabilize_down(
    desired: int, log: Sequence[RecommendationRun], window_s: float, now: float
) -> int:
    """Without `behavior` there is one window: the highest recommendation in it, one that is exactly
    as old as the window included (stabilizeRecommendation).
    """
    cutoff = now - window_s
    return max([desired, *(one.replicas for one in log if _given_at(one) >= cutoff)])


def clamp_without_behavior(
    current: int, desired: int, low: int, high: int, *, factor: int = 2, minimum: int = 4
) -> Limited:
    """Bounds, and at most `factor` times the current size or `minimum`, whichever is more
    (convertDesiredReplicasWithRules).
    """
    growth = max(factor * current, minimum)
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
    now: float,
) -> Limited:
    """Rates and bounds with `behavior` (convertDesiredReplicasWithBehaviorRate).

    A limit never forces the opposite move: where past changes exceed it, the current size stays.
    """
    if desired > current:
        limit, policy = _up_limit(current, behavior.scale_up, added, removed, now)
        if desired > min(high, limit):
            if high > limit:
                return Limited(limit, LimitReason.SCALE_UP_LIMIT, policy)
            return Limited(high, LimitReason.TOO_MANY)
    elif desired < current:
        limit, policy = _down_limit(current, behavior.scale_down, added, removed, now)
        if desired < max(low, limit):
            if low < limit:
                return Limited(limit, LimitReason.SCALE_DOWN_LIMIT, policy)
            return Limited(low, LimitReason.TOO_FEW)
    return Limited(desired, LimitReason.WITHIN_RANGE)


def changed_within(events: Sequence[ScaleChange], period_s: float, now: float) -> int:
    """Replicas changed by events strictly newer than one period (getReplicasChangePerPeriod)."""
    cutoff = now - period_s
    return sum(event.change for event in events if event.at > cutoff)


def longest_period_s(rules: ScalingRules) -> int:
    """How long an event can count for these rules; 0 without policies."""
    return max((policy.period_s for policy in rules.policies), default=0)


def longest_window_s(behavior: Behavior) -> int:
    """How long a recommendation can count."""
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


def _given_at(one: RecommendationRun) -> float:
    return one.first_at if one.last_at is None else one.last_at


def _up_limit(
    current: int,
    rules: ScalingRules,
    added: Sequence[ScaleChange],
    removed: Sequence[ScaleChange],
    now: float,
) -> tuple[int, ScalingPolicy | None]:
    if rules.select_policy is SelectPolicy.DISABLED:
        return current, None
    if not rules.policies:
        return REPLICAS_LIMIT, None
    limits = [
        (_grown(_period_start(current, policy, added, removed, now), policy), policy)
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
    now: float,
) -> tuple[int, ScalingPolicy | None]:
    if rules.select_policy is SelectPolicy.DISABLED:
        return current, None
    if not rules.policies:
        return 0, None
    limits = [
        (_shrunk(_period_start(current, policy, added, removed, now), policy), policy)
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
    now: float,
) -> int:
    """The size when the period began: the changes of both directions are taken back."""
    return (
        current
        - changed_within(added, policy.period_s, now)
        + changed_within(removed, policy.period_s, now)
    )


def _grown(start: int, policy: ScalingPolicy) -> int:
    if policy.type is PolicyType.PODS:
        return min(start + policy.value, REPLICAS_LIMIT)
    return min(math.ceil(start * (1 + policy.value / 100)), REPLICAS_LIMIT)


def _shrunk(start: int, policy: ScalingPolicy) -> int:
    if policy.type is PolicyType.PODS:
        return start - policy.value
    return int(start * (1 - policy.value / 100))  # truncated: what is removed is rounded up
