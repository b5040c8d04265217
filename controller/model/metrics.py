"""Metrics in the terms of autoscaling/v2: what is compared with which target, and what was read.

Quantities are integers in thousandths of the metric's unit; times are Unix seconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from controller.model.readings import Reading
from controller.model.value import Amount, Time, Value


class ValueTarget(Value, tag="Value"):
    """The target for the metric's value, in thousandths; above 0."""

    milli: int


class AverageValueTarget(Value, tag="AverageValue"):
    """The target for the metric's value per replica, in thousandths; above 0."""

    milli: int


class UtilizationTarget(Value, tag="Utilization"):
    """The target for the use as a percentage of the pods' requests; above 0."""

    percent: int


class ExternalMetric(Value, tag="External"):
    """Series that belong to no Kubernetes object; the metric is their sum. `selector` is the label
    selector as text, empty for none.
    """

    name: str
    target: ValueTarget | AverageValueTarget
    selector: str = ""


class ObjectMetric(Value, tag="Object"):
    """One value that describes one Kubernetes object; an empty `api_version` is the core group."""

    name: str
    target: ValueTarget | AverageValueTarget
    kind: str = ""
    object_name: str = ""
    api_version: str = ""
    selector: str = ""


class PodsMetric(Value, tag="Pods"):
    """A value that each pod of the target has; the metric is their average."""

    name: str
    target: AverageValueTarget
    selector: str = ""


class ResourceMetric(Value, tag="Resource"):
    """CPU or memory of the target's pods, summed over all containers of a pod."""

    resource: str
    target: UtilizationTarget | AverageValueTarget


class ContainerResourceMetric(Value, tag="ContainerResource"):
    """CPU or memory of one container in each of the target's pods."""

    resource: str
    container: str
    target: UtilizationTarget | AverageValueTarget


MetricSpec: TypeAlias = (
    ExternalMetric | ObjectMetric | PodsMetric | ResourceMetric | ContainerResourceMetric
)


QUEUE: Final = "queue"
"""The name of the External metric that every pool has: its messages pending and in flight."""


class TargetType(StrEnum):
    """Whether a metric is compared per replica or as a whole (autoscaling/v2 MetricTargetType)."""

    AVERAGE_VALUE = "AverageValue"
    VALUE = "Value"


class Modifiers(Value):
    """KEDA's scalingModifiers: a formula whose value replaces the metrics that it names.

    `target_milli` is above 0. The pool is active while the value is above `activation_milli`.
    """

    formula: str
    target_milli: int
    activation_milli: int = 0
    metric_type: TargetType = TargetType.AVERAGE_VALUE

    @property
    def target(self) -> AverageValueTarget | ValueTarget:
        """The target for the formula's value, as the target of an External metric."""
        if self.metric_type is TargetType.VALUE:
            return ValueTarget(milli=self.target_milli)
        return AverageValueTarget(milli=self.target_milli)


class FallbackBehavior(StrEnum):
    """The number of replicas to use for a failing metric (KEDA's spec.fallback.behavior)."""

    STATIC = "static"
    CURRENT = "currentReplicas"
    CURRENT_IF_HIGHER = "currentReplicasIfHigher"
    CURRENT_IF_LOWER = "currentReplicasIfLower"
    SCALING_MODIFIERS = "scalingModifiers"


class Fallback(Value):
    """KEDA's fallback, used after a metric failed more than `failure_threshold` times in a row."""

    failure_threshold: int
    replicas: int
    behavior: FallbackBehavior = FallbackBehavior.STATIC


class Series(Value, tag="series"):
    """An answer of the external metrics API: the value of each series."""

    values_milli: tuple[int, ...]


class Figure(Value, tag="figure"):
    """An answer of the custom metrics API about one object."""

    value_milli: int


class PodFigure(Value):
    """One pod in an answer of the custom metrics API. `at` is the end of the window."""

    pod: str
    value_milli: int
    at: Time
    window_s: float


class PodFigures(Value, tag="pod_figures"):
    """An answer of the custom metrics API about the target's pods."""

    items: tuple[PodFigure, ...]


class PodUsage(Value):
    """One pod in an answer of the resource metrics API: the use of each container in thousandths,
    None if the resource is missing. `at` is the end of the window.
    """

    pod: str
    containers: dict[str, Amount | None]
    at: Time
    window_s: float


class PodUsages(Value, tag="pod_usages"):
    """An answer of the resource metrics API about one resource of the target's pods."""

    items: tuple[PodUsage, ...]


MetricValue: TypeAlias = Series | Figure | PodFigures | PodUsages


class MeasuredMetric(Value):
    """One metric of a pool and its last reading."""

    spec: MetricSpec
    reading: Reading[MetricValue]


class StatusPhase(StrEnum):
    """status.phase of a pod, as the HPA reads it."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


class ConditionStatus(StrEnum):
    """status of a Kubernetes condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class PodReadiness(Value):
    """The Ready condition of a pod, and since when it has this status (lastTransitionTime)."""

    status: ConditionStatus
    since: Time


class ContainerRequest(Value):
    """The requests of one container by resource, in thousandths. Of init containers only
    restartable ones (sidecars) are listed.
    """

    name: str
    requests_milli: dict[str, int]


class MeasuredPod(Value):
    """One pod of the target as the HPA sees it.

    `sidecars` are its restartable init containers; `requests_milli` are the requests of the pod as
    a whole, by resource.
    """

    name: str
    phase: StatusPhase
    deleting: bool = False
    started_at: Time | None = None
    readiness: PodReadiness | None = None
    containers: tuple[ContainerRequest, ...] = ()
    sidecars: tuple[ContainerRequest, ...] = ()
    requests_milli: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def is_serving(self) -> bool:
        """Whether the pod is Running and Ready, even if it is being deleted."""
        return (
            self.phase is StatusPhase.RUNNING
            and self.readiness is not None
            and self.readiness.status is ConditionStatus.TRUE
        )
