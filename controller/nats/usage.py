"""How many tokens tenants have used: the usage events of workers, read and counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import msgspec
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.observation import (
    RefusedEvents,
    TenantSpent,
    TierUsage,
    TokensByModel,
    TokenUsage,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import TaskUsage
from controller.model.text import clean
from controller.model.value import UndecodableError, decoded
from controller.model.worker_messages import (
    USAGE_STREAM,
    USAGE_SUBJECT_PREFIX,
    UsageEvent,
    usage_subject,
)
from controller.nats.follow import HEARTBEATS_MISSED, Follower
from controller.nats.jetstream import NatsError, StreamInfo
from controller.nats.ledger import UsageLedger
from controller.nats.session import NatsSession
from controller.ports import Clock, beside

_SHOWN: Final = 80
_MOST_EVENT_BYTES: Final = 64 * 1024


class RefusedEventError(Exception):
    """An event that does not count; the message says why."""


_EVENT: Final = msgspec.json.Decoder(UsageEvent)


def decode_event(subject: str, data: bytes, tenants: Collection[str]) -> UsageEvent:
    """One message's event. Raises RefusedEventError for garbled or foreign ones."""
    try:
        event = decoded(_EVENT, data, most_bytes=_MOST_EVENT_BYTES)
    except UndecodableError as error:
        raise RefusedEventError(f"on {clean(subject, _SHOWN)}: {clean(error, _SHOWN)}") from None
    if subject != usage_subject(event.tenant, event.role):
        names = f"{clean(event.tenant, _SHOWN)}/{clean(event.role, _SHOWN)}"
        raise RefusedEventError(f"on {clean(subject, _SHOWN)}: it names {names}")
    if event.tenant not in tenants:
        raise RefusedEventError(f"the fleet has no tenant {clean(event.tenant, _SHOWN)}")
    return event


log = logging.getLogger(__name__)

NO_STREAM: Final = (
    f"there is no stream {USAGE_STREAM}: workers publish what they use to "
    f"{USAGE_SUBJECT_PREFIX}.TENANT.POOL, and this stream is to keep it"
)


