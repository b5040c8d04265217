"""A NATS server of a few lines: it sends a greeting, answers PING, keeps what it receives, and
sends what a test gives it.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self

GREETING = {"server_id": "tiny", "version": "2.12.0", "max_payload": 1_048_576, "headers": True}


class TinyServer(asyncio.Protocol):
    """Serves one connection at a time."""

    def __init__(self, **greeting: Any) -> None:
        self._greeting = f"INFO {json.dumps(GREETING | greeting)}\r\n".encode()
        self._transports: list[asyncio.Transport] = []
        self.received = b""

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: self, "127.0.0.1", 0)
        self.url = f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.hang_up()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transports.append(transport)
        transport.write(self._greeting)

    def data_received(self, data: bytes) -> None:
        self.received += data
        for line in data.split(b"\r\n"):
            if line == b"PING":
                self.send(b"PONG\r\n")

    def send(self, data: bytes) -> None:
        self._transports[-1].write(data)

    def hang_up(self) -> None:
        for transport in self._transports:
            transport.abort()

    async def receives(self, words: bytes) -> None:
        """Wait until the client has sent these words; the test's own time-out ends it."""
        while words not in self.received:
            await asyncio.sleep(0.002)
