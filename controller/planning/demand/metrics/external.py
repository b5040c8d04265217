"""The proposal of one Object or External metric, as the HPA computes it: quantities are integers in
thousandths, ratios are floats.

Source: kubernetes pkg/controller/podautoscaler/replica_calculator.go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from controller.model.limits import INT32_MAX, INT64_MAX
from controller.planning.inputs import Tolerance


class MetricFault(StrEnum):
    """Why a metric proposes nothing. Each needs a different action by the operator."""

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

    def __init__(self, fault: MetricFault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


class Proposal(NamedTuple):
    """Replicas that a metric asks for, and the usage to show beside its target, in thousandths.

    `needed` are the replicas for this usage without the tolerance.
    """

    replicas: int
    usage_milli: int
    needed: int


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
        replicas = whole(ratio)
        return Proposal(replicas, value_milli, replicas)
    if tolerance.holds(ratio):
        needed = current if ready_pods is None else whole(ratio * ready_pods)
        return Proposal(current, value_milli, min(needed, current))
    if ready_pods is None:
        raise MetricError(
            MetricFault.NO_PODS,
            "unable to calculate ready pods: "
            "no pods returned by selector while calculating replica count",
        )
    replicas = whole(ratio * ready_pods)
    return Proposal(replicas, value_milli, replicas)


def object_average_value(
    value_milli: int, target_milli: int, status_replicas: int, tolerance: Tolerance
) -> Proposal:
    """Object with an AverageValue target: the status's replicas within tolerance, else the value
    divided by the target (GetObjectPerPodMetricReplicas). Without replicas the average is shown as
    0.
    """
    value = float(value_milli)
    needed = whole(value / target_milli)
    if status_replicas == 0:
        return Proposal(needed, 0, needed)
    # HPA: a saturated sum is shown undivided
    saturated = value >= float(INT64_MAX)
    average = value_milli if saturated else math.ceil(value / status_replicas)
    if tolerance.holds(value / (float(target_milli) * status_replicas)):
        return Proposal(status_replicas, average, min(needed, status_replicas))
    return Proposal(needed, average, needed)


def whole(replicas: float) -> int:
    """Rounded up to whole replicas, at most as many as Kubernetes can count."""
    return min(math.ceil(replicas), INT32_MAX)


def _total(values_milli: Sequence[int]) -> int:
    """The sum, or the largest quantity as soon as it is reached."""
    total = 0
    for value in values_milli:
        total += value
        if total > INT64_MAX:
            return INT64_MAX
    return total
