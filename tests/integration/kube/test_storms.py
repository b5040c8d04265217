"""A server that is down for minutes is asked seldom, at random times, and soon found again."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from aiohttp import web

from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.watch import (
    REFUSED_WAIT_S,
    WATCH_RETRY_MOST_S,
    Reflector,
    WatchTarget,
)
from controller.kube.workloads import WorkloadView
from controller.model.readings import Fresh, Stale, Why

PATH = "/apis/apps/v1/namespaces/tenant-a/deployments"
AWAY_S = 300.0


class StoryClock:
    """A clock whose sleeps take no time but move it."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.slept: list[float] = []
        self.over = asyncio.Event()

    def now(self) -> float:
        return self.passed

    def monotonic(self) -> float:
        return self.passed

    def follow_step(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.passed += seconds
        if self.passed >= AWAY_S and not self.over.is_set():
            self.over.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)


async def reflecting(api: Any, clock: StoryClock, seed: int) -> tuple[Client, Reflector]:
    client = Client(await Access.load(api.settings()), clock)
    target, view = WatchTarget(kind="deployments", path=PATH), WorkloadView(lambda _name: None)
    return client, Reflector(client, target, view, rng=random.Random(seed))


async def story(api: Any, seed: int) -> tuple[StoryClock, int]:
    clock = StoryClock()
    client, reflector = await reflecting(api, clock, seed)
    task = asyncio.create_task(reflector.run())
    async with asyncio.timeout(20):
        await clock.over.wait()
    task.cancel()
    await client.close()
    return clock, client.requests.total()


def gone(code: int = 410) -> dict[str, Any]:
    return {"type": "ERROR", "object": {"code": code, "reason": "Expired", "message": "too old"}}


async def torn(request: Any) -> Any:
    """A watch whose connection breaks in the middle of its first line."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b'{"type":"MODIFIED","obj')
    request.transport.abort()
    return response


FAULTS = [
    "away",
    "500",
    "dropping",
    "empty watch",
    "410",
    "410 line",
    "line, then 410",
    "torn",
    "503 for 20 s",
]


@pytest.mark.parametrize("fault", FAULTS)
async def test_five_minutes_without_a_server_bring_few_requests(api: Any, fault: str) -> None:
    bound = 90
    match fault:
        case "away":
            await api.stop()
        case "500":
            api.always["list deployments"] = api.status(500, "InternalError", "no")
        case "dropping":
            api.always["list deployments"] = api.drop
        case "empty watch":
            api.always["watch deployments"] = api.lines()
        case "410":
            api.always["watch deployments"] = api.status(410, "Expired", "too old")
        case "410 line":
            api.always["watch deployments"] = api.lines(gone())
        case "line, then 410":
            bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "900"}}}
            api.always["watch deployments"] = api.lines(bookmark, gone())
        case "torn":
            api.always["watch deployments"] = torn
        case _:
            wish = api.status(503, "ServiceUnavailable", "no", retry_after=20)
            api.always["list deployments"] = wish
            bound = 16
    clock, requests = await story(api, 1)
    assert 8 <= requests <= bound
    if fault == "away":
        other, _ = await story(api, 2)
        assert clock.slept[:10] != other.slept[:10], "two of them do not come back together"
    longest = WATCH_RETRY_MOST_S + (20.0 if fault.startswith("503") else 0.0)
    assert max(clock.slept) <= longest, "found again within the cap"


async def test_after_a_refusal_the_server_is_asked_less_often(api: Any) -> None:
    api.always["list deployments"] = api.status(403, "Forbidden", "no")
    clock, requests = await story(api, 1)
    least, most = REFUSED_WAIT_S
    assert requests <= AWAY_S / least + 1
    assert all(least <= seconds <= most for seconds in clock.slept)


async def test_after_the_server_is_back_the_view_is_fresh_again(api: Any) -> None:
    clock = StoryClock()
    api.once["list deployments"].extend([api.status(500, "InternalError", "no")] * 12)
    client, reflector = await reflecting(api, clock, 3)
    task = asyncio.create_task(reflector.run())
    await api.until(lambda: isinstance(reflector.freshness.judge(0), Fresh))
    assert clock.passed <= 12 * WATCH_RETRY_MOST_S
    task.cancel()
    await client.close()


async def test_while_every_watch_is_torn_the_list_still_shows_what_changed(api: Any) -> None:
    clock = StoryClock()
    api.deployment("tenant-a", "research", 1)
    api.always["watch deployments"] = torn
    client, reflector = await reflecting(api, clock, 3)
    view = reflector._view
    task = asyncio.create_task(reflector.run())
    await api.until(lambda: view.get("research"))
    api.deployment("tenant-a", "research", 7)
    await api.until(lambda: view.get("research").replicas == 7)
    assert clock.passed < 60.0
    task.cancel()
    await client.close()


async def test_a_watch_that_opens_and_never_speaks_is_stale_until_a_new_list(api: Any) -> None:
    api.deployment("tenant-a", "research", 1)
    api.always["watch deployments"] = opened_and_silent
    async with asyncio.timeout(10):
        client = await api.client()
        view = WorkloadView(lambda _name: None)
        target = WatchTarget(kind="deployments", path=PATH)
        reflector = Reflector(client, target, view, silence_s=0.2)
        freshness = reflector.freshness
        task = asyncio.create_task(reflector.run())
        await api.until(lambda: view.get("research"))
        api.deployment("tenant-a", "research", 9)
        api.once["list deployments"].append(api.status(500, "InternalError", "no"))
        await api.until(lambda: isinstance(freshness.judge(0), Stale))
        silent = freshness.judge(0)
        assert isinstance(silent, Stale)
        assert silent.why is Why.VIEW_INCOMPLETE
        await api.until(lambda: view.get("research").replicas == 9)
        task.cancel()
    await client.close()


async def opened_and_silent(request: Any) -> Any:
    """A watch that is opened and brings no line, not even a bookmark."""
    response = web.StreamResponse()
    await response.prepare(request)
    await asyncio.Event().wait()
    return response
