"""Reads the journal's stream: its lines in order, from a whole snapshot on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from controller.nats.errors import NatsError, StreamMissingError
from controller.nats.follower import Follower
from controller.nats.jetstream import StreamInfo
from controller.nats.journal_messages import LineAssembly, LinePart, part_id
from controller.nats.journal_stream import STREAM_WHOLE_EVERY_S, journal_stream
from controller.nats.session import NatsSession
from controller.ports.clock import Clock
from controller.record.journal_lines import line_start

HEARTBEAT_S: Final = 2.0


class JournalReading:
    """Hands every line of the stream that is there to `on_line`, once. `unread` is the number of
    messages that are no part of a line, or of one that is not complete.
    """

    def __init__(self, on_line: Callable[[bytes], None], since: float | None) -> None:
        """`since` (Unix seconds): the lines after it, and those before it up to a whole one."""
        self._on_line = on_line
        self._since = since
        self._assembly = LineAssembly()
        self._last = 0
        self._is_begun = False
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.unread = 0
        self.lines = 0

    async def ended(self) -> None:
        """Return when all that was there is read. Raises NatsError."""
        await self._ended

    def beginning(self, stream: StreamInfo) -> ConsumerConfig:
        """The message after the last one read; at first a time before `since`."""
        del stream
        if self._last or self._since is None:
            return ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=self._last + 1
            )
        start = datetime.fromtimestamp(self._since - STREAM_WHOLE_EVERY_S, UTC)
        return ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=start)

    def opened(self, pending: int) -> None:
        """Reading has begun."""

    def take(self, message: Msg, metadata: Msg.Metadata) -> None:
        """One message of the stream."""
        self._last = metadata.sequence.stream
        part = part_id(message.headers)
        line = None if part is None else self._assembly.add(LinePart(part, message.data))
        if line is None:
            self.unread += part is None or part.is_last
            return
        start = line_start(line)
        self._is_begun |= start is not None and start.version.is_readable
        if self._is_begun:
            self.lines += 1
            self._on_line(line)

    def up_to_date(self) -> None:
        """All is read."""
        if not self._ended.done():
            self._ended.set_result(None)

    def lost(self, error: NatsError) -> None:
        """It is not read to its end."""
        if not self._ended.done():
            self._ended.set_exception(error)


async def read_journal(
    session: NatsSession,
    bucket: str,
    clock: Clock,
    on_line: Callable[[bytes], None],
    *,
    since: float | None = None,
) -> JournalReading:
    """Read what the stream has now. Raises NatsError, StreamMissingError where there is none."""
    reading = JournalReading(on_line, since)
    stream = journal_stream(bucket)
    follower = Follower(session, clock, stream, reading, heartbeat_s=HEARTBEAT_S)
    task = asyncio.create_task(follower.run(), name="journal")
    try:
        await reading.ended()
    except StreamMissingError:
        raise StreamMissingError(f"there is no stream {stream}") from None
    finally:
        task.cancel()
        await asyncio.wait({task})
    return reading
