"""What a pool's metrics ask for, as the HPA computes it: quantities are integers in thousandths."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from controller.model.decision import Code, Number, Reason
from controller.model.limits import CPU, INT32_MAX, INT64_MAX, MILLI
from controller.model.metrics import (
    AverageValueTarget,
    ConditionStatus,
    ContainerRequest,
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
    StatusPhase,
    UtilizationTarget,
    ValueTarget,
)
from controller.model.readings import Fresh, Reading
from controller.planning.demand.queue import blindness
from controller.planning.inputs import Moment, Tolerance
from controller.planning.values import UnusableMetric


def reading_name(spec: MetricSpec) -> str:
    """The metric's own name; with a selector `name{selector}`, for an object `Kind/object/name`.
    CPU and memory are read once for all containers, under the resource's name.
    """
    match spec:
        case ResourceMetric() | ContainerResourceMetric():
            return spec.resource
        case ObjectMetric(object_name=described) if described:
            return _selected(f"{spec.kind}/{described}/{spec.name}", spec.selector)
        case ExternalMetric() | ObjectMetric() | PodsMetric():
            return _selected(spec.name, spec.selector)


def _selected(name: str, selector: str) -> str:
    return f"{name}{{{selector}}}" if selector else name


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


CPU_INITIALIZATION_S: Final = 300.0
READINESS_DELAY_S: Final = 30.0
"""How long a pod's CPU figures are not trusted (HPA: cpu-initialization-period and
initial-readiness-delay).
"""


class Sample(NamedTuple):
    """One pod's figure in thousandths; `at` is the end of the window it was taken over."""

    value_milli: int
    at: float
    window_s: float


class Groups(NamedTuple):
    """Pods by how their samples are used; `ready` is the number of pods in none of the sets."""

    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


class Utilization(NamedTuple):
    """Replicas for the use of a resource, and what to show: the use in percent of the requests, and
    its average over the pods in thousandths. `needed` as in `Proposal`.
    """

    replicas: int
    percent: int
    average_milli: int
    needed: int


class _Usage(NamedTuple):
    ratio: float
    shown: int
    average_milli: int


def pod_samples(usages: PodUsages, container: str = "") -> dict[str, Sample]:
    """Each pod's use, of one container or of all. A pod has no sample if a figure is missing or if
    its container was not measured yet (kubernetes PR 127193).

    Raises MetricError if the answer is empty, or if no pod has such a container.
    """
    if not usages.items:
        raise MetricError(MetricFault.NO_SERIES, "no metrics returned from resource metrics API")
    samples: dict[str, Sample] = {}
    is_known = not container
    for usage in usages.items:
        figures = tuple(usage.containers.values())
        if container:
            if container not in usage.containers:
                continue
            is_known = True
            figures = (usage.containers[container],)
        known = [figure for figure in figures if figure is not None]
        if known and len(known) == len(figures):
            samples[usage.pod] = Sample(sum(known), usage.at, usage.window_s)
    if not is_known:
        raise MetricError(
            MetricFault.NO_CONTAINER,
            f"container {container} not present in metrics for pod {usages.items[0].pod}",
        )
    return samples


def figure_samples(figures: PodFigures) -> dict[str, Sample]:
    """Each pod's figure. Raises MetricError if the answer is empty."""
    if not figures.items:
        raise MetricError(MetricFault.NO_SERIES, "no metrics returned from custom metrics API")
    return {item.pod: Sample(item.value_milli, item.at, item.window_s) for item in figures.items}


def group_pods(
    pods: Sequence[MeasuredPod],
    samples: Mapping[str, Sample],
    resource: str,
    moment: Moment,
) -> Groups:
    """Divide the pods into groups; readiness matters only for CPU (groupPods)."""
    ready = 0
    unready: set[str] = set()
    missing: set[str] = set()
    ignored: set[str] = set()
    for pod in pods:
        if pod.deleting or pod.phase is StatusPhase.FAILED:
            ignored.add(pod.name)
        elif pod.phase is StatusPhase.PENDING:
            unready.add(pod.name)
        elif pod.name not in samples:
            missing.add(pod.name)
        elif resource == CPU and _is_unready(pod, samples[pod.name], moment):
            unready.add(pod.name)
        else:
            ready += 1
    return Groups(ready, frozenset(unready), frozenset(missing), frozenset(ignored))


