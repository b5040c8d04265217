"""The simulated cluster as one object: its API on a local port, its controllers, its switches."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

import msgspec
from aiohttp import web

from agentdash.demo.cluster.api import Api
from agentdash.demo.cluster.nodes import ColdStart, Kubelets, PodRunner, Scheduler, new_node
from agentdash.demo.cluster.objects import (
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    Object,
    Timers,
    is_terminating,
    stamp,
)
from agentdash.demo.cluster.registry import EventRecorder, Registry, Store, StoredObject
from agentdash.demo.cluster.workloads import WorkloadControllers

log = logging.getLogger(__name__)

_LOOPBACK: Final = "127.0.0.1"
_SHUTDOWN_S: Final = 1.0


class SimCluster:
    """A simulated Kubernetes 1.36 on loopback with what our client asks for: no users, discovery,
    admission.
    """

    def __init__(
        self,
        *,
        speed: float = 1.0,
        seed: int = 0,
        nodes: int = 3,
        node_cpu: str = "3920m",
        token: str | None = None,
        history: int = 10_000,
        cold_start: ColdStart | None = None,
    ) -> None:
        """`speed` divides every delay of the cluster (cold starts, grace periods, back-offs); time
        stamps and the time-outs that clients ask for are real. `token` stands in the kubeconfig.
        `history` is the number of changes kept for each kind, for watches that resume.
        """
        # no run makes a version each microsecond, so a client of an earlier run is answered 410
        self.store = Store(first_version=time.time_ns() // 1_000, history=history)
        self.registry = Registry(self.store, random.Random(seed))
        self.api = Api(self.registry, random.Random(seed + 2), lambda: self.crash)
        self.write_log = self.api.write_log
        self.crash = ""
        """Why nothing happens in this cluster any more; empty while all of its parts run."""
        self._nodes, self._node_cpu, self._token, self._port = nodes, node_cpu, token, 0
        self._timers = Timers(speed)
        recorder = EventRecorder(self.registry)
        Kubelets(
            self.registry,
            recorder,
            self._timers,
            rng=random.Random(seed + 1),
            cold_start=cold_start or ColdStart(),
            start=self._start,
            runner=lambda: self.pod_runner,
        )
        self.pod_runner: PodRunner | None = None
        """What runs in each Ready pod; set it before pods become Ready."""
        self.workloads = WorkloadControllers(self.registry, recorder, self._timers)
        scheduler = Scheduler(self.registry, recorder)
        self._queues = (*self.workloads.queues, scheduler.queue, self._timers.queue)
        self._tasks: set[asyncio.Future[None]] = set()
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        """The server's address, once it runs."""
        return f"http://{_LOOPBACK}:{self._port}"

    async def __aenter__(self) -> Self:
        """Start the controllers, add the nodes, and serve."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._stop)
            for queue in self._queues:
                self._start(queue.run())
            for name in ("default", "kube-system"):
                await self.create_namespace(name)
            for number in range(self._nodes):
                new_node(self.registry, f"node-{number}", self._node_cpu)
            server = web.Server(self.handle, handler_cancellation=True)
            runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_S)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, _LOOPBACK, self._port).start()
            self._port = int(runner.addresses[0][1])
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End every watch, stop serving and stop the cluster; raises what crashed in it."""
        self.api.end_watches()
        await self._stack.aclose()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        return await self.api.handle(request)

    def kubeconfig(self) -> Object:
        """A kubeconfig for this server."""
        name = "demo"
        user: Object = {"token": self._token} if self._token is not None else {}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": self.url}}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }

    def write_kubeconfig(self, path: Path | str) -> None:
        """Write the kubeconfig, which only its owner may read."""
        target = Path(path)
        target.touch(mode=0o600)
        target.write_bytes(msgspec.json.encode(self.kubeconfig()))  # JSON is YAML

    async def create_namespace(self, name: str) -> None:
        """Add a namespace."""
        self.registry.create(NAMESPACES, "", {"metadata": {"name": name}})

    async def create_deployment(
        self,
        name: str,
        namespace: str,
        *,
        replicas: int = 0,
        cpu: str = "250m",
        memory: str = "512Mi",
        labels: dict[str, str] | None = None,
        grace_s: int = 30,
    ) -> StoredObject:
        """Add a Deployment of one container with equal requests and limits. Raises StatusError."""
        amounts = {"cpu": cpu, "memory": memory}
        resources = {"requests": amounts, "limits": dict(amounts)}
        container = {
            "name": "agent",
            "image": "registry.example/agent:1",
            "resources": resources,
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": 9465}},
        }
        marks = {"app": name, **(labels or {})}
        pod = {"terminationGracePeriodSeconds": grace_s, "containers": [container]}
        body = {
            "metadata": {"name": name, "labels": marks},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "strategy": {"rollingUpdate": {"maxUnavailable": 0}},
                "template": {"metadata": {"labels": dict(marks)}, "spec": pod},
            },
        }
        return self.registry.create(DEPLOYMENTS, namespace, body)

    def cordon_node(self, name: str, *, cordoned: bool = True) -> None:
        """Let no new pod onto a node, or let them again."""
        self.registry.patch(
            self.registry.read(NODES, "", name), {"spec": {"unschedulable": cordoned}}
        )

    def taint_node(self, name: str, key: str, *, tainted: bool = True) -> None:
        """Give a node this taint (NoSchedule), or take it away."""
        node = self.registry.read(NODES, "", name)
        known = (node.object.get("spec") or {}).get("taints") or ()
        taints = [each for each in known if each["key"] != key]
        if tainted:
            taints.append({"key": key, "effect": "NoSchedule", "timeAdded": stamp()})
        self.registry.patch(node, {"spec": {"taints": taints}})

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

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Future[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is None:
            self._tasks.discard(task)
        elif not self.crash:
            self.crash = f"a controller of the simulated cluster crashed: {error!r}"
            log.error("%s", self.crash, exc_info=error)

    async def _stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        crashes = [each for each in results if isinstance(each, Exception)]
        if crashes:
            raise ExceptionGroup("controllers crashed", crashes)
