"""The readings of one namespace: Deployments, pods, quotas and warnings, kept by watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar
from urllib.parse import quote

from controller.kube.client import Client
from controller.kube.cluster_events import WarningView
from controller.kube.freshness import Freshness, Trust
from controller.kube.kept_readings import KeptReadings
from controller.kube.link import LinkTracker
from controller.kube.objects import RefusedObject
from controller.kube.quotas import QuotaView, quota_reading
from controller.kube.reflector import ObjectView, Reflector, WatchTarget
from controller.kube.views import DeploymentView, PodView
from controller.model.metrics import MeasuredPod
from controller.model.observation import Pods, Workload
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import Resources
from controller.ports import Clock

S = TypeVar("S")
T = TypeVar("T")

_PATHS: Final = {
    "deployments": "/apis/apps/v1/namespaces/{namespace}",
    "pods": "/api/v1/namespaces/{namespace}",
    "resourcequotas": "/api/v1/namespaces/{namespace}",
    "events": "/api/v1/namespaces/{namespace}",
}


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
        measured: frozenset[str],
        changed: Callable[[str, str], None],
        on_answer: Callable[[], None],
    ) -> None:
        """`changed` is called with (namespace, Deployment's name) after an event about one of them
        or its pods, `on_answer` whenever a list ends.
        """

        def reflect(kind: str, view: ObjectView, **chosen: str) -> Reflector:
            path = f"{_PATHS[kind].format(namespace=quote(namespace, safe=''))}/{kind}"
            target = WatchTarget(kind=kind, path=path, **chosen)
            return Reflector(
                client, target, view, Freshness(clock, link, on_answer=on_answer), clock
            )

        def deployment_changed(deployment: str) -> None:
            self._workloads.forget(deployment)
            changed(namespace, deployment)

        def written(deployment: str) -> None:
            self._workloads.forget(deployment)

        def pods_changed(deployment: str) -> None:
            self._pods.forget(deployment)
            changed(namespace, deployment)

        self._name = namespace
        self.deployments = DeploymentView(deployment_changed, written)
        self.pod_view = PodView(pods_changed, measured)
        self.quotas = QuotaView()
        self.warnings = WarningView(clock)
        self.deployments_reflector = reflect(
            "deployments", self.deployments, label_selector=selector
        )
        self.pods_reflector = reflect("pods", self.pod_view, label_selector=selector)
        self.quotas_reflector = reflect("resourcequotas", self.quotas)
        self.warnings_reflector = reflect("events", self.warnings, field_selector="type=Warning")
        self._workloads = KeptReadings(self.deployments_reflector.freshness, self._make_workload)
        self._pods = KeptReadings(self.pods_reflector.freshness, self._make_pods)
        self._kept_quotas: dict[frozenset[str], _KeptQuota] = {}

    @property
    def seen(self) -> bool:
        """Whether Deployments and pods were listed in full, and quotas too unless that failed."""
        return (
            self.deployments_reflector.freshness.listed
            and self.pods_reflector.freshness.listed
            and self.quotas_reflector.freshness.answered
        )

    def workload(self, deployment: str) -> Reading[Workload]:
        """The Deployment; Absent(OBJECT_MISSING) if a complete view has none."""
        return self._workloads.get(deployment)

    def pods(self, deployment: str) -> Reading[Pods]:
        """The Deployment's pods; Fresh(Pods()) if a complete view has none."""
        return self._pods.get(deployment)

    def measured_pods(self, deployment: str) -> tuple[MeasuredPod, ...]:
        """The Deployment's pods as the HPA sees them; empty while the view of them is not complete,
        and for Deployments that are not measured.
        """
        known = self.pod_view.measured.of(deployment)
        return known if known and isinstance(self.pods(deployment), Fresh) else ()

    def quota(self, deployments: frozenset[str]) -> Reading[Resources]:
        """What the quotas leave for these Deployments together; the same object until its inputs
        change.
        """
        quotas, pods = self.quotas_reflector.freshness, self.pods_reflector.freshness
        hard, refused = self.quotas.hard, self.quotas.refused
        of_others = self.pod_view.usage.of_others(deployments)
        kept = self._kept_quotas.get(deployments)
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
        self._kept_quotas[deployments] = _KeptQuota(
            hard, refused, of_others, quotas.trust(), pods.trust(), reading
        )
        return reading

    async def run(self) -> None:
        """Reflect until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.deployments_reflector.run())
            group.create_task(self.pods_reflector.run())
            group.create_task(self.quotas_reflector.run())
            group.create_task(self.warnings_reflector.run())

    def _make_workload(self, deployment: str) -> Reading[Workload]:
        reading = self.deployments_reflector.freshness.judge(self.deployments.get(deployment))
        if isinstance(reading, Absent):
            return reading
        found = reading.value
        if found is None:
            return self._missing(deployment, reading)
        if isinstance(found, RefusedObject):
            return Absent(why=found.why, at=reading.at, detail=found.detail)
        if isinstance(found, Workload):
            return _with_value(reading, found)
        if isinstance(reading, Stale):
            return _with_value(reading, found.workload)
        return Stale(value=found.workload, at=reading.at, why=found.why, detail=found.detail)

    def _make_pods(self, deployment: str) -> Reading[Pods]:
        reading = self.pods_reflector.freshness.judge(self.pod_view.get(deployment))
        if isinstance(reading, Absent):
            return reading
        found = reading.value
        if isinstance(found, RefusedObject):
            return Absent(why=found.why, at=reading.at, detail=found.detail)
        return _with_value(reading, found)

    def _missing(self, deployment: str, reading: Fresh[S] | Stale[S]) -> Absent:
        """The reading for a Deployment that the view does not have. A stale view cannot prove that
        it is missing.
        """
        if isinstance(reading, Stale):
            return Absent(why=reading.why, at=reading.at, detail=reading.detail)
        missing = f"no Deployment {deployment} in namespace {self._name}"
        return Absent(why=Why.OBJECT_MISSING, at=reading.at, detail=missing)


def _with_value(reading: Fresh[S] | Stale[S], value: T) -> Reading[T]:
    """The reading with another value."""
    if isinstance(reading, Stale):
        return Stale(value=value, at=reading.at, why=reading.why, detail=reading.detail)
    return Fresh(value=value, at=reading.at)
