"""A running simulated cluster, a plain HTTP client for it, and a way to wait for its objects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from agentdash.demo.cluster.api import MERGE_PATCH
from agentdash.demo.cluster.objects import DEPLOYMENTS, EVENTS, PODS, condition
from agentdash.demo.cluster.registry import StoredObject
from fakes.cluster import ColdStart, SimCluster

FAST = ColdStart(median_s=1.0, sigma=0.2)
DEADLINE_S = 30.0
APPS = "/apis/apps/v1/namespaces/tenant-a"
CORE = "/api/v1/namespaces/tenant-a"


class World:
    """The cluster under test, with what many tests do with it."""

    def __init__(self, sim: SimCluster, session: aiohttp.ClientSession) -> None:
        self.sim, self.session, self.store = sim, session, sim.store
        self._changed = asyncio.Event()
        self.store.subscribe(lambda _change: self._changed.set())

    async def until(self, met: Callable[[], object]) -> None:
        """Wait for a condition of the stored objects; fail if it does not come in time."""
        async with asyncio.timeout(DEADLINE_S):
            while not met():
                self._changed.clear()
                await self._changed.wait()

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request; its status and its JSON."""
        headers = {"Content-Type": MERGE_PATCH} if method == "PATCH" else {}
        url = self.sim.url + path
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def scale(self, replicas: int, workload: str = "deployments/research") -> int:
        body = {"spec": {"replicas": replicas}}
        return (await self.call("PATCH", f"{APPS}/{workload}/scale", body))[0]

    def pods(self) -> list[StoredObject]:
        """All pods of tenant-a."""
        return list(self.store.each(PODS, "tenant-a"))

    def names(self) -> list[str]:
        return [pod.key[1] for pod in self.pods()]

    def ready(self, name: str = "research") -> int:
        """A Deployment's ready replicas."""
        stored = self.store.get(DEPLOYMENTS, "tenant-a", name)
        return 0 if stored is None else int(stored.object["status"].get("readyReplicas", 0))

    def why_unscheduled(self) -> set[str]:
        found = (condition(pod.object, "PodScheduled") or {} for pod in self.pods())
        return {each["message"] for each in found if "message" in each}

    def said(self) -> set[str]:
        """The reasons of all events."""
        return {event.object["reason"] for event in self.store.each(EVENTS, "tenant-a")}


Start = Callable[..., Awaitable[World]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts clusters with a tenant; they and their clients end with the test."""
    running: list[tuple[SimCluster, aiohttp.ClientSession]] = []

    async def begin(**options: Any) -> World:
        sim = SimCluster(**({"speed": 50.0, "seed": 7, "cold_start": FAST} | options))
        await sim.__aenter__()
        session = aiohttp.ClientSession()
        running.append((sim, session))
        await sim.create_namespace("tenant-a")
        return World(sim, session)

    yield begin
    for sim, session in running:
        await session.close()
        await sim.__aexit__(None, None, None)


@pytest.fixture
async def world(start: Start) -> World:
    """A fast cluster with tenant-a and its Deployment research at zero."""
    made = await start()
    await made.sim.create_deployment("research", "tenant-a", grace_s=5)
    return made
