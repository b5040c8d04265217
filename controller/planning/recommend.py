"""Step 1, second half: the size that a pool's own rule recommends for its demand, as an HPA and
KEDA together would set it. Rule hpa goes by metrics, rule native by the pool's own demand.

The HPA's part moves between max(min, 1) and max by windows and rate policies. KEDA's part takes
only the first step from zero, at once, and the last step back to zero or to the idle size, after
the cooldown. KEDA itself jumps from any size to zero; here every step down obeys windows and
policies, and missing metrics never remove replicas, so that no work is lost.

Source: KEDA pkg/scaling/executor/scale_scaledobjects.go; its comparisons are strict.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.decision import Bound, Code, Reason
from controller.model.fleet import QUEUE, Behavior, Rule
from controller.model.memory import PoolMemory
from controller.planning.inputs import Moment, PoolInput
from controller.planning.values import Demand, Limits, because
from controller.planning.windows import (
    clamp_without_behavior,
    ended,
    held_by_window,
    limit_change,
    longest_window_s,
    remember,
    seeded,
    stabilize,
    stabilize_down,
)


def recommend(given: PoolInput, demand: Demand, moment: Moment) -> Limits:
    """The size that the pool's own rule recommends for its demand: activation and cooldown,
    windows, rate policies, min and max.
    """
    rest, current, minimum = resting_size(given), given.current, given.override.bounds.min
    if current == 0 and _is_stopped(given):
        # also where the process that scaled it to zero has ended and left no word of that
        demand = replace(demand, memory=replace(demand.memory, own_zero=True))
    is_unowned = current == 0 < minimum and not demand.memory.own_zero
    if is_unowned and rest is None and not demand.forced:
        # HPA: zero replicas with a min above zero: it was switched off by hand, and stays so until
        # it is switched on by hand
        reason = because(Code.SCALED_TO_ZERO_BY_HAND, 0, min=minimum)
        return replace(unchanged(given, demand.memory, 0, reason), left_alone=True)
    if given.terms.pool.rule is Rule.NATIVE and not demand.counted:
        return _blind(given, demand, rest, moment)
    if current == 0:
        return _from_zero(given, demand, rest, moment)
    memory = seeded(demand.memory, current, moment.now)
    if demand.active or demand.expects_work or rest is None:
        return _evaluated(given, demand, memory, moment)
    return _idle(given, demand, memory, rest, moment)


def _is_stopped(given: PoolInput) -> bool:
    """Whether an intent asks for no replicas, so that zero is what the plan wants, too."""
    asked = given.override.pause, given.override.cap
    return any(each is not None and not each.amount for each in asked)


def resting_size(given: PoolInput) -> int | None:
    """The size of an idle pool: zero if its min is zero, KEDA's idle replicas if they are below its
    min, else None: it keeps its min. It also keeps its min while a schedule is open.
    """
    bounds, idle = given.override.bounds, given.terms.pool.idle
    if bounds.min == 0:
        return 0
    if idle is None or idle >= bounds.min or bounds.scheduled:
        return None
    return max(idle, 0)


def _evaluated(
    given: PoolInput, demand: Demand, memory: PoolMemory, moment: Moment, *, idle: bool = False
) -> Limits:
    """The size by the pool's rule; an `idle` pool asks for nothing."""
    if given.terms.pool.rule is Rule.HPA:
        return by_metrics(given, memory, 0 if idle else demand.proposal, moment)
    return by_demand(given, demand, memory, 0 if idle else demand.replicas or 0, moment)


def _blind(given: PoolInput, demand: Demand, rest: int | None, moment: Moment) -> Limits:
    """Without a complete answer no replica is removed. Work that is known may still add replicas. A
    wake-up, or work that the pool's past makes likely, still scales it up from zero.
    """
    current, memory = given.current, demand.memory
    if not (demand.active or demand.expects_work) and (
        current == 0 or (rest is not None and moment.passed(_cooldown_until(given, memory)))
    ):
        return unchanged(given, memory, current, minimum=_floor_at_rest(given, rest))
    if (demand.replicas or 0) > max(current, BOTTOM):
        return _evaluated(given, demand, memory, moment)
    return unchanged(given, memory, max(current, BOTTOM))


def _from_zero(given: PoolInput, demand: Demand, rest: int | None, moment: Moment) -> Limits:
    """The pool stays at zero, or one plan activates it: rule hpa as KEDA does, to min and at least
    1, rule native as far as windows and policies allow.
    """
    memory, minimum = demand.memory, given.override.bounds.min
    if not (demand.active or demand.expects_work):
        reasons = (*_inactive(given, demand), *_unusable(demand))
        return unchanged(given, memory, 0, *reasons, minimum=_floor_at_rest(given, rest))
    if given.terms.pool.rule is Rule.HPA:
        replicas = max(minimum, BOTTOM)
        reasons = _activated(given, demand, replicas)
        if not reasons and not demand.woken:
            # KEDA: a pool with only CPU and memory metrics always counts as active
            reasons = (because(Code.AT_MIN, replicas, min=replicas),)
        return unchanged(given, memory, replicas, *reasons)
    found = _evaluated(given, demand, memory, moment)
    replicas = max(found.replicas, BOTTOM)
    reasons = (*found.reasons, *_activated(given, demand, replicas))
    return replace(found, replicas=replicas, reasons=reasons)


