"""nats-py's client, made strict: it reads the greeting before it answers with credentials, and it
can be dropped at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from typing import Any, Final
from urllib.parse import ParseResult

from nats import errors
from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, Srv
from nats.aio.transport import TcpTransport

from controller.model.text import clean

OLDEST: Final = (2, 10)
"""Older servers ignore `filter_subjects` without a word, and with them half a consumer's queue."""

CLOSE_S: Final = 0.3
"""How long a connection may take to say good-bye. A frozen server would take forever."""

_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)(?:\.|\Z|-)")

# nats-py logs with a traceback what it also reports by its callbacks; the session says it once
logging.getLogger("nats").setLevel(logging.CRITICAL)


class UnsupportedServerError(Exception):
    """The server's version is too old, or cannot be told; the message says which it is."""


class GreetingError(Exception):
    """The greeting says that TLS cannot come about; nothing secret was sent."""


class _Socket(TcpTransport):
    """nats-py's TCP transport, without the inner task that loses a connection made while the outer
    one is cancelled, and with an abort.
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
    """One connection, once: it never reconnects by itself.

    nats-py's own reconnecting replays what was buffered while the server was away, keeps the
    secrets and certificates of the first time, and ends without a word when one of its callbacks
    raises. A session makes a new client instead.
    """

    def __init__(self, *, require_tls: bool, has_certificate: bool) -> None:
        super().__init__()
        self._require_tls = require_tls
        self._has_certificate = has_certificate

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """The one place where nats-py shows the greeting before TLS and CONNECT."""
        if initial_connection:
            _check_version(info.get("version"))
            if self._require_tls:
                _insist_on_tls(info)
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
        """Close it, politely for 0.3 s, then by force. Never raises, may be called twice."""
        if self._flush_queue is None:
            return
        try:
            with contextlib.suppress(TimeoutError, OSError, errors.Error):
                async with asyncio.timeout(CLOSE_S):
                    await self.close()
        finally:
            # what close() had not reached when its time was up, or when it was cancelled
            for subscription in tuple(self._subs.values()):
                subscription._stop_processing()  # noqa: SLF001 - its public end asks the server
            self._subs.clear()
            if isinstance(self._transport, _Socket):
                self._transport.abort()
        # the client's own tasks are cancelled by now; this lets them end before the loop does
        await asyncio.sleep(0)


def _check_version(version: object) -> None:
    match = _VERSION.match(version) if isinstance(version, str) else None
    wanted = f"agentdash needs {OLDEST[0]}.{OLDEST[1]} or newer"
    if match is None:
        raise UnsupportedServerError(
            f"NATS server of unknown version {clean(version, 40)}: {wanted}"
        )
    if (int(match[1]), int(match[2])) < OLDEST:
        raise UnsupportedServerError(f"NATS server {clean(version, 40)} is too old: {wanted}")


def _insist_on_tls(info: dict[str, Any]) -> None:
    """nats-py speaks plain text to a server that does not demand TLS, `tls://` or not."""
    if info.get("tls_available"):
        info["tls_required"] = True
    if not info.get("tls_required"):
        raise GreetingError("TLS: the server offers none; nothing was sent to it")
