"""Queue depths and wakes against the real server."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, StorageType, StreamSource

from controller.engine.supervise import SystemClock
from controller.model.fleet import Pool
from controller.model.observation import QueueDepth, WakeWatch
from controller.model.readings import Absent, Fresh, Stale, Why
from controller.nats.lag import QueueReader
from controller.nats.session import NatsSession
from controller.nats.wake import WakeSubscriptions
from tests.integration.nats.conftest import Connect, Until
from tests.integration.nats.kept import Limited
from tests.support.nats_server import RealNats
from tests.unit.nats.fake_nats import pool


class Readers:
    """A session with what reads and listens over it."""

    def __init__(self, session: NatsSession, timeout_s: float = 5.0) -> None:
        clock = SystemClock()
        self.session = session
        self.source = QueueReader(session, clock, timeout_s=timeout_s)
        self.wake = WakeSubscriptions(session, clock, self.source.filters)
        self.woken: list[str] = []
        self.wake.on_wake(self.woken.append)

    async def read(self, *pools: Pool) -> list[Any]:
        readings = await self.source.read(pools)
        return [readings[one.key] for one in pools]

    async def watch(self, *pools: Pool) -> bool:
        """As a tick does it: read, watch, and read again if a watch is new."""
        await self.source.read(pools)
        placed = await self.wake.watch(pools)
        await self.source.read(pools)
        return placed


@pytest.fixture
async def readers(server: RealNats, connect: Connect) -> Readers:
    return Readers(await connect(server.url))


async def work(
    session: NatsSession, *consumers: str, stream: str = "WORK", **config: Any
) -> JetStreamContext:
    """A stream on `<stream>.>` with a consumer on `<stream>.<name>` for each name."""
    js = session.jetstream(timeout_s=10.0)
    options = {"subjects": [f"{stream.lower()}.>"], "storage": StorageType.FILE} | config
    await js.add_stream(name=stream, **options)
    for name in consumers:
        await js.add_consumer(
            stream,
            ConsumerConfig(durable_name=name, filter_subject=f"{stream.lower()}.{name}"),
        )
    return js


async def many(session: NatsSession, names: list[str]) -> JetStreamContext:
    """`work` with so many consumers that the server's default limit of 1,000 does not suffice."""
    js = await work(session, max_consumers=len(names), storage=StorageType.MEMORY)
    kept = ConsumerConfig(mem_storage=True)
    await asyncio.gather(
        *(
            js.add_consumer("WORK", kept, durable_name=name, filter_subject=f"work.{name}")
            for name in names
        )
    )
    return js


async def subscriptions(server: RealNats, prefix: str = "work.") -> list[str]:
    """What the server itself says its clients listen on."""

    def ask() -> Any:
        with urllib.request.urlopen(f"{server.monitor}/connz?subs=1", timeout=5) as answer:
            return json.load(answer)

    connections = (await asyncio.to_thread(ask))["connections"]
    listed = (subject for one in connections for subject in one.get("subscriptions_list", ()))
    return [subject for subject in listed if subject.startswith(prefix)]


async def test_pending_and_in_flight_are_told_apart(readers: Readers) -> None:
    js = await work(readers.session, "a", "b")
    for _ in range(5):
        await js.publish("work.a", b"task")
    pull = await js.pull_subscribe_bind("a", "WORK")
    await pull.fetch(2)
    first, second = await readers.read(pool("a"), pool("b"))
    assert first.value == QueueDepth(pending=3, in_flight=2, delivered=2, sequence=2)
    assert second.value == QueueDepth(pending=0, in_flight=0, delivered=0, sequence=0)
    assert isinstance(second, Fresh)


async def test_every_page_is_read(readers: Readers) -> None:
    consumers = 257
    names = [f"c{number:04}" for number in range(consumers)]
    js = await many(readers.session, names)
    await js.publish(f"work.{names[-1]}", b"task")
    readings = await readers.read(*(pool(name) for name in names))
    assert all(isinstance(reading, Fresh) for reading in readings)
    assert [reading.value.pending for reading in readings] == [0] * (consumers - 1) + [1]


async def test_gone_is_said_and_touches_no_other(readers: Readers) -> None:
    js = await work(readers.session, "a", "b")
    await work(readers.session, "c", stream="OTHER")
    pools = pool("a"), pool("b"), pool("c", stream="OTHER"), pool("d", stream="NEVER")
    assert [type(one) for one in await readers.read(*pools)] == [Fresh, Fresh, Fresh, Absent]
    await js.delete_consumer("WORK", "b")
    readings = await readers.read(*pools)
    assert [type(one) for one in readings] == [Fresh, Absent, Fresh, Absent]
    assert (readings[1].why, readings[3].why) == (Why.CONSUMER_MISSING, Why.STREAM_MISSING)
    await js.delete_stream("WORK")
    readings = await readers.read(*pools)
    assert [type(one) for one in readings] == [Absent, Absent, Fresh, Absent]
    assert readings[0].why is Why.STREAM_MISSING


async def test_a_frozen_server_gives_the_last_value_and_its_age_within_the_deadline(
    server: RealNats, connect: Connect
) -> None:
    readers = Readers(await connect(server.url), timeout_s=0.1)
    js = await work(readers.session, "a")
    await js.publish("work.a", b"task")
    (before,) = await readers.read(pool("a"))
    server.freeze()
    async with asyncio.timeout(5.0):  # the server stays frozen
        (frozen,) = await readers.read(pool("a"))
    assert isinstance(frozen, Stale)
    assert (frozen.value, frozen.at, frozen.why) == (before.value, before.at, Why.TIMED_OUT)


