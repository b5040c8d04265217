"""A Prometheus that answers what a test tells it to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from support.ports import free_port

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def vector(*values: str) -> dict[str, Any]:
    """A successful answer with one series for each value."""
    series = [
        {"metric": {"n": str(number)}, "value": [1_700_000_000.1, value]}
        for number, value in enumerate(values)
    ]
    return {"status": "success", "data": {"resultType": "vector", "result": series}}


def result(kind: str, found: object, **more: Any) -> dict[str, Any]:
    """A successful answer of any kind."""
    return {"status": "success", "data": {"resultType": kind, "result": found}, **more}


class StubPrometheus:
    """`answers` are bodies by query, the rest gets `body`; `handler` replaces all of it."""

    def __init__(self) -> None:
        self.answers: dict[str, object] = {}
        self.body: object = vector("1")
        self.status = 200
        self.handler: Handler | None = None
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self._runner: web.AppRunner | None = None
        self._port = free_port()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            app, shutdown_timeout=0.01, access_log=None, handler_cancellation=True
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self.url = f"http://127.0.0.1:{self._port}"

    @property
    def running(self) -> bool:
        return self._runner is not None

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        query = request.query.get("query", "")
        self.asked.append(query)
        self.headers.append(dict(request.headers))
        if self.handler is not None:
            return await self.handler(request)
        body = self.answers.get(query, self.body)
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(status=self.status, body=raw, content_type="application/json")


async def silence(_request: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    return web.Response()


async def half(request: web.Request) -> web.StreamResponse:
    """Announce a whole answer, send half of it, hang up."""
    response = web.StreamResponse()
    response.content_length = 1000
    await response.prepare(request)
    await response.write(b'{"status":"success","data":{"res')
    assert request.transport is not None
    request.transport.abort()
    return response


async def dribble(request: web.Request) -> web.StreamResponse:
    """Send a byte now and then, without an end."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.02)


@asynccontextmanager
async def stub() -> AsyncIterator[StubPrometheus]:
    """A stub that is served while the block runs."""
    server = StubPrometheus()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
