"""Reports what each try at a task used: to the tenant's ledger, and as metrics."""

from __future__ import annotations

import logging

import msgspec
from nats import errors
from nats.js import JetStreamContext
from nats.js.api import Header

from agentdash.worker.metrics import WorkerMetrics
from agentdash.worker.session import Session
from agentdash.worker.settings import WorkerSettings
from controller.model.text import clean
from controller.model.worker_messages import (
    LONGEST_TASK_S,
    MOST_SAVED_USD,
    UsageEvent,
    usage_subject,
)

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
