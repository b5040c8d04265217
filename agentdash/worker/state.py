"""What a worker and the controller know of each other: the worker's state, and its orders."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import msgspec
from nats import errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import Header
from nats.js.errors import KeyNotFoundError, NoStreamResponseError, NotFoundError

from agentdash.worker.settings import WorkerSettings
from agentdash.worker.stores import NatsLink, bucket, ensure_workers_bucket, set_within, until_done
from controller.model.decoding import UndecodableError, decoded
from controller.model.servers import Backoff, no_jitter
from controller.model.text import clean
from controller.model.worker_messages import (
    ORDERS_BUCKET,
    REPORT_S,
    WORKERS_BUCKET,
    PoolOrders,
    WorkerState,
    orders_key,
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


class Told(NamedTuple):
    """What the orders mean for one worker. With `leaves` it hands back what it has."""

    may_pull: bool
    because: str
    leaves: bool


Obey = Callable[[Told], Awaitable[None]]
ReadState = Callable[[int], WorkerState]


class Presence:
    """Keeps a worker's state stored and obeys its pool's orders.

    `obey` must return only when no pull is open, if the worker may not pull. `state` gives the
    worker's state with the revision of the orders that are obeyed.
    """

    def __init__(
        self, link: NatsLink, settings: WorkerSettings, *, obey: Obey, state: ReadState
    ) -> None:
        self._link, self._settings = link, settings
        self._obey, self._state = obey, state
        self._states = bucket(link.jetstream, WORKERS_BUCKET)
        self._key = worker_key(settings.tenant, settings.pool, settings.worker)
        self._orders = bucket(link.jetstream, ORDERS_BUCKET)
        self._orders_key = orders_key(settings.tenant, settings.pool)
        self._told = asyncio.Event()
        self._changed = asyncio.Event()
        self._revision = 0
        self._announced = Announced()
        self._until: float | None = None
        self._subscription: Subscription | None = None
        self._has_left = False

    def changed(self) -> None:
        """The worker's state has changed: store it soon."""
        self._changed.set()

    def look(self) -> None:
        """Read the orders again soon, and store the state: the connection is a new one."""
        self._told.set()
        self._changed.set()

    async def register(self) -> None:
        """Store the state, then read the orders and obey them; tried until both are done."""
        subject = f"$KV.{ORDERS_BUCKET}.{self._orders_key}"

        async def tried() -> None:
            if self._subscription is None:
                self._subscription = await self._link.client.subscribe(subject, cb=self._tell)
            await self._store()
            await self._read_orders()

        backoff = Backoff(_RETRY_FIRST_S, _RETRY_MOST_S)
        await until_done(tried, backoff, "cannot register with the controller's buckets")

    async def run(self) -> None:
        """Report and obey until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_orders())
            group.create_task(self._report())

    async def leave(self) -> None:
        """Delete the state: this worker is no more."""
        self._has_left = True
        try:
            if self._subscription is not None:
                await self._subscription.unsubscribe()
            await self._states.delete(self._key)
        except errors.Error as error:
            log.debug("the worker's state stays until it is forgotten: %s", clean(error))

    async def _tell(self, message: Msg) -> None:
        self._announced.hear(message, self._revision)
        self._told.set()

    async def _report(self) -> None:
        while True:
            await set_within(self._changed, REPORT_S)
            self._changed.clear()
            try:
                await self._store()
            except errors.Error as error:
                log.warning("the worker's state could not be stored: %s", clean(error))
            await asyncio.sleep(BETWEEN_REPORTS_S)

    async def _store(self) -> None:
        """Store the state as it is now. Raises nats.errors.Error."""
        if self._has_left:
            return
        encoded = msgspec.json.encode(self._state(self._revision))
        try:
            await self._states.put(self._key, encoded)
        except NoStreamResponseError:
            # kept in memory: a server that was restarted has forgotten the bucket
            await ensure_workers_bucket(self._link.jetstream)
            await self._states.put(self._key, encoded)

    async def _follow_orders(self) -> None:
        while True:
            waits_s = [REPORT_S]
            if self._until is not None:
                waits_s.append(max(0.0, self._until - time.time()))
            if self._announced.is_missing(self._revision):
                waits_s.append(self._announced.next_s())
            await set_within(self._told, min(waits_s))
            self._told.clear()
            try:
                await self._read_orders()
            except errors.Error as error:
                log.warning("the pool's orders could not be read: %s", clean(error))

    async def _read_orders(self) -> None:
        """Read the orders from the stream's leader and obey them. Raises nats.errors.Error."""
        orders, revision = await self._newest()
        now = time.time()
        if orders.until is not None and orders.until <= now:
            orders = PoolOrders()
        self._until = orders.until
        drained = self._settings.worker in orders.drain
        is_new = revision != self._revision
        leaves = self._settings.worker in orders.leave
        because = "node ends" if leaves else "drain" if drained else orders.because
        may_pull = orders.pull and not drained and not leaves
        await self._obey(Told(may_pull, because, leaves))
        self._revision = revision
        if is_new:
            await self._store()

    async def _newest(self) -> tuple[PoolOrders, int]:
        try:
            entry = await self._orders.get(self._orders_key)
        except KeyNotFoundError as error:
            entry_of_end = getattr(error, "entry", None)
            return PoolOrders(), (entry_of_end.revision or 0) if entry_of_end else 0
        except NotFoundError:  # no controller has ever been here
            return PoolOrders(), 0
        revision = entry.revision or 0
        try:
            return decoded(_ORDERS, entry.value or b""), revision
        except UndecodableError as error:
            log.warning("the pool's orders cannot be read and are ignored: %s", error)
            return PoolOrders(), revision


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
