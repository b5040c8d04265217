"""The workloads of the fleet: decoded and kept by namespace, with their pods, quotas and warnings,
as one port.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar, cast
from urllib.parse import quote

import msgspec

from controller.kube import wire
from controller.kube.client import Client, LinkTracker
from controller.kube.errors import KubeError
from controller.kube.pods import Changed, PodView, measured_workloads
from controller.kube.quotas import QuotaView, quota_reading, requested
from controller.kube.rivals import NamespaceSwitch, RivalView, WarningView
from controller.kube.watch import (
    Freshness,
    KeptReadings,
    KindView,
    N,
    ReadingOf,
    Reflector,
    RefusedObject,
    WatchTarget,
    is_older,
    seen,
)
from controller.kube.wire import unix_seconds
from controller.kube.writes import REPORTER
from controller.model.decoding import UndecodableError
from controller.model.fleet import Pool
from controller.model.ids import WorkloadKind, WorkloadName
from controller.model.metrics import MeasuredPod
from controller.model.observation import ClusterEvent, Pods, Workload
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.rights import FIELD_MANAGER
from controller.model.scarcity import Resources
from controller.model.text import clean, clean_name
from controller.model.value import INT32_MAX, Value
from controller.ports import Clock

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


class SuspectWorkload(Value):
    """A workload with implausible `requests`, and why; the rest of `workload` is valid."""

    workload: Workload
    why: Why
    detail: str


_Found: TypeAlias = Workload | SuspectWorkload | RefusedObject


class WorkloadRecord(Value):
    """One Deployment or StatefulSet by name. `found` is None while it is being deleted, as it
    cannot be scaled.
    """

    name: str
    found: _Found | None


def workload_record(
    raw: msgspec.Raw | bytes, kind: WorkloadKind = WorkloadKind.DEPLOYMENT
) -> WorkloadRecord | None:
    """A Deployment or StatefulSet from JSON, with its faults; None if its name cannot be read."""
    record = seen(wire.DEPLOYMENT, raw)
    if record is None:
        return None
    name, found = record
    if isinstance(found, UndecodableError):
        refused = RefusedObject(why=Why.UNREADABLE, detail=str(found))
        return WorkloadRecord(name=name, found=refused)
    if found.metadata.deletion_timestamp is not None:
        return WorkloadRecord(name=name, found=None)
    return WorkloadRecord(name=name, found=_workload(found, kind))


def _workload(found: wire.WireDeployment, kind: WorkloadKind) -> _Found:
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
            return RefusedObject(why=Why.IMPLAUSIBLE, detail=f"{field} is {number}")
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
        return SuspectWorkload(workload=workload, why=Why.IMPLAUSIBLE, detail=detail)
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
    """Why a Deployment does not get its replicas: ReplicaFailure (a quota), else a stuck rollout;
    empty if neither is so.
    """
    by_type = {condition.type: condition for condition in conditions}
    for kind, status in (("ReplicaFailure", "True"), ("Progressing", "False")):
        condition = by_type.get(kind)
        if condition is not None and condition.status == status:
            return clean(condition.message or condition.reason or kind)
    return ""


class WorkloadView(KindView[WorkloadRecord]):
    """The Deployments of one namespace by name, or its StatefulSets.

    The answer to our own write is taken over at once (`applied`), and an older event does not undo
    it. A workload with implausible requests keeps the last good ones; if it has none, it is
    refused. An object without a readable name is ignored.
    """

    def __init__(
        self,
        changed: Changed,
        written: Changed = lambda _workload: None,
        kind: WorkloadKind = WorkloadKind.DEPLOYMENT,
    ) -> None:
        """`changed` is called after an event, `written` after a write of our own."""
        self._changed = changed
        self._notify_written = written
        self._kind = kind
        self._found: dict[str, _Found] = {}
        self._believed: dict[str, Workload] = {}
        self._written: dict[str, int] = {}

    def get(self, name: str) -> _Found | None:
        """The workload, or its fault; None if there is none, or it is being deleted."""
        return self._found.get(name)

    def names(self) -> Collection[str]:
        """The names of all of them."""
        return self._found.keys()

    def read(self, raw: msgspec.Raw) -> WorkloadRecord | None:
        """What is kept of a workload."""
        return workload_record(raw, self._kind)

    def take(self, record: WorkloadRecord) -> None:
        """One was added or changed."""
        name = record.name
        if record.found is None:
            self.drop(name)
        elif not self._is_outdated(name, record.found):
            self._written.pop(name, None)
            believed = self._with_known_requests(name, record.found)
            if self._found.get(name) != believed:
                self._found[name] = believed
                self._changed(WorkloadName(name, self._kind))

    def drop(self, name: str) -> None:
        """One is gone."""
        self._written.pop(name, None)
        self._believed.pop(name, None)
        if self._found.pop(name, None) is not None:
            self._changed(WorkloadName(name, self._kind))

    def reread(self, found: msgspec.Raw) -> None:
        """One was read by itself; an older state than the known one is ignored."""
        record = self.read(found)
        if record is None:
            return
        known, other = self._found.get(record.name), record.found
        if not (
            isinstance(known, Workload)
            and isinstance(other, Workload)
            and is_older(other.resource_version, known.resource_version)
        ):
            self.take(record)

    def applied(self, name: str, uid: str, replicas: int, version: str) -> None:
        """Take over the result of our own write. If its version cannot be compared with the known
        one, it is ignored, and the watch reports it later.
        """
        known = self._found.get(name)
        if not isinstance(known, Workload) or known.uid != uid:
            return
        if not (version.isdecimal() and known.resource_version.isdecimal()):
            return
        if int(known.resource_version) >= int(version):
            return  # the watch was faster
        self._written[name] = int(version)
        # the server counts each change of a spec
        generation = known.generation + (replicas != known.replicas)
        self._found[name] = msgspec.structs.replace(
            known,
            replicas=replicas,
            resource_version=version,
            generation=generation,
            sized_by=FIELD_MANAGER,
        )
        self._notify_written(WorkloadName(name, self._kind))

    def _with_known_requests(self, name: str, found: _Found) -> _Found:
        if isinstance(found, Workload):
            self._believed[name] = found
            return found
        if isinstance(found, RefusedObject):
            return found
        known = self._believed.get(name)
        if known is None or known.uid != found.workload.uid:
            return RefusedObject(why=found.why, detail=found.detail)
        workload = msgspec.structs.replace(found.workload, requests=known.requests)
        return msgspec.structs.replace(found, workload=workload)

    def _is_outdated(self, name: str, found: _Found) -> bool:
        """Whether this state of the workload is older than our own last write to it."""
        written = self._written.get(name)
        if written is None or isinstance(found, RefusedObject):
            return False
        workload = found.workload if isinstance(found, SuspectWorkload) else found
        return workload.resource_version.isdecimal() and int(workload.resource_version) < written


F = TypeVar("F")


def believed(reading: Reading[F | RefusedObject]) -> Reading[F]:
    """The reading; Absent if its object is refused."""
    if isinstance(reading, Absent):
        return reading
    found = reading.value
    if isinstance(found, RefusedObject):
        return Absent(why=found.why, at=reading.at, detail=found.detail)
    return cast("Reading[F]", reading)


class NamespaceNeeds(NamedTuple):
    """What the pools of one namespace need of it: workloads of these kinds, and the pods of the
    `measured` workloads as the HPA sees them.
    """

    kinds: frozenset[WorkloadKind] = frozenset({WorkloadKind.DEPLOYMENT})
    measured: frozenset[WorkloadName] = frozenset()


class Namespace:
    """The views of one namespace, each kept up to date by its own reflector, and the readings that
    are made of them.
    """

    def __init__(
        self,
        name: str,
        needs: NamespaceNeeds,
        *,
        client: Client,
        clock: Clock,
        link: LinkTracker,
        selector: str,
        changed: Callable[[str, WorkloadName], None],
        on_answer: Callable[[], None],
    ) -> None:
        """`changed` is called with the namespace and a workload after an event about it or its
        pods, `on_answer` whenever a list ends.
        """
        self.needs = needs
        self._name = name
        self._changed = changed
        self.reflectors: dict[str, Reflector[Any]] = {}

        def reflect(kind: str, view: KindView[N], *, labels: str = "", **more: Any) -> Freshness:
            target = WatchTarget(kind=kind, path=self.path(kind), label_selector=labels, **more)
            freshness = Freshness(clock, link, on_answer=on_answer)
            self.reflectors[kind] = Reflector(client, target, view, freshness, clock)
            return freshness

        self.views = {
            kind: WorkloadView(self._workload_changed, self._forget, kind)
            for kind in WorkloadKind
            if kind in needs.kinds
        }
        self.workloads = {
            kind: KeptReadings(reflect(kind.plural, view, labels=selector), self._workload_reading)
            for kind, view in self.views.items()
        }
        self.pod_view = PodView(self._pods_changed, needs.measured, clock)
        self.pods = KeptReadings(
            reflect("pods", self.pod_view, labels=selector), self._pods_reading
        )
        self.quotas = QuotaView()
        reflect("resourcequotas", self.quotas)
        self._quota_readings: defaultdict[frozenset[WorkloadName], ReadingOf[Resources]]
        self._quota_readings = defaultdict(ReadingOf)
        self.warnings = WarningView(clock)
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
        """What the quotas leave for these workloads together; the same object until its inputs
        change.
        """
        quotas, pods = (self.reflectors[kind].freshness for kind in ("resourcequotas", "pods"))
        hard, refused = self.quotas.hard, self.quotas.refused
        others = self.pod_view.usage.of_others(workloads)

        def make() -> Reading[Resources]:
            return quota_reading(quotas.judge(hard), refused, pods.judge(others))

        trusts = quotas.trust(), pods.trust()
        return self._quota_readings[workloads].get(make, hard, refused, others, *trusts)

    async def run(self) -> None:
        """Reflect until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in self.reflectors.values():
                group.create_task(reflector.run())

    def path(self, kind: str) -> str:
        """The path of all objects of one kind."""
        return f"{_PATHS[kind].format(namespace=quote(self._name, safe=''))}/{kind}"

    def _forget(self, workload: WorkloadName) -> None:
        if workload.kind in self.workloads:
            self.workloads[workload.kind].forget(workload)

    def _workload_changed(self, workload: WorkloadName) -> None:
        self._forget(workload)
        self._changed(self._name, workload)

    def _pods_changed(self, workload: WorkloadName) -> None:
        self.pods.forget(workload)
        self._changed(self._name, workload)

    def _frozen_or_thawed(self) -> None:
        for kind, view in self.views.items():
            for name in tuple(view.names()):
                self._workload_changed(WorkloadName(name, kind))

    def _workload_reading(self, workload: WorkloadName) -> Reading[Workload]:
        view, reflector = self.views[workload.kind], self.reflectors[workload.kind.plural]
        reading = believed(reflector.freshness.judge(view.get(workload.name)))
        if isinstance(reading, Absent):
            return reading
        found = reading.value
        if found is None:
            why, detail = Why.OBJECT_MISSING, f"no {workload} in namespace {self._name}"
            if isinstance(reading, Stale):  # a stale view cannot prove that it is missing
                why, detail = reading.why, reading.detail
            return Absent(why=why, at=reading.at, detail=detail)
        if isinstance(found, SuspectWorkload):
            if isinstance(reading, Fresh):
                reading = Stale(value=found, at=reading.at, why=found.why, detail=found.detail)
            found = found.workload
        value = self._completed(workload, found)
        if isinstance(reading, Stale):
            return Stale(value=value, at=reading.at, why=reading.why, detail=reading.detail)
        return Fresh(value=value, at=reading.at)

    def _completed(self, workload: WorkloadName, found: Workload) -> Workload:
        """The workload with what other objects say about it."""
        rival = next(filter(None, (view.of(workload) for view in self._rivals)), "")
        freeze = self._switch.freeze
        if not rival and freeze is None:
            return found
        return msgspec.structs.replace(found, autoscaler=rival, namespace_freeze=freeze)

    def _pods_reading(self, workload: WorkloadName) -> Reading[Pods]:
        return believed(self.reflectors["pods"].freshness.judge(self.pod_view.get(workload)))


