"""Decodes Deployments, StatefulSets and pods into our values, and cleans their texts.

An implausible or unreadable object is refused alone, so that it does not hide the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final, TypeAlias, TypeVar

import msgspec

from controller.kube import wire
from controller.model.decoding import UndecodableError, decoded
from controller.model.ids import WorkloadKind, WorkloadName
from controller.model.observation import Pod, PodPhase, Pods, Workload
from controller.model.readings import Why
from controller.model.scarcity import Resources
from controller.model.text import clean, clean_name
from controller.model.value import INT32_MAX, MILLI, Value
from controller.notation.quantity import exact_amount, rounded_up

_Amount: TypeAlias = Callable[[wire.WireAmounts], wire.WireQuantity | None]


def requested(spec: wire.WirePodSpec) -> Resources:
    """A pod's requests of CPU and memory; None for a resource that no container requests.

    It is the sum over containers and sidecars, or the need of the init containers if that is more,
    plus the overhead of the runtime class (PodRequests in k8s.io/component-helpers). Defaults that
    a LimitRange would add are not included. Raises ValueError for an amount that cannot be read.
    """
    cpu = _of_pod(spec, lambda amounts: amounts.cpu)
    memory = _of_pod(spec, lambda amounts: amounts.memory)
    return Resources(
        cpu_milli=None if cpu is None else rounded_up(cpu, MILLI),
        memory_bytes=None if memory is None else rounded_up(memory),
    )


def _of_pod(spec: wire.WirePodSpec, amount: _Amount) -> Fraction | None:
    # requests of the pod as a whole (Kubernetes 1.34) replace those of its containers
    whole = spec.resources or wire.WireResourceRequirements()
    asked = _stated(whole.requests, amount)
    if asked is None:
        asked = _of_containers(spec, amount)
    if asked is None:
        asked = _stated(whole.limits, amount)
    overhead = _stated(spec.overhead, amount)
    return overhead if asked is None else asked + (overhead or 0)


def _of_containers(spec: wire.WirePodSpec, amount: _Amount) -> Fraction | None:
    """The containers' requests: the larger of the need at start and the need while running.

    At start, init containers run one after the other, each beside the sidecars before it. Then all
    containers run beside all sidecars.
    """
    sidecars = start = Fraction(0)
    stated = False
    for container in spec.init_containers or ():
        own = _of_container(container, amount)
        stated = stated or own is not None
        if container.restart_policy == wire.SIDECAR_RESTART_POLICY:
            sidecars += own or 0
            start = max(start, sidecars)
        else:
            start = max(start, sidecars + (own or 0))
    running = [_of_container(container, amount) for container in spec.containers or ()]
    if not stated and all(own is None for own in running):
        return None
    return max(start, sidecars + _sum(running))


def _of_container(container: wire.WireContainer, amount: _Amount) -> Fraction | None:
    """A limit without a request counts as the request (SetDefaults_Pod in core/v1)."""
    resources = container.resources or wire.WireResourceRequirements()
    asked = _stated(resources.requests, amount)
    return _stated(resources.limits, amount) if asked is None else asked


def _stated(amounts: wire.WireAmounts | None, amount: _Amount) -> Fraction | None:
    written = None if amounts is None else amount(amounts)
    return None if written is None else exact_amount(written)


def _sum(amounts: Iterable[Fraction | None]) -> Fraction:
    return sum((each for each in amounts if each is not None), start=Fraction(0))


class PodTimes(Value):
    """In Unix seconds; None for a step that is not done, or of which no time is known.

    - `scheduled_at`: it was given to a node. `started_at`: the last of its containers began to run,
      with its images there. `ready_at`: it became ready.
    - `since`: its phase began.
    """

    scheduled_at: float | None
    started_at: float | None
    ready_at: float | None
    since: float | None


def unix_seconds(time: str | None) -> float | None:
    """An RFC 3339 time in Unix seconds; None if there is none or it cannot be read."""
    if not time:
        return None
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def pod_times(
    meta: wire.WireMetadata,
    phase: PodPhase,
    conditions: Mapping[str, wire.WireCondition],
    containers: Sequence[wire.WireContainerStatus],
) -> PodTimes:
    """The times of a pod in this phase; `containers` are without the init containers."""
    scheduled = _since(conditions.get("PodScheduled"), "True")
    started, ready = _started_at(containers), _since(conditions.get("Ready"), "True")
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
    return PodTimes(
        scheduled_at=scheduled,
        started_at=started,
        ready_at=ready,
        since=began[phase] or unix_seconds(meta.creation_timestamp),
    )


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


KEPT_ANNOTATIONS: Final = frozenset(
    {
        "agentdash.dev/freeze",
        # KEDA, kedacore/keda apis/keda/v1alpha1/scaledobject_types.go
        "autoscaling.keda.sh/paused",
        "autoscaling.keda.sh/paused-replicas",
        "autoscaling.keda.sh/paused-scale-in",
        "autoscaling.keda.sh/paused-scale-out",
    }
)
"""The annotations of a workload that control autoscalers."""
_COMMON_WAITS: Final = frozenset({"ContainerCreating", "PodInitializing"})
_ENDED: Final = frozenset({"Failed", "Succeeded"})
_ORDINAL: Final = re.compile(r"\d{1,10}\Z", re.ASCII)
_ONE_POD: Final = Resources(replicas=1)


class RefusedObject(Value):
    """An object that exists but is implausible or unreadable, and why."""

    why: Why
    detail: str


class UnnamedObject(Value):
    """An object whose name cannot be read."""

    detail: str


class SuspectWorkload(Value):
    """A workload with implausible `requests`, and why; the rest of `workload` is valid."""

    workload: Workload
    why: Why
    detail: str


class WorkloadRecord(Value):
    """One Deployment or StatefulSet by name. `found` is None while it is being deleted, as it
    cannot be scaled.
    """

    name: str
    found: Workload | SuspectWorkload | RefusedObject | None


class PodRecord(Value):
    """One pod by name, its Deployment or StatefulSet if it has one, and what it uses of a quota
    (`takes`, None after it has ended).
    """

    name: str
    workload: WorkloadName | None
    found: Pod | RefusedObject
    takes: Resources | None


def deployment_record(raw: msgspec.Raw | bytes) -> WorkloadRecord | UnnamedObject:
    """A Deployment from JSON; its faults are in the record."""
    return _record(raw, wire.DEPLOYMENT, _deployment, _refused_workload)


def statefulset_record(raw: msgspec.Raw | bytes) -> WorkloadRecord | UnnamedObject:
    """A StatefulSet from JSON; its faults are in the record."""
    return _record(raw, wire.STATEFUL_SET, _statefulset, _refused_workload)


def pod_record(raw: msgspec.Raw | bytes) -> PodRecord | UnnamedObject:
    """A pod from JSON; its faults are in the record."""
    return _record(raw, wire.POD, _pod, _refused_pod)


def object_name(raw: msgspec.Raw | bytes) -> str | None:
    """An object's name; None if it cannot be read."""
    try:
        return clean_name(decoded(wire.IDENTIFIED, raw).metadata.name)
    except UndecodableError:
        return None


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


