"""How many tokens tenants have used: the usage events of workers, read and counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Final, NamedTuple, Self

from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.observation import RefusedEvents, TierUsage, TokensByModel, TokenUsage
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import TaskUsage
from controller.model.usage_event import USAGE_STREAM, USAGE_SUBJECT_PREFIX
from controller.nats.session import NatsSession
from controller.nats.usage_events import RefusedEventError, decode_event
from controller.nats.usage_feed import USAGE_SILENCE_S, UsageFeed
from controller.nats.usage_ledger import UsageLedger
from controller.ports.clock import Clock

NO_STREAM: Final = (
    f"there is no stream {USAGE_STREAM}: workers publish what they use to "
    f"{USAGE_SUBJECT_PREFIX}.TENANT.POOL, and this stream is to keep it"
)


class _Doubt(NamedTuple):
    """Why the totals may not be complete."""

    why: Why
    detail: str


class TokenUsageSource:
    """The ledger of a fleet's tenants that have a token budget, rebuilt from the stream of usage
    events and kept up to date as they come. What is used of each model is counted for all tenants,
    and of each class of models, if the fleet has several. Without budgets and models nothing is
    read.

    Fresh only while there is a connection and the stream is read to its end: a tenant without
    events has then used nothing. If the stream is missing, the reading is Absent. Any other failure
    is Stale with the last totals, or Absent before there were any.
    """

    def __init__(self, nats: NatsSession, clock: Clock, fleet: Fleet) -> None:
        self._nats = nats
        self._clock = clock
        self._ledger = UsageLedger(fleet)
        self._feed = UsageFeed(
            nats,
            clock,
            USAGE_STREAM,
            since=lambda: self._ledger.since(clock.now()),
            on_message=self._take,
        )
        self._refused = 0
        self._last_refusal = ""
        self._on_use: Callable[[str, Decimal], None] = lambda _tenant, _used: None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Self]:
        """Read the stream while the block runs."""
        if not self._ledger.is_needed:
            yield self
            return
        async with asyncio.TaskGroup() as tasks:
            feed = tasks.create_task(self._feed.run(), name="usage events")
            yield self
            feed.cancel()

    async def first_read(self, timeout_s: float) -> None:
        """Return once the stream was read to its end or cannot be read, at the latest after
        `timeout_s`.
        """
        if self._ledger.budgeted:
            await self._feed.first_read(timeout_s)

    def read(self, in_flight: Callable[[PoolKey], int]) -> Mapping[str, Reading[TokenUsage]]:
        """The totals of each tenant with a token budget; `in_flight` says how many tasks of a pool
        are running.
        """
        now, doubt = self._clock.now(), self._doubt()
        return {name: self._reading(name, now, in_flight, doubt) for name in self._ledger.budgeted}

    def on_use(self, callback: Callable[[str, Decimal], None]) -> None:
        """Call back with a tenant that has a token budget, and all that it has used of its day,
        when more is counted. There is one callback: the last one given.
        """
        self._on_use = callback

    def tiers(self) -> Mapping[str, TierUsage]:
        """What each tenant used today of each class of models; nothing of those without any."""
        now = self._clock.now()
        return self._ledger.tiers(now, self._known_from(now))

    def by_model(self) -> Mapping[str, TokensByModel]:
        """What each tenant used today of each model; nothing of those that used none."""
        now = self._clock.now()
        return self._ledger.by_model(now, self._known_from(now))

    def _known_from(self, now: float) -> float:
        """Events from before this moment may be missing."""
        return self._feed.missing_before if self._doubt() is None else now

    def measured(self, pool: PoolKey) -> TaskUsage | None:
        """What one task of this pool takes on average; None before enough tasks are known."""
        return self._ledger.measured(pool)

    def refused(self) -> RefusedEvents:
        """The events that were not counted."""
        return RefusedEvents(count=self._refused, last=self._last_refusal)

    def _take(self, at: float, subject: str, data: bytes) -> None:
        try:
            event = decode_event(subject, data, self._ledger.tenants)
        except RefusedEventError as error:
            self._refused += 1
            self._last_refusal = str(error)
            return
        now = self._clock.now()
        # the server's clock may be ahead of ours: an event from the future counts as of now
        self._ledger.take(event, min(at, now))
        used = self._ledger.used(event.tenant, now)
        if used is not None:
            self._on_use(event.tenant, used)

    def _reading(
        self,
        tenant: str,
        now: float,
        in_flight: Callable[[PoolKey], int],
        doubt: _Doubt | None,
    ) -> Reading[TokenUsage]:
        current_at = self._feed.current_at
        if doubt is not None and (current_at is None or doubt.why is Why.STREAM_MISSING):
            return Absent(why=doubt.why, at=now, detail=doubt.detail)
        value = self._ledger.usage(tenant, now, in_flight)
        reset_at = self._ledger.period_start(tenant, now)
        if self._feed.missing_before > reset_at:
            # nothing was used before the reset; since then the sum is only a lower bound
            return Stale(
                value=value,
                at=reset_at,
                why=Why.INCOMPLETE,
                detail=f"{USAGE_STREAM} no longer holds all events since the last reset: "
                "let it keep two days at least",
            )
        if doubt is not None:
            return Stale(value=value, at=current_at or 0.0, why=doubt.why, detail=doubt.detail)
        return Fresh(value=value, at=current_at or now)

    def _doubt(self) -> _Doubt | None:
        """Why the totals may not be complete; None if they are."""
        feed = self._feed
        problem = feed.problem
        if problem is not None and problem.why is Why.STREAM_MISSING:
            return _Doubt(Why.STREAM_MISSING, NO_STREAM)
        if not self._nats.connected:
            return _Doubt(Why.DISCONNECTED, "not connected to NATS")
        if problem is not None:
            return _Doubt(problem.why, str(problem))
        if feed.current_at is None:
            return _Doubt(Why.NEVER_READ, f"{feed.behind} usage events are still to be read")
        if self._clock.now() - feed.current_at > USAGE_SILENCE_S:
            return _Doubt(Why.TIMED_OUT, f"{feed.behind} usage events behind")
        return None
