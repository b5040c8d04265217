"""What a pool's metrics ask for, as the HPA computes it: the proposal of each metric, of any type,
and the largest of them. Quantities are integers in thousandths, ratios are floats.

Source: kubernetes pkg/controller/podautoscaler/horizontal.go (computeReplicasForMetrics,
computeStatusFor...Metric), replica_calculator.go and metrics/utilization.go.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from controller.model.decision import Code, Number, Reason
from controller.model.fleet import (
    AverageValueTarget,
    ContainerResourceMetric,
    ExternalMetric,
    MetricSpec,
    ObjectMetric,
    PodsMetric,
    ResourceMetric,
    UtilizationTarget,
    ValueTarget,
)
from controller.model.observation import (
    ConditionStatus,
    Figure,
    MeasuredMetric,
    MeasuredPod,
    PodFigures,
    PodUsages,
    Series,
    StatusPhase,
)
from controller.model.readings import Fresh
from controller.model.value import CPU, INT32_MAX, INT64_MAX, MILLI
from controller.planning.demand.queue import blindness
from controller.planning.inputs import Moment, PoolInput, Tolerance
from controller.planning.values import because

CPU_INITIALIZATION_S: Final = 300.0
READINESS_DELAY_S: Final = 30.0
"""How long a pod's CPU figures are not trusted (HPA: cpu-initialization-period and
initial-readiness-delay).
"""


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
    """Replicas that a metric asks for, and the usage to show beside its target, in thousandths or,
    for a target in percent of requests, in percent.

    `needed` are the replicas for this usage without the tolerance.
    """

    replicas: int
    usage: int
    needed: int


class Proposals(NamedTuple):
    """What a pool's metrics ask for together.

    `replicas` is the largest proposal, `needed` the same without tolerance; None if no metric
    proposes anything. `unusable` is the first metric without a proposal.
    """

    replicas: int | None
    needed: int | None
    unusable: dict[str, Number] | None
    reasons: tuple[Reason, ...]


class _Sample(NamedTuple):
    """One pod's figure in thousandths; `at` is the end of the window it was taken over."""

    value_milli: int
    at: float
    window_s: float


class _Groups(NamedTuple):
    """Pods by how their samples are used; `ready` is the number of pods in none of the sets."""

    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def reading_name(spec: MetricSpec) -> str:
    """A metric's name in observations: its own, `name{selector}`, or `Kind/object/name`; CPU and
    memory have the resource's name, read once for all containers.
    """
    if isinstance(spec, ResourceMetric | ContainerResourceMetric):
        return spec.resource
    name = spec.name
    if isinstance(spec, ObjectMetric) and spec.object_name:
        name = f"{spec.kind}/{spec.object_name}/{spec.name}"
    return f"{name}{{{spec.selector}}}" if spec.selector else name


def propose_all(
    given: PoolInput,
    metrics: Iterable[MeasuredMetric],
    known: Mapping[str, dict[str, Number]],
    moment: Moment,
) -> Proposals:
    """The largest proposal, with each metric's reason; `known`: why some were unusable before."""
    replicas: int | None = None
    needed: int | None = None
    first: dict[str, Number] | None = None
    reasons: list[Reason] = []
    for metric in metrics:
        try:
            proposal = _proposal(metric, given, moment)
        except MetricError as error:
            name, reading = reading_name(metric.spec), metric.reading
            is_read = isinstance(reading, Fresh)
            why: dict[str, Number] = {"why": error.fault.value} if is_read else blindness(reading)
            unusable = {"metric": name, **known.get(name, why)}
            reasons.append(Reason(code=Code.METRIC_UNKNOWN, numbers=unusable))
            first = first or unusable
            continue
        reasons += _explained(metric, proposal, given)
        replicas = max(replicas or 0, proposal.replicas)
        needed = max(needed or 0, proposal.needed)
    return Proposals(replicas, needed, first, tuple(reasons))


def _proposal(metric: MeasuredMetric, given: PoolInput, moment: Moment) -> Proposal:
    """One metric's proposal. Raises MetricError for none: a stale reading is no reading."""
    spec, reading, pods = metric.spec, metric.reading, given.seen.measured_pods
    resource = container = ""
    if not isinstance(reading, Fresh):
        raise MetricError(MetricFault.UNREADABLE, reading.detail or reading.why.value)
    match spec, reading.value:
        case ExternalMetric(), Series(values_milli=values):
            return _of_one_value(spec.target, _total_milli(values), given)
        case ObjectMetric(), Figure(value_milli=milli):
            return _of_one_value(spec.target, milli, given)
        case PodsMetric(), PodFigures() as figures:
            if not figures.items:
                text = "no metrics returned from custom metrics API"
                raise MetricError(MetricFault.NO_SERIES, text)
            samples = {
                one.pod: _Sample(one.value_milli, one.at, one.window_s) for one in figures.items
            }
        case ((ResourceMetric() | ContainerResourceMetric()), PodUsages() as usages):
            resource = spec.resource
            container = spec.container if isinstance(spec, ContainerResourceMetric) else ""
            samples = _pod_samples(usages, container)
        case _:
            raise MetricError(MetricFault.UNREADABLE, "the answer is not of the metric's kind")
    if not pods:
        text = "no pods returned by selector while calculating replica count"
        raise MetricError(MetricFault.NO_PODS, text)
    groups = _group_pods(pods, samples, resource, moment)
    if not samples.keys() - groups.ignored - groups.unready:
        text = "did not receive metrics for targeted pods (pods might be unready)"
        raise MetricError(MetricFault.NO_SAMPLES, text)
    usage = _Usage(spec.target, pods, resource, container)
    return _two_passes(usage, samples, groups, given.current, given.terms.tolerance)


