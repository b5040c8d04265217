"""Follows the stream of usage events: delivers each event once, and tells when all are read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from controller.nats.errors import NatsError
from controller.nats.follower import HEARTBEATS_MISSED, Follower
from controller.nats.jetstream import StreamContents, StreamInfo
from controller.nats.session import NatsSession
from controller.ports.clock import Clock

log = logging.getLogger(__name__)

USAGE_HEARTBEAT_S: Final = 5.0
USAGE_SILENCE_S: Final = HEARTBEATS_MISSED * USAGE_HEARTBEAT_S
"""If neither a message nor a heartbeat has come for this long, events may be unread."""


class UsageFeed:
    """Reads a stream of events from a given time on, and waits at its end for more.

    `on_message` gets (stored at, subject, data), each message once: after a lost connection it
    continues where it was. `current_at` is the last time when all messages were read, None before
    that; `behind` is the number of unread messages; `problem` says why nothing is read now.
    Messages stored before `missing_before` may have been removed before they were read.
    """

    def __init__(
        self,
        nats: NatsSession,
        clock: Clock,
        stream: str,
        *,
        since: Callable[[], float],
        on_message: Callable[[float, str, bytes], None],
    ) -> None:
        self._clock = clock
        self._stream = stream
        self._since = since
        self._on_message = on_message
        self._follower = Follower(nats, clock, stream, self, heartbeat_s=USAGE_HEARTBEAT_S)
        self._last: int | None = None
        self._created: datetime | None = None
        self._tried = asyncio.Event()
        self.problem: NatsError | None = None
        self.current_at: float | None = None
        self.behind = 0
        self.missing_before = 0.0

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._follower.run()

    async def first_read(self, timeout_s: float) -> None:
        """Return once the stream was read to its end or cannot be read, at the latest after
        `timeout_s`.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._tried.wait()
        except TimeoutError:
            log.info("stream %s: %d messages are still to be read", self._stream, self.behind)

    def beginning(self, stream: StreamInfo) -> ConsumerConfig:
        """The message after the last one read; at first, the first message since `since`."""
        state = stream.state
        is_another = stream.created != self._created
        self._created = stream.created
        if self._last is None:
            since = self._since()
            self.missing_before = _removed_before(state, since)
            return ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_TIME,
                opt_start_time=datetime.fromtimestamp(since, UTC),
            )
        if is_another:
            self._last = 0  # another stream with the same name: events counted so far stay counted
        elif state.first_seq > self._last + 1:
            self.missing_before = _kept_from(state)
        return ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=self._last + 1
        )

    def opened(self, pending: int) -> None:
        """The stream is read again."""
        self.problem = None
        self.behind = pending

    def take(self, message: Msg, metadata: Msg.Metadata) -> None:
        """One event, unless it was read before."""
        sequence = metadata.sequence.stream
        if self._last is None or sequence > self._last:
            self._last = sequence
            self._on_message(metadata.timestamp.timestamp(), message.subject, message.data)
        self.behind = metadata.num_pending

    def up_to_date(self) -> None:
        """Nothing is left unread."""
        self.behind = 0
        self.current_at = self._clock.now()
        self._tried.set()

    def lost(self, error: NatsError) -> None:
        """The stream is not read now."""
        if self.problem is None or str(error) != str(self.problem):
            log.info("stream %s is not read: %s", self._stream, error)
        self.problem = error
        self._tried.set()


def _removed_before(state: StreamContents, since: float) -> float:
    """Messages stored after `since` and before this moment may have been removed from the stream;
    0.0 if none were.
    """
    if state.first_seq <= 1:
        return 0.0
    kept_from = _kept_from(state)
    return kept_from if kept_from > since else 0.0


def _kept_from(state: StreamContents) -> float:
    """All messages from this moment on are in the stream."""
    return (state.first_ts if state.messages else state.last_ts).timestamp()
