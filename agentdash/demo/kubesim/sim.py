"""The simulator as one object: a cluster, its API on a local port, and its switches."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Self

import yaml
from aiohttp import web

from agentdash.demo.kubesim.access import AccessControl
from agentdash.demo.kubesim.admin import Admin
from agentdash.demo.kubesim.cluster import ClusterOptions, SimCluster
from agentdash.demo.kubesim.controllers.kubelet import ColdStart, PodRunner
from agentdash.demo.kubesim.faults import ApiFaults
from agentdash.demo.kubesim.handlers import Handlers
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.requests import RequestLog
from agentdash.demo.kubesim.resources import DEPLOYMENTS, NAMESPACES, RESOURCE_QUOTAS
from agentdash.demo.kubesim.server import Server
from agentdash.demo.kubesim.store import StoredObject

_LOOPBACK = "127.0.0.1"
_SHUTDOWN_S = 1.0


class KubeSim:
    """A simulated Kubernetes 1.36 on 127.0.0.1; `async with` serves it.

    `speed` divides every delay of the cluster (cold starts, grace periods, back-offs); time stamps
    and the time-outs that clients ask for are real. `admin_token` is the administrator's. A request
    without a token has the administrator's rights, too, unless `refuse_anonymous` (kubectl sends
    none over plain HTTP). With `lenient_names`, names, labels, annotations and event texts may be
    any text. `history` is the number of changes kept for each resource, for watches that resume.
    """

    def __init__(
        self,
        *,
        speed: float = 1.0,
        seed: int = 0,
        nodes: int = 3,
        node_cpu: str = "3920m",
        node_memory: str = "13Gi",
        node_pods: str = "110",
        port: int = 0,
        admin_token: str | None = None,
        refuse_anonymous: bool = False,
        lenient_names: bool = False,
        history: int = 10_000,
        cold_start: ColdStart | None = None,
        compact_every_s: float | None = None,
        first_version: int | None = None,
    ) -> None:
        self.cluster = SimCluster(
            ClusterOptions(
                speed=speed,
                seed=seed,
                nodes=nodes,
                node_cpu=node_cpu,
                node_memory=node_memory,
                node_pods=node_pods,
                lenient_names=lenient_names,
                history=history,
                cold_start=cold_start or ColdStart(),
                compact_every_s=compact_every_s,
                first_version=first_version,
            )
        )
        self.requests = RequestLog()
        self._refuse_anonymous = refuse_anonymous
        self._port, self._token, self._seed, self._history = port, admin_token, seed, history
        self.faults = ApiFaults(
            random.Random(seed + 2), drop=self._drop_watches, expire=self.cluster.store.compact
        )
        self._server: Server | None = None
        self._stack: AsyncExitStack | None = None

    @property
    def url(self) -> str:
        """The server's address, once it runs."""
        return f"http://{_LOOPBACK}:{self._port}"

    @property
    def pod_runner(self) -> PodRunner | None:
        """What runs in each Ready pod; set it before pods become Ready."""
        return self.cluster.kubelets.runner

    @pod_runner.setter
    def pod_runner(self, runner: PodRunner | None) -> None:
        self.cluster.kubelets.runner = runner

    def write_log(self, namespace: str, pod: str, text: str) -> None:
        """A pod writes a line, which GET pods/log answers with."""
        self.cluster.logs.write(namespace, pod, text)

    async def __aenter__(self) -> Self:
        """Start the cluster and serve it."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.cluster)
            faults = asyncio.create_task(self.faults.run(), name="kubesim faults")
            stack.push_async_callback(_cancel, faults)
            access = AccessControl(
                self.cluster.store, self._token, refuse_anonymous=self._refuse_anonymous
            )
            self._server = server = Server(
                self.cluster.store,
                Handlers(
                    self.cluster.registry,
                    access,
                    self.cluster.metrics,
                    self.cluster.logs,
                    _LOOPBACK,
                ),
                Admin(self.cluster, self.faults, self.requests),
                self.faults,
                self.requests,
                rng=random.Random(self._seed + 3),
                history=self._history,
            )
            runner = web.ServerRunner(
                web.Server(server.handle, handler_cancellation=True),
                shutdown_timeout=_SHUTDOWN_S,
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, _LOOPBACK, self._port)
            await site.start()
            self._port = int(runner.addresses[0][1])
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End every watch, stop serving and stop the cluster; raises what crashed in it."""
        self._drop_watches(True)
        if self._stack is not None:
            await self._stack.aclose()

    def kubeconfig(self) -> Object:
        """A kubeconfig for this server, with the admin token if there is one."""
        name = "kubesim"
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
        target.write_text(yaml.safe_dump(self.kubeconfig()), encoding="utf-8")

    async def create_namespace(
        self, name: str, *, labels: dict[str, str] | None = None, quota: Object | None = None
    ) -> None:
        """Add a namespace and, with `quota` (hard amounts), its ResourceQuota `tenant`.

        Raises StatusError as the API would answer.
        """
        registry = self.cluster.registry
        metadata: Object = {"name": name} | ({"labels": dict(labels)} if labels else {})
        registry.create(NAMESPACES, "", {"metadata": metadata})
        if quota:
            body = {"metadata": {"name": "tenant"}, "spec": {"hard": dict(quota)}}
            registry.create(RESOURCE_QUOTAS, name, body)

    async def create_deployment(
        self,
        name: str,
        namespace: str,
        *,
        replicas: int = 0,
        cpu: str = "250m",
        memory: str = "512Mi",
        labels: dict[str, str] | None = None,
        image: str = "registry.example/agent:1",
        grace_s: int = 30,
        spec: Object | None = None,
    ) -> StoredObject:
        """Add a Deployment of one container with equal requests and limits. Its rollouts stop old
        pods only when new ones are ready.

        `spec` adds to the pod spec (nodeSelector, priorityClassName). Raises StatusError.
        """
        amounts = {"cpu": cpu, "memory": memory}
        resources = {"requests": amounts, "limits": dict(amounts)}
        container = {"name": "agent", "image": image, "resources": resources}
        marks = {"app": name, **(labels or {})}
        pod = {"terminationGracePeriodSeconds": grace_s, "containers": [container], **(spec or {})}
        body = {
            "metadata": {"name": name, "labels": marks},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "strategy": {"rollingUpdate": {"maxUnavailable": 0}},
                "template": {"metadata": {"labels": dict(marks)}, "spec": pod},
            },
        }
        return self.cluster.registry.create(DEPLOYMENTS, namespace, body)

    def _drop_watches(self, clean: bool) -> int:
        return self._server.end_watches(clean) if self._server is not None else 0


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
