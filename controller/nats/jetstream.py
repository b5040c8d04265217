"""Requests to JetStream: what can go wrong with them, their answers, and the words for both.

Requests are nats-py's. Some answers are decoded here or beside the reader instead: CONSUMER.LIST,
CONSUMER.INFO (see lag.py) and STREAM.INFO, because nats-py's StreamInfo drops the times of
the first and last message and the number of subjects in all, and does not check that numbers are
numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from types import MappingProxyType
from typing import Final, Protocol, TypeVar

import msgspec
from nats import errors
from nats.js import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError, ServiceUnavailableError
from nats.protocol.parser import AWAITING_CONTROL_LINE, AWAITING_MSG_PAYLOAD, Parser

from controller.model.readings import Why
from controller.model.servers import ErrorCode, why_unreachable
from controller.model.text import clean
from controller.model.value import UndecodableError, decoded

_PREFIX = "nats: "
_AUTHORIZATION: Final = re.compile("authorization|authentication", re.IGNORECASE)


class NatsError(Exception):
    """A request brought no answer that can be used. The message says why and may be shown; `why` is
    what a reading says of it.

    NatsError
    ├── NatsDisconnectedError      there is no connection: raised at once, nothing was sent
    ├── NatsTimeoutError           sent, and no answer came in time
    ├── NatsRefusedError           our user may not do this
    ├── NatsNoRespondersError      nothing listens on this subject
    ├── UnreadableAnswerError      the answer is cut, garbled, or about something else
    └── JetStreamError             JetStream answered with an error
        ├── JetStreamDisabledError   JetStream is off on this server or for our account
        ├── StreamMissingError       there is no such stream
        ├── StreamExistsError        a stream by this name has another configuration
        ├── ConsumerMissingError     there is no such consumer
        ├── MessageMissingError      the stream has no such message
        └── RevisionConflictError    another write to this subject came first
    """

    why: Why = Why.INCOMPLETE


class NatsDisconnectedError(NatsError):
    """There is no connection, or it was lost before the answer came."""

    why = Why.DISCONNECTED


class NatsTimeoutError(NatsError):
    """The request was sent, and no answer came in time."""

    why = Why.TIMED_OUT


class NatsRefusedError(NatsError):
    """Our user may not do this."""

    why = Why.REFUSED


class NatsNoRespondersError(NatsError):
    """Nothing listens on this subject: JetStream is off for us, or not up yet."""

    why = Why.REFUSED


class UnreadableAnswerError(NatsError):
    """The answer is cut, garbled, or about something else."""


class JetStreamError(NatsError):
    """JetStream answered with an error."""


class JetStreamDisabledError(JetStreamError):
    """JetStream is off on this server or for our account."""

    why = Why.REFUSED


class StreamMissingError(JetStreamError):
    """There is no such stream."""

    why = Why.STREAM_MISSING


class StreamExistsError(JetStreamError):
    """A stream by this name exists, with another configuration."""


class ConsumerMissingError(JetStreamError):
    """There is no such consumer."""

    why = Why.CONSUMER_MISSING


class MessageMissingError(JetStreamError):
    """The stream has no such message."""


class RevisionConflictError(JetStreamError):
    """Another write to this subject came first."""


def describe(error: BaseException) -> str:
    """What went wrong with a connection: one line that names neither credentials nor payloads."""
    match error:
        case errors.UnexpectedEOF():
            words = "the server closed the connection"
        case errors.Error() if _AUTHORIZATION.search(str(error)):
            words = f"the server refuses our credentials ({_message(error)})"
        case TimeoutError():
            words = "no answer in time"
        case errors.Error():
            words = _message(error)
        case OSError():
            words = why_unreachable(error) or error.strerror or str(error) or type(error).__name__
        case _:
            words = f"{type(error).__name__}: {error}"
    return clean(words)


def _message(error: errors.Error) -> str:
    return str(error).removeprefix(_PREFIX).strip("' ")


MOST_MESSAGE_BYTES: Final = 64 * 2**20
"""No server can be told to take more; what a peer says that it takes may be anything."""
MOST_CONTROL_LINE_BYTES: Final = 2**20


class BoundedParser(Parser):
    """nats-py's parser with a bound for what a peer announces; more is a connection's error."""

    async def parse(self, data: bytes = b"") -> None:
        """Take in what was read. Raises ProtocolError."""
        await super().parse(data)
        most, words = min(self.nc.max_payload, MOST_MESSAGE_BYTES), ""
        if self.needed > most and self.state == AWAITING_MSG_PAYLOAD:
            words = f"the server announces a message of {self.needed:,} bytes, {most:,} at most"
        elif len(self.buf) > MOST_CONTROL_LINE_BYTES and self.state == AWAITING_CONTROL_LINE:
            words = f"the server sends a line of more than {MOST_CONTROL_LINE_BYTES:,} bytes"
        if words:
            self.reset()
            await self.nc._error_cb(errors.Error(words))  # noqa: SLF001 - who reports a ProtocolError
            raise errors.ProtocolError


ANSWER_S: Final = 2.0
"""How long an answer may take, where a reading has no deadline of its own."""

MOST_ADMIN_BYTES: Final = 8 * 1024 * 1024
"""A page of 256 consumers takes about 150 kB. A larger answer than this is not decoded."""

_ERRORS: Final[Mapping[int, type[JetStreamError]]] = MappingProxyType(
    {
        ErrorCode.STREAM_NOT_FOUND: StreamMissingError,
        ErrorCode.STREAM_NAME_IN_USE: StreamExistsError,
        ErrorCode.CONSUMER_NOT_FOUND: ConsumerMissingError,
        ErrorCode.MESSAGE_NOT_FOUND: MessageMissingError,
        ErrorCode.NOT_ENABLED: JetStreamDisabledError,
        ErrorCode.NOT_ENABLED_FOR_ACCOUNT: JetStreamDisabledError,
        ErrorCode.WRONG_LAST_SEQUENCE: RevisionConflictError,
        ErrorCode.WRONG_LAST_SEQUENCE_CONSTANT: RevisionConflictError,
    }
)


class ErrorDetail(msgspec.Struct):
    """JetStream's own error, as every answer may hold it."""

    err_code: int = 0
    description: str = ""


