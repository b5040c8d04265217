"""Metrics as autoscaling/v2 spells them: what is watched against which target, and what was read.

Quantities are integers in thousandths of the metric's unit; times are Unix seconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from controller.model.readings import Reading
from controller.model.value import Value


class ValueTarget(Value, tag="Value"):
    """The metric itself should be this; more than 0."""

    milli: int


class AverageValueTarget(Value, tag="AverageValue"):
    """The metric divided by the replicas should be this; more than 0."""

    milli: int


class UtilizationTarget(Value, tag="Utilization"):
    """The use should be this part of what the pods request, in whole percent; more than 0."""

    percent: int


class ExternalMetric(Value, tag="External"):
    """Series that have nothing to do with Kubernetes objects; their sum counts. `selector` is the
    label selector as text, empty for none.
    """

    name: str
    target: ValueTarget | AverageValueTarget
    selector: str = ""


class ObjectMetric(Value, tag="Object"):
    """One figure that describes one Kubernetes object; an empty `api_version` is the core group."""

    name: str
    target: ValueTarget | AverageValueTarget
    kind: str = ""
    object_name: str = ""
    api_version: str = ""
    selector: str = ""


class PodsMetric(Value, tag="Pods"):
    """A figure that each pod of the target has."""

    name: str
    target: AverageValueTarget
    selector: str = ""


class ResourceMetric(Value, tag="Resource"):
    """CPU or memory of the target's pods, all their containers together."""

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
"""The External metric that every pool has: its messages pending and in flight."""


class TargetType(StrEnum):
    """Whether a metric is compared per replica, or as a whole, as autoscaling/v2 spells it."""

    AVERAGE_VALUE = "AverageValue"
    VALUE = "Value"


class Modifiers(Value):
    """KEDA's scalingModifiers: a formula whose value replaces the metrics that it names. The target
    is more than 0; the pool is active while the value is strictly above `activation_milli`.
    """

    formula: str
    target_milli: int
    activation_milli: int = 0
    metric_type: TargetType = TargetType.AVERAGE_VALUE

    @property
    def target(self) -> AverageValueTarget | ValueTarget:
        """What the formula's value should be, as an External metric's target."""
        if self.metric_type is TargetType.VALUE:
            return ValueTarget(milli=self.target_milli)
        return AverageValueTarget(milli=self.target_milli)


class FallbackBehavior(StrEnum):
    """Which number of replicas a failing metric stands for, as KEDA spells it."""

    STATIC = "static"
    CURRENT = "currentReplicas"
    CURRENT_IF_HIGHER = "currentReplicasIfHigher"
    CURRENT_IF_LOWER = "currentReplicasIfLower"
    SCALING_MODIFIERS = "scalingModifiers"


class Fallback(Value):
    """KEDA's fallback: used once a metric failed more than `failure_threshold` times in a row."""

    failure_threshold: int
    replicas: int
    behavior: FallbackBehavior = FallbackBehavior.STATIC


class Series(Value, tag="series"):
    """What the external metrics API answered: the value of each series."""

    values_milli: tuple[int, ...]


class Figure(Value, tag="figure"):
    """What the custom metrics API answered about one object."""

    value_milli: int


class PodFigure(Value):
    """What the custom metrics API answered about one pod. `at` is the end of the window."""

    pod: str
    value_milli: int
    at: float
    window_s: float


class PodFigures(Value, tag="pod_figures"):
    """What the custom metrics API answered about the target's pods."""

    items: tuple[PodFigure, ...]


class PodUsage(Value):
    """What the resource metrics API answered about one pod: each container's use, None where the
    resource is missing. `at` is the end of the window.
    """

    pod: str
    containers: dict[str, int | None]
    at: float
    window_s: float


class PodUsages(Value, tag="pod_usages"):
    """What the resource metrics API answered about one resource of the target's pods."""

    items: tuple[PodUsage, ...]


MetricValue: TypeAlias = Series | Figure | PodFigures | PodUsages


class MeasuredMetric(Value):
    """One metric of a pool and what was last read of it."""

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
    """The Ready condition of a pod and since when it is so."""

    status: ConditionStatus
    since: float


class ContainerRequest(Value):
    """What one container asks for, by resource. An init container counts only if it is
    restartable.
    """

    name: str
    requests_milli: dict[str, int]


class MeasuredPod(Value):
    """One pod of the target as the HPA sees it. `sidecars` are its restartable init containers;
    `requests_milli` is what the pod as a whole asks for, by resource.
    """

    name: str
    phase: StatusPhase
    deleting: bool = False
    started_at: float | None = None
    readiness: PodReadiness | None = None
    containers: tuple[ContainerRequest, ...] = ()
    sidecars: tuple[ContainerRequest, ...] = ()
    requests_milli: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def is_serving(self) -> bool:
        """Running and Ready, whether it is being deleted or not."""
        return (
            self.phase is StatusPhase.RUNNING
            and self.readiness is not None
            and self.readiness.status is ConditionStatus.TRUE
        )