_Wire = TypeVar("_Wire", wire.WireDeployment, wire.WireStatefulSet, wire.WirePod)
_Record = TypeVar("_Record", WorkloadRecord, PodRecord)


def _record(
    raw: msgspec.Raw | bytes,
    decoder: msgspec.json.Decoder[_Wire],
    accept: Callable[[_Wire], _Record],
    refuse: Callable[[wire.WireMetadata, str], _Record],
) -> _Record | UnnamedObject:
    try:
        return accept(decoded(decoder, raw))
    except UndecodableError as error:
        fault = str(error)
    try:
        return refuse(decoded(wire.IDENTIFIED, raw).metadata, fault)
    except UndecodableError:
        return UnnamedObject(detail=fault)


# Deployments and StatefulSets


def _statefulset(found: wire.WireStatefulSet) -> WorkloadRecord:
    record = _deployment(found)
    spec = found.spec or wire.WireStatefulSetSpec()
    first = (spec.ordinals or wire.WireOrdinals()).start
    one_by_one = spec.pod_management_policy != "Parallel"
    if not 0 <= first <= INT32_MAX:
        refused = RefusedObject(why=Why.IMPLAUSIBLE, detail=f"spec.ordinals.start is {first}")
        return WorkloadRecord(name=record.name, found=refused)
    match record.found:
        case Workload() as workload:
            numbered = _numbered(workload, first, one_by_one=one_by_one)
            return WorkloadRecord(name=record.name, found=numbered)
        case SuspectWorkload(workload=workload) as suspect:
            numbered = _numbered(workload, first, one_by_one=one_by_one)
            suspect = msgspec.structs.replace(suspect, workload=numbered)
            return WorkloadRecord(name=record.name, found=suspect)
        case _:
            return record


def _numbered(workload: Workload, first: int, *, one_by_one: bool) -> Workload:
    return msgspec.structs.replace(workload, first_ordinal=first, one_by_one=one_by_one)


