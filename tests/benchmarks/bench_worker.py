"""What the worker runtime costs: a task's overhead, a stop, a pause, the memory of a session.

Beside each figure of tasks a second stands that of a bare loop of nats-py in the same run: fetch
and acknowledge, with no result and no promise.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from nats import errors

from agentdash.worker import Session, SessionLimits, Task, TaskTerms
from agentdash.worker.stores import bucket, ensure_worker_streams
from controller.model.worker_messages import ORDERS_BUCKET, PoolOrders, orders_key
from tests.integration.worker.conftest import QUEUE, Shop, shop_at
from tests.integration.worker.killing import Victims
from tests.integration.worker.test_orders import obeyed, pulls
from tests.support.measure import report, spread
from tests.support.nats_server import RealNats

TASKS = 2_000
ROUNDS = 50
SESSIONS = 1_000


async def nothing(_: Task, __: Session) -> object:
    return None


async def fill(shop: Shop, number: int, at: str) -> None:
    async with asyncio.TaskGroup() as group:
        for each in range(number):
            group.create_task(shop.submit(None, f"{at}-{each}"))


async def bare(shop: Shop, number: int, slots: int) -> float:
    """Seconds of a loop that fetches and acknowledges."""
    subscription = await shop.link.jetstream.pull_subscribe_bind(QUEUE.consumer, QUEUE.stream)
    began, done = time.monotonic(), 0
    while done < number:
        for message in await subscription.fetch(slots):
            await message.ack_sync()
            done += 1
    return time.monotonic() - began


@pytest.mark.benchmark
@pytest.mark.timeout(120)
@pytest.mark.parametrize("slots", [1, 100])
async def test_tasks_a_second(server: RealNats, slots: int) -> None:
    number = TASKS if slots > 1 else TASKS // 4
    async with shop_at(server.url) as shop:
        await ensure_worker_streams(shop.link.jetstream, "acme", result_ttl_s=60.0)
        await fill(shop, number, "bare")
        bare_s = await bare(shop, number, slots)
        await fill(shop, number, "ours")
        async with shop.worker(nothing, slots=slots):
            while not shop.ended:
                await asyncio.sleep(0)
            began = time.monotonic()
            while len(shop.ended) < number:
                await asyncio.sleep(0.005)
            ours_s = time.monotonic() - began
    report(
        f"tasks a second, {slots} slots",
        f"{number / ours_s:,.0f}, {ours_s / number * 1000:.2f} ms each",
        f"bare loop {number / bare_s:,.0f}, {bare_s / number * 1000:.2f} ms each",
    )


@pytest.mark.benchmark
@pytest.mark.timeout(120)
async def test_a_pause_stops_the_last_pull(server: RealNats) -> None:
    took = []
    async with shop_at(server.url) as shop, shop.worker(nothing, slots=10):
        orders = bucket(shop.link.jetstream, ORDERS_BUCKET)
        key = orders_key("acme", "research")
        for _ in range(ROUNDS):
            await pulls(shop)
            began = time.monotonic()
            revision = await orders.put(key, msgspec.json.encode(PoolOrders(pull=False)))
            await obeyed(shop, revision)
            took.append(time.monotonic() - began)
            await obeyed(shop, await orders.put(key, msgspec.json.encode(PoolOrders())))
    report("order stored → no pull open, seen by who ordered", spread(took), "target ≤ 100 ms")


@pytest.mark.benchmark
@pytest.mark.timeout(120)
async def test_a_stop_hands_back(server: RealNats) -> None:
    """Until the next worker, which is there already, has begun it."""
    took: list[float] = []
    began: asyncio.Queue[float] = asyncio.Queue()

    async def agent(_: Task, session: Session) -> object:
        began.put_nowait(time.monotonic())
        await session.stopping.wait()
        await session.checkpoint({"page": 1})
        return None

    async with shop_at(server.url) as shop, AsyncExitStack() as stack:
        await shop.submit(None, "one")
        stopping = await stack.enter_async_context(shop.worker(agent, worker="w0"))
        await began.get()
        for number in range(1, ROUNDS):
            name = f"w{number}"
            following = await stack.enter_async_context(shop.worker(agent, worker=name))
            while (await shop.link.jetstream.consumer_info(*QUEUE)).num_waiting != 1:
                await asyncio.sleep(0.001)
            stopped_at = time.monotonic()
            stopping.set()
            took.append(await began.get() - stopped_at)
            stopping = following
        await shop.tasks.cancel("one", "measured")
    report("stop → checkpoint stored → resumed elsewhere", spread(took), "target ≤ 30 s")


@pytest.mark.benchmark
@pytest.mark.timeout(120)
async def test_a_killed_workers_task_goes_on(server: RealNats, tmp_path: Path) -> None:
    """The consumer's ack_wait is 1 s: JetStream gives a silent worker that long."""
    took = []
    async with (
        shop_at(server.url, ack_wait_s=1.0) as shop,
        Victims(tmp_path, server.url, 2, slots=1) as victims,
    ):
        await ensure_worker_streams(shop.link.jetstream, "acme", result_ttl_s=600.0)
        for number in range(3):
            name = f"long-{number}"
            await shop.tasks.submit({"step_s": 5.0}, TaskTerms(id=name))
            holder = await begun_by(victims, name, set())
            began = time.monotonic()
            os.kill(holder, signal.SIGKILL)
            await begun_by(victims, name, {holder})
            took.append(time.monotonic() - began)
            await shop.tasks.cancel(name, "measured")
            await victims.replace_dead()
    report("kill -9 → resumed elsewhere", spread(took), "ack_wait 1 s")


async def begun_by(victims: Victims, task: str, before: set[int]) -> int:
    while True:
        for line in victims.ran.read_text("utf-8").splitlines():
            name, _, pid = line.split()
            if name == task and int(pid) not in before:
                return int(pid)
        await asyncio.sleep(0.005)


@pytest.mark.benchmark
@pytest.mark.timeout(120)
async def test_memory_of_open_sessions(server: RealNats) -> None:
    end = asyncio.Event()

    async def agent(_: Task, __: Session) -> object:
        await end.wait()
        return None

    limits = SessionLimits(duration_s=3600)
    async with shop_at(server.url, max_ack_pending=SESSIONS) as shop:
        await fill(shop, SESSIONS, "open")
        gc.collect()
        tracemalloc.start()
        async with shop.worker(agent, slots=SESSIONS, limits=limits):
            while await in_flight(shop) < SESSIONS:
                await asyncio.sleep(0.01)
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            end.set()
            await shop.all_acknowledged()
    report("memory of 1,000 open sessions", f"{held / 2**20:.1f} MiB", "allocated by Python")


async def in_flight(shop: Shop) -> int:
    try:
        return (await shop.link.jetstream.consumer_info(*QUEUE)).num_ack_pending or 0
    except errors.TimeoutError:
        return -1


@pytest.fixture
def server() -> Iterator[RealNats]:
    with tempfile.TemporaryDirectory(prefix="nats") as path, RealNats(Path(path)) as running:
        yield running