class TokenUsageSource(Follower):
    """The ledger of a fleet's tenants that have a token budget, rebuilt from the stream of usage
    events and kept up to date as they come; each event counts once. What is used of each model is
    counted for all tenants, and of each class of models, if the fleet has several. Without budgets
    and models nothing is read.

    Fresh only while there is a connection and the stream is read to its end: a tenant without
    events has then used nothing. If the stream is missing, the reading is Absent. Any other failure
    is Stale with the last totals, or Absent before there were any.
    """

    heartbeat_s = 5.0

    def __init__(self, nats: NatsSession, clock: Clock, fleet: Fleet) -> None:
        super().__init__(nats, clock, USAGE_STREAM)
        self._ledger = UsageLedger(fleet)
        of = self._ledger.of.items()
        self._budgeted = dict.fromkeys(name for name, each in of if each.has_budget)
        self._last: int | None = None
        self._first = 0  # of the stream, when we began to read it or missed some of it
        self._created: datetime | None = None
        self._tried = asyncio.Event()
        self._problem: NatsError | None = None
        self._current_at: float | None = None  # when all events were read last
        self._behind = 0
        self._missing_before = 0.0  # events from before may have been removed unread
        self._kept_from = 0.0  # the same, also after an account told what they were
        self._anew_until = 0  # up to this sequence, events are read for the second time
        self.counted = 0
        self._left: Mapping[str, TenantSpent] = {}
        self._refused = 0
        self._last_refusal = ""
        self._on_use: Callable[[str, Decimal], None] = lambda _tenant, _used: None

    def reading(self) -> AbstractAsyncContextManager[None]:
        """Read the stream while the block runs."""
        return beside(*([self.run()] if self._ledger.of else ()))

    async def first_read(self, timeout_s: float) -> None:
        """Return once it was read to its end or cannot be, at most after `timeout_s`."""
        if not self._budgeted:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._tried.wait()
        except TimeoutError:
            log.info("stream %s: %d messages are still to be read", USAGE_STREAM, self._behind)

    def read(self, in_flight: Callable[[PoolKey], int]) -> Mapping[str, Reading[TokenUsage]]:
        """The totals of tenants with a token budget; `in_flight` counts a pool's tasks."""
        now = self._clock.now()
        doubt = self._doubt(now)
        return {name: self._reading(name, now, in_flight, doubt) for name in self._budgeted}

    def on_use(self, callback: Callable[[str, Decimal], None]) -> None:
        """Call back, the last one given, with a budgeted tenant and its day's use."""
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
        return self._missing_before if self._doubt(now) is None else now

    def measured(self, pool: PoolKey) -> TaskUsage | None:
        """What one task of this pool takes on average; None before enough tasks are known."""
        return self._ledger.measured(pool)

    def spent(self) -> Mapping[str, TenantSpent]:
        """Each tenant's account for the next process; nothing before all events were read."""
        if self._current_at is None or self._left:
            return self._left
        now, accounts = self._clock.now(), self._ledger.of
        missed = any(each.day_start(now) < self._missing_before for each in accounts.values())
        read = 0 if missed else self._last or 0
        return {name: each.spent(str(self._created), read) for name, each in accounts.items()}

    def go_on_from(self, spent: Mapping[str, TenantSpent]) -> None:
        """Count on from an earlier process's accounts once all events are read, to compare sums."""
        self._left = spent
        if self._current_at is not None and not self._behind:
            self._take_left()

    def _take_left(self) -> None:
        if not self._left:
            return
        now, left, stream = self._clock.now(), self._left, str(self._created)
        accounts, last = self._ledger.of, self._last or 0
        read = min((each.read for each in left.values() if each.stream == stream), default=0)
        is_whole = accounts.keys() == left.keys() and read > 0 and self._first <= read + 1
        is_part = any(each.day_start(now) < self._kept_from for each in accounts.values())
        # the sum of a day of which the stream has a part is the one left and what came after it
        is_anew = is_whole and is_part and self._first <= read < last
        for name, account in accounts.items():
            if name in left:
                # where what was counted is removed from the stream, ours comes after it
                comes_after = 0 < left[name].read < self._first
                same = "" if comes_after else stream
                account.go_on_from(left[name], same, now, is_anew=is_anew)
        if is_anew:
            self._missing_before, self._anew_until, self._last = self._kept_from, last, read
            self.begin_anew()
        elif is_whole and (self._first == read + 1 or last <= read):
            self._missing_before, self._last = 0.0, max(last, read)
        self._left = {}
        self.counted += 1

    def refused(self) -> RefusedEvents:
        """The events that were not counted."""
        return RefusedEvents(count=self._refused, last=self._last_refusal)

    def beginning(self, stream: StreamInfo) -> ConsumerConfig:
        """The event after the last one read; at first, the first that the ledger needs."""
        state, is_another = stream.state, stream.created != self._created
        self._created = stream.created
        kept_from = (state.first_ts if state.messages else state.last_ts).timestamp()
        if self._last is None:
            self._first = state.first_seq
            since = self._ledger.since(self._clock.now())
            if state.first_seq > 1 and kept_from > since:
                self._missing_before = self._kept_from = kept_from
            for each in self._ledger.of.values():
                each.begin(max(since, self._missing_before))
            return ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_TIME,
                opt_start_time=datetime.fromtimestamp(since, UTC),
            )
        if is_another:
            self._last = 0  # another stream with the same name: events counted so far stay counted
            for each in self._ledger.of.values():
                each.stream_lost()
        elif state.first_seq > self._last + 1:
            self._missing_before = self._kept_from = kept_from
            self._first, self._anew_until = state.first_seq, 0
        return ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=self._last + 1
        )

    def opened(self, pending: int) -> None:
        """The stream is read again."""
        self._problem = None
        self._behind = pending

    def take(self, message: Msg, metadata: Msg.Metadata) -> None:
        """One event, unless it was read before."""
        self._behind = metadata.num_pending
        sequence = metadata.sequence.stream
        if self._last is not None and sequence <= self._last:
            return
        self._last, is_anew = sequence, sequence <= self._anew_until
        try:
            event = decode_event(message.subject, message.data, self._ledger.tenants)
        except RefusedEventError as error:
            self._refused += not is_anew
            self._last_refusal = str(error)
            return
        now = self._clock.now()
        # the server's clock may be ahead of ours: an event from the future counts as of now
        self._ledger.take(event, min(metadata.timestamp.timestamp(), now), is_anew=is_anew)
        self.counted += 1
        if event.tenant in self._budgeted:
            self._on_use(event.tenant, self._ledger.of[event.tenant].counted(now))

    def up_to_date(self) -> None:
        """Nothing is left unread."""
        self._behind = 0
        if self._anew_until and (self._last or 0) >= self._anew_until:
            self._missing_before, self._anew_until = 0.0, 0
        self._take_left()
        self._current_at = self._clock.now()
        self._tried.set()

    def lost(self, error: NatsError) -> None:
        """The stream is not read now."""
        if self._problem is None or str(error) != str(self._problem):
            log.info("stream %s is not read: %s", USAGE_STREAM, error)
        self._problem = error
        self._tried.set()

    def _reading(
        self,
        tenant: str,
        now: float,
        in_flight: Callable[[PoolKey], int],
        doubt: Absent | None,
    ) -> Reading[TokenUsage]:
        current_at = self._current_at
        if doubt is not None and (current_at is None or doubt.why is Why.STREAM_MISSING):
            return doubt
        account = self._ledger.of[tenant]
        value, reset_at = account.usage(now, in_flight), account.day_start(now)
        if self._missing_before > reset_at:
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

    def _doubt(self, now: float) -> Absent | None:
        """Why the totals may not be complete; None if they are."""
        problem, silence_s = self._problem, HEARTBEATS_MISSED * self.heartbeat_s
        if problem is not None and problem.why is Why.STREAM_MISSING:
            why, detail = Why.STREAM_MISSING, NO_STREAM
        elif not self._session.connected:
            why, detail = Why.DISCONNECTED, "not connected to NATS"
        elif problem is not None:
            why, detail = problem.why, str(problem)
        elif self._current_at is None:
            why, detail = Why.NEVER_READ, f"{self._behind} usage events are still to be read"
        elif now - self._current_at > silence_s:
            why, detail = Why.TIMED_OUT, f"{self._behind} usage events behind"
        else:
            return None
        return Absent(why=why, at=now, detail=detail)
