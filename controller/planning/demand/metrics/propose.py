"""The proposal of each metric of an HPA, of any type, and the largest of them.

Source: kubernetes pkg/controller/podautoscaler/horizontal.go (computeReplicasForMetrics,
computeStatusFor...Metric).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from controller.model.decision import Code, Number, Reason
from controller.model.limits import MILLI
from controller.model.metrics import (
    AverageValueTarget,
    ContainerResourceMetric,
    ExternalMetric,
    Figure,
    MeasuredMetric,
    MeasuredPod,
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
from controller.planning.demand.metrics.external import (
    MetricError,
    MetricFault,
    Proposal,
    external_average_value,
    external_value,
    object_average_value,
    object_value,
)
from controller.planning.demand.metrics.names import reading_name
from controller.planning.demand.metrics.pods import (
    figure_samples,
    pod_samples,
    pods_average_value,
    resource_utilization,
    serving_pods,
)
from controller.planning.demand.work import blindness
from controller.planning.inputs import Moment, Tolerance
from controller.planning.values import UnusableMetric


class MetricContext(NamedTuple):
    """What all metrics of a pool share: its size, its status's size, its pods, its tolerance."""

    current: int
    status_replicas: int
    pods: tuple[MeasuredPod, ...]
    tolerance: Tolerance
    moment: Moment


class Proposals(NamedTuple):
    """What a pool's metrics ask for together.

    `replicas` is the largest proposal, `needed` the same without tolerance; None if no metric
    proposes anything. `unusable` is the first metric without a proposal.
    """

    replicas: int | None
    needed: int | None
    unusable: UnusableMetric | None


def propose_all(
    metrics: Sequence[MeasuredMetric],
    context: MetricContext,
    known: Sequence[UnusableMetric],
    reasons: list[Reason],
) -> Proposals:
    """The largest proposal, with a reason for each metric. `known` are the metrics that were found
    unusable before, with the reason.
    """
    replicas: int | None = None
    needed: int | None = None
    first: UnusableMetric | None = None
    for metric in metrics:
        try:
            proposal, percent = _propose(metric, context)
        except MetricError as error:
            unusable = _unusable(metric, error, known)
            reasons.append(Reason(code=Code.METRIC_UNKNOWN, numbers=unusable.numbers))
            first = first or unusable
            continue
        _explain(metric, proposal, percent, context, reasons)
        replicas = max(replicas or 0, proposal.replicas)
        needed = max(needed or 0, proposal.needed)
    return Proposals(replicas, needed, first)


def _propose(metric: MeasuredMetric, context: MetricContext) -> tuple[Proposal, int]:
    """The proposal of one metric, and its use in percent of the requests if it has such a target.
    Raises MetricError if it proposes nothing: a stale or absent reading counts like a metric that
    the HPA cannot read.
    """
    spec, value = metric.spec, _value(metric.reading)
    match spec, value:
        case ExternalMetric(), Series():
            return _external(spec, value, context), 0
        case ObjectMetric(), Figure():
            return _object(spec, value, context), 0
        case PodsMetric(), PodFigures():
            return _pods(spec, value, context), 0
        case ((ResourceMetric() | ContainerResourceMetric()), PodUsages()):
            return _resource(spec, value, context)
        case _:
            raise MetricError(MetricFault.UNREADABLE, "the answer is not of the metric's kind")


def _value(reading: Reading[MetricValue]) -> MetricValue:
    if isinstance(reading, Fresh):
        return reading.value
    raise MetricError(MetricFault.UNREADABLE, reading.detail or reading.why.value)


def _external(spec: ExternalMetric, series: Series, context: MetricContext) -> Proposal:
    target = spec.target
    proposal: Proposal | None
    match target:
        case ValueTarget():
            ready = serving_pods(context.pods)
            proposal = external_value(
                series.values_milli, target.milli, context.current, ready, context.tolerance
            )
        case AverageValueTarget():
            proposal = external_average_value(
                series.values_milli, target.milli, context.status_replicas, context.tolerance
            )
    if proposal is None:
        raise MetricError(MetricFault.NO_SERIES, "no metrics returned from external metrics API")
    return proposal


