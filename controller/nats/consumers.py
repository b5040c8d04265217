"""Consumers as CONSUMER.LIST and CONSUMER.INFO give them, decoded into the few fields we read.

nats-py's `consumers_info` drops the total, so it cannot be known whether a list is complete, and
it takes 15 µs a consumer where this takes 0.6 µs (a page of 256, tests/benchmarks/bench_lag.py).
"""

from __future__ import annotations

from typing import Final

import msgspec

from controller.model.text import clean
from controller.nats.errors import UnreadableAnswerError
from controller.nats.jetstream import JetStreamAnswer, Requests, ask


# gc=False: none of these can be in a reference cycle, and every tick decodes thousands of them
class ConsumerConfiguration(msgspec.Struct, gc=False):
    """The subjects a consumer takes: one filter, several, or with neither the whole stream; and how
    often it delivers a message at most, 0 or less for no limit.
    """

    filter_subject: str = ""
    filter_subjects: list[str] | None = None
    max_deliver: int = -1

    def subjects(self) -> tuple[str, ...]:
        """All filters; empty for the whole stream."""
        if self.filter_subjects:
            return tuple(self.filter_subjects)
        return (self.filter_subject,) if self.filter_subject else ()


class LastDelivery(msgspec.Struct, gc=False):
    """The last delivery: its number among the consumer's, and its message's in the stream."""

    consumer_seq: int
    stream_seq: int


class AckFloor(msgspec.Struct, frozen=True, gc=False):
    """The deliveries up to `consumer_seq`, of messages up to `stream_seq`, are acknowledged.
    `last_active` is the time of the last acknowledgement of any message, empty before the first
    since the consumer has its leader (nats-server, consumer.go updateAcks).
    """

    consumer_seq: int
    stream_seq: int
    last_active: str = ""


class ConsumerState(JetStreamAnswer, kw_only=True, gc=False):
    """One consumer. A missing number makes the answer unreadable; it is not a zero."""

    stream_name: str
    name: str
    num_pending: int
    num_ack_pending: int
    num_redelivered: int
    num_waiting: int
    paused: bool = False
    created: str = ""
    delivered: LastDelivery | None = None
    ack_floor: AckFloor | None = None
    config: ConsumerConfiguration = msgspec.field(default_factory=ConsumerConfiguration)


class ConsumerPage(JetStreamAnswer, kw_only=True):
    """One page of CONSUMER.LIST. In a cluster `missing` and `offline` name consumers that belong to
    the page and whose leaders did not answer.
    """

    total: int
    consumers: list[ConsumerState]
    offset: int = 0
    missing: list[str] | None = None
    offline: dict[str, str] | None = None

    @property
    def silent(self) -> frozenset[str]:
        """Consumers that exist and did not answer."""
        return frozenset(self.missing or ()) | frozenset(self.offline or ())


_PAGE: Final = msgspec.json.Decoder(ConsumerPage)
_CONSUMER: Final = msgspec.json.Decoder(ConsumerState)


async def consumer_page(nats: Requests, stream: str, offset: int, timeout_s: float) -> ConsumerPage:
    """The page of the stream's consumers that begins at `offset`. Raises NatsError."""
    payload = b'{"offset":%d}' % offset
    page = await ask(nats, f"CONSUMER.LIST.{stream}", payload, _PAGE, timeout_s)
    if page.offset != offset:
        raise UnreadableAnswerError(f"the page from {page.offset} instead of {offset}")
    for consumer in page.consumers:
        if consumer.stream_name != stream:
            raise UnreadableAnswerError(f"an answer about {clean(consumer.stream_name)}")
    return page


async def consumer_state(
    nats: Requests, stream: str, consumer: str, timeout_s: float
) -> ConsumerState:
    """One consumer, from its leader. Raises NatsError."""
    state = await ask(nats, f"CONSUMER.INFO.{stream}.{consumer}", b"", _CONSUMER, timeout_s)
    if (state.stream_name, state.name) != (stream, consumer):
        raise UnreadableAnswerError(f"an answer about {clean(state.name)}")
    return state