def _of_one_value(
    target: AverageValueTarget | ValueTarget, milli: int, given: PoolInput
) -> Proposal:
    tolerance = given.terms.tolerance
    if isinstance(target, AverageValueTarget):
        return object_average_value(milli, target.milli, given.status_replicas, tolerance)
    return _object_value(milli, target.milli, given)


def _explained(metric: MeasuredMetric, proposal: Proposal, given: PoolInput) -> Iterable[Reason]:
    """The metric's reason, and another if the tolerance keeps a size off its target."""
    spec, target, kept = metric.spec, metric.spec.target, given.current
    measured: float
    if isinstance(target, UtilizationTarget):
        measured, wanted, per = proposal.usage, float(target.percent), "% of requests"
    else:
        milli, wanted = proposal.usage, target.milli / MILLI
        match metric.reading:
            case Fresh(value=Series(values_milli=values)):
                milli = sum(values)
            case Fresh(value=Figure(value_milli=value)):
                milli = value
        measured, per = milli / MILLI, "in all"
    ratio = measured / wanted
    if isinstance(target, AverageValueTarget):
        per = "per replica"
        if isinstance(spec, ExternalMetric | ObjectMetric):
            kept = given.status_replicas
            ratio /= kept or 1
    yield because(
        Code.METRIC,
        proposal.replicas,
        metric=reading_name(spec),
        measured=measured,
        target=wanted,
        per=per,
    )
    if 0 < kept == proposal.replicas and ratio != 1.0 and given.terms.tolerance.holds(ratio):
        yield because(Code.TOLERATED, kept, ratio=round(ratio, 3))


def _total_milli(values_milli: Sequence[int]) -> int:
    """The sum of an External metric's series, or the largest quantity as soon as it is reached.
    Raises MetricError if there is no series (GetExternalMetricReplicas).
    """
    if not values_milli:
        raise MetricError(MetricFault.NO_SERIES, "no metrics returned from external metrics API")
    total = 0
    for value in values_milli:
        total += value
        if total > INT64_MAX:
            return INT64_MAX
    return total


def _object_value(value_milli: int, target_milli: int, given: PoolInput) -> Proposal:
    """Object or External with a Value target: ratio times serving pods; from zero the ratio itself
    (GetObjectMetricReplicas). Raises MetricError if there is no pod and that matters.
    """
    ratio, ready_pods = float(value_milli) / target_milli, serving_pods(given.seen.measured_pods)
    current = given.current
    if current == 0:
        replicas = _whole(ratio)
        return Proposal(replicas, value_milli, replicas)
    if given.terms.tolerance.holds(ratio):
        needed = current if ready_pods is None else _whole(ratio * ready_pods)
        return Proposal(current, value_milli, min(needed, current))
    if ready_pods is None:
        raise MetricError(
            MetricFault.NO_PODS,
            "unable to calculate ready pods: "
            "no pods returned by selector while calculating replica count",
        )
    replicas = _whole(ratio * ready_pods)
    return Proposal(replicas, value_milli, replicas)


def object_average_value(
    value_milli: int, target_milli: int, status_replicas: int, tolerance: Tolerance
) -> Proposal:
    """Object or External with an AverageValue target: the status's replicas within tolerance, else
    value by target (GetObjectPerPodMetricReplicas); shown as 0 without replicas.
    """
    value = float(value_milli)
    needed = _whole(value / target_milli)
    if status_replicas == 0:
        return Proposal(needed, 0, needed)
    # HPA: a saturated sum is shown undivided
    saturated = value >= float(INT64_MAX)
    average = value_milli if saturated else math.ceil(value / status_replicas)
    if tolerance.holds(value / (float(target_milli) * status_replicas)):
        return Proposal(status_replicas, average, min(needed, status_replicas))
    return Proposal(needed, average, needed)


def _whole(replicas: float) -> int:
    """Rounded up to whole replicas, at most as many as Kubernetes can count."""
    return min(math.ceil(replicas), INT32_MAX)


def serving_pods(pods: Sequence[MeasuredPod]) -> int | None:
    """Pods Running and Ready, also terminating; None without any pod (getReadyPodsCount)."""
    return sum(pod.is_serving for pod in pods) if pods else None


