"""A very small API server for faults: each of its answers can be replaced."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.cluster import Cluster
from controller.model.fleet import Behavior, Pool, ScalingRules
from controller.model.ids import PoolKey
from controller.model.settings import KubernetesSettings
from support.ports import free_port

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
RULES = ScalingRules(stabilization_window_s=0)


def status(code: int, reason: str = "", message: str = "", **more: Any) -> Handler:
    """A handler that answers with a Status."""
    headers = {"Retry-After": str(more.pop("retry_after"))} if "retry_after" in more else {}

    async def answer(_request: web.Request) -> web.StreamResponse:
        body = {"kind": "Status", "code": code, "reason": reason, "message": message, **more}
        return web.json_response(body, status=code, headers=headers)

    return answer


def lines(*found: object) -> Handler:
    """A watch of exactly these lines; text goes out as it is."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for line in found:
            text = line if isinstance(line, str) else json.dumps(line)
            await response.write(text.encode() + b"\n")
        return response

    return answer


async def drop(request: web.Request) -> web.StreamResponse:
    """Close the connection instead of answering."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def silence(_request: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    return web.Response()


class QuickClock:
    """Real time for `now`; a sleep only lets other tasks run, and is noted."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def follow_step(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(min(seconds, 0.005))


class StubApi:
    """Deployments, pods, quotas and nodes in memory, with versions, watches and a scale
    subresource.

    `once[kind]` and `always[kind]` replace answers; kinds are `list deployments`, `watch pods`,
    `scale`, `version` and so on, also followed by ` in <namespace>`.
    """

    status = staticmethod(status)
    lines = staticmethod(lines)
    drop = staticmethod(drop)
    silence = staticmethod(silence)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = QuickClock()
        self.version = 100
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.history: list[tuple[int, str, str, dict[str, Any]]] = []
        self.changed = asyncio.Event()
        self.once: defaultdict[str, deque[Handler]] = defaultdict(deque)
        self.always: dict[str, Handler] = {}
        self.asked: list[tuple[float, str, web.Request]] = []
        self.url = ""
        self._runner: web.AppRunner | None = None
        self._transports: set[asyncio.BaseTransport] = set()
        self._port = free_port()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.01, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        self.drop_all()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @asynccontextmanager
    async def cluster(self, *namespaces: str, wait: bool = True, **more: Any) -> Any:
        """The product connected to this server; it watches these namespaces, and by default has
        seen them.
        """
        async with Cluster.connect(self.settings(), self.clock, **more) as cluster:
            if namespaces:
                cluster.set_namespaces(frozenset(namespaces))
                assert not wait or await cluster.synced(5.0)
            yield cluster

    async def client(self, **user: Any) -> Client:
        return Client(await Access.load(self.settings(**user)), self.clock)

    def settings(
        self, url: str = "", *, selector: str | None = None, **user: Any
    ) -> KubernetesSettings:
        """A kubeconfig for this server, or another; `user` is its user's entry."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "stub",
            "clusters": [{"name": "stub", "cluster": {"server": url or self.url}}],
            "users": [{"name": "me", "user": user or {"token": "secret"}}],
            "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "me"}}],
        }
        path = self.folder / "kubeconfig"
        path.write_text(json.dumps(config))
        return KubernetesSettings(kubeconfig=str(path), selector=selector)

    def pool(self, name: str = "research", namespace: str = "tenant-a") -> Pool:
        return Pool(
            key=PoolKey(f"{namespace}/{name}"),
            name=name,
            tenant=namespace,
            namespace=namespace,
            deployment=name,
            stream="s",
            consumer="c",
            behavior=Behavior(scale_up=RULES, scale_down=RULES),
        )

    async def until(self, holds: Callable[[], object], seconds: float = 5.0) -> None:
        """Return as soon as the condition holds; fail if it does not in time."""
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.002)

    def drop_all(self) -> None:
        """Cut every open connection."""
        for transport in list(self._transports):
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()

    def count(self, kind: str) -> int:
        return len(self.times(kind))

    def times(self, kind: str) -> list[float]:
        return [
            at for at, asked, _ in self.asked if asked == kind or asked.startswith(f"{kind} in ")
        ]

    def last(self, kind: str) -> web.Request:
        return [request for _, asked, request in self.asked if asked.startswith(kind)][-1]

    def put(self, kind: str, namespace: str, name: str, **parts: Any) -> dict[str, Any]:
        known = self.objects.get((kind, namespace, name))
        self.version += 1
        meta = {"name": name, "namespace": namespace, "uid": f"uid-{name}"}
        found = {**(known or {}), **parts}
        found["metadata"] = {
            **(known or {}).get("metadata", meta),
            **parts.get("metadata", {}),
            "resourceVersion": str(self.version),
        }
        self.objects[kind, namespace, name] = found
        self._tell("MODIFIED" if known else "ADDED", kind, namespace, found)
        return found

    def delete(self, kind: str, namespace: str, name: str) -> None:
        found = self.objects.pop((kind, namespace, name))
        self.version += 1
        found = {**found, "metadata": {**found["metadata"], "resourceVersion": str(self.version)}}
        self._tell("DELETED", kind, namespace, found)

    def deployment(self, namespace: str, name: str, replicas: object = 1) -> None:
        self.put("deployments", namespace, name, spec={"replicas": replicas}, status={})

    def pod(self, namespace: str, name: str, deployment: str) -> None:
        owner = {"kind": "ReplicaSet", "name": f"{deployment}-bcd", "controller": True}
        meta = {"labels": {"pod-template-hash": "bcd"}, "ownerReferences": [owner]}
        ready = {"type": "Ready", "status": "True"}
        self.put(
            "pods",
            namespace,
            name,
            metadata={"name": name, **meta},
            spec={"nodeName": "n"},
            status={"phase": "Running", "conditions": [ready]},
        )

    def quota(self, namespace: str, **hard: str) -> None:
        self.put("resourcequotas", namespace, "tenant", spec={"hard": hard})

    def node(self, name: str, cpu: str = "4", **labels: str) -> None:
        allocatable = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
        ready = [{"type": "Ready", "status": "True"}]
        self.put(
            "nodes",
            "",
            name,
            metadata={"name": name, "labels": labels},
            status={"allocatable": allocatable, "conditions": ready},
        )

    def _tell(self, type_: str, kind: str, namespace: str, found: dict[str, Any]) -> None:
        line = {"type": type_, "object": found}
        self.history.append((self.version, kind, namespace, line))
        self.changed.set()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        kind, namespace, name = self._meant(request)
        full = f"{kind} in {namespace}" if namespace else kind
        self.asked.append((time.monotonic(), full, request))
        assert request.transport is not None
        self._transports.add(request.transport)
        for key in (full, kind):
            if self.once[key]:
                return await self.once[key].popleft()(request)
        for key in (full, kind):
            if key in self.always:
                return await self.always[key](request)
        verb, _, resource = kind.partition(" ")
        if kind == "version":
            return web.json_response({"gitVersion": "v1.36.3"})
        if kind == "scale":
            return await self._scale(request, namespace, name)
        if verb == "get":
            return await self._get(request, resource, namespace, name)
        watches = verb == "watch"
        return await (self._watch if watches else self._whole)(request, resource, namespace)

    async def _whole(self, request: web.Request, resource: str, namespace: str) -> web.Response:
        return self._list(request, resource, namespace)

    def _meant(self, request: web.Request) -> tuple[str, str, str]:
        parts = request.path.strip("/").split("/")
        if parts[-1] == "version":
            return "version", "", ""
        # nodes and namespaces belong to none
        namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts[:-1] else ""
        if parts[-1] in {"scale", "log"}:
            return parts[-1], namespace, parts[-2]
        if parts[-2] == "deployments":
            return "get deployments", namespace, parts[-1]
        verb = "watch" if "watch" in request.query else "list"
        return f"{verb} {parts[-1]}", namespace, ""

    async def _get(
        self, request: web.Request, kind: str, namespace: str, name: str
    ) -> web.StreamResponse:
        found = self.objects.get((kind, namespace, name))
        if found is None:
            return await status(404, "NotFound", f'{kind}.apps "{name}" not found')(request)
        return web.json_response(found)

    def _list(self, request: web.Request, kind: str, namespace: str) -> web.Response:
        found = [
            item
            for (of, ns, _), item in sorted(self.objects.items())
            if (of, ns) == (kind, namespace)
        ]
        limit = int(request.query.get("limit", "0")) or len(found) or 1
        start = int(request.query.get("continue", "0"))
        meta = {"resourceVersion": str(self.version)}
        if start + limit < len(found):
            meta["continue"] = str(start + limit)
        return web.json_response({"metadata": meta, "items": found[start : start + limit]})

    async def _watch(self, request: web.Request, kind: str, namespace: str) -> web.StreamResponse:
        since = int(request.query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                self.changed.clear()
                for version, of, ns, line in list(self.history):
                    if version > since and (of, ns) == (kind, namespace):
                        await response.write(json.dumps(line).encode() + b"\n")
                        since = version
                waiting = asyncio.create_task(self.changed.wait())
                try:
                    await waiting
                finally:
                    waiting.cancel()
        return response

    async def _scale(self, request: web.Request, namespace: str, name: str) -> web.StreamResponse:
        patch = await request.json()
        known = self.objects.get(("deployments", namespace, name))
        if known is None:
            message = f'deployments.apps "{name}" not found'
            return await status(404, "NotFound", message)(request)
        if patch["metadata"]["resourceVersion"] != known["metadata"]["resourceVersion"]:
            return await status(409, "Conflict", "the object has been modified")(request)
        found = self.put(
            "deployments", namespace, name, spec={"replicas": patch["spec"]["replicas"]}
        )
        return web.json_response({"metadata": found["metadata"], "spec": found["spec"]})


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[StubApi]:
    stub = StubApi(tmp_path)
    await stub.start()
    yield stub
    await stub.stop()
