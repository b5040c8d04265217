"""A daemon that runs for long under changes and failures keeps its memory, files and log small.

The short run is part of the suite; `--soak 15` runs it for 15 minutes.
"""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest

from fakes.cluster import ApiFault, SimCluster
from support.live import NEW, Daemon, daemon, fleet_text, streams, until
from support.measure import report
from support.nats_server import RealNats

NAMES = ["research", "browser"]
NAMESPACE = "tenant-acme"
WARM_UP_S = 12.0
SHORT_S = 15.0
MOST_GROWTH_BYTES = 16 * 2**20
"""More than the allocator of a process that is warm takes; a leak of an engine a second is more."""
MOST_TASKS = 8
"""Requests under way differ from look to look; one lost task for each tick would be 150 in 15 s."""
MOST_LINES_A_MINUTE = 10
PAGE_BYTES = 4096


class Use:
    """What a process has: resident bytes, open files, threads, tasks of asyncio."""

    def __init__(self, process: int, page: str) -> None:
        """`page` is what `/metrics` of the process answers."""
        proc = Path(f"/proc/{process}")
        self.bytes = int((proc / "statm").read_text("ascii").split()[1]) * PAGE_BYTES
        self.files = len(list((proc / "fd").iterdir()))
        self.threads = len(list((proc / "task").iterdir()))
        [tasks] = re.findall(r"^agentdash_tasks (\S+)$", page, re.MULTILINE)
        self.tasks = int(float(tasks))

    def __str__(self) -> str:
        return (
            f"{self.bytes / 2**20:.1f} MiB, {self.files} files, {self.threads} threads, "
            f"{self.tasks} tasks"
        )


async def use_of(running: Daemon) -> Use:
    return Use(running.process.pid, (await running.get("/metrics"))[1])


@pytest.mark.timeout(1200)
async def test_memory_files_and_log_stay_flat_while_the_same_things_fail_and_change(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    seconds = 60.0 * request.config.getoption("--soak") or SHORT_S
    fleet = tmp_path / "fleet.yaml"
    with RealNats(tmp_path / "nats") as server:
        async with streams(server.url, NAMES) as client, SimCluster(speed=50) as sim:
            sim.write_kubeconfig(tmp_path / "kubeconfig")
            await sim.create_namespace(NAMESPACE)
            for name in NAMES:
                await sim.create_deployment(name, NAMESPACE)
            # one pool's writes are refused again and again
            sim.faults.add(ApiFault(verb="patch", path="/browser/scale", status=500))
            for name in NAMES:
                await client.jetstream().publish(f"tasks.{name}", b"work")

            async def change_for(seconds: float) -> None:
                end, maximum = time.monotonic() + seconds, 0
                while time.monotonic() < end:
                    maximum = maximum % 5 + 1
                    text = fleet_text(server.url, NAMES, maximum=4 + maximum, interval="100ms")
                    fleet.write_text(text, "utf-8")
                    await asyncio.sleep(1.5)

            fleet.write_text(fleet_text(server.url, NAMES, interval="100ms"), "utf-8")
            async with daemon(fleet, tmp_path / "kubeconfig", program=NEW) as running:
                await until(lambda: running.said("started"))
                await change_for(WARM_UP_S)
                before, said = await use_of(running), len(refusals(running))
                await change_for(seconds)
                after = await use_of(running)
                assert len(running.said("fleet file taken over")) >= 5
    lines = len(refusals(running)) - said
    figures = f"{after}; {lines} log lines of refusals"
    report(f"after {seconds:.0f} s", figures, f"at first {before}")
    assert after.bytes - before.bytes < MOST_GROWTH_BYTES
    assert abs(after.files - before.files) <= 3
    assert after.threads <= before.threads + 2
    assert abs(after.tasks - before.tasks) <= MOST_TASKS
    assert lines <= MOST_LINES_A_MINUTE * max(1.0, seconds / 60)


def refusals(running: Daemon) -> list[dict[str, object]]:
    return running.said("not scaled")
