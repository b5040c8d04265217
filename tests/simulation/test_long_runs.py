"""The engine over a steady day and over weeks of changing work, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import sys

import msgspec
import pytest

from support.world import make_pool
from unit.engine.conftest import Harness

DAY_S, HOUR_S = 86_400, 3_600
POOLS = (make_pool("research", minimum=1), make_pool("browser"))
WORK = (0, 3, 8, 5, 1, 0)
"""Messages that wait, four hours each: the day of a pool that sleeps at night."""
FULL = 23
"""The day after which the list of the last scale events is full."""
DAYS = 26


async def test_a_steady_day_is_one_write_for_each_pool_and_nothing_more() -> None:
    world = Harness(*POOLS, replicas=1, interval_s=30.0)
    for pool in POOLS:
        world.queue(pool, pending=5)
    async with world.running():
        await world.clock.advance(60.0)
        first = (await world.snapshot()).loop
        saved = len(world.memories.saves)
        await world.clock.advance(DAY_S)
        loop = (await world.snapshot()).loop
    assert first.writes == len(POOLS)
    assert (loop.writes, loop.decisions) == (first.writes, first.decisions)
    assert loop.ticks - first.ticks == DAY_S / 30
    assert len(world.memories.saves) - saved <= DAY_S / 15


@pytest.mark.timeout(300)
async def test_memory_and_tasks_stay_flat_over_weeks_of_changing_work() -> None:
    world = Harness(*POOLS, replicas=1, interval_s=300.0)
    sizes: list[tuple[int, int, int]] = []
    async with world.running():
        for _ in range(DAYS):
            for pending in WORK:
                for pool in POOLS:
                    world.queue(pool, pending=pending)
                await world.clock.advance(DAY_S / len(WORK))
            snapshot = await world.snapshot()
            for kept in (world.memories.saves, world.cluster.writes, world.queues.reads):
                kept.clear()
            gc.collect()
            sizes.append(
                (
                    sys.getallocatedblocks(),
                    len(msgspec.json.encode(snapshot)),
                    len(asyncio.all_tasks()),
                )
            )
        loop = snapshot.loop
    blocks, encoded, tasks = zip(*sizes, strict=True)
    print(f"blocks {blocks[FULL]} -> {blocks[-1]}, snapshot {encoded[FULL]} -> {encoded[-1]} bytes")
    assert loop.ticks >= DAYS * DAY_S / 300
    assert loop.writes > DAYS * len(POOLS)
    assert blocks[-1] - blocks[FULL] < (DAYS - FULL) * DAY_S / 300 / 4  # a block each 4 ticks
    assert encoded[-1] <= encoded[FULL] * 1.01
    assert len(set(tasks)) == 1
