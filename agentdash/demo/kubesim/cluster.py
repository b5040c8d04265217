"""The cluster without HTTP: a store, the API's rules and every controller as a task."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Self

from agentdash.demo.kubesim.clock import Timers, stamp
from agentdash.demo.kubesim.controllers.autoscaling import AutoscalerController
from agentdash.demo.kubesim.controllers.deployment import DeploymentController
from agentdash.demo.kubesim.controllers.disruption import DisruptionController
from agentdash.demo.kubesim.controllers.events import EventRecorder
from agentdash.demo.kubesim.controllers.garbage import GarbageCollector
from agentdash.demo.kubesim.controllers.kubelet import ColdStart, Kubelets
from agentdash.demo.kubesim.controllers.nodes import NodeController, register
from agentdash.demo.kubesim.controllers.pods import is_terminating
from agentdash.demo.kubesim.controllers.quota import QuotaController
from agentdash.demo.kubesim.controllers.replicaset import ReplicaSetController
from agentdash.demo.kubesim.controllers.scheduler import Scheduler
from agentdash.demo.kubesim.controllers.statefulset import StatefulSetController
from agentdash.demo.kubesim.logs import ContainerLogs
from agentdash.demo.kubesim.metrics import GivenMetrics
from agentdash.demo.kubesim.registry import Registry
from agentdash.demo.kubesim.resources import NAMESPACES, NODES, PODS, PRIORITY_CLASSES
from agentdash.demo.kubesim.store import Store

log = logging.getLogger(__name__)

_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """How large and how fast the simulated cluster is; `speed` divides every delay.

    With `compact_every_s`, history older than one to two such intervals (real seconds) is
    forgotten. Without `first_version`, versions start at the clock's microseconds. No run writes
    faster than that, so a client of an earlier run is answered 410.
    """

    speed: float = 1.0
    seed: int = 0
    nodes: int = 3
    node_cpu: str = "3920m"
    node_memory: str = "13Gi"
    node_pods: str = "110"
    lenient_names: bool = False
    history: int = 10_000
    cold_start: ColdStart = field(default_factory=ColdStart)
    compact_every_s: float | None = None
    first_version: int | None = None


class SimCluster:
    """Store and controllers; `async with` runs them."""

    def __init__(self, options: ClusterOptions | None = None) -> None:
        self.options = options = options or ClusterOptions()
        first = time.time_ns() // 1_000 if options.first_version is None else options.first_version
        rng = random.Random(options.seed)
        self.store = Store(first_version=first, history=options.history)
        self.registry = Registry(self.store, rng, lenient=options.lenient_names)
        self.metrics = GivenMetrics(self.store)
        self.logs = ContainerLogs(self.store)
        self.timers = Timers(options.speed)
        recorder = EventRecorder(self.registry)
        self.kubelets = Kubelets(
            self.registry,
            recorder,
            self.timers,
            random.Random(options.seed + 1),
            options.cold_start,
        )
        self._queues = (
            DeploymentController(self.registry, recorder, self.timers).queue,
            ReplicaSetController(self.registry, recorder, self.timers).queue,
            StatefulSetController(self.registry, recorder, self.timers).queue,
            Scheduler(self.registry, recorder).queue,
            QuotaController(self.registry).queue,
            DisruptionController(self.registry).queue,
            GarbageCollector(self.registry).queue,
            AutoscalerController(self.registry).queue,
            NodeController(self.registry).queue,
        )
        self._tasks: list[asyncio.Task[None]] = []
        self.crash = ""
        """Why nothing happens in this cluster any more; empty while all of its parts run."""

    async def __aenter__(self) -> Self:
        """Start the controllers and create what every new cluster has."""
        for queue in self._queues:
            self._start(queue.run(), "controller")
        self._start(self.timers.run(), "timers")
        if self.options.compact_every_s is not None:
            self._start(self._compact(self.options.compact_every_s), "compaction")
        for name in _NAMESPACES:
            self.registry.create(NAMESPACES, "", {"metadata": {"name": name}})
        for name, value in _PRIORITIES.items():
            self.registry.create(PRIORITY_CLASSES, "", {"metadata": {"name": name}, "value": value})
        for number in range(self.options.nodes):
            self.add_node(f"node-{number}")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop everything; raises what crashed a controller."""
        await self.kubelets.aclose()
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        crashes = [each for each in results if isinstance(each, Exception)]
        if crashes:
            raise ExceptionGroup("controllers crashed", crashes)

    def add_node(self, name: str, labels: dict[str, str] | None = None) -> None:
        """Add a Ready node of the size that all nodes have."""
        options = self.options
        register(
            self.registry,
            name,
            cpu=options.node_cpu,
            memory=options.node_memory,
            pods=options.node_pods,
            labels=labels or {},
        )

    def remove_node(self, name: str) -> None:
        """Remove a node and its pods at once. Raises StatusError 404."""
        self.registry.delete(NODES, "", name)

    def cordon_node(self, name: str, *, cordoned: bool = True) -> None:
        """Let no new pod onto a node, or let them again; nothing if there is no such node."""
        node = self.store.get(NODES, "", name)
        if node is not None:
            spec = (node.object.get("spec") or {}) | {"unschedulable": cordoned}
            self.store.update(node, node.object | {"spec": spec})

    def taint_node(self, name: str, key: str, *, tainted: bool = True) -> None:
        """Give a node this taint (NoSchedule), as a controller does that knows more of its machine,
        or take it away; nothing if there is no such node.
        """
        node = self.store.get(NODES, "", name)
        if node is not None:
            spec = node.object.get("spec") or {}
            taints = [each for each in spec.get("taints") or () if each["key"] != key]
            if tainted:
                taints.append({"key": key, "effect": "NoSchedule", "timeAdded": stamp()})
            self.store.update(node, node.object | {"spec": spec | {"taints": taints}})

    def pods_on(self, node: str) -> list[str]:
        """The names of the pods on a node that are not leaving."""
        return [name for _, name in self._pods_on(node)]

    def evict_pods(self, node: str) -> list[str]:
        """Begin to delete all pods on a node, each with its grace period; returns their names."""
        pods = self._pods_on(node)
        for namespace, name in pods:
            self.registry.delete(PODS, namespace, name)
        return [name for _, name in pods]

    def _pods_on(self, node: str) -> list[tuple[str, str]]:
        return [
            pod.key
            for pod in self.store.each(PODS)
            if pod.object["spec"].get("nodeName") == node and not is_terminating(pod.object)
        ]

    def _start(self, work: Coroutine[Any, Any, None] | Awaitable[None], name: str) -> None:
        self._tasks.append(asyncio.ensure_future(work))
        self._tasks[-1].set_name(f"kubesim {name}")
        self._tasks[-1].add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.crash:
            self.crash = f"a controller of the simulated cluster crashed: {error!r}"
            log.error("%s", self.crash, exc_info=error)

    async def _compact(self, every_s: float) -> None:
        while True:
            version = self.store.version
            await asyncio.sleep(every_s)
            self.store.compact(version)
