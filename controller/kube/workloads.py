"""The fleet's workloads by namespace, with their pods, quotas and warnings, as one port."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import quote

import msgspec

from controller.kube import wire
from controller.kube.client import Client
from controller.kube.errors import KubeError
from controller.kube.pods import Changed, PodView, measured_workloads
from controller.kube.rivals import NamespaceSwitch, RivalView, WarningView
from controller.kube.supply import NodeView, QuotaView, quota_reading, requested
from controller.kube.watch import (
    Freshness,
    KeptReadings,
    KindView,
    ReadingOf,
    Reflector,
    Refused,
    Seen,
    T,
    WatchTarget,
    believed,
    is_older,
)
from controller.kube.wire import unix_seconds
from controller.model.fleet import Pool
from controller.model.ids import WorkloadKind, WorkloadName
from controller.model.observation import ClusterEvent, ClusterRoom, MeasuredPod, Pods, Workload
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.model.scarcity import NodeClass, Resources
from controller.model.servers import FIELD_MANAGER, REPORTER
from controller.model.settings import KubernetesSettings
from controller.model.text import clean, clean_name
from controller.model.value import INT32_MAX, UndecodableError

log = logging.getLogger(__name__)
REFUSAL_S: Final = 300.0
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
_PATHS: Final = {
    "deployments": "/apis/apps/v1/namespaces/{namespace}",
    "statefulsets": "/apis/apps/v1/namespaces/{namespace}",
    "namespaces": "/api/v1",
    "pods": "/api/v1/namespaces/{namespace}",
    "resourcequotas": "/api/v1/namespaces/{namespace}",
    "events": "/api/v1/namespaces/{namespace}",
    "horizontalpodautoscalers": "/apis/autoscaling/v2/namespaces/{namespace}",
    "scaledobjects": "/apis/keda.sh/v1alpha1/namespaces/{namespace}",
}


Found: TypeAlias = Workload | Refused[Workload]


def _workload(found: wire.WireDeployment, kind: WorkloadKind) -> Found:
    meta, spec = found.metadata, found.spec or wire.WireDeploymentSpec()
    status = found.status or wire.WireDeploymentStatus()
    is_set = kind is WorkloadKind.STATEFUL_SET
    first = (spec.ordinals or wire.WireOrdinals()).start if is_set else None
    replicas = 1 if spec.replicas is None else spec.replicas  # apps/v1: defaults to 1
    for field, number in (
        ("spec.replicas", replicas),
        ("status.replicas", status.replicas),
        ("status.readyReplicas", status.ready_replicas),
        ("status.updatedReplicas", status.updated_replicas),
        ("status.availableReplicas", status.available_replicas),
        ("spec.ordinals.start", first),
    ):
        if not 0 <= (number or 0) <= INT32_MAX:
            return Refused(why=Why.IMPLAUSIBLE, detail=f"{field} is {number}")
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
        first_ordinal=first,
        one_by_one=is_set and spec.pod_management_policy != "Parallel",
    )
    template = spec.template or wire.WirePodTemplate()
    try:
        requests = requested(template.spec or wire.WirePodSpec())
    except ValueError as error:
        detail = f"spec.template requests: {error}"
        return Refused(why=Why.IMPLAUSIBLE, detail=detail, last=workload)
    return msgspec.structs.replace(workload, requests=requests)


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
    """Why a Deployment lacks replicas: ReplicaFailure (a quota), a stuck rollout, or empty."""
    by_type = {condition.type: condition for condition in conditions}
    for kind, status in (("ReplicaFailure", "True"), ("Progressing", "False")):
        condition = by_type.get(kind)
        if condition is not None and condition.status == status:
            return clean(condition.message or condition.reason or kind)
    return ""


class WorkloadView(KindView[Found]):
    """The Deployments of one namespace by name, or its StatefulSets; those that are being deleted
    cannot be scaled and are not kept.

    The answer to our own write is taken over at once (`applied`), and an older event does not undo
    it. A workload with implausible requests keeps the last good ones; if it has none, it is
    refused.
    """

    def __init__(self, changed: Changed, kind: WorkloadKind = WorkloadKind.DEPLOYMENT) -> None:
        """`changed` is called after an event."""
        super().__init__()
        self._on_change = changed
        self._kind = kind
        self._good: dict[str, Workload] = {}
        self._written: dict[str, str] = {}

    def get(self, name: str) -> Found | None:
        """The workload, or its fault; None if there is none, or it is being deleted."""
        return self.kept.get(name)

    def read(self, raw: msgspec.Raw) -> Seen[Found] | None:
        """What is kept of a workload."""
        named = wire.read(wire.WireDeployment, raw)
        if named is None:
            return None
        name, found = named
        if isinstance(found, UndecodableError):
            return Seen(name, Refused(why=Why.UNREADABLE, detail=str(found)))
        if found.metadata.deletion_timestamp is not None:
            return Seen(name, None)
        read = _workload(found, self._kind)
        if isinstance(read, Refused) and read.last is not None:
            # only its requests are implausible: those that were read last stay in force
            kept = self.kept.get(name)
            known = kept if isinstance(kept, Workload) else self._good.get(name)
            last: Workload | None = None
            if known is not None and known.uid == read.last.uid:
                last = msgspec.structs.replace(read.last, requests=known.requests)
            read = msgspec.structs.replace(read, last=last)
        return Seen(name, read)

    def take(self, seen: Seen[Found]) -> None:
        """One was added or changed; a state older than our own last write is ignored."""
        written, found = self._written.get(seen.name), seen.found
        workload = found.last if isinstance(found, Refused) else found
        if written and workload and is_older(workload.resource_version, written):
            return
        self._written.pop(seen.name, None)
        super().take(seen)

    def changed(self, name: str, before: Found | None, after: Found | None) -> None:
        """Keep the last state with good requests."""
        if after is None:
            self._good.pop(name, None)
            self._written.pop(name, None)
        elif isinstance(before, Workload):
            self._good[name] = before
        self._on_change(WorkloadName(name, self._kind))

    def reread(self, raw: msgspec.Raw) -> None:
        """One was read by itself; an older state than the known one is ignored."""
        seen = self.read(raw)
        if seen is None:
            return
        known, found = self.kept.get(seen.name), seen.found
        if not (
            isinstance(known, Workload)
            and isinstance(found, Workload)
            and is_older(found.resource_version, known.resource_version)
        ):
            self.take(seen)

    def applied(self, name: str, uid: str, replicas: int, version: str) -> None:
        """Take over the answer to our own write, unless versions cannot be compared."""
        known = self.kept.get(name)
        if not isinstance(known, Workload) or known.uid != uid:
            return
        if not is_older(known.resource_version, version):
            return  # the watch was faster
        self._written[name] = version
        # the server counts each change of a spec
        generation = known.generation + (replicas != known.replicas)
        self.kept[name] = msgspec.structs.replace(
            known,
            replicas=replicas,
            resource_version=version,
            generation=generation,
            sized_by=FIELD_MANAGER,
        )


class NamespaceNeeds(NamedTuple):
    """What pools need of a namespace: kinds of workloads, and the pods that are `measured`."""

    kinds: frozenset[WorkloadKind] = frozenset({WorkloadKind.DEPLOYMENT})
    measured: frozenset[WorkloadName] = frozenset()


class Namespace:
    """The views of one namespace, each with its own reflector, and the readings of them."""

    def __init__(
        self,
        name: str,
        needs: NamespaceNeeds,
        *,
        client: Client,
        selector: str,
        changed: Callable[[str, WorkloadName], None],
        on_answer: Callable[[], None],
    ) -> None:
        """`changed` gets the namespace and a workload, `on_answer` is called as a list ends."""
        self.needs = needs
        self._name = name
        self._changed = changed
        self.reflectors: dict[str, Reflector[Any]] = {}

        def reflect(kind: str, view: KindView[T], *, labels: str = "", **more: Any) -> Freshness:
            target = WatchTarget(kind=kind, path=self.path(kind), label_selector=labels, **more)
            reflector = Reflector(client, target, view, on_answer=on_answer)
            self.reflectors[kind] = reflector
            return reflector.freshness

        self.views = {
            kind: WorkloadView(self._workload_changed, kind)
            for kind in WorkloadKind
            if kind in needs.kinds
        }
        self.workloads = {
            kind: KeptReadings(reflect(kind.plural, view, labels=selector), self._workload_reading)
            for kind, view in self.views.items()
        }
        self.pod_view = PodView(self._pods_changed, needs.measured, client.clock)
        seen = reflect("pods", self.pod_view, labels=selector)
        self.pods: KeptReadings[WorkloadName, Pods] = KeptReadings(
            seen, lambda workload: believed(seen.judge(self.pod_view.get(workload)))
        )
        self.quotas = QuotaView()
        reflect("resourcequotas", self.quotas)
        self._quota_readings: defaultdict[frozenset[WorkloadName], ReadingOf[Resources]]
        self._quota_readings = defaultdict(ReadingOf)
        self.warnings = WarningView(client.clock)
        # our own events say nothing new here
        ours = f"type=Warning,reportingComponent!={REPORTER}"
        reflect("events", self.warnings, field_selector=ours)
        # KEDA scales by an HPA of its own, so the ScaledObject is named first
        self._rivals = tuple(
            RivalView(kind, self._workload_changed)
            for kind in ("ScaledObject", "HorizontalPodAutoscaler")
        )
        for view in self._rivals:
            reflect(f"{view.kind.lower()}s", view, optional=True)
        self._switch = NamespaceSwitch(self._frozen_or_thawed)
        this = f"metadata.name={name}"
        reflect("namespaces", self._switch, field_selector=this, optional=True)

    @property
    def seen(self) -> bool:
        """Whether workloads and pods were listed in full, and all else too unless that failed."""
        required = {"pods", *(kind.plural for kind in self.views)}
        return all(
            each.freshness.listed or (each.freshness.answered and kind not in required)
            for kind, each in self.reflectors.items()
            if kind != "events"
        )

    @property
    def unfreezable(self) -> str:
        """Why the namespace's own freeze annotation cannot be read; empty if it can."""
        freshness = self.reflectors["namespaces"].freshness
        return "" if freshness.listed or not freshness.answered else freshness.trust().detail

    def quota(self, workloads: frozenset[WorkloadName]) -> Reading[Resources]:
        """What quotas leave for these workloads; the same object until its inputs change."""
        quotas, pods = (self.reflectors[kind].freshness for kind in ("resourcequotas", "pods"))
        hard = self.quotas.hard
        others = self.pod_view.taken_by_others(workloads)

        def make() -> Reading[Resources]:
            return quota_reading(believed(quotas.judge(hard)), pods.judge(others))

        trusts = quotas.trust(), pods.trust()
        return self._quota_readings[workloads].get(make, hard, others, *trusts)

    async def run(self) -> None:
        """Reflect until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in self.reflectors.values():
                group.create_task(reflector.run())

    def path(self, kind: str) -> str:
        """The path of all objects of one kind."""
        return f"{_PATHS[kind].format(namespace=quote(self._name, safe=''))}/{kind}"

    def forget(self, workload: WorkloadName) -> None:
        """The workload changed: make its reading anew."""
        if workload.kind in self.workloads:
            self.workloads[workload.kind].forget(workload)

    def _workload_changed(self, workload: WorkloadName) -> None:
        self.forget(workload)
        self._changed(self._name, workload)

    def _pods_changed(self, workload: WorkloadName) -> None:
        self.pods.forget(workload)
        self._changed(self._name, workload)

    def _frozen_or_thawed(self) -> None:
        for kind, view in self.views.items():
            for name in tuple(view.kept):
                self._workload_changed(WorkloadName(name, kind))

    def _workload_reading(self, workload: WorkloadName) -> Reading[Workload]:
        """The workload with what others say of it; only a fresh view proves there is none."""
        freshness = self.reflectors[workload.kind.plural].freshness
        found = self.views[workload.kind].get(workload.name)
        if found is None:
            view = freshness.judge(None)
            if isinstance(view, Fresh):
                detail = f"no {workload} in namespace {self._name}"
                return Absent(why=Why.OBJECT_MISSING, at=view.at, detail=detail)
            return Absent(why=view.why, at=view.at, detail=view.detail)
        reading = believed(freshness.judge(found))
        rival = next(filter(None, (view.of(workload) for view in self._rivals)), "")
        freeze = self._switch.freeze
        if isinstance(reading, Absent) or (not rival and freeze is None):
            return reading
        value = msgspec.structs.replace(reading.value, autoscaler=rival, namespace_freeze=freeze)
        return msgspec.structs.replace(reading, value=value)


class ClusterWorkloads:
    """The `Workloads` and `Supply` ports. The namespaces may change at any time; a refusal in one
    of them does not affect the others. One reflector, `nodes`, watches all nodes.

    A reading stays the same object until it changes, and getting it costs a few dictionary
    look-ups. So `at` of a fresh reading is the time of its last change, not of its last
    confirmation.
    """

    def __init__(
        self, client: Client, tasks: asyncio.TaskGroup, settings: KubernetesSettings
    ) -> None:
        self._client = client
        self._clock = client.clock
        self._tasks = tasks
        self._selector = settings.selector or ""
        self._callback: Callable[[str, WorkloadName], None] = lambda *_: None
        self._needs: dict[str, NamespaceNeeds] = {}
        self._namespaces: dict[str, Namespace] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._progress = asyncio.Event()
        self._node_view = NodeView(settings.ending_taints)
        target = WatchTarget(kind="nodes", path="/api/v1/nodes")
        self.nodes = Reflector(client, target, self._node_view, on_answer=self._progress.set)
        self._room: ReadingOf[ClusterRoom] = ReadingOf()
        self._unwatched: dict[str, Absent] = {}
        self._refused_marks: dict[str, tuple[float, str]] = {}

    def prepare(self, pools: Collection[Pool]) -> None:
        """Watch for these pools from the next `set_namespaces` on: kinds, and pods to measure."""
        kinds: defaultdict[str, set[WorkloadKind]] = defaultdict(set)
        for pool in pools:
            kinds[pool.namespace].add(pool.workload.kind)
        measured = measured_workloads(pools)
        self._needs = {
            namespace: NamespaceNeeds(frozenset(named), measured.get(namespace, frozenset()))
            for namespace, named in kinds.items()
        }

    def set_namespaces(self, namespaces: frozenset[str]) -> None:
        """Watch exactly these; views of those that stay are kept unless needs changed."""
        kept = {
            name
            for name, known in self._namespaces.items()
            if name in namespaces and known.needs == self._needs.get(name, NamespaceNeeds())
        }
        for gone in self._namespaces.keys() - kept:
            del self._namespaces[gone]
            self._running.pop(gone).cancel()
        for name in sorted(namespaces - self._namespaces.keys()):
            added = Namespace(
                name,
                self._needs.get(name, NamespaceNeeds()),
                client=self._client,
                selector=self._selector,
                changed=self._notify,
                on_answer=self._progress.set,
            )
            self._namespaces[name] = added
            self._running[name] = self._tasks.create_task(added.run(), name=f"kube {name}")
            self._unwatched.pop(name, None)
        self._progress.set()

    def workload(self, pool: Pool) -> Reading[Workload]:
        """The pool's workload; Absent(OBJECT_MISSING) if a complete view has none."""
        here, name = self._namespaces.get(pool.namespace), pool.workload
        if here is None or name.kind not in here.workloads:
            return self._not_watched(pool.namespace)
        return here.workloads[name.kind].get(name)

    def pods(self, pool: Pool) -> Reading[Pods]:
        """The pool's pods; Fresh(Pods()) if a complete view has none."""
        here = self._namespaces.get(pool.namespace)
        return self._not_watched(pool.namespace) if here is None else here.pods.get(pool.workload)

    def measured_pods(self, pool: Pool) -> tuple[MeasuredPod, ...]:
        """The pool's pods as the HPA sees them; empty while not complete, or not measured."""
        here = self._namespaces.get(pool.namespace)
        if here is None or not here.needs.measured:
            return ()
        known = here.pod_view.measured(pool.workload)
        return known if known and isinstance(self.pods(pool), Fresh) else ()

    def shift(self, seconds: float) -> None:
        """Add a step of the clock to the times at which pods were marked."""
        for namespace in self._namespaces.values():
            namespace.pod_view.shift(seconds)

    def unmarkable(self, pool: Pool) -> str:
        """Why the pool's pods cannot be given a deletion cost; empty if they can, as far as is
        known, and for a StatefulSet, which needs none. A refusal counts for the whole namespace,
        for `REFUSAL_S`: then it is tried again.
        """
        refused = self._refused_marks.get(pool.namespace)
        if refused is None or pool.workload.kind is WorkloadKind.STATEFUL_SET:
            return ""
        until, detail = refused
        return detail if self._clock.now() < until else ""

    def unfreezable(self, pool: Pool) -> str:
        """Why the namespace's freeze annotation cannot be read; empty as far as is known."""
        namespace = self._namespaces.get(pool.namespace)
        return "" if namespace is None else namespace.unfreezable

    def warnings(self, pool: Pool) -> tuple[ClusterEvent, ...]:
        """The cluster's own warnings about the pool in the last hour, the newest first."""
        namespace = self._namespaces.get(pool.namespace)
        if namespace is None or not namespace.warnings.kept:
            return ()
        return namespace.warnings.newest(pool.workload)

    def quota(self, namespace: str, workloads: frozenset[WorkloadName]) -> Reading[Resources]:
        """What the namespace's quotas leave for these workloads together."""
        watched = self._namespaces.get(namespace)
        return self._not_watched(namespace) if watched is None else watched.quota(workloads)

    def room(self, classes: Sequence[NodeClass]) -> Reading[ClusterRoom]:
        """What all nodes hold, and each class; Absent(REFUSED) without the right to list."""
        room, freshness = self._node_view.room(tuple(classes)), self.nodes.freshness
        return self._room.get(lambda: believed(freshness.judge(room)), room, freshness.trust())

    async def reread(self, pool: Pool) -> None:
        """Read the pool's workload by itself; a failure is told to the link only."""
        here, name = self._namespaces.get(pool.namespace), pool.workload
        if here is None or name.kind not in here.views:
            return
        path = f"{here.path(name.kind.plural)}/{quote(name.name, safe='')}"
        try:
            found = await self._client.call("GET", path, kind=name.kind.plural)
        except KubeError as error:
            log.debug("%s was not read by itself: %s", pool.key, error)
        else:
            here.views[name.kind].reread(msgspec.Raw(found))

    def on_change(self, callback: Callable[[str, WorkloadName], None]) -> None:
        """Call back, the last one given, with (namespace, workload) when it or a pod changes."""
        self._callback = callback

    def applied(self, pool: Pool, uid: str, replicas: int, version: str) -> None:
        """Take over the answer to our own write before the watch reports it."""
        here, name = self._namespaces.get(pool.namespace), pool.workload
        if here is not None and name.kind in here.views:
            here.views[name.kind].applied(name.name, uid, replicas, version)
            here.forget(name)

    def refused_mark(self, pool: Pool, detail: str) -> None:
        """We may not change the annotations of pods in the pool's namespace."""
        self._refused_marks[pool.namespace] = self._clock.now() + REFUSAL_S, detail

    async def wait_seen(self) -> None:
        """Return when every namespace and the nodes were listed, or it is known why not."""
        while not (
            self.nodes.freshness.answered
            and all(watched.seen for watched in self._namespaces.values())
        ):
            self._progress.clear()
            await self._progress.wait()

    def _notify(self, namespace: str, workload: WorkloadName) -> None:
        self._callback(namespace, workload)

    def _not_watched(self, namespace: str) -> Absent:
        known = self._unwatched.get(namespace)
        if known is None:
            detail = f"namespace {namespace} is not watched yet"
            known = Absent(why=Why.NEVER_READ, at=self._clock.now(), detail=detail)
            self._unwatched[namespace] = known
        return known
