"""The pods of one namespace: decoded and counted by workload, and, for metrics that need pods, as
the HPA sees them (kubernetes pkg/controller/podautoscaler/replica_calculator.go, groupPods and
calculateRequests). An implausible or unreadable pod is refused alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, TypeAlias

import msgspec

from controller.kube import wire
from controller.kube.supply import added, requested
from controller.kube.watch import KindView, Refused, Seen
from controller.kube.wire import unix_seconds
from controller.model.fleet import (
    ContainerResourceMetric,
    ExternalMetric,
    MetricSpec,
    ObjectMetric,
    PodsMetric,
    Pool,
    ResourceMetric,
    TargetType,
    ValueTarget,
)
from controller.model.ids import WorkloadKind, WorkloadName
from controller.model.observation import (
    DELETED_FIRST,
    ConditionStatus,
    ContainerRequest,
    MeasuredPod,
    Pod,
    PodPhase,
    PodReadiness,
    Pods,
    StatusPhase,
)
from controller.model.readings import Why
from controller.model.scarcity import Resources
from controller.model.snapshot import Container, ContainerState
from controller.model.text import clean, clean_name
from controller.model.value import INT32_MAX, MILLI, UndecodableError, Value
from controller.notation.quantity import exact_amount, rounded_up
from controller.ports import Clock

Changed: TypeAlias = Callable[[WorkloadName], None]
"""Called with the workload that changed, or whose pods did."""
_COMMON_WAITS: Final = frozenset({"ContainerCreating", "PodInitializing"})
_ENDED: Final = frozenset({"Failed", "Succeeded"})
_ORDINAL: Final = re.compile(r"\d{1,10}\Z", re.ASCII)
_PULLS: Final = frozenset({"ImagePullBackOff", "ErrImagePull", "InvalidImageName"})
MOST_CONTAINERS: Final = 50
_ONE_POD: Final = Resources(replicas=1)


class PodRecord(Value):
    """What is kept of one pod: its Deployment or StatefulSet if it has one, what it uses of a quota
    (`takes`, None after it has ended), and, if it is measured, how the HPA sees it.
    """

    workload: WorkloadName | None
    found: Pod | Refused[Pod]
    takes: Resources | None
    measured: MeasuredPod | None = None


def _pod(found: wire.WirePod) -> Pod:
    meta, spec = found.metadata, found.spec or wire.WirePodSpec()
    status, labels = found.status or wire.WirePodStatus(), meta.labels or {}
    conditions = {condition.type: condition for condition in status.conditions or ()}
    lasting = status.container_statuses or []
    containers = [*(status.init_container_statuses or ()), *lasting]
    phase, reason = _phase(found, conditions, containers)
    scheduled, ready = (_since(conditions.get(step), "True") for step in ("PodScheduled", "Ready"))
    started, created = _started_at(lasting), unix_seconds(meta.creation_timestamp)
    unready = _since(conditions.get("Ready"), "False")
    # the timestamp of a deletion is when the grace period ends (metav1.ObjectMeta)
    deleted, grace_s = unix_seconds(meta.deletion_timestamp), meta.deletion_grace_period_seconds
    began = {
        PodPhase.UNSCHEDULED: _since(conditions.get("PodScheduled"), "False"),
        PodPhase.STARTING: scheduled,
        PodPhase.RUNNING: started,
        PodPhase.READY: ready,
        PodPhase.CRASHING: unready,
        PodPhase.FAILED: unready,
        PodPhase.TERMINATING: None if deleted is None else deleted - (grace_s or 0),
    }
    return Pod(
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
        message=clean(_why_not_ready(found)),
        deletion_cost=_deletion_cost(meta.annotations),
        generation=clean_name(
            labels.get("pod-template-hash") or labels.get("controller-revision-hash", "")
        ),
        ordinal=_workload_of(meta)[1],
    )


def _deletion_cost(annotations: wire.WirePodAnnotations | None) -> int:
    """The cost; 0 without one or if it is no int32 (helper.GetDeletionCostFromPodAnnotations)."""
    text = "" if annotations is None else annotations.deletion_cost or ""
    try:
        cost = int(text)
    except ValueError:
        return 0
    return cost if -INT32_MAX - 1 <= cost <= INT32_MAX else 0


def _workload_of(meta: wire.WireMetadata) -> tuple[WorkloadName | None, int | None]:
    """A pod's workload, and its ordinal in a StatefulSet.

    A StatefulSet owns its pods, which it names `<statefulset>-<ordinal>` (getPodName in its
    controller). A Deployment owns ReplicaSets, names them `<deployment>-<pod-template-hash>`, and
    labels their pods with the hash (getNewReplicaSet in the deployment controller).
    """
    template_hash = (meta.labels or {}).get("pod-template-hash")
    for owner in meta.owner_references or ():
        if owner.kind == WorkloadKind.STATEFUL_SET and owner.controller:
            number = meta.name.removeprefix(f"{owner.name}-")
            ordinal = int(number) if _ORDINAL.match(number) else None
            return WorkloadName(clean_name(owner.name), WorkloadKind.STATEFUL_SET), ordinal
        if owner.kind == "ReplicaSet" and owner.controller and template_hash:
            name = owner.name.removesuffix(f"-{template_hash}")
            return WorkloadName(clean_name(name)) if name and name != owner.name else None, None
    return None, None


_Explained: TypeAlias = tuple[PodPhase, str | None]


def _phase(
    found: wire.WirePod,
    conditions: dict[str, wire.WireCondition],
    containers: list[wire.WireContainerStatus],
) -> _Explained:
    """Phase and reason by the first rule that fits."""
    status = found.status or wire.WirePodStatus()
    if found.metadata.deletion_timestamp is not None:
        return PodPhase.TERMINATING, status.reason
    if status.phase in _ENDED:
        return PodPhase.FAILED, status.reason or status.phase
    if not (found.spec and found.spec.node_name):
        scheduled = conditions.get("PodScheduled") or wire.WireCondition()
        return PodPhase.UNSCHEDULED, scheduled.reason
    if crash := _crash(containers):
        return crash
    ready = conditions.get("Ready") or wire.WireCondition()
    if ready.status == "True":
        return PodPhase.READY, None
    waits = [each.state.waiting for each in containers if each.state and each.state.waiting]
    uncommon = (wait for wait in waits if wait.reason not in _COMMON_WAITS)
    why = next(uncommon, waits[0] if waits else ready)
    running = status.phase in {"Running", "Unknown"} and not waits
    return PodPhase.RUNNING if running else PodPhase.STARTING, why.reason


def _crash(containers: list[wire.WireContainerStatus]) -> _Explained | None:
    """Phase and reason if a container failed and is, or soon will be, restarted."""
    for container in containers:
        state = container.state or wire.WireContainerState()
        waiting, ended = state.waiting, state.terminated
        if waiting and (waiting.reason == "CrashLoopBackOff" or container.restart_count > 0):
            return PodPhase.CRASHING, waiting.reason
        if ended and ended.exit_code != 0:
            return PodPhase.CRASHING, ended.reason
    return None


def containers_of(pod: wire.WirePod) -> Iterator[Container]:
    """Those of the start first, as they run."""
    spec, status = pod.spec or wire.WirePodSpec(), pod.status or wire.WirePodStatus()
    statuses = (*(status.init_container_statuses or ()), *(status.container_statuses or ()))
    told = {each.name: each for each in statuses}
    for is_init, containers in ((True, spec.init_containers), (False, spec.containers)):
        for each in (containers or ())[:MOST_CONTAINERS]:
            found = told.get(each.name, wire.WireContainerStatus())
            yield Container(
                name=clean_name(each.name),
                image=clean(found.image or each.image),
                # one that is always started again runs beside the others
                is_init=is_init and each.restart_policy != "Always",
                is_ready=bool(found.ready),
                restarts=found.restart_count,
                state=_state(found.state) or ContainerState(),
                last=_state(found.last_state),
            )


def _state(state: wire.WireContainerState | None) -> ContainerState | None:
    if state is None:
        return None
    if (running := state.running) is not None:
        return ContainerState(word="running", at=unix_seconds(running.started_at))
    told = state.terminated or state.waiting
    if told is None:
        return None
    ended = state.terminated is not None
    return ContainerState(
        word="ended" if ended else "waiting",
        reason=clean(told.reason or ""),
        message=clean(told.message or ""),
        exit_code=told.exit_code if ended else None,
        at=unix_seconds(told.finished_at),
    )


def _why_not_ready(pod: wire.WirePod) -> str:
    """The first thing that keeps the pod from being ready, in a sentence; empty where it is."""
    status = pod.status or wire.WirePodStatus()
    conditions = {each.type: each for each in status.conditions or ()}
    ready, scheduled = (
        conditions.get(each) or wire.WireCondition() for each in ("Ready", "PodScheduled")
    )
    if pod.metadata.deletion_timestamp is not None:
        return "it is being ended"
    if ready.status == "True":
        return ""
    if scheduled.status == "False" or not (pod.spec and pod.spec.node_name):
        because = scheduled.message or scheduled.reason or "the scheduler has not said why"
        return f"no node takes it: {because}"
    if status.phase == "Failed" and status.reason:  # evicted, for example
        return f"it has failed, {status.reason}: {status.message or 'no more is said'}"
    containers = tuple(containers_of(pod))
    problems = (*map(_problem, containers), *map(_unready, containers))
    told = (status.message, ready.message, status.reason, ready.reason)
    others = (each and f"it is not ready: {each}" for each in told)
    return next(filter(None, (*problems, *others)), "its node has not begun with it")


def _unready(container: Container) -> str:
    if container.state.word != "running" or container.is_ready or container.is_init:
        return ""
    return f"container {container.name} runs and is not ready yet"


def _problem(container: Container) -> str:
    """What keeps this container from running; empty where nothing does."""
    name, state = f"container {container.name}", container.state
    why = f": {state.message}" if state.message else ""
    if state.reason in _PULLS:
        return f"the image {container.image} of {name} cannot be pulled{why}"
    if state.word == "waiting" and (container.last or state.reason == "CrashLoopBackOff"):
        times = f"{container.restarts:,} time{'s' * (container.restarts != 1)}"
        last = "" if container.last is None else f", last with {container.last.exit_words}"
        return f"{name} has ended {times}{last}{why}"
    if state.word == "ended" and state.exit_code != 0:
        return f"{name} has ended with {state.exit_words}{why}"
    if container.is_init and state.word == "running":
        return f"{name} still runs, and the others start when it has ended"
    if state.word == "waiting" and state.reason:
        is_begun = state.reason in _COMMON_WAITS
        does = "is being created" if is_begun else f"cannot start, {state.reason}"
        return f"{name} {does}{why}"
    return ""


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


def counted(pods: Iterable[Pod]) -> Pods:
    """The pods of one pool; `starting` ones are not ready yet, failed ones not counted."""
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


class PodView(KindView[PodRecord]):
    """One namespace's pods by workload, counted when one changes; others for quotas."""

    def __init__(
        self, changed: Changed, measured: Collection[WorkloadName] = (), clock: Clock | None = None
    ) -> None:
        """`changed` is called with a workload; without a clock no marking of pods is noted."""
        super().__init__()
        self._on_change = changed
        self._clock = clock
        self._is_measured = frozenset(measured)
        self._members: defaultdict[WorkloadName, dict[str, PodRecord]] = defaultdict(dict)
        self._counted: dict[WorkloadName, Pods | Refused[Pods]] = {}
        self._measured: dict[WorkloadName, tuple[MeasuredPod, ...]] = {}
        self._taken: dict[frozenset[WorkloadName], Resources] = {}

    def get(self, workload: WorkloadName) -> Pods | Refused[Pods]:
        """The workload's pods, or why one of them cannot be read."""
        known = self._counted.get(workload)
        if known is None:
            pods = [record.found for record in self._members.get(workload, {}).values()]
            refused = next((each for each in pods if isinstance(each, Refused)), None)
            if refused is None:
                known = counted(each for each in pods if isinstance(each, Pod))
            else:
                known = Refused(why=refused.why, detail=refused.detail)
            self._counted[workload] = known
        return known

    def measured(self, workload: WorkloadName) -> tuple[MeasuredPod, ...]:
        """The pods of one measured workload as the HPA sees them, sorted by name; the same object
        until one of them changes. None if one cannot be read: the HPA's sums would be wrong.
        """
        known = self._measured.get(workload)
        if known is None:
            members = self._members.get(workload, {}) if workload in self._is_measured else {}
            pods = [record.measured for _, record in sorted(members.items())]
            readable = tuple(pod for pod in pods if pod is not None)
            known = self._measured[workload] = readable if len(readable) == len(pods) else ()
        return known

    def taken_by_others(self, workloads: frozenset[WorkloadName]) -> Resources:
        """What the other pods use of a quota; the same object until one of them changes."""
        known = self._taken.get(workloads)
        if known is None:
            others = (each for each in self.kept.values() if each.workload not in workloads)
            known = added([each.takes for each in others if each.takes is not None])
            self._taken[workloads] = known
        return known

    def count(self) -> int:
        """How many pods it has that belong to a workload."""
        return sum(map(len, self._members.values()))

    def read(self, raw: msgspec.Raw) -> Seen[PodRecord] | None:
        """What is kept of a pod."""
        try:
            pod = wire.WirePod.of(raw)
        except UndecodableError as error:
            return _unreadable(raw, error)
        name, (workload, _) = clean_name(pod.metadata.name), _workload_of(pod.metadata)
        spec, status = pod.spec or wire.WirePodSpec(), pod.status or wire.WirePodStatus()
        takes: Resources | None = None
        if status.phase not in _ENDED:
            try:
                takes = msgspec.structs.replace(requested(spec), replicas=1)
            except ValueError:
                takes = _ONE_POD
        elif workload is None:
            return Seen(name, None)
        found, known = _pod(pod), self.kept.get(name)
        if self._clock is not None and found.deletion_cost == DELETED_FIRST:
            marked_at = known.found.marked_at if known and isinstance(known.found, Pod) else None
            at = self._clock.now() if marked_at is None else marked_at
            found = msgspec.structs.replace(found, marked_at=at)
        measured = measured_pod(pod) if workload in self._is_measured else None
        return Seen(name, PodRecord(workload=workload, found=found, takes=takes, measured=measured))

    def changed(self, name: str, before: PodRecord | None, after: PodRecord | None) -> None:
        """Forget what was made of this pod."""
        was = None if before is None else before.workload
        now = None if after is None else after.workload

        def differ(field: str) -> bool:
            return was != now or getattr(before, field, None) != getattr(after, field, None)

        if differ("takes"):
            owners = {record.workload for record in (before, after) if record is not None}
            for workloads in [each for each in self._taken if not owners <= each]:
                del self._taken[workloads]
        if was is not None:
            del self._members[was][name]
            if not self._members[was]:
                del self._members[was]
        if now is not None and after is not None:
            self._members[now][name] = after
        for workload in dict.fromkeys(each for each in (was, now) if each is not None):
            if differ("measured"):
                self._measured.pop(workload, None)
            if differ("found"):
                self._counted.pop(workload, None)
                self._on_change(workload)

    def shift(self, seconds: float) -> None:
        """Add a step of the clock to the times at which pods were marked."""
        for name, record in tuple(self.kept.items()):
            pod = record.found
            if isinstance(pod, Pod) and pod.marked_at is not None:
                pod = msgspec.structs.replace(pod, marked_at=pod.marked_at + seconds)
                self.take(Seen(name, msgspec.structs.replace(record, found=pod)))


