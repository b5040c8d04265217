"""What the controller orders, and what the workers tell it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import aiohttp
import msgspec
from nats.js.errors import KeyNotFoundError

from agentdash.worker import QueueName, Session, Task
from agentdash.worker.stores import bucket, ensure_worker_streams
from controller.model.worker_messages import (
    ORDERS_BUCKET,
    WORKERS_BUCKET,
    PoolOrders,
    WorkerState,
    orders_key,
    worker_key,
)
from support.ports import free_port
from tests.integration.worker.conftest import QUEUE, Busy, Shop

ORDERS = orders_key("acme", "research")


async def order(shop: Shop, **orders: object) -> int:
    """Give orders as the controller does; their revision."""
    await ensure_worker_streams(shop.link.jetstream, "acme", result_ttl_s=60.0)
    encoded = msgspec.json.encode(PoolOrders(**orders))  # type: ignore[arg-type]
    return await bucket(shop.link.jetstream, ORDERS_BUCKET).put(ORDERS, encoded)


async def state(shop: Shop, worker: str = "one") -> WorkerState:
    entry = await bucket(shop.link.jetstream, WORKERS_BUCKET).get(
        worker_key("acme", "research", worker)
    )
    return msgspec.json.decode(entry.value or b"", type=WorkerState)


async def obeyed(shop: Shop, revision: int, worker: str = "one") -> WorkerState:
    while True:
        with suppress(KeyNotFoundError):
            if (seen := await state(shop, worker)).obeyed >= revision:
                return seen
        await asyncio.sleep(0.002)


async def busy_with(shop: Shop, number: int, worker: str = "one") -> None:
    while True:
        with suppress(KeyNotFoundError):
            if (await state(shop, worker)).busy == number:
                return
        await asyncio.sleep(0.002)


async def waiting_pulls(shop: Shop, queue: QueueName = QUEUE) -> int:
    return (await shop.link.jetstream.consumer_info(*queue)).num_waiting or 0


async def pulls(shop: Shop) -> None:
    while not await waiting_pulls(shop):
        await asyncio.sleep(0.002)


async def test_a_pause_cuts_the_open_pull_within_100_ms(shop: Shop) -> None:
    async with shop.worker(slots=3):
        took = []
        for _ in range(5):  # another process may have the processor in one of them
            await obeyed(shop, await order(shop))
            await pulls(shop)
            began = time.monotonic()
            revision = await order(shop, pull=False, because="pause")
            seen = await obeyed(shop, revision)
            took.append(time.monotonic() - began)
            assert (seen.pulling, seen.busy) == (False, 0)
        assert min(took) < 0.1
        await shop.submit(None, "one")
        info = await shop.counted()
        assert (info.num_waiting, info.num_pending, info.num_ack_pending) == (0, 1, 0)
        revision = await order(shop)
        assert (await shop.result("one")).attempts == 1
        assert (await obeyed(shop, revision)).pulling


async def test_a_worker_to_be_drained_finishes_what_it_has(shop: Shop) -> None:
    begun, end = asyncio.Event(), asyncio.Event()

    async def agent(_: Task, session: Session) -> object:
        begun.set()
        await end.wait()
        return session.stopping.is_set()

    async with shop.worker(agent, slots=2):
        await shop.submit(None, "one")
        await begun.wait()
        seen = await obeyed(shop, await order(shop, drain=("one", "other")))
        assert (seen.pulling, seen.busy, seen.slots) == (False, 1, 2)
        await shop.submit(None, "two")
        end.set()
        assert (await shop.result("one")).result is False
        await busy_with(shop, 0)
        assert await shop.tasks.results.get("two") is None
        await obeyed(shop, await order(shop, drain=("other",)))
        await shop.result("two")


async def test_a_worker_whose_node_ends_hands_back_and_another_goes_on(shop: Shop) -> None:
    begun = asyncio.Event()

    async def agent(_: Task, session: Session) -> object:
        if session.resumed is not None:
            return session.resumed
        begun.set()
        await session.stopping.wait()
        await session.checkpoint({"step": 1})
        return None

    async with shop.worker(agent):
        await shop.submit(None, "one")
        await begun.wait()
        seen = await obeyed(shop, await order(shop, leave=("one", "other")))
        assert not seen.pulling
        await busy_with(shop, 0)
        assert await shop.tasks.results.get("one") is None
        async with shop.worker(agent, worker="two"):
            result = await shop.result("one")
        assert (result.worker, result.result, result.attempts) == ("two", {"step": 1}, 1)
        # the node stays after all
        revision = await order(shop)
        assert (await obeyed(shop, revision)).pulling


async def test_a_worker_whose_node_ends_cuts_what_does_not_end_within_its_grace(
    shop: Shop,
) -> None:
    busy = Busy()
    async with shop.worker(busy, grace_s=0.05):
        await shop.submit(None, "one")
        await busy.begun.wait()
        await order(shop, leave=("one",))
        await busy_with(shop, 0)
        async with shop.worker(worker="two"):
            assert (await shop.result("one")).worker == "two"


async def test_a_busy_worker_stays_ready_under_orders_and_says_that_it_has_them(
    shop: Shop,
) -> None:
    """A ReplicaSet and a rollout delete the pods first that are not ready: the busy one."""
    busy, port = Busy(), free_port()
    async with (
        shop.worker(busy, listen=("127.0.0.1", port)),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
    ):
        await shop.submit(None, "one")
        await busy.begun.wait()
        for orders, said in (
            ({"drain": ("one",)}, "ok: told not to pull: drain\n"),
            ({"pull": False, "because": "budget"}, "ok: told not to pull: budget\n"),
            ({}, "ok\n"),
        ):
            await obeyed(shop, await order(shop, **orders))
            async with client.get("/readyz") as answer:
                assert (answer.status, await answer.text()) == (200, said)
        busy.end.set()


async def test_no_task_is_begun_under_orders_that_were_there_before(shop: Shop) -> None:
    revision = await order(shop, pull=False, because="budget")
    await shop.submit(None, "one")
    async with shop.worker():
        seen = await obeyed(shop, revision)
        assert not seen.pulling
        info = await shop.counted()
        assert (info.num_pending, info.num_ack_pending) == (1, 0)


async def test_orders_end_at_their_time(shop: Shop) -> None:
    revision = await order(shop, pull=False, until=time.time() + 2.0)
    await shop.submit(None, "one")
    async with shop.worker():
        assert not (await obeyed(shop, revision)).pulling
        await shop.result("one")
        while not (await state(shop)).pulling:
            await asyncio.sleep(0.002)


async def test_orders_that_are_deleted_or_unreadable_are_none(shop: Shop) -> None:
    kv = bucket(shop.link.jetstream, ORDERS_BUCKET)
    async with shop.worker():
        await obeyed(shop, await order(shop, pull=False))
        await kv.delete(ORDERS)
        await shop.submit(None, "one")
        await shop.result("one")
        await obeyed(shop, await order(shop, pull=False))
        await kv.put(ORDERS, b'{"pull": "maybe"}')
        await shop.submit(None, "two")
        await shop.result("two")


async def test_a_worker_that_has_ended_is_forgotten(shop: Shop) -> None:
    async with shop.worker():
        await pulls(shop)
        assert (await state(shop)).pulling
    entry = await shop.link.jetstream.get_last_msg(
        f"KV_{WORKERS_BUCKET}", f"$KV.{WORKERS_BUCKET}.{worker_key('acme', 'research', 'one')}"
    )
    assert (entry.headers or {})["KV-Operation"] == "DEL"
    assert await waiting_pulls(shop) == 0


async def test_a_worker_says_when_it_reached_the_steps_of_its_start(shop: Shop) -> None:
    began = time.time()

    async def prepare(mark: Callable[[str], None]) -> None:
        mark("tools")

    async with shop.worker(prepare=prepare):
        await shop.submit(None, "one")
        await shop.result("one")
        while "first task" not in (seen := await state(shop)).marks:
            await asyncio.sleep(0.002)
    assert list(seen.marks) == ["process", "tools", "registered", "first task"]
    assert seen.marks["process"] < began <= seen.marks["tools"] <= seen.marks["registered"]
