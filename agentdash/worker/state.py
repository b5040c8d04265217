"""What a worker and the controller know of each other: the worker's state, and its orders. And what
the worker tells others: `/metrics`, `/healthz`, `/readyz` and `/startup`, and what each try at a
task used, to the tenant's ledger.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from copy import copy
from functools import partial
from typing import Final, Self

import msgspec
from aiohttp import web
from nats import errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import Header
from nats.js.errors import NoStreamResponseError
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.aiohttp import make_aiohttp_handler

from agentdash.worker.router import TierUse
from agentdash.worker.session import Priority, Session, WorkerSettingsError
from agentdash.worker.settings import Served, WorkerSettings
from agentdash.worker.stores import (
    NatsLink,
    bucket,
    end,
    ensure_workers_bucket,
    newest,
    set_within,
    until_done,
)
from controller.model.servers import Backoff, no_jitter
from controller.model.text import clean, clean_name
from controller.model.value import UndecodableError, decoded
from controller.model.worker_messages import (
    LONGEST_TASK_S,
    MOST_SAVED_USD,
    ORDERS_BUCKET,
    REPORT_S,
    WORKERS_BUCKET,
    ModelTerms,
    PoolOrders,
    UsageEvent,
    UsedTokens,
    WorkerState,
    orders_key,
    usage_subject,
    worker_key,
)

log = logging.getLogger(__name__)

BETWEEN_REPORTS_S: Final = 0.1
"""At least so long between two reports, but for one that says that orders are obeyed."""
_RETRY_FIRST_S: Final = 0.05
_RETRY_MOST_S: Final = 5.0
_UNSEEN_FIRST_S: Final = 0.005
_UNSEEN_MOST_S: Final = 0.5
"""How long to wait before orders that were announced, and are not stored yet, are read again."""
_REVISION: Final = re.compile(r"[0-9]{1,19}\Z")
_ORDERS: Final = msgspec.json.Decoder(PoolOrders)


Obey = Callable[[PoolOrders], Awaitable[None]]
ReadState = Callable[[int], WorkerState]


class OrdersWatch:
    """The orders of one pool, read when they change and obeyed.

    `obey` must return only when no pull is open, if the worker may not pull. `is_new` is awaited
    after orders of another revision were obeyed.
    """

    def __init__(
        self, link: NatsLink, pool: Served, obey: Obey, is_new: Callable[[], Awaitable[None]]
    ) -> None:
        self._link, self._obey, self._is_new = link, obey, is_new
        self._bucket = bucket(link.jetstream, ORDERS_BUCKET)
        self._key = orders_key(pool.tenant, pool.pool)
        self._told = asyncio.Event()
        self.revision = 0
        """That of the orders which are obeyed."""
        self._announced = Announced()
        self._until: float | None = None
        self._subscription: Subscription | None = None

    def look(self) -> None:
        """Read the orders again soon: the connection is a new one."""
        self._told.set()

    async def listen(self) -> None:
        """Hear of new orders from now on. Raises nats.errors.Error."""
        if self._subscription is None:
            subject = f"$KV.{ORDERS_BUCKET}.{self._key}"
            self._subscription = await self._link.client.subscribe(subject, cb=self._tell)

    async def end(self) -> None:
        """Listen no more."""
        await end(self._subscription)

    async def run(self) -> None:
        """Obey until cancelled."""
        while True:
            waits_s = [REPORT_S]
            if self._until is not None:
                waits_s.append(max(0.0, self._until - time.time()))
            if self._announced.is_missing(self.revision):
                waits_s.append(self._announced.next_s())
            await set_within(self._told, min(waits_s))
            self._told.clear()
            try:
                await self.read()
            except errors.Error as error:
                log.warning("the pool's orders could not be read: %s", clean(error))

    async def read(self) -> None:
        """Read the orders from the stream's leader and obey them. Raises nats.errors.Error."""
        value, revision = await newest(self._bucket, self._key)
        orders = PoolOrders()
        if value is not None:
            try:
                orders = decoded(_ORDERS, value)
            except UndecodableError as error:
                log.warning("the pool's orders cannot be read and are ignored: %s", error)
        if orders.until is not None and orders.until <= time.time():
            orders = PoolOrders()
        self._until = orders.until
        is_new = revision != self.revision
        await self._obey(orders)
        self.revision = revision
        if is_new:
            await self._is_new()

    async def _tell(self, message: Msg) -> None:
        self._announced.hear(message, self.revision)
        self._told.set()


