"""What controller/nats relies on in nats-py's JetStreamContext and in its words of the wire format.

See test_client_contract.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import nats.errors
import nats.js.errors
import pytest
from nats.aio.client import ServerVersion
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api
from nats.js import client as js_client
from nats.js import kv as js_kv


class Asked:
    """A connection whose every request is kept and answered with `answer`."""

    connected_server_version = ServerVersion("2.12.0")

    def __init__(self, answer: dict[str, Any] | Exception) -> None:
        self._answer = answer
        self.requests: list[tuple[str, dict[str, Any] | None]] = []

    async def request(
        self,
        subject: str,
        payload: bytes = b"",  # noqa: ARG002
        timeout: float = 0.5,  # noqa: ARG002, ASYNC109
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        self.requests.append((subject, headers))
        if isinstance(self._answer, Exception):
            raise self._answer
        return Msg(_client=None, data=json.dumps(self._answer).encode())  # type: ignore[arg-type]


NEVER = "0001-01-01T00:00:00Z"
STATE = {"messages": 0, "bytes": 0, "first_seq": 0, "last_seq": 0, "consumer_count": 0}
MESSAGE = {"subject": "$KV.b.k", "seq": 7, "time": "2026-11-01T00:00:00.5Z", "data": "eA=="}
CALLS: dict[str, tuple[Callable[[JetStreamContext], Any], str, dict[str, Any]]] = {
    "publish": (
        lambda js: js.publish("$KV.b.k", b"x", headers={"A": "B"}),
        "$KV.b.k",
        {"stream": "KV_b", "seq": 3},
    ),
    "get_msg by subject": (
        lambda js: js.get_msg("KV_b", None, "$KV.b.k", direct=False),
        "$JS.API.STREAM.MSG.GET.KV_b",
        {"message": MESSAGE},
    ),
    "get_msg by revision": (
        lambda js: js.get_msg("KV_b", 7, None, direct=False),
        "$JS.API.STREAM.MSG.GET.KV_b",
        {"message": MESSAGE},
    ),
    "add_stream": (
        lambda js: js.add_stream(api.StreamConfig(name="KV_b", subjects=["$KV.b.>"])),
        "$JS.API.STREAM.CREATE.KV_b",
        {"config": {"name": "KV_b"}, "state": STATE},
    ),
    "purge_stream": (
        lambda js: js.purge_stream("KV_b", seq=3, subject="$KV.b.x.>"),
        "$JS.API.STREAM.PURGE.KV_b",
        {"success": True},
    ),
    "add_consumer": (
        lambda js: js.add_consumer("S", api.ConsumerConfig(ack_policy=api.AckPolicy.NONE)),
        "$JS.API.CONSUMER.CREATE.S",
        {"stream_name": "S", "name": "c", "created": NEVER, "config": {}, "num_pending": 2},
    ),
    "delete_consumer": (
        lambda js: js.delete_consumer("S", "c"),
        "$JS.API.CONSUMER.DELETE.S.c",
        {"success": True},
    ),
    "account_info": (
        lambda js: js.account_info(),
        "$JS.API.INFO",
        {
            "memory": 0,
            "storage": 0,
            "streams": 0,
            "consumers": 0,
            "limits": {
                "max_memory": -1,
                "max_storage": -1,
                "max_streams": -1,
                "max_consumers": -1,
                "max_ack_pending": -1,
                "memory_max_stream_bytes": -1,
                "storage_max_stream_bytes": -1,
                "max_bytes_required": False,
            },
            "api": {"total": 0, "errors": 0},
        },
    ),
}


@pytest.mark.parametrize(("call", "subject", "answer"), CALLS.values(), ids=CALLS)
async def test_jetstream_context_asks_by_the_request_of_its_connection(
    call: Callable[[JetStreamContext], Any], subject: str, answer: dict[str, Any]
) -> None:
    why = "requests fail at once on a lost connection only if JetStreamContext asks by request()"
    asked = Asked(answer)
    await call(JetStreamContext(asked, timeout=2.0))  # type: ignore[arg-type]
    assert [name for name, _ in asked.requests] == [subject], why


async def test_answers_of_jetstream_context_have_the_fields_that_we_read() -> None:
    js = JetStreamContext(Asked({"message": MESSAGE | {"hdrs": HEADERS}}))  # type: ignore[arg-type]
    message = await js.get_msg("KV_b", None, "$KV.b.k", direct=False)
    assert (message.subject, message.seq, message.data) == ("$KV.b.k", 7, b"x")
    assert message.time is not None
    assert message.time.timestamp() == 1793491200.5, "Bucket takes the time of a write from it"
    assert message.headers == {"KV-Operation": "DEL"}, "Bucket finds delete markers by headers"
    call, _, answer = CALLS["add_consumer"]
    created = await call(JetStreamContext(Asked(answer)))  # type: ignore[arg-type]
    assert (created.name, created.num_pending) == ("c", 2), "the follower reads these"


HEADERS = "TkFUUy8xLjANCktWLU9wZXJhdGlvbjogREVMDQoNCg=="


async def test_errors_of_jetstream_context_are_those_that_we_translate() -> None:
    gone = Asked(nats.errors.NoRespondersError())
    with pytest.raises(nats.js.errors.NoStreamResponseError):
        await JetStreamContext(gone).publish("a", b"")  # type: ignore[arg-type]
    with pytest.raises(nats.js.errors.ServiceUnavailableError) as caught:
        await JetStreamContext(gone).account_info()  # type: ignore[arg-type]
    assert caught.value.err_code is None, "typed_errors tells by it that nothing answered"
    error = {"code": 400, "err_code": 10071, "description": "wrong last sequence: 5"}
    with pytest.raises(nats.js.errors.APIError) as refused:
        await JetStreamContext(Asked({"error": error})).publish("a", b"")  # type: ignore[arg-type]
    assert (refused.value.err_code, refused.value.description) == (10071, error["description"])


@pytest.mark.parametrize(
    "reply",
    ["$JS.ACK.S.c.1.7.2.1500000000.3", "$JS.ACK.hub.acc.S.c.1.7.2.1500000000.3.rnd"],
    ids=["without a domain", "with a domain"],
)
def test_the_metadata_of_a_message_is_read_from_its_reply(reply: str) -> None:
    metadata = Msg(_client=None, reply=reply).metadata  # type: ignore[arg-type]
    assert (metadata.sequence.stream, metadata.sequence.consumer) == (7, 2)
    assert (metadata.timestamp.timestamp(), metadata.num_pending) == (1.5, 3)


@pytest.mark.parametrize("reply", ["", "elsewhere", "$JS.ACK.a.b.1.x.y.z.0"])
def test_a_reply_from_elsewhere_raises_what_the_follower_catches(reply: str) -> None:
    message = Msg(_client=None, reply=reply)  # type: ignore[arg-type]
    with pytest.raises((nats.errors.Error, ValueError, LookupError)):
        assert message.metadata


def test_the_words_of_the_wire_format_have_these_names() -> None:
    assert api.DEFAULT_PREFIX == "$JS.API"
    assert js_client.KV_STREAM_TEMPLATE.format(bucket="b") == "KV_b"
    assert js_client.KV_PRE_TEMPLATE.format(bucket="b") == "$KV.b."
    assert (js_kv.KV_OP, js_kv.KV_DEL, js_kv.KV_PURGE) == ("KV-Operation", "DEL", "PURGE")
    assert js_kv.KV_MARKER_REASON == "Nats-Marker-Reason"
    assert api.Header.EXPECTED_LAST_SUBJECT_SEQUENCE == "Nats-Expected-Last-Subject-Sequence"
    assert api.Header.MSG_ID == "Nats-Msg-Id"
    codes = api.StatusCode
    assert (codes.NO_MESSAGES, codes.REQUEST_TIMEOUT) == ("404", "408")
    assert (codes.CONTROL_MESSAGE, codes.SERVICE_UNAVAILABLE) == ("100", "503")
