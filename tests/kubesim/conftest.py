"""A running simulator, a plain HTTP client for it, and a way to wait for its objects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from agentdash.demo.kubesim import ColdStart, KubeSim
from agentdash.demo.kubesim.resources import DEPLOYMENTS, PODS
from agentdash.demo.kubesim.store import StoredObject

FAST = ColdStart(median_s=1.0, sigma=0.2)
DEADLINE_S = 15.0
MERGE = {"Content-Type": "application/merge-patch+json"}
APPS = "/apis/apps/v1/namespaces/tenant-a"
CORE = "/api/v1/namespaces/tenant-a"


class World:
    """The simulator under test, with what many tests do with it."""

    def __init__(self, sim: KubeSim, session: aiohttp.ClientSession) -> None:
        self.sim, self.session = sim, session
        self.store = sim.cluster.store
        self._changed = asyncio.Event()
        self.store.subscribe(lambda _change: self._changed.set())

    async def until(self, met: Callable[[], object]) -> None:
        """Wait until a condition on the store holds; it is checked after every change."""
        async with asyncio.timeout(DEADLINE_S):
            while not met():
                self._changed.clear()
                await self._changed.wait()

    async def call(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any]:
        """One request: status and JSON body."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        url = self.sim.url + path
        async with self.session.request(method, url, json=body, headers=sent) as response:
            return response.status, await response.json(content_type=None)

    async def scale(self, replicas: int, name: str = "research") -> tuple[int, Any]:
        """PATCH a Deployment's scale."""
        path = f"{APPS}/deployments/{name}/scale"
        return await self.call("PATCH", path, {"spec": {"replicas": replicas}}, **MERGE)

    def pods(self) -> list[StoredObject]:
        """All pods of tenant-a."""
        return list(self.store.each(PODS, "tenant-a"))

    def ready(self, name: str = "research") -> int:
        """A Deployment's ready replicas."""
        stored = self.store.get(DEPLOYMENTS, "tenant-a", name)
        assert stored is not None
        return int(stored.object["status"].get("readyReplicas", 0))


Start = Callable[..., Awaitable[World]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts simulators with a tenant; they and their clients end with the test."""
    running: list[tuple[KubeSim, aiohttp.ClientSession]] = []

    async def begin(*, quota: dict[str, str] | None = None, **options: Any) -> World:
        sim = KubeSim(**({"speed": 50.0, "seed": 7, "cold_start": FAST} | options))
        await sim.__aenter__()
        session = aiohttp.ClientSession()
        running.append((sim, session))
        await sim.create_namespace("tenant-a", quota=quota)
        return World(sim, session)

    yield begin
    for sim, session in running:
        await session.close()
        await sim.__aexit__(None, None, None)


@pytest.fixture
async def world(start: Start) -> World:
    """A fast simulator with tenant-a and its Deployment research at zero."""
    made = await start()
    await made.sim.create_deployment("research", "tenant-a", grace_s=5)
    return made
