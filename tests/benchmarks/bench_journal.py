"""The journal: what a tick costs in bytes and time at 1,000 pools of which 50 change, and how long
a step in a file of an hour takes.

The bound of a line is the change itself, encoded without anything around it.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from random import Random

import msgspec
import pytest
from msgspec.structs import replace

from controller.engine.show.past import HistoryRecorder
from controller.model.observation import QueueDepth
from controller.model.readings import Fresh
from controller.model.settings import JournalSettings
from controller.model.snapshot import PoolView, Snapshot
from controller.record.journal import JournalFiles, JournalPast, JournalWriter
from support.measure import report, spread
from tui import scenarios

POOLS, CHANGING, TICKS, STEPS = 1_000, 50, 3_600, 40
GAP_TICKS = 310


class FixedClock:
    def now(self) -> float:
        return scenarios.NOW

    def monotonic(self) -> float:
        return scenarios.NOW

    def follow_step(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


def changed(view: PoolView, pending: int, at: float) -> PoolView:
    queue = Fresh(value=QueueDepth(pending=pending, in_flight=1), at=at)
    return replace(view, observation=replace(view.observation, queue=queue))


@pytest.mark.benchmark
@pytest.mark.timeout(600)
def test_journal(tmp_path: Path) -> None:
    choose = Random(1)
    snapshot = scenarios.many_pools(POOLS)
    history = HistoryRecorder([view.key for view in snapshot.pools])
    path = tmp_path / "journal.jsonl"
    files = JournalFiles(JournalSettings(path=str(path), keep_s=86_400 * 8, max_bytes=2**40))
    writer = JournalWriter(files, FixedClock())
    took: list[float] = []
    bound = 0
    for _ in range(TICKS):
        began = time.perf_counter()
        assert writer._write(snapshot) is None
        took.append(time.perf_counter() - began)
        snapshot, encoded = next_tick(snapshot, history, choose)
        bound += encoded
    files.close()
    asyncio.run(beside(tmp_path / "beside.jsonl", choose))
    size = path.stat().st_size
    report(
        f"a tick of {POOLS:,} pools, {CHANGING} changing, into the journal",
        f"{size / TICKS / 1000:.1f} kB, {spread(took)}",
        f"bound, the views that changed: {bound / TICKS / 1000:.1f} kB; not on the loop",
    )
    steps(path, size)


async def beside(path: Path, choose: Random) -> None:
    """The longest time for which a loop stands still beside the writer."""
    snapshot = scenarios.many_pools(POOLS)
    history = HistoryRecorder([view.key for view in snapshot.pools])
    ticks = [snapshot]
    for _ in range(GAP_TICKS):
        ticks.append(next_tick(ticks[-1], history, choose)[0])
    files = JournalFiles(JournalSettings(path=str(path)))
    writer = JournalWriter(files, FixedClock())
    gaps = []
    async with writer.recording():
        for tick in ticks:
            writer.offer(tick)
            for _ in range(10):
                began = time.perf_counter()
                await asyncio.sleep(0.001)
                gaps.append(time.perf_counter() - began - 0.001)
    assert writer.problem() is None
    report(
        f"the loop beside the writer of {POOLS:,} pools, {GAP_TICKS} ticks, two of them whole",
        spread(gaps),
        "target: a few ms",
    )


def next_tick(before: Snapshot, history: HistoryRecorder, choose: Random) -> tuple[Snapshot, int]:
    at = before.at + 1
    views = list(before.pools)
    encoded = 0
    for place in choose.sample(range(POOLS), CHANGING):
        views[place] = changed(views[place], choose.randrange(50), at)
        history.saw(views[place], at - choose.randrange(30), at)
        encoded += len(msgspec.json.encode(views[place]))
    return (
        replace(
            before,
            sequence=before.sequence + 1,
            at=at,
            pools=tuple(views),
            histories=history.pass_time(at).pools,
        ),
        encoded,
    )


def steps(path: Path, size: int) -> None:
    began = time.perf_counter()
    past = JournalPast(path)
    opened = time.perf_counter() - began
    last = past.last()
    assert last is not None
    choose = Random(2)
    jumps, nexts = [], []
    for _ in range(STEPS):
        began = time.perf_counter()
        moment = past.at(last.snapshot.at - choose.randrange(TICKS))
        jumps.append(time.perf_counter() - began)
        assert moment is not None
        began = time.perf_counter()
        assert past.before(moment.place) is not None
        nexts.append(time.perf_counter() - began)
    report(
        f"a journal of an hour, {size / 1e6:.0f} MB",
        f"opened in {opened * 1000:.0f} ms; anywhere: {spread(jumps)}; one step: {spread(nexts)}",
        "target ≤ 300 ms anywhere, ≤ 50 ms a step",
    )
