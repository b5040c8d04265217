"""The daemon's port: clients that send nothing, half a request or too much cost nothing."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from controller.expose.server import ListenError, listening

HALF = b"GET /readyz HTTP/1.1\r\nHost: x\r\nX-Half: "


async def hello(_request: web.BaseRequest) -> web.Response:
    return web.Response(text="hello")


class Visitor:
    """A client's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def is_shown_out(self) -> bool:
        try:
            return await self._reader.read(1) == b""
        except ConnectionResetError:
            return True

    async def talk(self) -> None:
        """Send until the connection ends. Raises ConnectionError."""
        while True:
            self.writer.write(bytes(2**16))
            await self.writer.drain()


class Street:
    """Opens connections, and closes them at the end of the test."""

    def __init__(self) -> None:
        self._visitors: list[Visitor] = []

    async def visitor(self, address: tuple[str, int], says: bytes) -> Visitor:
        visitor = Visitor(*await asyncio.open_connection(*address))
        self._visitors.append(visitor)
        visitor.writer.write(says)
        await visitor.writer.drain()
        return visitor

    async def empty(self) -> None:
        for visitor in self._visitors:
            visitor.writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await visitor.writer.wait_closed()


@pytest.fixture
async def street() -> AsyncIterator[Street]:
    made = Street()
    yield made
    await made.empty()


async def test_a_half_sent_request_is_closed_after_a_while(street: Street) -> None:
    async with listening(web.Server(hello), "127.0.0.1", 0, lifetime_s=0.1) as address:
        visitor = await street.visitor(address, HALF)
        async with asyncio.timeout(5):
            assert await visitor.is_shown_out()


async def test_a_request_that_goes_on_forever_is_closed_too(street: Street) -> None:
    endless = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    async with listening(web.Server(hello), "127.0.0.1", 0, lifetime_s=0.2) as address:
        visitor = await street.visitor(address, endless)
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionError):
                await visitor.talk()


async def test_beside_many_half_sent_requests_others_are_answered(street: Street) -> None:
    async with listening(web.Server(hello), "127.0.0.1", 0, most=4) as address:
        held = [await street.visitor(address, HALF) for _ in range(20)]
        async with asyncio.timeout(5):
            for visitor in held[:16]:
                assert await visitor.is_shown_out()
            url = f"http://{address[0]}:{address[1]}/"
            async with aiohttp.ClientSession() as http:
                for _ in range(3):
                    async with http.get(url) as answer:
                        assert await answer.text() == "hello"


async def test_an_address_that_is_taken_is_named() -> None:
    async with listening(web.Server(hello), "127.0.0.1", 0) as (host, port):
        with pytest.raises(ListenError, match=f"cannot listen on {host}:{port}: .*in use"):
            async with listening(web.Server(hello), host, port):
                raise AssertionError("unreachable")


WITHOUT_DESCRIPTORS = textwrap.dedent("""
    import asyncio, os, resource, sys, time
    from aiohttp import web
    from controller.expose.server import listening
    from controller.logs import log_json

    async def hello(request):
        return web.Response()

    async def main():
        log_json()
        async with listening(web.Server(hello), "127.0.0.1", 0) as (host, port):
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
            made = [await asyncio.open_connection(host, port) for _ in range(4)]
            taken = []
            try:
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                os.close(taken.pop())
            import socket
            waits = socket.socket()
            waits.setblocking(False)
            try:
                waits.connect((host, port))
            except BlockingIOError:
                pass
            began = time.process_time()
            await asyncio.sleep(3.5)  # between two tries to accept, which are a second apart
            print(time.process_time() - began)

    asyncio.run(main())
""")


def test_without_descriptors_the_process_neither_spins_nor_floods_its_log() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_DESCRIPTORS],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert float(ran.stdout) < 0.5
    lines = ran.stderr.splitlines()
    assert len(lines) == 1
    assert "out of system resource" in lines[0]