def _idle(
    given: PoolInput, demand: Demand, memory: PoolMemory, rest: int, moment: Moment
) -> Limits:
    """The size of a pool without work: kept until the cooldown ends, then by windows and policies
    down to its min, and from there at once to its size at rest.
    """
    current, bounds = given.current, given.override.bounds
    low, until = max(bounds.min, BOTTOM), _cooldown_until(given, memory)
    cooling, counted = not moment.passed(until), demand.counted
    reasons = _inactive(given, demand)
    if current < low and (cooling or not counted or current <= rest):
        if counted and cooling:  # why it is not raised to min
            reasons += (because(Code.COOLDOWN, current, until=until),)
        elif counted:
            cooldown_s = given.terms.pool.cooldown_s
            reasons += (because(Code.RESTING, current, cooldown_s=cooldown_s),)
        reasons += _unusable(demand)
        floor = _floor_at_rest(given, rest)
        return unchanged(given, memory, current, *reasons, minimum=floor)
    if cooling or not counted:
        found = _evaluated(given, demand, memory, moment)
        reasons += found.reasons
        if given.terms.pool.rule is Rule.HPA:
            is_kept = counted and found.replicas <= low
        else:
            is_kept = bool(demand.replicas) or found.replicas <= BOTTOM
        if is_kept:
            reasons += (because(Code.COOLDOWN, found.replicas, until=until),)
        return replace(found, reasons=reasons)
    if current < low:
        found = unchanged(given, memory, current)
    else:
        found = _evaluated(given, demand, memory, moment, idle=True)
    reasons += found.reasons
    if found.replicas > low:
        return replace(found, reasons=reasons)
    return _to_rest(given, replace(found, reasons=reasons), rest, moment)


def _to_rest(given: PoolInput, found: Limits, rest: int, moment: Moment) -> Limits:
    """Remove the last replicas after the cooldown: no window applies, but the rate policies do."""
    pool, bounds, memory = given.terms.pool, given.override.bounds, found.memory
    limited = limit_change(
        given.current,
        rest,
        low=rest,
        high=bounds.max,
        behavior=pool.behavior,
        added=memory.scaled_up,
        removed=memory.scaled_down,
        moment=moment,
    )
    reasons = limited.because()
    if limited.replicas == rest:
        code = Code.RESTING if rest else Code.ASLEEP
        reasons = (because(code, rest, cooldown_s=pool.cooldown_s),)
    return replace(
        found,
        replicas=limited.replicas,
        bound=Bound.DEMAND,
        min=min(bounds.min, rest),
        unstabilized=rest,
        reasons=found.reasons + reasons,
    )


def _cooldown_until(given: PoolInput, memory: PoolMemory) -> float:
    """When the cooldown of an idle pool ends. It begins with the last activity; if there was none,
    the initial cooldown begins with the memory.
    """
    pool = given.terms.pool
    if memory.active_since is not None:
        return max(given.planned_at, memory.active_since) + pool.cooldown_s
    if memory.last_active_at is None:
        return memory.since + pool.initial_cooldown_s
    return memory.last_active_at + pool.cooldown_s


def _floor_at_rest(given: PoolInput, rest: int | None) -> int:
    """The floor of an idle pool: a pool that rests below min is not raised to min."""
    minimum = given.override.bounds.min
    return given.current if rest is not None and given.current < minimum else minimum


def _activated(given: PoolInput, demand: Demand, replicas: int) -> tuple[Reason, ...]:
    """Why the pool is active, unless its wake-up says so already."""
    activator, activation = demand.activator, given.terms.pool.activation
    if activator is not None and activator["metric"] != QUEUE:
        return (because(Code.ACTIVATED_BY_METRIC, replicas, **activator),)
    if (messages := demand.messages or 0) > activation:
        if demand.woken:
            return ()
        return (because(Code.ACTIVATED, replicas, messages=messages, activation=activation),)
    return (because(Code.ACTIVATION_FORCED, replicas),) if demand.forced else ()


def _inactive(given: PoolInput, demand: Demand) -> tuple[Reason, ...]:
    """The reason if there is work, but too little to activate the pool."""
    messages, activation = demand.messages or 0, given.terms.pool.activation
    if not 0 < messages <= activation:
        return ()
    return (because(Code.INACTIVE, messages=messages, activation=activation),)


def _unusable(demand: Demand) -> tuple[Reason, ...]:
    if demand.unusable is None:
        return ()
    return (Reason(code=Code.METRIC_UNKNOWN, numbers=demand.unusable),)


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
) -> Limits:
    """A size that is not calculated from the demand, so that the last recommendation has ended."""
    history = ended(memory.recommendations, given.planned_at)
    if history is not memory.recommendations:
        memory = replace(memory, recommendations=history)
    return Limits(
        replicas=replicas,
        bound=bound,
        min=given.override.bounds.min if minimum is None else minimum,
        unstabilized=given.current if bound is Bound.DEMAND else replicas,
        max=given.override.bounds.max,
        memory=memory,
        reasons=reasons,
    )


def by_metrics(
    given: PoolInput, memory: PoolMemory, proposal: int | None, moment: Moment
) -> Limits:
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
) -> Limits:
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
) -> Limits:
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
    if limited.code is Code.RATE_LIMITED_UP and is_plain:
        reasons = (because(Code.RATE_LIMITED_UP, limited.replicas, policy=_GROWTH),)
    if max(stable, low) != wanted:
        window = held_by_window(
            given, memory, behavior, stable=stable, wanted=wanted, moment=moment
        )
        reasons = (*window, *reasons)
    bound = Bound.MAX if limited.at_max else Bound.DEMAND
    if limited.replicas == bounds.min > asked:
        bound = Bound.MIN
    after = remember(history, asked, window_s, planned_at=planned_at, moment=moment)
    if after is not history:
        memory = replace(memory, recommendations=after)
    return Limits(
        replicas=limited.replicas,
        bound=bound,
        min=bounds.min,
        unstabilized=wanted,
        max=bounds.max,
        memory=memory,
        reasons=reasons,
    )
