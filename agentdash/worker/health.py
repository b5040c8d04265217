"""What a worker tells those that watch it: `/metrics`, `/healthz`, `/readyz` and `/startup`, and
what each try at a task used, to the tenant's ledger.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, NamedTuple, Protocol

import msgspec
from aiohttp import web
from nats import errors
from nats.js import JetStreamContext
from nats.js.api import Header
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.aiohttp import make_aiohttp_handler

from agentdash.worker.router import TierUse
from agentdash.worker.session import Priority, Session, WorkerSettingsError
from agentdash.worker.settings import WorkerSettings
from controller.model.scarcity import ModelTier
from controller.model.text import clean, clean_name
from controller.model.worker_messages import (
    LONGEST_TASK_S,
    MOST_SAVED_USD,
    UsageEvent,
    UsedTokens,
    usage_subject,
)

DURATION_BUCKETS_S: Final = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400)


class WorkerMetrics:
    """What one worker counts."""

    def __init__(self, tenant: str, role: str) -> None:
        """`role` is the pool's name."""
        self.registry = CollectorRegistry()
        self._tenant, self._role = tenant, role
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, labelnames=("role",), registry=self.registry)
        of_tier = ("tenant", "role", "tier")
        self._tasks = counter("agent_tasks", "Tasks that ended.", ("role", "status", "priority"))
        self._duration = Histogram(
            "agent_session_duration_seconds",
            "How long a try at a task took.",
            ("role",),
            buckets=DURATION_BUCKETS_S,
            registry=self.registry,
        )
        self._tokens = counter(
            "agent_tokens_consumed", "Tokens that agents used.", ("tenant", "role", "model", "kind")
        )
        self._tools = counter("agent_tool_calls", "Calls of tools.", ("role", "tool", "status"))
        self._context = gauge(
            "agent_context_utilization",
            "The part of the model's context that the last session to say so had taken.",
        )
        self._lost = gauge("agent_slots_lost", "Slots held by agents that were cut and do not end.")
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

    def routed(self, tier: ModelTier, use: TierUse) -> None:
        """Count answers of a tier and their cost."""
        labels = (self._tenant, self._role, tier.value)
        self._routed.labels(*labels, "accepted").inc(use.done)
        self._routed.labels(*labels, "not accepted").inc(use.tries - use.done)
        self._usd.labels(*labels).inc(float(use.usd))
        self._usd_if_premium.labels(*labels).inc(float(use.usd_if_premium))

    def task_ended(self, status: str, priority: Priority) -> None:
        """Count a task by how it ended."""
        self._tasks.labels(self._role, status, priority.value).inc()

    def session_ended(self, seconds: float) -> None:
        """Count a try at a task."""
        self._duration.labels(self._role).observe(seconds)

    def used(self, model: str, tokens: UsedTokens) -> None:
        """Count tokens by kind."""
        for kind in ("input", "cached_input", "output"):
            number: int = getattr(tokens, kind)
            if number:
                labels = (self._tenant, self._role, clean_name(model), kind)
                self._tokens.labels(*labels).inc(number)

    def slots_lost(self, number: int) -> None:
        """Keep how many slots are lost."""
        self._lost.labels(self._role).set(number)

    def tool_called(self, tool: str, ok: bool) -> None:
        """Count a call of a tool."""
        self._tools.labels(self._role, clean_name(tool), "ok" if ok else "error").inc()

    def context_taken(self, part: float) -> None:
        """Keep how full a model's context is, 0 to 1."""
        self._context.labels(self._role).set(part)


log = logging.getLogger(__name__)


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
        self._metrics.session_ended(seconds)
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


class ProbeAnswer(NamedTuple):
    """Why a worker is not alive or not ready, empty if it is; and what is said beside `ok`."""

    problem: str
    remark: str = ""


class Vitals(Protocol):
    """What is asked of a worker."""

    def healthz(self) -> ProbeAnswer: ...  # noqa: D102
    def readyz(self) -> ProbeAnswer: ...  # noqa: D102
    def startup(self) -> dict[str, object]: ...  # noqa: D102


@asynccontextmanager
async def serving(
    address: tuple[str, int], registry: CollectorRegistry, vitals: Vitals
) -> AsyncIterator[str]:
    """Serve while the block runs; yields the URL. Port 0 takes a free port. Raises
    WorkerSettingsError if nobody can listen there.
    """

    async def answer(request: web.Request) -> web.Response:
        problem, remark = vitals.readyz() if request.path == "/readyz" else vitals.healthz()
        words = problem or ": ".join(filter(None, ("ok", remark)))
        return web.Response(text=f"{words}\n", status=503 if problem else 200)

    async def startup(_: web.Request) -> web.Response:
        said = vitals.startup()
        status, body = 200 if said["started"] else 503, msgspec.json.encode(said)
        return web.Response(body=body, status=status, content_type="application/json")

    app = web.Application()
    app.router.add_get("/healthz", answer)
    app.router.add_get("/readyz", answer)
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
