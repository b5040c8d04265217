"""The fleet's namespaces as last seen: one set of reflectors each, and readings out of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, TypeVar
from urllib.parse import quote

from controller.kube.client import Client
from controller.kube.cluster_events import WarningView
from controller.kube.freshness import Freshness
from controller.kube.link import LinkTracker
from controller.kube.metrics_pods import measured_deployments
from controller.kube.objects import RefusedObject
from controller.kube.quotas import QuotaView, quota_reading
from controller.kube.reflector import ObjectView, Reflector, WatchTarget
from controller.kube.views import DeploymentView, PodView
from controller.model.fleet import Pool
from controller.model.metrics import MeasuredPod
from controller.model.observation import ClusterEvent, Pods, Workload
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import Resources
from controller.ports import Clock

T = TypeVar("T")


class NamespaceWorkloads:
    """One namespace: Deployments, pods, quotas, warnings, each kept true by its own reflector."""

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
        def of_namespace(deployment: str) -> None:
            changed(namespace, deployment)

        def reflect(kind: str, view: ObjectView, **chosen: str) -> Reflector:
            path = f"{_PATHS[kind].format(namespace=quote(namespace, safe=''))}/{kind}"
            resource = WatchTarget(kind=kind, path=path, **chosen)
            freshness = Freshness(clock, link, on_answer=on_answer)
            return Reflector(client, resource, view, freshness, clock)

        self.deployments = DeploymentView(of_namespace)
        self.pods = PodView(of_namespace, measured)
        self.quotas = QuotaView()
        self.warnings = WarningView(clock)
        self.deployments_reflector = reflect(
            "deployments", self.deployments, label_selector=selector
        )
        self.pods_reflector = reflect("pods", self.pods, label_selector=selector)
        self.quotas_reflector = reflect("resourcequotas", self.quotas)
        self.warnings_reflector = reflect("events", self.warnings, field_selector="type=Warning")

    @property
    def seen(self) -> bool:
        """Deployments and pods were each listed in full; quotas too, unless they cannot be."""
        return (
            self.deployments_reflector.freshness.listed
            and self.pods_reflector.freshness.listed
            and self.quotas_reflector.freshness.answered
        )

    def quota(self, deployments: frozenset[str]) -> Reading[Resources]:
        """What the quotas leave to these Deployments together."""
        return quota_reading(
            self.quotas_reflector.freshness.judge(self.quotas.hard),
            self.quotas.odd,
            self.pods_reflector.freshness.judge(self.pods.usage.of_others(deployments)),
        )

    async def run(self) -> None:
        """Reflect until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.deployments_reflector.run())
            group.create_task(self.pods_reflector.run())
            group.create_task(self.quotas_reflector.run())
            group.create_task(self.warnings_reflector.run())


_PATHS: Final = {
    "deployments": "/apis/apps/v1/namespaces/{namespace}",
    "pods": "/api/v1/namespaces/{namespace}",
    "resourcequotas": "/api/v1/namespaces/{namespace}",
    "events": "/api/v1/namespaces/{namespace}",
}


