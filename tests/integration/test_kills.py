"""Controllers that are killed under a moving load lower nothing that was needed within the window.

A few kills are part of the suite; `--kills 200` makes more.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from nats.aio.client import Client

from agentdash.demo.cluster.objects import DEPLOYMENTS
from fakes.cluster import SimCluster
from support.live import daemon, fleet_text, streams, until
from support.measure import report
from support.nats_server import RealNats

NAMES = ["research", "browser", "code", "mail"]
NAMESPACE = "tenant-acme"
WINDOW_S = 5
STOOD_S = 0.6
"""A need that has stood for so long while a process ran was seen by it."""
INTERVAL_S = 0.2
LEASE = "lease: {store: none}"
"""Each process decides at once: a lease that has to run out would hide what was forgotten."""
MOST = 10


class Span(NamedTuple):
    """A time in which something was so, in seconds of time.monotonic."""

    begin: float
    end: float
    level: int = 0


class Lowering(NamedTuple):
    """A size that was lowered, and the highest need that had stood within the window before."""

    name: str
    before: int
    after: int
    needed: Span


class Load:
    """The queue of one pool; `stood` are the times in which it kept its length."""

    def __init__(self, client: Client, name: str, dice: random.Random) -> None:
        self._client, self._name, self._dice = client, name, dice
        self.level, self.since = 0, time.monotonic()
        self.stood: list[Span] = []

    async def move(self) -> None:
        """Change the length again and again."""
        stream = self._client.jetstream()
        pull = await stream.pull_subscribe_bind(self._name, "TASKS")
        while True:
            # a short burst, then long enough little work for the size to come down again
            await asyncio.sleep(self._dice.uniform(0.7, 2.0) if self.level > 1 else 9.0)
            wanted = self._dice.randint(2, MOST) if self.level <= 1 else self._dice.randint(0, 1)
            self.stood.append(Span(self.since, time.monotonic(), self.level))
            for _ in range(wanted - self.level):
                await stream.publish(f"tasks.{self._name}", b"work")
            if wanted < self.level:
                for message in await pull.fetch(self.level - wanted):
                    await message.ack_sync()
            self.level, self.since = wanted, time.monotonic()


class Watch:
    """The sizes of the pools over time, and the processes beside them."""

    def __init__(self, sim: SimCluster, loads: dict[str, Load]) -> None:
        self._sim, self._loads = sim, loads
        self.ran: list[Span] = []
        self.looked: list[float] = []
        self.runs_since: float | None = None
        self.lowered: list[Lowering] = []

    def size(self, name: str) -> int:
        stored = self._sim.store.get(DEPLOYMENTS, NAMESPACE, name)
        assert stored is not None
        return int(stored.object["spec"]["replicas"])

    async def look(self) -> None:
        """Judge each size that is lowered."""
        sizes = {name: self.size(name) for name in NAMES}
        while True:
            await asyncio.sleep(0.01)
            for name, before in sizes.items():
                sizes[name] = after = self.size(name)
                if after < before:
                    needed = self._needed(self._loads[name], time.monotonic())
                    self.lowered.append(Lowering(name, before, after, needed))

    def _needed(self, load: Load, now: float) -> Span:
        ran = [*self.ran, *([Span(self.runs_since, now)] if self.runs_since is not None else [])]
        stood = [*load.stood, Span(load.since, now, load.level)]
        seen = [
            Span(max(need.begin, run.begin, now - WINDOW_S), min(need.end, run.end), need.level)
            for need in stood
            for run in ran
        ]
        counted = [each for each in seen if each.end - each.begin >= STOOD_S]
        return max(counted, key=lambda each: each.level, default=Span(0, 0))

    @asynccontextmanager
    async def running(self, journal: Path) -> AsyncIterator[None]:
        """The process runs inside, and writes each tick that it ends into this journal."""
        self.runs_since, behind_s = time.monotonic(), time.time() - time.monotonic()
        yield
        self.ran.append(Span(self.runs_since, time.monotonic()))
        self.runs_since = None
        ended = journal.read_bytes().split(b"\n")[:-1]  # the last one may be torn
        self.looked += [float(json.loads(line)["at"]) - behind_s for line in ended]

    def has_looked(self, need: Span) -> bool:
        """Whether a process says that it looked while this stood."""
        return any(need.begin + INTERVAL_S <= each <= need.end for each in self.looked)


@pytest.mark.timeout(7200)
async def test_killed_under_a_moving_load_it_lowers_nothing_that_was_needed_in_its_window(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    kills, dice = request.config.getoption("--kills"), random.Random(19)
    fleet, kubeconfig, began = tmp_path / "fleet.yaml", tmp_path / "kubeconfig", time.monotonic()
    with RealNats(tmp_path / "nats") as server:
        text = fleet_text(server.url, NAMES, maximum=MOST, cooldown=f"{WINDOW_S}s")
        text = text.replace("WindowSeconds: 1}", f"WindowSeconds: {WINDOW_S}}}")
        text = text.replace("    behavior:", "    rule: hpa\n    behavior:")  # learns nothing
        fleet.write_text(text.replace("interval: 200ms", f"interval: 200ms, {LEASE}"), "utf-8")
        async with streams(server.url, NAMES) as client, SimCluster(speed=50) as sim:
            sim.write_kubeconfig(kubeconfig)
            await sim.create_namespace(NAMESPACE)
            for name in NAMES:
                await sim.create_deployment(name, NAMESPACE)
            loads = {name: Load(client, name, dice) for name in NAMES}
            watch = Watch(sim, loads)
            beside = [asyncio.create_task(each.move()) for each in loads.values()]
            beside.append(asyncio.create_task(watch.look()))
            for number in range(kills + 1):
                journal = tmp_path / f"journal-of-{number}" / "journal.jsonl"
                async with daemon(fleet, kubeconfig, "--journal", str(journal)) as running:
                    await until(lambda: running.said("started"))
                    async with watch.running(journal):
                        await asyncio.sleep(dice.uniform(0.3, 7.0))
                        running.process.kill()
                        await running.process.wait()
                await asyncio.sleep(dice.uniform(0.0, 0.5))
            assert not any(each.done() for each in beside), beside
            for each in beside:
                each.cancel()
    below = [each for each in watch.lowered if each.after < each.needed.level]
    # on a machine that is too busy a process may run and look at nothing
    wrong = [each for each in below if watch.has_looked(each.needed)]
    minutes = (time.monotonic() - began) / 60
    report(
        f"{kills} kill -9 under a moving load, {minutes:.1f} minutes",
        f"{len(wrong)} wrong of {len(watch.lowered)} decreases",
        f"wanted 0; beside them {len(below) - len(wrong)} below a need during which none looked",
    )
    assert len(watch.lowered) >= kills // 8
    assert wrong == []