class Presence:
    """Keeps a worker's state stored and obeys its pool's orders. `state` gives the worker's state
    with the revision of the orders that are obeyed.
    """

    def __init__(
        self, link: NatsLink, settings: WorkerSettings, *, obey: Obey, state: ReadState
    ) -> None:
        self._link, self._state = link, state
        self._states = bucket(link.jetstream, WORKERS_BUCKET)
        self._key = worker_key(settings.tenant, settings.pool, settings.worker)
        own = Served(settings.tenant, settings.pool, settings.queues)
        self._orders = OrdersWatch(link, own, obey, self._store)
        self.changed = asyncio.Event()
        """Set when the worker's state has changed: it is stored soon."""
        self._has_left = False

    def look(self) -> None:
        """Read the orders again soon, and store the state: the connection is a new one."""
        self._orders.look()
        self.changed.set()

    async def register(self) -> None:
        """Store the state, then read the orders and obey them; tried until both are done."""

        async def tried() -> None:
            await self._orders.listen()
            await self._store()
            await self._orders.read()

        backoff = Backoff(_RETRY_FIRST_S, _RETRY_MOST_S)
        await until_done(tried, backoff, "cannot register with the controller's buckets")

    async def run(self) -> None:
        """Report and obey until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._orders.run())
            group.create_task(self._report())

    async def leave(self) -> None:
        """Delete the state: this worker is no more."""
        self._has_left = True
        try:
            await self._orders.end()
            await self._states.delete(self._key)
        except errors.Error as error:
            log.debug("the worker's state stays until it is forgotten: %s", clean(error))

    def state(self) -> tuple[str, bytes]:
        """Its key and its value as it is now."""
        return self._key, msgspec.json.encode(self._state(self._orders.revision))

    async def _report(self) -> None:
        while True:
            await set_within(self.changed, REPORT_S)
            self.changed.clear()
            try:
                await self._store()
            except errors.Error as error:
                log.warning("the worker's state could not be stored: %s", clean(error))
            await asyncio.sleep(BETWEEN_REPORTS_S)

    async def _store(self) -> None:
        """Store the state as it is now. Raises nats.errors.Error."""
        if self._has_left:
            return
        try:
            await self._states.put(*self.state())
        except NoStreamResponseError:
            # kept in memory: a server that was restarted has forgotten the bucket
            await ensure_workers_bucket(self._link.jetstream)
            await self._states.put(*self.state())


class Announced:
    """The revision that orders must have which were announced and could not be read yet.

    The server tells the listeners of a write before it is stored. The announcement names the
    revision it replaces, so a greater one must come soon. It never comes if the server has refused
    the write, so after `REPORT_S` it is not waited for any more.
    """

    def __init__(self) -> None:
        self._above = -1
        self._ends_at = 0.0
        self._backoff = Backoff(_UNSEEN_FIRST_S, _UNSEEN_MOST_S, random=no_jitter)

    def hear(self, message: Msg, known: int) -> None:
        """Orders were announced while those of revision `known` are obeyed."""
        given = (message.headers or {}).get(Header.EXPECTED_LAST_SUBJECT_SEQUENCE, "")
        replaced = int(given) if _REVISION.match(given) else known
        self._above = max(self._above, replaced) if self.is_missing(known) else replaced
        self._ends_at = time.monotonic() + REPORT_S
        self._backoff.reset()

    def is_missing(self, known: int) -> bool:
        """Whether newer orders than those of revision `known` must come."""
        return self._above >= known and time.monotonic() < self._ends_at

    def next_s(self) -> float:
        """How long to wait before the orders are read again, in seconds."""
        return self._backoff.next_s()


WAIT_BUCKETS_S: Final = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 20, 30, 60, 120, 300, 900)
DURATION_BUCKETS_S: Final = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400)


class WorkerMetrics:
    """What one worker counts, for one pool that it serves; `of` is the same for another pool."""

    def __init__(self, tenant: str, role: str) -> None:
        """`role` is the pool's name."""
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        of_pool = ("tenant", "role")
        gauge = partial(Gauge, labelnames=of_pool, registry=self.registry)
        times = partial(Histogram, registry=self.registry)
        of_tier = (*of_pool, "tier")
        self._tasks = counter("agent_tasks", "Tasks that ended.", (*of_pool, "status", "priority"))
        self._retries = counter("agent_retries", "Tries that failed and are made again.", of_pool)
        self._refused = counter(
            "agent_refused_calls", "Calls that a provider refused (429).", (*of_pool, "model")
        )
        self._duration = times(
            "agent_session_duration_seconds",
            "How long a try at a task took.",
            of_pool,
            buckets=DURATION_BUCKETS_S,
        )
        self._waited = times(
            "agent_task_wait_seconds",
            "From the publication of a task to its first try, by the worker that took it: one of "
            "the pool's own, or one that stands by.",
            (*of_pool, "by"),
            buckets=WAIT_BUCKETS_S,
        )
        self._handed_back = counter("agent_handed_back", "Messages handed back at once.", of_pool)
        self._tokens = counter(
            "agent_tokens_consumed", "Tokens that agents used.", (*of_pool, "model", "kind")
        )
        self._tools = counter("agent_tool_calls", "Calls of tools.", (*of_pool, "tool", "status"))
        self._context = gauge(
            "agent_context_utilization",
            "The part of the model's context that the last session to say so had taken.",
        )
        lost = gauge("agent_slots_lost", "Slots held by agents that were cut and do not end.")
        self.slots_lost = lost.labels(tenant, role)
        self._routed = counter(
            "agent_routed_calls",
            "Answers of models that a router chose, by tier and whether they were accepted.",
            (*of_tier, "status"),
        )
        self._usd = counter("agent_routed_usd", "What these answers cost.", of_tier)
        self._usd_if_premium = counter(
            "agent_routed_if_premium_usd",
            "What the accepted answers would have cost with the best model.",
            of_tier,
        )
        self.bind(tenant, role)

    def of(self, tenant: str, role: str) -> Self:
        """The same counters for another pool."""
        other = copy(self)
        other.bind(tenant, role)
        return other

    def bind(self, tenant: str, role: str) -> None:
        """Count for this pool."""
        self._tenant, self._role = tenant, role
        of_pool = tenant, role
        self.duration = self._duration.labels(*of_pool)
        self.context = self._context.labels(*of_pool)
        self.handed_back = self._handed_back.labels(*of_pool)
        self.retries = self._retries.labels(*of_pool)

    def waited(self, seconds: float, *, stands_by: bool) -> None:
        """Count a first try by how long its task had waited."""
        by = "standby" if stands_by else "own"
        self._waited.labels(self._tenant, self._role, by).observe(seconds)

    def routed(self, model: ModelTerms, use: TierUse) -> None:
        """Count answers of a model's tier and their cost."""
        labels = (self._tenant, self._role, model.tier.value)
        self._routed.labels(*labels, "accepted").inc(use.done)
        self._routed.labels(*labels, "not accepted").inc(use.tries - use.done)
        self._usd.labels(*labels).inc(float(use.usd))
        self._usd_if_premium.labels(*labels).inc(float(use.usd_if_premium))

    def task_ended(self, status: str, priority: Priority) -> None:
        """Count a task by how it ended."""
        self._tasks.labels(self._tenant, self._role, status, priority.value).inc()

    def used(self, model: str, tokens: UsedTokens) -> None:
        """Count tokens by kind."""
        for kind in ("input", "cached_input", "output"):
            number: int = getattr(tokens, kind)
            if number:
                labels = (self._tenant, self._role, clean_name(model), kind)
                self._tokens.labels(*labels).inc(number)

    def tool_called(self, tool: str, ok: bool) -> None:
        """Count a call of a tool."""
        labels = (self._tenant, self._role, clean_name(tool), "ok" if ok else "error")
        self._tools.labels(*labels).inc()

    def refused(self, model: str) -> None:
        """Count a call that the provider of a model refused."""
        self._refused.labels(self._tenant, self._role, clean_name(model)).inc()


