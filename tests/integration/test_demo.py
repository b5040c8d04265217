"""The demo in a terminal, with keys; when it ends it leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from support.terminal import Terminal, in_terminal

LEAVE_ALTERNATE_SCREEN = b"\x1b[?1049l"
SHOW_CURSOR = b"\x1b[?25h"

Traces = Callable[[], list[str]]


def children(pid: int) -> set[int]:
    """All descendants of this process."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    below, new = set(), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - below
        below |= new
    return below


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


@pytest.fixture
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Traces:
    """What this test's own demo has left among the temporary files; another demo that runs at the
    same time has a folder of its own.
    """
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return lambda: [path.name for path in folder.iterdir()]


async def in_demo(story: Callable[[Terminal], Awaitable[None]], traces: Traces) -> Terminal:
    """Run the demo in a terminal through a story; then it must leave nothing behind."""
    async with in_terminal("demo", "--speed", "8") as terminal:
        await terminal.shows(r"acme/research")
        below = children(terminal.process.pid)
        assert len(below) >= 2, "the world and its nats-server"
        assert any(name.startswith("agentdash-demo-") for name in traces())
        await story(terminal)
    async with asyncio.timeout(30):
        while alive(below):
            await asyncio.sleep(0.05)
    assert traces() == []
    assert LEAVE_ALTERNATE_SCREEN in terminal.written
    assert SHOW_CURSOR in terminal.written
    return terminal


@pytest.mark.timeout(150)
async def test_it_shows_a_wake_a_burst_a_scale_down_and_a_killed_server_until_a_signal_ends_it(
    traces: Traces,
) -> None:
    async def story(terminal: Terminal) -> None:
        # triage has no replicas until its first message
        await terminal.shows(r"initech/triage +0→1")
        # twenty tasks at once: from one replica to ten in one tick
        await terminal.shows(r"acme/research +\d+→10")
        # and down again by two at a time, as its policy says
        down = await terminal.shows(r"acme/research +10→\d+")
        assert int(down.rpartition("→")[2]) >= 8
        await terminal.shows(r"nats ok")
        servers = [
            pid
            for pid in children(terminal.process.pid)
            if "nats-server" in Path(f"/proc/{pid}/comm").read_text()
        ]
        [server] = servers
        os.kill(server, signal.SIGKILL)
        await terminal.shows(r"nats LOST")
        terminal.process.send_signal(signal.SIGTERM)

    terminal = await in_demo(story, traces)
    assert terminal.process.returncode == 0


@pytest.mark.timeout(100)
def test_without_a_screen_it_sums_up_and_exits_with_0(traces: Traces) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "agentdash", "demo", "--headless", "--for", "18s", "--speed", "8"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    said = result.stdout
    tasks, done, decisions, patches, pods = counts(
        r"\d+ s: (\d+) tasks, (\d+) done, (\d+) decisions, (\d+) patches, (\d+) pods started", said
    )
    assert tasks >= 20
    assert 0 < done <= tasks
    assert decisions >= patches >= 5
    assert pods >= 5
    wait = r"[\d.]+ s / [\d.]+ s"
    tiers = rf"acme \(enterprise\) {wait}, globex \(growth\) {wait}, initech \(starter\) {wait}"
    assert re.search(rf"^waits, p50 and p95: {tiers}$", said, re.MULTILINE), said
    by_priority = rf"waits of acme/research by priority, p50 and p95: high {wait}, normal {wait}"
    assert re.search(rf"^{by_priority}$", said, re.MULTILINE), said
    assert counts(
        r"promises: (\d+) tasks lost, (\d+) results stored twice, "
        r"(\d+) busy workers stopped by a scale-down",
        said,
    ) == [0, 0, 0]
    stopped, ordered, resumed = counts(
        r"a node was taken away: (\d+) workers stopped at work, "
        r"(\d+) by the controller's order before it ended, "
        r"(\d+) tasks went on from their checkpoint",
        said,
    )
    assert stopped >= resumed >= 1
    assert stopped >= ordered >= 1
    calls, refused = counts(r"provider: (\d+) calls, (\d+) refused \(429\)", said)
    assert calls - refused >= done, "each task needs an answer"
    assert refused >= 1
    shares = counts(
        r"tokens: [\d,]+ \(nano (\d+)%, standard (\d+)%, premium (\d+)%\); \d+% saved "
        r"against premium alone",
        said,
    )
    assert sum(shares) == pytest.approx(100, abs=2)
    assert all(shares[:2]), "two pools' models"
    assert re.search(r"^budget: globex used [\d,]+ of 200,000 tokens$", said, re.MULTILINE), said
    assert traces() == []


def counts(pattern: str, said: str) -> list[int]:
    """The numbers in the one line that is like this."""
    found = re.search(f"^{pattern}$", said, re.MULTILINE)
    assert found, said
    return [int(each) for each in found.groups()]


@pytest.mark.timeout(100)
def test_the_world_ends_when_its_parent_process_is_killed(traces: Traces) -> None:
    keeper = subprocess.Popen(
        [sys.executable, "-m", "agentdash", "demo", "--headless", "--for", "60s"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with keeper:
        # the world writes this file last, when all its processes run
        while not list(Path(os.environ["TMPDIR"]).glob("agentdash-demo-*/fleet.yaml")):
            assert keeper.poll() is None, "the demo ended before its world ran"
            time.sleep(0.05)
        below = children(keeper.pid)
        assert len(below) >= 2
        keeper.kill()
    while alive(below):
        time.sleep(0.05)
    assert traces() == []
