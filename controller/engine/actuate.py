"""Step 3 of a tick: carry out the plan's changes, each pool's in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from controller.engine.crews import Crews
from controller.engine.write_backoff import WriteBackoff
from controller.model.decision import Decision, Outcome, OutcomeKind
from controller.model.fleet import Pool
from controller.model.ids import PoolKey
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
    """Writes decisions to the cluster, and tells workers what they must do; of each pool at most
    one is carried out at a time.
    """

    def __init__(
        self,
        *,
        pools: Mapping[PoolKey, Pool],
        actuator: Actuator | None,
        clock: Clock,
        tasks: asyncio.TaskGroup,
        on_write: Callable[[Write], None],
        crews: Crews | None = None,
        on_told: Callable[[PoolKey], None] = lambda _pool: None,
    ) -> None:
        """Without an actuator nothing is written, without `crews` nobody is told anything.
        `on_write` is called for each write of replicas that ends, else `on_told` with the pool.
        """
        self._pools = pools
        self._actuator = actuator
        self._clock = clock
        self._tasks = tasks
        self._on_write = on_write
        self._crews = crews
        self._on_told = on_told
        self._under_way: dict[PoolKey, _UnderWay] = {}
        self.backoff = WriteBackoff()

    @property
    def under_way(self) -> dict[PoolKey, int]:
        """The pools whose write has not ended, with the most replicas each may have after it. They
        are not decided until the write has ended.
        """
        return {pool: write.most for pool, write in self._under_way.items()}

    def is_due(self, decision: Decision) -> bool:
        """Whether something of this decision is still to be done."""
        if decision.changes:
            return True
        crews, drain, pool = self._crews, decision.drain, self._pools[decision.pool]
        if crews is None or drain is None:
            return False
        return crews.is_untold(pool, drain) or bool(crews.marks(pool, drain))

    def begin(self, decisions: Iterable[Decision]) -> list[asyncio.Task[None]]:
        """Start what may start now, wake-ups first; returns the tasks.

        Telling workers needs no room among the writes: it is no request to the cluster.
        """
        if self._actuator is None:
            return []
        now = self._clock.now()
        due = sorted(
            (
                decision
                for decision in decisions
                if decision.pool not in self._under_way and self.is_due(decision)
            ),
            key=lambda decision: not decision.wake,
        )
        tasks = []
        room = max(0, IN_FLIGHT_LIMIT - len(self._under_way))
        for decision in due:
            writes = room > 0 and not self.backoff.holds(decision.pool, now)
            if writes or self._is_untold(decision):
                tasks.append(self._start(self._actuator, decision, writes=writes))
                room -= writes
        return tasks

    async def settle(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for the writes under way, then cancel the rest."""
        tasks = {write.task for write in self._under_way.values()}
        if not tasks:
            return
        _, unsettled = await asyncio.wait(tasks, timeout=timeout_s)
        for task in unsettled:
            task.cancel()

    def _is_untold(self, decision: Decision) -> bool:
        crews, drain = self._crews, decision.drain
        if crews is None or drain is None:
            return False
        return crews.is_untold(self._pools[decision.pool], drain)

    def _start(self, actuator: Actuator, decision: Decision, *, writes: bool) -> asyncio.Task[None]:
        task = self._tasks.create_task(
            self._carry_out(actuator, decision, writes=writes), name=f"write {decision.pool}"
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

    async def _carry_out(self, actuator: Actuator, decision: Decision, *, writes: bool) -> None:
        """Tell the workers, set the replicas, mark the pods. The decision rests on what was seen
        before, so no step needs the one before it; a first replica is waited for most.
        """
        pool, crews, drain = self._pools[decision.pool], self._crews, decision.drain
        write = None
        if decision.wake and writes:
            write = await self._write(actuator, decision)
        if crews is not None and drain is not None:
            await crews.tell(pool, drain)
        if write is None and writes and decision.changes:
            write = await self._write(actuator, decision)
        if crews is not None and drain is not None and writes:
            await crews.mark(actuator, pool, drain)
        # free the pool first: what is called may start its next write
        self._under_way.pop(decision.pool, None)
        if write is None:
            self._on_told(decision.pool)
        else:
            self._on_write(write)

    async def _write(self, actuator: Actuator, decision: Decision) -> Write | None:
        pool, replicas = self._pools[decision.pool], decision.next
        if replicas is None:
            return None
        try:
            outcome = await actuator.scale(
                pool, replicas, decision.resource_version, urgent=decision.wake
            )
        except Exception as error:  # noqa: BLE001  one pool's error must not stop another's write
            outcome = Outcome(kind=OutcomeKind.FAILED, detail=f"{type(error).__name__}: {error}")
        at = self._clock.now()
        self.backoff.learn(decision.pool, outcome, at)
        return Write(decision=decision, outcome=outcome, at=at)
