"""Listens on an address so that slow, silent and many clients cost little."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

MOST_CONNECTIONS: Final = 32
"""A few scrapers and probes at once need far fewer."""
LIFETIME_S: Final = 10.0
"""The longest time of a connection, idle or not: a scrape takes milliseconds, and the next one may
connect again."""
WAITING_ROOM: Final = 64
"""Connections that the system keeps until they are accepted."""

MakeProtocol = Callable[[], asyncio.Protocol]


class ListenError(Exception):
    """Listening on the address failed; the message has the address and the reason."""


@asynccontextmanager
async def listening(
    make: MakeProtocol,
    host: str,
    port: int,
    *,
    most: int = MOST_CONNECTIONS,
    lifetime_s: float = LIFETIME_S,
) -> AsyncIterator[tuple[str, int]]:
    """Give each connection a protocol of its own while the block runs; yields the address. Above
    `most` connections the oldest is closed. Raises ListenError.
    """
    try:
        # asyncio accepts as many connections at once as its backlog. Before Python 3.12 it logs as
        # many errors and starts as many timers each second once the process has no descriptor left.
        server = await asyncio.get_running_loop().create_server(
            _Door(make, most, lifetime_s), host, port, backlog=1
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise ListenError(f"cannot listen on {host}:{port}: {reason}") from None
    for bound in server.sockets:
        with socket.socket(fileno=os.dup(bound.fileno())) as same:
            same.listen(WAITING_ROOM)
    try:
        address = server.sockets[0].getsockname()
        yield str(address[0]), int(address[1])
    finally:
        server.close()


class _Door:
    """Makes protocols, and knows the connections that are open, the oldest first."""

    def __init__(self, make: MakeProtocol, most: int, lifetime_s: float) -> None:
        self._make = make
        self._most = most
        self._open: dict[_Guest, None] = {}
        self.lifetime_s = lifetime_s

    def __call__(self) -> asyncio.Protocol:
        return _Guest(self, self._make())

    def enter(self, guest: _Guest) -> None:
        if len(self._open) >= self._most:
            oldest = next(iter(self._open))
            self.leave(oldest)
            oldest.end()
        self._open[guest] = None

    def leave(self, guest: _Guest) -> None:
        self._open.pop(guest, None)


class _Guest(asyncio.Protocol):
    """One connection: it hands everything to its protocol, and ends after its lifetime."""

    def __init__(self, door: _Door, inner: asyncio.Protocol) -> None:
        self._door = door
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def end(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._door.lifetime_s, self.end)
        self._door.enter(self)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._door.leave(self)
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
