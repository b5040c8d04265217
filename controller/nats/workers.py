"""The pools' workers: what they say, what they are told and may use, each in a bucket."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from operator import itemgetter
from typing import Final

import msgspec

from controller.model.fleet import Fleet
from controller.model.ids import PoolKey, pool_key
from controller.model.observation import Workers
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.text import clean, clean_name
from controller.model.value import UndecodableError, Value, decoded
from controller.model.worker_messages import (
    ALLOWANCES_BUCKET,
    GONE_AFTER_S,
    MARK_LENGTH,
    MOST_MARKS,
    ORDERS_BUCKET,
    WORKERS_BUCKET,
    PoolAllowance,
    PoolOrders,
    WorkerState,
    orders_key,
    worker_key,
)
from controller.nats.bucket import Bucket, BucketEntry
from controller.nats.follow import BucketWatch
from controller.nats.session import NatsSession
from controller.ports import Clock, StoreConflictError, StoreMissingError, beside

log = logging.getLogger(__name__)

_LATEST: Final = 1e11
"""No time of this millennium is later, in Unix seconds."""
_STATE: Final = msgspec.json.Decoder(WorkerState)
MOST_STATE_BYTES: Final = 64 * 1024
"""What one worker may say of itself; a state with all marks has some hundred bytes."""


class WorkerStates(BucketWatch):
    """Follows the bucket of workers.

    The bucket is kept in memory, so it may be lost and filled again. A worker is forgotten only
    when it says so, or when it has said nothing for `GONE_AFTER_S`. Who cannot be understood counts
    as busy.
    """

    def __init__(
        self,
        session: NatsSession,
        bucket: Bucket,
        clock: Clock,
        on_change: Callable[[PoolKey, bool], None],
    ) -> None:
        """`on_change` gets a pool, and whether its next decision may hang on that change."""
        super().__init__(session, bucket, clock, "what workers do")
        self._steady: Callable[[], float] = clock.monotonic
        self._on_change = on_change
        self._states: dict[PoolKey, dict[str, WorkerState]] = {}
        self._heard: OrderedDict[str, float] = OrderedDict()

    def of(self, pool: PoolKey) -> Mapping[str, WorkerState]:
        """The states of this pool's workers."""
        return self._states.get(pool, {})

    def expire(self) -> None:
        """Forget workers not heard of for too long, but none while the bucket is not followed."""
        gone_before = self._steady() - GONE_AFTER_S
        while self._heard and self.loss is None:
            key, heard_at = next(iter(self._heard.items()))
            if heard_at > gone_before:
                return
            self._forget(key)

    def found(self, entries: Mapping[str, BucketEntry], *, is_another: bool) -> None:
        """These are all the keys there are. A worker that is missing has not said that it ends."""
        if self.loss is not None:
            # nobody could be heard meanwhile
            now = self._steady()
            self._heard = OrderedDict.fromkeys(self._heard, now)
        # what a new bucket lacks is written again by those who wrote it
        super().found(entries, is_another=is_another)
        for entry in entries.values():
            self.changed(entry)

    def changed(self, entry: BucketEntry) -> None:
        """One worker's state has changed."""
        if entry.deleted:
            self._forget(entry.key)
            return
        if (place := _place(entry.key)) is None:
            return
        pool, worker = place
        state = _decoded(worker, entry)
        self._heard[entry.key] = self._steady()
        self._heard.move_to_end(entry.key)
        states = self._states.setdefault(pool, {})
        if states.get(worker) != state:
            is_first, states[worker] = not states, state
            self._on_change(pool, is_first or not (state.pulling or state.busy))

    def _forget(self, key: str) -> None:
        self._heard.pop(key, None)
        place = _place(key)
        if place is not None and self._states.get(place[0], {}).pop(place[1], None) is not None:
            self._on_change(place[0], True)


def _place(key: str) -> tuple[PoolKey, str] | None:
    """The pool and the worker of a key; None for a key that is no worker's."""
    tenant, _, rest = key.partition(".")
    pool, _, worker = rest.partition(".")
    return (pool_key(tenant, pool), clean_name(worker)) if worker else None


def _decoded(worker: str, entry: BucketEntry) -> WorkerState:
    try:
        state = decoded(_STATE, entry.value, most_bytes=MOST_STATE_BYTES)
    except UndecodableError as error:
        log.warning("worker %s cannot be understood: %s", clean(entry.key), error)
        return WorkerState(worker=worker, slots=1, busy=1, pulling=True)
    if state.worker == worker and not state.marks:
        return state
    # of the steps of its start those that can be shown
    times = {clean(step, MARK_LENGTH): at for step, at in state.marks.items() if 0 < at < _LATEST}
    marks = dict(sorted(times.items(), key=itemgetter(1))[:MOST_MARKS])
    return msgspec.structs.replace(state, worker=worker, marks=marks)