class JetStreamAnswer(msgspec.Struct):
    """The part that all answers share."""

    error: ErrorDetail | None = None


class Configured(msgspec.Struct):
    """A part of a configuration; only its presence is read."""


class StreamConfiguration(msgspec.Struct):
    """Where messages come from, on how many servers; how many messages, bytes, and messages of a
    subject it keeps (-1: all), and how long (nanoseconds, 0: for ever).
    """

    subjects: list[str] | None = None
    max_msgs: int = -1
    max_bytes: int = -1
    max_msgs_per_subject: int = -1
    max_age: int = 0
    discard: str = "old"
    discard_new_per_subject: bool = False
    num_replicas: int = 1
    mirror: Configured | None = None
    sources: list[Configured] | None = None
    subject_transform: Configured | None = None


class StreamContents(msgspec.Struct):
    """A stream's messages; times are in the year 1 without one, `subjects` if asked."""

    messages: int
    first_seq: int
    last_seq: int
    first_ts: datetime
    last_ts: datetime
    subjects: dict[str, int] = msgspec.field(default_factory=dict)


class StreamCluster(msgspec.Struct):
    """The cluster that keeps a stream; a server by itself has no name of one."""

    name: str = ""


class StreamInfo(JetStreamAnswer, kw_only=True):
    """A stream. `created` tells namesakes apart, `total` counts subjects of which one answer may
    hold a part, `ts` is the server's clock.
    """

    created: datetime
    config: StreamConfiguration
    state: StreamContents
    total: int = 0
    ts: datetime | None = None
    cluster: StreamCluster | None = None


class Requests(Protocol):
    """The part of a session that the reads here need. JetStream's subjects begin with `api`."""

    api: str

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        """The answer's payload. Raises NatsError."""
        ...


AnswerT = TypeVar("AnswerT", bound=JetStreamAnswer)


_STREAM_INFO: Final = msgspec.json.Decoder(StreamInfo)
_ERROR: Final = msgspec.json.Decoder(JetStreamAnswer)


async def stream_info(
    nats: Requests, stream: str, timeout_s: float, *, subjects: str | None = None
) -> StreamInfo:
    """A stream now, with its subjects that match the pattern `subjects`. Raises NatsError."""
    payload = b"" if subjects is None else msgspec.json.encode({"subjects_filter": subjects})
    return await ask(nats, f"STREAM.INFO.{stream}", payload, _STREAM_INFO, timeout_s)


async def ask(
    nats: Requests,
    verb: str,
    payload: bytes,
    decoder: msgspec.json.Decoder[AnswerT],
    timeout_s: float,
) -> AnswerT:
    """Ask JetStream's API and decode the answer. Raises NatsError."""
    answer = await nats.request(f"{nats.api}.{verb}", payload, timeout_s)
    if len(answer) > MOST_ADMIN_BYTES:
        raise UnreadableAnswerError(f"an answer of {len(answer)} bytes")
    try:
        value = decoded(decoder, answer, most_bytes=MOST_ADMIN_BYTES)
    except UndecodableError as error:
        # an error's answer lacks what the value must have
        with suppress(UndecodableError):
            _raise_error(decoded(_ERROR, answer, most_bytes=MOST_ADMIN_BYTES).error)
        raise UnreadableAnswerError(clean(f"an answer cut or garbled: {error}")) from None
    _raise_error(value.error)
    return value


@contextmanager
def typed_errors() -> Iterator[None]:
    """Calls of nats-py's JetStreamContext within this block raise only NatsError."""
    try:
        yield
    except NoStreamResponseError as error:
        raise StreamMissingError("no stream takes this subject") from error
    except ServiceUnavailableError as error:
        if error.err_code is not None:
            raise _typed(error.err_code, error.description or "") from error
        raise NatsNoRespondersError("nothing listens on this subject") from error
    except APIError as error:
        raise _typed(error.err_code or 0, error.description or "") from error
    except errors.Error as error:
        raise NatsDisconnectedError(describe(error)) from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        # nats-py decodes answers without checking types
        raise UnreadableAnswerError(clean(f"an answer cut or garbled: {error!r}")) from error


async def jetstream_problem(jetstream: Callable[[], JetStreamContext], domain: str | None) -> str:
    """Why there is no JetStream for us; empty if there is, or if we may not ask. Never raises."""
    try:
        with typed_errors():
            await jetstream().account_info()
    except NatsNoRespondersError:
        if domain is not None:
            return f"no JetStream of domain {domain} answers"
        return "JetStream is not enabled on this server, or not up yet"
    except JetStreamError as error:
        return str(error)
    except NatsError:
        return ""
    return ""


def _raise_error(error: ErrorDetail | None) -> None:
    if error is not None:
        raise _typed(error.err_code, error.description)


def _typed(code: int, description: str) -> JetStreamError:
    return _ERRORS.get(code, JetStreamError)(clean(f"{description} ({code})"))
