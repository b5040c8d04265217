"""nats-py's client with four differences: it checks the greeting before it sends credentials, its
requests fail as soon as there can be no answer, it never reconnects by itself, and it can be closed
at once.

Every private part of nats-py that this file overrides or reads is named in
tests/unit/nats/test_client_contract.py. pyproject.toml pins nats-py to the minor version whose
private parts these are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Mapping
from typing import Any, Final, Protocol
from urllib.parse import ParseResult

from nats import errors
from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, Srv
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport

from controller.model.nats_greeting import NO_TLS, offers_tls
from controller.model.text import clean
from controller.nats.errors import NatsDisconnectedError, NatsNoRespondersError

OLDEST: Final = (2, 10)
"""Older servers silently ignore `filter_subjects`, so a part of the queue would not be counted."""

CLOSE_S: Final = 0.3
"""How long a connection may take to close. A frozen server would take forever."""

_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)(?:\.|\Z|-)")

# nats-py logs with a traceback what it also reports by its callbacks; the session logs it once
logging.getLogger("nats").setLevel(logging.CRITICAL)


class UnsupportedVersionError(Exception):
    """The server's version is too old or cannot be read; the message says which."""


class GreetingError(Exception):
    """The greeting says that there can be no TLS; nothing secret was sent."""


class Requester(Protocol):
    """Sends a request and waits for the answer. See `Connection.request`."""

    async def request(
        self,
        subject: str,
        payload: bytes,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> Msg:
        """The answer. Raises NatsError."""
        ...


class _Socket(TcpTransport):
    """nats-py's TCP transport with an abort, and with another way to connect: nats-py uses
    `asyncio.wait_for`, which before Python 3.12 loses a connection that is made at the moment when
    the caller is cancelled.
    """

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: float) -> None:
        async with asyncio.timeout(connect_timeout):
            reader, writer = await asyncio.open_connection(
                uri.hostname, uri.port, limit=buffer_size
            )
        self._bare_io_reader = self._io_reader = reader
        self._bare_io_writer = self._io_writer = writer

    def abort(self) -> None:
        if self._io_writer is not None:
            self._io_writer.transport.abort()


class StrictClient(Client):
    """One connection. When it is lost, a session makes a new client.

    nats-py's own reconnecting sends again what was buffered while the server was away, keeps the
    secrets and certificates of the first connection, and ends silently when one of its callbacks
    raises.
    """

    def __init__(self, *, require_tls: bool, has_certificate: bool) -> None:
        super().__init__()
        self._require_tls = require_tls
        self._has_certificate = has_certificate
        self.requester: Requester | None = None
        """Set once the connection can be used."""

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,  # noqa: ASYNC109 - nats-py's signature
        old_style: bool = False,  # noqa: ARG002 - nats-py's signature
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        """Replaces nats-py's request, so that its JetStreamContext uses this one.

        nats-py waits for the whole time-out when the connection is lost or our user may not
        publish; here such a request fails at once. Raises NatsError, and for a subject that nothing
        listens on nats.errors.NoRespondersError, which JetStreamContext expects.
        """
        if self.requester is None:
            raise NatsDisconnectedError("not connected yet")
        try:
            return await self.requester.request(subject, payload, timeout, headers)
        except NatsNoRespondersError as error:
            raise errors.NoRespondersError from error

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """The only place where nats-py shows the greeting before TLS and CONNECT."""
        if initial_connection:
            _check_version(info.get("version"))
            if self._require_tls:
                if not offers_tls(info):
                    raise GreetingError(NO_TLS)
                info["tls_required"] = True  # where nats-py looks
            if info.get("tls_verify") and not self._has_certificate:
                raise GreetingError("TLS: the server asks for a client certificate")
        await super()._process_info(info, initial_connection)

    async def _connect_to_server(self, s: Srv) -> None:
        if s.uri.scheme in ("ws", "wss"):
            await super()._connect_to_server(s)
            return
        transport = _Socket()  # type: ignore[no-untyped-call]  # nats-py leaves it untyped
        await transport.connect(s.uri, DEFAULT_BUFFER_SIZE, self.options["connect_timeout"])
        self._transport = transport

    async def discard(self) -> None:
        """Close the connection: give the server 0.3 s, then abort. Never raises, may be called
        twice.
        """
        if self._flush_queue is None:
            return  # it was never opened
        try:
            with contextlib.suppress(TimeoutError, OSError, errors.Error):
                async with asyncio.timeout(CLOSE_S):
                    await self.close()
        finally:
            # the rest, if close() has timed out or was cancelled
            for subscription in tuple(self._subs.values()):
                subscription._stop_processing()  # noqa: SLF001 - unsubscribe() asks the server
            self._subs.clear()
            if isinstance(self._transport, _Socket):
                self._transport.abort()
        # nats-py's tasks are cancelled by now; this lets them end before the event loop does
        await asyncio.sleep(0)


def _check_version(version: object) -> None:
    match = _VERSION.match(version) if isinstance(version, str) else None
    wanted = f"agentdash needs {OLDEST[0]}.{OLDEST[1]} or newer"
    if match is None:
        raise UnsupportedVersionError(
            f"NATS server of unknown version {clean(version, 40)}: {wanted}"
        )
    if (int(match[1]), int(match[2])) < OLDEST:
        raise UnsupportedVersionError(f"NATS server {clean(version, 40)} is too old: {wanted}")