class ClusterWorkloads:
    """The `Workloads` port. The namespaces may change at any time; a refusal in one of them does
    not affect the others.

    A reading stays the same object until it changes, and getting it costs a few dictionary
    look-ups. So `at` of a fresh reading is the time of its last change, not of its last
    confirmation.
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        link: LinkTracker,
        tasks: asyncio.TaskGroup,
        selector: str | None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._link = link
        self._tasks = tasks
        self._selector = selector or ""
        self._callback: Callable[[str, WorkloadName], None] = lambda *_: None
        self._needs: dict[str, NamespaceNeeds] = {}
        self._namespaces: dict[str, Namespace] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._progress = asyncio.Event()
        self._unwatched: dict[str, Absent] = {}
        self._refused_marks: dict[str, tuple[float, str]] = {}

    def prepare(self, pools: Collection[Pool]) -> None:
        """What these pools need is watched from the next `set_namespaces` on: the kinds of their
        workloads and, if their metrics need pods, these as the HPA sees them.
        """
        kinds: defaultdict[str, set[WorkloadKind]] = defaultdict(set)
        for pool in pools:
            kinds[pool.namespace].add(pool.workload.kind)
        measured = measured_workloads(pools)
        self._needs = {
            namespace: NamespaceNeeds(frozenset(named), measured.get(namespace, frozenset()))
            for namespace, named in kinds.items()
        }

    def set_namespaces(self, namespaces: frozenset[str]) -> None:
        """Watch exactly these namespaces. Views of namespaces that stay are kept, unless their
        pools need something else now: then they are read anew.
        """
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
                clock=self._clock,
                link=self._link,
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
        """The pool's pods as the HPA sees them; empty while the view of them is not complete, and
        for pools that are not measured.
        """
        here = self._namespaces.get(pool.namespace)
        known = () if here is None else here.pod_view.measured.of(pool.workload)
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
        if pool.workload.kind is WorkloadKind.STATEFUL_SET:
            return ""
        until, detail = self._refused_marks.get(pool.namespace, (0.0, ""))
        return detail if self._clock.now() < until else ""

    def unfreezable(self, pool: Pool) -> str:
        """Why the freeze annotation of the pool's namespace cannot be read; empty if it can, as far
        as is known.
        """
        namespace = self._namespaces.get(pool.namespace)
        return "" if namespace is None else namespace.unfreezable

    def warnings(self, pool: Pool) -> tuple[ClusterEvent, ...]:
        """The cluster's own warnings about the pool in the last hour, the newest first."""
        namespace = self._namespaces.get(pool.namespace)
        return () if namespace is None else namespace.warnings.newest(pool.workload)

    def quota(self, namespace: str, workloads: frozenset[WorkloadName]) -> Reading[Resources]:
        """What the namespace's quotas leave for these workloads together."""
        watched = self._namespaces.get(namespace)
        return self._not_watched(namespace) if watched is None else watched.quota(workloads)

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
        """Call back with (namespace, workload) when a workload or its pods change.
        There is one callback: the last one given.
        """
        self._callback = callback

    def applied(self, pool: Pool, uid: str, replicas: int, version: str) -> None:
        """Take over the answer to our own write to the pool's workload, before the watch reports
        the change.
        """
        here, name = self._namespaces.get(pool.namespace), pool.workload
        if here is not None and name.kind in here.views:
            here.views[name.kind].applied(name.name, uid, replicas, version)

    def refused_mark(self, pool: Pool, detail: str) -> None:
        """We may not change the annotations of pods in the pool's namespace."""
        self._refused_marks[pool.namespace] = self._clock.now() + REFUSAL_S, detail

    async def wait_seen(self) -> None:
        """Return when every namespace was listed in full at least once."""
        while not all(watched.seen for watched in self._namespaces.values()):
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
