"""The journal of whichever process leads, in a stream: what changed, line by line, linked by hashes
over restarts and fail-overs.

The lines are those of the journal's file in all but their links, which are of the stream's own
chain, and in that moments in which nothing but time went on are written once a minute. Each line is
written only if the one that it links to is the last of the stream. So no two writers make two
chains, and what is sent again after an answer was lost is stored once.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, NamedTuple

from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy, DiscardPolicy, Header, StreamConfig

from controller.model.clock import time_words
from controller.model.servers import Backoff
from controller.model.settings import JournalStreamSettings
from controller.model.snapshot import Snapshot
from controller.model.text import clean
from controller.nats.follow import Follower
from controller.nats.jetstream import (
    JetStreamError,
    MessageMissingError,
    NatsError,
    RevisionConflictError,
    StreamExistsError,
    StreamInfo,
    StreamMissingError,
    typed_errors,
)
from controller.nats.session import NatsSession
from controller.ports import Clock
from controller.record.chain import (
    PLAIN_BYTES,
    Assembly,
    Backlog,
    Chain,
    Encoder,
    hash_of,
    line_of,
    linked,
    packed,
    pieces,
)
from controller.record.frames import is_tick_line, line_start

MESSAGE_BYTES: Final = 512 * 1024
_ID: Final = re.compile(r"([0-9a-f]{32})-([0-9]{1,5})-([0-9]{1,5})")


class PartId(NamedTuple):
    """Part `number` of the `parts` of the line with this hash."""

    line: str
    number: int
    parts: int

    @property
    def is_last(self) -> bool:
        """Whether the line is complete with it."""
        return self.number == self.parts - 1

    def __str__(self) -> str:
        return f"{self.line}-{self.number}-{self.parts}"


class LinePart(NamedTuple):
    """One message of a line."""

    id: PartId
    data: bytes


def parts_of(line: bytes, most: int) -> list[LinePart]:
    """The messages of a line, none of them larger than `most` bytes."""
    most = min(MESSAGE_BYTES, most)
    name, found = hash_of(line), pieces(packed(line, min(PLAIN_BYTES, most)), most)
    return [LinePart(PartId(name, number, len(found)), data) for number, data in enumerate(found)]


def part_id(headers: Mapping[str, str] | None) -> PartId | None:
    """Which part of which line a message is; None for a message of something else."""
    found = _ID.fullmatch((headers or {}).get(Header.MSG_ID.value, ""))
    if found is None:
        return None
    part = PartId(found[1], int(found[2]), int(found[3]))
    return part if part.number < part.parts else None


def line_with(name: str, data: bytes) -> bytes | None:
    """The line that was sent in these bytes; None if it does not have this hash."""
    try:
        line = bytes(line_of(data))
    except ValueError:
        return None
    return line if hash_of(line) == name else None


log = logging.getLogger(__name__)

MOST_LINES_BYTES: Final = 16 * 2**20
"""So many bytes of lines wait for a server that is away; after them, moments are left out."""
TICK_EVERY_S: Final = 60.0
"""A moment in which nothing but time went on is written so often."""
STREAM_WHOLE_EVERY_S: Final = 900.0
FINISH_S: Final = 2.0
_RETRY_FIRST_S: Final = 0.5
_RETRY_MOST_S: Final = 15.0
_HEADERS_BYTES: Final = 512
_OVERTAKEN: Final = "another controller writes it, too"


def journal_stream(bucket: str) -> str:
    """The stream of the journal of the fleet with this bucket."""
    return f"{bucket}_journal"


def journal_subject(bucket: str) -> str:
    """Where its lines are published."""
    return f"{bucket}.journal"


class _Tail(NamedTuple):
    """The end of the stream: its last message's sequence and part (0 and None without one), and the
    last whole line's hash.
    """

    sequence: int
    part: PartId | None
    line: str


class _Pending(NamedTuple):
    """The line that is being sent, and the end of the stream that it follows."""

    parts: list[LinePart]
    after: int


class JournalStream:
    """Takes snapshots on the loop, and publishes those of a process that writes.

    While NATS is away, lines wait. What no longer fits is left out and `problem` says so; the next
    line has all that changed since.
    """

    def __init__(
        self,
        session: NatsSession,
        bucket: str,
        settings: JournalStreamSettings,
        clock: Clock,
        encoder: Encoder | None = None,
    ) -> None:
        self._session = session
        self._settings = settings
        self._clock = clock
        self.stream: Final = journal_stream(bucket)
        self._subject = journal_subject(bucket)
        self._backlog = Backlog(clock)
        self._lines: deque[bytes] = deque()
        self._lines_bytes = 0
        self._beginnings = 0
        self._chain = Chain(encoder, STREAM_WHOLE_EVERY_S)
        self._latest: Snapshot | None = None
        self._tail: _Tail | None = None
        self._pending: _Pending | None = None
        self._backoff = Backoff(_RETRY_FIRST_S, _RETRY_MOST_S)
        self._trouble = ""
        self._trouble_since = 0.0
        self._not_before = 0.0

    def offer(self, snapshot: Snapshot) -> None:
        """Have it written if its process writes, else forget what waits. Never waits."""
        if not snapshot.role.writes:
            self._begin_anew()
            self._latest = None
            return
        self._latest = snapshot
        self._backlog.put(snapshot)

    def problem(self) -> str | None:
        """Why moments are missing in the stream, in words; None while it has all."""
        left_out, lost = self._backlog.left_out, ""
        if left_out and (self._trouble or self._backlog.is_news):
            lost = f"{left_out:,} moments were left out of it, and the file has them"
        if not self._trouble:
            return f"stream {self.stream}: {lost}" if lost else None
        since = time_words(self._trouble_since, self._clock.now(), to_seconds=True)
        waiting = f"{len(self._lines):,} lines wait" if self._lines else ""
        more = "".join(f"; {each}" for each in (waiting, lost) if each)
        return f"stream {self.stream} is not written since {since}: {self._trouble}{more}"

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[None]:
        """Write while inside; at the end, what waits is written within `FINISH_S`."""
        end = self._session.on_connected(self._may_try_again)
        task = asyncio.create_task(self._run(), name="journal stream")
        try:
            yield
        finally:
            self._backlog.end()
            try:
                async with asyncio.timeout(FINISH_S):
                    await task
            except TimeoutError:
                log.warning("the journal's last lines were not written into the stream in time")
            end()

    async def _run(self) -> None:
        while True:
            wait_s = max(0.0, self._not_before - self._clock.monotonic()) if self._lines else None
            try:
                async with asyncio.timeout(wait_s):
                    snapshot = await self._backlog.take()
            except TimeoutError:
                await self._try_to_send()
                continue
            if snapshot is None:
                self._may_try_again()
                await self._try_to_send()
                return
            await self._encode(snapshot)
            await self._try_to_send()

    async def _try_to_send(self) -> None:
        """Write what waits, unless that has failed a moment ago."""
        if not self._lines or self._clock.monotonic() < self._not_before:
            return
        try:
            await self._send()
        except NatsError as error:
            self._tail = None  # whether the last message was stored is not known
            self._not_before = self._clock.monotonic() + self._backoff.next_s()
            text = _OVERTAKEN if isinstance(error, RevisionConflictError) else clean(error)
            if not self._trouble:
                self._trouble_since = self._clock.now()
            if text != self._trouble:
                log.warning("the journal's stream is not written", extra={"why": text})
            self._trouble = text
            return
        self._backoff.reset()
        if self._trouble:
            log.info("the journal's stream is written again")
            self._trouble = ""
            self._backlog.tell()
        elif not self._backlog.is_news:
            self._backlog.left_out = 0

    def _may_try_again(self) -> None:
        self._not_before = 0.0

    # -- lines --------------------------------------------------------------------------------

    async def _encode(self, snapshot: Snapshot) -> None:
        if self._lines_bytes > MOST_LINES_BYTES:
            self._backlog.leave_out()
            return
        before, beginning = self._chain.last, self._beginnings
        # beside the ticks: a whole snapshot of a large fleet takes a part of a second
        line = await asyncio.to_thread(self._chain.line, snapshot)
        if before is not None and is_tick_line(line) and snapshot.at - before.at < TICK_EVERY_S:
            return
        if self._beginnings == beginning:
            self._lines.append(line)
            self._lines_bytes += len(line)
            self._chain.added(line, snapshot)

    def _begin_anew(self) -> None:
        """Go on with a whole snapshot, at the end that the stream has then."""
        self._beginnings += 1
        self._backlog.clear()
        self._lines.clear()
        self._lines_bytes = 0
        self._chain.last = self._tail = self._pending = None

    # -- messages -----------------------------------------------------------------------------

    async def _send(self) -> None:
        """Write what waits, in order. Raises NatsError."""
        while self._lines:
            line = self._lines[0]
            if self._tail is None:
                self._tail = await self._find_tail()
                self._check_pending(self._tail)
            if self._pending is None:
                most = max(self._session.max_payload - _HEADERS_BYTES, 1)
                parts = parts_of(linked(line, self._tail.line), most)
                self._pending = _Pending(parts, self._tail.sequence)
            pending, tail, self._tail = self._pending, self._tail, None
            tail = await self._publish(pending, tail)
            if self._pending is pending:  # else another process leads meanwhile
                self._tail, self._pending = tail, None
                self._lines_bytes -= len(self._lines.popleft())

    def _check_pending(self, tail: _Tail) -> None:
        """Whether the line that was being sent can go on at this end. Raises NatsError."""
        pending = self._pending
        if pending is None or tail.sequence == pending.after:
            return
        if tail.part is None or tail.part.line != pending.parts[0].id.line:
            latest = self._latest
            self._begin_anew()
            if latest is not None:
                self._backlog.put(latest)
            raise RevisionConflictError(_OVERTAKEN)

    async def _publish(self, pending: _Pending, tail: _Tail) -> _Tail:
        """Send what of the line is not stored yet; the end of the stream after it."""
        line, sequence = pending.parts[0].id.line, tail.sequence
        is_begun = tail.part is not None and tail.part.line == line
        first = tail.part.number + 1 if is_begun and tail.part is not None else 0
        part = tail.part
        for each in pending.parts[first:]:
            headers = {
                Header.MSG_ID.value: str(each.id),
                Header.EXPECTED_STREAM.value: self.stream,
                Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(sequence),
            }
            with typed_errors():
                ack = await self._session.jetstream().publish(
                    self._subject, each.data, headers=headers
                )
            sequence, part = ack.seq, each.id
        return _Tail(sequence, part, line)

    async def _find_tail(self) -> _Tail:
        """The end of the stream; without a stream, that of a new one. Raises NatsError."""
        jetstream = self._session.jetstream()
        try:
            with typed_errors():
                # direct=False: from the leader
                found = await jetstream.get_msg(self.stream, None, self._subject, direct=False)
        except MessageMissingError:
            return _Tail(0, None, "")
        except StreamMissingError:
            await self._create()
            return _Tail(0, None, "")
        sequence, part = found.seq or 0, part_id(found.headers)
        before = 0 if part is None else sequence - part.number - 1
        if part is None or part.is_last or before < 1:
            return _Tail(sequence, part, part.line if part is not None and part.is_last else "")
        try:
            with typed_errors():
                found = await jetstream.get_msg(self.stream, before, direct=False)
        except MessageMissingError:
            return _Tail(sequence, part, "")
        # the line that ends with the message before it
        last = part_id(found.headers)
        return _Tail(sequence, part, last.line if last is not None and last.is_last else "")

    async def _create(self) -> None:
        config = StreamConfig(
            name=self.stream,
            description="agentdash: what each tick saw and decided; agentdash journal prints it",
            subjects=[self._subject],
            max_age=self._settings.keep_s,
            max_bytes=self._settings.max_bytes,
            discard=DiscardPolicy.OLD,
            deny_delete=True,
            num_replicas=self._session.replicas,
        )
        try:
            with typed_errors():
                await self._session.jetstream().add_stream(config)
        except StreamExistsError:
            return
        except JetStreamError as error:
            raise JetStreamError(f"it cannot be created: {error}") from error


class JournalReading(Follower):
    """Hands each line to `on_line`, once; `unread` counts messages of no whole line."""

    def __init__(
        self,
        session: NatsSession,
        clock: Clock,
        stream: str,
        on_line: Callable[[bytes], None],
        since: float | None,
    ) -> None:
        """`since` (Unix seconds): the lines after it, and those before it up to a whole one."""
        super().__init__(session, clock, stream)
        self._on_line = on_line
        self._since = since
        self._assembly = Assembly()
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

    def take(self, message: Msg, metadata: Msg.Metadata) -> None:
        """One message of the stream."""
        self._last = metadata.sequence.stream
        part = part_id(message.headers)
        data = None if part is None else self._assembly.add(*part, message.data)
        line = None if part is None or data is None else line_with(part.line, data)
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
    stream = journal_stream(bucket)
    reading = JournalReading(session, clock, stream, on_line, since)
    task = asyncio.create_task(reading.run(), name="journal")
    try:
        await reading.ended()
    except StreamMissingError:
        raise StreamMissingError(f"there is no stream {stream}") from None
    finally:
        task.cancel()
        await asyncio.wait({task})
    return reading
