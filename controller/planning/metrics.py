"""What one Object or External metric proposes, as the HPA computes it: quantities are integers in
thousandths, ratios are floats.

Source: kubernetes pkg/controller/podautoscaler/replica_calculator.go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from controller.planning.behavior import REPLICAS_LIMIT

_QUANTITY_LIMIT: Final = 2**63 - 1


class Tolerance(NamedTuple):
    """How far from 1 a ratio may lie without a change; both ends belong to it."""

    down: float = 0.1
    up: float = 0.1

    def holds(self, ratio: float) -> bool:
        """Whether the ratio is close enough to 1."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


class Proposal(NamedTuple):
    """Replicas a metric asks for, and the usage to show beside its target, in thousandths."""

    replicas: int
    usage_milli: int


def external_value(
    values_milli: Sequence[int],
    target_milli: int,
    current: int,
    ready_pods: int,
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
    value_milli: int, target_milli: int, current: int, ready_pods: int, tolerance: Tolerance
) -> Proposal:
    """Object with a Value target: the ratio times the pods that are Running and Ready, terminating
    ones included; from zero the ratio itself, without tolerance (GetObjectMetricReplicas).
    """
    ratio = value_milli / target_milli
    if current == 0:
        return Proposal(_whole(ratio), value_milli)
    if tolerance.holds(ratio):
        return Proposal(current, value_milli)
    return Proposal(_whole(ratio * ready_pods), value_milli)


def object_average_value(
    value_milli: int, target_milli: int, status_replicas: int, tolerance: Tolerance
) -> Proposal:
    """Object with an AverageValue target: the status's replicas within tolerance, else the value by
    the target (GetObjectPerPodMetricReplicas). Without replicas no average is shown: 0.
    """
    if status_replicas == 0:
        return Proposal(_whole(value_milli / target_milli), 0)
    average = math.ceil(value_milli / status_replicas)
    if tolerance.holds(value_milli / (target_milli * status_replicas)):
        return Proposal(status_replicas, average)
    return Proposal(_whole(value_milli / target_milli), average)


def _total(values_milli: Sequence[int]) -> int:
    return min(sum(values_milli), _QUANTITY_LIMIT)


def _whole(replicas: float) -> int:
    return min(math.ceil(replicas), REPLICAS_LIMIT)
