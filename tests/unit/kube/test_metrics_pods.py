"""Pods as the HPA sees them, and the Deployments for which they are kept."""

from __future__ import annotations

from typing import Any

import msgspec

from controller.kube.pods import PodView, measured_workloads
from controller.model import fleet as metrics
from controller.model.fleet import (
    AverageValueTarget,
    MetricSpec,
    Modifiers,
    Pool,
    TargetType,
    UtilizationTarget,
    ValueTarget,
)
from controller.model.ids import WorkloadKind, WorkloadName
from controller.model.observation import (
    ConditionStatus,
    ContainerRequest,
    MeasuredPod,
    PodReadiness,
    StatusPhase,
)
from support.table import tabled
from support.world import make_pool

READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:10Z"}
RESEARCH = WorkloadName("research", WorkloadKind.STATEFUL_SET)
AT = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def raw(name: str = "a", owner: str = "research", **parts: Any) -> msgspec.Raw:
    """A pod of a StatefulSet."""
    owners = [{"kind": "StatefulSet", "name": owner, "controller": True}]
    meta = {"name": name, "ownerReferences": owners, **parts.pop("metadata", {})}
    return msgspec.Raw(msgspec.json.encode({"metadata": meta, **parts}))


def status(**parts: Any) -> dict[str, Any]:
    return {"phase": "Running", "startTime": "2026-01-01T00:00:00Z", **parts}


def read(**parts: Any) -> MeasuredPod:
    view = PodView(lambda _: None, {RESEARCH})
    view.put(raw(**parts))
    (pod,) = view.measured(RESEARCH)
    return pod


@tabled(
    ("parts", "phase", "deleting"),
    [
        ({}, StatusPhase.UNKNOWN, False),
        ({"status": status(phase="Pending")}, StatusPhase.PENDING, False),
        ({"status": status(phase="Odd")}, StatusPhase.UNKNOWN, False),
        (
            {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
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


@tabled(
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


def test_one_pod_that_cannot_be_read_leaves_its_workload_without_any() -> None:
    etl = WorkloadName("etl", WorkloadKind.STATEFUL_SET)
    plain = WorkloadName("plain", WorkloadKind.STATEFUL_SET)
    view = PodView(lambda _: None, {RESEARCH, etl})
    view.replace([raw("b"), raw("a"), raw("c", "etl"), raw("d", "plain")])
    assert [pod.name for pod in view.measured(RESEARCH)] == ["a", "b"]
    assert view.measured(plain) == ()
    view.put(raw("odd", spec={"containers": [{"resources": {"requests": {"gpu": "-1"}}}]}))
    assert view.measured(RESEARCH) == ()
    assert [pod.name for pod in view.measured(etl)] == ["c"]
    view.replace([raw("b")])
    assert [pod.name for pod in view.measured(RESEARCH)] == ["b"]


AVERAGE, VALUE = AverageValueTarget(milli=1), ValueTarget(milli=1)


@tabled(
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


@tabled("kind", TargetType)
def test_a_formula_by_value_counts_pods_too(kind: TargetType) -> None:
    formula = Modifiers(formula="queue", target_milli=1, metric_type=kind)
    pool: Pool = msgspec.structs.replace(make_pool("research"), modifiers=formula)
    assert bool(measured_workloads([pool])) is (kind is TargetType.VALUE)
