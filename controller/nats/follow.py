"""Follows streams and buckets: every message from a point on, once and in order, and what was lost.

Wire format: the JetStream API reference (ADR-1), pull requests (ADR-13).

nats-py has two ways to follow a stream, and neither reports that it has stopped working. `fetch()`
treats "consumer deleted" as an empty answer and cannot distinguish a silent server from a quiet
stream; it also takes 4.2 s for 100,000 messages in batches of 1,000, where this takes 1.5 s. The
ordered consumer, on which the watch of nats-py's KeyValue stands, notices silence only after two
heartbeats, begins again by itself, and reports nothing while messages may be missing.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Final

import msgspec
from nats import errors
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, Header, StatusCode

from controller.model.readings import Absent
from controller.model.servers import Backoff
from controller.model.text import clean
from controller.nats.bucket import Bucket, BucketEntry, is_marker
from controller.nats.jetstream import (
    ANSWER_S,
    JetStreamError,
    NatsDisconnectedError,
    NatsError,
    NatsTimeoutError,
    StreamInfo,
    StreamMissingError,
    UnreadableAnswerError,
    stream_info,
    typed_errors,
)
from controller.nats.session import NatsSession, is_cancelled
from controller.ports import Clock, sleep_unless

log = logging.getLogger(__name__)

RETRY_FIRST_S: Final = 0.1
BATCH: Final = 1000
PULL_S: Final = 30.0
"""The server ends a pull after this long, and the next one follows. Apart from heartbeats this is
the only traffic of a quiet stream.
"""
INACTIVE_S: Final = 2 * PULL_S
"""How long the server keeps a consumer that is not pulled from."""
HEARTBEATS_MISSED: Final = 2.5
"""A consumer counts as dead after this many heartbeat intervals without any message."""
KEPT_OF_A_VALUE_BYTES: Final = 64 * 1024

_NANOSECONDS: Final = 10**9
_END_OF_PULL: Final = frozenset({StatusCode.NO_MESSAGES, StatusCode.REQUEST_TIMEOUT})


class Follower:
    """Reads one stream to its end and then waits for more; continues on every new connection.

    A gap in the sequence of messages or a missing heartbeat ends the read. After a pause, the next
    read starts where `beginning` says. A subclass is told on the event loop, one call at a time.
    """

    heartbeat_s: ClassVar = 2.0
    retry_most_s: ClassVar = 5.0

    def __init__(self, session: NatsSession, clock: Clock, stream: str) -> None:
        self._session = session
        self._clock = clock
        self._stream = stream
        self._backoff = Backoff(RETRY_FIRST_S, self.retry_most_s)
        self._connected = asyncio.Event()
        self._arrivals: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._begins_anew = False
        self._taken = 0

    def beginning(self, stream: StreamInfo) -> ConsumerConfig:
        """Which messages to read of the stream as it is; called whenever reading begins again."""
        raise NotImplementedError

    def opened(self, pending: int) -> None:
        """Reading has begun; `pending` messages are waiting to be read."""

    def take(self, message: Msg, metadata: Msg.Metadata) -> None:
        """The next message."""
        raise NotImplementedError

    def up_to_date(self) -> None:
        """All messages that the stream had are read."""
        raise NotImplementedError

    def lost(self, error: NatsError) -> None:
        """Messages may be missed from now on, until reading has begun again."""
        raise NotImplementedError

    def begin_anew(self) -> None:
        """Read again from where `beginning` says; what has come and is not taken yet is dropped."""
        self._begins_anew = True
        self._arrivals.put_nowait(None)

    async def run(self) -> None:
        """Follow until cancelled."""
        end = self._session.on_connected(self._connected.set)
        try:
            while True:
                self._connected.clear()
                try:
                    await self._read()
                except NatsError as error:
                    self.lost(error)
                await sleep_unless(self._connected, self._clock, self._backoff.next_s())
        finally:
            end()

    async def _read(self) -> None:
        """Read until something goes wrong. Raises NatsError."""
        info = await stream_info(self._session, self._stream, ANSWER_S)
        self._begins_anew = False
        config = self.beginning(info).evolve(
            ack_policy=AckPolicy.NONE,
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=INACTIVE_S,
        )
        arrivals = self._arrivals = asyncio.Queue[Msg | None]()
        inbox = await self._session.deliver_to(arrivals.put_nowait)
        consumer = ""
        try:
            with typed_errors():
                created = await self._session.jetstream().add_consumer(self._stream, config)
            consumer, self._taken = created.name, 0
            self._backoff.reset()
            self.opened(created.num_pending or 0)
            if not created.num_pending:
                self.up_to_date()
            await self._pull(consumer, inbox.subject, arrivals)
        finally:
            await inbox.end()
            if consumer and not is_cancelled():  # a process that ends does not wait
                try:
                    with typed_errors():
                        await self._session.jetstream().delete_consumer(self._stream, consumer)
                except NatsError as error:
                    log.debug("consumer %s is left to the server: %s", consumer, error)

    async def _pull(self, consumer: str, inbox: str, arrivals: asyncio.Queue[Msg | None]) -> None:
        verb = f"{self._session.api}.CONSUMER.MSG.NEXT.{self._stream}"
        silence_s = HEARTBEATS_MISSED * self.heartbeat_s
        request = msgspec.json.encode(
            {
                "batch": BATCH,
                "expires": int(PULL_S * _NANOSECONDS),
                "idle_heartbeat": int(self.heartbeat_s * _NANOSECONDS),
            }
        )
        while True:
            await self._session.send(f"{verb}.{consumer}", request, inbox)
            batch_end, is_over = self._taken + BATCH, False
            while self._taken < batch_end and not is_over:
                try:
                    async with asyncio.timeout(silence_s if arrivals.empty() else None):
                        message = await arrivals.get()
                except TimeoutError:
                    # a pull that our user may not send gets no answer at all
                    raise NatsTimeoutError(
                        f"neither a message nor a heartbeat for {silence_s:g} s: may our NATS user"
                        f" publish to {verb}.>?"
                    ) from None
                if self._begins_anew:
                    return
                is_over = self._arrived(message)

    def _arrived(self, message: Msg | None) -> bool:
        """Take a message, a status, or None; True: the pull is over. Raises NatsError."""
        if message is None:
            raise NatsDisconnectedError("the connection was lost")
        headers = message.headers or {}
        status = headers.get(Header.STATUS)
        if status is None:
            self._take(message)
            return False
        if headers.get(Header.LAST_CONSUMER, str(self._taken)) != str(self._taken):
            raise UnreadableAnswerError("messages were lost on the way")
        if status not in _END_OF_PULL and status != StatusCode.CONTROL_MESSAGE:
            reason = headers.get(Header.DESCRIPTION) or f"status {status}"
            raise JetStreamError(clean(f"the consumer ended: {reason}"))
        self.up_to_date()
        return status in _END_OF_PULL

    def _take(self, message: Msg) -> None:
        try:
            metadata = message.metadata
        except (errors.Error, ValueError, LookupError):
            reply = clean(message.reply, 80)
            raise UnreadableAnswerError(f"a message from elsewhere: {reply}") from None
        if metadata.sequence.consumer != self._taken + 1:
            raise UnreadableAnswerError("messages were lost on the way")
        self._taken += 1
        self.take(message, metadata)
        if not metadata.num_pending:
            self.up_to_date()


class BucketWatch(Follower):
    """Is told of every key of a bucket that matches the pattern `keys` while `run` runs.

    A bucket that does not exist has no keys. One that went back in time, or was made anew, is
    followed on, and `found` is told: it must not miss what operators ask for there. One that
    `may_begin_anew` may also be gone: its keys are written again by those who wrote them.

    `loss` says why changes are missed now, and since when; `is_found` whether the keys were ever
    read, `answered` is set once they were read or lost.
    """

    retry_most_s = 1.0  # a bucket that is made while none was there may hold a freeze

    def __init__(
        self,
        session: NatsSession,
        bucket: Bucket,
        clock: Clock,
        what: str,
        *,
        keys: str = ">",
        may_begin_anew: bool = True,
    ) -> None:
        """`what` is the name of its keys in the log."""
        super().__init__(session, clock, bucket.stream)
        self.bucket = bucket
        self.answered = asyncio.Event()
        self.is_found = False
        self.loss: Absent | None = None
        self._what = what
        self._keys = keys
        self._may_begin_anew = may_begin_anew
        self._entries: dict[str, BucketEntry] | None = {}
        self._seen_before = 0
        self._created: datetime | None = None
        self._is_another = False

    def found(self, entries: Mapping[str, BucketEntry], *, is_another: bool) -> None:
        """All keys were read; `entries` includes the markers of deleted keys. `is_another`: the
        bucket is not the one that was followed before: it was restored, or deleted and made again.
        """
        del entries, is_another
        if self.loss is not None:
            log.info("%s can be read again", self._what)
        self.is_found, self.loss = True, None
        self.answered.set()

    def changed(self, entry: BucketEntry) -> None:
        """This key has a new value, or was deleted."""
        raise NotImplementedError

    async def run(self) -> None:
        """Follow until cancelled."""
        self._seen_before = self.bucket.highest
        await super().run()

    def beginning(self, stream: StreamInfo) -> ConsumerConfig:
        """The latest value of every key."""
        last, seen = stream.state.last_seq, self._seen_before
        if last < seen or self._created not in {None, stream.created}:
            log.warning("%s is another than before: it has %d of %d", self.bucket, last, seen)
            self.bucket.highest = 0
            self._is_another = True
        self._created = stream.created
        self._entries = {}
        return ConsumerConfig(
            name=f"agentdash-{secrets.token_hex(8)}",
            deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
            filter_subject=self.bucket.subject(self._keys),
        )

    def take(self, message: Msg, metadata: Msg.Metadata) -> None:
        """One key's latest value or marker."""
        revision = metadata.sequence.stream
        self.bucket.highest = max(self.bucket.highest, revision)
        entry = BucketEntry(
            key=message.subject.removeprefix(self.bucket.subject("")),
            # what is longer cannot be read in any case, and thousands of them would fill the memory
            value=message.data[:KEPT_OF_A_VALUE_BYTES],
            revision=revision,
            at=metadata.timestamp.timestamp(),
            deleted=is_marker(message.headers or {}),
        )
        if self._entries is None:
            self.changed(entry)
        else:
            self._entries[entry.key] = entry

    def up_to_date(self) -> None:
        """All keys have been read."""
        entries, self._entries = self._entries, None
        if entries is not None:
            self.found(entries, is_another=self._is_another)
            self._is_another = False

    def lost(self, error: NatsError) -> None:
        """Changes of keys are missed from now on, until `found` is called."""
        # an entry written while the stream is read again may be newer than the answer
        self._seen_before = self.bucket.highest
        reason = str(error)
        if isinstance(error, StreamMissingError):
            if self.bucket.highest == 0 or self._may_begin_anew:
                self.found({}, is_another=False)
                return
            reason = f"there is no {self.bucket} any longer"
        at = self._clock.now() if self.loss is None else self.loss.at
        if self.loss is None:
            log.warning("%s cannot be read: %s", self._what, reason)
        if self.loss is None or self.loss.detail != reason:
            self.loss = Absent(why=error.why, at=at, detail=clean(reason))
        self.answered.set()
