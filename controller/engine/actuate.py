"""Step 3 of a tick: carry out the plan's changes, each pool's in a task of its own.

Here too: when a failed write is tried again, and whether writes succeed at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from controller.engine.show.findings import Found, listed
from controller.engine.workers import Crews
from controller.model.decision import Decision, Outcome, OutcomeKind
from controller.model.fleet import Pool
from controller.model.ids import PoolKey
from controller.model.servers import Backoff, no_jitter
from controller.model.snapshot import NO_WRITE, OVERTAKEN, Severity
from controller.model.value import Value
from controller.ports import Actuator, Clock

WRITE_RETRY_FIRST_S: Final = 1.0
WRITE_RETRY_MOST_S: Final = 60.0

FREE_CONFLICTS: Final = 2
"""After a conflict the pool is decided again at once: another writer was faster, and the API server
works. After more than these in a row, without news from the watch, our view of it is outdated."""
_NO_WAIT: Final = frozenset({OutcomeKind.APPLIED, OutcomeKind.READ_ONLY})


class WriteBackoff:
    """For each pool, the time from which the next write may be tried (Unix seconds).

    The waits have no jitter: only one process writes, so no others retry at the same moment.
    """

    def __init__(self) -> None:
        self._backoffs: dict[PoolKey, Backoff] = {}
        self._until: dict[PoolKey, float] = {}
        self._conflicts: dict[PoolKey, int] = {}
        self._lost: set[PoolKey] = set()

    def learn(self, pool: PoolKey, outcome: Outcome, now: float) -> None:
        """Set the pool's wait after an outcome: the backoff or the server's Retry-After, whichever
        is longer. A write that was applied or not sent (read-only) ends the wait, and the first
        conflicts do.
        """
        if outcome.kind is OutcomeKind.CONFLICT:
            self._conflicts[pool] = self._conflicts.get(pool, 0) + 1
            self._lost.add(pool)
        else:
            self._lost.discard(pool)
        is_free = outcome.kind is OutcomeKind.CONFLICT and not self.is_outdated(pool)
        if outcome.kind in _NO_WAIT or is_free:
            self._backoffs.pop(pool, None)
            self._until.pop(pool, None)
            return
        backoff = self._backoffs.get(pool)
        if backoff is None:
            backoff = self._backoffs[pool] = Backoff(
                WRITE_RETRY_FIRST_S, WRITE_RETRY_MOST_S, random=no_jitter
            )
        self._until[pool] = now + max(backoff.next_s(), outcome.retry_after_s or 0.0)

    def holds(self, pool: PoolKey, now: float) -> bool:
        """Whether it is too early to write for this pool."""
        return now < self._until.get(pool, 0.0)

    def heard_of(self, pool: PoolKey) -> None:
        """A watch reported a change of this pool: its next conflict is the first one."""
        self._conflicts.pop(pool, None)

    def nothing_to_write(self, pool: PoolKey) -> None:
        """The pool was read again and needs no write: where a conflict was its last one, no watch
        will report a change, so the conflicts are over.
        """
        if pool in self._lost:
            self.heard_of(pool)

    def is_outdated(self, pool: PoolKey) -> bool:
        """Whether the view of this pool lags behind the changes that its writes lose against."""
        return self._conflicts.get(pool, 0) > FREE_CONFLICTS

    def outdated(self) -> list[PoolKey]:
        """The pools that are so, sorted."""
        return sorted(pool for pool in self._conflicts if self.is_outdated(pool))

    def shift(self, seconds: float) -> None:
        """Add a step of the clock to all remembered times."""
        self._until = {pool: until + seconds for pool, until in self._until.items()}


IN_FLIGHT_LIMIT: Final = 50
"""The most writes at the same time, equal to the client's burst. Further changes do not wait in a
queue with an old number: they are tried again at the next tick, with newer decisions."""


class Write(Value):
    """A write that ended at `at` (Unix seconds): the decision behind it and its outcome."""

    decision: Decision
    outcome: Outcome
    at: float


class NoActuator:
    """The actuator of a process that only plans: it writes nothing."""

    async def scale(self, *_: object, urgent: bool) -> Outcome:  # noqa: ARG002  the port's
        """Nothing is sent."""
        return Outcome(kind=OutcomeKind.READ_ONLY)

    async def mark(self, *_: object) -> Outcome:
        """Nothing is sent."""
        return Outcome(kind=OutcomeKind.READ_ONLY)


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
        actuator: Actuator,
        crews: Crews,
        clock: Clock,
        tasks: asyncio.TaskGroup,
        on_write: Callable[[Write], None],
        on_told: Callable[[PoolKey], None],
    ) -> None:
        """`on_write` is called for each write of replicas that ends, `on_told` with the pool where
        there was none to make.
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
        drain, pool = decision.drain, self._pools[decision.pool]
        return drain is not None and (
            self._crews.is_untold(pool, drain) or bool(self._crews.marks(pool, drain))
        )

    def begin(self, decisions: Iterable[Decision]) -> list[asyncio.Task[None]]:
        """Start what may start now, wake-ups first; returns the tasks.

        Telling workers needs no room among the writes: it is no request to the cluster.
        """
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
            pool, drain = self._pools[decision.pool], decision.drain
            if writes or (drain is not None and self._crews.is_untold(pool, drain)):
                tasks.append(self._start(decision, writes=writes))
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

    def _start(self, decision: Decision, *, writes: bool) -> asyncio.Task[None]:
        task = self._tasks.create_task(
            self._carry_out(decision, writes=writes), name=f"write {decision.pool}"
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

    async def _carry_out(self, decision: Decision, *, writes: bool) -> None:
        """Tell the workers, set the replicas, mark the pods. The decision rests on what was seen
        before, so no step needs the one before it; a first replica is waited for most.
        """
        pool, drain = self._pools[decision.pool], decision.drain
        write = None
        if decision.wake and writes:
            write = await self._write(decision)
        if drain is not None:
            await self._crews.tell(pool, drain)
        if write is None and writes and decision.changes:
            write = await self._write(decision)
        if drain is not None and writes:
            await self._crews.mark(self._actuator, pool, drain)
        # free the pool first: what is called may start its next write
        self._under_way.pop(decision.pool, None)
        if write is None:
            self._on_told(decision.pool)
        else:
            self._on_write(write)

    async def _write(self, decision: Decision) -> Write | None:
        pool, replicas = self._pools[decision.pool], decision.next
        if replicas is None:
            return None
        try:
            outcome = await self._actuator.scale(
                pool, replicas, decision.resource_version, urgent=decision.wake
            )
        except Exception as error:  # noqa: BLE001  one pool's error must not stop another's write
            outcome = Outcome(kind=OutcomeKind.FAILED, detail=f"{type(error).__name__}: {error}")
        at = self._clock.now()
        self.backoff.learn(decision.pool, outcome, at)
        return Write(decision=decision, outcome=outcome, at=at)


LEAST_PATIENCE_S: Final = 10.0
INTERVALS_OF_PATIENCE: Final = 5

_FAILURES: Final = frozenset(
    {
        OutcomeKind.UNAUTHORIZED,
        OutcomeKind.FORBIDDEN,
        OutcomeKind.THROTTLED,
        OutcomeKind.FAILED,
        OutcomeKind.UNREACHABLE,
        OutcomeKind.UNKNOWN,
    }
)
"""The outcomes that a write to another workload would probably have too."""
_ADVICE: Final[Mapping[OutcomeKind, str]] = {
    OutcomeKind.UNAUTHORIZED: "; see that the ServiceAccount or user of this process still exists",
    OutcomeKind.FORBIDDEN: "; grant this process `patch` on deployments/scale or "
    "statefulsets/scale",
}


class WriteHealth:
    """Since when every write fails. Times are monotonic seconds."""

    def __init__(self, interval_s: float) -> None:
        self._patience_s = max(LEAST_PATIENCE_S, INTERVALS_OF_PATIENCE * interval_s)
        self._failing_since: float | None = None
        self._last = Outcome(kind=OutcomeKind.APPLIED)

    def ended(self, outcome: Outcome, now: float) -> None:
        """Take the outcome of a write."""
        if outcome.kind not in _FAILURES:
            self._failing_since = None
            return
        self._last = outcome
        if self._failing_since is None:
            self._failing_since = now

    def nothing_to_write(self) -> None:
        """No pool is to be changed, so no write can succeed."""
        self._failing_since = None

    def findings(self, now: float) -> Iterator[Found]:
        """One, if no write has succeeded for several intervals although some were tried."""
        if self._failing_since is not None and now - self._failing_since > self._patience_s:
            words = self._last.detail or self._last.kind.value
            text = f"no write succeeds: {words}{_ADVICE.get(self._last.kind, '')}"
            yield Severity.CRITICAL, "kubernetes", NO_WRITE, text


def overtaken_findings(pools: Sequence[PoolKey]) -> Iterator[Found]:
    """One about all pools whose writes lose against changes that no watch reports."""
    if pools:
        text = (
            f"{listed(pools)}: writes lose against changes that no watch reports, so each "
            "workload is read by itself; does a proxy before the API server hold watches back?"
        )
        yield Severity.WARNING, "kubernetes", OVERTAKEN, text
