"""Whatever JetStream or nats-py answers with becomes a value or one tree of errors."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import nats.errors
import pytest
from nats.js import JetStreamContext
from nats.js.errors import (
    APIError,
    BadRequestError,
    NoStreamResponseError,
    NotFoundError,
    ServiceUnavailableError,
)

from controller.model.readings import Why
from controller.nats.jetstream import (
    ConsumerMissingError,
    JetStreamDisabledError,
    JetStreamError,
    MessageMissingError,
    NatsDisconnectedError,
    NatsError,
    NatsNoRespondersError,
    NatsTimeoutError,
    RevisionConflictError,
    StreamExistsError,
    StreamMissingError,
    UnreadableAnswerError,
    stream_info,
    typed_errors,
)
from support.table import tabled
from tests.unit.nats.fake_nats import Answer, FakeNats, api_error, stream_answer

CODES: dict[int, tuple[type[JetStreamError], Why]] = {
    10059: (StreamMissingError, Why.STREAM_MISSING),
    10058: (StreamExistsError, Why.INCOMPLETE),
    10014: (ConsumerMissingError, Why.CONSUMER_MISSING),
    10037: (MessageMissingError, Why.INCOMPLETE),
    10039: (JetStreamDisabledError, Why.REFUSED),
    10076: (JetStreamDisabledError, Why.REFUSED),
    10071: (RevisionConflictError, Why.INCOMPLETE),
    10164: (RevisionConflictError, Why.INCOMPLETE),
    10008: (JetStreamError, Why.INCOMPLETE),
}


@pytest.mark.parametrize("code", CODES)
async def test_a_code_of_jetstream_is_one_type_of_error_however_it_was_asked(code: int) -> None:
    kind, why = CODES[code]
    session = FakeNats(lambda *_: api_error(code, "in its words"))
    with pytest.raises(NatsError) as ours:
        await stream_info(session, "WORK", 1.0)
    with pytest.raises(NatsError) as theirs, typed_errors():
        await session.jetstream().stream_info("WORK")
    for caught in (ours, theirs):
        assert (type(caught.value), caught.value.why) == (kind, why)
        assert str(caught.value) == f"in its words ({code})"


RAISED: dict[str, tuple[Exception, type[NatsError]]] = {
    "ours": (NatsTimeoutError("late"), NatsTimeoutError),
    "no stream": (NoStreamResponseError(), StreamMissingError),
    "no JetStream": (ServiceUnavailableError(), NatsNoRespondersError),
    "a 503 of JetStream": (
        ServiceUnavailableError(code=503, err_code=10008, description="busy"),
        JetStreamError,
    ),
    "not found": (NotFoundError(code=404, err_code=10059, description="x"), StreamMissingError),
    "refused": (BadRequestError(code=400, err_code=10071, description="x"), RevisionConflictError),
    "without a code": (APIError(code=500), JetStreamError),
    "closed": (nats.errors.ConnectionClosedError(), NatsDisconnectedError),
    "garbled": (json.JSONDecodeError("x", "y", 0), UnreadableAnswerError),
    "incomplete": (KeyError("message"), UnreadableAnswerError),
    "another type": (TypeError("list"), UnreadableAnswerError),
    "no object": (AttributeError("get"), UnreadableAnswerError),
}


@tabled(("raised", "kind"), RAISED.values(), ids=RAISED)
def test_what_nats_py_raises_becomes_an_error_of_our_tree(
    raised: Exception, kind: type[NatsError]
) -> None:
    with pytest.raises(NatsError) as caught, typed_errors():
        raise raised
    assert type(caught.value) is kind


# add_stream is left out: nothing of its answer is read but the error
CALLS: dict[str, Callable[[JetStreamContext], Awaitable[Any]]] = {
    "publish": lambda js: js.publish("$KV.b.k", b""),
    "get_msg": lambda js: js.get_msg("KV_b", None, "$KV.b.k"),
    "purge_stream": lambda js: js.purge_stream("KV_b"),
    "add_consumer": lambda js: js.add_consumer("S"),
    "delete_consumer": lambda js: js.delete_consumer("S", "c"),
    "account_info": lambda js: js.account_info(),
}
GARBLED: list[Answer] = [
    b"",
    b"null",
    b"[]",
    b"7",
    b"{}",
    b"<html>",
    b"\xff",
    b'{"error":{"surprise":1}}',
    b'{"message":{"time":7}}',
    b'{"stream":1}',
]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("answer", GARBLED, ids=repr)
async def test_a_garbled_answer_to_nats_py_raises_one_of_our_errors(
    call: Callable[[JetStreamContext], Awaitable[Any]], answer: Answer
) -> None:
    session = FakeNats(lambda *_: answer)
    with pytest.raises(NatsError), typed_errors():
        await call(session.jetstream())


@pytest.mark.parametrize(
    "answer",
    [b"", b"null", b"[]", b"{}", b"\xff", b'{"state":{}}', stream_answer(state={"last_seq": "x"})],
    ids=repr,
)
async def test_a_garbled_stream_is_an_unreadable_answer(answer: Answer) -> None:
    with pytest.raises(UnreadableAnswerError):
        await stream_info(FakeNats(lambda *_: answer), "WORK", 1.0)


async def test_an_error_wins_over_a_value_in_the_same_answer() -> None:
    answer = stream_answer() | api_error(10059, "stream not found")
    with pytest.raises(StreamMissingError):
        await stream_info(FakeNats(lambda *_: answer), "WORK", 1.0)


async def test_the_words_of_an_error_are_cleaned() -> None:
    session = FakeNats(lambda *_: api_error(10059, "\x1b[31mred"))
    for call in (stream_info(session, "WORK", 1.0), session.jetstream().stream_info("WORK")):
        with pytest.raises(NatsError) as caught, typed_errors():
            await call
        assert str(caught.value).isprintable()
