"""The reasons of windows and rate policies."""

from __future__ import annotations

from controller.model.decision import Bound, Code, Reason
from controller.model.fleet import Behavior, PolicyType, SelectPolicy
from controller.model.memory import PoolMemory
from controller.planning.inputs import Moment, PoolInput
from controller.planning.recommend.behavior import Limited, LimitReason
from controller.planning.recommend.history import History, warm_until
from controller.planning.recommend.recommendation import add_reason


def explain_window(
    given: PoolInput,
    memory: PoolMemory,
    behavior: Behavior,
    *,
    stable: int,
    wanted: int,
    moment: Moment,
    reasons: list[Reason],
) -> None:
    """Add the reason of the window that holds the number, and until when it does."""
    if stable < wanted:
        window_s = behavior.scale_up.stabilization_window_s
        last_at = _last_given(memory.recommendations, given.planned_at, at_most=stable)
        code = Code.STABILIZED_UP
    elif not moment.reached(warm_until(given.terms, memory)):
        return  # the pool is warming up: the gate gives the reason
    else:
        window_s = behavior.scale_down.stabilization_window_s
        last_at = _last_given(memory.recommendations, given.planned_at, at_least=stable)
        code = Code.STABILIZED_DOWN
    until = (moment.now if last_at is None else last_at) + window_s
    add_reason(reasons, code, stable, window_s=window_s, until=until)


def explain_limit(limited: Limited, reasons: list[Reason]) -> Bound | None:
    """Add the reason of a policy that limits. Returns Bound.MAX if max limits instead."""
    match limited.reason:
        case LimitReason.SCALE_UP_LIMIT:
            explain_policy(reasons, Code.RATE_LIMITED_UP, limited)
        case LimitReason.SCALE_DOWN_LIMIT:
            explain_policy(reasons, Code.RATE_LIMITED_DOWN, limited)
        case LimitReason.TOO_MANY:
            return Bound.MAX
        case LimitReason.TOO_FEW | LimitReason.WITHIN_RANGE:
            pass  # the caller knows whether min or the cooldown keeps the last replicas
    return None


def explain_policy(reasons: list[Reason], code: Code, limited: Limited) -> None:
    """Add the reason of a rate policy."""
    policy = limited.policy
    if policy is None:
        add_reason(reasons, code, limited.replicas, policy=SelectPolicy.DISABLED.value)
        return
    unit = "%" if policy.type is PolicyType.PERCENT else ""
    add_reason(
        reasons,
        code,
        limited.replicas,
        policy=f"{policy.type.value} {policy.value}{unit} in {policy.period_s} s",
        period_s=policy.period_s,
    )


def _last_given(
    history: History, planned_at: float, *, at_most: int | None = None, at_least: int = 0
) -> float | None:
    """When a recommendation in this range was given last."""
    for run in reversed(history):
        if run.replicas >= at_least and (at_most is None or run.replicas <= at_most):
            return planned_at if run.last_at is None else run.last_at
    return None
