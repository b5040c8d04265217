"""Step 5 of a tick: publishes snapshots, a burst of changes in one."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final, NamedTuple

from controller.engine.intents import Switches
from controller.engine.lead import Lead
from controller.engine.record import Recorder
from controller.engine.show.findings import Found
from controller.engine.show.snapshot import SnapshotBuilder
from controller.model.snapshot import Severity, Snapshot
from controller.ports import Clock, Journal, LinkStatus

log = logging.getLogger(__name__)


class Hub:
    """The newest snapshot and its subscribers; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: Snapshot | None = None
        self._subscribers: dict[int, Callable[[Snapshot], None]] = {}
        self._next_id = 0
        self._earlier: tuple[Snapshot, ...] = ()

    def publish(self, snapshot: Snapshot) -> None:
        """Store the snapshot and call the subscribers; one that raises is logged and removed."""
        with self._lock:
            self._latest = snapshot
            subscribers = list(self._subscribers.items())
        for number, callback in subscribers:
            try:
                callback(snapshot)
            except Exception:  # an error in a subscriber must not stop the loop
                log.exception("a subscriber failed and gets no more snapshots")
                self._drop(number)

    def latest(self) -> Snapshot | None:
        """The newest snapshot; None before the first."""
        with self._lock:
            return self._latest

    def remember(self, earlier: tuple[Snapshot, ...]) -> None:
        """These were before the first that was published, the oldest first."""
        with self._lock:
            self._earlier = earlier

    def earlier(self) -> tuple[Snapshot, ...]:
        """What another process remembers of the time before the first, the oldest first."""
        with self._lock:
            return self._earlier

    def subscribe(self, callback: Callable[[Snapshot], None]) -> Callable[[], None]:
        """Call back with each snapshot, on the publisher's thread; returns a function that ends
        the subscription.
        """
        with self._lock:
            number = self._next_id
            self._next_id += 1
            self._subscribers[number] = callback
        return lambda: self._drop(number)

    def _drop(self, number: int) -> None:
        with self._lock:
            self._subscribers.pop(number, None)


COALESCE_S: Final = 0.02
"""All changes within this time are published in one snapshot, for example a burst of writes."""


class Shows(NamedTuple):
    """What an engine shows its work by. `links`, `findings` and `failures` (sources, each with how
    many of its requests failed) are of what the engine does not ask itself.
    """

    hub: Hub
    recorder: Recorder
    snapshots: SnapshotBuilder
    links: Collection[LinkStatus]
    findings: Callable[[], Iterable[Found]] = tuple
    failures: Callable[[], Iterable[tuple[str, int]]] = tuple


class Publisher:
    """Builds snapshots and gives them to the hub; asks `findings` and `failures` for each one."""

    def __init__(
        self,
        shows: Shows,
        lead: Lead,
        switches: Switches,
        clock: Clock,
        *,
        findings: Callable[[], Iterable[Found]],
        failures: Callable[[], Iterable[tuple[str, int]]],
    ) -> None:
        self._shows = shows
        self._clock = clock
        self._lead = lead
        self._switches = switches
        self._findings = findings
        self._failures = failures
        self._timer: asyncio.TimerHandle | None = None

    def soon(self) -> None:
        """Publish within `COALESCE_S`. Needs a running loop."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(COALESCE_S, self.now)

    def now(self) -> None:
        """Publish what is known now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._shows.hub.publish(
            self._shows.snapshots.snapshot(
                links=[status.link() for status in self._shows.links],
                recorder=self._shows.recorder,
                notices=tuple(self._findings()),
                failures=self._failures(),
                now=self._clock.now(),
                role=self._lead.role,
                lease=self._lead.view(),
                frozen_by=tuple(f"{each.who}: {each.why}" for each in self._switches.freezes),
            )
        )


def journal_findings(journal: Journal | None) -> Iterator[Found]:
    """One, if the journal lacks something and the controller goes on all the same."""
    problem = None if journal is None or journal.down() else journal.problem()
    if problem is not None:
        text = f"is not complete, and the controller goes on: {problem}"
        yield Severity.WARNING, "journal", "incomplete", text


def stream_findings(problem: str | None) -> Iterator[Found]:
    """One, if the journal's stream lacks something."""
    if problem is not None:
        yield Severity.WARNING, "journal", "stream", problem
