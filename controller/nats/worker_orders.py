"""What the workers of each pool are told, read from the bucket of orders."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from controller.model.decoding import UndecodableError, decoded
from controller.model.ids import PoolKey, pool_key
from controller.model.readings import Why
from controller.model.text import clean
from controller.model.value import Value
from controller.model.worker_messages import PoolOrders
from controller.nats.bucket import BucketEntry
from controller.nats.worker_states import Loss
from controller.ports import Clock

log = logging.getLogger(__name__)

_ORDERS: Final = msgspec.json.Decoder(PoolOrders)
MOST_ORDER_BYTES: Final = 1024 * 1024
"""The orders of one pool: NATS takes no longer message unless it is told to."""


class StoredOrders(Value):
    """One pool's orders and their revision; `revision` 0: they were never stored. `latest` is the
    revision of the key, that of a marker after they were removed.
    """

    orders: PoolOrders = PoolOrders()
    revision: int = 0
    latest: int = 0


NO_ORDERS: Final = StoredOrders()


class WorkerOrders:
    """Listens to the bucket of orders."""

    def __init__(self, clock: Clock, changed: Callable[[PoolKey], None]) -> None:
        self._clock = clock
        self._changed = changed
        self._orders: dict[PoolKey, StoredOrders] = {}
        self.answered = asyncio.Event()
        self.is_found = False
        self.loss: Loss | None = None

    def of(self, pool: PoolKey) -> StoredOrders:
        """What this pool's workers are told."""
        return self._orders.get(pool, NO_ORDERS)

    def found(self, entries: Mapping[str, BucketEntry], *, is_another: bool) -> None:
        """These are all the keys there are."""
        del is_another  # what a new bucket lacks is written again by those who wrote it
        self.is_found, self.loss = True, None
        self.answered.set()
        before, self._orders = self._orders, {}
        for entry in entries.values():
            self._take(entry)
        for pool in before.keys() | self._orders.keys():
            if before.get(pool) != self._orders.get(pool):
                self._changed(pool)

    def changed(self, entry: BucketEntry) -> None:
        """One pool's orders have changed."""
        if (pool := self._take(entry)) is not None:
            self._changed(pool)

    def stored(self, pool: PoolKey, orders: PoolOrders, revision: int) -> None:
        """We have stored these orders, and the watch reports that later."""
        if revision > self.of(pool).latest:
            self._orders[pool] = StoredOrders(orders=orders, revision=revision, latest=revision)
            self._changed(pool)

    def lost(self, reason: str, why: Why) -> None:
        """Changes are not seen from now on."""
        if self.loss is None:
            log.warning("the orders of workers cannot be read: %s", reason)
            self.loss = Loss(why, clean(reason), self._clock.now())
            self.answered.set()

    def _take(self, entry: BucketEntry) -> PoolKey | None:
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
