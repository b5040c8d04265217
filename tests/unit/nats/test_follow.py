"""Following a stream while messages, the consumer, the connection or the stream are lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig

from controller.model.readings import Why
from controller.nats.follow import Follower
from controller.nats.jetstream import NatsError, StreamInfo
from tests.support.world import VirtualClock, settle
from tests.unit.nats.fake_stream import SINCE, STREAM, Server, status, stored


class Reader(Follower):
    """Reads a stream that a test plays."""

    def __init__(self, server: Server) -> None:
        self.clock, self.server = VirtualClock(SINCE + 100), server
        super().__init__(server, self.clock, STREAM)  # type: ignore[arg-type]  # a fake session
        self.read: list[str] = []
        self.is_current = False
        self.why: Why | None = None

    def beginning(self, stream: StreamInfo) -> ConsumerConfig:
        del stream
        self.why = None
        return ConsumerConfig(opt_start_seq=len(self.read) + 1)

    def take(self, message: Msg, metadata: Msg.Metadata) -> None:
        if metadata.sequence.stream > len(self.read):
            self.read.append(message.data.decode())
        self.is_current = False

    def up_to_date(self) -> None:
        self.is_current = True

    def lost(self, error: NatsError) -> None:
        self.why, self.is_current = error.why, False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Reader]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.run())
            await settle()
            yield self
            task.cancel()


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    async with Reader(Server()).running() as running:
        yield running


async def test_the_end_is_where_nothing_is_pending(reader: Reader) -> None:
    await reader.server.delivers(stored(1, 1, pending=2), stored(2, 2, pending=1))
    assert not reader.is_current
    await reader.server.delivers(stored(3, 3))
    assert reader.is_current
    assert reader.read == ["1", "2", "3"]


async def test_a_heartbeat_says_that_nothing_is_unread(reader: Reader) -> None:
    reader.is_current = False
    await reader.server.delivers(status("100", "Idle Heartbeat"))
    assert reader.is_current


async def test_a_heartbeat_that_counts_more_messages_than_came_is_a_loss(reader: Reader) -> None:
    await reader.server.delivers(stored(1, 1), status("100", last="1"))
    assert reader.why is None
    await reader.server.delivers(status("100", last="2"))
    assert reader.why is Why.INCOMPLETE
    await reader.clock.advance(5)
    assert reader.server.beginnings[-1] == {"opt_start_seq": 2}
    assert reader.why is None


async def test_a_consumer_that_is_given_up_is_deleted(reader: Reader) -> None:
    await reader.server.delivers(stored(2, 2))
    assert reader.why is Why.INCOMPLETE
    assert reader.server.deleted == 1


async def test_a_consumer_whose_connection_is_lost_is_left_to_the_server(reader: Reader) -> None:
    reader.server.connected = False
    await reader.server.delivers(None)
    assert reader.server.deleted == 0
    assert reader.why is Why.DISCONNECTED


async def test_a_follower_that_is_stopped_asks_the_server_for_nothing_more() -> None:
    async with Reader(Server()).running() as reader:
        asked = list(reader.server.asked)
    assert reader.server.asked == asked


async def test_a_pull_that_ends_is_followed_by_another(reader: Reader) -> None:
    assert reader.server.pulls == 1
    await reader.server.delivers(stored(1, 1))
    assert reader.server.pulls == 1
    await reader.server.delivers(status("408", "Request Timeout"))
    assert reader.server.pulls == 2


async def test_a_batch_taken_is_followed_by_another(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.nats.follow.BATCH", 3)
    await reader.server.delivers(status("408"))
    assert reader.server.pulls == 2
    await reader.server.delivers(*(stored(number, number) for number in range(1, 4)))
    assert reader.server.pulls == 3


async def test_messages_lost_on_the_way_are_read_again_and_none_twice(reader: Reader) -> None:
    await reader.server.delivers(stored(1, 1), stored(2, 2), stored(4, 4))
    assert reader.why is Why.INCOMPLETE
    await reader.clock.advance(5)
    assert reader.server.beginnings[-1] == {"opt_start_seq": 3}
    await reader.server.delivers(stored(2, 1), stored(3, 2), stored(4, 3))
    assert reader.read == ["1", "2", "3", "4"]
    assert reader.why is None


@pytest.mark.parametrize("reply", ["", "elsewhere", "$JS.ACK.a.b.1.x.y.z.0"])
async def test_a_message_from_elsewhere_is_not_taken(reader: Reader, reply: str) -> None:
    message = Msg(_client=None, subject="used.x", reply=reply, data=b"no")  # type: ignore[arg-type]
    await reader.server.delivers(message)
    assert reader.read == []
    assert reader.why is Why.INCOMPLETE
