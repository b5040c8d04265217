"""The fleet file of a real daemon is read again when it changes."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support import requests_seen
from support.live import daemon, fleet_text, until
from support.live_world import LiveWorld, servers

NAMES = ["research", "browser"]


class World(LiveWorld):
    def write(self, *names: str, maximum: int = 10) -> None:
        beside = self.fleet.with_suffix(".new")
        beside.write_text(fleet_text(self.server.url, list(names), maximum=maximum), "utf-8")
        beside.rename(self.fleet)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with servers(tmp_path, *NAMES) as found:
        yield World(tmp_path, found)


async def test_a_new_pool_is_scaled_and_one_that_left_stays_as_it_is(world: World) -> None:
    world.write("research")
    async with daemon(world.fleet, world.kubeconfig) as running:
        await running.ready()
        await world.publish(4, "research")
        await until(lambda: world.replicas("research") == 4)
        lists = requests_seen.count(world.sim.requests, path_regex="/pods", verb="list")
        world.write("browser")
        await until(lambda: running.said("fleet file taken over"), 5.0)
        await world.publish(3, "browser")
        await until(lambda: world.replicas("browser") == 3)
        await running.pass_ticks(5)
        assert world.replicas("research") == 4
        assert len(running.said("started")) == 1
        assert requests_seen.count(world.sim.requests, path_regex="/pods", verb="list") == lists
        _, text = await running.get("/metrics")
        assert 'pool="research"' not in text.split("agentdash_pool_next_replicas")[1]
    [line] = running.said("fleet file taken over")
    assert (line["added"], line["removed"]) == (["acme/browser"], ["acme/research"])


async def test_a_changed_maximum_is_in_force_at_once_and_the_leader_goes_on_leading(
    world: World,
) -> None:
    world.write("research", maximum=2)
    async with daemon(world.fleet, world.kubeconfig) as running:
        await running.ready()
        assert len(running.said("leading")) == 1
        await world.publish(6, "research")
        await until(lambda: world.replicas("research") == 2)
        world.write("research", maximum=5)
        running.process.send_signal(signal.SIGHUP)
        await until(lambda: world.replicas("research") == 5, 5.0)
        assert "agentdash_leader 1.0" in (await running.get("/metrics"))[1]
        assert not running.said("no longer leading")
        assert len(running.said("leading")) == 1, "it was elected again"


async def test_a_window_goes_on_over_a_change_of_the_file(world: World) -> None:
    world.write("research")
    async with daemon(world.fleet, world.kubeconfig) as running:
        await running.ready()
        await world.publish(1, "research")
        await until(lambda: world.replicas("research") == 1)
        world.server.kill()
        world.write("research", "browser")
        await until(lambda: running.said("fleet file taken over"), 5.0)
        await running.pass_ticks(3)
        assert world.replicas("research") == 1
        assert not any("memory cannot be read" in str(line["message"]) for line in running.lines)
        world.server.start()
        await running.ready()
        await world.publish(2, "browser")
        await until(lambda: world.replicas("browser") == 2)


async def test_a_wrong_file_changes_nothing_and_is_said(world: World) -> None:
    world.write("research")
    async with daemon(world.fleet, world.kubeconfig) as running:
        await running.ready()
        world.fleet.write_text("version: 1\npols: []\n", "utf-8")
        await until(lambda: running.said("fleet file not taken over"), 5.0)
        await running.pass_ticks(2)
        _, text = await running.get("/metrics")
        assert "agentdash_fleet_file_valid 0.0" in text
        await world.publish(2, "research")
        await until(lambda: world.replicas("research") == 2)
        world.write("research")
        await running.pass_ticks(2)
        await until(lambda: running.said("the fleet file is good again"), 5.0)
    [line] = running.said("fleet file not taken over")
    assert "fleet.yaml:2:1: pols: " in str(line["problems"])
