"""The work as it truly is: queues, workers that obey orders, and the buckets of NATS they use."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import msgspec

from controller.model.fleet import Pool
from controller.model.observation import QueueDepth
from controller.model.worker_messages import (
    GONE_AFTER_S,
    WORKERS_BUCKET,
    PoolOrders,
    WorkerState,
    orders_key,
    worker_key,
)
from controller.nats.bucket import BucketEntry
from controller.ports import StoreConflictError, StoreMissingError
from simulation.engine.kernel import Kernel
from support.world import START

REPORT_S: Final = 15.0
HEARD_S: Final = 1.0
INTENTS: Final = "intent."
_ORDERS: Final = msgspec.json.Decoder(PoolOrders)


class Store:
    """A bucket on the server: every key's latest value, each value that is not purged, and of an
    intent all that there were. It may be deleted, and is made anew by the next write; it may be
    restored to what it was. `on_lost` is called with False for the first and True for the other.
    """

    def __init__(self, kernel: Kernel, name: str) -> None:
        self.name = name
        self._kernel = kernel
        self._latest: dict[str, BucketEntry] = {}
        self._by_revision: dict[int, BucketEntry] = {}
        self._history: list[BucketEntry] = []
        self._revision = 0
        self.is_gone = False
        self.on_put: list[Callable[[BucketEntry], None]] = []
        self.on_lost: Callable[[bool], None] = lambda _: None
        self.on_restored: Callable[[], None] = lambda: None

    def now(self) -> float:
        """The server's clock."""
        self._be_there()
        return START + self._kernel.now

    def entries(self, prefix: str = "") -> dict[str, BucketEntry]:
        self._be_there()
        return {key: each for key, each in self._latest.items() if key.startswith(prefix)}

    def history(self, key: str) -> list[BucketEntry]:
        self._be_there()
        return [each for each in self._history if each.key == key]

    def get(self, key: str) -> BucketEntry | None:
        self._be_there()
        return self._latest.get(key)

    def at_revision(self, revision: int) -> BucketEntry | None:
        self._be_there()
        return self._by_revision.get(revision)

    def put(
        self, key: str, value: bytes, expected: int | None = None, *, deleted: bool = False
    ) -> int:
        if self.is_gone:
            self.is_gone = False
            self.on_lost(True)
        known = self._latest.get(key)
        if expected is not None and expected != (0 if known is None else known.revision):
            raise StoreConflictError(f"{key} was changed by another writer")
        self._revision += 1
        entry = BucketEntry(
            key=key,
            value=value,
            revision=self._revision,
            at=self.now(),
            deleted=deleted,
        )
        if known is not None:
            self._by_revision.pop(known.revision, None)
        self._latest[key] = self._by_revision[self._revision] = entry
        if key.startswith(INTENTS):
            self._history.append(entry)
        for told in self.on_put:
            told(entry)
        if deleted and self.name == WORKERS_BUCKET:
            self._kernel.after(GONE_AFTER_S, lambda: self._forget(entry))
        return self._revision

    def _forget(self, marker: BucketEntry) -> None:
        if self._latest.get(marker.key) is marker:
            del self._latest[marker.key], self._by_revision[marker.revision]

    def purge(self, prefix: str, before: int) -> None:
        self._be_there()
        gone = [
            key
            for key, entry in self._latest.items()
            if key.startswith(f"{prefix}.") and entry.revision < before
        ]
        for key in gone:
            del self._by_revision[self._latest.pop(key).revision]

    def delete(self) -> None:
        """Somebody deletes it."""
        if not self.is_gone:
            self._latest, self._by_revision, self._history, self._revision = {}, {}, [], 0
            self.is_gone = True
            self.on_lost(False)

    def kept(self) -> Callable[[], None]:
        """What restores it to what it is now."""
        parts = dict(self._latest), dict(self._by_revision), list(self._history), self._revision

        def restore() -> None:
            self._latest, self._by_revision, self._history, self._revision = parts
            self.is_gone = False
            self.on_lost(True)
            self.on_restored()

        return restore

    def _be_there(self) -> None:
        if self.is_gone:
            raise StoreMissingError(f"there is no bucket {self.name}")


class Queue:
    """One pool's queue. Rule native learns only from one that `counts` its deliveries."""

    def __init__(self, *, counts: bool) -> None:
        self.counts = counts
        self.pending = 0
        self.in_flight = 0
        self.delivered = 0
        self.done = 0

    def depth(self) -> QueueDepth:
        return QueueDepth(
            pending=self.pending,
            in_flight=self.in_flight,
            delivered=self.delivered if self.counts else None,
            sequence=self.delivered if self.counts else None,
        )


