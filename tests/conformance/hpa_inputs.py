"""Cases of the HPA: their inputs as values."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.statement import NOW, Inputs
from controller.model.memory import RecommendationRun, ScaleChange
from controller.model.observation import (
    ConditionStatus,
    ContainerRequest,
    Figure,
    MeasuredPod,
    MetricValue,
    PodFigure,
    PodFigures,
    PodReadiness,
    PodUsage,
    PodUsages,
    Series,
    StatusPhase,
)
from controller.model.readings import Absent, Fresh, Reading, Why


def pods_of(pods: Sequence[Inputs], resource: str = "cpu") -> tuple[MeasuredPod, ...]:
    return tuple(_pod(pod, resource) for pod in pods)


def _pod(pod: Inputs, resource: str) -> MeasuredPod:
    ready = pod.get("ready")
    readiness = None
    if ready is not None:
        status = ConditionStatus.TRUE if ready else ConditionStatus.FALSE
        readiness = PodReadiness(status=status, since=pod.get("ready_transition_time") or 0)
    # a pod always has a container; where no request is named, it requests nothing
    requests = pod.get(f"{resource}_requests_milli") or {"": None}
    return MeasuredPod(
        name=pod["name"],
        phase=StatusPhase(pod.get("phase", "Running")),
        deleting=pod.get("deleting", False),
        started_at=pod.get("start_time"),
        readiness=readiness,
        containers=tuple(_container(name, milli, resource) for name, milli in requests.items()),
    )


def _container(name: str, milli: int | None, resource: str) -> ContainerRequest:
    return ContainerRequest(name=name, requests_milli={} if milli is None else {resource: milli})


def _usages(metric: Inputs) -> PodUsages:
    key = f"{metric.get('resource', 'cpu')}_usage_milli"
    return PodUsages(
        items=tuple(
            PodUsage(
                pod=sample["pod"],
                containers=sample.get(key) or {},
                at=sample["timestamp"],
                window_s=sample["window_s"],
            )
            for sample in metric.get("samples") or ()
        )
    )


def _figures(metric: Inputs) -> PodFigures:
    return PodFigures(
        items=tuple(
            PodFigure(
                pod=sample["pod"],
                value_milli=sample["value_milli"],
                at=sample["timestamp"],
                window_s=sample["window_s"],
            )
            for sample in metric.get("samples") or ()
        )
    )


def events_of(events: Sequence[Inputs] | None, now: float = NOW) -> tuple[ScaleChange, ...]:
    return tuple(
        ScaleChange(change=event["change"], at=now - event["age_s"]) for event in events or ()
    )


def history_of(given: Sequence[Inputs] | None, now: float = NOW) -> tuple[RecommendationRun, ...]:
    """The recommendations, oldest first."""
    aged = sorted(given or (), key=lambda one: -one["age_s"])
    return tuple(
        RecommendationRun(
            replicas=one["replicas"], first_at=now - one["age_s"], last_at=now - one["age_s"]
        )
        for one in aged
    )


def reading_of(metric: Inputs, now: float) -> Reading[MetricValue]:
    if metric.get("fetch_error"):
        return Absent(why=Why.REFUSED, at=now, detail=metric["fetch_error"])
    value: MetricValue
    match metric["source"]:
        case "external":
            value = Series(values_milli=tuple(metric.get("values_milli") or ()))
        case "object":
            value = Figure(value_milli=metric["value_milli"])
        case "pods":
            value = _figures(metric)
        case "resource" | "container_resource":
            value = _usages(metric)
        case _:
            return Absent(why=Why.NEVER_READ)
    return Fresh(value=value, at=now)


def min_of(hpa: Inputs) -> int:
    """spec.minReplicas, 1 where it is not said (pkg/apis/autoscaling/v2/defaults.go)."""
    low = hpa.get("min_replicas")
    return 1 if low is None else int(low)
