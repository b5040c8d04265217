"""Watches resume, follow selections, end in time, and say when history is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
import pytest

from agentdash.demo.kubesim.resources import DEPLOYMENTS
from tests.kubesim.conftest import APPS, CORE, DEADLINE_S, MERGE, World

Start = Callable[..., Awaitable[World]]
Line = dict[str, Any]


class Watching:
    """An open watch, read line by line."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def line(self) -> Line | None:
        """The next line, None at the end."""
        async with asyncio.timeout(DEADLINE_S):
            raw = await self.response.content.readline()
        return msgspec.json.decode(raw) if raw else None

    async def rest(self) -> list[Line]:
        """Everything until the watch ends."""
        lines = []
        try:
            while (line := await self.line()) is not None:
                lines.append(line)
        finally:
            self.response.close()
        return lines


async def _watch(world: World, path: str, **query: str) -> Watching:
    url = world.sim.url + path
    response = await world.session.get(url, params={"watch": "1", **query})
    assert response.status == 200
    return Watching(response)


async def _version(world: World, path: str = f"{APPS}/deployments") -> str:
    _, listed = await world.call("GET", path)
    return str(listed["metadata"]["resourceVersion"])


async def _settle(world: World) -> None:
    """Until the Deployment's controller has had its say on the creation."""

    def seen() -> bool:
        (stored,) = world.store.each(DEPLOYMENTS, "tenant-a")
        return bool(stored.object["status"].get("observedGeneration"))

    await world.until(seen)


async def _label(world: World, **labels: str | None) -> None:
    body = {"metadata": {"labels": labels}}
    await world.call("PATCH", f"{APPS}/deployments/research", body, **MERGE)


async def test_a_watch_resumes_where_it_was_left(world: World) -> None:
    await _settle(world)
    version = await _version(world)
    for number in range(3):
        await _label(world, step=str(number))
    watching = await _watch(world, f"{APPS}/deployments", resourceVersion=version)
    seen = [await watching.line() for _ in range(3)]
    assert [line["object"]["metadata"]["labels"]["step"] for line in seen if line] == list("012")
    left = seen[1]
    assert left is not None
    resumed = left["object"]["metadata"]["resourceVersion"]
    again = await _watch(world, f"{APPS}/deployments", resourceVersion=resumed)
    assert await again.line() == seen[2]
    for each in (watching, again):
        each.response.close()


async def test_forgotten_history_is_410_inside_the_stream(world: World) -> None:
    await _settle(world)
    version = await _version(world)
    await _label(world, step="1")
    world.sim.faults.expire_history()
    watching = await _watch(world, f"{APPS}/deployments", resourceVersion=version)
    (line,) = await watching.rest()
    assert (line["type"], line["object"]["code"]) == ("ERROR", 410)
    assert line["object"]["reason"] == "Expired"


async def test_history_is_bounded(start: Start) -> None:
    world = await start(history=5)
    await world.sim.create_deployment("research", "tenant-a")
    await _settle(world)
    version = await _version(world)
    for number in range(6):
        await _label(world, step=str(number))
    watching = await _watch(world, f"{APPS}/deployments", resourceVersion=version)
    (line,) = await watching.rest()
    assert line["object"]["code"] == 410


async def test_a_version_of_an_earlier_run_is_410(start: Start) -> None:
    first = await start()
    version = await _version(first)
    second = await start()
    watching = await _watch(second, f"{APPS}/deployments", resourceVersion=version)
    (line,) = await watching.rest()
    assert line["object"]["code"] == 410


async def test_entering_and_leaving_a_selection_is_added_and_deleted(world: World) -> None:
    await _settle(world)
    version = await _version(world)
    query = {"resourceVersion": version, "labelSelector": "step"}
    watching = await _watch(world, f"{APPS}/deployments", **query)
    await _label(world, step="1")
    await _label(world, step="2")
    await _label(world, step=None)
    lines = [await watching.line() for _ in range(3)]
    assert [line["type"] for line in lines if line] == ["ADDED", "MODIFIED", "DELETED"]
    watching.response.close()


async def test_a_watch_ends_silently_at_its_timeout_after_a_bookmark(world: World) -> None:
    await _settle(world)
    query = {"timeoutSeconds": "1", "allowWatchBookmarks": "1"}
    version = await _version(world)
    watching = await _watch(world, f"{APPS}/deployments", resourceVersion=version, **query)
    (line,) = await watching.rest()
    assert line["type"] == "BOOKMARK"
    assert int(line["object"]["metadata"]["resourceVersion"]) >= int(version)


async def test_dropped_watches_break_or_end_cleanly(world: World) -> None:
    broken = await _watch(world, f"{CORE}/pods", resourceVersion=await _version(world))
    assert world.sim.faults.drop_watches() == 1
    with pytest.raises(aiohttp.ClientPayloadError):
        await broken.rest()
    clean = await _watch(world, f"{CORE}/pods", resourceVersion=await _version(world))
    assert world.sim.faults.drop_watches(clean=True) == 1
    assert await clean.rest() == []


async def test_watches_can_be_dropped_again_and_again(world: World) -> None:
    world.sim.faults.drop_watches_every(0.01)
    for _ in range(2):
        watching = await _watch(world, f"{CORE}/pods", resourceVersion=await _version(world))
        with pytest.raises(aiohttp.ClientPayloadError):
            await watching.rest()
    world.sim.faults.clear()


async def test_events_are_watched_in_both_forms(world: World) -> None:
    old = await _watch(world, f"{CORE}/events", fieldSelector="reason=SuccessfulCreate")
    path = "/apis/events.k8s.io/v1/namespaces/tenant-a/events"
    new = await _watch(world, path, fieldSelector="reason=SuccessfulCreate")
    await world.scale(1)
    first, second = await old.line(), await new.line()
    assert first is not None
    assert second is not None
    assert first["object"]["message"] == second["object"]["note"]
    assert second["object"]["apiVersion"] == "events.k8s.io/v1"
    for each in (old, new):
        each.response.close()


async def test_pages_show_the_list_as_it_was_at_the_first(world: World) -> None:
    for name in ("a", "b", "c"):
        body = {"metadata": {"name": name}, "data": {}}
        await world.call("POST", f"{CORE}/configmaps", body)
    _, page = await world.call("GET", f"{CORE}/configmaps?limit=2")
    token = page["metadata"]["continue"]
    await world.call("DELETE", f"{CORE}/configmaps/c")
    await world.call("POST", f"{CORE}/configmaps", {"metadata": {"name": "d"}})
    path = f"{CORE}/configmaps?limit=9&continue={token}"
    _, rest = await world.call("GET", path)
    names = [item["metadata"]["name"] for item in rest["items"]]
    assert "c" in names
    assert "d" not in names
    world.sim.faults.expire_history()
    status, expired = await world.call("GET", path)
    assert (status, expired["reason"]) == (410, "Expired")
    inconsistent = expired["metadata"]["continue"]
    _, rest = await world.call("GET", f"{CORE}/configmaps?limit=9&continue={inconsistent}")
    names = [item["metadata"]["name"] for item in rest["items"]]
    assert "c" not in names
    assert "d" in names
