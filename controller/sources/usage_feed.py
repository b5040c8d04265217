"""Follows a stream from a moment on: every message once and in order, and word of having read all.

Wire format: the JetStream API reference (ADR-1), pull requests (ADR-13) and acknowledgement
subjects (ADR-15).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol, Self

import msgspec
from nats.aio.msg import Msg

from controller.model.readings import Why
from controller.model.text import clean
from controller.ports import Clock, NatsError, NatsRequests
from controller.sources.jsapi import (
    NoAnswerError,
    StreamInfo,
    StreamState,
    create_consumer,
    no_answer,
    stream_info,
)

log = logging.getLogger(__name__)

ANSWER_S: Final = 2.0
RETRY_S: Final = 5.0
BATCH: Final = 1000
HEARTBEAT_S: Final = 5.0
PULL_S: Final = 30.0
"""The server ends a pull after this long, and the next one follows: the only traffic of a stream in
which nothing happens, beside heart-beats.
"""
SILENCE_S: Final = 2.5 * HEARTBEAT_S
INACTIVE_S: Final = 2 * PULL_S
"""How long the server keeps a consumer that nobody pulls from."""

_NANOSECONDS: Final = 10**9
_NO_MESSAGES: Final = frozenset({"404", "408"})
_HEARTBEAT: Final = "100"
_PULL: Final = msgspec.json.encode(
    {
        "batch": BATCH,
        "expires": int(PULL_S * _NANOSECONDS),
        "idle_heartbeat": int(HEARTBEAT_S * _NANOSECONDS),
    }
)


class Delivery(Protocol):
    """A subject of our own that messages are delivered to."""

    @property
    def subject(self) -> str:
        """Where to deliver."""
        ...

    async def end(self) -> None:
        """Take no more; nothing happens if it has ended with its connection."""
        ...


class NatsDeliveries(NatsRequests, Protocol):
    """What following a stream needs of a NATS connection, beside requests."""

    async def deliver_to(self, on_message: Callable[[Msg | None], None]) -> Delivery:
        """A subject of this connection; `on_message` gets what comes there, and None once when the
        connection is lost. Raises NatsDisconnectedError.
        """
        ...

    async def send(self, subject: str, payload: bytes, reply: str) -> None:
        """Publish; whoever answers does so to `reply`. Raises NatsDisconnectedError."""
        ...


class Place(NamedTuple):
    """Where a message stands in its stream and among its consumer's, when it was stored (Unix
    seconds), and how many come after it.
    """

    stream: int
    consumer: int
    at: float
    pending: int

    @classmethod
    def of(cls, reply: str) -> Self:
        """From the subject for its acknowledgement. Raises NoAnswerError."""
        tokens = reply.split(".")
        # with a domain and an account there are two tokens more before the numbers
        first = 5 if len(tokens) == 9 else 7
        try:
            sequence, consumer, at, pending = (int(each) for each in tokens[first : first + 4])
        except ValueError:
            raise NoAnswerError(
                Why.INCOMPLETE, f"a message from elsewhere: {clean(reply, 80)}"
            ) from None
        return cls(sequence, consumer, at / _NANOSECONDS, pending)


class StreamFeed:
    """Reads one stream to its end and waits there for more, over every connection that is made.

    `on_message` gets (stored at, subject, data), each message once: after a lost connection it goes
    on where it was. `current_at` is when nothing was left unread last, None before that; `behind`
    how many were; `problem` why nothing is read now. Messages stored before `missing_before` may
    have been removed unread.
    """

    def __init__(
        self,
        nats: NatsDeliveries,
        clock: Clock,
        stream: str,
        *,
        since: Callable[[], float],
        on_message: Callable[[float, str, bytes], None],
    ) -> None:
        self._nats = nats
        self._clock = clock
        self._stream = stream
        self._since = since
        self._on_message = on_message
        self._last: int | None = None
        self._created: datetime | None = None
        self._tried = asyncio.Event()
        self._connection = asyncio.Event()
        nats.on_reconnect(self._connection.set)
        self.problem: NoAnswerError | None = None
        self.current_at: float | None = None
        self.behind = 0
        self.missing_before = 0.0

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            self._connection.clear()
            try:
                await self._follow()
            except NoAnswerError as error:
                if self.problem is None or error.detail != self.problem.detail:
                    log.info("stream %s is not read: %s", self._stream, error.detail)
                self.problem = error
                self._tried.set()
            await self._pause()

    async def first_read(self, timeout_s: float) -> None:
        """Return once the stream was read to its end, or could not be, or after so long."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._tried.wait()
        except TimeoutError:
            log.info("stream %s: %d messages are still to be read", self._stream, self.behind)

    async def _follow(self) -> None:
        """Read until something goes wrong. Raises NoAnswerError."""
        arrivals: asyncio.Queue[Msg | None] = asyncio.Queue()
        try:
            delivery = await self._nats.deliver_to(arrivals.put_nowait)
        except NatsError as error:
            raise no_answer(error) from None
        try:
            config = self._config(await stream_info(self._nats, self._stream, ANSWER_S))
            consumer = await create_consumer(self._nats, self._stream, config, ANSWER_S)
            self.problem = None
            self.behind = consumer.num_pending
            if not self.behind:
                self._is_current()
            await self._pull(consumer.name, delivery.subject, arrivals)
        finally:
            await delivery.end()

    def _config(self, info: StreamInfo) -> dict[str, Any]:
        """A consumer that begins where we are."""
        return {
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": int(INACTIVE_S * _NANOSECONDS),
            **self._beginning(info),
        }

    def _beginning(self, info: StreamInfo) -> dict[str, Any]:
        state = info.state
        is_another = info.created != self._created
        self._created = info.created
        if self._last is None:
            since = self._since()
            self.missing_before = _removed_before(state, since)
            moment = datetime.fromtimestamp(since, UTC).isoformat()
            return {"deliver_policy": "by_start_time", "opt_start_time": moment}
        if is_another:
            self._last = 0  # another stream by the same name: what was counted stays counted
        elif state.first_seq > self._last + 1:
            self.missing_before = (state.first_ts if state.messages else state.last_ts).timestamp()
        return {"deliver_policy": "by_start_sequence", "opt_start_seq": self._last + 1}

    async def _pull(self, consumer: str, inbox: str, arrivals: asyncio.Queue[Msg | None]) -> None:
        following = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{consumer}"
        taken = asked = 0
        while True:
            if taken == asked:
                try:
                    await self._nats.send(following, _PULL, inbox)
                except NatsError as error:
                    raise no_answer(error) from None
                asked = taken + BATCH
            message = await self._arrival(arrivals)
            headers = message.headers or {}
            status = headers.get("Status")
            if status is None:
                taken += 1
                self._take(message, taken)
            elif status in _NO_MESSAGES:
                asked = taken
                self._is_current()
            elif status == _HEARTBEAT:
                self._is_current()
            else:
                words = headers.get("Description") or f"status {status}"
                raise NoAnswerError(Why.INCOMPLETE, clean(f"the consumer ended: {words}"))

    async def _arrival(self, arrivals: asyncio.Queue[Msg | None]) -> Msg:
        if arrivals.empty():
            try:
                async with asyncio.timeout(SILENCE_S):
                    message = await arrivals.get()
            except TimeoutError:
                # a refused pull is answered by nobody
                raise NoAnswerError(
                    Why.TIMED_OUT,
                    f"neither a message nor a heart-beat for {SILENCE_S:g} s: may our NATS user"
                    f" publish to $JS.API.CONSUMER.MSG.NEXT.{self._stream}.>?",
                ) from None
        else:
            message = arrivals.get_nowait()
        if message is None:
            raise NoAnswerError(Why.DISCONNECTED, "the connection was lost")
        return message

    def _take(self, message: Msg, number: int) -> None:
        place = Place.of(message.reply)
        if place.consumer != number:
            raise NoAnswerError(Why.INCOMPLETE, "messages were lost on the way")
        if self._last is None or place.stream > self._last:
            self._last = place.stream
            self._on_message(place.at, message.subject, message.data)
        self.behind = place.pending
        if not place.pending:
            self._is_current()

    def _is_current(self) -> None:
        self.behind = 0
        self.current_at = self._clock.now()
        self._tried.set()

    async def _pause(self) -> None:
        """A while, or until the next connection."""
        sleep = asyncio.ensure_future(self._clock.sleep(RETRY_S))
        connection = asyncio.ensure_future(self._connection.wait())
        try:
            await asyncio.wait({sleep, connection}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            connection.cancel()


def _removed_before(state: StreamState, since: float) -> float:
    """Up to when messages stored after `since` may have been removed from the stream; 0.0 if none
    were.
    """
    if state.first_seq <= 1:
        return 0.0
    kept_from = state.first_ts if state.messages else state.last_ts
    return kept_from.timestamp() if kept_from.timestamp() > since else 0.0
