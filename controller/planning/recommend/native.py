"""The recommendation of rule native: what an HPA and KEDA together would set.

The HPA's part moves between max(min, 1) and max by windows and rate policies. KEDA's part takes
only the first step from zero, at once, and the last step back, after the cooldown. KEDA itself
jumps from any size to zero; here every step down obeys the policies.
"""

from __future__ import annotations

from controller.model.decision import Bound, Code, Reason
from controller.model.memory import PoolMemory
from controller.planning.inputs import Moment, PoolInput
from controller.planning.recommend.behavior import limit_change, longest_window_s, stabilize
from controller.planning.recommend.explained import explain_limit, explain_window
from controller.planning.recommend.history import History, remember, seeded
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


def recommend_native(
    given: PoolInput, demand: Demand, rest: int | None, moment: Moment
) -> Recommendation:
    """The size that the rule wants for this demand; `rest` is the size of an idle pool."""
    if not demand.work.counted:
        return _blind(given, demand, rest, moment)
    if given.current == 0:
        return _from_zero(given, demand, rest, moment)
    return _running(given, demand, rest, moment)


def _blind(given: PoolInput, demand: Demand, rest: int | None, moment: Moment) -> Recommendation:
    """Without a complete answer no replica is removed. Work that is known may still add replicas. A
    wake-up, or work that the pool's past makes likely, still scales it up from zero.
    """
    reasons: list[Reason] = []
    current, asked = given.current, demand.work.demand or 0
    if not (demand.active or demand.expects_work) and _may_rest(given, rest, moment):
        return made(given, kept_size(given), reasons, minimum=floor_at_rest(given, rest))
    if asked > max(current, BOTTOM):
        sized = _by_behavior(given, demand, given.memory, asked, moment=moment, reasons=reasons)
    else:
        sized = kept_size(given, BOTTOM if current == 0 else current)
    return made(given, sized, reasons)


def _may_rest(given: PoolInput, rest: int | None, moment: Moment) -> bool:
    """Whether an inactive pool is at its size at rest, or its cooldown has ended."""
    if given.current == 0:
        return True
    return rest is not None and moment.passed(cooldown_until(given, given.memory))


def _from_zero(
    given: PoolInput, demand: Demand, rest: int | None, moment: Moment
) -> Recommendation:
    """The pool stays at zero, or one plan activates it as far as windows and policies allow."""
    reasons: list[Reason] = []
    if not (demand.active or demand.expects_work):
        explain_inactive(given, demand, reasons)
        return made(given, kept_size(given), reasons, minimum=floor_at_rest(given, rest))
    sized = _by_behavior(
        given, demand, given.memory, demand.work.demand or 0, moment=moment, reasons=reasons
    )
    replicas = max(sized.replicas, BOTTOM)
    explain_activation(given, demand, replicas, reasons)
    return made(given, sized, reasons, replicas=replicas)


def _running(given: PoolInput, demand: Demand, rest: int | None, moment: Moment) -> Recommendation:
    reasons: list[Reason] = []
    current, asked = given.current, demand.work.demand or 0
    memory = seeded(given.memory, current, moment.now)
    if demand.active or rest is None or demand.expects_work:
        sized = _by_behavior(given, demand, memory, asked, moment=moment, reasons=reasons)
        return made(given, sized, reasons, memory=memory)
    low = max(given.override.bounds.min, BOTTOM)
    explain_inactive(given, demand, reasons)
    until = cooldown_until(given, memory)
    cooling = not moment.passed(until)
    if current < low and (cooling or current <= rest):
        explain_below_min(given, until, reasons, cooling=cooling)
        minimum = floor_at_rest(given, rest)
        return made(given, kept_size(given), reasons, memory=memory, minimum=minimum)
    if cooling:
        sized = _by_behavior(given, demand, memory, asked, moment=moment, reasons=reasons)
        if asked > 0 or sized.replicas <= BOTTOM:
            add_reason(reasons, Code.COOLDOWN, sized.replicas, until=until)
        return made(given, sized, reasons, memory=memory)
    sized = kept_size(given, memory=memory)
    if current >= low:
        sized = _by_behavior(given, demand, memory, 0, moment=moment, reasons=reasons)
    if sized.replicas > low:
        return made(given, sized, reasons, memory=memory)
    last = scale_to_rest(given, memory, rest, moment=moment, reasons=reasons)
    last = Sized(last.replicas, last.unstabilized, sized.history)
    minimum = min(given.override.bounds.min, rest)
    return made(given, last, reasons, memory=memory, minimum=minimum)


def _earlier(history: History, raw: int) -> History:
    """The recommendations before this one, so without an open run of the same number."""
    goes_on = bool(history) and history[-1].last_at is None and history[-1].replicas == raw
    return history[:-1] if goes_on else history


def _by_behavior(
    given: PoolInput,
    demand: Demand,
    memory: PoolMemory,
    raw: int,
    *,
    moment: Moment,
    reasons: list[Reason],
) -> Sized:
    """The HPA's part: windows, then rates with min and max. The history gets the raw number."""
    terms, current, bounds = given.terms, given.current, given.override.bounds
    behavior = terms.pool.behavior
    if demand.settled and not terms.pool.window_given:
        # what was learned says what is worth keeping, so no default downward window is needed
        behavior = terms.learned_behavior
    low = max(bounds.min, BOTTOM)
    wanted = max(raw, low)
    stable = stabilize(
        current,
        wanted,
        _earlier(memory.recommendations, raw),
        behavior,
        planned_at=given.planned_at,
        moment=moment,
    )
    if max(stable, low) != wanted:
        explain_window(
            given,
            memory,
            behavior,
            stable=stable,
            wanted=wanted,
            moment=moment,
            reasons=reasons,
        )
    replicas, bound = stable, Bound.DEMAND
    if stable != current:
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
        replicas = limited.replicas
        bound = explain_limit(limited, reasons) or bound
    if replicas == bounds.min > raw:
        bound = Bound.MIN
    history = remember(
        memory.recommendations,
        raw,
        longest_window_s(behavior),
        planned_at=given.planned_at,
        moment=moment,
    )
    return Sized(replicas, wanted, history, bound)
