"""What a metric of pods proposes: resource use against requests or a target, and pods metrics.

Source: kubernetes pkg/controller/podautoscaler/replica_calculator.go (groupPods, calculateRequests,
GetResourceReplicas, calcPlainMetricReplicas) and metrics/utilization.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from controller.model.metrics import (
    ConditionStatus,
    ContainerRequest,
    MeasuredPod,
    PodFigures,
    PodUsages,
    StatusPhase,
)
from reference.behavior import REPLICAS_LIMIT
from reference.metrics import Fault, MetricError, Proposal, Tolerance

CPU: Final = "cpu"


class Sample(NamedTuple):
    """One pod's figure in thousandths; `at` is the end of the window it was taken over."""

    value_milli: int
    at: float
    window_s: float


class Startup(NamedTuple):
    """How long a pod's CPU figures are suspect (HPA: cpu-initialization-period and
    initial-readiness-delay).
    """

    cpu_initialization_s: float = 300.0
    readiness_delay_s: float = 30.0


class Groups(NamedTuple):
    """Pods by what their samples are worth; `ready` is how many are in none of the sets."""

    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


class Utilization(NamedTuple):
    """Replicas that the use of a resource asks for, and what to show: the use in percent of the
    requests, and its average over the pods in thousandths.
    """

    replicas: int
    percent: int
    average_milli: int


class _Usage(NamedTuple):
    ratio: float
    shown: int
    average_milli: int


def pod_samples(usages: PodUsages, container: str = "") -> dict[str, Sample]:
    """Each pod's use: of one container, or of all. A pod where a figure is missing has no sample,
    nor has one whose container has not been measured (kubernetes PR 127193).

    Raises MetricError where nothing was answered, or where no pod has such a container.
    """
    if not usages.items:
        raise MetricError(Fault.NO_SERIES, "no metrics returned from resource metrics API")
    samples: dict[str, Sample] = {}
    for usage in usages.items:
        figures = tuple(usage.containers.values())
        if container:
            if container not in usage.containers:
                continue
            figures = (usage.containers[container],)
        known = [figure for figure in figures if figure is not None]
        if known and len(known) == len(figures):
            samples[usage.pod] = Sample(sum(known), usage.at, usage.window_s)
    if container and all(container not in usage.containers for usage in usages.items):
        raise MetricError(
            Fault.NO_CONTAINER,
            f"container {container} not present in metrics for pod {usages.items[0].pod}",
        )
    return samples


def figure_samples(figures: PodFigures) -> dict[str, Sample]:
    """Each pod's figure. Raises MetricError where nothing was answered."""
    if not figures.items:
        raise MetricError(Fault.NO_SERIES, "no metrics returned from custom metrics API")
    return {item.pod: Sample(item.value_milli, item.at, item.window_s) for item in figures.items}


def group_pods(
    pods: Sequence[MeasuredPod],
    samples: Mapping[str, Sample],
    resource: str,
    startup: Startup,
    now: float,
) -> Groups:
    """Sort the pods; only for CPU does it matter whether one is ready (groupPods)."""
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
        elif resource == CPU and _is_unready(pod, samples[pod.name], startup, now):
            unready.add(pod.name)
        else:
            ready += 1
    return Groups(ready, frozenset(unready), frozenset(missing), frozenset(ignored))


def pod_requests(
    pods: Sequence[MeasuredPod], resource: str, container: str = "", *, pod_level: bool = True
) -> dict[str, int]:
    """What each pod asks for, in thousandths (calculateRequests).

    Raises MetricError where a container that counts asks for nothing, or is not there.
    """
    return {pod.name: _pod_request(pod, resource, container, pod_level=pod_level) for pod in pods}


