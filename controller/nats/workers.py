"""The pools' workers: what they say they do, and what they are told, each in a bucket of NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Self

import msgspec

from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.observation import Workers
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.worker_messages import (
    ORDERS_BUCKET,
    WORKERS_BUCKET,
    PoolOrders,
    WorkerState,
    orders_key,
    worker_key,
)
from controller.nats.bucket import Bucket, BucketWatch
from controller.nats.session import NatsSession
from controller.nats.worker_orders import WorkerOrders
from controller.nats.worker_states import Loss, WorkerStates
from controller.ports import Clock, StoreMissingError


class WorkerBuckets:
    """The `WorkerSource` port. Nothing is created before there is something to tell."""

    def __init__(self, session: NatsSession, clock: Clock, fleet: Fleet) -> None:
        self._clock = clock
        self._names = {pool.key: (pool.tenant, pool.name) for pool in fleet.pools}
        self._states_bucket = Bucket(session, WORKERS_BUCKET)
        self._orders_bucket = Bucket(session, ORDERS_BUCKET, history=1)
        self._states = WorkerStates(clock, self._state_changed)
        self._orders = WorkerOrders(clock, self._forget)
        self._watches = (
            BucketWatch(
                session, self._states_bucket, ">", self._states, clock, may_begin_anew=True
            ),
            BucketWatch(
                session, self._orders_bucket, ">", self._orders, clock, may_begin_anew=True
            ),
        )
        self._silent: dict[PoolKey, tuple[int, tuple[str, ...]]] = {}
        self._readings: dict[PoolKey, Reading[Workers]] = {}
        self._judged_by: Loss | None = None
        self._callbacks: list[Callable[[PoolKey], None]] = []

    @asynccontextmanager
    async def following(self) -> AsyncIterator[Self]:
        """Follow both buckets while the block runs."""
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(watch.run(), name="workers") for watch in self._watches]
            yield self
            for each in running:
                each.cancel()

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
            revision = await self._orders_bucket.put(key, value, expected=stored.latest)
            self._orders.stored(pool, orders, revision)
        without = [pod for pod in orders.drain if pod not in self._states.of(pool)]
        self._silent[pool] = (
            revision,
            tuple([pod for pod in without if await self._is_silent(pool, pod)]),
        )
        self._forget(pool)

    async def release(self, pools: Collection[PoolKey]) -> None:
        """Remove the orders of these pools. Raises StoreError."""
        for pool in pools:
            stored = self._orders.of(pool)
            if stored.revision:
                key = pool.replace("/", ".", 1)
                await self._orders_bucket.delete(key, expected=stored.latest, note=b"")

    def on_change(self, callback: Callable[[PoolKey], None]) -> None:
        """Call back with the pool of a worker that has stopped pulling and has no task left."""
        self._callbacks.append(callback)

    def problem(self) -> str:
        """Why what workers say cannot be read; empty if it can, or if there is no connection."""
        loss = self._loss
        return "" if loss is None or loss.why is Why.DISCONNECTED else loss.detail

    @property
    def _loss(self) -> Loss | None:
        return self._states.loss or self._orders.loss

    @property
    def _is_found(self) -> bool:
        return self._states.is_found and self._orders.is_found

    def _reading(self, pool: PoolKey, loss: Loss | None) -> Reading[Workers]:
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

    async def _is_silent(self, pool: PoolKey, pod: str) -> bool:
        """Whether the server has no state of a worker in this pod. Raises StoreError."""
        try:
            entry = await self._states_bucket.get(worker_key(*self._names[pool], pod))
        except StoreMissingError:
            return True
        if entry is not None and not entry.deleted:
            self._states.changed(entry)
            return False
        return True

    def _state_changed(self, pool: PoolKey, state: WorkerState | None) -> None:
        self._forget(pool)
        if state is None or not (state.pulling or state.busy):
            for callback in self._callbacks:
                callback(pool)

    def _forget(self, pool: PoolKey) -> None:
        self._readings.pop(pool, None)
