"""KEDA's fallback: the value that replaces a metric that keeps failing.

Source: kedacore/keda pkg/fallback/fallback.go.
"""

from __future__ import annotations

from typing import NamedTuple

from controller.model.limits import INT64_MAX, MILLI
from controller.model.metrics import (
    AverageValueTarget,
    Fallback,
    FallbackBehavior,
    Modifiers,
    ValueTarget,
)


class FallbackValue(NamedTuple):
    """The value that replaces a metric that could not be read.

    `value_milli` is None if there is none. `is_nil`: a formula gets nil for it.
    """

    value_milli: int | None = None
    is_nil: bool = False


NO_FALLBACK_VALUE: FallbackValue = FallbackValue()


def is_usable(fallback: Fallback | None, modifiers: Modifiers | None) -> bool:
    """Whether there is a fallback that can be used. KEDA: with modifiers, their target must be a
    positive integer.
    """
    if fallback is None:
        return False
    if modifiers is None:
        return True
    units, rest = divmod(modifiers.target_milli, MILLI)
    return not rest and 0 < units <= INT64_MAX


def fallback_value(
    fallback: Fallback,
    failures: int,
    *,
    target: AverageValueTarget | ValueTarget,
    current: int | None,
    ready_pods: int | None,
) -> FallbackValue:
    """The value after so many failures in a row; none until they exceed the threshold. `current`
    and `ready_pods` are None where they are not known.

    Unlike in KEDA, a fallback of 0 replicas is no value: missing metrics never remove replicas.
    """
    if failures <= fallback.failure_threshold:
        return NO_FALLBACK_VALUE
    if fallback.behavior is FallbackBehavior.SCALING_MODIFIERS:
        return FallbackValue(is_nil=True)
    replicas = _replicas(fallback, current)
    return FallbackValue(worth_milli(replicas, target, ready_pods) or None)


def worth_milli(
    replicas: int | None, target: AverageValueTarget | ValueTarget, ready_pods: int | None
) -> int | None:
    """The value for which the HPA proposes so many replicas; None if there is none, which is so for
    a Value target without a ready pod.
    """
    if replicas is None:
        return None
    if isinstance(target, AverageValueTarget):
        return target.milli * replicas
    return target.milli * replicas // ready_pods if ready_pods else None


def _replicas(fallback: Fallback, current: int | None) -> int | None:
    """The replicas of the fallback; None if they depend on the present size and it is unknown."""
    if fallback.behavior is FallbackBehavior.STATIC:
        return fallback.replicas
    if current is None:
        return None
    match fallback.behavior:
        case FallbackBehavior.CURRENT_IF_HIGHER:
            return max(current, fallback.replicas)
        case FallbackBehavior.CURRENT_IF_LOWER:
            return min(current, fallback.replicas)
        case _:
            return current