def _unreadable(raw: msgspec.Raw, fault: UndecodableError) -> Seen[PodRecord] | None:
    """A pod known by metadata alone, which uses a quota of pods; None without even that."""
    try:
        meta = wire.WireIdentified.of(raw).metadata
    except UndecodableError:
        return None
    name = clean_name(meta.name)
    refused: Refused[Pod] = Refused(why=Why.UNREADABLE, detail=f"pod {name}: {fault}")
    return Seen(name, PodRecord(workload=_workload_of(meta)[0], found=refused, takes=_ONE_POD))


def measured_workloads(pools: Iterable[Pool]) -> dict[str, frozenset[WorkloadName]]:
    """By namespace, the workloads whose pools have a metric that needs pods."""
    found: defaultdict[str, set[WorkloadName]] = defaultdict(set)
    for pool in pools:
        by_value = pool.modifiers is not None and pool.modifiers.metric_type is TargetType.VALUE
        if by_value or any(map(_is_of_pods, pool.metrics)):
            found[pool.namespace].add(pool.workload)
    return {namespace: frozenset(names) for namespace, names in found.items()}


def measured_pod(pod: wire.WirePod) -> MeasuredPod | None:
    """A pod as the HPA sees it; None if its requests cannot be read."""
    spec, status = pod.spec or wire.WirePodSpec(), pod.status or wire.WirePodStatus()
    phase, init = status.phase, spec.init_containers or ()
    try:
        return MeasuredPod(
            name=clean_name(pod.metadata.name),
            phase=StatusPhase(phase) if phase in set(StatusPhase) else StatusPhase.UNKNOWN,
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


def _request(container: wire.WireContainer) -> ContainerRequest:
    return ContainerRequest(
        name=clean_name(container.name), requests_milli=_milli(container.resources)
    )


def _milli(asked: wire.WireResourceRequirements | None) -> dict[str, int]:
    requests = (asked.requests if asked is not None else None) or {}
    return {
        clean_name(resource): rounded_up(exact_amount(amount), MILLI)
        for resource, amount in requests.items()
    }