def resource_utilization(
    samples: Mapping[str, Sample],
    target_percent: int,
    *,
    current: int,
    pods: Sequence[MeasuredPod],
    resource: str,
    container: str = "",
    tolerance: Tolerance,
    startup: Startup,
    now: float,
    pod_level: bool = True,
) -> Utilization:
    """Resource with a Utilization target: a ratio of sums, never a mean of ratios
    (GetResourceReplicas). Raises MetricError.
    """
    groups = _grouped(pods, samples, resource, startup, now)
    requests = pod_requests(pods, resource, container, pod_level=pod_level)
    # HPA: a missing pod counts as full, or as much as the target where that is beyond full
    full_percent = max(100, target_percent)

    def measure(values: Mapping[str, int]) -> _Usage:
        return _utilization(values, requests, target_percent)

    replicas, usage = _propose(
        measure,
        _counted(samples, groups),
        groups,
        filling={pod: requests[pod] * full_percent // 100 for pod in groups.missing},
        current=current,
        tolerance=tolerance,
    )
    return Utilization(replicas, usage.shown, usage.average_milli)


def pods_average_value(
    samples: Mapping[str, Sample],
    target_milli: int,
    *,
    current: int,
    pods: Sequence[MeasuredPod],
    tolerance: Tolerance,
    startup: Startup,
    now: float,
    resource: str = "",
) -> Proposal:
    """Pods, or Resource with an AverageValue target (calcPlainMetricReplicas). `resource` is empty
    for a metric that is none. Raises MetricError.
    """
    groups = _grouped(pods, samples, resource, startup, now)
    known = {pod.name for pod in pods}

    def measure(values: Mapping[str, int]) -> _Usage:
        return _average(values, known, target_milli)

    replicas, usage = _propose(
        measure,
        _counted(samples, groups),
        groups,
        filling=dict.fromkeys(groups.missing, target_milli),
        current=current,
        tolerance=tolerance,
    )
    return Proposal(replicas, usage.shown)


def serving_pods(pods: Sequence[MeasuredPod]) -> int | None:
    """Pods that are Running and Ready, terminating ones included; None without any pod
    (getReadyPodsCount).
    """
    return sum(pod.is_serving for pod in pods) if pods else None


def _is_unready(pod: MeasuredPod, sample: Sample, startup: Startup, now: float) -> bool:
    if pod.readiness is None or pod.started_at is None:
        return True
    not_ready = pod.readiness.status is ConditionStatus.FALSE
    if pod.started_at + startup.cpu_initialization_s > now:
        return not_ready or sample.at < pod.readiness.since + sample.window_s
    # a pod that was ready and lost it counts; one that has never been ready does not
    return not_ready and pod.started_at + startup.readiness_delay_s > pod.readiness.since


def _pod_request(pod: MeasuredPod, resource: str, container: str, *, pod_level: bool) -> int:
    if pod_level and not container and resource in pod.requests_milli:
        return pod.requests_milli[resource]
    containers: tuple[ContainerRequest, ...] = (*pod.containers, *pod.sidecars)
    if container:
        containers = tuple(one for one in containers if one.name == container)
        if not containers:
            raise MetricError(
                Fault.NO_CONTAINER, f"container {container} not found in Pod {pod.name}"
            )
    total = 0
    for one in containers:
        if resource not in one.requests_milli:
            raise MetricError(
                Fault.NO_REQUEST,
                f"missing request for {resource} in container {one.name} of Pod {pod.name}",
            )
        total += one.requests_milli[resource]
    return total


def _grouped(
    pods: Sequence[MeasuredPod],
    samples: Mapping[str, Sample],
    resource: str,
    startup: Startup,
    now: float,
) -> Groups:
    if not pods:
        raise MetricError(
            Fault.NO_PODS, "no pods returned by selector while calculating replica count"
        )
    groups = group_pods(pods, samples, resource, startup, now)
    if not samples.keys() - groups.ignored - groups.unready:
        raise MetricError(
            Fault.NO_SAMPLES,
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
) -> tuple[int, _Usage]:
    """The two passes: over the pods that answered, then with the others assumed against the move.
    What is shown is the first pass.
    """
    usage = measure(values)
    ratio = usage.ratio
    rising_with_unready = ratio > 1.0 and bool(groups.unready)
    if not groups.missing and not rising_with_unready:
        if tolerance.holds(ratio):
            return current, usage
        return _whole(ratio * groups.ready), usage

    assumed: dict[str, int] = {}
    if ratio < 1.0:
        assumed = dict(filling)
    elif ratio > 1.0:
        assumed = dict.fromkeys(groups.missing | groups.unready, 0)
    counted = {**values, **assumed}
    second = measure(counted).ratio
    if tolerance.holds(second) or (ratio < 1.0 < second) or (second < 1.0 < ratio):
        return current, usage
    replicas = _whole(second * _known(counted, groups))
    if (second < 1.0 and replicas > current) or (second > 1.0 and replicas < current):
        return current, usage
    return replicas, usage


def _known(counted: Collection[str], groups: Groups) -> int:
    """How many of the samples belong to pods: the ready ones and those that were assumed."""
    return groups.ready + sum(pod in groups.missing or pod in groups.unready for pod in counted)


def _utilization(
    values: Mapping[str, int], requests: Mapping[str, int], target_percent: int
) -> _Usage:
    """GetResourceUtilizationRatio; samples of unknown pods do not count."""
    known = [pod for pod in values if pod in requests]
    used = sum(values[pod] for pod in known)
    requested = sum(requests[pod] for pod in known)
    if requested == 0:
        raise MetricError(Fault.UNKNOWN_PODS, "no metrics returned matched known pods")
    percent = _truncated(100 * used, requested)
    return _Usage(percent / target_percent, percent, _truncated(used, len(known)))


def _average(values: Mapping[str, int], known: Collection[str], target_milli: int) -> _Usage:
    """GetMetricUsageRatio, without the samples of unknown pods."""
    counted = [value for pod, value in values.items() if pod in known]
    if not counted:
        raise MetricError(Fault.UNKNOWN_PODS, "no metrics returned matched known pods")
    average = _truncated(sum(counted), len(counted))
    return _Usage(average / target_milli, average, average)


def _truncated(dividend: int, divisor: int) -> int:
    """Integer division towards zero, as in Go."""
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


def _whole(replicas: float) -> int:
    return min(math.ceil(replicas), REPLICAS_LIMIT)
