"""The readings of all namespaces of the fleet, as one port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from controller.kube.client import Client
from controller.kube.link import LinkTracker
from controller.kube.metrics_pods import measured_deployments
from controller.kube.namespace import NamespaceWorkloads
from controller.model.fleet import Pool
from controller.model.metrics import MeasuredPod
from controller.model.observation import ClusterEvent, Pods, Workload
from controller.model.readings import Absent, Reading, Why
from controller.model.scarcity import Resources
from controller.ports import Clock


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
        self._callbacks: list[Callable[[str, str], None]] = []
        self._measured: dict[str, frozenset[str]] = {}
        self._namespaces: dict[str, NamespaceWorkloads] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._progress = asyncio.Event()
        self._unwatched: dict[str, Absent] = {}

    def measure(self, pools: Iterable[Pool]) -> None:
        """Keep the pods of these pools as the HPA sees them, if their metrics need pods. It applies
        to namespaces that are set later.
        """
        self._measured = measured_deployments(pools)

    def set_namespaces(self, namespaces: frozenset[str]) -> None:
        """Watch exactly these namespaces. Views of namespaces that stay are kept."""
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
                changed=self._notify,
                on_answer=self._progress.set,
            )
            self._namespaces[name] = added
            self._running[name] = self._tasks.create_task(added.run(), name=f"kube {name}")
            self._unwatched.pop(name, None)
        self._progress.set()

    def workload(self, pool: Pool) -> Reading[Workload]:
        """The pool's Deployment; Absent(OBJECT_MISSING) if a complete view has none."""
        namespace = self._namespaces.get(pool.namespace)
        if namespace is None:
            return self._not_watched(pool.namespace)
        return namespace.workload(pool.deployment)

    def pods(self, pool: Pool) -> Reading[Pods]:
        """The pool's pods; Fresh(Pods()) if a complete view has none."""
        namespace = self._namespaces.get(pool.namespace)
        if namespace is None:
            return self._not_watched(pool.namespace)
        return namespace.pods(pool.deployment)

    def measured_pods(self, pool: Pool) -> tuple[MeasuredPod, ...]:
        """The pool's pods as the HPA sees them; empty while the view of them is not complete, and
        for pools that are not measured.
        """
        namespace = self._namespaces.get(pool.namespace)
        return () if namespace is None else namespace.measured_pods(pool.deployment)

    def warnings(self, pool: Pool) -> tuple[ClusterEvent, ...]:
        """The cluster's own warnings about the pool in the last hour, the newest first."""
        namespace = self._namespaces.get(pool.namespace)
        return () if namespace is None else namespace.warnings.newest(pool.deployment)

    def quota(self, namespace: str, deployments: frozenset[str]) -> Reading[Resources]:
        """What the namespace's quotas leave for these Deployments together."""
        watched = self._namespaces.get(namespace)
        return self._not_watched(namespace) if watched is None else watched.quota(deployments)

    def on_change(self, callback: Callable[[str, str], None]) -> None:
        """Call back with (namespace, Deployment's name) when a Deployment or its pods change."""
        self._callbacks.append(callback)

    def applied(self, pool: Pool, uid: str, replicas: int, version: str) -> None:
        """Take over the answer to our own write to the pool's Deployment, before the watch reports
        the change.
        """
        namespace = self._namespaces.get(pool.namespace)
        if namespace is not None:
            namespace.deployments.applied(pool.deployment, uid, replicas, version)

    async def wait_seen(self) -> None:
        """Return when every namespace was listed in full at least once."""
        while not all(watched.seen for watched in self._namespaces.values()):
            self._progress.clear()
            await self._progress.wait()

    def _notify(self, namespace: str, deployment: str) -> None:
        for callback in self._callbacks:
            callback(namespace, deployment)

    def _not_watched(self, namespace: str) -> Absent:
        known = self._unwatched.get(namespace)
        if known is None:
            detail = f"namespace {namespace} is not watched yet"
            known = Absent(why=Why.NEVER_READ, at=self._clock.now(), detail=detail)
            self._unwatched[namespace] = known
        return known
