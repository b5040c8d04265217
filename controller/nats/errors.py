"""What can go wrong with a request to NATS, and the words for it."""

from __future__ import annotations

from nats import errors

from controller.model.readings import Why
from controller.model.servers import why_unreachable
from controller.model.text import clean

_PREFIX = "nats: "


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
        case errors.Error() if _is_authorization(error):
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


def _is_authorization(error: errors.Error) -> bool:
    message = str(error).lower()
    return "authorization" in message or "authentication" in message


def _message(error: errors.Error) -> str:
    return str(error).removeprefix(_PREFIX).strip("' ")
