"""What a hostile server or peer may make a process grow by, measured in a process of its own."""

from __future__ import annotations

import asyncio
import json
import zlib
from pathlib import Path

import pytest
from aiohttp import web

from controller.record.frames import whole_line
from support.hostile import grown_mb
from tui import scenarios

OF_A_POOL = b'"a":{"day":{"ready":['
# a place in a whole line, what follows there, and what stands there again and again
BOMBS: dict[str, tuple[bytes, bytes, bytes]] = {
    "nodes": (b'"nodes":[', b"", b'{"name":"a"},'),
    "texts": (b'"head":{', b'"frozen_by":[', b'"xy",'),
    "histories": (b'"histories":{', b"", OF_A_POOL + b",".join([b"999"] * 100) + b"]}},"),
    "one list": (b'"histories":{', OF_A_POOL, b"1,"),
    "one list of numbers": (b'"histories":{', OF_A_POOL, b"257,"),
    "zeros": (b'"head":', b"", b"\0"),
}


def packed(size: int, begin: bytes, each: bytes) -> bytes:
    """So many bytes that begin so, and then say the same again and again. Beyond 10 kB the sum at
    the end is wrong, where nothing should come to.
    """
    packer = zlib.compressobj(9)
    found, again = packer.compress(begin), b""
    while len(found) < min(size, 10_000) - 100:
        again = packer.compress(each * 10_000) + packer.flush(zlib.Z_SYNC_FLUSH)
        found += again
    return found + again * ((size - len(found)) // len(again)) + packer.flush()


@pytest.mark.parametrize("size", [10_000, 100_000, 1_000_000])
@pytest.mark.parametrize("name", BOMBS)
def test_a_snapshot_that_grows_when_it_is_unpacked(name: str, size: int, tmp_path: Path) -> None:
    place, begin, each = BOMBS[name]
    head = whole_line(scenarios.mixed_fleet(), None).partition(place)[0]
    path = tmp_path / "frame"
    path.write_bytes(packed(size, head + place + begin, each))
    grown, words = grown_mb("frame", str(path))
    assert grown <= 128
    assert size < 1_000_000 or "at most" in words or "more than" in words


@pytest.mark.parametrize("size", [4_000, 10_000, 100_000, 1_000_000])
def test_an_answer_about_an_effect_that_grows_when_it_is_unpacked(
    size: int, tmp_path: Path
) -> None:
    path = tmp_path / "answer"
    begin = b"\x81\xa6effect\x83\xa9concerned\xdd" + (2**32 - 1).to_bytes(4, "big")
    path.write_bytes(packed(size, begin, b"\xa2xy"))
    grown, words = grown_mb("answer", str(path))
    assert grown <= 128
    assert size < 10_000 or "has more than 4,194,304 bytes" in words


async def test_a_message_that_is_announced_with_10_12_bytes_and_never_ends() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = b'INFO {"version":"2.12.0","max_payload":2000000000000}\r\nPONG\r\n'
        writer.write(info + b"MSG x 1 1000000000000\r\n")
        try:
            while True:
                writer.write(bytes(2**20))
                await writer.drain()
        except ConnectionError:
            writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        grown, words = await asyncio.to_thread(grown_mb, "nats", f"nats://{host}:{port}")
    assert "1,000,000,000,000 bytes" in words
    assert grown <= 128


@pytest.mark.parametrize("begin", [b"", b'{"items":['], ids=["zeros", "items"])
async def test_a_list_that_never_ends(begin: bytes, tmp_path: Path) -> None:
    each = b'{"metadata":{"name":"a","namespace":"b"}},' * 20_000 if begin else bytes(2**20)

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(begin)
        while True:
            await response.write(each)

    app = web.Application()
    app.router.add_get("/{path:.*}", endless)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    [(host, port), *_] = runner.addresses
    named = {"server": f"http://{host}:{port}"}
    kubeconfig = {
        "current-context": "stub",
        "clusters": [{"name": "stub", "cluster": named}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "me"}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(kubeconfig))
    grown, words = await asyncio.to_thread(grown_mb, "list", str(path))
    await runner.cleanup()
    assert "67,108,864 are read at most" in words
    assert grown <= 256
