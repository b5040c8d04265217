"""How long the view of tasks waits for its page where 10,000 tasks wait and four are worked on.
Reports only; at most 0.5 s is wanted.
"""

from __future__ import annotations

import asyncio
import statistics
import time

import pytest

from agentdash.task_lists import TaskLists
from agentdash.worker import Session, Task
from controller.engine.supervise import SystemClock
from controller.model.ids import PoolKey
from controller.model.settings import NatsSettings
from controller.model.tasks import TaskQuestion
from controller.nats.session import NatsSession
from tests.integration.worker.conftest import HIGH, QUEUE, Shop

pytestmark = pytest.mark.benchmark
pytest_plugins = ("tests.integration.worker.conftest",)

ASKED = TaskQuestion(pools={PoolKey("acme/research"): (HIGH, QUEUE)})


async def _stay(task: Task, session: Session) -> None:
    await asyncio.Event().wait()


@pytest.mark.timeout(120)
async def test_a_page_of_ten_thousand(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    stream = shop.link.jetstream
    for _ in range(20):
        for _ in range(500):
            await stream.publish_async("tasks.acme.research", b"a goal")
        await stream.publish_async_completed()
    async with (
        NatsSession(NatsSettings(servers=(shop.url,)), SystemClock()) as session,
        shop.worker(_stay, slots=4),
    ):
        while (await stream.consumer_info(*QUEUE)).num_ack_pending != 4:
            await asyncio.sleep(0.01)
        took: list[float] = []
        for _ in range(20):
            began = time.perf_counter()
            page = await TaskLists(session).page(ASKED)
            took.append((time.perf_counter() - began) * 1_000)
            assert page.waiting >= 9_990
    with capsys.disabled():
        print(f"\na page: p50 {statistics.median(took):.0f}, most {max(took):.0f} ms")
