"""Events that a real daemon writes about Deployments, as `kubectl describe` lists them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agentdash.demo.cluster.objects import EVENTS
from fakes.cluster import ApiFault
from support import requests_seen
from support.live import daemon, fleet_text, until
from support.live_world import NAMESPACE, LiveWorld, Servers, servers


class World(LiveWorld):
    def __init__(self, folder: Path, found: Servers) -> None:
        super().__init__(folder, found)
        self.fleet.write_text(fleet_text(self.server.url, ["research"]), "utf-8")

    def events(self, reason: str) -> list[Any]:
        """Those about the Deployment with this reason, by our controller."""
        found = self.sim.store.each(EVENTS, NAMESPACE)
        return [
            each.object
            for each in found
            if each.object["reason"] == reason
            and each.object.get("reportingComponent") == "agentdash.dev/controller"
            and each.object["involvedObject"]["uid"] == self.deployment()["metadata"]["uid"]
        ]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with servers(tmp_path, "research") as found:
        yield World(tmp_path, found)


async def test_a_changed_size_is_an_event_that_says_why(world: World) -> None:
    await world.publish(4)
    async with daemon(world.fleet, world.kubeconfig) as running:
        await running.ready()
        await until(lambda: world.replicas() == 4)
        await until(lambda: world.events("ScaledUp"))
    [event] = world.events("ScaledUp")
    assert event["message"].startswith("scaled from 0 to 4: ")
    assert "4 messages" in event["message"]
    assert (event["type"], event["action"]) == ("Normal", "Scale")


async def test_a_refusal_that_lasts_is_one_warning_and_never_more_a_minute(world: World) -> None:
    world.sim.faults.add(ApiFault(verb="patch", path="/scale", status=403))
    await world.publish(4)
    async with daemon(world.fleet, world.kubeconfig) as running:
        await until(lambda: world.events("ScaleRefused"))
        await running.pass_ticks(20)
    [event] = world.events("ScaleRefused")
    assert event["type"] == "Warning"
    assert "not permitted to scale it" in event["message"]


async def test_without_the_right_no_event_is_tried_again_and_scaling_goes_on(world: World) -> None:
    world.sim.faults.add(ApiFault(verb="create", path="events.k8s.io", status=403))
    await world.publish(2)
    async with daemon(world.fleet, world.kubeconfig) as running:
        await running.ready()
        await until(lambda: world.replicas() == 2)
        await world.publish(3)
        await until(lambda: world.replicas() == 5)
        await running.pass_ticks(10)
        _, text = await running.get("/metrics")
        assert 'agentdash_finding{kind="events",severity="info",subject="kubernetes"}' in text
    log = world.sim.requests
    assert requests_seen.count(log, method="POST", path_regex="events.k8s.io") == 1
