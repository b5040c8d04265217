"""Pods as the HPA sees them, and the Deployments for which they are kept."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controller.kube.pods import MeasuredPods, measured_pod, measured_workloads
from controller.model import metrics
from controller.model.fleet import Pool
from controller.model.ids import WorkloadName
from controller.model.metrics import (
    AverageValueTarget,
    ConditionStatus,
    ContainerRequest,
    MeasuredPod,
    MetricSpec,
    Modifiers,
    PodReadiness,
    StatusPhase,
    TargetType,
    UtilizationTarget,
    ValueTarget,
)
from support.world import make_pool

READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:10Z"}
AT = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def raw(name: str = "a", **parts: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode({"metadata": {"name": name}, **parts}))


def status(**parts: Any) -> dict[str, Any]:
    return {"phase": "Running", "startTime": "2026-01-01T00:00:00Z", **parts}


def read(**parts: Any) -> MeasuredPod:
    pod = measured_pod(raw(**parts))
    assert pod is not None
    return pod


def test_phase_start_and_readiness_are_those_of_its_status() -> None:
    assert read(status=status(conditions=[READY])) == MeasuredPod(
        name="a",
        phase=StatusPhase.RUNNING,
        started_at=AT,
        readiness=PodReadiness(status=ConditionStatus.TRUE, since=AT + 10),
    )


@pytest.mark.parametrize(
    ("parts", "phase", "deleting"),
    [
        ({}, StatusPhase.UNKNOWN, False),
        ({"status": status(phase="Pending")}, StatusPhase.PENDING, False),
        ({"status": status(phase="Odd")}, StatusPhase.UNKNOWN, False),
        (
            {"metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"}},
            StatusPhase.UNKNOWN,
            True,
        ),
    ],
)
def test_pods_that_start_and_pods_that_end_are_distinguished(
    parts: dict[str, Any], phase: StatusPhase, deleting: bool
) -> None:
    pod = read(**parts)
    assert (pod.phase, pod.deleting, pod.started_at, pod.readiness) == (
        phase,
        deleting,
        AT if parts.get("status") else None,
        None,
    )


@pytest.mark.parametrize(
    ("condition", "readiness"),
    [
        (READY | {"status": "False"}, PodReadiness(status=ConditionStatus.FALSE, since=AT + 10)),
        (READY | {"status": "Odd"}, PodReadiness(status=ConditionStatus.UNKNOWN, since=AT + 10)),
        (READY | {"lastTransitionTime": None}, None),
        (READY | {"type": "Initialized"}, None),
    ],
)
def test_readiness_needs_a_condition_with_a_time(
    condition: dict[str, Any], readiness: PodReadiness | None
) -> None:
    assert read(status=status(conditions=[condition])).readiness == readiness


def test_requests_are_read_of_containers_sidecars_and_the_whole_pod() -> None:
    asks = {"resources": {"requests": {"cpu": "100500u", "memory": "1Ki"}}}
    spec = {
        "containers": [{"name": "agent", **asks}, {"name": "bare"}],
        "initContainers": [
            {"name": "setup", **asks},
            {"name": "proxy", "restartPolicy": "Always", **asks},
        ],
        "resources": {"requests": {"cpu": 2}},
    }
    pod = read(spec=spec)
    requests = {"cpu": 101, "memory": 1_024_000}
    assert pod.containers == (
        ContainerRequest(name="agent", requests_milli=requests),
        ContainerRequest(name="bare", requests_milli={}),
    )
    assert pod.sidecars == (ContainerRequest(name="proxy", requests_milli=requests),)
    assert pod.requests_milli == {"cpu": 2000}


ODD = raw("odd", spec={"containers": [{"name": "a", "resources": {"requests": {"cpu": "-1"}}}]})


def test_one_pod_that_cannot_be_read_leaves_its_deployment_without_any() -> None:
    pods = MeasuredPods({WorkloadName("research"), WorkloadName("etl")})
    pods.put("b", WorkloadName("research"), measured_pod(raw("b")))
    pods.put("a", WorkloadName("research"), measured_pod(raw("a")))
    pods.put("c", WorkloadName("etl"), measured_pod(raw("c")))
    pods.put("d", WorkloadName("plain"), measured_pod(raw("d")))
    assert [pod.name for pod in pods.of(WorkloadName("research"))] == ["a", "b"]
    assert pods.of(WorkloadName("plain")) == ()
    pods.put("odd", WorkloadName("research"), measured_pod(ODD))
    assert pods.of(WorkloadName("research")) == ()
    assert [pod.name for pod in pods.of(WorkloadName("etl"))] == ["c"]
    pods.drop("odd", WorkloadName("research"))
    pods.drop("a", WorkloadName("research"))
    pods.drop("d", WorkloadName("plain"))
    assert [pod.name for pod in pods.of(WorkloadName("research"))] == ["b"]


AVERAGE, VALUE = AverageValueTarget(milli=1), ValueTarget(milli=1)


@pytest.mark.parametrize(
    ("spec", "asks"),
    [
        (metrics.ResourceMetric(resource="cpu", target=UtilizationTarget(percent=5)), True),
        (
            metrics.ContainerResourceMetric(resource="cpu", container="a", target=AVERAGE),
            True,
        ),
        (metrics.PodsMetric(name="m", target=AVERAGE), True),
        (metrics.ExternalMetric(name="m", target=VALUE), True),
        (metrics.ObjectMetric(name="m", target=VALUE), True),
        (metrics.ExternalMetric(name="m", target=AVERAGE), False),
        (metrics.ObjectMetric(name="m", target=AVERAGE), False),
    ],
)
def test_pods_are_kept_where_a_metric_counts_them(spec: MetricSpec, asks: bool) -> None:
    pool = msgspec.structs.replace(make_pool("research"), metrics=(spec,))
    expected = {"tenant-acme": frozenset({WorkloadName("research")})} if asks else {}
    assert measured_workloads([pool, make_pool("plain")]) == expected


@pytest.mark.parametrize("kind", TargetType)
def test_a_formula_by_value_counts_pods_too(kind: TargetType) -> None:
    formula = Modifiers(formula="queue", target_milli=1, metric_type=kind)
    pool: Pool = msgspec.structs.replace(make_pool("research"), modifiers=formula)
    assert bool(measured_workloads([pool])) is (kind is TargetType.VALUE)