_ORDERS: Final = msgspec.json.Decoder(PoolOrders)
MOST_ORDER_BYTES: Final = 1024 * 1024
"""The orders of one pool: NATS takes no longer message unless it is told to."""


class StoredOrders(Value):
    """A pool's orders, their `revision` (0: never stored), and the key's `latest`."""

    orders: PoolOrders = PoolOrders()
    revision: int = 0
    latest: int = 0


NO_ORDERS: Final = StoredOrders()


class WorkerOrders(BucketWatch):
    """Follows the bucket of orders."""

    def __init__(
        self,
        session: NatsSession,
        bucket: Bucket,
        clock: Clock,
        on_change: Callable[[PoolKey], None],
    ) -> None:
        super().__init__(session, bucket, clock, "the orders of workers")
        self._on_change = on_change
        self._orders: dict[PoolKey, StoredOrders] = {}

    def of(self, pool: PoolKey) -> StoredOrders:
        """What this pool's workers are told."""
        return self._orders.get(pool, NO_ORDERS)

    def found(self, entries: Mapping[str, BucketEntry], *, is_another: bool) -> None:
        """These are all the keys there are."""
        # what a new bucket lacks is written again by those who wrote it
        super().found(entries, is_another=is_another)
        before, self._orders = self._orders, {}
        for entry in entries.values():
            self._take_orders(entry)
        for pool in before.keys() | self._orders.keys():
            if before.get(pool) != self._orders.get(pool):
                self._on_change(pool)

    def changed(self, entry: BucketEntry) -> None:
        """One pool's orders have changed."""
        if (pool := self._take_orders(entry)) is not None:
            self._on_change(pool)

    def stored(self, pool: PoolKey, orders: PoolOrders, revision: int) -> None:
        """We have stored these orders, and the watch reports that later."""
        if revision > self.of(pool).latest:
            self._orders[pool] = StoredOrders(orders=orders, revision=revision, latest=revision)
            self._on_change(pool)

    def _take_orders(self, entry: BucketEntry) -> PoolKey | None:
        """The pool whose orders this entry changes; None if it changes nothing."""
        tenant, _, name = entry.key.partition(".")
        pool = pool_key(tenant, name)
        if entry.revision <= self.of(pool).latest:
            return None
        if entry.deleted:
            self._orders[pool] = StoredOrders(latest=entry.revision)
            return pool
        try:
            orders = decoded(_ORDERS, entry.value, most_bytes=MOST_ORDER_BYTES)
        except UndecodableError as error:
            log.warning("orders %s cannot be understood: %s", clean(entry.key), error)
            orders = PoolOrders()
        self._orders[pool] = StoredOrders(
            orders=orders, revision=entry.revision, latest=entry.revision
        )
        return pool


