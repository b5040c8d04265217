"""Following a stream while messages, the consumer, the connection or the stream are lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.aio.msg import Msg

from controller.model.readings import Why
from controller.nats.usage import UsageFeed
from tests.support.world import VirtualClock, settle
from tests.unit.nats.fake_stream import SINCE, STREAM, Server, status, stored


class Reader:
    def __init__(self, server: Server) -> None:
        self.clock = VirtualClock(SINCE + 100)
        self.server = server
        self.read: list[str] = []
        self.feed = UsageFeed(
            server,
            self.clock,
            STREAM,
            since=lambda: SINCE,
            on_message=lambda _at, _subject, data: self.read.append(data.decode()),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Reader]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.feed.run())
            await settle()
            yield self
            task.cancel()

    @property
    def why(self) -> Why | None:
        return self.feed.problem and self.feed.problem.why


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    async with Reader(Server()).running() as running:
        yield running


async def test_the_end_is_where_nothing_is_pending(reader: Reader) -> None:
    await reader.clock.advance(50)
    await reader.server.delivers(stored(7, 1, pending=2), stored(8, 2, pending=1))
    assert reader.feed.behind == 1
    assert reader.feed.current_at == SINCE + 100
    await reader.server.delivers(stored(9, 3))
    assert reader.feed.behind == 0
    assert reader.feed.current_at == SINCE + 150
    assert reader.read == ["7", "8", "9"]


async def test_a_heartbeat_says_that_nothing_is_unread(reader: Reader) -> None:
    await reader.clock.advance(5)
    await reader.server.delivers(status("100", "Idle Heartbeat"))
    assert reader.feed.current_at == SINCE + 105


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
    monkeypatch.setattr("controller.nats.follower.BATCH", 3)
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


async def test_silence_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.nats.follower.HEARTBEATS_MISSED", 0.002)
    async with Reader(Server()).running() as reader:
        while reader.why is None:
            await asyncio.sleep(0)
        assert reader.why is Why.TIMED_OUT


async def test_messages_removed_before_they_were_read_are_missed(reader: Reader) -> None:
    await reader.server.delivers(stored(5, 1))
    reader.server.info = {
        "first_seq": 9,
        "last_seq": 12,
        "messages": 4,
        "first_ts": "2027-01-15T09:00:00.123456789Z",
    }
    await reader.server.delivers(None)
    reader.server.reconnect()
    await settle()
    assert reader.feed.missing_before == pytest.approx(SINCE + 3600.123456)


@pytest.mark.parametrize(
    ("state", "missing"),
    [
        ({"first_seq": 1, "first_ts": "2027-01-15T09:00:00Z", "messages": 1}, 0.0),
        ({"first_seq": 50, "first_ts": "2027-01-15T07:59:59Z", "messages": 1}, 0.0),
        ({"first_seq": 50, "first_ts": "2027-01-15T09:00:00Z", "messages": 1}, SINCE + 3600),
        ({"first_seq": 50, "last_ts": "2027-01-15T07:00:00Z", "messages": 0}, 0.0),
        ({"first_seq": 50, "last_ts": "2027-01-15T10:00:00Z", "messages": 0}, SINCE + 7200),
    ],
    ids=["never removed", "removed before", "removed since", "emptied before", "emptied since"],
)
async def test_what_was_removed_since_the_beginning_is_missed(
    state: dict[str, Any], missing: float
) -> None:
    server = Server()
    server.info |= state
    async with Reader(server).running() as reader:
        assert reader.feed.missing_before == missing
