"""Serves `/healthz`, `/readyz` and `/metrics` over HTTP, on an address that the user chooses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import hdrs, web
from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder

from controller.expose.door import MakeProtocol, listening
from controller.expose.health import Health, readiness
from controller.expose.metrics import MetricsPage, ScaleCounts
from controller.model.snapshot import Snapshot

SHUTDOWN_S: Final = 1.0
_OPENMETRICS: Final = "application/openmetrics-text"


@asynccontextmanager
async def serving(
    host: str,
    port: int,
    *,
    latest: Callable[[], Snapshot | None],
    scaled: ScaleCounts,
    liveness: Callable[[], Health],
) -> AsyncIterator[str]:
    """Serve while the block runs; yields the URL. Port 0 takes a free port. Raises ListenError."""
    scrape = _Scrape(MetricsPage(latest, scaled))

    async def healthz(_: web.Request) -> web.Response:
        return _answer(liveness())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(readiness(latest()))

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", scrape.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        async with listening(_protocols_of(runner), host, port) as (address, taken):
            yield f"http://{_bracketed(address)}:{taken}"
    finally:
        await runner.cleanup()


def _protocols_of(runner: web.AppRunner) -> MakeProtocol:
    if runner.server is None:
        raise AssertionError("unreachable: setup() makes the server")
    return runner.server


class _Scrape:
    """Answers scrapes: our own metrics, then those of the process from `prometheus_client`."""

    def __init__(self, page: MetricsPage) -> None:
        self._page = page
        self._process = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)
        Gauge(
            "agentdash_tasks",
            "Tasks of asyncio in this process; a number that only grows is a leak.",
            registry=self._process,
        ).set_function(lambda: len(asyncio.all_tasks()))

    async def answer(self, request: web.Request) -> web.Response:
        """The metrics in the format that the scraper prefers; `name[]` in the query selects
        families.
        """
        encode, content_type = choose_encoder(",".join(request.headers.getall(hdrs.ACCEPT, ())))
        names = request.query.getall("name[]", ())
        registry = self._process.restricted_registry(names) if names else self._process
        openmetrics = content_type.startswith(_OPENMETRICS)
        own = self._page.text(openmetrics=openmetrics, names=names).encode()
        # the second part has the end mark of OpenMetrics
        body = own + encode(registry)
        response = web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})
        response.enable_compression()  # if the scraper accepts it; large bodies in a thread
        return response


def _answer(health: Health) -> web.Response:
    lines = ["ok"] if health.ok else list(health.causes)
    lines += [health.note] if health.note else []
    return web.Response(text="\n".join([*lines, ""]), status=200 if health.ok else 503)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
