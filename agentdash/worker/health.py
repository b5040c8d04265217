"""Serves `/metrics`, `/healthz`, `/readyz` and `/startup` of one worker process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, Protocol

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from agentdash.worker.errors import WorkerSettingsError

SHUTDOWN_S: Final = 1.0
Problem = Callable[[], str]


class Vitals(Protocol):
    """What is asked of a worker. A text is why not; an empty one is yes."""

    def why_not_alive(self) -> str:
        """Why the process hangs, or has lost all slots, and only a restart helps."""
        ...

    def why_not_whole(self) -> str:
        """How many slots are lost to agents that do not end."""
        ...

    def why_not_ready(self) -> str:
        """Why it cannot work: it starts, it stops, or NATS is away. Orders not to pull are no
        reason. A busy worker would then look broken, and be deleted before the idle ones.
        """
        ...

    def why_not_pulling(self) -> str:
        """By which orders it takes no more tasks."""
        ...

    def why_not_started(self) -> str:
        """What its start waits for."""
        ...

    @property
    def marks(self) -> Mapping[str, float]:
        """When it reached each step of its start, in Unix seconds."""
        ...


@asynccontextmanager
async def serving(
    address: tuple[str, int], registry: CollectorRegistry, vitals: Vitals
) -> AsyncIterator[str]:
    """Serve while the block runs; yields the URL. Port 0 takes a free port. Raises
    WorkerSettingsError if nobody can listen there.
    """

    async def startup(_: web.Request) -> web.Response:
        problem = vitals.why_not_started()
        body = msgspec.json.encode({"started": not problem, "waits_for": problem, **vitals.marks})
        return web.Response(
            body=body, status=503 if problem else 200, content_type="application/json"
        )

    app = web.Application()
    app.router.add_get("/healthz", _answer(vitals.why_not_alive, vitals.why_not_whole))
    app.router.add_get("/readyz", _answer(vitals.why_not_ready, vitals.why_not_pulling))
    app.router.add_get("/startup", startup)
    app.router.add_get("/metrics", make_aiohttp_handler(registry))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    host, port = address
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise WorkerSettingsError(
                f"AGENTDASH_LISTEN={host}:{port} cannot be listened on: "
                f"{error.strerror or error}; name another address, or off"
            ) from None
        bound = runner.addresses[0]
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        yield f"http://{shown}:{bound[1]}"
    finally:
        await runner.cleanup()


def _answer(
    why_not: Problem, remark: Problem = str
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """`remark` is said beside `ok`."""

    async def answer(_: web.Request) -> web.Response:
        problem = why_not()
        words = problem or ": ".join(filter(None, ("ok", remark())))
        return web.Response(text=f"{words}\n", status=503 if problem else 200)

    return answer
