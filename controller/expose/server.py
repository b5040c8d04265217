"""Serves `/healthz`, `/readyz` and `/metrics` over HTTP, on an address that the user chooses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from controller.expose.health import Health, liveness, readiness
from controller.expose.metrics import MetricsPage, ScaleCounts
from controller.model.snapshot import Snapshot

SHUTDOWN_S: Final = 1.0
_OPENMETRICS: Final = "application/openmetrics-text"


class ListenError(Exception):
    """Listening on the address failed; the message has the address and the reason."""


@asynccontextmanager
async def serving(
    host: str,
    port: int,
    *,
    latest: Callable[[], Snapshot | None],
    scaled: ScaleCounts,
    now: Callable[[], float],
    interval_s: float,
) -> AsyncIterator[str]:
    """Serve while the block runs; yields the URL. Port 0 takes a free port. Raises ListenError."""
    started_at = now()
    scrape = _Scrape(MetricsPage(latest, scaled))

    async def healthz(_: web.Request) -> web.Response:
        return _answer(liveness(latest(), started_at, interval_s, now()))

    async def readyz(_: web.Request) -> web.Response:
        return _answer(readiness(latest()))

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", scrape.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            reason = error.strerror or str(error)
            raise ListenError(f"cannot listen on {host}:{port}: {reason}") from None
        address = runner.addresses[0]
        yield f"http://{_bracketed(address[0])}:{address[1]}"
    finally:
        await runner.cleanup()


class _Scrape:
    """Answers scrapes: our own metrics, then those of the process from `prometheus_client`."""

    def __init__(self, page: MetricsPage) -> None:
        self._page = page
        self._process = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)

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
    text = "ok" if health.ok else "\n".join(health.causes)
    return web.Response(text=text + "\n", status=200 if health.ok else 503)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
