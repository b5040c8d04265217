"""A session over the life of its server: away, back, killed, frozen, too old."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pytest
from nats.aio.client import DEFAULT_MAX_RECONNECT_ATTEMPTS, Client

from controller.model.settings import NatsTls
from controller.model.snapshot import LinkState
from controller.nats.jetstream import (
    NatsDisconnectedError,
    NatsNoRespondersError,
    NatsTimeoutError,
)
from controller.nats.session import Connection, NatsSession
from tests.integration.nats.conftest import NERVOUS, Connect, Until
from tests.support.nats_server import RealNats


async def test_a_server_that_is_away_at_the_start_is_found_when_it_comes(
    directory: Path, session_to: Connect, until: Until
) -> None:
    server = RealNats(directory).start()
    server.stop()
    session = await session_to(server.url)
    await until(lambda: session.link().state is LinkState.DISCONNECTED)
    assert session.link().detail == (f"{server.url}: nothing listens there (connection refused)")
    with pytest.raises(NatsDisconnectedError, match="connection refused"):
        await session.request("$JS.API.INFO", b"", 5.0)
    with server:
        await until(lambda: session.connected)
        assert session.link().detail == server.url


async def test_the_second_server_is_used_when_the_first_is_away(url: str, connect: Connect) -> None:
    session = await connect("nats://127.0.0.1:1", url)
    assert session.link().detail == url


async def test_a_killed_server_fails_what_waits_at_once_and_is_found_again(
    server: RealNats, connect: Connect, until: Until
) -> None:
    session = await connect(server.url)
    made: list[bool] = []
    session.on_connected(lambda: made.append(session.connected))
    silent = await _silent_subject(session)
    ours = asyncio.create_task(session.request(silent, b"", 30.0))
    of_nats_py = asyncio.create_task(session.jetstream(timeout_s=30.0).publish(silent, b""))
    await asyncio.sleep(0)
    server.kill()
    for waiting in (ours, of_nats_py):
        with pytest.raises(NatsDisconnectedError):
            await waiting
    assert session.link().state is LinkState.DISCONNECTED
    server.start()
    await until(lambda: session.connected)
    assert made == [True]
    assert b"streams" in await session.request("$JS.API.INFO", b"", 5.0)


async def test_a_server_that_is_away_beyond_every_limit_of_attempts_is_found_again(
    server: RealNats, connect: Connect, until: Until
) -> None:
    session = await connect(server.url)
    server.kill()
    async with Refuser(server.url) as refuser:
        await until(lambda: refuser.refused > 2 * DEFAULT_MAX_RECONNECT_ATTEMPTS)
        assert session.link().state is LinkState.DISCONNECTED
    server.start()
    await until(lambda: session.connected)
    assert b"streams" in await session.request("$JS.API.INFO", b"", 5.0)


async def test_a_frozen_server_is_a_dead_server(
    server: RealNats, connect: Connect, until: Until
) -> None:
    session = await connect(server.url, timing=NERVOUS)
    server.freeze()
    with pytest.raises(NatsTimeoutError):
        await session.request("$JS.API.INFO", b"", 0.05)
    await until(lambda: not session.connected)
    assert session.link().detail == "no answer to a ping for 0.2 s"
    server.thaw()
    await until(lambda: session.connected)


async def test_stopping_is_quick_even_when_the_server_is_frozen(
    server: RealNats, connect: Connect
) -> None:
    session = await connect(server.url, timing=NERVOUS)
    server.freeze()
    for _ in range(16):  # more than the socket takes: a polite close waits for the reader
        with pytest.raises(NatsTimeoutError):
            await session.request("lonely", bytes(1_000_000), 0.001)
    async with asyncio.timeout(10.0):  # it takes 0.3 s; a polite close would never end
        await session.stop()


async def test_stopping_while_connecting_is_never_missed(session_to: Connect) -> None:
    """asyncio.wait_for swallows a cancellation that comes together with what it waits for."""
    async with Greeter("INFO {nonsense\r\n") as fake:
        for turns in range(60):
            session = await session_to(fake.url)
            for _ in range(turns):
                await asyncio.sleep(0)
            async with asyncio.timeout(1.0):
                await session.stop()


def test_our_client_hides_no_attribute_of_nats_py() -> None:
    ours = vars(Connection(require_tls=False, has_certificate=False)).keys() - vars(Client()).keys()
    assert not [name for name in ours if hasattr(Client, name)], "nats-py uses one of these names"


async def test_a_client_closed_under_the_session_is_replaced(
    session: NatsSession, until: Until
) -> None:
    first = session._client
    assert first is not None
    await first.close()
    await until(lambda: session.connected)
    assert session._client is not first
    assert first._closed_cb is not None
    await first._closed_cb()
    assert session.connected, "a late report of a former client is not about this connection"


async def test_a_reading_task_that_died_is_noticed(
    url: str, connect: Connect, until: Until
) -> None:
    session = await connect(url, timing=NERVOUS)
    first = session._client
    assert first is not None
    first._reading_task.cancel()
    await until(lambda: session._client is not first and session.connected)


async def test_a_subject_without_listeners_is_told_from_silence(session: NatsSession) -> None:
    with pytest.raises(NatsNoRespondersError, match="nothing listens on lonely"):
        await session.request("lonely", b"", 5.0)
    with pytest.raises(NatsTimeoutError):
        await session.request(await _silent_subject(session), b"", 0.02)


async def test_a_server_without_jetstream_says_so(
    directory: Path, connect: Connect, until: Until
) -> None:
    with RealNats(directory, jetstream=False) as server:
        session = await connect(server.url)
        await until(lambda: "JetStream is not enabled" in session.link().detail)
        assert session.link().state is LinkState.CONNECTED


@pytest.mark.parametrize("version", ["2.9.10", "1.4.1", "0.0.0-dev", "", None, "nonsense"])
async def test_a_server_too_old_is_refused_before_our_password_is_sent(
    version: str | None, session_to: Connect, until: Until
) -> None:
    info = '{"max_payload":1048576' + (f',"version":"{version}"' if version is not None else "")
    async with Greeter(f"INFO {info}}}\r\n") as fake:
        session = await session_to(fake.url)
        await until(lambda: session.unsupported)
        assert "agentdash needs 2.10 or newer" in str(session.unsupported)
        assert session.link().state is LinkState.DISCONNECTED
        assert "agentdash needs 2.10 or newer" in session.link().detail
    assert fake.received == b""


@pytest.mark.parametrize("version", ["2.10.0", "2.12.0-RC.1", "3.0.0", "v2.15.1"])
async def test_a_newer_server_is_greeted(version: str, session_to: Connect, until: Until) -> None:
    async with Greeter(f'INFO {{"version":"{version}","max_payload":1048576}}\r\n') as fake:
        session = await session_to(fake.url)
        await until(lambda: fake.received.startswith(b"CONNECT"))
        assert session.unsupported is None


async def test_tls_asked_for_and_not_offered_sends_nothing(
    session_to: Connect, until: Until
) -> None:
    async with Greeter('INFO {"version":"2.12.0","max_payload":1048576}\r\n') as fake:
        plain = fake.url
        for url, settings in ((plain, {"tls": NatsTls()}), (plain.replace("nats", "tls"), {})):
            session = await session_to(url, **settings)
            await until(lambda session=session: "the server offers none" in session.link().detail)
    assert fake.received == b""


@pytest.mark.parametrize(
    "greeting", ["INFO {nonsense\r\n", "HTTP/1.1 400\r\n", "INFO " + "x" * 99999]
)
async def test_a_server_that_is_not_nats_is_a_state_of_the_link(
    greeting: str, session_to: Connect, until: Until
) -> None:
    async with Greeter(greeting) as fake:
        session = await session_to(fake.url)
        await until(lambda: fake.greeted > 2)
        assert session.link().state is LinkState.DISCONNECTED
        assert session.link().detail


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ("MSG x 1 1000000000000\r\n", "announces a message of 1,000,000,000,000 bytes"),
        ("HMSG x 1 12 67108865\r\n", "67,108,865 bytes, 67,108,864 at most"),
        ("MSG " + "x" * 2**21, "a line of more than 1,048,576 bytes"),
    ],
    ids=["announced", "of no server", "line"],
)
async def test_more_than_a_message_may_have_is_not_waited_for(
    sent: str, words: str, session_to: Connect, until: Until
) -> None:
    """Whatever the server says that it takes, and before any of it has come."""
    info = 'INFO {"version":"2.12.0","max_payload":2000000000000}\r\nPONG\r\n'
    async with Greeter(info + sent) as fake:
        session = await session_to(fake.url)
        await until(lambda: words in session.link().detail)
        await until(lambda: fake.greeted > 2)


class Greeter:
    """Sends one greeting to every connection, and keeps what it receives."""

    def __init__(self, greeting: str) -> None:
        self._greeting = greeting.encode()
        self._transports: list[asyncio.Transport] = []
        self.received = b""

    @property
    def greeted(self) -> int:
        return len(self._transports)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Greeting(self), "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"nats://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for transport in self._transports:
            transport.abort()

    def greet(self, transport: asyncio.Transport) -> None:
        self._transports.append(transport)
        transport.write(self._greeting)


class Refuser:
    """Ends every connection to where a server was, and counts them."""

    def __init__(self, url: str) -> None:
        self._port = urlsplit(url).port
        self.refused = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._refuse, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    def _refuse(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.refused += 1
        writer.close()


class _Greeting(asyncio.Protocol):
    def __init__(self, greeter: Greeter) -> None:
        self._greeter = greeter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._greeter.greet(transport)

    def data_received(self, data: bytes) -> None:
        self._greeter.received += data


async def _silent_subject(session: object) -> str:
    """A subscription exists there and never answers."""
    await session._client.subscribe("silent")  # type: ignore[attr-defined]  # the client behind it
    return "silent"
