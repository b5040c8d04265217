"""Step 1c, the recommendation of rule `native`: what an HPA and KEDA together would set.

The HPA's part moves between max(min, 1) and max by windows and rate policies; KEDA's part only
takes the first step from zero, at once, and the last step back, after the cooldown. KEDA itself
jumps from any size to zero; here every step down obeys the policies.
"""

from __future__ import annotations

from typing import Final

from controller.model.decision import Bound, Code
from controller.model.fleet import PolicyType, SelectPolicy
from controller.model.metrics import QUEUE
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
from controller.planning.measured import MILLI
from controller.planning.overrides import spares_asked_for

# KEDA: the HPA of a pool that may go to zero has minReplicas 1
BOTTOM: Final = 1


def recommend(draft: Draft) -> None:
    """Set the replicas that the pool's own rule wants, before its limits."""
    if is_switched_off(draft):
        draft.left_alone = True
        draft.because(Code.SCALED_TO_ZERO_BY_HAND, 0, min=draft.min)
    elif not draft.work.counted:
        _recommend_blind(draft)
    elif draft.current == 0:
        _recommend_from_zero(draft)
    else:
        _recommend_running(draft)


def _recommend_blind(draft: Draft) -> None:
    """Without a complete answer nothing goes; what is known may still add, and a wake-up, or work
    that the pool's past makes likely, still lifts it from zero.
    """
    demand = draft.work.demand or 0
    is_wanted = draft.active or draft.expects_work
    if not is_wanted:
        stay_below_min(draft)
    if is_wanted and demand > max(draft.current, BOTTOM):
        draft.replicas = _by_behavior(draft, demand)
    elif draft.current == 0 and is_wanted:
        draft.replicas = BOTTOM


def _recommend_from_zero(draft: Draft) -> None:
    """Asleep, or activated: at once, and as high as windows and policies allow in the same tick."""
    if not draft.active and not draft.expects_work:
        stay_below_min(draft)
        explain_inactive(draft)
        return
    draft.replicas = max(_by_behavior(draft, draft.work.demand or 0), BOTTOM)
    explain_activation(draft)


def _recommend_running(draft: Draft) -> None:
    now, demand = draft.now, draft.work.demand or 0
    draft.memory = seed(draft.memory, draft.current, now)
    rest = resting_size(draft)
    if rest == 0 and not draft.active and not demand and _are_all_spares(draft):
        draft.replicas = draft.unheld = 0
        return
    if draft.active or rest is None or draft.expects_work:
        draft.replicas = _by_behavior(draft, demand)
        return
    low = max(draft.min, BOTTOM)
    explain_inactive(draft)
    left_s = cooldown_left_s(draft.pool, draft.memory, now)
    if draft.current < low and (left_s >= 0 or draft.current <= rest):
        stay_below_min(draft)
        explain_below_min(draft, left_s)
    elif left_s >= 0:
        draft.replicas = _by_behavior(draft, demand)
        if demand > 0 or draft.replicas <= BOTTOM:
            draft.because(Code.COOLDOWN, draft.replicas, remaining_s=round(left_s, 3))
    else:
        if draft.current >= low:
            draft.replicas = _by_behavior(draft, 0)
        if draft.replicas <= low:
            take_the_last(draft, rest)


def _are_all_spares(draft: Draft) -> bool:
    """Whether only the spares on top run: no cooldown keeps another replica beside them."""
    return draft.current <= spares_asked_for(draft.pool, draft.override)


def is_switched_off(draft: Draft) -> bool:
    """HPA: zero replicas where min is more mean that somebody has switched it off; unless the plan
    itself went there, or zero is the size at which the pool rests.
    """
    return (
        draft.current == 0
        and draft.min > 0
        and not draft.memory.own_zero
        and resting_size(draft) is None
    )


def resting_size(draft: Draft) -> int | None:
    """The size of a pool that is idle: KEDA's idle replicas below its min, zero where min is zero;
    None where it keeps its min. While a schedule is open its min holds.
    """
    if draft.min == 0:
        return 0
    idle = draft.pool.idle
    if idle is None or idle >= draft.min:
        return None
    scheduled = draft.override is not None and draft.override.bounds.scheduled
    return None if scheduled else max(idle, 0)


def stay_below_min(draft: Draft) -> None:
    """A pool that rests at its idle size is not raised to min before it is active."""
    if draft.current < draft.min and resting_size(draft) is not None:
        draft.min = draft.current


def explain_below_min(draft: Draft, left_s: float) -> None:
    """Say why an idle pool with fewer replicas than min is not raised to it."""
    if left_s >= 0:
        draft.because(Code.COOLDOWN, draft.current, remaining_s=round(left_s, 3))
    else:
        draft.because(Code.RESTING, draft.current, cooldown_s=draft.pool.cooldown_s)


def take_the_last(draft: Draft, rest: int) -> None:
    """The cooldown is over: the last replicas go, no window asked, once a policy lets them."""
    draft.unheld, draft.bound = rest, Bound.DEMAND
    draft.min = min(draft.min, rest)
    limited = _limited(draft, rest, low=rest)
    draft.replicas = limited.replicas
    if limited.replicas == rest:
        code = Code.RESTING if rest else Code.ASLEEP
        draft.because(code, rest, cooldown_s=draft.pool.cooldown_s)
    else:
        _explain_policy(draft, Code.RATE_LIMITED_DOWN, limited)


def explain_activation(draft: Draft) -> None:
    """Say what woke the pool, unless its wake-up says so already."""
    messages, activation = draft.work.messages or 0, draft.pool.activation
    activator = draft.measured.activator if draft.measured is not None else None
    if activator is not None and activator.name != QUEUE:
        draft.because(
            Code.ACTIVATED_BY_METRIC,
            draft.replicas,
            metric=activator.name,
            measured=activator.milli / MILLI,
            activation=activator.activation_milli / MILLI,
        )
    elif messages > activation and not draft.work.woken:
        draft.because(Code.ACTIVATED, draft.replicas, messages=messages, activation=activation)


def explain_inactive(draft: Draft) -> None:
    """Say that there is work, yet too little to wake for."""
    messages, activation = draft.work.messages or 0, draft.pool.activation
    if 0 < messages <= activation:
        draft.because(Code.INACTIVE, messages=messages, activation=activation)


def _by_behavior(draft: Draft, raw: int) -> int:
    """The HPA's part: windows, then rates with min and max; the raw number is remembered."""
    now, current = draft.now, draft.current
    memory, behavior = draft.memory, draft.behavior
    low = max(draft.min, BOTTOM)
    wanted = draft.unheld = max(raw, low)
    history = memory.recommendations
    stable = draft.stable = stabilize(current, wanted, history, behavior, now)
    draft.history = remember(history, raw, now, longest_window_s(behavior))
    if stable != wanted:
        explain_window(draft, stable, wanted)
    replicas = stable
    if stable != current:
        limited = _limited(draft, stable, low=low)
        replicas = limited.replicas
        explain_limit(draft, limited)
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
        behavior=draft.behavior,
        added=memory.scaled_up,
        removed=memory.scaled_down,
        now=draft.now,
    )


def explain_window(draft: Draft, stable: int, wanted: int) -> None:
    """Say which window holds the number, and how long the recommendation behind it still counts."""
    behavior, memory, now = draft.behavior, draft.memory, draft.now
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


def explain_limit(draft: Draft, limited: Limited) -> None:
    """Name the policy that limits, or the bound."""
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
