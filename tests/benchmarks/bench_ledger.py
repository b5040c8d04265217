"""How long a controller that starts takes to rebuild its token ledger from a day's events, beside
reading the same messages and doing nothing with them; and what a tick pays for the ledger.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from agentdash.worker.stores import ensure_usage_stream
from controller.engine.supervise import SystemClock
from controller.model.readings import Fresh
from controller.model.settings import NatsSettings
from controller.model.worker_messages import USAGE_STREAM
from controller.nats.follow import Follower
from controller.nats.jetstream import NatsError, StreamInfo
from controller.nats.session import NatsSession
from controller.nats.usage import TokenUsageSource
from tests.support.measure import report, resident_mb
from tests.support.nats_server import RealNats
from tests.unit.nats.usage_world import event, fleet, tenant

pytestmark = pytest.mark.benchmark

EVENTS = 100_000
TENANTS = 100
CLOCK = SystemClock()
LOOKS = 100
PATIENCE_S = 50.0


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[NatsSession]:
    with RealNats(tmp_path) as server:
        await publish_a_day(server.url)
        async with NatsSession(NatsSettings(servers=(server.url,)), CLOCK) as connecting:
            while not connecting.connected:
                await asyncio.sleep(0.002)
            yield connecting


async def publish_a_day(url: str) -> None:
    client = await nats.connect(url)
    stream = client.jetstream()
    await ensure_usage_stream(stream)
    for number in range(EVENTS):
        subject, data = event(f"t{number % TENANTS}", input=5000, output=700, seconds=6.5)
        await client.publish(subject, data, headers={"Nats-Msg-Id": str(number)})
    await client.flush(timeout=30)
    while (await stream.stream_info(USAGE_STREAM)).state.messages < EVENTS:
        await asyncio.sleep(0.01)
    await client.close()


async def read_only(session: NatsSession) -> float:
    """Seconds to read all messages and drop them."""
    reader = ReadAll(session, CLOCK, USAGE_STREAM)
    async with asyncio.TaskGroup() as tasks:
        began = time.perf_counter()
        reading = tasks.create_task(reader.run())
        await asyncio.wait_for(reader.ended.wait(), PATIENCE_S)
        took = time.perf_counter() - began
        reading.cancel()
    return took


class ReadAll(Follower):
    """Drops what it reads."""

    def __init__(self, *made_of: Any) -> None:
        super().__init__(*made_of)
        self.ended = asyncio.Event()

    def beginning(self, stream: StreamInfo) -> ConsumerConfig:
        del stream
        return ConsumerConfig(deliver_policy=DeliverPolicy.ALL)

    def take(self, message: Msg, metadata: Msg.Metadata) -> None:
        del message, metadata

    def up_to_date(self) -> None:
        self.ended.set()

    def lost(self, error: NatsError) -> None:
        raise error


async def test_rebuilding_the_ledger_of_a_day(session: NatsSession) -> None:
    bare = await read_only(session)
    before = resident_mb(os.getpid())
    source = TokenUsageSource(session, CLOCK, fleet(*(tenant(f"t{n}") for n in range(TENANTS))))
    began = time.perf_counter()
    async with source.reading():
        await source.first_read(PATIENCE_S)
        took = time.perf_counter() - began
        began = time.perf_counter()
        for _ in range(LOOKS):
            readings = source.read(lambda _: 3)
        look = (time.perf_counter() - began) / LOOKS
    assert all(isinstance(reading, Fresh) for reading in readings.values())
    report(
        f"ledger of {EVENTS:,} events, {TENANTS} tenants",
        f"{took:.2f} s, {resident_mb(os.getpid()) - before:.0f} MB more",
        f"reading them and nothing else {bare:.2f} s",
    )
    report(f"a look at {TENANTS} tenants", f"{look * 1000:.2f} ms", "-")
