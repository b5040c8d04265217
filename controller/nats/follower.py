"""Follows a stream: delivers every message from a point on, once and in order, and tells when all
are read.

Wire format: the JetStream API reference (ADR-1), pull requests (ADR-13).

nats-py has two ways to follow a stream, and neither reports that it has stopped working. `fetch()`
treats "consumer deleted" as an empty answer and cannot distinguish a silent server from a quiet
stream; it also takes 4.2 s for 100,000 messages in batches of 1,000, where this takes 1.5 s. The
ordered consumer notices silence only after two heartbeats, begins again by itself, and reports
nothing while messages may be missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec
from nats import errors
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, Header, StatusCode

from controller.model.servers import Backoff
from controller.model.text import clean
from controller.nats.jetstream import (
    ANSWER_S,
    JetStreamError,
    NatsDisconnectedError,
    NatsError,
    NatsTimeoutError,
    StreamInfo,
    UnreadableAnswerError,
    stream_info,
    typed_errors,
)
from controller.nats.session import NatsSession, is_cancelled
from controller.ports import Clock

log = logging.getLogger(__name__)

RETRY_FIRST_S: Final = 0.1
RETRY_MOST_S: Final = 5.0
BATCH: Final = 1000
PULL_S: Final = 30.0
"""The server ends a pull after this long, and the next one follows. Apart from heartbeats this is
the only traffic of a quiet stream.
"""
INACTIVE_S: Final = 2 * PULL_S
"""How long the server keeps a consumer that is not pulled from."""
HEARTBEATS_MISSED: Final = 2.5
"""A consumer counts as dead after this many heartbeat intervals without any message."""

_NANOSECONDS: Final = 10**9
_END_OF_PULL: Final = frozenset({StatusCode.NO_MESSAGES, StatusCode.REQUEST_TIMEOUT})


class Subscriber(Protocol):
    """Takes what a follower reads. It is called on the event loop, one call at a time."""

    def beginning(self, stream: StreamInfo) -> ConsumerConfig:
        """Which messages to read of the stream as it is now. Called whenever reading begins
        again.
        """
        ...

    def opened(self, pending: int) -> None:
        """Reading has begun; `pending` messages are waiting to be read."""
        ...

    def take(self, message: Msg, metadata: Msg.Metadata) -> None:
        """The next message."""
        ...

    def up_to_date(self) -> None:
        """All messages that the stream had are read."""
        ...

    def lost(self, error: NatsError) -> None:
        """Messages may be missed from now on, until reading has begun again."""
        ...


class Follower:
    """Reads one stream to its end and then waits for more; continues on every new connection.

    A gap in the sequence of messages or a missing heartbeat ends the read. After a pause, the next
    read begins where the subscriber says.
    """

    def __init__(
        self,
        nats: NatsSession,
        clock: Clock,
        stream: str,
        subscriber: Subscriber,
        *,
        heartbeat_s: float,
        retry_most_s: float = RETRY_MOST_S,
    ) -> None:
        self._nats = nats
        self._clock = clock
        self._stream = stream
        self._subscriber = subscriber
        self._heartbeat_s = heartbeat_s
        self._backoff = Backoff(RETRY_FIRST_S, retry_most_s)
        self._connected = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled."""
        end = self._nats.on_connected(self._connected.set)
        try:
            while True:
                self._connected.clear()
                try:
                    await self._read()
                except NatsError as error:
                    self._subscriber.lost(error)
                await self._pause()
        finally:
            end()

    async def _read(self) -> None:
        """Read until something goes wrong. Raises NatsError."""
        info = await stream_info(self._nats, self._stream, ANSWER_S)
        config = self._subscriber.beginning(info).evolve(
            ack_policy=AckPolicy.NONE,
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=INACTIVE_S,
        )
        reading = _Reading(self._subscriber)
        inbox = await self._nats.deliver_to(reading.arrived)
        consumer = ""
        try:
            with typed_errors():
                created = await self._nats.jetstream().add_consumer(self._stream, config)
            consumer = created.name
            self._backoff.reset()
            self._subscriber.opened(created.num_pending or 0)
            if not created.num_pending:
                self._subscriber.up_to_date()
            await self._pull(consumer, inbox.subject, reading)
        finally:
            await inbox.end()
            if consumer and not is_cancelled():  # a process that ends does not wait
                await self._delete(consumer)

    async def _pull(self, consumer: str, inbox: str, reading: _Reading) -> None:
        verb = f"{self._nats.api}.CONSUMER.MSG.NEXT.{self._stream}"
        silence_s = HEARTBEATS_MISSED * self._heartbeat_s
        request = msgspec.json.encode(
            {
                "batch": BATCH,
                "expires": int(PULL_S * _NANOSECONDS),
                "idle_heartbeat": int(self._heartbeat_s * _NANOSECONDS),
            }
        )
        while True:
            await self._nats.send(f"{verb}.{consumer}", request, inbox)
            try:
                await reading.take_batch(BATCH, silence_s)
            except TimeoutError:
                # a pull that our user may not send gets no answer at all
                raise NatsTimeoutError(
                    f"neither a message nor a heartbeat for {silence_s:g} s: may our NATS user"
                    f" publish to {verb}.>?"
                ) from None

    async def _delete(self, consumer: str) -> None:
        """Delete the consumer. If that fails, the server deletes it by itself after a while."""
        try:
            with typed_errors():
                await self._nats.jetstream().delete_consumer(self._stream, consumer)
        except NatsError as error:
            log.debug("consumer %s is left to the server: %s", consumer, error)

    async def _pause(self) -> None:
        """Until the next connection, at most for a while that grows with each failure."""
        sleep = asyncio.ensure_future(self._clock.sleep(self._backoff.next_s()))
        connected = asyncio.ensure_future(self._connected.wait())
        try:
            await asyncio.wait({sleep, connected}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            connected.cancel()


class _Reading:
    """What one consumer delivers, checked for its order."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._taken = 0
        self._arrivals: deque[Msg | None] = deque()
        self._has_arrivals = asyncio.Event()

    def arrived(self, message: Msg | None) -> None:
        """A message, a status of the pull, or None for the end of the connection."""
        self._arrivals.append(message)
        self._has_arrivals.set()

    async def take_batch(self, number: int, silence_s: float) -> None:
        """Take what a pull for `number` messages brings, until it ends. Raises NatsError, and
        TimeoutError when nothing came for `silence_s`.
        """
        batch_end = self._taken + number
        while self._taken < batch_end:
            if not self._arrivals:
                self._has_arrivals.clear()
                async with asyncio.timeout(silence_s):
                    await self._has_arrivals.wait()
            message = self._arrivals.popleft()
            if message is None:
                raise NatsDisconnectedError("the connection was lost")
            headers = message.headers or {}
            status = headers.get(Header.STATUS)
            if status is None:
                self._take(message)
            elif self._ends_pull(status, headers):
                return

    def _ends_pull(self, status: str, headers: Mapping[str, str]) -> bool:
        if headers.get(Header.LAST_CONSUMER, str(self._taken)) != str(self._taken):
            raise UnreadableAnswerError("messages were lost on the way")
        if status not in _END_OF_PULL and status != StatusCode.CONTROL_MESSAGE:
            reason = headers.get(Header.DESCRIPTION) or f"status {status}"
            raise JetStreamError(clean(f"the consumer ended: {reason}"))
        self._subscriber.up_to_date()
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
        self._subscriber.take(message, metadata)
        if not metadata.num_pending:
            self._subscriber.up_to_date()
