"""The few JetStream API calls we make, answered with values or with why there is none.

Wire format: the JetStream API reference (ADR-1) and nats-server's jetstream_api.go.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from controller.model.readings import Why
from controller.model.text import clean
from controller.ports import (
    NatsDisconnectedError,
    NatsError,
    NatsRequests,
    NatsTimeoutError,
)

MOST_MESSAGES: Final = 10**12
"""No queue is this long; a number beyond it is a fault, not work."""

MOST_BYTES: Final = 8 * 1024 * 1024
"""A page of 256 consumers takes some 200 kB; more than this is not looked into."""

_STREAM_NOT_FOUND: Final = 10059
_CONSUMER_NOT_FOUND: Final = 10014
_NO_JETSTREAM: Final = frozenset({10039, 10076})  # not for this account, not on this server


class NoAnswerError(Exception):
    """Nothing that can be trusted was answered; `why` and `detail` go into the reading."""

    def __init__(self, why: Why, detail: str) -> None:
        super().__init__(detail)
        self.why = why
        self.detail = detail


class ConsumerConfig(msgspec.Struct):
    """What a consumer listens to: one filter, several, or the whole stream."""

    filter_subject: str = ""
    filter_subjects: list[str] | None = None


class Delivered(msgspec.Struct):
    """The last delivery: its number among the consumer's, and its message's in the stream."""

    consumer_seq: int
    stream_seq: int


class ConsumerInfo(msgspec.Struct):
    """One consumer, as CONSUMER.LIST and CONSUMER.INFO give it. Numbers not given are no zeros."""

    stream_name: str
    name: str
    num_pending: int
    num_ack_pending: int
    num_redelivered: int
    num_waiting: int
    paused: bool = False
    delivered: Delivered | None = None
    config: ConsumerConfig = msgspec.field(default_factory=ConsumerConfig)

    @property
    def filters(self) -> tuple[str, ...]:
        """The subjects it takes; empty for all of the stream's."""
        if self.config.filter_subjects:
            return tuple(self.config.filter_subjects)
        return (self.config.filter_subject,) if self.config.filter_subject else ()


class Given(msgspec.Struct):
    """Something that is configured; what exactly does not matter to us."""


class StreamConfig(msgspec.Struct):
    """Where a stream's messages come from."""

    name: str
    subjects: list[str] | None = None
    mirror: Given | None = None
    sources: list[Given] | None = None
    subject_transform: Given | None = None


class ApiError(msgspec.Struct):
    """JetStream's own error."""

    err_code: int = 0
    description: str = ""


class Page(msgspec.Struct):
    """One page of CONSUMER.LIST. In a cluster `missing` and `offline` name consumers that belong to
    the page and whose leaders did not answer.
    """

    total: int | msgspec.UnsetType = msgspec.UNSET
    offset: int = 0
    consumers: list[ConsumerInfo] | None = None
    missing: list[str] | None = None
    offline: dict[str, str] | None = None
    error: ApiError | None = None

    @property
    def silent(self) -> frozenset[str]:
        """Consumers that exist and could not be asked."""
        return frozenset(self.missing or ()) | frozenset(self.offline or ())


class _ErrorAnswer(msgspec.Struct):
    error: ApiError | None = None


class _StreamAnswer(msgspec.Struct):
    config: StreamConfig


class StreamState(msgspec.Struct):
    """Which messages a stream holds; both times are the year 1 where there never was a message."""

    messages: int
    first_seq: int
    last_seq: int
    first_ts: datetime
    last_ts: datetime


class StreamInfo(msgspec.Struct):
    """A stream's state, and when it was created: another stream by the same name tells itself."""

    created: datetime
    state: StreamState


class NewConsumer(msgspec.Struct):
    """A consumer just created, and how many messages are there for it."""

    name: str
    num_pending: int


_PAGE: Final = msgspec.json.Decoder(Page)
_CONSUMER: Final = msgspec.json.Decoder(ConsumerInfo)
_STREAM: Final = msgspec.json.Decoder(_StreamAnswer)
_STREAM_INFO: Final = msgspec.json.Decoder(StreamInfo)
_NEW_CONSUMER: Final = msgspec.json.Decoder(NewConsumer)
_ERROR: Final = msgspec.json.Decoder(_ErrorAnswer)

