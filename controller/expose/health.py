"""Liveness and readiness of this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from controller.model.readings import Fresh, Reading, T, Why
from controller.model.snapshot import NO_WRITE, OVERTAKEN, LinkState, Role, Snapshot
from controller.model.value import Value

LEAST_PATIENCE_S: Final = 10.0
INTERVALS_OF_PATIENCE: Final = 5

_NOT_READY: Final = frozenset({NO_WRITE, OVERTAKEN})
_OF_ONE_POOL: Final = frozenset(
    {
        Why.STREAM_MISSING,
        Why.CONSUMER_MISSING,
        Why.OBJECT_MISSING,
        Why.IMPLAUSIBLE,
        Why.HISTORY_REGRESSED,
    }
)
"""The server answered: other pools can be read."""


class Health(Value):
    """The result of a check: `ok`, or the causes, one line for each. `note` is more to know."""

    ok: bool
    causes: tuple[str, ...] = ()
    note: str = ""


class TickWatch:
    """Alive while the loop completes ticks of the whole fleet. A loop without one for several
    intervals hangs, and only a restart helps. It measures monotonic time, so a step of the system's
    clock changes nothing; it may be used by several threads.
    """

    def __init__(self, interval_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._patience_s = max(LEAST_PATIENCE_S, INTERVALS_OF_PATIENCE * interval_s)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._ticks = 0
        self._last = monotonic()

    def saw(self, snapshot: Snapshot) -> None:
        """Take a snapshot. Those of ticks for single pools do not count: reading the whole fleet
        may hang beside them.
        """
        with self._lock:
            if snapshot.loop.ticks != self._ticks:
                self._ticks, self._last = snapshot.loop.ticks, self._monotonic()

    def liveness(self) -> Health:
        """Whether the loop lives now."""
        with self._lock:
            age_s = self._monotonic() - self._last
        if age_s <= self._patience_s:
            return Health(ok=True)
        return Health(ok=False, causes=(f"no tick for {age_s:.0f} s",))


def readiness(snapshot: Snapshot | None) -> Health:
    """Ready after the first published tick, while all connections are up, what the pools depend on
    can be read, and writes succeed. A follower is ready, too, if it can take over: while the lease
    can be read and written. A pure function.
    """
    if snapshot is None or snapshot.loop.ticks == 0:
        return Health(ok=False, causes=("no tick yet",))
    causes = (
        *_links_down(snapshot),
        *_unreadable("queue", (pool.observation.queue for pool in snapshot.pools)),
        *_unreadable("workload", (pool.observation.workload for pool in snapshot.pools)),
        *(
            f"{finding.subject}: {finding.text}"
            for finding in snapshot.findings
            if finding.kind in _NOT_READY
        ),
    )
    if snapshot.lease is not None and snapshot.lease.problem and not snapshot.role.writes:
        causes = (*causes, f"lease: {snapshot.lease.problem}")
    return Health(ok=not causes, causes=causes, note=_role_note(snapshot))


def _role_note(snapshot: Snapshot) -> str:
    """Who leads, for a process that takes part in an election: `follower of host/4711`."""
    lease = snapshot.lease
    if lease is None or snapshot.role is Role.LEADER:
        return snapshot.role.value
    return f"{snapshot.role.value} of {lease.holder or 'no known process'}"


def _links_down(snapshot: Snapshot) -> Iterator[str]:
    for link in snapshot.links:
        if link.state is not LinkState.CONNECTED:
            yield f"{link.name}: {link.detail or link.state.value}"


def _unreadable(what: str, readings: Iterable[Reading[T]]) -> Iterator[str]:
    """A cause, if not one reading of all pools could be made."""
    cause = None
    for reading in readings:
        if isinstance(reading, Fresh) or reading.why in _OF_ONE_POOL:
            return
        cause = cause or f"no {what} can be read: {reading.detail or reading.why.value}"
    if cause is not None:
        yield cause