def pod_requests(pods: Sequence[MeasuredPod], resource: str, container: str = "") -> dict[str, int]:
    """The request of each pod, in thousandths (calculateRequests).

    Raises MetricError if a container that counts has no request or does not exist.
    """
    return {pod.name: _pod_request(pod, resource, container) for pod in pods}


def resource_utilization(
    samples: Mapping[str, Sample],
    target_percent: int,
    *,
    current: int,
    pods: Sequence[MeasuredPod],
    resource: str,
    container: str = "",
    tolerance: Tolerance,
    moment: Moment,
) -> Utilization:
    """Resource with a Utilization target: a ratio of sums, never a mean of ratios
    (GetResourceReplicas). Raises MetricError.
    """
    groups = _grouped(pods, samples, resource, moment)
    requests = pod_requests(pods, resource, container)
    # HPA: a pod without a sample counts as 100 % used, or as the target if that is higher
    full_percent = max(100, target_percent)

    def measure(values: Mapping[str, int]) -> _Usage:
        return _utilization(values, requests, target_percent)

    replicas, needed, usage = _propose(
        measure,
        _counted(samples, groups),
        groups,
        filling={pod: requests[pod] * full_percent // 100 for pod in groups.missing},
        current=current,
        tolerance=tolerance,
    )
    return Utilization(replicas, usage.shown, usage.average_milli, needed)


def pods_average_value(
    samples: Mapping[str, Sample],
    target_milli: int,
    *,
    current: int,
    pods: Sequence[MeasuredPod],
    tolerance: Tolerance,
    moment: Moment,
    resource: str = "",
) -> Proposal:
    """Pods, or Resource with an AverageValue target (calcPlainMetricReplicas). `resource` is empty
    for a Pods metric. Raises MetricError.
    """
    groups = _grouped(pods, samples, resource, moment)
    known = {pod.name for pod in pods}

    def measure(values: Mapping[str, int]) -> _Usage:
        return _average(values, known, target_milli)

    replicas, needed, usage = _propose(
        measure,
        _counted(samples, groups),
        groups,
        filling=dict.fromkeys(groups.missing, target_milli),
        current=current,
        tolerance=tolerance,
    )
    return Proposal(replicas, usage.shown, needed)


def serving_pods(pods: Sequence[MeasuredPod]) -> int | None:
    """Pods that are Running and Ready, terminating ones included; None without any pod
    (getReadyPodsCount).
    """
    return sum(pod.is_serving for pod in pods) if pods else None


def _is_unready(pod: MeasuredPod, sample: Sample, moment: Moment) -> bool:
    if pod.readiness is None or pod.started_at is None:
        return True
    not_ready = pod.readiness.status is ConditionStatus.FALSE
    if not moment.reached(pod.started_at + CPU_INITIALIZATION_S):
        return not_ready or sample.at < pod.readiness.since + sample.window_s
    # a pod that was ready once counts; a pod that was never ready does not
    return not_ready and pod.started_at + READINESS_DELAY_S > pod.readiness.since


def _pod_request(pod: MeasuredPod, resource: str, container: str) -> int:
    if not container and resource in pod.requests_milli:
        return pod.requests_milli[resource]
    containers: tuple[ContainerRequest, ...] = (*pod.containers, *pod.sidecars)
    if container:
        containers = tuple(one for one in containers if one.name == container)
        if not containers:
            raise MetricError(
                MetricFault.NO_CONTAINER, f"container {container} not found in Pod {pod.name}"
            )
    total = 0
    for one in containers:
        if resource not in one.requests_milli:
            raise MetricError(
                MetricFault.NO_REQUEST,
                f"missing request for {resource} in container {one.name} of Pod {pod.name}",
            )
        total += one.requests_milli[resource]
    return total


def _grouped(
    pods: Sequence[MeasuredPod],
    samples: Mapping[str, Sample],
    resource: str,
    moment: Moment,
) -> Groups:
    if not pods:
        raise MetricError(
            MetricFault.NO_PODS, "no pods returned by selector while calculating replica count"
        )
    groups = group_pods(pods, samples, resource, moment)
    if not samples.keys() - groups.ignored - groups.unready:
        raise MetricError(
            MetricFault.NO_SAMPLES,
            "did not receive metrics for targeted pods (pods might be unready)",
        )
    return groups


def _counted(samples: Mapping[str, Sample], groups: Groups) -> dict[str, int]:
    dropped = groups.ignored | groups.unready
    return {pod: one.value_milli for pod, one in samples.items() if pod not in dropped}


def _propose(
    measure: Callable[[Mapping[str, int]], _Usage],
    values: Mapping[str, int],
    groups: Groups,
    *,
    filling: Mapping[str, int],
    current: int,
    tolerance: Tolerance,
) -> tuple[int, int, _Usage]:
    """The HPA's two passes: over the pods with samples, then also over the others, with assumed
    values that make the change smaller. Returns the replicas, those without the tolerance, and the
    usage of the first pass, which is shown.
    """
    usage = measure(values)
    ratio = usage.ratio
    rising_with_unready = ratio > 1.0 and bool(groups.unready)
    if not groups.missing and not rising_with_unready:
        needed = whole(ratio * groups.ready)
        return (current if tolerance.holds(ratio) else needed), needed, usage

    assumed: dict[str, int] = {}
    if ratio < 1.0:
        assumed = dict(filling)
    elif ratio > 1.0:
        assumed = dict.fromkeys(groups.missing | groups.unready, 0)
    counted = {**values, **assumed}
    second = measure(counted).ratio
    replicas = whole(second * _known(counted, groups))
    if tolerance.holds(second) or (ratio < 1.0 < second) or (second < 1.0 < ratio):
        return current, replicas, usage
    if (second < 1.0 and replicas > current) or (second > 1.0 and replicas < current):
        return current, replicas, usage
    return replicas, replicas, usage


def _known(counted: Collection[str], groups: Groups) -> int:
    """The number of pods that count: the ready ones and those with assumed values."""
    return groups.ready + sum(pod in groups.missing or pod in groups.unready for pod in counted)


def _utilization(
    values: Mapping[str, int], requests: Mapping[str, int], target_percent: int
) -> _Usage:
    """GetResourceUtilizationRatio; samples of unknown pods do not count."""
    known = [pod for pod in values if pod in requests]
    used = sum(values[pod] for pod in known)
    requested = sum(requests[pod] for pod in known)
    if requested == 0:
        raise MetricError(MetricFault.UNKNOWN_PODS, "no metrics returned matched known pods")
    percent = _truncated(100 * used, requested)
    return _Usage(percent / target_percent, percent, _truncated(used, len(known)))


def _average(values: Mapping[str, int], known: Collection[str], target_milli: int) -> _Usage:
    """GetMetricUsageRatio, without the samples of unknown pods."""
    counted = [value for pod, value in values.items() if pod in known]
    if not counted:
        raise MetricError(MetricFault.UNKNOWN_PODS, "no metrics returned matched known pods")
    average = _truncated(sum(counted), len(counted))
    return _Usage(average / target_milli, average, average)


def _truncated(dividend: int, divisor: int) -> int:
    """Integer division towards zero, as in Go."""
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


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
            proposal, percent = _propose_one(metric, context)
        except MetricError as error:
            unusable = _unusable(metric, error, known)
            reasons.append(Reason(code=Code.METRIC_UNKNOWN, numbers=unusable.numbers))
            first = first or unusable
            continue
        _explain(metric, proposal, percent, context, reasons)
        replicas = max(replicas or 0, proposal.replicas)
        needed = max(needed or 0, proposal.needed)
    return Proposals(replicas, needed, first)


def _propose_one(metric: MeasuredMetric, context: MetricContext) -> tuple[Proposal, int]:
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
            return _of_pods_metric(spec, value, context), 0
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


def _of_pods_metric(spec: PodsMetric, figures: PodFigures, context: MetricContext) -> Proposal:
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
