"""A TCP relay on loopback whose connections a test slows, stalls and cuts."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Coroutine
from typing import Self


class TcpProxy:
    """Relays to one server. A relay that was cut serves again after `open`, on the same port."""

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        """With `tls`, clients speak TLS to the relay, and the server does not."""
        self._target = host, port
        self._tls = tls
        self._writers: set[asyncio.StreamWriter] = set()
        self._relays: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self.port = 0
        self.delay_s = 0.0
        """How long everything that is sent waits, in each direction."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def open(self) -> None:
        """Serve; returns when connections are taken."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    async def cut(self) -> None:
        """Refuse new connections and break those that are."""
        assert self._listener is not None
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self._flows.set()
        for writer in list(self._writers):
            writer.transport.abort()
        while self._relays:  # a connection that was being made ends itself
            await asyncio.gather(*self._relays, return_exceptions=True)

    def stall(self) -> None:
        """From now on nothing gets through, and no connection ends."""
        self._flows.clear()

    def flow(self) -> None:
        """End a stall: what was sent meanwhile arrives."""
        self._flows.set()

    def _accept(self, listener: socket.socket) -> None:
        """Take a connection and begin to serve it in one step. An asyncio.Server that is closed,
        and a `sock_accept` that is cancelled, forget the connection that they have just taken.
        """
        try:
            taken, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # the client has given up
            return
        taken.setblocking(False)
        self._begin(self._serve(taken, listener))

    async def _serve(self, taken: socket.socket, listener: socket.socket) -> None:
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, taken, ssl=self._tls
            )
        except OSError:  # it ended within its TLS handshake
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._writers.add(writer)
        try:
            upstream, out = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        if listener.fileno() < 0:
            # the relay was cut while this connection was being made, so it must end, too
            out.transport.abort()
            writer.transport.abort()
            return
        self._writers.add(out)
        self._begin(self._relay(reader, out))
        self._begin(self._relay(upstream, writer))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        relay = asyncio.create_task(work)
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)

    async def _relay(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await asyncio.sleep(self.delay_s)
                await self._flows.wait()
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            sink.transport.abort()
            self._writers.discard(sink)
