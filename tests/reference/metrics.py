"""What one Object or External metric proposes, as the HPA computes it: quantities are integers in
thousandths, ratios are floats.

Source: kubernetes pkg/controller/podautoscaler/replica_calculator.go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from reference.behavior import REPLICAS_LIMIT

_QUANTITY_LIMIT: Final = 2**63 - 1


class Fault(StrEnum):
    """Why a metric proposes nothing. Each calls for another action of the person who reads it."""

    UNREADABLE = "unreadable"
    NO_SERIES = "no_series"
    NO_PODS = "no_pods"
    NO_SAMPLES = "no_samples"
    UNKNOWN_PODS = "unknown_pods"
    NO_REQUEST = "no_request"
    NO_CONTAINER = "no_container"
    UNKNOWN_TYPE = "unknown_type"


class MetricError(ValueError):
    """A metric that proposes nothing; the text is the HPA's own."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


class Tolerance(NamedTuple):
    """How far from 1 a ratio may be without a change, both ends included."""

    down: float = 0.1
    up: float = 0.1

    def holds(self, ratio: float) -> bool:
        """Whether the ratio is close enough to 1."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


class Proposal(NamedTuple):
    """Replicas that a metric asks for, and the usage to show beside its target, in thousandths."""

    replicas: int
    usage_milli: int


def external_value(
    values_milli: Sequence[int],
    target_milli: int,
    current: int,
    ready_pods: int | None,
    tolerance: Tolerance,
) -> Proposal | None:
    """External with a Value target: its series are summed; None where there is no series
    (GetExternalMetricReplicas).
    """
    if not values_milli:
        return None
    return object_value(_total(values_milli), target_milli, current, ready_pods, tolerance)


def external_average_value(
    values_milli: Sequence[int], target_milli: int, status_replicas: int, tolerance: Tolerance
) -> Proposal | None:
    """External with an AverageValue target; None where there is no series
    (GetExternalPerPodMetricReplicas).
    """
    if not values_milli:
        return None
    return object_average_value(_total(values_milli), target_milli, status_replicas, tolerance)


def object_value(
    value_milli: int, target_milli: int, current: int, ready_pods: int | None, tolerance: Tolerance
) -> Proposal:
    """Object with a Value target: the ratio times the pods that are Running and Ready, terminating
    ones included; from zero the ratio itself, without tolerance (GetObjectMetricReplicas).

    `ready_pods` is None where there is no pod at all; raises MetricError where that matters.
    """
    ratio = float(value_milli) / target_milli
    if current == 0:
        return Proposal(_whole(ratio), value_milli)
    if tolerance.holds(ratio):
        return Proposal(current, value_milli)
    if ready_pods is None:
        raise MetricError(
            Fault.NO_PODS,
            "unable to calculate ready pods: "
            "no pods returned by selector while calculating replica count",
        )
    return Proposal(_whole(ratio * ready_pods), value_milli)


def object_average_value(
    value_milli: int, target_milli: int, status_replicas: int, tolerance: Tolerance
) -> Proposal:
    """Object with an AverageValue target: the status's replicas within tolerance, else the value by
    the target (GetObjectPerPodMetricReplicas). Without replicas no average is shown: 0.
    """
    value = float(value_milli)
    if status_replicas == 0:
        return Proposal(_whole(value / target_milli), 0)
    # HPA: a saturated sum is shown as it is
    saturated = value >= float(_QUANTITY_LIMIT)
    average = value_milli if saturated else math.ceil(value / status_replicas)
    if tolerance.holds(value / (float(target_milli) * status_replicas)):
        return Proposal(status_replicas, average)
    return Proposal(_whole(value / target_milli), average)


def _total(values_milli: Sequence[int]) -> int:
    """The sum, or the largest quantity as soon as it is reached."""
    total = 0
    for value in values_milli:
        total += value
        if total > _QUANTITY_LIMIT:
            return _QUANTITY_LIMIT
    return total


def _whole(replicas: float) -> int:
    return min(math.ceil(replicas), REPLICAS_LIMIT)