class WorkerBuckets:
    """The `WorkerSource` port. Nothing is created before there is something to tell."""

    def __init__(self, session: NatsSession, clock: Clock, fleet: Fleet) -> None:
        self._clock = clock
        self._names = {pool.key: (pool.tenant, pool.name) for pool in fleet.pools}
        states, orders = Bucket(session, WORKERS_BUCKET), Bucket(session, ORDERS_BUCKET, history=1)
        self._states = WorkerStates(session, states, clock, self._state_changed)
        self._orders = WorkerOrders(session, orders, clock, self._forget)
        self._silent: dict[PoolKey, tuple[int, tuple[str, ...]]] = {}
        self._readings: dict[PoolKey, Reading[Workers]] = {}
        self._judged_by: Absent | None = None
        self._callbacks: list[Callable[[PoolKey], None]] = []

    def following(self) -> AbstractAsyncContextManager[None]:
        """Follow both buckets while the block runs."""
        return beside(self._states.run(), self._orders.run())

    async def first_read(self, timeout_s: float) -> None:
        """Return once both were read, or cannot be read, at the latest after `timeout_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._states.answered.wait()
                await self._orders.answered.wait()

    def read(self, pool: PoolKey) -> Reading[Workers] | None:
        """The pool's workers; None if our user may not read them and never could."""
        loss = self._loss
        self._states.expire()
        if loss is not self._judged_by:
            self._judged_by = loss
            self._readings.clear()
        known = self._readings.get(pool)
        if known is None:
            if loss is not None and loss.why is Why.REFUSED and not self._is_found:
                return None
            known = self._readings[pool] = self._reading(pool, loss)
        return known

    def is_unconfirmed(self, pool: PoolKey) -> bool:
        """Whether a pod was told to stop that has no state, and this was not asked yet."""
        stored, states = self._orders.of(pool), self._states.of(pool)
        silent = self._silent_of(pool)
        return any(pod not in states and pod not in silent for pod in stored.orders.drain)

    async def tell(self, pool: PoolKey, orders: PoolOrders) -> None:
        """Store the orders, then ask which of the pods that must stop have no worker.

        The order matters: a worker stores its state before it reads its orders, so one of the two
        always sees the other. Raises StoreError.
        """
        stored = self._orders.of(pool)
        revision = stored.revision
        if not revision or stored.orders != orders:
            value = msgspec.json.encode(orders)
            key = orders_key(*self._names[pool])
            revision = await self._orders.bucket.put(key, value, expected=stored.latest)
            self._orders.stored(pool, orders, revision)
        silent: list[str] = []
        for pod in [each for each in orders.drain if each not in self._states.of(pool)]:
            entry = None
            with suppress(StoreMissingError):
                entry = await self._states.bucket.get(worker_key(*self._names[pool], pod))
            if entry is None or entry.deleted:
                silent.append(pod)
            else:
                self._states.changed(entry)
        self._silent[pool] = (revision, tuple(silent))
        self._forget(pool)

    async def release(self, pools: Collection[PoolKey]) -> None:
        """Remove the orders of these pools. Raises StoreError."""
        for pool in pools:
            stored = self._orders.of(pool)
            if stored.revision:
                key = pool.replace("/", ".", 1)
                await self._orders.bucket.delete(key, expected=stored.latest, note=b"")

    def on_change(self, callback: Callable[[PoolKey], None]) -> None:
        """Call back with the pool of a worker that has stopped pulling and has no task left, or
        that speaks while no other does: its pool may be one that may not pull.
        """
        self._callbacks.append(callback)

    def problem(self) -> str:
        """Why what workers say cannot be read; empty if it can, or if there is no connection."""
        loss = self._loss
        return "" if loss is None or loss.why is Why.DISCONNECTED else loss.detail

    @property
    def _loss(self) -> Absent | None:
        return self._states.loss or self._orders.loss

    @property
    def _is_found(self) -> bool:
        return self._states.is_found and self._orders.is_found

    def _reading(self, pool: PoolKey, loss: Absent | None) -> Reading[Workers]:
        now = self._clock.now()
        if not self._is_found:
            why, detail = (Why.NEVER_READ, "") if loss is None else (loss.why, loss.detail)
            return Absent(why=why, at=now, detail=detail)
        stored, states = self._orders.of(pool), self._states.of(pool)
        silent = self._silent_of(pool)
        workers = Workers(
            states=tuple(states[name] for name in sorted(states)),
            orders=stored.orders,
            revision=stored.revision,
            silent=tuple(pod for pod in silent if pod not in states),
        )
        if loss is not None:
            return Stale(value=workers, at=loss.at, why=loss.why, detail=loss.detail)
        return Fresh(value=workers, at=now)

    def _silent_of(self, pool: PoolKey) -> tuple[str, ...]:
        """The pods without a worker, if that was asked after the orders that are in force."""
        revision, silent = self._silent.get(pool, (0, ()))
        return silent if revision == self._orders.of(pool).revision else ()

    def _state_changed(self, pool: PoolKey, decides: bool) -> None:
        self._forget(pool)
        if decides:
            for callback in self._callbacks:
                callback(pool)

    def _forget(self, pool: PoolKey) -> None:
        self._readings.pop(pool, None)


class AllowanceBucket:
    """The `AllowanceStore` port. The bucket is created where there is none.

    A write cannot find out: workers listen to the subject, so the server takes the message as
    delivered, and without a stream there is no answer. Reading can, so it comes first.
    """

    def __init__(self, session: NatsSession, fleet: Fleet) -> None:
        self._bucket = Bucket(session, ALLOWANCES_BUCKET, history=1)
        self._keys = {pool.key: orders_key(pool.tenant, pool.name) for pool in fleet.pools}
        self._revisions: dict[PoolKey, int] = {}

    async def allow(self, pool: PoolKey, allowance: PoolAllowance) -> None:
        """Store a pool's allowance, in place of whatever is stored. Raises StoreError."""
        key, value = self._keys[pool], msgspec.json.encode(allowance)
        # forgotten until the write has succeeded: after a failure it is read again
        known = self._revisions.pop(pool, None)
        if known is not None:
            with suppress(StoreConflictError):  # another controller has led meanwhile
                self._revisions[pool] = await self._bucket.put(key, value, expected=known)
                return
        entry = None
        try:
            entry = await self._bucket.get(key)
        except StoreMissingError:
            await self._bucket.create()
        revision = 0 if entry is None else entry.revision
        if entry is None or entry.value != value:
            revision = await self._bucket.put(key, value, expected=revision)
        self._revisions[pool] = revision
