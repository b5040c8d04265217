"""The journal of real daemons: without it nothing is written, and kill -9 at any phase of a tick
neither breaks it nor changes what is decided next.
"""

from __future__ import annotations

import json
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.exit_codes import ExitCode
from controller.record.journal import JournalPast
from fakes.cluster import ApiFault
from support.forked import agentdash
from support.live import daemon, fleet_text, until
from support.live_world import LiveWorld, Servers, servers

NAMES = ["research"]


class World(LiveWorld):
    def __init__(self, folder: Path, found: Servers) -> None:
        super().__init__(folder, found)
        self.journal = folder / "kept" / "journal.jsonl"
        # a killed leader's lease would be waited for
        text = fleet_text(self.server.url, NAMES)
        at = "controller: {lease: {store: none}, "
        self.fleet.write_text(text.replace("controller: {", at), "utf-8")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with servers(tmp_path, *NAMES) as found:
        yield World(tmp_path, found)


@contextmanager
def no_file_may_grow(process: int) -> Iterator[None]:
    """For this process the disk is full."""
    soft, hard = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_is_full_stops_every_write_until_there_is_room(world: World) -> None:
    async with daemon(world.fleet, world.kubeconfig, "--journal", str(world.journal)) as running:
        await running.ready()
        with no_file_may_grow(running.process.pid):
            await until(lambda: running.said("frozen"))
            await world.publish(4)
            await running.pass_ticks(5)
            assert world.patches == 0
            _, text = await running.get("/metrics")
            assert 'agentdash_finding{kind="journal_down",severity="critical"' in text
            assert 'nats_consumer_pending{consumer="research",stream="TASKS"} 4.0' in text
        await until(lambda: world.replicas() == 4)
    assert running.said("frozen")[0]["switch"] == "journal"
    assert JournalPast(world.journal).notes() == ()
    printed = await agentdash("--replay", world.journal, "--once", "pools", "--json")
    assert (printed.code, printed.err) == (ExitCode.OK, "")
    assert [each["replicas"] for each in json.loads(printed.out)["pools"]] == [4]
    none = await agentdash("--replay", world.journal, "--once", "tasks")
    assert (none.code, none.out) == (ExitCode.USAGE, "")
    assert "a journal has no tasks" in none.err
    scaled = await agentdash("--replay", world.journal, "--once", "log", "--json")
    assert [each["after"] for each in json.loads(scaled.out)["log"]] == [4]
    assert "people's acts are not in a journal" in scaled.err
    health = await agentdash("--replay", world.journal, "--once", "health")
    assert "as a journal has it" in health.out
    assert "nothing was checked: a journal has none" in health.out


async def test_a_journal_that_cannot_be_opened_lets_nothing_be_written(world: World) -> None:
    world.journal.parent.touch()  # a file is where its folder should be
    await world.publish(4)
    async with daemon(world.fleet, world.kubeconfig, "--journal", str(world.journal)) as running:
        await running.not_ready("journal_down: ")
        await running.pass_ticks(3)
        assert world.patches == 0
        world.journal.parent.unlink()
        await until(lambda: world.replicas() == 4)


@pytest.mark.parametrize(
    ("fault", "size"),
    [
        (None, 0),
        (ApiFault(verb="patch", path="/scale", hang=True, times=1), 0),
        (ApiFault(verb="patch", path="/scale", hang=True, after=True, times=1), 5),
        (ApiFault(verb="patch", path="/scale", latency_s=0.05, times=1), 5),
    ],
    ids=["before the first tick", "write not applied", "answer not read", "write applied"],
)
async def test_after_kill_9_the_next_decision_is_what_it_would_have_been(
    world: World, fault: ApiFault | None, size: int
) -> None:
    options = "--journal", str(world.journal)
    await world.publish(5)
    if fault is not None:
        world.sim.faults.add(fault)
    async with daemon(world.fleet, world.kubeconfig, *options) as running:
        await until(lambda: running.said("started"))
        if fault is not None:
            await until(lambda: not world.sim.faults.active)  # the write has met it
            await until(lambda: world.replicas() == size)
        running.process.kill()
        await running.process.wait()
    assert world.replicas() == size
    async with daemon(world.fleet, world.kubeconfig, *options) as again:
        await again.ready()
        await until(lambda: world.replicas() == 5)
        await again.pass_ticks(5)
        assert world.replicas() == 5
    assert [note for note in JournalPast(world.journal).notes() if "torn" not in note] == []
