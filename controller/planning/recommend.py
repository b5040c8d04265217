"""Step 1c, the recommendation of rule `native`: what an HPA and KEDA together would set.

The HPA's part moves between max(min, 1) and max by windows and rate policies; KEDA's part only
takes the first step from zero, at once, and the last step back, after the cooldown. KEDA itself
jumps from any size to zero; here every step down obeys the policies.
"""

from __future__ import annotations

from typing import Final

from controller.model.decision import Bound, Code
from controller.model.fleet import PolicyType, SelectPolicy
from controller.planning.activation import cooldown_left_s
from controller.planning.behavior import (
    Limited,
    LimitReason,
    limit_change,
    longest_window_s,
    stabilize,
)
from controller.planning.draft import Draft
from controller.planning.history import remember, seed, warm_up_left_s

# KEDA: the HPA of a pool that may go to zero has minReplicas 1
BOTTOM: Final = 1


def recommend(draft: Draft) -> None:
    """Set the replicas that the pool's own rule wants, before its limits."""
    current, work = draft.current, draft.work
    if current == 0 and draft.min > 0 and not draft.memory.own_zero:
        # HPA: zero replicas where min is more mean that somebody has switched it off
        draft.left_alone = True
        draft.because(Code.SCALED_TO_ZERO_BY_HAND, 0, min=draft.min)
    elif not work.counted:
        _recommend_blind(draft)
    elif current == 0:
        _recommend_from_zero(draft)
    else:
        _recommend_running(draft)


def _recommend_blind(draft: Draft) -> None:
    """Without a complete answer the size stays; only a wake-up still lifts it from zero."""
    if draft.current == 0 and draft.active:
        draft.replicas = BOTTOM


def _recommend_from_zero(draft: Draft) -> None:
    """Asleep, or activated: at once, and as high as windows and policies allow in the same tick."""
    demand = draft.work.demand or 0
    if not draft.active:
        if demand > 0:
            _explain_inactive(draft)
        return
    draft.replicas = max(_by_behavior(draft, demand), BOTTOM)
    if not draft.work.woken:
        messages, activation = draft.work.messages or 0, draft.pool.activation
        draft.because(Code.ACTIVATED, draft.replicas, messages=messages, activation=activation)


def _recommend_running(draft: Draft) -> None:
    pool, now = draft.pool, draft.now
    demand = draft.work.demand or 0
    draft.memory = seed(draft.memory, draft.current, now)
    if draft.active or draft.min > 0:
        draft.replicas = _by_behavior(draft, demand)
        return
    if demand > 0:
        _explain_inactive(draft)
    left_s = cooldown_left_s(pool, draft.memory, now)
    if left_s < 0:
        draft.replicas = _by_behavior(draft, 0)
        if draft.replicas <= BOTTOM:
            _take_the_last(draft)
        return
    draft.replicas = _by_behavior(draft, demand)
    if demand > 0 or draft.replicas <= BOTTOM:
        draft.because(Code.COOLDOWN, draft.replicas, remaining_s=round(left_s, 3))


def _take_the_last(draft: Draft) -> None:
    """The cooldown is over: the last replica goes, no window asked, as soon as a policy lets it."""
    draft.unheld = 0
    limited = _limited(draft, 0, low=0)
    draft.replicas = limited.replicas
    if limited.replicas == 0:
        draft.because(Code.ASLEEP, 0, cooldown_s=draft.pool.cooldown_s)
    else:
        _explain_policy(draft, Code.RATE_LIMITED_DOWN, limited)


def _explain_inactive(draft: Draft) -> None:
    messages, activation = draft.work.messages or 0, draft.pool.activation
    draft.because(Code.INACTIVE, messages=messages, activation=activation)


def _by_behavior(draft: Draft, raw: int) -> int:
    """The HPA's part: windows, then rates with min and max; the raw number is remembered."""
    now, current = draft.now, draft.current
    memory, behavior = draft.memory, draft.pool.behavior
    low = max(draft.min, BOTTOM)
    wanted = draft.unheld = max(raw, low)
    history = memory.recommendations
    stable = stabilize(current, wanted, history, behavior, now)
    draft.history = remember(history, raw, now, longest_window_s(behavior))
    if stable != wanted:
        _explain_window(draft, stable, wanted)
    replicas = stable
    if stable != current:
        limited = _limited(draft, stable, low=low)
        replicas = limited.replicas
        _explain_limit(draft, limited)
    if replicas == draft.min > raw:
        draft.bound = Bound.MIN
    return replicas


def _limited(draft: Draft, desired: int, *, low: int) -> Limited:
    memory = draft.memory
    return limit_change(
        draft.current,
        desired,
        low=low,
        high=draft.max,
        behavior=draft.pool.behavior,
        added=memory.scaled_up,
        removed=memory.scaled_down,
        now=draft.now,
    )


def _explain_window(draft: Draft, stable: int, wanted: int) -> None:
    """Say which window holds the number, and how long the recommendation behind it still counts."""
    behavior, memory, now = draft.pool.behavior, draft.memory, draft.now
    if stable < wanted:
        window_s = behavior.scale_up.stabilization_window_s
        times = [run.last_at for run in memory.recommendations if run.replicas <= stable]
        code = Code.STABILIZED_UP
    elif warm_up_left_s(draft.pool, memory, now) > 0:
        return  # the window holds what ran before it was watched: the gate says so
    else:
        window_s = behavior.scale_down.stabilization_window_s
        times = [run.last_at for run in memory.recommendations if run.replicas >= stable]
        code = Code.STABILIZED_DOWN
    left_s = round(max(times, default=now) + window_s - now, 3)
    draft.because(code, stable, window_s=window_s, remaining_s=left_s)


def _explain_limit(draft: Draft, limited: Limited) -> None:
    match limited.reason:
        case LimitReason.SCALE_UP_LIMIT:
            _explain_policy(draft, Code.RATE_LIMITED_UP, limited)
        case LimitReason.SCALE_DOWN_LIMIT:
            _explain_policy(draft, Code.RATE_LIMITED_DOWN, limited)
        case LimitReason.TOO_MANY:
            draft.bound = Bound.MAX
        case LimitReason.TOO_FEW | LimitReason.WITHIN_RANGE:
            pass  # whether min or the cooldown keeps the last replicas is told where it is known


def _explain_policy(draft: Draft, code: Code, limited: Limited) -> None:
    policy = limited.policy
    if policy is None:
        draft.because(code, limited.replicas, policy=SelectPolicy.DISABLED.value)
        return
    unit = "%" if policy.type is PolicyType.PERCENT else ""
    draft.because(
        code,
        limited.replicas,
        policy=f"{policy.type.value} {policy.value}{unit} in {policy.period_s} s",
        period_s=policy.period_s,
    )
