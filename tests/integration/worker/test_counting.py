"""The demo counts what became of its tasks from what NATS has stored."""

from __future__ import annotations

from collections.abc import Collection

from agentdash.demo.world import Counted, count
from agentdash.worker import Priority
from agentdash.worker.session import RESULTS_BUCKET, result_key
from tests.integration.worker.conftest import Shop

POOLS = dict.fromkeys(("tasks.acme.research", "tasks.acme.research-high"), ("acme", "research"))


async def counted(shop: Shop, published: Collection[str]) -> Counted | None:
    return await count(shop.link.jetstream, "TASKS", published, POOLS)


def key(task: str) -> str:
    return result_key("acme", "research", task)


async def test_a_task_is_lost_if_it_has_neither_a_result_nor_a_message(shop: Shop) -> None:
    published = [key(task) for task in ("done", "waits", "waits-first", "lost")]
    async with shop.worker():
        await shop.submit(None, "done")
        await shop.result("done")
        await shop.all_acknowledged()
    await shop.submit(None, "waits")
    await shop.submit(None, "waits-first", priority=Priority.HIGH)
    assert await counted(shop, published[:3]) == Counted(lost=0, twice=0)
    assert await counted(shop, published) == Counted(lost=1, twice=0)


async def test_a_result_that_was_stored_again_is_counted(shop: Shop) -> None:
    async with shop.worker():
        await shop.submit(None, "done")
        await shop.result("done")
    bucket = await shop.link.jetstream.key_value(RESULTS_BUCKET)
    await bucket.put(key("done"), b"{}")
    found = await counted(shop, [key("done")])
    assert found == Counted(lost=0, twice=1)


async def test_without_an_answer_nothing_is_claimed(shop: Shop) -> None:
    await shop.link.close()
    assert await counted(shop, [key("done")]) is None
