"""Real daemons keep one journal in NATS: over a kill and a fail-over it is one chain, and
`agentdash journal` prints it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from controller.exit_codes import ExitCode
from controller.record.chain import hash_of, link_of
from controller.record.journal import JournalPast
from integration.test_once import Printed, agentdash
from support.live import daemon, fleet_text, until
from support.live_world import LiveWorld, Servers, servers
from support.terminal import in_terminal

NAMES = ["research"]
LEASE = "lease: {store: nats, duration: 4s, renew_deadline: 3s, retry: 300ms}"


class World(LiveWorld):
    def __init__(self, folder: Path, found: Servers) -> None:
        super().__init__(folder, found)
        self.folder = folder
        for name in ("one", "two"):
            stream = "{max_bytes: 64Mi}"
            journal = f"journal: {{path: {folder / name / 'journal.jsonl'}, stream: {stream}}}"
            text = fleet_text(self.server.url, NAMES)
            wanted = f"controller: {{{LEASE}, {journal}, "
            self.file(name).write_text(text.replace("controller: {", wanted), "utf-8")

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"

    async def printed(self, *options: str) -> Printed:
        return await agentdash("journal", "-f", self.file("one"), *options)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with servers(tmp_path, *NAMES) as found:
        yield World(tmp_path, found)


async def test_a_fail_over_after_a_kill_leaves_one_chain_of_both_leaders(world: World) -> None:
    async with daemon(world.file("one"), world.kubeconfig) as one:
        await until(lambda: one.said("leading"))
        async with daemon(world.file("two"), world.kubeconfig) as two:
            await until(lambda: two.said("following"))
            await world.publish(3)
            await until(lambda: world.replicas() == 3)
            await one.pass_ticks(3)
            one.process.kill()
            await one.process.wait()
            await until(lambda: two.said("leading"))
            await world.publish(2)
            await until(lambda: world.replicas() == 5)
    printed = await world.printed()
    assert (printed.code, printed.err) == (ExitCode.OK, "")
    path = world.folder / "read.jsonl"
    path.write_text(printed.out, "utf-8")
    lines = path.read_bytes().splitlines(keepends=True)
    assert all(link_of(after) == hash_of(before) for before, after in pairwise(lines))
    past = JournalPast(path)
    assert past.notes() == ()
    last = past.last()
    assert last is not None
    assert last.snapshot.process.endswith(f"/{two.process.pid}")
    shown, moment = [last.snapshot], past.before(last.place)
    while moment is not None:
        shown.append(moment.snapshot)
        moment = past.before(moment.place)
    processes = {each.process.rpartition("/")[2] for each in shown}
    assert processes == {str(one.process.pid), str(two.process.pid)}
    assert {event.after for each in shown for event in each.events} >= {3, 5}
    async with in_terminal("journal", "-f", str(world.file("one")), "--show") as terminal:
        await terminal.shows("REPLAY .* the end")
        terminal.keys("q")


async def test_without_the_stream_the_verb_says_what_makes_one(world: World) -> None:
    printed = await world.printed("--since", "2h")
    assert printed.code == ExitCode.UNREACHABLE
    assert "there is no stream agentdash_journal: controller.journal.stream" in printed.err
    assert printed.out == ""


async def test_a_stream_that_cannot_be_made_is_a_finding_and_stops_nothing(world: World) -> None:
    jetstream = world.client.jetstream()
    await jetstream.add_stream(name="OTHERS", subjects=["agentdash.journal"])
    async with daemon(world.file("one"), world.kubeconfig) as running:
        await running.ready()
        await world.publish(3)
        await until(lambda: world.replicas() == 3)
        await until(lambda: running.said("the journal's stream is not written"))
        [said, *_] = running.said("the journal's stream is not written")
        assert "it cannot be created" in str(said["why"])
        while (
            'kind="stream",severity="warning",subject="journal"'
            not in (await running.get("/metrics"))[1]
        ):
            await running.pass_ticks(1)
        assert (await running.get("/readyz"))[0] == 200
    assert (await jetstream.stream_info("OTHERS")).state.messages == 0
