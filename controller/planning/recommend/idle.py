"""What both rules share about idle pools: zero, the idle size, the cooldown.

Source: KEDA pkg/scaling/executor/scale_scaledobjects.go; its comparisons are strict.
"""

from __future__ import annotations

from typing import Final

from controller.model.decision import Bound, Code, Reason
from controller.model.limits import MILLI
from controller.model.memory import PoolMemory
from controller.model.metrics import QUEUE
from controller.planning.inputs import Moment, PoolInput
from controller.planning.recommend.behavior import limit_change
from controller.planning.recommend.explained import explain_policy
from controller.planning.recommend.recommendation import Sized, add_reason
from controller.planning.values import Demand

BOTTOM: Final = 1
"""KEDA: the HPA of a pool that may go to zero has minReplicas 1."""


def resting_size(given: PoolInput) -> int | None:
    """The size of an idle pool: zero if its min is zero, KEDA's idle replicas if they are below its
    min, else None: it keeps its min. It also keeps its min while a schedule is open.
    """
    bounds = given.override.bounds
    if bounds.min == 0:
        return 0
    idle = given.terms.pool.idle
    if idle is None or idle >= bounds.min or bounds.scheduled:
        return None
    return max(idle, 0)


def is_switched_off(given: PoolInput, demand: Demand, rest: int | None) -> bool:
    """HPA: zero replicas with a min above zero mean that the pool was switched off by hand. That
    does not hold if the plan itself scaled to zero, if the pool rests below min, or if its
    activation is forced.
    """
    return (
        given.current == 0
        and given.override.bounds.min > 0
        and not given.memory.own_zero
        and rest is None
        and not demand.forced
    )


def cooldown_until(given: PoolInput, memory: PoolMemory) -> float:
    """When the cooldown of an idle pool ends. It begins with the last activity; if there was none,
    the initial cooldown begins with the memory.
    """
    pool = given.terms.pool
    if memory.active_since is not None:
        return max(given.planned_at, memory.active_since) + pool.cooldown_s
    if memory.last_active_at is None:
        return memory.since + pool.initial_cooldown_s
    return memory.last_active_at + pool.cooldown_s


def floor_at_rest(given: PoolInput, rest: int | None) -> int:
    """The floor of an idle pool: a pool that rests below min is not raised to min."""
    minimum = given.override.bounds.min
    return given.current if rest is not None and given.current < minimum else minimum


def scale_to_rest(
    given: PoolInput, memory: PoolMemory, rest: int, moment: Moment, reasons: list[Reason]
) -> Sized:
    """Remove the last replicas after the cooldown: no window applies, but the rate policies do."""
    pool = given.terms.pool
    limited = limit_change(
        given.current,
        rest,
        low=rest,
        high=given.override.bounds.max,
        behavior=pool.behavior,
        added=memory.scaled_up,
        removed=memory.scaled_down,
        moment=moment,
    )
    if limited.replicas == rest:
        code = Code.RESTING if rest else Code.ASLEEP
        add_reason(reasons, code, rest, cooldown_s=pool.cooldown_s)
    else:
        explain_policy(reasons, Code.RATE_LIMITED_DOWN, limited)
    return Sized(limited.replicas, rest, memory.recommendations, Bound.DEMAND)


def explain_activation(
    given: PoolInput, demand: Demand, replicas: int, reasons: list[Reason]
) -> None:
    """Add the reason why the pool is active, unless its wake-up already gives it."""
    messages, activation = demand.work.messages or 0, given.terms.pool.activation
    activator = demand.activator
    if activator is not None and activator.name != QUEUE:
        add_reason(
            reasons,
            Code.ACTIVATED_BY_METRIC,
            replicas,
            metric=activator.name,
            measured=activator.milli / MILLI,
            activation=activator.activation_milli / MILLI,
        )
    elif messages > activation:
        if not demand.work.woken:
            add_reason(reasons, Code.ACTIVATED, replicas, messages=messages, activation=activation)
    elif demand.forced:
        add_reason(reasons, Code.ACTIVATION_FORCED, replicas)


def explain_inactive(given: PoolInput, demand: Demand, reasons: list[Reason]) -> None:
    """Add the reason if there is work, but too little to activate the pool."""
    messages, activation = demand.work.messages or 0, given.terms.pool.activation
    if 0 < messages <= activation:
        add_reason(reasons, Code.INACTIVE, messages=messages, activation=activation)


def explain_below_min(
    given: PoolInput, until: float, reasons: list[Reason], *, cooling: bool
) -> None:
    """Add the reason why an idle pool with fewer replicas than min is not raised to min."""
    if cooling:
        add_reason(reasons, Code.COOLDOWN, given.current, until=until)
    else:
        add_reason(reasons, Code.RESTING, given.current, cooldown_s=given.terms.pool.cooldown_s)
