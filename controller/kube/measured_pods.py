"""Pods as the HPA sees them, kept only for workloads with a metric that needs pods.

Source: kubernetes pkg/controller/podautoscaler/replica_calculator.go (groupPods,
calculateRequests).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from controller.kube import wire
from controller.kube.objects import unix_seconds
from controller.model.decoding import decoded
from controller.model.fleet import Pool
from controller.model.ids import WorkloadName
from controller.model.metrics import (
    ConditionStatus,
    ContainerRequest,
    ContainerResourceMetric,
    ExternalMetric,
    MeasuredPod,
    MetricSpec,
    ObjectMetric,
    PodReadiness,
    PodsMetric,
    ResourceMetric,
    StatusPhase,
    TargetType,
    ValueTarget,
)
from controller.model.text import clean_name
from controller.model.value import MILLI
from controller.notation.quantity import exact_amount, rounded_up


class _Requirements(wire.WireObject):
    """core/v1 ResourceRequirements of any resources."""

    requests: dict[str, wire.WireQuantity] | None = None


class _Container(wire.WireObject):
    """core/v1 Container."""

    name: str
    resources: _Requirements | None = None
    restart_policy: str | None = None


class _Spec(wire.WireObject):
    """core/v1 PodSpec."""

    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None
    resources: _Requirements | None = None


class _Status(wire.WireObject):
    """core/v1 PodStatus."""

    phase: str | None = None
    start_time: str | None = None
    conditions: list[wire.WireCondition] | None = None


class _Pod(wire.WireObject):
    """core/v1 Pod."""

    metadata: wire.WireMetadata
    spec: _Spec | None = None
    status: _Status | None = None


_POD_DECODER: Final = msgspec.json.Decoder(_Pod)


class MeasuredPods:
    """The pods of these workloads by name. If one cannot be read, `of` returns none for its
    workload, because the HPA's sums would be wrong without it.
    """

    def __init__(self, workloads: Collection[WorkloadName]) -> None:
        self._pods: dict[WorkloadName, dict[str, MeasuredPod | None]] = {
            workload: {} for workload in workloads
        }
        self._sorted: dict[WorkloadName, tuple[MeasuredPod, ...]] = {}

    def put(self, name: str, workload: WorkloadName, found: msgspec.Raw) -> None:
        """One was added or changed."""
        pods = self._pods.get(workload)
        if pods is None:
            return
        pod = measured_pod(found)
        if name not in pods or pods[name] != pod:
            pods[name] = pod
            self._sorted.pop(workload, None)

    def drop(self, name: str, workload: WorkloadName) -> None:
        """Remove a pod that is gone, or that belongs to another workload now."""
        self._pods.get(workload, {}).pop(name, None)
        self._sorted.pop(workload, None)

    def of(self, workload: WorkloadName) -> tuple[MeasuredPod, ...]:
        """All pods of one workload, sorted by name; the same object until one of them changes."""
        pods = self._pods.get(workload)
        if not pods:
            return ()
        known = self._sorted.get(workload)
        if known is None:
            readable = tuple(pod for _, pod in sorted(pods.items()) if pod is not None)
            known = readable if len(readable) == len(pods) else ()
            self._sorted[workload] = known
        return known


def measured_workloads(pools: Iterable[Pool]) -> dict[str, frozenset[WorkloadName]]:
    """By namespace, the workloads whose pools have a metric that needs pods."""
    found: defaultdict[str, set[WorkloadName]] = defaultdict(set)
    for pool in pools:
        if _asks_about_pods(pool):
            found[pool.namespace].add(pool.workload)
    return {namespace: frozenset(names) for namespace, names in found.items()}


def measured_pod(found: msgspec.Raw | bytes) -> MeasuredPod | None:
    """A pod from JSON, as the HPA sees it; None if it cannot be read."""
    try:
        pod = decoded(_POD_DECODER, found)
        spec, status = pod.spec or _Spec(), pod.status or _Status()
        init = spec.init_containers or ()
        return MeasuredPod(
            name=clean_name(pod.metadata.name),
            phase=_phase(status.phase),
            deleting=pod.metadata.deletion_timestamp is not None,
            started_at=unix_seconds(status.start_time),
            readiness=_readiness(status.conditions or ()),
            containers=tuple(map(_request, spec.containers or ())),
            sidecars=tuple(
                _request(one) for one in init if one.restart_policy == wire.SIDECAR_RESTART_POLICY
            ),
            requests_milli=_milli(spec.resources),
        )
    except ValueError:
        return None


def _asks_about_pods(pool: Pool) -> bool:
    by_value = pool.modifiers is not None and pool.modifiers.metric_type is TargetType.VALUE
    return by_value or any(map(_is_of_pods, pool.metrics))


def _is_of_pods(spec: MetricSpec) -> bool:
    match spec:
        case ResourceMetric() | ContainerResourceMetric() | PodsMetric():
            return True
        case ExternalMetric(target=ValueTarget()) | ObjectMetric(target=ValueTarget()):
            # HPA: the usage ratio is multiplied by the number of pods that are Running and Ready
            return True
        case _:
            return False


def _phase(phase: str | None) -> StatusPhase:
    return StatusPhase(phase) if phase in set(StatusPhase) else StatusPhase.UNKNOWN


def _readiness(conditions: Iterable[wire.WireCondition]) -> PodReadiness | None:
    for condition in conditions:
        since = unix_seconds(condition.last_transition_time)
        if condition.type == "Ready" and since is not None:
            status = condition.status
            known = status in set(ConditionStatus)
            return PodReadiness(
                status=ConditionStatus(status) if known else ConditionStatus.UNKNOWN, since=since
            )
    return None


def _request(container: _Container) -> ContainerRequest:
    return ContainerRequest(
        name=clean_name(container.name), requests_milli=_milli(container.resources)
    )


def _milli(asked: _Requirements | None) -> dict[str, int]:
    requests = (asked.requests if asked is not None else None) or {}
    return {
        clean_name(resource): rounded_up(exact_amount(amount), MILLI)
        for resource, amount in requests.items()
    }
