"""What one metric of an HPA proposes, whatever its type, under the HPA's name for it.

Source: kubernetes pkg/controller/podautoscaler/horizontal.go (computeReplicasForMetric,
computeStatusFor...Metric).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from controller.model.metrics import (
    AverageValueTarget,
    ContainerResourceMetric,
    ExternalMetric,
    Figure,
    MeasuredMetric,
    MeasuredPod,
    MetricSpec,
    MetricValue,
    ObjectMetric,
    PodFigures,
    PodsMetric,
    PodUsages,
    ResourceMetric,
    Series,
    UtilizationTarget,
    ValueTarget,
)
from controller.model.readings import Fresh, Reading
from controller.model.value import Value
from reference.metrics import (
    Fault,
    MetricError,
    Proposal,
    Tolerance,
    external_average_value,
    external_value,
    object_average_value,
    object_value,
)
from reference.pod_metrics import (
    Startup,
    figure_samples,
    pod_samples,
    pods_average_value,
    resource_utilization,
    serving_pods,
)


class UnknownMetric(Value):
    """A metric of a type that the HPA does not know. No fleet file can state one."""

    source: str


class ReadMetric(NamedTuple):
    """One metric of an HPA, of a known type or not, and what was read of it."""

    spec: MetricSpec | UnknownMetric
    reading: Reading[MetricValue]


FAILED: Final[Mapping[type, str]] = {
    ExternalMetric: "FailedGetExternalMetric",
    ObjectMetric: "FailedGetObjectMetric",
    PodsMetric: "FailedGetPodsMetric",
    ResourceMetric: "FailedGetResourceMetric",
    ContainerResourceMetric: "FailedGetContainerResourceMetric",
    UnknownMetric: "InvalidMetricSourceType",
}
"""The reason of ScalingActive=False where such a metric proposes nothing."""


class MetricContext(NamedTuple):
    """What all metrics of one pass share: the target, its pods, the HPA's settings, the time."""

    current: int
    status_replicas: int
    pods: tuple[MeasuredPod, ...]
    tolerance: Tolerance
    startup: Startup
    pod_level_requests: bool
    now: float


class MetricStatus(NamedTuple):
    """What to show of one metric: its use in percent of the requests, if it has such a target, and
    its value or average in thousandths.
    """

    percent: int | None
    milli: int


class Proposed(NamedTuple):
    """What a metric asks for, under the name that the HPA's events give it."""

    replicas: int
    name: str
    status: MetricStatus


class Unproposed(NamedTuple):
    """Why a metric asks for nothing; the text is the HPA's own."""

    fault: Fault
    text: str


def propose(measured: MeasuredMetric | ReadMetric, around: MetricContext) -> Proposed:
    """The replicas that one metric asks for. Raises MetricError where it asks for none: a stale or
    absent reading is an unanswered metric.
    """
    spec = measured.spec
    if isinstance(spec, UnknownMetric):
        raise MetricError(Fault.UNKNOWN_TYPE, f'unknown metric source type "{spec.source}"')
    value = _value(measured.reading)
    match spec, value:
        case ExternalMetric(), Series():
            return _external(spec, value, around)
        case ObjectMetric(), Figure():
            return _object(spec, value, around)
        case PodsMetric(), PodFigures():
            return _pods(spec, value, around)
        case ((ResourceMetric() | ContainerResourceMetric()), PodUsages()):
            return _resource(spec, value, around)
        case _:
            raise MetricError(Fault.UNREADABLE, "the answer is not of the metric's kind")


def propose_each(
    metrics: Sequence[MeasuredMetric | ReadMetric], around: MetricContext
) -> tuple[Proposed | Unproposed, ...]:
    """What each metric asks for, or why it asks for nothing, in their order."""
    proposals: list[Proposed | Unproposed] = []
    for measured in metrics:
        try:
            proposals.append(propose(measured, around))
        except MetricError as error:
            proposals.append(Unproposed(error.fault, str(error)))
    return tuple(proposals)


def _value(reading: Reading[MetricValue]) -> MetricValue:
    if isinstance(reading, Fresh):
        return reading.value
    raise MetricError(Fault.UNREADABLE, reading.detail or reading.why.value)


def _external(spec: ExternalMetric, series: Series, around: MetricContext) -> Proposed:
    target = spec.target
    proposal: Proposal | None
    match target:
        case ValueTarget():
            ready = serving_pods(around.pods)
            proposal = external_value(
                series.values_milli, target.milli, around.current, ready, around.tolerance
            )
        case AverageValueTarget():
            proposal = external_average_value(
                series.values_milli, target.milli, around.status_replicas, around.tolerance
            )
    if proposal is None:
        raise MetricError(Fault.NO_SERIES, "no metrics returned from external metrics API")
    return _plain(proposal, f"external metric {spec.name}({spec.selector or 'nil'})")


def _object(spec: ObjectMetric, figure: Figure, around: MetricContext) -> Proposed:
    target, value = spec.target, figure.value_milli
    match target:
        case ValueTarget():
            ready = serving_pods(around.pods)
            return _plain(
                object_value(value, target.milli, around.current, ready, around.tolerance),
                f"{spec.kind} metric {spec.name}",
            )
        case AverageValueTarget():
            return _plain(
                object_average_value(value, target.milli, around.status_replicas, around.tolerance),
                f"external metric {spec.name}({spec.selector or 'nil'})",
            )


def _pods(spec: PodsMetric, figures: PodFigures, around: MetricContext) -> Proposed:
    proposal = pods_average_value(
        figure_samples(figures),
        spec.target.milli,
        current=around.current,
        pods=around.pods,
        tolerance=around.tolerance,
        startup=around.startup,
        now=around.now,
    )
    return _plain(proposal, f"pods metric {spec.name}")


def _resource(
    spec: ResourceMetric | ContainerResourceMetric, usages: PodUsages, around: MetricContext
) -> Proposed:
    container = spec.container if isinstance(spec, ContainerResourceMetric) else ""
    samples = pod_samples(usages, container)
    target = spec.target
    if isinstance(target, UtilizationTarget):
        found = resource_utilization(
            samples,
            target.percent,
            current=around.current,
            pods=around.pods,
            resource=spec.resource,
            container=container,
            tolerance=around.tolerance,
            startup=around.startup,
            now=around.now,
            pod_level=around.pod_level_requests,
        )
        name = f"{spec.resource} resource utilization (percentage of request)"
        return Proposed(found.replicas, name, MetricStatus(found.percent, found.average_milli))
    proposal = pods_average_value(
        samples,
        target.milli,
        current=around.current,
        pods=around.pods,
        tolerance=around.tolerance,
        startup=around.startup,
        now=around.now,
        resource=spec.resource,
    )
    return _plain(proposal, f"{spec.resource} resource")


def _plain(proposal: Proposal, name: str) -> Proposed:
    return Proposed(proposal.replicas, name, MetricStatus(None, proposal.usage_milli))