async def test_kill_and_restart(readers: Readers, server: RealNats, until: Until) -> None:
    await work(readers.session, "a")
    assert await readers.watch(pool("a")) is True
    server.kill()
    await until(lambda: not readers.session.connected)
    (down,) = await readers.read(pool("a"))
    assert isinstance(down, Stale)
    assert down.why is Why.DISCONNECTED
    assert readers.wake.state(pool("a").key)[0] is WakeWatch.POLLED
    server.start()
    await until(lambda: readers.session.connected)
    (up,) = await readers.read(pool("a"))
    assert isinstance(up, Fresh)
    assert await readers.watch(pool("a")) is True, "a lost watch is made again"
    await readers.session.jetstream().publish("work.a", b"task")
    await until(lambda: readers.woken)
    assert readers.woken == ["acme/a"]


async def test_a_user_without_rights_is_refused_and_wakes_are_polled(
    directory: Path, connect: Connect
) -> None:
    allowed = ["$JS.API.CONSUMER.*.WORK", "$JS.API.STREAM.INFO.WORK"]
    with Limited(directory, {"allow": allowed}) as server:
        free, half = Readers(await connect(server.url)), Readers(await connect(server.half))
        await work(free.session, "a")
        await work(free.session, "b", stream="OTHER")
        seen, refused = await half.read(pool("a"), pool("b", stream="OTHER"))
        assert isinstance(seen, Fresh)
        assert isinstance(refused, Absent)
        assert refused.why is Why.REFUSED
        await half.watch(pool("a"), pool("b", stream="OTHER"))
        assert half.wake.state(pool("a").key) == (
            WakeWatch.POLLED,
            "our NATS user may not subscribe to work.a",
        )
        state, why = half.wake.state(pool("b").key)
        assert state is WakeWatch.POLLED
        assert "may not publish to" in why


async def test_the_first_message_wakes_once_and_nothing_stays_on_the_server(
    readers: Readers, server: RealNats, until: Until
) -> None:
    js = await work(readers.session, "a")
    for number in range(1, 6):
        assert await readers.watch(pool("a")) is True
        assert readers.wake.state(pool("a").key) == (WakeWatch.ARMED, "")
        assert await subscriptions(server) == ["work.a"]
        for _ in range(3):
            await js.publish("work.a", b"task")
        await until(lambda number=number: len(readers.woken) == number)
    assert await subscriptions(server) == []
    assert readers.woken == ["acme/a"] * 5


async def test_a_pool_no_longer_watched_leaves_the_server(
    readers: Readers, server: RealNats
) -> None:
    await work(readers.session, "a", "b")
    await readers.watch(pool("a"), pool("b"))
    await readers.watch(pool("b"))
    assert await subscriptions(server) == ["work.b"]


async def test_hundreds_of_pools_that_wake_at_once_are_all_woken(
    readers: Readers, until: Until
) -> None:
    names = [f"c{number:04}" for number in range(300)]
    await many(readers.session, names)
    await readers.watch(*(pool(name) for name in names))
    client = readers.session._client
    assert client is not None
    for name in names:
        await client.publish(f"work.{name}", bytes(1000))
        await client.publish(f"work.{name}", bytes(1000))
    await until(lambda: len(readers.woken) >= 300)
    readings = await readers.read(*(pool(name) for name in names))
    assert [reading.value.pending for reading in readings] == [2] * 300
    assert sorted(readers.woken) == [f"acme/{name}" for name in names]


async def test_a_mirror_is_polled_and_a_paused_consumer_is_seen(readers: Readers) -> None:
    js = await work(readers.session, "a")
    await js.add_stream(name="COPY", mirror=StreamSource(name="WORK"))
    await js.add_consumer(
        "COPY",
        ConsumerConfig(durable_name="m", pause_until="2199-01-01T00:00:00Z"),
    )
    mirrored = pool("m", stream="COPY")
    await readers.watch(mirrored)
    assert readers.wake.state(mirrored.key) == (
        WakeWatch.POLLED,
        "stream COPY is a mirror: its messages are not published to it",
    )
    (reading,) = await readers.read(mirrored)
    assert reading.value == QueueDepth(pending=0, in_flight=0, paused=True, delivered=0, sequence=0)


async def test_without_jetstream_the_reading_says_so(directory: Path, connect: Connect) -> None:
    with RealNats(directory, jetstream=False) as server:
        readers = Readers(await connect(server.url))
        (reading,) = await readers.read(pool("a"))
        assert isinstance(reading, Absent)
        assert reading.why is Why.REFUSED
        assert "nothing listens" in reading.detail


@pytest.mark.parametrize("how", ["ack_sync", "term"])
async def test_work_that_is_done_out_of_order_is_believed_at_once(
    readers: Readers, how: str
) -> None:
    js = await work(readers.session, "a")
    for _ in range(6):
        await js.publish("work.a", b"work")
    pull = await js.pull_subscribe_bind("a", "WORK")
    _, *others = await pull.fetch(6)
    [reading] = await readers.read(pool("a"))
    assert (reading.value.pending, reading.value.in_flight) == (0, 6)
    for message in others:
        await getattr(message, how)()
    while reading.value.in_flight > 1:
        [reading] = await readers.read(pool("a"))
        assert isinstance(reading, Fresh), reading
