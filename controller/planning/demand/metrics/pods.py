"""The proposal of a metric of pods: resource use against requests or a target, and Pods metrics.

Source: kubernetes pkg/controller/podautoscaler/replica_calculator.go (groupPods, calculateRequests,
GetResourceReplicas, calcPlainMetricReplicas) and metrics/utilization.go.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from controller.model.limits import CPU
from controller.model.metrics import (
    ConditionStatus,
    ContainerRequest,
    MeasuredPod,
    PodFigures,
    PodUsages,
    StatusPhase,
)
from controller.planning.demand.metrics.external import MetricError, MetricFault, Proposal, whole
from controller.planning.inputs import Moment, Tolerance

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
