"""Which pools are decided between two full ticks: those of which something new was heard."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Mapping

from controller.engine.actuate import Write, WriteDispatcher
from controller.engine.observe import Observer
from controller.model.decision import Decision, OutcomeKind
from controller.model.fleet import Pool
from controller.model.ids import PoolKey, WorkloadName
from controller.model.intents import Scope
from controller.planning.inputs import concerns
from controller.ports import Workloads


class EarlyTicks:
    """Begins ticks in `tasks`, until `stopping` is set. All pools due at the same moment share one,
    which calls `take`.
    """

    def __init__(
        self,
        *,
        pools: Mapping[PoolKey, Pool],
        observer: Observer,
        workloads: Workloads,
        writes: WriteDispatcher,
        tasks: asyncio.TaskGroup,
        tick: Callable[[], Coroutine[None, None, None]],
        stopping: asyncio.Event,
    ) -> None:
        self._pools = pools
        self._pools_at: defaultdict[tuple[str, WorkloadName], list[PoolKey]] = defaultdict(list)
        for pool in pools.values():
            self._pools_at[pool.namespace, pool.workload].append(pool.key)
        self._observer = observer
        self._workloads = workloads
        self._writes = writes
        self._tasks = tasks
        self._tick = tick
        self._stopping = stopping
        self._due: dict[PoolKey, bool] = {}
        self._asked_meanwhile: set[PoolKey] = set()
        self._draining: set[PoolKey] = set()
        self._overtaken: set[PoolKey] = set()
        self._rereading: set[PoolKey] = set()
        self.asleep: dict[PoolKey, Pool] = {}
        """The pools at zero, or about to be, without known work: only a wake-up tells of some."""

    def take(self) -> dict[PoolKey, bool]:
        """The pools that are due, and whether the queue of each is to be read first."""
        due, self._due = self._due, {}
        return due

    def soon(self, key: PoolKey, *, ask: bool) -> None:
        """The pool is due. With `ask` its queue is read first."""
        if self._stopping.is_set():
            return
        if not self._due:
            self._tasks.create_task(self._tick(), name="early tick")
        self._due[key] = ask or self._due.get(key, False)

    def decided(self, changed: Mapping[PoolKey, Decision]) -> None:
        """Take the decisions that a tick made again."""
        self._find_sleepers(changed)
        self._find_draining(changed)

    def again(self, key: PoolKey) -> None:
        """Decide the pool at once, or as soon as its write has ended."""
        if key in self._writes.under_way:
            self._asked_meanwhile.add(key)
        else:
            self.soon(key, ask=False)

    def woken(self, key: PoolKey) -> None:
        """A first message came for a pool at zero: decide the pool at once."""
        pool = self._pools.get(key)
        if pool is not None:
            self._observer.woken(key)
            # with an activation threshold, one message is not enough: read how many there are
            self.soon(key, ask=pool.activation > 0)

    def asked(self, scopes: Collection[Scope]) -> None:
        """Operators asked for something else: the pools it concerns are decided at once, those that
        are being written as soon as that has ended.
        """
        under_way = self._writes.under_way
        for key, pool in self._pools.items():
            if any(concerns(scope, pool) for scope in scopes):
                self.soon(key, ask=False)
                if key in under_way:
                    self._asked_meanwhile.add(key)

    def changed(self, namespace: str, workload: WorkloadName) -> None:
        """A workload changed: if our last write to it met a conflict, or if it waits for pods to
        be marked, decide its pool again.
        """
        for key in self._pools_at.get((namespace, workload), ()):
            if key not in self._rereading:
                self._writes.backoff.heard_of(key)
            if key in self._overtaken or key in self._draining:
                self._overtaken.discard(key)
                self.again(key)

    def drained(self, key: PoolKey) -> None:
        """A worker has finished: if its pool waits for that, decide it again."""
        if key in self._draining:
            self.again(key)

    def written(self, write: Write) -> None:
        """A write of this pool has ended."""
        key = write.decision.pool
        if write.outcome.kind is OutcomeKind.CONFLICT:
            self._overtaken.add(key)
            if self._writes.backoff.is_outdated(key):
                self._tasks.create_task(self._reread(self._pools[key]), name=f"read {key}")
        if write.decision.wake:
            # the first replica is on its way; the queue's length decides about more
            self.soon(key, ask=True)
        elif self._observer.is_woken(key):
            self.soon(key, ask=False)
        self.ended(key)

    def forget_conflicts(self, to_write: Collection[PoolKey]) -> None:
        """Of pools that were read again and need no write, no watch will report our own one."""
        for key in self._writes.backoff.outdated():
            if key not in to_write and key not in self._rereading:
                self._writes.backoff.nothing_to_write(key)

    def ended(self, key: PoolKey) -> None:
        """Nothing of the pool is under way any more: what came meanwhile is decided now."""
        if key in self._asked_meanwhile:
            self._asked_meanwhile.discard(key)
            self.soon(key, ask=False)

    async def _reread(self, pool: Pool) -> None:
        """Read a workload by itself, because no watch reports what our writes lose against."""
        if pool.key in self._rereading:
            return
        self._rereading.add(pool.key)
        try:
            await self._workloads.reread(pool)
        finally:
            self._rereading.discard(pool.key)

    def _find_sleepers(self, changed: Mapping[PoolKey, Decision]) -> None:
        """Find pools at zero, or about to be, without known work, and give each an early tick: it
        subscribes to their wake-ups, then reads their queues.
        """
        for key, decision in changed.items():
            asleep = decision.next == 0 and not self._observer.knows_work(self._pools[key])
            if not asleep:
                self.asleep.pop(key, None)
            elif key not in self.asleep:
                self.asleep[key] = self._pools[key]
                self.soon(key, ask=True)

    def _find_draining(self, changed: Mapping[PoolKey, Decision]) -> None:
        """Find the pools that wait for workers to finish."""
        for key, decision in changed.items():
            if decision.drain is not None and decision.drain.orders.drain:
                self._draining.add(key)
            else:
                self._draining.discard(key)
