"""Kill -9 at any moment loses no task and shows no result twice.

AGENTDASH_TEST_KILLS says how many workers are killed; few by default, because each one that takes
its place needs a second of a core to start.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from agentdash.worker import Priority, TaskStatus
from agentdash.worker.session import RESULTS_BUCKET
from agentdash.worker.stores import ensure_worker_streams
from tests.integration.worker.conftest import HIGH, Shop, shop_at
from tests.integration.worker.killing import Victims
from tests.support.nats_server import RealNats

KILLS = int(os.environ.get("AGENTDASH_TEST_KILLS", "8"))
TASKS_PER_KILL = 6
WORKERS = 3


@pytest.mark.timeout(60 + 5 * KILLS)
@pytest.mark.parametrize("most", [-1, 1], ids=["no limit", "max_deliver 1"])
async def test_no_task_is_lost_and_no_result_is_seen_twice(
    most: int, server: RealNats, tmp_path: Path
) -> None:
    """Also at the last delivery that a consumer allows."""
    rng = random.Random()
    async with (
        shop_at(server.url, ack_wait_s=1.0, max_deliver=most) as shop,
        Victims(tmp_path, server.url, WORKERS) as victims,
    ):
        await ensure_worker_streams(shop.link.jetstream, "acme", result_ttl_s=3600.0)
        number = 0
        for _ in range(KILLS):
            for _ in range(TASKS_PER_KILL):
                priority = rng.choice([Priority.NORMAL, Priority.HIGH])
                await shop.submit(number, f"task-{number}", priority=priority)
                number += 1
            while await finished(shop) < number - 2 * TASKS_PER_KILL:
                await asyncio.sleep(0.01)
            await asyncio.sleep(rng.uniform(0, 0.4))
            await victims.kill_one(rng)
        results = [await shop.result(f"task-{each}") for each in range(number)]
        await shop.all_acknowledged(HIGH)
        await shop.all_acknowledged()
        # one that has just been started may not listen to signals yet
        assert set(await victims.stop()) <= {0, -signal.SIGTERM}
        versions = await shop.link.jetstream.stream_info(f"KV_{RESULTS_BUCKET}")
    assert {result.status for result in results} == {TaskStatus.DONE}
    assert [result.result["task"] for result in results] == [
        f"task-{each}" for each in range(number)
    ]
    # a result that was ever replaced would have taken a further number of the stream
    assert versions.state.last_seq == versions.state.messages == number
    begun = victims.ran.read_text("utf-8").splitlines()
    resumed = sum(line.split()[1] != "0" for line in begun)
    print(f"\n{KILLS} kills, {number} tasks, {len(begun)} begun, {resumed} resumed")


async def finished(shop: Shop) -> int:
    info = await shop.link.jetstream.stream_info(f"KV_{RESULTS_BUCKET}")
    return info.state.messages