def _deployment(found: wire.WireDeployment) -> WorkloadRecord:
    meta, spec = found.metadata, found.spec or wire.WireDeploymentSpec()
    status = found.status or wire.WireDeploymentStatus()
    name = clean_name(meta.name)
    if meta.deletion_timestamp is not None:
        return WorkloadRecord(name=name, found=None)
    replicas = 1 if spec.replicas is None else spec.replicas  # apps/v1: defaults to 1
    for field, number in (
        ("spec.replicas", replicas),
        ("status.replicas", status.replicas),
        ("status.readyReplicas", status.ready_replicas),
        ("status.updatedReplicas", status.updated_replicas),
        ("status.availableReplicas", status.available_replicas),
    ):
        if not 0 <= (number or 0) <= INT32_MAX:
            refused = RefusedObject(why=Why.IMPLAUSIBLE, detail=f"{field} is {number}")
            return WorkloadRecord(name=name, found=refused)
    workload = Workload(
        replicas=replicas,
        current=status.replicas or 0,
        ready=status.ready_replicas or 0,
        updated=status.updated_replicas or 0,
        available=status.available_replicas or 0,
        uid=clean_name(meta.uid),
        resource_version=clean_name(meta.resource_version),
        generation=meta.generation,
        observed_generation=status.observed_generation or 0,
        paused=bool(spec.paused),
        labels={clean_name(key): clean_name(value) for key, value in (meta.labels or {}).items()},
        message=_failure(status.conditions or ()),
        annotations={
            key: clean(value)
            for key, value in (meta.annotations or {}).items()
            if key in KEPT_ANNOTATIONS
        },
        sized_by=_sized_by(meta.managed_fields or ()),
    )
    template = spec.template or wire.WirePodTemplate()
    try:
        requests = requested(template.spec or wire.WirePodSpec())
    except ValueError as error:
        detail = f"spec.template requests: {error}"
        suspect = SuspectWorkload(workload=workload, why=Why.IMPLAUSIBLE, detail=detail)
        return WorkloadRecord(name=name, found=suspect)
    return WorkloadRecord(name=name, found=msgspec.structs.replace(workload, requests=requests))


def _refused_workload(meta: wire.WireMetadata, fault: str) -> WorkloadRecord:
    return WorkloadRecord(
        name=clean_name(meta.name), found=RefusedObject(why=Why.UNREADABLE, detail=fault)
    )


def _sized_by(entries: Iterable[wire.WireManagedEntry]) -> str:
    """The field manager that set `spec.replicas` last; empty if none is noted. A change takes the
    field from its other owners, so several share it only if they agree on its value.
    """
    owners = [
        (unix_seconds(each.time) or 0.0, each.manager)
        for each in entries
        if each.fields_v1 and each.fields_v1.spec and each.fields_v1.spec.replicas is not None
    ]
    return clean_name(max(owners)[1]) if owners else ""


def _failure(conditions: Iterable[wire.WireCondition]) -> str:
    """Why a Deployment does not get its replicas: ReplicaFailure (a quota), else a stuck rollout;
    empty if neither is so.
    """
    by_type = {condition.type: condition for condition in conditions}
    for kind, status in (("ReplicaFailure", "True"), ("Progressing", "False")):
        condition = by_type.get(kind)
        if condition is not None and condition.status == status:
            return clean(condition.message or condition.reason or kind)
    return ""


# Pods


def _pod(found: wire.WirePod) -> PodRecord:
    meta, spec = found.metadata, found.spec or wire.WirePodSpec()
    status = found.status or wire.WirePodStatus()
    conditions = {condition.type: condition for condition in status.conditions or ()}
    lasting = status.container_statuses or []
    containers = [*(status.init_container_statuses or ()), *lasting]
    phase, reason, message = _phase(found, conditions, containers)
    times = pod_times(meta, phase, conditions, lasting)
    pod = Pod(
        name=clean_name(meta.name),
        phase=phase,
        node=clean_name(spec.node_name or ""),
        created_at=unix_seconds(meta.creation_timestamp) or 0.0,
        scheduled_at=times.scheduled_at,
        started_at=times.started_at,
        ready_at=times.ready_at,
        since=times.since,
        restarts=sum(container.restart_count for container in containers),
        reason=clean(reason or ""),
        message=clean(message or ""),
        deletion_cost=_deletion_cost(meta.annotations),
        generation=clean_name(_template_of(meta)),
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


def _refused_pod(meta: wire.WireMetadata, fault: str) -> PodRecord:
    name = clean_name(meta.name)
    return PodRecord(
        name=name,
        workload=_workload_of(meta),
        found=RefusedObject(why=Why.UNREADABLE, detail=f"pod {name}: {fault}"),
        takes=_ONE_POD,
    )


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


def _template_of(meta: wire.WireMetadata) -> str:
    """The mark that all pods of one pod template share."""
    labels = meta.labels or {}
    return labels.get("pod-template-hash") or labels.get("controller-revision-hash", "")


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
    return _phase_on_node(status, conditions, containers)


def _phase_on_node(
    status: wire.WirePodStatus,
    conditions: dict[str, wire.WireCondition],
    containers: list[wire.WireContainerStatus],
) -> _Explained:
    if crash := _crash(containers):
        return crash
    ready = conditions.get("Ready") or wire.WireCondition()
    if ready.status == "True":
        return PodPhase.READY, None, None
    if waiting := _waiting(containers):
        return PodPhase.STARTING, waiting.reason, waiting.message
    running = status.phase in {"Running", "Unknown"}
    return PodPhase.RUNNING if running else PodPhase.STARTING, ready.reason, ready.message


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


def _waiting(containers: list[wire.WireContainerStatus]) -> wire.WireWaiting | None:
    """The first container with an uncommon reason to wait, else the first that waits."""
    waits = [c.state.waiting for c in containers if c.state and c.state.waiting]
    uncommon = (wait for wait in waits if wait.reason not in _COMMON_WAITS)
    return next(uncommon, waits[0] if waits else None)
