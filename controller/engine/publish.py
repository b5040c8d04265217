"""Step 5 of a tick: publishes snapshots, a burst of changes in one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final, NamedTuple

from controller.engine.intents import Switches
from controller.engine.lead import Lead
from controller.engine.record import Recorder
from controller.engine.show.findings import Found
from controller.engine.show.snapshot import SnapshotBuilder
from controller.engine.supervise import Hub
from controller.model.snapshot import Severity
from controller.ports import Clock, Journal, LinkStatus

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
