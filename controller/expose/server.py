"""Serves `/healthz`, `/readyz` and `/metrics` over HTTP, on an address that the user chooses."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
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

from controller.expose.metrics import MetricsPage, ScaleCounts
from controller.model.readings import Fresh, Reading, T, Why
from controller.model.snapshot import (
    BY_JOURNAL,
    BY_SIGNAL,
    JOURNAL_DOWN,
    NO_WRITE,
    LinkState,
    Role,
    Snapshot,
)
from controller.model.value import Value

LEAST_PATIENCE_S: Final = 10.0
INTERVALS_OF_PATIENCE: Final = 5

_OF_ONE_POOL: Final = frozenset(
    {
        Why.STREAM_MISSING,
        Why.CONSUMER_MISSING,
        Why.OBJECT_MISSING,
        Why.IMPLAUSIBLE,
        Why.HISTORY_REGRESSED,
    }
)
"""The server answered: other pools can be read."""


class Health(Value):
    """The result of a check: `ok`, or the causes, one line for each. `note` is more to know."""

    ok: bool
    causes: tuple[str, ...] = ()
    note: str = ""


class TickWatch:
    """Alive while the loop completes ticks of the whole fleet. A loop without one for several
    intervals hangs, and only a restart helps. It measures monotonic time, so a step of the system's
    clock changes nothing.
    """

    def __init__(self, interval_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._patience_s = max(LEAST_PATIENCE_S, INTERVALS_OF_PATIENCE * interval_s)
        self._monotonic = monotonic
        self._last = 0, monotonic()

    def saw(self, snapshot: Snapshot) -> None:
        """Take a snapshot; ticks of single pools do not count, the fleet's may hang beside."""
        if snapshot.loop.ticks != self._last[0]:
            self._last = snapshot.loop.ticks, self._monotonic()

    def liveness(self) -> Health:
        """Whether the loop lives now."""
        age_s = self._monotonic() - self._last[1]
        if age_s <= self._patience_s:
            return Health(ok=True)
        return Health(ok=False, causes=(f"no tick for {age_s:.0f} s",))


def readiness(snapshot: Snapshot | None) -> Health:
    """Ready after the first published tick, while all connections are up, what the pools depend on
    can be read, neither journal nor freeze file stops it, and writes succeed. A follower is ready,
    too, if it can take over: while the lease can be read and written. A pure function.
    """
    if snapshot is None or snapshot.loop.ticks == 0:
        return Health(ok=False, causes=("no tick yet",))
    causes = (
        *_links_down(snapshot),
        *_frozen(snapshot),
        *_no_queue(snapshot),
        *_no_workload(snapshot),
        *(
            f"{finding.subject}: {finding.text}"
            for finding in snapshot.findings
            if finding.kind == NO_WRITE
        ),
    )
    if snapshot.lease is not None and snapshot.lease.problem and not snapshot.role.writes:
        causes = (*causes, f"lease: {snapshot.lease.problem}")
    return Health(ok=not causes, causes=causes, note=_role_note(snapshot))


def unable_to_decide(snapshot: Snapshot) -> str:
    """Why nothing can be decided, or empty; without queues metrics may let pools grow."""
    return "; ".join((*_frozen(snapshot), *_no_workload(snapshot), *_no_work(snapshot)))


def _frozen(snapshot: Snapshot) -> Iterator[str]:
    """The kill switches that are on of themselves. A signal is a person's word to this process: it
    is ready, and goes on leading, so that no other process writes in its place.
    """
    for each in snapshot.frozen_by:
        who, _, why = each.partition(": ")
        if who == BY_JOURNAL:
            yield f"{JOURNAL_DOWN}: {why}"
        elif who != BY_SIGNAL:
            yield f"frozen by {each}"


def _no_queue(snapshot: Snapshot) -> Iterator[str]:
    return _unreadable("queue", (pool.observation.queue for pool in snapshot.pools))


def _no_workload(snapshot: Snapshot) -> Iterator[str]:
    return _unreadable("workload", (pool.observation.workload for pool in snapshot.pools))


def _no_work(snapshot: Snapshot) -> Iterator[str]:
    metrics = (each for pool in snapshot.pools for each in pool.observation.metrics.values())
    cause = next(_no_queue(snapshot), None)
    if cause is not None and not any(isinstance(each, Fresh) for each in metrics):
        yield cause


def _role_note(snapshot: Snapshot) -> str:
    """Who leads, for a process that takes part in an election: `follower of host/4711`."""
    lease = snapshot.lease
    if lease is None or snapshot.role is Role.LEADER:
        return snapshot.role.value
    return f"{snapshot.role.value} of {lease.holder or 'no known process'}"


def _links_down(snapshot: Snapshot) -> Iterator[str]:
    for link in snapshot.links:
        if link.state is not LinkState.CONNECTED:
            yield f"{link.name}: {link.detail or link.state.value}"


def _unreadable(what: str, readings: Iterable[Reading[T]]) -> Iterator[str]:
    """A cause, if not one reading of all pools could be made."""
    cause = None
    for reading in readings:
        if isinstance(reading, Fresh) or reading.why in _OF_ONE_POOL:
            return
        cause = cause or f"no {what} can be read: {reading.detail or reading.why.value}"
    if cause is not None:
        yield cause


MOST_CONNECTIONS: Final = 32
"""A few scrapers and probes at once need far fewer."""
LIFETIME_S: Final = 10.0
"""The longest time of a connection, idle or not: a scrape takes milliseconds, and the next one may
connect again."""
WAITING_ROOM: Final = 64
"""Connections that the system keeps until they are accepted."""


class ListenError(Exception):
    """Listening on the address failed; the message has the address and the reason."""


@asynccontextmanager
async def listening(
    server: web.Server,
    host: str,
    port: int,
    *,
    most: int = MOST_CONNECTIONS,
    lifetime_s: float = LIFETIME_S,
) -> AsyncIterator[tuple[str, int]]:
    """Answer while the block runs, at the yielded address. Raises ListenError."""
    loop = asyncio.get_running_loop()

    def guest() -> asyncio.Protocol:
        for oldest in server.connections[: max(0, len(server.connections) - most + 1)]:
            _end(oldest)
        made = server()
        loop.call_later(lifetime_s, _end, made)
        return made

    try:
        # asyncio accepts as many connections at once as its backlog. Before Python 3.12 it logs as
        # many errors and starts as many timers each second once the process has no descriptor left.
        listener = await loop.create_server(guest, host, port, backlog=1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ListenError(f"cannot listen on {host}:{port}: {reason}") from None
    for bound in listener.sockets:
        with socket.socket(fileno=os.dup(bound.fileno())) as same:
            same.listen(WAITING_ROOM)
    try:
        address = listener.sockets[0].getsockname()
        yield str(address[0]), int(address[1])
    finally:
        listener.close()


def _end(guest: web.RequestHandler) -> None:
    """Close the connection at once."""
    if guest.transport is not None:
        guest.transport.abort()


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
        if runner.server is None:
            raise AssertionError("unreachable: setup() makes the server")
        async with listening(runner.server, host, port) as (address, taken):
            yield f"http://{f'[{address}]' if ':' in address else address}:{taken}"
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
        Gauge(
            "agentdash_tasks",
            "Tasks of asyncio in this process; a number that only grows is a leak.",
            registry=self._process,
        ).set_function(lambda: len(asyncio.all_tasks()))

    async def answer(self, request: web.Request) -> web.Response:
        """The metrics in the scraper's format; `name[]` in the query selects families."""
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
