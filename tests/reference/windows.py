"""A naive HPA of one average-value metric: whole logs of what it asked for and changed.

Source: kubernetes pkg/controller/podautoscaler/horizontal.go (stabilizeRecommendationWithBehaviors,
convertDesiredReplicasWithBehaviorRate, and the same without `behavior`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from controller.model.fleet import Behavior, PolicyType, ScalingPolicy, ScalingRules, SelectPolicy

DEFAULT_WINDOW_S = 300
Log = Sequence[tuple[float, int]]
"""When, and how many replicas: asked for, or changed by."""


def stabilize(current: int, desired: int, log: Log, rules: Behavior, now: float) -> int:
    """The present size, raised to the lowest number of the upward window and lowered to the highest
    of the downward one.
    """
    up_s, down_s = rules.scale_up.stabilization_window_s, rules.scale_down.stabilization_window_s
    lowest = min([desired, *(asked for at, asked in log if at > now - up_s)])
    highest = max([desired, *(asked for at, asked in log if at > now - down_s)])
    return min(max(current, lowest), highest)


def limit(current: int, rules: ScalingRules, changes: Log, now: float, *, up: bool) -> int:
    """How far the policies of one direction let a size go."""
    if rules.select_policy is SelectPolicy.DISABLED:
        return current
    if not rules.policies:
        return 2**31 - 1 if up else 0
    limits = [_reached(current, policy, changes, now, 1 if up else -1) for policy in rules.policies]
    farthest = (rules.select_policy is SelectPolicy.MAX) == up
    found = max(limits) if farthest else min(limits)
    return max(found, current) if up else min(found, current)


def _reached(current: int, policy: ScalingPolicy, changes: Log, now: float, sign: int) -> int:
    start = current - sum(change for at, change in changes if at > now - policy.period_s)
    if policy.type is PolicyType.PODS:
        return start + sign * policy.value
    reached = start * (1 + sign * policy.value / 100)
    return math.ceil(reached) if sign > 0 else int(reached)


class NaiveHpa:
    """`behavior` is None for an HPA without the block; min is 1."""

    def __init__(self, behavior: Behavior | None, most: int, target: int) -> None:
        self.behavior, self.most, self.target = behavior, most, target
        self.asked: list[tuple[float, int]] = []
        self.changes: list[tuple[float, int]] = []

    def recommended(self, current: int, usage: int, now: float) -> int:
        """The size that it would set; `usage` is the metric's total."""
        if not self.asked:
            self.asked.append((now, current))
        raw = math.ceil(usage / self.target)
        if 0.9 <= usage / (self.target * current) <= 1.1:
            raw = current
        if self.behavior is None:
            window = [asked for at, asked in self.asked if at >= now - DEFAULT_WINDOW_S]
            found = min(max([raw, *window]), max(2 * current, 4))
        else:
            found = stabilize(current, raw, self.asked, self.behavior, now)
            up, rules = found > current, self.behavior
            most = limit(current, rules.scale_up, self.changes, now, up=True)
            least = limit(current, rules.scale_down, self.changes, now, up=False)
            found = min(found, most) if up else max(found, least)
        self.asked.append((now, raw))
        return max(1, min(found, self.most))
