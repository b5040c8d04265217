"""Step 3 of a tick: write the plan's changes to the cluster, each in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from controller.engine.write_backoff import WriteBackoff
from controller.model.decision import Decision
from controller.model.fleet import Pool
from controller.model.ids import PoolKey
from controller.model.outcome import Outcome, OutcomeKind
from controller.model.value import Value
from controller.ports import Actuator, Clock

IN_FLIGHT_LIMIT: Final = 50
"""The most writes at the same time, equal to the client's burst. Further changes do not wait in a
queue with an old number: they are tried again at the next tick, with newer decisions."""


class Write(Value):
    """A write that ended at `at` (Unix seconds): the decision behind it and its outcome."""

    decision: Decision
    outcome: Outcome
    at: float


class _UnderWay(NamedTuple):
    task: asyncio.Task[None]
    most: int


class WriteDispatcher:
    """Writes decisions to the cluster; each pool has at most one write under way."""

    def __init__(
        self,
        *,
        pools: Mapping[PoolKey, Pool],
        actuator: Actuator | None,
        clock: Clock,
        tasks: asyncio.TaskGroup,
        on_write: Callable[[Write], None],
    ) -> None:
        """Without an actuator nothing is written; `on_write` is called for each write that ends."""
        self._pools = pools
        self._actuator = actuator
        self._clock = clock
        self._tasks = tasks
        self._on_write = on_write
        self._under_way: dict[PoolKey, _UnderWay] = {}
        self.backoff = WriteBackoff()

    @property
    def under_way(self) -> dict[PoolKey, int]:
        """The pools whose write has not ended, with the most replicas each may have after it. They
        are not decided until the write has ended.
        """
        return {pool: write.most for pool, write in self._under_way.items()}

    def begin(self, decisions: Iterable[Decision]) -> list[asyncio.Task[None]]:
        """Start the writes that may start now, wake-ups first; returns their tasks."""
        if self._actuator is None:
            return []
        now = self._clock.now()
        due = sorted(
            (
                decision
                for decision in decisions
                if decision.changes
                and decision.pool not in self._under_way
                and not self.backoff.holds(decision.pool, now)
            ),
            key=lambda decision: not decision.wake,
        )
        room = max(0, IN_FLIGHT_LIMIT - len(self._under_way))
        return [self._start(self._actuator, decision) for decision in due[:room]]

    async def settle(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for the writes under way, then cancel the rest."""
        tasks = {write.task for write in self._under_way.values()}
        if not tasks:
            return
        _, unsettled = await asyncio.wait(tasks, timeout=timeout_s)
        for task in unsettled:
            task.cancel()

    def _start(self, actuator: Actuator, decision: Decision) -> asyncio.Task[None]:
        task = self._tasks.create_task(
            self._write(actuator, decision), name=f"write {decision.pool}"
        )
        most = max(decision.current or 0, decision.next or 0)
        self._under_way[decision.pool] = _UnderWay(task, most)
        task.add_done_callback(lambda ended: self._free(decision.pool, ended))
        return task

    def _free(self, pool: PoolKey, ended: asyncio.Task[None]) -> None:
        """Note that the pool's write has ended, unless its next one has begun already."""
        write = self._under_way.get(pool)
        if write is not None and write.task is ended:
            del self._under_way[pool]

    async def _write(self, actuator: Actuator, decision: Decision) -> None:
        pool, replicas = self._pools[decision.pool], decision.next
        if replicas is None:
            return
        try:
            outcome = await actuator.scale(
                pool, replicas, decision.resource_version, urgent=decision.wake
            )
        except Exception as error:  # noqa: BLE001  one pool's error must not stop another's write
            outcome = Outcome(kind=OutcomeKind.FAILED, detail=f"{type(error).__name__}: {error}")
        at = self._clock.now()
        self.backoff.learn(decision.pool, outcome, at)
        # free the pool first: `on_write` may start its next write
        self._under_way.pop(decision.pool, None)
        self._on_write(Write(decision=decision, outcome=outcome, at=at))