def _object(spec: ObjectMetric, figure: Figure, context: MetricContext) -> Proposal:
    target, value = spec.target, figure.value_milli
    match target:
        case ValueTarget():
            ready = serving_pods(context.pods)
            return object_value(value, target.milli, context.current, ready, context.tolerance)
        case AverageValueTarget():
            return object_average_value(
                value, target.milli, context.status_replicas, context.tolerance
            )


def _pods(spec: PodsMetric, figures: PodFigures, context: MetricContext) -> Proposal:
    return pods_average_value(
        figure_samples(figures),
        spec.target.milli,
        current=context.current,
        pods=context.pods,
        tolerance=context.tolerance,
        moment=context.moment,
    )


def _resource(
    spec: ResourceMetric | ContainerResourceMetric, usages: PodUsages, context: MetricContext
) -> tuple[Proposal, int]:
    container = spec.container if isinstance(spec, ContainerResourceMetric) else ""
    samples = pod_samples(usages, container)
    target = spec.target
    if isinstance(target, UtilizationTarget):
        found = resource_utilization(
            samples,
            target.percent,
            current=context.current,
            pods=context.pods,
            resource=spec.resource,
            container=container,
            tolerance=context.tolerance,
            moment=context.moment,
        )
        return Proposal(found.replicas, found.average_milli, found.needed), found.percent
    proposal = pods_average_value(
        samples,
        target.milli,
        current=context.current,
        pods=context.pods,
        tolerance=context.tolerance,
        moment=context.moment,
        resource=spec.resource,
    )
    return proposal, 0


def _unusable(
    metric: MeasuredMetric, error: MetricError, known: Sequence[UnusableMetric]
) -> UnusableMetric:
    name, reading = reading_name(metric.spec), metric.reading
    found = next((one for one in known if one.name == name), None)
    if found is not None:
        return UnusableMetric(name, {"metric": name, **found.numbers})
    if isinstance(reading, Fresh):
        return UnusableMetric(name, {"metric": name, "why": error.fault.value})
    return UnusableMetric(name, {"metric": name, **blindness(reading)})


def _explain(
    metric: MeasuredMetric,
    proposal: Proposal,
    percent: int,
    context: MetricContext,
    reasons: list[Reason],
) -> None:
    """Add the metric's reason, and another if the tolerance keeps a size that is not exactly at the
    target.
    """
    target = metric.spec.target
    kept = context.current
    measured: float
    if isinstance(target, UtilizationTarget):
        measured, wanted, per = percent, float(target.percent), "% of requests"
        ratio = measured / wanted
    else:
        measured, wanted = _figure(metric, proposal.usage_milli) / MILLI, target.milli / MILLI
        ratio, per = measured / wanted, "in all"
        if isinstance(target, AverageValueTarget):
            per = "per replica"
            if isinstance(metric.spec, ExternalMetric | ObjectMetric):
                kept = context.status_replicas
                ratio /= kept or 1
    numbers: dict[str, Number] = {
        "metric": reading_name(metric.spec),
        "measured": measured,
        "target": wanted,
        "per": per,
    }
    reasons.append(Reason(code=Code.METRIC, value=proposal.replicas, numbers=numbers))
    if 0 < kept == proposal.replicas and ratio != 1.0 and context.tolerance.holds(ratio):
        reasons.append(Reason(code=Code.TOLERATED, value=kept, numbers={"ratio": round(ratio, 3)}))


def _figure(metric: MeasuredMetric, average_milli: int) -> int:
    """What was measured in thousandths: a queue or an object as a whole, pods on average."""
    match metric.reading:
        case Fresh(value=Series(values_milli=values)):
            return sum(values)
        case Fresh(value=Figure(value_milli=milli)):
            return milli
        case _:
            return average_milli
