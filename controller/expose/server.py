"""`/healthz`, `/readyz` and `/metrics` over HTTP, on an address of the user's choice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.aiohttp import make_aiohttp_handler

from controller.expose.health import Health, liveness, readiness
from controller.expose.metrics import ScaleCounts, SnapshotCollector
from controller.model.snapshot import Snapshot

SHUTDOWN_S: Final = 1.0


class ListenError(Exception):
    """The address cannot be listened on; the message says which and why."""


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
    """Serve while the block runs; yields the URL (port 0 takes a free one). Raises ListenError."""
    started_at = now()
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(latest, scaled))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)

    async def healthz(_: web.Request) -> web.Response:
        return _answer(liveness(latest(), started_at, interval_s, now()))

    async def readyz(_: web.Request) -> web.Response:
        return _answer(readiness(latest()))

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", make_aiohttp_handler(registry))
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


def _answer(health: Health) -> web.Response:
    text = "ok" if health.ok else "\n".join(health.causes)
    return web.Response(text=text + "\n", status=200 if health.ok else 503)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