class UsageReports:
    """Those of one worker."""

    def __init__(
        self, stream: JetStreamContext, settings: WorkerSettings, metrics: WorkerMetrics
    ) -> None:
        self._stream, self._settings, self._metrics = stream, settings, metrics
        self._said: set[str] = set()

    async def report(self, session: Session, seconds: float, run: str) -> None:
        """Publish what a try used, however it ended. `run` is a name that no other delivery has:
        work that is done twice uses its tokens twice.
        """
        self._metrics.duration.observe(seconds)
        settings = self._settings
        timed: float | None = min(seconds, LONGEST_TASK_S)
        for number, (model, used) in enumerate(session.usage.items()):
            self._metrics.used(model, used)
            if settings.reports_usage:
                saved_usd = session.models.saved_usd(model)
                event = UsageEvent(
                    tenant=settings.tenant,
                    role=settings.pool,
                    model=model or settings.model,
                    usage=used,
                    seconds=timed,
                    tier=session.models.tier(model or settings.model),
                    saved_usd=min(MOST_SAVED_USD, max(-MOST_SAVED_USD, saved_usd)),
                )
                await self._publish(event, f"{run}.{number}" if number else run)
                timed = None

    async def _publish(self, event: UsageEvent, number: str) -> None:
        try:
            await self._stream.publish(
                usage_subject(event.tenant, event.role),
                msgspec.json.encode(event),
                headers={Header.MSG_ID.value: number},
            )
        except errors.Error as error:
            # no stream, or one that takes no more: doing the work again would not help
            words = clean(error)
            level = logging.DEBUG if words in self._said else logging.WARNING
            self._said.add(words)
            log.log(level, "the tokens of tasks are not counted: %s", words)


SHUTDOWN_S: Final = 1.0


@asynccontextmanager
async def serving(
    address: tuple[str, int],
    registry: CollectorRegistry,
    probes: Mapping[str, Callable[[], tuple[str, str]]],
    startup: Callable[[], dict[str, object]],
) -> AsyncIterator[str]:
    """Serve while the block runs; yields the URL. Port 0 takes a free port. `probes`, by their
    paths, say why a worker is not alive or not ready, nothing if it is, and what is said beside ok.
    Raises WorkerSettingsError if the address cannot be listened on.
    """

    async def answer(request: web.Request) -> web.Response:
        problem, remark = probes[request.path]()
        words = problem or ": ".join(filter(None, ("ok", remark)))
        return web.Response(text=f"{words}\n", status=503 if problem else 200)

    async def started(_: web.Request) -> web.Response:
        said = startup()
        status, body = 200 if said["started"] else 503, msgspec.json.encode(said)
        return web.Response(body=body, status=status, content_type="application/json")

    app = web.Application()
    for path in probes:
        app.router.add_get(path, answer)
    app.router.add_get("/startup", started)
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
