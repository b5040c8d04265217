"""What people have seen of the fleet outlasts the process: since when findings and tenants' states
are as they are, the histories, and the last snapshot with its scale events. Saved in tasks beside
the ticks; nothing is decided by it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Final, TypeVar

from controller.engine.record import Recorder
from controller.engine.saving import SavePlan, SnapshotSaver
from controller.engine.snapshots import SnapshotBuilder
from controller.model.snapshot import Snapshot
from controller.model.stored import FindingSince, ShownPast, TenantSince
from controller.ports.clock import Clock
from controller.ports.stores import PastStore, SnapshotStore, StoreError

log = logging.getLogger(__name__)

PAST_EVERY_S: Final = 60.0
PAST_RECALL_S: Final = 1.0
"""How long the first tick waits for it."""
MOST_FINDINGS: Final = 1000
LAST_EVERY_S: Final = 15.0
"""The last snapshot is saved so often while something changes."""
LAST_AGAIN_S: Final = 300.0
"""And so often while nothing does, so that it says how long the process has run."""

_T = TypeVar("_T")


class PastKeeper:
    """Saves what the snapshots show, and hands it to the next process. A failure is logged: people
    then see a shorter past, and the controller does its work.
    """

    def __init__(self, store: PastStore, last: SnapshotStore, clock: Clock) -> None:
        self._store = store
        self._last = last
        self._clock = clock
        past = SavePlan("the past that people saw", PAST_EVERY_S, PAST_EVERY_S, _is_same_past)
        latest = SavePlan("the last snapshot", 0.0, LAST_EVERY_S, _shows_the_same)
        self._savers = (
            SnapshotSaver(past, lambda snapshot: store.save(past_of(snapshot)), clock),
            SnapshotSaver(latest, last.save, clock),
        )

    async def recall(self, snapshots: SnapshotBuilder, recorder: Recorder) -> None:
        """Let snapshots and scale events go on from what was saved, as far as it can be read within
        `PAST_RECALL_S`.
        """
        parts, last = await asyncio.gather(
            _read("the past that people saw", self._store.load()),
            _read("the last snapshot", self._last.load()),
        )
        now = self._clock.now()
        for part in parts or ():
            if part.at <= now:
                snapshots.begin_with(part, now)
        if last is not None:
            snapshots.begin_after(last.epoch, now)
            recorder.begin_with(each for each in last.events if each.at <= now)

    def remember(self, snapshot: Snapshot, tasks: asyncio.TaskGroup) -> None:
        """Take the latest snapshot, and start saves in `tasks` that are due. Never waits."""
        for each in self._savers:
            each.remember(snapshot, tasks)

    async def finish(self, last: Snapshot | None) -> None:
        """Save the last snapshot as far as it is not saved yet, within `FINISH_S`; None, of a
        process that does not lead, is not saved.
        """
        await asyncio.gather(*(each.finish(last) for each in self._savers))


async def _read(what: str, reading: Coroutine[object, object, _T]) -> _T | None:
    try:
        async with asyncio.timeout(PAST_RECALL_S):
            return await reading
    except (StoreError, TimeoutError) as error:
        reason = str(error) or f"no answer within {PAST_RECALL_S:g} s"
        log.warning("%s cannot be read: %s", what, reason)
        return None


def _is_same_past(saved: Snapshot, latest: Snapshot) -> bool:
    return (
        saved.histories is latest.histories
        and saved.tenant_histories is latest.tenant_histories
        and _findings(saved) == _findings(latest)
        and saved.tenants == latest.tenants
    )


def _shows_the_same(saved: Snapshot, latest: Snapshot) -> bool:
    """Whether only time went on between the two, and not for long."""
    return (
        saved.epoch == latest.epoch
        and 0 <= latest.at - saved.at < LAST_AGAIN_S
        and all(getattr(saved, name) == getattr(latest, name) for name in _SHOWN)
        and [link.state for link in saved.links] == [link.state for link in latest.links]
    )


_SHOWN: Final = (
    "role",
    "pools",
    "queues",
    "tenants",
    "models",
    "room",
    "nodes",
    "events",
    "findings",
    "frozen_by",
)


def past_of(snapshot: Snapshot) -> ShownPast:
    """What of a snapshot the next process goes on from."""
    return ShownPast(
        at=snapshot.at,
        findings=_findings(snapshot),
        tenants=tuple(
            TenantSince(
                name=view.name,
                tokens=None if view.tokens is None else view.tokens.state,
                tokens_since=None if view.tokens is None else view.tokens.since,
                paused_by="" if view.pause is None else view.pause.who,
                pause_since=view.pause_since,
            )
            for view in snapshot.tenants
        ),
        histories=snapshot.histories,
        tenant_histories=snapshot.tenant_histories,
    )


def _findings(snapshot: Snapshot) -> tuple[FindingSince, ...]:
    return tuple(
        FindingSince(subject=each.subject, kind=each.kind, since=each.since)
        for each in snapshot.findings[:MOST_FINDINGS]
    )