T = TypeVar("T")


async def consumer_page(nats: NatsRequests, stream: str, offset: int, timeout_s: float) -> Page:
    """The page of the stream's consumers that begins at `offset`. Raises NoAnswerError."""
    payload = json.dumps({"offset": offset}).encode()
    answer = await _ask(nats, f"$JS.API.CONSUMER.LIST.{stream}", payload, timeout_s)
    page = _decode(_PAGE, answer)
    _raise_error(page.error)
    if page.total is msgspec.UNSET or page.consumers is None or page.offset != offset:
        raise NoAnswerError(Why.INCOMPLETE, "an answer that is no page of consumers")
    for info in page.consumers:
        if info.stream_name != stream:
            raise NoAnswerError(Why.INCOMPLETE, f"an answer about {clean(info.stream_name)}")
    return page


async def consumer_info(
    nats: NatsRequests, stream: str, consumer: str, timeout_s: float
) -> ConsumerInfo:
    """One consumer, from its leader. Raises NoAnswerError."""
    answer = await _ask(nats, f"$JS.API.CONSUMER.INFO.{stream}.{consumer}", b"", timeout_s)
    info = _decode_or_error(_CONSUMER, answer)
    if (info.stream_name, info.name) != (stream, consumer):
        raise NoAnswerError(Why.INCOMPLETE, f"an answer about {clean(info.name)}")
    return info


async def stream_config(nats: NatsRequests, stream: str, timeout_s: float) -> StreamConfig:
    """Where a stream's messages come from. Raises NoAnswerError."""
    answer = await _ask(nats, f"$JS.API.STREAM.INFO.{stream}", b"", timeout_s)
    return _decode_or_error(_STREAM, answer).config


async def stream_info(nats: NatsRequests, stream: str, timeout_s: float) -> StreamInfo:
    """Which messages a stream holds. Raises NoAnswerError."""
    answer = await _ask(nats, f"$JS.API.STREAM.INFO.{stream}", b"", timeout_s)
    return _decode_or_error(_STREAM_INFO, answer)


async def create_consumer(
    nats: NatsRequests, stream: str, config: dict[str, Any], timeout_s: float
) -> NewConsumer:
    """A consumer without a name of its own. Raises NoAnswerError."""
    payload = msgspec.json.encode({"stream_name": stream, "config": config})
    answer = await _ask(nats, f"$JS.API.CONSUMER.CREATE.{stream}", payload, timeout_s)
    return _decode_or_error(_NEW_CONSUMER, answer)


def no_answer(error: NatsError) -> NoAnswerError:
    """What a request that failed says about the thing that was asked for."""
    match error:
        case NatsDisconnectedError():
            why = Why.DISCONNECTED
        case NatsTimeoutError():
            why = Why.TIMED_OUT
        case _:
            # may not ask, or nobody listens: JetStream is off for us, or not up yet
            why = Why.REFUSED
    return NoAnswerError(why, clean(error))


async def _ask(nats: NatsRequests, subject: str, payload: bytes, timeout_s: float) -> bytes:
    try:
        answer = await nats.request(subject, payload, timeout_s)
    except NatsError as error:
        raise no_answer(error) from None
    if len(answer) > MOST_BYTES:
        raise NoAnswerError(Why.INCOMPLETE, f"an answer of {len(answer)} bytes")
    return answer


def _decode_or_error(decoder: msgspec.json.Decoder[T], answer: bytes) -> T:
    _raise_error(_decode(_ERROR, answer).error)
    return _decode(decoder, answer)


def _decode(decoder: msgspec.json.Decoder[T], answer: bytes) -> T:
    try:
        return decoder.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NoAnswerError(Why.INCOMPLETE, clean(f"an answer cut or garbled: {error}")) from None


def _raise_error(error: ApiError | None) -> None:
    if error is None:
        return
    detail = clean(f"{error.description} ({error.err_code})")
    if error.err_code == _STREAM_NOT_FOUND:
        raise NoAnswerError(Why.STREAM_MISSING, detail)
    if error.err_code == _CONSUMER_NOT_FOUND:
        raise NoAnswerError(Why.CONSUMER_MISSING, detail)
    why = Why.REFUSED if error.err_code in _NO_JETSTREAM else Why.INCOMPLETE
    raise NoAnswerError(why, detail)
