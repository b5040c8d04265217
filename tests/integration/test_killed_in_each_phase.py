"""A daemon that is killed in any phase of a tick, and what the next one decides."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.dying_daemon import Phase
from support.live import Daemon, daemon, until
from support.live_world import LiveWorld, Servers, servers

pytestmark = pytest.mark.timeout(240)

WINDOW_S = 12
"""Only what is watched of it passes: the seconds in which no daemon runs come on top."""
WATCHED_TICKS = 25
"""Five seconds of the window are watched before the first kill."""
SHORT_S = 6
"""The window where nothing has to happen within it."""
PATIENT_S = WINDOW_S + 30.0

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
PHASES = {
    "deciding": [Phase.ASKING, Phase.OBSERVED, Phase.PLANNED],
    "writing": [Phase.WRITING, Phase.WRITTEN],
    "saving": [Phase.SAVING, Phase.HALF_SAVED, Phase.PUBLISHING],
}
"""More in a row could take the minute after which a gap is no restart, on a busy machine."""


class Live(LiveWorld):
    def __init__(self, folder: Path, found: Servers) -> None:
        super().__init__(folder, found)
        self.now_die = folder / "now-die"
        self.finished = 0.0

    async def work_is_done(self, window_s: int, watched_ticks: int) -> None:
        """A daemon scales to five, sees that all work is done and is stopped, which saves its
        memory.
        """
        self.fleet.write_text(FLEET.format(url=self.server.url, window=window_s), "utf-8")
        async with daemon(self.fleet, self.kubeconfig) as first:
            await until(lambda: first.said("started"))
            await self.publish(5)
            await until(lambda: self.replicas() == 5)
            await self.finish(5)
            self.finished = time.monotonic()
            await first.pass_ticks(watched_ticks)
        self.now_die.touch()

    async def die_in(self, phase: Phase) -> None:
        """A daemon goes on and is killed: in its first tick, or in a phase that only a change of
        size has at the end of the window.
        """
        dying = ("support.dying_daemon", phase, self.now_die)
        async with daemon(self.fleet, self.kubeconfig, program=dying) as each:
            assert await asyncio.wait_for(each.process.wait(), PATIENT_S) == -signal.SIGKILL


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with servers(tmp_path, "research", replicas=1) as found:
        yield Live(tmp_path, found)


def sizes(running: Daemon) -> list[object]:
    """What the daemon has written."""
    return [line["after"] for line in running.said("scaled")]


@pytest.mark.parametrize("phases", PHASES.values(), ids=PHASES)
async def test_the_next_daemon_steps_down_after_the_window_and_begins_none_again(
    live: Live, phases: list[Phase]
) -> None:
    """One daemon after the other is killed, each in another phase."""
    await live.work_is_done(WINDOW_S, WATCHED_TICKS)
    for phase in phases:
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


@pytest.mark.parametrize("loss", ["damaged", "deleted", "older"])
async def test_where_the_memory_was_lost_nothing_steps_down_before_a_whole_window(
    live: Live, tmp_path: Path, loss: str
) -> None:
    """An older memory that was put back knows a quiet pool of one replica, and not of the five."""
    store, older = tmp_path / "nats" / "js", tmp_path / "older"
    if loss == "older":
        live.fleet.write_text(FLEET.format(url=live.server.url, window=SHORT_S), "utf-8")
        async with daemon(live.fleet, live.kubeconfig) as quiet:
            await until(lambda: quiet.said("started"))
            await quiet.pass_ticks(3)
        live.server.stop()
        shutil.copytree(store, older)
        live.server.start()
    await live.work_is_done(SHORT_S, watched_ticks=1)
    await live.die_in(Phase.PLANNED)
    if loss == "damaged":
        bucket = await live.client.jetstream().key_value("agentdash")
        await bucket.put("memory.head", b"?")
    elif loss == "deleted":
        await live.client.jetstream().delete_key_value("agentdash")
    else:
        live.server.stop()
        shutil.rmtree(store)
        older.rename(store)
        live.server.start()
    async with daemon(live.fleet, live.kubeconfig) as next_one:
        await until(lambda: next_one.said("started"))
        began = time.monotonic()
        await until(lambda: live.replicas() == 1, PATIENT_S)
        assert time.monotonic() - began > SHORT_S - 1
    assert sizes(next_one) == [1]
    assert len(next_one.said("memory loaded")) == (loss == "older")