def _pod_samples(usages: PodUsages, container: str = "") -> dict[str, _Sample]:
    """Each pod's use, of one container or of all. A pod has no sample if a figure is missing or if
    its container was not measured yet (kubernetes PR 127193).

    Raises MetricError if the answer is empty, or if no pod has such a container.
    """
    if not usages.items:
        raise MetricError(MetricFault.NO_SERIES, "no metrics returned from resource metrics API")
    measured = [each for each in usages.items if not container or container in each.containers]
    if not measured:
        raise MetricError(
            MetricFault.NO_CONTAINER,
            f"container {container} not present in metrics for pod {usages.items[0].pod}",
        )
    samples: dict[str, _Sample] = {}
    for usage in measured:
        figures = [usage.containers[container]] if container else list(usage.containers.values())
        known = [figure for figure in figures if figure is not None]
        if known and len(known) == len(figures):
            samples[usage.pod] = _Sample(sum(known), usage.at, usage.window_s)
    return samples


def _group_pods(
    pods: Sequence[MeasuredPod], samples: Mapping[str, _Sample], resource: str, moment: Moment
) -> _Groups:
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
    return _Groups(ready, frozenset(unready), frozenset(missing), frozenset(ignored))


def _is_unready(pod: MeasuredPod, sample: _Sample, moment: Moment) -> bool:
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
    every = (*pod.containers, *pod.sidecars)
    counted = [one for one in every if not container or one.name == container]
    if container and not counted:
        text = f"container {container} not found in Pod {pod.name}"
        raise MetricError(MetricFault.NO_CONTAINER, text)
    for one in counted:
        if resource not in one.requests_milli:
            text = f"missing request for {resource} in container {one.name} of Pod {pod.name}"
            raise MetricError(MetricFault.NO_REQUEST, text)
    return sum(one.requests_milli[resource] for one in counted)


class _Usage:
    """What pods use of a metric, as a ratio of the target and in the target's unit.

    A target in percent goes by a ratio of sums, never a mean of ratios (GetResourceReplicas,
    GetResourceUtilizationRatio); one in quantities by the average of the pods
    (calcPlainMetricReplicas, GetMetricUsageRatio).
    """

    def __init__(
        self,
        target: AverageValueTarget | UtilizationTarget | ValueTarget,
        pods: Sequence[MeasuredPod],
        resource: str,
        container: str,
    ) -> None:
        self._percent = target.percent if isinstance(target, UtilizationTarget) else None
        self._milli = 0 if isinstance(target, UtilizationTarget) else target.milli
        self._requests = {
            pod.name: 0 if self._percent is None else _pod_request(pod, resource, container)
            for pod in pods
        }

    def assumed(self, pod: str) -> int:
        """The use of a pod without a sample: its target's, or all that it requests if more."""
        if self._percent is None:
            return self._milli
        return self._requests[pod] * max(100, self._percent) // 100

    def measure(self, values: Mapping[str, int]) -> tuple[float, int]:
        """The ratio, and the usage. Raises MetricError if none of the pods is known."""
        known = [pod for pod in values if pod in self._requests]
        used, requested = sum(values[pod] for pod in known), len(known)
        if self._percent is not None:
            requested = sum(self._requests[pod] for pod in known)
        if requested == 0:
            raise MetricError(MetricFault.UNKNOWN_PODS, "no metrics returned matched known pods")
        if self._percent is None:
            average = _truncated(used, requested)
            return average / self._milli, average
        percent = _truncated(100 * used, requested)
        return percent / self._percent, percent


def _two_passes(
    usage: _Usage,
    samples: Mapping[str, _Sample],
    groups: _Groups,
    current: int,
    tolerance: Tolerance,
) -> Proposal:
    """The HPA's two passes: pods with samples, then the others too, by assumed values."""
    dropped = groups.ignored | groups.unready
    values = {pod: one.value_milli for pod, one in samples.items() if pod not in dropped}
    ratio, shown = usage.measure(values)
    if not groups.missing and not (ratio > 1.0 and groups.unready):
        needed = _whole(ratio * groups.ready)
        return Proposal(current if tolerance.holds(ratio) else needed, shown, needed)
    if ratio < 1.0:
        values.update({pod: usage.assumed(pod) for pod in groups.missing})
    elif ratio > 1.0:
        values.update(dict.fromkeys(groups.missing | groups.unready, 0))
    second, _ = usage.measure(values)
    assumed = sum(pod in groups.missing or pod in groups.unready for pod in values)
    replicas = _whole(second * (groups.ready + assumed))
    is_reversed = (ratio < 1.0 < second) or (second < 1.0 < ratio)
    is_opposite = (second < 1.0 and replicas > current) or (second > 1.0 and replicas < current)
    if tolerance.holds(second) or is_reversed or is_opposite:
        return Proposal(current, shown, replicas)
    return Proposal(replicas, shown, replicas)


def _truncated(dividend: int, divisor: int) -> int:
    """Integer division towards zero, as in Go."""
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient
