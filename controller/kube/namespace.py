"""The readings of one namespace, kept by watches: workloads with their other autoscalers, pods,
quotas, warnings, and the freeze of the namespace itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from controller.kube import wire
from controller.kube.client import Client, LinkTracker
from controller.kube.events import REPORTER, WarningView
from controller.kube.objects import RefusedObject
from controller.kube.quotas import QuotaView, quota_reading
from controller.kube.rivals import RivalView
from controller.kube.views import PodView, WorkloadView
from controller.kube.watch import Freshness, KeptReadings, ObjectView, Reflector, Trust, WatchTarget
from controller.model.decoding import UndecodableError, decoded
from controller.model.ids import WorkloadKind, WorkloadName
from controller.model.metrics import MeasuredPod
from controller.model.observation import Pods, Workload
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import Resources
from controller.model.text import clean
from controller.ports import Clock

FREEZE: Final = "agentdash.dev/freeze"


class _Namespace(wire.WireObject):
    """v1 Namespace."""

    metadata: wire.WireDeploymentMetadata


_NAMESPACE: Final = msgspec.json.Decoder(_Namespace)


class NamespaceSwitch:
    """The view of one namespace: whether its annotation freezes the Deployments in it. What cannot
    be read leaves the switch as it was.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        """`changed` is called when the annotation came, went or changed."""
        self._changed = changed
        self._exists = False
        self.freeze: str | None = None

    def count(self) -> int:
        """1 once the namespace was seen."""
        return int(self._exists)

    def replace(self, objects: Sequence[msgspec.Raw]) -> None:
        """These are all there are: the namespace, or nothing."""
        if not objects:
            self._set(None)
            self._exists = False
        for found in objects:
            self.put(found)

    def put(self, found: msgspec.Raw) -> None:
        """It was added or changed."""
        try:
            annotations = decoded(_NAMESPACE, found).metadata.annotations or {}
        except UndecodableError:
            return
        self._exists = True
        text = annotations.get(FREEZE)
        self._set(None if text is None else clean(text))

    def remove(self, gone: msgspec.Raw) -> None:
        """It was deleted: the Deployments in it are gone too."""
        del gone
        self._set(None)
        self._exists = False

    def _set(self, freeze: str | None) -> None:
        if freeze != self.freeze:
            self.freeze = freeze
            self._changed()


S = TypeVar("S")
T = TypeVar("T")


class WatchedKind:
    """The Deployments of one namespace, or its StatefulSets. `reflector` keeps `view` up to date.

    A reading is the same object until something about it changes.
    """

    def __init__(
        self,
        namespace: str,
        view: WorkloadView,
        reflector: Reflector,
        complete: Callable[[WorkloadName, Workload], Workload],
    ) -> None:
        """`complete` adds what other objects say about a workload."""
        self.view = view
        self.reflector = reflector
        self._namespace = namespace
        self._complete = complete
        self._readings = KeptReadings(reflector.freshness, self._make)

    def get(self, workload: WorkloadName) -> Reading[Workload]:
        """The workload; Absent(OBJECT_MISSING) if a complete view has none."""
        return self._readings.get(workload)

    def forget(self, workload: WorkloadName) -> None:
        """Something about the workload changed."""
        self._readings.forget(workload)

    def _make(self, workload: WorkloadName) -> Reading[Workload]:
        reading = self.reflector.freshness.judge(self.view.get(workload.name))
        if isinstance(reading, Absent):
            return reading
        found = reading.value
        if found is None:
            return self._missing(workload, reading)
        if isinstance(found, RefusedObject):
            return Absent(why=found.why, at=reading.at, detail=found.detail)
        if isinstance(found, Workload):
            return with_value(reading, self._complete(workload, found))
        completed = self._complete(workload, found.workload)
        if isinstance(reading, Stale):
            return with_value(reading, completed)
        return Stale(value=completed, at=reading.at, why=found.why, detail=found.detail)

    def _missing(self, workload: WorkloadName, reading: Fresh[S] | Stale[S]) -> Absent:
        """The reading for a workload that the view does not have. A stale view cannot prove that it
        is missing.
        """
        if isinstance(reading, Stale):
            return Absent(why=reading.why, at=reading.at, detail=reading.detail)
        missing = f"no {workload} in namespace {self._namespace}"
        return Absent(why=Why.OBJECT_MISSING, at=reading.at, detail=missing)


def with_value(reading: Fresh[S] | Stale[S], value: T) -> Reading[T]:
    """The reading with another value."""
    if isinstance(reading, Stale):
        return Stale(value=value, at=reading.at, why=reading.why, detail=reading.detail)
    return Fresh(value=value, at=reading.at)


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


class NamespaceNeeds(NamedTuple):
    """What the pools of one namespace need of it: workloads of these kinds, and the pods of the
    `measured` workloads as the HPA sees them.
    """

    kinds: frozenset[WorkloadKind] = frozenset({WorkloadKind.DEPLOYMENT})
    measured: frozenset[WorkloadName] = frozenset()


class _KeptQuota(NamedTuple):
    """A reading with its inputs: it is up to date while they are the same objects."""

    hard: Resources
    refused: RefusedObject | None
    of_others: Resources
    quotas: Trust
    pods: Trust
    reading: Reading[Resources]


class NamespaceWorkloads:
    """One namespace. Each kind of object is kept up to date by its own reflector.

    A reading is the same object until something about it changes.
    """

    def __init__(
        self,
        namespace: str,
        *,
        client: Client,
        clock: Clock,
        link: LinkTracker,
        selector: str,
        needs: NamespaceNeeds,
        changed: Callable[[str, WorkloadName], None],
        on_answer: Callable[[], None],
    ) -> None:
        """`changed` is called with the namespace and a workload after an event about it or its
        pods, `on_answer` whenever a list ends.
        """
        self._name = namespace
        self.needs = needs
        self._client = client

        def reflect(
            kind: str,
            view: ObjectView,
            *,
            label_selector: str = "",
            field_selector: str = "",
            optional: bool = False,
        ) -> Reflector:
            target = WatchTarget(
                kind=kind,
                path=self._path(kind),
                label_selector=label_selector,
                field_selector=field_selector,
                optional=optional,
            )
            return Reflector(
                client, target, view, Freshness(clock, link, on_answer=on_answer), clock
            )

        def workload_changed(workload: WorkloadName) -> None:
            self._forget(workload)
            changed(namespace, workload)

        def pods_changed(workload: WorkloadName) -> None:
            self._pods.forget(workload)
            changed(namespace, workload)

        def watched(kind: WorkloadKind) -> WatchedKind:
            view = WorkloadView(workload_changed, self._forget, kind)
            reflector = reflect(kind.plural, view, label_selector=selector)
            return WatchedKind(namespace, view, reflector, self._completed)

        self.kinds = {kind: watched(kind) for kind in WorkloadKind if kind in needs.kinds}
        self.pod_view = PodView(pods_changed, needs.measured, clock)
        self.quotas = QuotaView()
        self.warnings = WarningView(clock)
        self.pods_reflector = reflect("pods", self.pod_view, label_selector=selector)
        self.quotas_reflector = reflect("resourcequotas", self.quotas)
        self.warnings_reflector = reflect(
            # our own events say nothing new here
            "events",
            self.warnings,
            field_selector=f"type=Warning,reportingComponent!={REPORTER}",
        )
        # KEDA scales by an HPA of its own, so the ScaledObject is named first
        self._rivals = tuple(
            RivalView(kind, workload_changed)
            for kind in ("ScaledObject", "HorizontalPodAutoscaler")
        )
        self._rivals_reflectors = tuple(
            reflect(kind, view, optional=True)
            for kind, view in zip(
                ("scaledobjects", "horizontalpodautoscalers"), self._rivals, strict=True
            )
        )
        self._switch = NamespaceSwitch(self._frozen_or_thawed)
        self._switch_reflector = reflect(
            "namespaces",
            self._switch,
            field_selector=f"metadata.name={namespace}",
            optional=True,
        )
        self._changed = changed
        self._pods = KeptReadings(self.pods_reflector.freshness, self._make_pods)
        self._kept_quotas: dict[frozenset[WorkloadName], _KeptQuota] = {}

    @property
    def seen(self) -> bool:
        """Whether workloads and pods were listed in full, and quotas and other autoscalers too
        unless that failed.
        """
        return (
            all(kind.reflector.freshness.listed for kind in self.kinds.values())
            and self.pods_reflector.freshness.listed
            and self.quotas_reflector.freshness.answered
            and self._switch_reflector.freshness.answered
            and all(each.freshness.answered for each in self._rivals_reflectors)
        )

    @property
    def unfreezable(self) -> str:
        """Why the namespace's own freeze annotation cannot be read; empty if it can."""
        freshness = self._switch_reflector.freshness
        return "" if freshness.listed or not freshness.answered else freshness.trust().detail

    def workload(self, workload: WorkloadName) -> Reading[Workload]:
        """A workload of one of the `kinds`; Absent(OBJECT_MISSING) if a complete view has none."""
        return self.kinds[workload.kind].get(workload)

    def pods(self, workload: WorkloadName) -> Reading[Pods]:
        """The workload's pods; Fresh(Pods()) if a complete view has none."""
        return self._pods.get(workload)

    def measured_pods(self, workload: WorkloadName) -> tuple[MeasuredPod, ...]:
        """The workload's pods as the HPA sees them; empty while the view of them is not complete,
        and for workloads that are not measured.
        """
        known = self.pod_view.measured.of(workload)
        return known if known and isinstance(self.pods(workload), Fresh) else ()

    def quota(self, workloads: frozenset[WorkloadName]) -> Reading[Resources]:
        """What the quotas leave for these workloads together; the same object until its inputs
        change.
        """
        quotas, pods = self.quotas_reflector.freshness, self.pods_reflector.freshness
        hard, refused = self.quotas.hard, self.quotas.refused
        of_others = self.pod_view.usage.of_others(workloads)
        kept = self._kept_quotas.get(workloads)
        if (
            kept is not None
            and kept.hard is hard
            and kept.refused is refused
            and kept.of_others is of_others
            and kept.quotas is quotas.trust()
            and kept.pods is pods.trust()
        ):
            return kept.reading
        reading = quota_reading(quotas.judge(hard), refused, pods.judge(of_others))
        self._kept_quotas[workloads] = _KeptQuota(
            hard, refused, of_others, quotas.trust(), pods.trust(), reading
        )
        return reading

    def applied(self, workload: WorkloadName, uid: str, replicas: int, version: str) -> None:
        """Take over the answer to our own write to a workload."""
        self.kinds[workload.kind].view.applied(workload.name, uid, replicas, version)

    async def reread(self, workload: WorkloadName) -> None:
        """Read one workload by itself. Raises KubeError."""
        plural = workload.kind.plural
        path = f"{self._path(plural)}/{quote(workload.name, safe='')}"
        found = await self._client.call("GET", path, kind=plural)
        self.kinds[workload.kind].view.reread(msgspec.Raw(found))

    async def run(self) -> None:
        """Reflect until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind in self.kinds.values():
                group.create_task(kind.reflector.run())
            group.create_task(self.pods_reflector.run())
            group.create_task(self.quotas_reflector.run())
            group.create_task(self.warnings_reflector.run())
            group.create_task(self._switch_reflector.run())
            for reflector in self._rivals_reflectors:
                group.create_task(reflector.run())

    def _path(self, kind: str) -> str:
        return f"{_PATHS[kind].format(namespace=quote(self._name, safe=''))}/{kind}"

    def _forget(self, workload: WorkloadName) -> None:
        kind = self.kinds.get(workload.kind)
        if kind is not None:
            kind.forget(workload)

    def _completed(self, workload: WorkloadName, found: Workload) -> Workload:
        """The workload with what other objects say about it."""
        rival = next(filter(None, (view.of(workload) for view in self._rivals)), "")
        freeze = self._switch.freeze
        if not rival and freeze is None:
            return found
        return msgspec.structs.replace(found, autoscaler=rival, namespace_freeze=freeze)

    def _frozen_or_thawed(self) -> None:
        for kind, watched in self.kinds.items():
            for name in watched.view.names():
                workload = WorkloadName(name, kind)
                watched.forget(workload)
                self._changed(self._name, workload)

    def _make_pods(self, workload: WorkloadName) -> Reading[Pods]:
        reading = self.pods_reflector.freshness.judge(self.pod_view.get(workload))
        if isinstance(reading, Absent):
            return reading
        found = reading.value
        if isinstance(found, RefusedObject):
            return Absent(why=found.why, at=reading.at, detail=found.detail)
        return with_value(reading, found)
