"""A TCP relay on loopback whose connections a test slows, stalls and cuts."""

from __future__ import annotations

import asyncio
import ssl
from typing import Self


class TcpProxy:
    """Relays to one server. A relay that was cut serves again after `open`, on the same port."""

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        """With `tls`, clients speak TLS to the relay, and the server does not."""
        self._target = host, port
        self._tls = tls
        self._writers: set[asyncio.StreamWriter] = set()
        self._relays: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
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
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Refuse new connections and break those that are."""
        assert self._server is not None
        self._server.close()
        self._flows.set()
        for writer in list(self._writers):
            writer.transport.abort()
        while self._relays:  # a connection that was being made ends itself
            await asyncio.gather(*self._relays, return_exceptions=True)
        await self._server.wait_closed()

    def stall(self) -> None:
        """From now on nothing gets through, and no connection ends."""
        self._flows.clear()

    def flow(self) -> None:
        """End a stall: what was sent meanwhile arrives."""
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        making = asyncio.current_task()
        assert making is not None
        self._relays.add(making)
        making.add_done_callback(self._relays.discard)
        server = self._server
        self._writers.add(writer)
        upstream, out = await asyncio.open_connection(*self._target)
        if server is None or not server.is_serving():
            # the relay was cut while this connection was being made, so it must end, too
            out.transport.abort()
            writer.transport.abort()
            return
        self._writers.add(out)
        for source, sink in ((reader, out), (upstream, writer)):
            relay = asyncio.create_task(self._relay(source, sink))
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
