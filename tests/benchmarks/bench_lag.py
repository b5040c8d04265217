"""How long it takes to read 1,000 consumers, and to notice a first message. Reports only."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from nats.js.api import ConsumerConfig, StorageType

from controller.engine.supervise import SystemClock
from controller.model.settings import NatsSettings
from controller.nats.lag import QueueReader
from controller.nats.session import NatsSession
from controller.nats.wake import WakeSubscriptions
from tests.support.nats_server import RealNats
from tests.unit.nats.fake_nats import pool

pytestmark = pytest.mark.benchmark

CONSUMERS = 1000
POOLS = [pool(f"c{number:04}") for number in range(CONSUMERS)]
CLOCK = SystemClock()


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[NatsSession]:
    with RealNats(tmp_path) as server:
        async with NatsSession(NatsSettings(servers=(server.url,)), CLOCK) as connecting:
            while not connecting.connected:
                await asyncio.sleep(0.002)
            js = connecting.jetstream(timeout_s=10.0)
            await js.add_stream(
                name="WORK",
                subjects=["work.>"],
                storage=StorageType.MEMORY,
                max_consumers=CONSUMERS,
            )
            kept = ConsumerConfig(mem_storage=True)
            for one in POOLS:
                subject = f"work.{one.name}"
                await js.add_consumer(
                    "WORK", kept, durable_name=one.consumer, filter_subject=subject
                )
            yield connecting


async def timed(rounds: int, action: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Median and 99th percentile in milliseconds, after one round to warm up."""
    await action()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        await action()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


async def test_reading_a_thousand_queues(session: NatsSession) -> None:
    source = QueueReader(session, CLOCK, timeout_s=5.0)
    js = session.jetstream(timeout_s=5.0)

    async def one_by_one() -> None:
        for one in POOLS:
            await js.consumer_info("WORK", one.consumer)

    async def pages_of_nats_py() -> None:
        for offset in range(0, CONSUMERS, 256):
            await js.consumers_info("WORK", offset)

    ours = await timed(100, lambda: source.read(POOLS))
    began = time.process_time()
    for _ in range(100):
        await source.read(POOLS)
    each_us = (time.process_time() - began) / 100 / CONSUMERS * 1e6
    theirs = await timed(5, one_by_one)
    listed = await timed(20, pages_of_nats_py)
    few = await timed(100, lambda: source.read(POOLS[:1]))
    print()
    print(f"read {CONSUMERS} queues: median {ours[0]:.1f} ms, p99 {ours[1]:.1f} ms, target 15 ms")
    print(f"processor time: {each_us:.2f} µs a queue")
    print(f"one by one, js.consumer_info: median {theirs[0]:.1f} ms = {theirs[0] / ours[0]:.0f} x")
    print(f"pages, js.consumers_info: median {listed[0]:.1f} ms = {listed[0] / ours[0]:.1f} x")
    print(f"read 1 queue of {CONSUMERS}: median {few[0]:.2f} ms, p99 {few[1]:.2f} ms")


async def test_noticing_a_first_message(session: NatsSession) -> None:
    source = QueueReader(session, CLOCK, timeout_s=5.0)
    wake = WakeSubscriptions(session, CLOCK, source.filters)
    woken = asyncio.Event()
    wake.on_wake(lambda _: woken.set())
    js = session.jetstream(timeout_s=5.0)
    await source.read(POOLS)
    started = time.perf_counter()
    await wake.watch(POOLS)
    await source.read(POOLS[:1])
    armed_ms = (time.perf_counter() - started) * 1000
    times = []
    for one in POOLS[:500]:
        woken.clear()
        started = time.perf_counter()
        publishing = asyncio.create_task(js.publish(f"work.{one.name}", b"task"))
        await woken.wait()
        times.append((time.perf_counter() - started) * 1000)
        await publishing
    started = time.perf_counter()
    await wake.watch(POOLS[500:])
    idle_ms = (time.perf_counter() - started) * 1000
    print()
    print(f"watch {CONSUMERS} pools: {armed_ms:.0f} ms at first, {idle_ms:.1f} ms when unchanged")
    percentile = statistics.quantiles(times, n=100)[98]
    print(f"publish to wake: median {statistics.median(times):.2f} ms, p99 {percentile:.2f} ms")
