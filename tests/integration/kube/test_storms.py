"""A server that is down for minutes is asked seldom, at random times, and soon found again."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.freshness import Freshness
from controller.kube.limits import Pauses
from controller.kube.link import LinkTracker
from controller.kube.reflector import REFUSED_WAIT_S, WATCH_RETRY_MOST_S, Reflector, WatchTarget
from controller.kube.views import DeploymentView
from controller.model.readings import Fresh

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


async def reflecting(api: Any, kit: Any, clock: StoryClock, seed: int) -> tuple[Client, Reflector]:
    link = LinkTracker(clock, clock.monotonic)
    client = Client(await Access.load(kit.settings(api.url)), Pauses(clock.monotonic), link)
    freshness = Freshness(clock, link)
    return client, Reflector(
        client,
        WatchTarget(kind="deployments", path=PATH),
        DeploymentView(lambda _name: None),
        freshness,
        clock,
        rng=random.Random(seed),
        monotonic=clock.monotonic,
    )


async def story(api: Any, kit: Any, seed: int) -> tuple[StoryClock, int]:
    clock = StoryClock()
    client, reflector = await reflecting(api, kit, clock, seed)
    task = asyncio.create_task(reflector.run())
    async with asyncio.timeout(20):
        await clock.over.wait()
    task.cancel()
    await client.close()
    return clock, client.requests.total()


@pytest.mark.parametrize("fault", ["away", "500", "dropping", "empty watch", "503 for 20 s"])
async def test_five_minutes_without_a_server_bring_few_requests(
    api: Any, kit: Any, fault: str
) -> None:
    bound = 90
    match fault:
        case "away":
            await api.stop()
        case "500":
            api.always["list deployments"] = kit.status(500, "InternalError", "no")
        case "dropping":
            api.always["list deployments"] = kit.drop
        case "empty watch":
            api.always["watch deployments"] = kit.lines()
        case _:
            wish = kit.status(503, "ServiceUnavailable", "no", retry_after=20)
            api.always["list deployments"] = wish
            bound = 16
    (clock, requests), (other, _) = [await story(api, kit, seed) for seed in (1, 2)]
    assert 8 <= requests <= bound
    assert clock.slept[:10] != other.slept[:10], "two of them do not come back together"
    longest = WATCH_RETRY_MOST_S + (20.0 if fault.startswith("503") else 0.0)
    assert max(clock.slept) <= longest, "found again within the cap"


async def test_after_a_refusal_the_server_is_asked_less_often(api: Any, kit: Any) -> None:
    api.always["list deployments"] = kit.status(403, "Forbidden", "no")
    clock, requests = await story(api, kit, 1)
    least, most = REFUSED_WAIT_S
    assert requests <= AWAY_S / least + 1
    assert all(least <= seconds <= most for seconds in clock.slept)


async def test_after_the_server_is_back_the_view_is_fresh_again(api: Any, kit: Any) -> None:
    clock = StoryClock()
    api.once["list deployments"].extend([kit.status(500, "InternalError", "no")] * 12)
    client, reflector = await reflecting(api, kit, clock, 3)
    task = asyncio.create_task(reflector.run())
    await kit.until(lambda: isinstance(reflector.freshness.judge(0), Fresh))
    assert clock.passed <= 12 * WATCH_RETRY_MOST_S
    task.cancel()
    await client.close()
