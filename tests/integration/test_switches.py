"""Kill switches of real daemons: each is enough alone, and none needs a server that answers."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentdash.demo.cluster.objects import NAMESPACES
from fakes.cluster import ApiFault
from support.live import Daemon, daemon, fleet_text, until
from support.live_world import NAMESPACE, LiveWorld, Servers, servers

NAMES = ["research", "browser"]
FREEZE = "agentdash.dev/freeze"


class World(LiveWorld):
    def __init__(self, folder: Path, found: Servers) -> None:
        super().__init__(folder, found)
        self.freeze_file = folder / "freeze"
        text = fleet_text(self.server.url, NAMES)
        at = f"controller: {{freeze_file: '{self.freeze_file}', "
        self.fleet.write_text(text.replace("controller: {", at), "utf-8")

    async def shows(self, running: Daemon, *samples: str) -> None:
        """Wait until the metrics have all of these."""
        async with asyncio.timeout(5.0):
            page = ""
            while not all(each in page for each in samples):
                await asyncio.sleep(0.05)
                _, page = await running.get("/metrics")

    def annotate_namespace(self, value: str | None) -> None:
        stored = self.sim.store.get(NAMESPACES, "", NAMESPACE)
        assert stored is not None
        annotations = {} if value is None else {FREEZE: value}
        self.sim.registry.change(
            stored, lambda found: found["metadata"].update(annotations=annotations)
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with servers(tmp_path, *NAMES) as found:
        yield World(tmp_path, found)


async def test_a_freeze_file_works_while_nats_and_the_api_server_are_dead(world: World) -> None:
    async with daemon(world.fleet, world.kubeconfig) as running:
        await running.ready()
        await world.publish(5, "research")
        await until(lambda: world.replicas("research") == 5)
        world.server.kill()
        fault = world.sim.faults.add(ApiFault(path=".*", status=503))
        world.freeze_file.write_text("moving the database", "utf-8")
        await until(lambda: running.said("frozen"), 1.0)
        world.sim.faults.remove(fault)
        world.server.start()
        await running.not_ready("frozen by freeze file", only=True)
        before = world.patches
        await world.publish(3, "browser")
        await running.pass_ticks(5)
        assert world.patches == before
        await world.shows(
            running,
            "agentdash_frozen 1.0",
            'agentdash_finding{kind="frozen",severity="warning",subject="fleet"} 1.0',
            'agentdash_pool_gate{gate="freeze",pool="browser",tenant="acme"} 1.0',
        )
        world.freeze_file.unlink()
        await until(lambda: world.replicas("browser") == 3)
        await world.shows(running, "agentdash_frozen 0.0")
    [line] = running.said("frozen")
    assert line["switch"] == f"freeze file {world.freeze_file}"
    assert line["why"] == "moving the database"
    assert len(running.said("thawed")) == 1


async def test_a_daemon_that_starts_while_the_freeze_file_is_there_writes_nothing(
    world: World,
) -> None:
    world.freeze_file.touch()
    await world.publish(5, "research")
    async with daemon(world.fleet, world.kubeconfig) as running:
        await running.not_ready("frozen by freeze file")
        await running.pass_ticks(5)
        assert world.patches == 0
        world.freeze_file.unlink()
        await until(lambda: world.replicas("research") == 5)


async def test_sigusr1_freezes_a_daemon_and_sigusr2_thaws_it(world: World) -> None:
    async with daemon(world.fleet, world.kubeconfig) as running:
        await running.ready()
        running.process.send_signal(signal.SIGUSR1)
        await until(lambda: running.said("frozen"), 1.0)
        await world.publish(5, "research")
        await running.pass_ticks(5)
        assert world.patches == 0
        running.process.send_signal(signal.SIGUSR2)
        await until(lambda: world.replicas("research") == 5)


async def test_an_annotation_of_the_namespace_freezes_all_pools_in_it(world: World) -> None:
    world.annotate_namespace("audit by \x1b[31mann")
    await world.publish(5, "research")
    async with daemon(world.fleet, world.kubeconfig) as running:
        await running.ready()
        await running.pass_ticks(3)
        assert world.patches == 0
        await world.shows(
            running,
            'agentdash_finding{kind="frozen acme/browser",severity="warning"',
            'agentdash_pool_gate{gate="freeze",pool="research",tenant="acme"} 1.0',
        )
        world.annotate_namespace(None)
        await until(lambda: world.replicas("research") == 5)


async def test_a_namespace_that_may_not_be_read_is_named_and_stops_nothing(world: World) -> None:
    world.sim.faults.add(ApiFault(verb="list", path=r"/api/v1/namespaces\?", status=403))
    async with daemon(world.fleet, world.kubeconfig) as running:
        await running.ready()
        await world.publish(2, "research")
        await until(lambda: world.replicas("research") == 2)
        await world.shows(running, 'agentdash_finding{kind="freeze acme/browser",severity="info"')
