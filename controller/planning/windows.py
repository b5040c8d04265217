"""The HPA's windows and rate policies, and the history of recommendations that they need.

Source: kubernetes pkg/controller/podautoscaler/horizontal.go, normalizeDesiredReplicas and
normalizeDesiredReplicasWithBehaviors. Stabilisation comes first, then the rates with min and max.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, inf
from operator import itemgetter
from typing import Final, NamedTuple

from msgspec.structs import replace

from controller.model.decision import Code, Reason
from controller.model.fleet import Behavior, PolicyType, ScalingPolicy, ScalingRules, SelectPolicy
from controller.model.memory import PoolMemory, RecommendationRun, ScaleChange
from controller.model.value import INT32_MAX
from controller.planning.inputs import Moment, PoolInput, PoolTerms
from controller.planning.values import because

GROWTH_FACTOR: Final = 2
GROWTH_MINIMUM: Final = 4
"""Without `behavior` a size at most doubles, or goes to 4 (the controller manager's defaults)."""

History = tuple[RecommendationRun, ...]
"""Runs of the same recommendation, oldest first, as few as the windows need."""


class Limited(NamedTuple):
    """A number after rates and bounds; `code` and `policy` of the rate, `at_max` of max."""

    replicas: int
    code: Code | None = None
    policy: ScalingPolicy | None = None
    at_max: bool = False

    def because(self) -> tuple[Reason, ...]:
        """The reason of the policy that limits; none if a bound does, which the caller knows."""
        if self.code is None:
            return ()
        policy = self.policy
        if policy is None:
            return (because(self.code, self.replicas, policy=SelectPolicy.DISABLED.value),)
        unit = "%" if policy.type is PolicyType.PERCENT else ""
        text = f"{policy.type.value} {policy.value}{unit} in {policy.period_s} s"
        return (because(self.code, self.replicas, policy=text, period_s=policy.period_s),)


def stabilize(
    current: int,
    desired: int,
    history: Sequence[RecommendationRun],
    behavior: Behavior,
    *,
    planned_at: float,
    moment: Moment,
) -> int:
    """The size, raised to the lowest recommendation of the upward window or lowered to the highest
    of the downward one (stabilizeRecommendationWithBehaviors). An open run lasts to `planned_at`.
    """
    is_up = desired > current
    rules = behavior.scale_up if is_up else behavior.scale_down
    stable, now, until = desired, moment.now, inf
    for run in history if desired != current else ():
        if run.replicas < stable if is_up else run.replicas > stable:
            last_at = planned_at if run.last_at is None else run.last_at
            if (end := last_at + rules.stabilization_window_s) > now:
                stable, until = run.replicas, min(until, end)
    moment.note(until)
    return max(current, stable) if is_up else min(current, stable)


def stabilize_down(
    desired: int,
    history: Sequence[RecommendationRun],
    window_s: float,
    *,
    planned_at: float,
    moment: Moment,
) -> int:
    """Without `behavior`: the highest of the window (stabilizeRecommendation)."""
    highest = desired
    for run in history:
        if run.replicas > highest:
            last_at = planned_at if run.last_at is None else run.last_at
            if not moment.passed(last_at + window_s):
                highest = run.replicas
    return highest


def clamp_without_behavior(current: int, desired: int, low: int, high: int) -> Limited:
    """Bounds, and at most twice the size or 4 (convertDesiredReplicasWithRules)."""
    growth = max(GROWTH_FACTOR * current, GROWTH_MINIMUM)
    if desired > min(high, growth):
        if high > growth:
            return Limited(growth, Code.RATE_LIMITED_UP)
        return Limited(high, at_max=True)
    return Limited(max(desired, low))


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
    """Apply rates and bounds of `behavior` (convertDesiredReplicasWithBehaviorRate); a rate never
    reverses the direction.
    """
    if desired > current:
        limit, policy = _rate_limit(current, behavior.scale_up, added, removed, moment, up=True)
        if desired > min(high, limit):
            if high > limit:
                return Limited(limit, Code.RATE_LIMITED_UP, policy)
            return Limited(high, at_max=True)
    elif desired < current:
        limit, policy = _rate_limit(current, behavior.scale_down, added, removed, moment, up=False)
        if desired < max(low, limit):
            if low < limit:
                return Limited(limit, Code.RATE_LIMITED_DOWN, policy)
            return Limited(low)
    return Limited(desired)


def longest_window_s(behavior: Behavior) -> int:
    """The longer window, for which a recommendation can count."""
    return max(behavior.scale_up.stabilization_window_s, behavior.scale_down.stabilization_window_s)


def _rate_limit(
    current: int,
    rules: ScalingRules,
    added: Sequence[ScaleChange],
    removed: Sequence[ScaleChange],
    moment: Moment,
    *,
    up: bool,
) -> tuple[int, ScalingPolicy | None]:
    """How far the policies allow, and the one that decides: each counts from the size when its
    period began, which is the current size without the changes since (getReplicasChangePerPeriod).
    """
    if rules.select_policy is SelectPolicy.DISABLED:
        return current, None
    if not rules.policies:
        return (INT32_MAX if up else 0), None

    def reach(policy: ScalingPolicy) -> int:
        start = current
        for events, sign in ((added, -1), (removed, 1)):
            for event in events:
                if not moment.reached(event.at + policy.period_s):
                    start += sign * event.change
        if policy.type is PolicyType.PODS:
            return min(start + policy.value, INT32_MAX) if up else start - policy.value
        if up:
            return min(ceil(start * (1 + policy.value / 100)), INT32_MAX)
        return int(start * (1 - policy.value / 100))  # truncated: the reduction is rounded up

    farthest = max if up is (rules.select_policy is SelectPolicy.MAX) else min
    limit, policy = farthest(((reach(each), each) for each in rules.policies), key=itemgetter(0))
    return (max if up else min)(limit, current), policy


def seeded(memory: PoolMemory, replicas: int, now: float) -> PoolMemory:
    """HPA (reconcileAutoscaler): the first recommendation is the current size, so that no pool
    shrinks before one window; it counts as active until now.
    """
    if memory.recommendations or replicas == 0:
        return memory
    run = RecommendationRun(replicas=replicas, first_at=now, last_at=now)
    was_active = memory.last_active_at is not None or memory.active_since is not None
    return replace(
        memory,
        since=now,
        last_active_at=now if was_active else None,
        active_since=None,
        recommendations=(run,),
    )


def warm_until(terms: PoolTerms, memory: PoolMemory) -> float:
    """When this memory covers one downward window."""
    return memory.since + terms.pool.behavior.scale_down.stabilization_window_s


def remember(
    history: History, replicas: int, window_s: float, *, planned_at: float, moment: Moment
) -> History:
    """The history with one more recommendation, without the runs that no longer matter.

    Every window ends now. So an older run can be the highest in a window only if no later run is as
    high, and the lowest only if no later run is as low; all others are dropped. The newest run
    stays open, so the same recommendation again does not change the history.
    """

    def is_over(run: RecommendationRun) -> bool:
        return run.last_at is not None and moment.reached(run.last_at + window_s)

    if history and history[-1].replicas == replicas:
        last = history[-1]
        if last.last_at is not None:
            last = RecommendationRun(replicas=replicas, first_at=last.first_at)
        if len(history) == 1 or not is_over(history[0]):
            # later runs end later, so none of them is over either
            return history if last is history[-1] else (*history[:-1], last)
        return (*(run for run in history[:-1] if not is_over(run)), last)
    kept = [RecommendationRun(replicas=replicas, first_at=moment.now)]
    lowest = highest = replicas
    oldest_end = inf
    for run in reversed(ended(history, planned_at)):
        end = inf if run.last_at is None else run.last_at + window_s
        if end <= moment.now:
            break
        if run.replicas < lowest:
            lowest = run.replicas
        elif run.replicas > highest:
            highest = run.replicas
        else:
            continue
        kept.append(run)
        oldest_end = min(oldest_end, end)
    moment.note(oldest_end)
    return tuple(reversed(kept))


def ended(history: History, planned_at: float) -> History:
    """The history if there is no recommendation now: its newest run ended with the last plan."""
    if not history or history[-1].last_at is not None:
        return history
    last = history[-1]
    last_at = max(planned_at, last.first_at)
    run = RecommendationRun(replicas=last.replicas, first_at=last.first_at, last_at=last_at)
    return (*history[:-1], run)


def held_by_window(
    given: PoolInput,
    memory: PoolMemory,
    behavior: Behavior,
    *,
    stable: int,
    wanted: int,
    moment: Moment,
) -> tuple[Reason, ...]:
    """The window's reason to hold `stable`, and until when; none in warm-up, which has its own."""
    if stable < wanted:
        code, rules = Code.STABILIZED_UP, behavior.scale_up
    elif moment.reached(warm_until(given.terms, memory)):
        code, rules = Code.STABILIZED_DOWN, behavior.scale_down
    else:
        return ()
    window_s, since = rules.stabilization_window_s, moment.now
    for run in reversed(memory.recommendations):  # when such a recommendation was given last
        if run.replicas <= stable if stable < wanted else run.replicas >= stable:
            since = given.planned_at if run.last_at is None else run.last_at
            break
    return (because(code, stable, window_s=window_s, until=since + window_s),)
