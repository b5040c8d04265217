"""Step 3 of a tick: carry out the plan's changes, each pool's in a task of its own; and when failed
writes are tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from controller.engine.show.findings import Found, decision_findings, failed_write, found
from controller.engine.workers import Crews
from controller.model.decision import (
    HARMLESS,
    Announcement,
    Bound,
    Code,
    Decision,
    Outcome,
    OutcomeKind,
    Reason,
)
from controller.model.fleet import Pool
from controller.model.ids import PoolKey
from controller.model.servers import Backoff, no_jitter
from controller.model.snapshot import NO_WRITE, ScaleEvent
from controller.model.value import Value
from controller.planning.explain import headline, sentence
from controller.ports import Actuator, Clock

WRITE_RETRY_FIRST_S: Final = 1.0
WRITE_RETRY_MOST_S: Final = 60.0
OUTAGE_RETRY_MOST_S: Final = 10.0  # what fails for all pools ends for all of them at once
FREE_CONFLICTS: Final = 2
"""After a conflict the pool is decided again at once: another writer was faster, and the API server
works. After more than these in a row, without news from the watch, our view of it is outdated."""
_NO_WAIT: Final = frozenset({OutcomeKind.APPLIED, OutcomeKind.READ_ONLY})
_OUTAGE: Final = frozenset({OutcomeKind.FAILED, OutcomeKind.UNREACHABLE, OutcomeKind.UNKNOWN})


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
        new = Backoff(WRITE_RETRY_FIRST_S, WRITE_RETRY_MOST_S, random=no_jitter)
        backoff = self._backoffs.setdefault(pool, new)
        most_s = OUTAGE_RETRY_MOST_S if outcome.kind in _OUTAGE else WRITE_RETRY_MOST_S
        self._until[pool] = now + max(min(backoff.next_s(), most_s), outcome.retry_after_s or 0.0)

    def holds(self, pool: PoolKey, now: float) -> bool:
        """Whether it is too early to write for this pool."""
        return now < self._until.get(pool, 0.0)

    def heard_of(self, pool: PoolKey) -> None:
        """A watch reported a change of this pool: its next conflict is the first one."""
        self._conflicts.pop(pool, None)

    def nothing_to_write(self, pool: PoolKey) -> None:
        """It was read again and needs no write: no watch will tell, so its conflicts are over."""
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


class _UnderWay(NamedTuple):
    task: asyncio.Task[None]
    most: int


class WriteDispatcher:
    """Writes decisions to the cluster and tells workers; one at a time for each pool."""

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
        """`on_write` is called after each write of replicas, `on_told` where there was none."""
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
        """The pools being written, with the most replicas each may have; not decided until then."""
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
        """Start what may start now, wake-ups first; telling workers takes no room."""
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
        """Tell the workers, set the replicas, mark the pods: no step needs the one before it."""
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
            why, advice = self._last.detail or self._last.kind.value, _ADVICE.get(self._last.kind)
            yield found(NO_WRITE, "kubernetes", why=why, advice=advice or "")


log = logging.getLogger(__name__)

EVENTS_KEPT: Final = 200
SIZES_LOGGED: Final = 20


class Recorder:
    """The newest `EVENTS_KEPT` scale events, and counts since the process began."""

    def __init__(self, *, writes: bool) -> None:
        """If `writes` is False, log the changes that would have been written."""
        self._writes = writes
        self._scaled = "scaled" if writes else "would scale"
        self._events: deque[ScaleEvent] = deque(maxlen=EVENTS_KEPT)
        self._pending: dict[PoolKey, tuple[int | None, int | None]] = {}
        self._failures: dict[PoolKey, tuple[OutcomeKind, int]] = {}
        self._alarms: dict[PoolKey, frozenset[str]] = {}
        self._untold: list[tuple[Decision, float]] = []
        self.scaled: Counter[tuple[PoolKey, str, str]] = Counter()
        self.decisions = 0
        self.written_count = 0
        self.failed_count = 0

    def begin_with(self, events: Iterable[ScaleEvent]) -> None:
        """Go on from the events of the process before this one."""
        known = {(each.at, each.pool) for each in self._events}
        left = [each for each in events if (each.at, each.pool) not in known]
        newest_first = sorted([*self._events, *left], key=lambda each: each.at, reverse=True)
        self._events = deque(newest_first[:EVENTS_KEPT], maxlen=EVENTS_KEPT)

    def decided(self, at: float, decisions: Iterable[Decision]) -> bool:
        """Count new decisions `at` (Unix seconds) that change a size; True: some did."""
        before = self.decisions
        for decision in decisions:
            self._log_alarms(decision, at)
            if not decision.changes:
                self._pending.pop(decision.pool, None)
                continue
            change = (decision.current, decision.next)
            if self._pending.get(decision.pool) == change:
                continue
            self._pending[decision.pool] = change
            self.decisions += 1
            if not self._writes:
                self._note(decision, at)
        return self.decisions > before

    def _log_alarms(self, decision: Decision, at: float) -> None:
        """Log each reason for which a person has to act, once while it lasts."""
        known = self._alarms.pop(decision.pool, frozenset())
        alarms = {each.kind: each.text for each in decision_findings((decision,), at)}
        for kind, text in alarms.items():
            if kind not in known:
                log.warning(
                    "needs attention", extra={"pool": decision.pool, "kind": kind, "why": text}
                )
        if alarms:
            self._alarms[decision.pool] = frozenset(alarms)

    def written(self, write: Write) -> None:
        """Record a write that ended. Neither a conflict nor a write that was not sent is a failure:
        the pool is decided again, or we lead no longer.
        """
        decision, outcome = write.decision, write.outcome
        self._pending.pop(decision.pool, None)
        if outcome.kind in {OutcomeKind.CONFLICT, OutcomeKind.READ_ONLY}:
            log.debug("overtaken", extra=_fields(decision, write.at))
            return
        event = ScaleEvent(
            at=write.at,
            pool=decision.pool,
            before=decision.current or 0,
            after=decision.next or 0,
            bound=decision.bound.value,
            reason=deciding(decision),
            outcome=outcome,
            decision=decision,
        )
        self._events.appendleft(event)
        if outcome.kind is OutcomeKind.APPLIED:
            self.written_count += 1
            self._failures.pop(decision.pool, None)
            self.scaled[decision.pool, direction(decision), trigger(decision)] += 1
            self._note(decision, write.at)
            return
        self.failed_count += 1
        # not the detail: servers and proxies put a new request id into each
        failure = (outcome.kind, outcome.status)
        if self._failures.get(decision.pool) != failure:
            self._failures[decision.pool] = failure
            told = {"outcome": outcome.kind.value, "status": outcome.status}
            told |= _fields(decision, write.at) | {"detail": outcome.detail}
            log.warning("not scaled", extra=told)

    def _note(self, decision: Decision, at: float) -> None:
        log.debug(self._scaled, extra=_fields(decision, at))
        self._untold.append((decision, at))

    def tell(self) -> None:
        """Log what changed: a single pool in full, several in one line with the first sizes."""
        changes, self._untold = self._untold, []
        if len({decision.pool for decision, _ in changes}) > 1:
            ups = sum(direction(each) == "up" for each, _ in changes)
            sizes = {each.pool: each.next for each, _ in changes[:SIZES_LOGGED]}
            told = {"changes": len(changes), "up": ups, "down": len(changes) - ups, "sizes": sizes}
            log.info(self._scaled, extra=told)
            return
        for decision, at in changes:
            log.info(self._scaled, extra=_fields(decision, at))

    def events(self) -> tuple[ScaleEvent, ...]:
        """The events that are kept, newest first."""
        return tuple(self._events)


def deciding(decision: Decision) -> Reason:
    """The reason to show for the decision: the last one whose value is `decision.next`."""
    reasons = decision.reasons or (Reason(code=Code.QUEUE, value=decision.demand),)
    for reason in reversed(reasons):
        if reason.value == decision.next:
            return reason
    return reasons[-1]


def direction(decision: Decision) -> str:
    """`up` if the decision adds replicas, else `down`; unknown counts as 0."""
    return "up" if (decision.next or 0) > (decision.current or 0) else "down"


def trigger(decision: Decision) -> str:
    """What caused the change: `wake` for a pool's first message, else the name of the bound."""
    return "wake" if decision.wake and decision.bound is Bound.DEMAND else decision.bound.value


def _fields(decision: Decision, at: float) -> dict[str, object]:
    return {
        "pool": decision.pool,
        "before": decision.current,
        "after": decision.next,
        "wanted": decision.demand,
        "target": decision.target,
        "bound": decision.bound.value,
        "trigger": trigger(decision),
        "why": sentence(deciding(decision), at),
        "summary": headline(decision, at),
    }


def announcement(write: Write) -> Announcement | None:
    """The news of a write: a size that changed, or was refused; None if there is none."""
    decision, outcome = write.decision, write.outcome
    sizes = f"from {decision.current} to {decision.next}"
    why = sentence(deciding(decision), write.at)
    if outcome.kind is OutcomeKind.APPLIED:
        is_up = (decision.next or 0) > (decision.current or 0)
        reason = "ScaledUp" if is_up else "ScaledDown"
        return Announcement(reason=reason, note=f"scaled {sizes}: {why}")
    if outcome.kind in HARMLESS:
        return None
    note = f"not scaled {sizes} ({why}): {failed_write(outcome)}"
    return Announcement(reason="ScaleRefused", note=note, is_warning=True)
