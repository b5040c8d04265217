"""Every part of nats-py that controller/nats overrides or relies on beyond its documentation.

A new version of nats-py may change any of them in a minor release. Then the test here fails first,
and its name and message say what of ours depends on it. CI runs the contract files against
the pinned version and, as a report, against the newest one.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import ParseResult

import nats.errors
import pytest
from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, RawCredentials, Srv
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.js import api

from controller.nats.client import GreetingError, StrictClient, UnsupportedVersionError
from tests.unit.nats.tiny_server import TinyServer

pytestmark = pytest.mark.timeout(5)
"""A part that is gone often shows as a wait without an end."""


def parameters(function: Callable[..., object]) -> list[str]:
    return list(inspect.signature(function).parameters)


class Connected:
    """A client on a tiny server, and what nats-py reported by its callbacks."""

    def __init__(self, server: TinyServer, client: Client) -> None:
        self.server = server
        self.client = client
        self.errors: list[Exception] = []
        self.closed = asyncio.Event()

    async def on_error(self, error: Exception) -> None:
        self.errors.append(error)

    async def on_closed(self) -> None:
        self.closed.set()


@asynccontextmanager
async def connected(client: Client | None = None, **options: Any) -> AsyncIterator[Connected]:
    """Connected with the options that a session uses."""
    async with TinyServer() as server:
        link = Connected(server, client or StrictClient(require_tls=False, has_certificate=False))
        await link.client.connect(
            servers=[server.url],
            name="contract",
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=2,
            ping_interval=3600,
            pending_size=0,
            error_cb=link.on_error,
            closed_cb=link.on_closed,
            **options,
        )
        try:
            yield link
        finally:
            await link.client.close()


# --- client.py: the greeting is checked before credentials are sent


def test_process_info_is_the_hook_that_sees_the_greeting() -> None:
    why = "StrictClient overrides Client._process_info to check the greeting"
    assert inspect.iscoroutinefunction(Client._process_info), why
    assert parameters(Client._process_info) == ["self", "info", "initial_connection"], why


async def test_an_error_in_process_info_ends_the_connection_before_connect_is_sent() -> None:
    client = StrictClient(require_tls=False, has_certificate=False)
    async with TinyServer(version="2.9.0") as server:
        with pytest.raises(UnsupportedVersionError):
            await client.connect(servers=[server.url], allow_reconnect=False, token="secret")
        await client.discard()
    assert server.received == b"", "a server that is too old must not get our token"


async def test_tls_required_set_in_process_info_makes_nats_py_start_tls() -> None:
    client = StrictClient(require_tls=True, has_certificate=False)
    options = {"allow_reconnect": False, "connect_timeout": 1, "tls": ssl.create_default_context()}
    async with TinyServer(tls_available=True) as server:
        connecting = asyncio.create_task(client.connect(servers=[server.url], **options))
        await server.receives(b"\x16\x03")  # the first bytes of a TLS handshake
        server.hang_up()
        with pytest.raises((OSError, nats.errors.Error)):
            await connecting
        await client.discard()
    assert b"CONNECT" not in server.received, "credentials must not be sent without TLS"


async def test_without_tls_in_the_greeting_nothing_is_sent() -> None:
    client = StrictClient(require_tls=True, has_certificate=False)
    async with TinyServer() as server:
        with pytest.raises(GreetingError):
            await client.connect(servers=[server.url], allow_reconnect=False)
        await client.discard()
    assert server.received == b""


# --- client.py: our own socket, and closing at once


def test_connect_to_server_is_where_the_transport_is_made() -> None:
    why = "StrictClient overrides Client._connect_to_server to connect with its own socket"
    assert inspect.iscoroutinefunction(Client._connect_to_server), why
    assert parameters(Client._connect_to_server) == ["self", "s"], why
    assert "uri" in Srv.__dataclass_fields__, why
    assert DEFAULT_BUFFER_SIZE > 0, why


def test_a_tcp_transport_holds_the_streams_under_these_names() -> None:
    why = "_Socket.connect sets what TcpTransport.connect sets, and abort() closes _io_writer"
    transport = TcpTransport()
    for name in ("_io_reader", "_io_writer", "_bare_io_reader", "_bare_io_writer"):
        assert getattr(transport, name) is None, why
    assert parameters(TcpTransport.connect) == ["self", "uri", "buffer_size", "connect_timeout"]


async def test_the_client_reads_and_writes_by_the_transport_that_we_set() -> None:
    async with connected() as link:
        transport = link.client._transport
        assert isinstance(transport, TcpTransport), "_connect_to_server sets _transport"
        assert type(transport) is not TcpTransport, "nats-py replaced the socket that can abort"
        assert isinstance(link.client.connected_url, ParseResult)
        assert link.client.options["connect_timeout"] == 2, "_connect_to_server reads this option"


async def test_a_client_that_was_never_opened_has_no_flush_queue() -> None:
    client = StrictClient(require_tls=False, has_certificate=False)
    assert client._flush_queue is None, "discard() tells by it that there is nothing to close"
    await client.discard()
    async with connected() as link:
        assert link.client._flush_queue is not None


async def test_subscriptions_are_kept_in_subs_and_can_stop_without_the_server() -> None:
    why = "discard() ends the subscriptions of a frozen server by _subs and _stop_processing()"
    assert not inspect.iscoroutinefunction(Subscription._stop_processing), why
    async with connected() as link:
        subscription = await link.client.subscribe("a", cb=ignore)
        assert subscription in link.client._subs.values(), why
        assert isinstance(link.client, StrictClient)
        await link.client.discard()
        assert link.client._subs == {}, why
        assert link.client.is_closed
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()], why


def test_the_strict_client_hides_no_attribute_of_nats_py() -> None:
    ours = (
        vars(StrictClient(require_tls=False, has_certificate=False)).keys() - vars(Client()).keys()
    )
    assert ours == {"_require_tls", "_has_certificate", "requester"}
    assert not [name for name in ours if hasattr(Client, name)], "nats-py uses one of these names"


def test_request_has_the_signature_that_we_override() -> None:
    expected = ["self", "subject", "payload", "timeout", "old_style", "headers"]
    assert parameters(Client.request) == expected, "StrictClient.request overrides Client.request"


# --- session.py and connection.py: what nats-py reports


async def test_what_cannot_be_sent_fails_now() -> None:
    async with connected() as link:
        link.server.hang_up()
        await link.closed.wait()  # a session learns by closed_cb that a connection is lost
        with pytest.raises(nats.errors.Error):
            await link.client.publish("a", b"")
        assert link.client.is_closed


async def test_permission_violations_come_to_the_error_callback_with_verb_and_subject() -> None:
    async with connected() as link:
        link.server.send(b"-ERR 'Permissions Violation for Publish to \"Work.A\"'\r\n")
        link.server.send(b"-ERR 'Permissions Violation for Subscription to \"work.b\"'\r\n")
        await link.client.flush()
        assert [str(error).lower() for error in link.errors] == [
            'nats: permissions violation for publish to "work.a"',
            'nats: permissions violation for subscription to "work.b"',
        ], "Connection.refused reads verb and subject from these words"
        assert link.client.is_connected, "a refused subject must not end the connection"


async def test_a_subscription_for_one_message_sets_its_future_and_tells_the_server() -> None:
    async with connected() as link:
        message: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        subscription = await link.client.subscribe("work.a", future=message, max_msgs=1)
        await subscription.unsubscribe(limit=1)
        number = subscription._id
        await link.server.receives(f"UNSUB {number} 1\r\n".encode())
        link.server.send(f"MSG work.a {number} 1\r\nx\r\nMSG work.a {number} 1\r\ny\r\n".encode())
        assert (await message).data == b"x", "wakes come by the future of the subscription"
        assert subscription.subject == "work.a"


async def test_rtt_fails_when_the_server_is_silent() -> None:
    async with connected() as link:
        assert await link.client.rtt() >= 0.0
        link.server.data_received = lambda _: None  # type: ignore[method-assign, misc]
        with pytest.raises((TimeoutError, nats.errors.Error)):
            async with asyncio.timeout(0.02):
                await link.client.rtt()


def test_the_options_of_connect_that_a_session_uses_exist() -> None:
    options = set(parameters(Client.connect))
    assert options >= {
        *("servers", "name", "allow_reconnect", "max_reconnect_attempts", "reconnect_time_wait"),
        *("connect_timeout", "ping_interval", "pending_size", "error_cb", "closed_cb"),
        *("user", "password", "token", "nkeys_seed_str", "user_credentials", "tls"),
    }, "session.py and credentials.py give these"
    assert issubclass(RawCredentials, object)
    assert str(RawCredentials("jwt")) == "jwt", "creds files are given as RawCredentials"


def test_nats_py_logs_below_the_logger_nats() -> None:
    names = [name for name in logging.Logger.manager.loggerDict if name.startswith("nats")]
    assert names, "nats-py's own log lines would double ours if it logged under another name"


async def test_a_status_message_shows_status_and_description_as_headers() -> None:
    heartbeat = b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 3\r\n\r\n"
    gone = b"NATS/1.0 409 Consumer Deleted\r\n\r\n"
    async with connected() as link:
        taken: list[Msg] = []

        async def take(message: Msg) -> None:
            taken.append(message)

        number = (await link.client.subscribe("d", cb=take))._id
        for headers in (heartbeat, gone):
            size = len(headers)
            link.server.send(f"HMSG d {number} {size} {size}\r\n".encode() + headers + b"\r\n")
        while len(taken) < 2:
            await asyncio.sleep(0)
    first, second = (message.headers or {} for message in taken)
    why = "the follower tells heartbeats, ends of pulls and deleted consumers by these headers"
    assert (first[api.Header.STATUS], first[api.Header.LAST_CONSUMER]) == ("100", "3"), why
    assert (second[api.Header.STATUS], second[api.Header.DESCRIPTION]) == (
        "409",
        "Consumer Deleted",
    ), why


async def ignore(_: Msg) -> None:
    """A subscription's callback for messages that no test looks at."""