class Worker:
    """A worker in a pod: it stores its state, then reads its orders, then pulls. One that does not
    report only pulls.
    """

    def __init__(self, crew: Crew, name: str) -> None:
        self._crew = crew
        self.name = name
        self.busy = 0
        self.pulling = False
        self.has_ended = False
        self._obeyed = 0
        if not crew.reports:
            self.pulling = True
            self.pull()
            return
        self._store()
        crew.kernel.after(crew.chance.uniform(0.005, 0.1), self.obey)
        crew.kernel.after(REPORT_S, self._report)

    def obey(self) -> None:
        """Read the orders, and do what they say."""
        if self.has_ended:
            return
        revision, orders = self._crew.orders()
        if revision < self._obeyed:
            return
        self._obeyed = revision
        self.pulling = orders.pull and self.name not in orders.drain
        self._store()
        self.pull()

    def pull(self) -> None:
        """Take tasks into free slots."""
        crew = self._crew
        while self.pulling and not self.has_ended and self.busy < crew.pool.slots:
            if not crew.queue.pending:
                return
            crew.queue.pending -= 1
            crew.queue.in_flight += 1
            crew.queue.delivered += 1
            self.busy += 1
            self._store()
            crew.kernel.after(crew.chance.uniform(*crew.task_s), self._done)

    def end(self) -> None:
        """The pod is stopped: tasks go back into the queue."""
        self.has_ended = True
        queue = self._crew.queue
        queue.in_flight -= self.busy
        queue.pending += self.busy
        self.busy = 0
        if self._crew.reports:
            self._crew.states.put(self._key, b"", deleted=True)
        self._crew.wake_up()

    @property
    def _key(self) -> str:
        return worker_key(self._crew.pool.tenant, self._crew.pool.name, self.name)

    def _done(self) -> None:
        if self.has_ended:
            return
        self.busy -= 1
        self._crew.queue.in_flight -= 1
        self._crew.queue.done += 1
        self._store()
        self.pull()

    def _report(self) -> None:
        if not self.has_ended:
            self._store()
            self._crew.kernel.after(REPORT_S, self._report)

    def _store(self) -> None:
        if self._crew.reports:
            state = WorkerState(
                worker=self.name,
                slots=self._crew.pool.slots,
                busy=self.busy,
                pulling=self.pulling,
                obeyed=self._obeyed,
            )
            self._crew.states.put(self._key, msgspec.json.encode(state))


class Crew:
    """One pool's queue and workers. `on_message` is called at each new message.

    `heard_from`: since when (s) a controller can know that its workers say what they do. A pool
    whose workers have never said anything is led by its queue alone, as one that never reports.
    """

    def __init__(
        self,
        kernel: Kernel,
        pool: Pool,
        states: Store,
        orders: Store,
        *,
        reports: bool,
        counts: bool,
        task_s: tuple[float, float],
    ) -> None:
        self.kernel = kernel
        self.pool = pool
        self.states = states
        self.reports = reports
        self.task_s = task_s
        self.queue = Queue(counts=counts)
        self.workers: dict[str, Worker] = {}
        self.heard_from = math.inf
        self.chance = kernel.chance(f"work of {pool.key}")
        self.on_message: Callable[[], None] = lambda: None
        self._orders = orders
        self._key = orders_key(pool.tenant, pool.name)
        orders.on_put.append(self._told)

    def orders(self) -> tuple[int, PoolOrders]:
        """The revision of the orders in force, and what they are."""
        entry = self._orders.get(self._key)
        if entry is None or entry.deleted:
            return 0, PoolOrders()
        return entry.revision, _ORDERS.decode(entry.value)

    def publish(self, messages: int) -> None:
        """Messages arrive."""
        self.queue.pending += messages
        self.on_message()
        self.wake_up()

    def wake_up(self) -> None:
        """Whoever is free pulls."""
        for worker in list(self.workers.values()):
            worker.pull()

    def begin(self, pod: str) -> None:
        """A pod is ready."""
        if self.reports:
            self.heard_from = min(self.heard_from, self.kernel.now + HEARD_S)
        self.workers[pod] = Worker(self, pod)

    def end(self, pod: str) -> bool:
        """A pod is stopped; True if it had a task."""
        worker = self.workers.pop(pod, None)
        if worker is None:
            return False
        was_busy = worker.busy > 0
        worker.end()
        return was_busy

    def _told(self, entry: BucketEntry) -> None:
        if entry.key == self._key:
            for worker in self.workers.values():
                self.kernel.after(self.chance.uniform(0.005, 0.5), worker.obey)
