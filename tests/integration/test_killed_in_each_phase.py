"""A daemon that is killed in any phase of a tick, and what the next one decides."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.dying_daemon import PROGRAM, Phase
from support.live import Daemon, daemon, until
from support.live_world import LiveWorld, Servers, servers

pytestmark = pytest.mark.timeout(240)
"""Three or four processes are started one after the other."""

WINDOW_S = 12
PATIENT_S = WINDOW_S + 30.0
WATCHED_TICKS = 25
"""Five seconds of the window are watched before the kill. Those that nobody watches come on top."""

FLEET = """\
version: 1
nats: {{servers: ['{url}']}}
controller: {{interval: 200ms, lease: {{store: none}}}}
tenants:
  acme: {{tier: growth, namespace: tenant-acme}}
pools:
  - name: research
    tenant: acme
    queue: {{stream: TASKS, consumer: research}}
    replicas: {{min: 1, max: 10}}
    behavior: {{scaleDown: {{stabilizationWindowSeconds: {window}}}}}
"""


class Live(LiveWorld):
    def __init__(self, folder: Path, found: Servers) -> None:
        super().__init__(folder, found)
        self.now_die = folder / "now-die"
        self.finished = 0.0
        self.fleet.write_text(FLEET.format(url=self.server.url, window=WINDOW_S), "utf-8")

    async def die_in(self, phase: Phase) -> None:
        """A daemon scales to five, sees that all work is done and is stopped, which saves its
        memory. The next one goes on from that and is killed in this phase: at its first tick, or at
        the end of the window in a phase that only a change of size has.
        """
        async with daemon(self.fleet, self.kubeconfig) as first:
            await until(lambda: first.said("started"))
            await self.publish(5)
            await until(lambda: self.replicas() == 5)
            await self.finish(5)
            self.finished = time.monotonic()
            await first.pass_ticks(WATCHED_TICKS)
        self.now_die.touch()
        dying = (PROGRAM, phase, self.now_die)
        async with daemon(self.fleet, self.kubeconfig, program=dying) as second:
            assert await asyncio.wait_for(second.process.wait(), PATIENT_S) == -signal.SIGKILL


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with servers(tmp_path, "research", replicas=1) as found:
        yield Live(tmp_path, found)


def sizes(running: Daemon) -> list[object]:
    """What the daemon has written."""
    return [line["after"] for line in running.said("scaled")]


@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.name.lower())
async def test_the_next_daemon_steps_down_after_the_window_and_begins_none_again(
    live: Live, phase: Phase
) -> None:
    await live.die_in(phase)
    async with daemon(live.fleet, live.kubeconfig) as next_one:
        await until(lambda: next_one.said("started"))
        began = time.monotonic()
        await until(lambda: live.replicas() == 1)
        stepped = time.monotonic()
    assert stepped - live.finished > WINDOW_S - 1
    # a window that began again would have lasted longer
    assert stepped - began < WINDOW_S - 1
    assert sizes(next_one) in ([1], [])


@pytest.mark.parametrize("loss", ["damaged", "deleted"])
async def test_where_the_memory_was_lost_nothing_steps_down_before_a_whole_window(
    live: Live, loss: str
) -> None:
    await live.die_in(Phase.PLANNED)
    jetstream = live.client.jetstream()
    if loss == "damaged":
        await (await jetstream.key_value("agentdash")).put("memory.head", b"?")
    else:
        await jetstream.delete_key_value("agentdash")
    async with daemon(live.fleet, live.kubeconfig) as next_one:
        await until(lambda: next_one.said("started"))
        began = time.monotonic()
        await until(lambda: live.replicas() == 1, PATIENT_S)
        assert time.monotonic() - began > WINDOW_S - 1
    assert sizes(next_one) == [1]


async def test_where_an_older_store_was_put_back_nothing_steps_down_before_a_whole_window(
    live: Live, tmp_path: Path
) -> None:
    """The older memory knows a quiet pool of one replica, and nothing of the five there are."""
    store, older = tmp_path / "nats" / "js", tmp_path / "older"
    async with daemon(live.fleet, live.kubeconfig) as quiet:
        await until(lambda: quiet.said("started"))
        await quiet.pass_ticks(3)
    live.server.stop()
    shutil.copytree(store, older)
    live.server.start()
    await live.die_in(Phase.PLANNED)
    live.server.stop()
    shutil.rmtree(store)
    older.rename(store)
    live.server.start()
    async with daemon(live.fleet, live.kubeconfig) as next_one:
        await until(lambda: next_one.said("started"))
        began = time.monotonic()
        await until(lambda: live.replicas() == 1, PATIENT_S)
        assert time.monotonic() - began > WINDOW_S - 1
    assert len(next_one.said("memory loaded")) == 1