class ClusterWorkloads:
    """The `Workloads` port. The namespaces may change at any time; each is on its own, so that a
    refusal in one holds nobody in another.
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
        self._callbacks: list[Callable[[str, str], None]] = []
        self._measured: dict[str, frozenset[str]] = {}
        self._namespaces: dict[str, NamespaceWorkloads] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._progress = asyncio.Event()

    def measure(self, pools: Iterable[Pool]) -> None:
        """Keep the pods of these pools as the HPA sees them, where their metrics ask about pods;
        holds for the namespaces set from now on.
        """
        self._measured = measured_deployments(pools)

    def set_namespaces(self, namespaces: frozenset[str]) -> None:
        """Watch exactly these; what is known of those that stay is kept."""
        for gone in self._namespaces.keys() - namespaces:
            del self._namespaces[gone]
            self._running.pop(gone).cancel()
        for name in sorted(namespaces - self._namespaces.keys()):
            added = NamespaceWorkloads(
                name,
                client=self._client,
                clock=self._clock,
                link=self._link,
                selector=self._selector,
                measured=self._measured.get(name, frozenset()),
                changed=self._changed,
                on_answer=self._progress.set,
            )
            self._namespaces[name] = added
            self._running[name] = self._tasks.create_task(added.run(), name=f"kube {name}")
        self._progress.set()

    def workload(self, pool: Pool) -> Reading[Workload]:
        """The pool's Deployment; Absent(OBJECT_MISSING) if a complete view has none."""
        namespace = self._namespaces.get(pool.namespace)
        if namespace is None:
            return self._unwatched(pool.namespace)
        found = namespace.deployments.get(pool.deployment)
        return _believed(namespace.deployments_reflector.freshness.judge(found), pool)

    def pods(self, pool: Pool) -> Reading[Pods]:
        """The pool's pods; none is Fresh(Pods()) if a complete view has none."""
        namespace = self._namespaces.get(pool.namespace)
        if namespace is None:
            return self._unwatched(pool.namespace)
        found = namespace.pods.get(pool.deployment)
        return _believed(namespace.pods_reflector.freshness.judge(found), pool)

    def measured_pods(self, pool: Pool) -> tuple[MeasuredPod, ...]:
        """The pool's pods as the HPA sees them; none while the view of them is not complete, and
        for pools that are not measured.
        """
        namespace = self._namespaces.get(pool.namespace)
        known = () if namespace is None else namespace.pods.measured.of(pool.deployment)
        return known if known and isinstance(self.pods(pool), Fresh) else ()

    def warnings(self, pool: Pool) -> tuple[ClusterEvent, ...]:
        """The cluster's own warnings about the pool in the last hour, the newest first."""
        namespace = self._namespaces.get(pool.namespace)
        return namespace.warnings.newest(pool.deployment) if namespace else ()

    def quota(self, namespace: str, deployments: frozenset[str]) -> Reading[Resources]:
        """What the namespace's quotas leave to these Deployments together."""
        watched = self._namespaces.get(namespace)
        return self._unwatched(namespace) if watched is None else watched.quota(deployments)

    def blind_spots(self) -> dict[str, str]:
        """By namespace, why its warnings cannot be read; nothing depends on them."""
        troubles = {
            name: watched.warnings_reflector.freshness.trouble
            for name, watched in self._namespaces.items()
        }
        return {name: trouble for name, trouble in troubles.items() if trouble}

    def on_change(self, callback: Callable[[str, str], None]) -> None:
        """Call back with (namespace, Deployment's name) when one of them or its pods changed."""
        self._callbacks.append(callback)

    def applied(self, pool: Pool, uid: str, replicas: int, version: str) -> None:
        """Our own write to the pool's Deployment succeeded: no need to wait for the watch."""
        namespace = self._namespaces.get(pool.namespace)
        if namespace is not None:
            namespace.deployments.applied(pool.deployment, uid, replicas, version)

    async def wait_seen(self) -> None:
        """Return when every namespace was seen in full at least once."""
        while not all(watched.seen for watched in self._namespaces.values()):
            self._progress.clear()
            await self._progress.wait()

    def _changed(self, namespace: str, deployment: str) -> None:
        for callback in self._callbacks:
            callback(namespace, deployment)

    def _unwatched(self, namespace: str) -> Absent:
        detail = f"namespace {namespace} is not watched yet"
        return Absent(why=Why.NEVER_READ, at=self._clock.now(), detail=detail)


def _believed(reading: Reading[T | RefusedObject | None], pool: Pool) -> Reading[T]:
    """A missing or refused object as what it is; a view that is no longer true says neither."""
    if isinstance(reading, Absent):
        return reading
    found = reading.value
    if isinstance(found, RefusedObject):
        return Absent(why=found.why, at=reading.at, detail=found.detail)
    if found is None:
        if isinstance(reading, Stale):
            return Absent(why=reading.why, at=reading.at, detail=reading.detail)
        missing = f"no Deployment {pool.deployment} in namespace {pool.namespace}"
        return Absent(why=Why.OBJECT_MISSING, at=reading.at, detail=missing)
    if isinstance(reading, Stale):
        return Stale(value=found, at=reading.at, why=reading.why, detail=reading.detail)
    return Fresh(value=found, at=reading.at)
