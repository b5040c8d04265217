"""KEDA's fallback: the value that stands in for a trigger that keeps failing.

Source: kedacore/keda pkg/fallback/fallback.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from controller.model.metrics import (
    AverageValueTarget,
    Fallback,
    FallbackBehavior,
    ValueTarget,
)
from controller.model.value import Value

_MILLI: Final = 1000
_POSITIVE_INTEGER: Final = re.compile(r"\+?[0-9]+")


class HealthStatus(StrEnum):
    """How the last read of a trigger went."""

    HAPPY = "Happy"
    FAILING = "Failing"


class Health(Value):
    """How often in a row a trigger has failed."""

    failures: int = 0
    status: HealthStatus = HealthStatus.HAPPY


class FormulaTarget(NamedTuple):
    """The target of scalingModifiers as it is written, and its type."""

    target: str
    is_average: bool = True


class Situation(NamedTuple):
    """What a fallback looks at besides its trigger. `replicas` and `ready_pods` are None where they
    cannot be read; `others` is the health of the object's other triggers.
    """

    target: AverageValueTarget | ValueTarget
    replicas: int | None = None
    ready_pods: int | None = None
    others: Mapping[str, Health] = {}
    modifiers: FormulaTarget | None = None


class Supplied(NamedTuple):
    """What the HPA gets for a trigger.

    `value_milli` is None where `error` says why, or where the formula gets nil (`is_nil`).
    `health` and `exists`, the condition Fallback, are None where no health is tracked.
    """

    value_milli: int | None
    error: str | None = None
    active: bool = False
    is_nil: bool = False
    health: Health | None = None
    exists: bool | None = None


def is_valid(fallback: Fallback, modifiers: FormulaTarget | None = None) -> bool:
    """Whether a fallback can be used: none of its numbers is negative, and with modifiers their
    target is a positive integer.
    """
    if modifiers is not None:
        target = modifiers.target
        if _POSITIVE_INTEGER.fullmatch(target) is None or not 0 < int(target) < 2**63:
            return False
    return fallback.failure_threshold >= 0 and fallback.replicas >= 0


def supply(
    read: int | str, fallback: Fallback | None, health: Health | None, around: Situation
) -> Supplied:
    """The value for one trigger; `read` is what it answered in thousandths, or its error.

    A failure is passed on as an error until there are more in a row than the threshold.
    """
    if fallback is None or not is_valid(fallback, around.modifiers):
        return Supplied(None, error=read) if isinstance(read, str) else Supplied(read)
    if isinstance(read, int):
        health = Health()
        return Supplied(read, health=health, exists=_exists(fallback, health, around))
    failures = (health.failures if health is not None else 0) + 1
    health = Health(failures=failures, status=HealthStatus.FAILING)
    found = Supplied(None, error=read)
    if failures > fallback.failure_threshold:
        found = _fallback_value(read, fallback, around)
    return found._replace(health=health, exists=_exists(fallback, health, around))


def trigger_is_nil(fallback: Fallback | None, failures: int | None) -> bool:
    """Whether a formula gets nil for a trigger: with behavior scalingModifiers, once it has failed
    more often in a row than the threshold.
    """
    return (
        fallback is not None
        and fallback.behavior is FallbackBehavior.SCALING_MODIFIERS
        and failures is not None
        and failures > fallback.failure_threshold
    )


def _fallback_value(error: str, fallback: Fallback, around: Situation) -> Supplied:
    if fallback.behavior is FallbackBehavior.SCALING_MODIFIERS:
        return Supplied(None, is_nil=True)
    replicas = _replicas(fallback, around.replicas)
    if replicas is None:
        return Supplied(None, error=error)
    value_milli = _worth(replicas, around)
    if value_milli is None:
        return Supplied(None, error="error performing fallback")
    return Supplied(value_milli, active=True)


def _exists(fallback: Fallback, health: Health, around: Situation) -> bool:
    """Whether any trigger of the object is falling back."""
    return any(
        one.status is HealthStatus.FAILING and one.failures > fallback.failure_threshold
        for one in (health, *around.others.values())
    )


def _replicas(fallback: Fallback, current: int | None) -> int | None:
    """The replicas that the value stands for; None where that takes an unknown present size."""
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


def _worth(replicas: int, around: Situation) -> int | None:
    """The value with which the HPA asks for these replicas; None for a Value target without a ready
    pod.
    """
    if around.modifiers is not None:
        target_milli = int(around.modifiers.target) * _MILLI
        is_average = around.modifiers.is_average
    else:
        target_milli = around.target.milli
        is_average = isinstance(around.target, AverageValueTarget)
    if is_average:
        return target_milli * replicas
    if not around.ready_pods:
        return None
    return target_milli * replicas // around.ready_pods
