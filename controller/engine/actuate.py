"""Step 3 of a tick: what the plan changes is written, a bounded number at once, each separately."""

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
"""Writes under way at once: the client's burst. What does not fit is decided anew by the next tick,
on newer numbers, instead of waiting in a queue with an old one."""


class Write(Value):
    """One write that ended: what was decided, and what became of it at `at` (Unix seconds)."""

    decision: Decision
    outcome: Outcome
    at: float


class _UnderWay(NamedTuple):
    task: asyncio.Task[None]
    most: int


class WriteDispatcher:
    """Carries decisions out; a pool has at most one write under way."""

    def __init__(
        self,
        *,
        pools: Mapping[PoolKey, Pool],
        actuator: Actuator | None,
        clock: Clock,
        tasks: asyncio.TaskGroup,
        on_write: Callable[[Write], None],
    ) -> None:
        """Without an actuator nothing is written; `on_write` is told each write that ended."""
        self._pools = pools
        self._actuator = actuator
        self._clock = clock
        self._tasks = tasks
        self._on_write = on_write
        self._under_way: dict[PoolKey, _UnderWay] = {}
        self.backoff = WriteBackoff()

    @property
    def under_way(self) -> dict[PoolKey, int]:
        """Pools whose write has not ended, and the most replicas they may have then: nothing is
        decided for them until it has.
        """
        return {pool: write.most for pool, write in self._under_way.items()}

    def begin(self, decisions: Iterable[Decision]) -> list[asyncio.Task[None]]:
        """Start the writes that may start now, wakes first; returns their tasks."""
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
        """Wait until every write under way has ended, at most so long; cancel what has not."""
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
        """Unless the pool's next write has begun already."""
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
