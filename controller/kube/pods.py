"""The pods of one namespace: decoded and counted by workload, and, for metrics that need pods, as
the HPA sees them (kubernetes pkg/controller/podautoscaler/replica_calculator.go, groupPods and
calculateRequests). An implausible or unreadable pod is refused alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, TypeAlias

import msgspec

from controller.kube import wire
from controller.kube.quotas import NamespaceUsage, requested
from controller.kube.watch import KindView, RefusedObject
from controller.kube.wire import unix_seconds
from controller.model.decoding import UndecodableError, decoded
from controller.model.fleet import Pool
from controller.model.ids import WorkloadKind, WorkloadName
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
from controller.model.observation import DELETED_FIRST, Pod, PodPhase, Pods
from controller.model.readings import Why
from controller.model.scarcity import Resources
from controller.model.text import clean, clean_name
from controller.model.value import INT32_MAX, MILLI, Value
from controller.notation.quantity import exact_amount, rounded_up
from controller.ports import Clock

Changed: TypeAlias = Callable[[WorkloadName], None]
"""Called with the workload that changed, or whose pods did."""
_COMMON_WAITS: Final = frozenset({"ContainerCreating", "PodInitializing"})
_ENDED: Final = frozenset({"Failed", "Succeeded"})
_ORDINAL: Final = re.compile(r"\d{1,10}\Z", re.ASCII)
_ONE_POD: Final = Resources(replicas=1)


class PodRecord(Value):
    """One pod by name, its Deployment or StatefulSet if it has one, what it uses of a quota
    (`takes`, None after it has ended), and, if it is measured, how the HPA sees it.
    """

    name: str
    workload: WorkloadName | None
    found: Pod | RefusedObject
    takes: Resources | None
    measured: MeasuredPod | None = None


def pod_record(raw: msgspec.Raw | bytes) -> PodRecord | None:
    """A pod from JSON, with its faults; None if its name cannot be read."""
    try:
        return _pod(decoded(wire.POD, raw))
    except UndecodableError as error:
        fault = str(error)
    try:
        meta = decoded(wire.IDENTIFIED, raw).metadata
    except UndecodableError:
        return None
    name = clean_name(meta.name)
    refused = RefusedObject(why=Why.UNREADABLE, detail=f"pod {name}: {fault}")
    return PodRecord(name=name, workload=_workload_of(meta), found=refused, takes=_ONE_POD)


def _pod(found: wire.WirePod) -> PodRecord:
    meta, spec = found.metadata, found.spec or wire.WirePodSpec()
    status, labels = found.status or wire.WirePodStatus(), meta.labels or {}
    conditions = {condition.type: condition for condition in status.conditions or ()}
    lasting = status.container_statuses or []
    containers = [*(status.init_container_statuses or ()), *lasting]
    phase, reason, message = _phase(found, conditions, containers)
    scheduled, ready = (_since(conditions.get(step), "True") for step in ("PodScheduled", "Ready"))
    started, created = _started_at(lasting), unix_seconds(meta.creation_timestamp)
    unready = _since(conditions.get("Ready"), "False")
    began = {
        PodPhase.UNSCHEDULED: _since(conditions.get("PodScheduled"), "False"),
        PodPhase.STARTING: scheduled,
        PodPhase.RUNNING: started,
        PodPhase.READY: ready,
        PodPhase.CRASHING: unready,
        PodPhase.FAILED: unready,
        PodPhase.TERMINATING: _deletion_began(meta),
    }
    pod = Pod(
        name=clean_name(meta.name),
        phase=phase,
        node=clean_name(spec.node_name or ""),
        created_at=created or 0.0,
        scheduled_at=scheduled,
        started_at=started,
        ready_at=ready,
        since=began[phase] or created,
        restarts=sum(container.restart_count for container in containers),
        reason=clean(reason or ""),
        message=clean(message or ""),
        deletion_cost=_deletion_cost(meta.annotations),
        generation=clean_name(
            labels.get("pod-template-hash") or labels.get("controller-revision-hash", "")
        ),
        ordinal=_ordinal_of(meta),
    )
    return PodRecord(
        name=pod.name,
        workload=_workload_of(meta),
        found=pod,
        takes=None if status.phase in _ENDED else _takes(spec),
    )


def _deletion_cost(annotations: wire.WirePodAnnotations | None) -> int:
    """The cost; 0 without one or if it is no int32 (helper.GetDeletionCostFromPodAnnotations)."""
    text = "" if annotations is None else annotations.deletion_cost or ""
    try:
        cost = int(text)
    except ValueError:
        return 0
    return cost if -INT32_MAX - 1 <= cost <= INT32_MAX else 0


def _takes(spec: wire.WirePodSpec) -> Resources:
    """What a quota counts for the pod; only the pod itself if its amounts are implausible."""
    try:
        return msgspec.structs.replace(requested(spec), replicas=1)
    except ValueError:
        return _ONE_POD


def _workload_of(meta: wire.WireMetadata) -> WorkloadName | None:
    """A StatefulSet owns its pods. A Deployment owns ReplicaSets, names them
    `<deployment>-<pod-template-hash>`, and labels their pods with the hash (getNewReplicaSet in the
    deployment controller).
    """
    template_hash = (meta.labels or {}).get("pod-template-hash")
    for owner in meta.owner_references or ():
        if owner.kind == WorkloadKind.STATEFUL_SET and owner.controller:
            return WorkloadName(clean_name(owner.name), WorkloadKind.STATEFUL_SET)
        if owner.kind == "ReplicaSet" and owner.controller and template_hash:
            name = owner.name.removesuffix(f"-{template_hash}")
            return WorkloadName(clean_name(name)) if name and name != owner.name else None
    return None


def _ordinal_of(meta: wire.WireMetadata) -> int | None:
    """A StatefulSet names its pods `<statefulset>-<ordinal>` (getPodName in its controller)."""
    for owner in meta.owner_references or ():
        if owner.kind == WorkloadKind.STATEFUL_SET and owner.controller:
            number = meta.name.removeprefix(f"{owner.name}-")
            return int(number) if _ORDINAL.match(number) else None
    return None


_Explained: TypeAlias = tuple[PodPhase, str | None, str | None]


def _phase(
    found: wire.WirePod,
    conditions: dict[str, wire.WireCondition],
    containers: list[wire.WireContainerStatus],
) -> _Explained:
    """Phase, reason and message by the first rule that fits."""
    status = found.status or wire.WirePodStatus()
    if found.metadata.deletion_timestamp is not None:
        return PodPhase.TERMINATING, status.reason, status.message
    if status.phase in _ENDED:
        return PodPhase.FAILED, status.reason or status.phase, status.message
    if not (found.spec and found.spec.node_name):
        scheduled = conditions.get("PodScheduled") or wire.WireCondition()
        return PodPhase.UNSCHEDULED, scheduled.reason, scheduled.message
    if crash := _crash(containers):
        return crash
    ready = conditions.get("Ready") or wire.WireCondition()
    if ready.status == "True":
        return PodPhase.READY, None, None
    waits = [each.state.waiting for each in containers if each.state and each.state.waiting]
    uncommon = (wait for wait in waits if wait.reason not in _COMMON_WAITS)
    why = next(uncommon, waits[0] if waits else ready)
    running = status.phase in {"Running", "Unknown"} and not waits
    return PodPhase.RUNNING if running else PodPhase.STARTING, why.reason, why.message


def _crash(containers: list[wire.WireContainerStatus]) -> _Explained | None:
    """Phase, reason and message if a container has failed and is waiting, or soon will be, for a
    restart.
    """
    for container in containers:
        state = container.state or wire.WireContainerState()
        waiting, ended = state.waiting, state.terminated
        if waiting and (waiting.reason == "CrashLoopBackOff" or container.restart_count > 0):
            return PodPhase.CRASHING, waiting.reason, waiting.message
        if ended and ended.exit_code != 0:
            return PodPhase.CRASHING, ended.reason, ended.message or f"exit {ended.exit_code}"
    return None


def _since(condition: wire.WireCondition | None, status: str) -> float | None:
    if condition is None or condition.status != status:
        return None
    return unix_seconds(condition.last_transition_time)


def _started_at(containers: Sequence[wire.WireContainerStatus]) -> float | None:
    """None while one of them does not run."""
    began = [
        unix_seconds(each.state.running.started_at) if each.state and each.state.running else None
        for each in containers
    ]
    known = [at for at in began if at is not None]
    return max(known) if known and len(known) == len(began) else None


def _deletion_began(meta: wire.WireMetadata) -> float | None:
    """The timestamp is when the grace period ends (metav1.ObjectMeta)."""
    ends = unix_seconds(meta.deletion_timestamp)
    return None if ends is None else ends - (meta.deletion_grace_period_seconds or 0)


def counted(pods: Iterable[Pod]) -> Pods:
    """The pods of one pool. `starting` also counts those that run and are not ready yet. A failed
    pod is not counted, because it is replaced.
    """
    items = tuple(sorted(pods, key=lambda pod: pod.name))
    phases = [pod.phase for pod in items]
    return Pods(
        ready=phases.count(PodPhase.READY),
        starting=phases.count(PodPhase.STARTING) + phases.count(PodPhase.RUNNING),
        unscheduled=phases.count(PodPhase.UNSCHEDULED),
        crashing=phases.count(PodPhase.CRASHING),
        terminating=phases.count(PodPhase.TERMINATING),
        items=items,
    )


_PodsByName: TypeAlias = dict[str, Pod | RefusedObject]


class PodView(KindView[PodRecord]):
    """The pods of one namespace by workload; they are counted again only when one changes.

    `usage` is the quota usage of all pods, also of those without a workload. `measured` has the
    pods of the measured workloads as the HPA sees them.
    """

    def __init__(
        self, changed: Changed, measured: Collection[WorkloadName] = (), clock: Clock | None = None
    ) -> None:
        """Without a clock it is not noted when a pod was marked."""
        self._changed = changed
        self._clock = clock
        self._owner: dict[str, WorkloadName] = {}
        self._pods: defaultdict[WorkloadName, _PodsByName] = defaultdict(dict)
        self._counted: dict[WorkloadName, Pods | RefusedObject] = {}
        self.measured = MeasuredPods(measured)
        self.usage = NamespaceUsage()

    def get(self, workload: WorkloadName) -> Pods | RefusedObject:
        """The workload's pods, or the one of them that cannot be read."""
        known = self._counted.get(workload)
        if known is None:
            pods = self._pods.get(workload, {}).values()
            refused = (pod for pod in pods if isinstance(pod, RefusedObject))
            known = next(refused, None) or counted(pod for pod in pods if isinstance(pod, Pod))
            self._counted[workload] = known
        return known

    def names(self) -> Collection[str]:
        """The pods whose quota usage counts, and those that belong to a workload."""
        return self.usage.pods() | self._owner.keys()

    def count(self) -> int:
        """How many pods it has that belong to a workload."""
        return len(self._owner)

    def read(self, raw: msgspec.Raw) -> PodRecord | None:
        """What is kept of a pod."""
        record = pod_record(raw)
        if record is None or record.workload not in self.measured.workloads:
            return record
        return msgspec.structs.replace(record, measured=measured_pod(raw))

    def take(self, record: PodRecord) -> None:
        """One was added or changed."""
        name, workload = record.name, record.workload
        self.usage.put(name, workload, record.takes)
        if self._owner.get(name) != workload:
            self._leave(name)
        if workload is None:
            return
        self.measured.put(name, workload, record.measured)
        pods = self._pods[workload]
        found = self._with_time_of_mark(record.found, pods.get(name))
        if pods.get(name) != found:
            pods[name] = found
            self._owner[name] = workload
            self._recount(workload)

    def drop(self, name: str) -> None:
        """One is gone."""
        self._leave(name)
        self.usage.drop(name)

    def shift(self, seconds: float) -> None:
        """Add a step of the clock to the times at which pods were marked."""
        for workload, pods in self._pods.items():
            marked = {
                name: msgspec.structs.replace(found, marked_at=found.marked_at + seconds)
                for name, found in pods.items()
                if isinstance(found, Pod) and found.marked_at is not None
            }
            if marked:
                pods.update(marked)
                self._recount(workload)

    def _with_time_of_mark(
        self, found: Pod | RefusedObject, known: Pod | RefusedObject | None
    ) -> Pod | RefusedObject:
        if self._clock is None or isinstance(found, RefusedObject):
            return found
        if found.deletion_cost != DELETED_FIRST:
            return found
        marked_at = known.marked_at if isinstance(known, Pod) else None
        if marked_at is None:
            marked_at = self._clock.now()
        return msgspec.structs.replace(found, marked_at=marked_at)

    def _leave(self, name: str) -> None:
        """The pod belongs to its workload no longer."""
        workload = self._owner.pop(name, None)
        if workload is None:
            return
        self.measured.drop(name, workload)
        del self._pods[workload][name]
        if not self._pods[workload]:
            del self._pods[workload]
        self._recount(workload)

    def _recount(self, workload: WorkloadName) -> None:
        self._counted.pop(workload, None)
        self._changed(workload)


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

    @property
    def workloads(self) -> Collection[WorkloadName]:
        """The workloads that are measured."""
        return self._pods.keys()

    def put(self, name: str, workload: WorkloadName, pod: MeasuredPod | None) -> None:
        """One was added or changed; None if it cannot be read."""
        pods = self._pods.get(workload)
        if pods is None:
            return
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
        by_value = pool.modifiers is not None and pool.modifiers.metric_type is TargetType.VALUE
        if by_value or any(map(_is_of_pods, pool.metrics)):
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
            phase=StatusPhase(status.phase)
            if status.phase in set(StatusPhase)
            else StatusPhase.UNKNOWN,
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


def _is_of_pods(spec: MetricSpec) -> bool:
    match spec:
        case ResourceMetric() | ContainerResourceMetric() | PodsMetric():
            return True
        case ExternalMetric(target=ValueTarget()) | ObjectMetric(target=ValueTarget()):
            # HPA: the usage ratio is multiplied by the number of pods that are Running and Ready
            return True
        case _:
            return False


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
