"""The readings of all namespaces of the fleet, as one port."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from controller.kube.client import Client, LinkTracker
from controller.kube.errors import KubeError
from controller.kube.measured_pods import measured_workloads
from controller.kube.namespace import NamespaceNeeds, NamespaceWorkloads
from controller.model.fleet import Pool
from controller.model.ids import WorkloadKind, WorkloadName
from controller.model.metrics import MeasuredPod
from controller.model.observation import ClusterEvent, Pods, Workload
from controller.model.readings import Absent, Reading, Why
from controller.model.scarcity import Resources
from controller.ports import Clock

log = logging.getLogger(__name__)
REFUSAL_S: Final = 300.0


class _RefusedMarks(NamedTuple):
    """The server's refusal to change pods, and until when it is believed (Unix seconds)."""

    until: float
    detail: str


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
        self._namespaces: dict[str, NamespaceWorkloads] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._progress = asyncio.Event()
        self._unwatched: dict[str, Absent] = {}
        self._refused_marks: dict[str, _RefusedMarks] = {}

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
            added = NamespaceWorkloads(
                name,
                client=self._client,
                clock=self._clock,
                link=self._link,
                selector=self._selector,
                needs=self._needs.get(name, NamespaceNeeds()),
                changed=self._notify,
                on_answer=self._progress.set,
            )
            self._namespaces[name] = added
            self._running[name] = self._tasks.create_task(added.run(), name=f"kube {name}")
            self._unwatched.pop(name, None)
        self._progress.set()

    def workload(self, pool: Pool) -> Reading[Workload]:
        """The pool's workload; Absent(OBJECT_MISSING) if a complete view has none."""
        namespace, workload = self._namespaces.get(pool.namespace), pool.workload
        if namespace is None or workload.kind not in namespace.kinds:
            return self._not_watched(pool.namespace)
        return namespace.workload(workload)

    def pods(self, pool: Pool) -> Reading[Pods]:
        """The pool's pods; Fresh(Pods()) if a complete view has none."""
        namespace = self._namespaces.get(pool.namespace)
        if namespace is None:
            return self._not_watched(pool.namespace)
        return namespace.pods(pool.workload)

    def measured_pods(self, pool: Pool) -> tuple[MeasuredPod, ...]:
        """The pool's pods as the HPA sees them; empty while the view of them is not complete, and
        for pools that are not measured.
        """
        namespace = self._namespaces.get(pool.namespace)
        return () if namespace is None else namespace.measured_pods(pool.workload)

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
        refused = self._refused_marks.get(pool.namespace)
        if refused is None or self._clock.now() >= refused.until:
            return ""
        return refused.detail

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
        namespace, workload = self._namespaces.get(pool.namespace), pool.workload
        if namespace is None or workload.kind not in namespace.kinds:
            return
        try:
            await namespace.reread(workload)
        except KubeError as error:
            log.debug("%s was not read by itself: %s", pool.key, error)

    def on_change(self, callback: Callable[[str, WorkloadName], None]) -> None:
        """Call back with (namespace, workload) when a workload or its pods change.
        There is one callback: the last one given.
        """
        self._callback = callback

    def applied(self, pool: Pool, uid: str, replicas: int, version: str) -> None:
        """Take over the answer to our own write to the pool's workload, before the watch reports
        the change.
        """
        namespace, workload = self._namespaces.get(pool.namespace), pool.workload
        if namespace is not None and workload.kind in namespace.kinds:
            namespace.applied(workload, uid, replicas, version)

    def refused_mark(self, pool: Pool, detail: str) -> None:
        """We may not change the annotations of pods in the pool's namespace."""
        until = self._clock.now() + REFUSAL_S
        self._refused_marks[pool.namespace] = _RefusedMarks(until, detail)

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
