"""What people have seen of the fleet outlasts the process: since when findings and tenants' states
are as they are, and the histories. Saved in a task beside the ticks; nothing is decided by it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from controller.engine.memory import FINISH_S, SAVE_LIMIT_S
from controller.engine.show.snapshot import SnapshotBuilder
from controller.model.snapshot import Snapshot
from controller.model.tick import FindingSince, ShownPast, TenantSince
from controller.ports import Clock, PastStore, StoreConflictError, StoreError

log = logging.getLogger(__name__)

PAST_EVERY_S: Final = 15.0
"""As often as a slot of a history ends: a killed process takes no more than that with it."""
PAST_EVERY_S_PER_POOL: Final = 0.015
"""From 1,000 pools on less often, so that no more than 40 kB a second are written for it."""
PAST_RECALL_S: Final = 1.0
"""How long the first tick waits for it."""
PAST_AGAIN_S: Final = 5.0
"""The least time between attempts to read it."""
MOST_FINDINGS: Final = 1000


class PastKeeper:
    """Saves what the snapshots show, and hands it to the next process. A failure is logged: people
    then see a shorter past, and the controller does its work. Before what is stored was read,
    nothing is saved in its place.
    """

    def __init__(self, store: PastStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._snapshots: SnapshotBuilder | None = None
        self._latest: Snapshot | None = None
        self._saved: Snapshot | None = None
        self._not_before = clock.monotonic() + PAST_EVERY_S
        self._load_not_before = 0.0
        self._saving: asyncio.Task[None] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._is_failing = False
        self._is_unread = True

    @property
    def is_unread(self) -> bool:
        """Whether the store may have something that these snapshots do not go on from yet."""
        return self._is_unread

    async def recall(self, snapshots: SnapshotBuilder) -> None:
        """Let the snapshots go on from what was saved. If it cannot be read within `PAST_RECALL_S`,
        they do when it can.
        """
        self._snapshots, self._is_unread = snapshots, True
        await self._load(PAST_RECALL_S)

    def go_on_with(self, snapshots: SnapshotBuilder, *, is_unread: bool) -> None:
        """Begin with what an engine in the same process has left, with its `is_unread`."""
        self._snapshots, self._is_unread = snapshots, is_unread

    def remember(self, snapshot: Snapshot, tasks: asyncio.TaskGroup) -> None:
        """Take the latest snapshot, and start a save in `tasks` if one is due; where what is stored
        is not read yet, an attempt to read it. Never waits.
        """
        self._latest, now = snapshot, self._clock.monotonic()
        if self._is_unread:
            if self._loading is None and now >= self._load_not_before:
                self._loading = tasks.create_task(self._load_late(), name="load the past")
        elif self._saving is None and now >= self._not_before:
            if self._is_saved():
                self._not_before = now + every_s(len(snapshot.pools))
            else:
                self._saving = tasks.create_task(self._save(snapshot), name="save the past")

    async def finish(self, last: Snapshot | None) -> None:
        """Save what is not saved yet, up to the `last` snapshot, within `FINISH_S`."""
        if self._loading is not None:
            self._loading.cancel()
        if self._latest is not None and last is not None:
            self._latest = last
        try:
            async with asyncio.timeout(FINISH_S):
                if self._saving is not None:
                    await self._saving
                if self._latest is not None and not self._is_unread and not self._is_saved():
                    await self._save(self._latest)
        except TimeoutError:
            log.warning("the past that people saw was not saved in time")

    def follow(self) -> None:
        """Save nothing from now on: another process leads."""
        self._latest, self._is_unread = None, True

    async def _load(self, limit_s: float) -> None:
        """Go on from what is stored, if it can be read within this time."""
        try:
            async with asyncio.timeout(limit_s):
                parts = await self._store.load()
        except (StoreError, TimeoutError) as error:
            reason = str(error) or f"no answer within {limit_s:g} s"
            if not self._is_failing:
                log.warning("the past that people saw cannot be read: %s", reason)
            self._is_failing = True
            return
        finally:
            self._load_not_before = self._clock.monotonic() + PAST_AGAIN_S
        now = self._clock.now()
        for part in parts:
            if part.at <= now and self._snapshots is not None:
                self._snapshots.begin_with(part, now)
        self._is_unread = self._is_failing = False

    async def _load_late(self) -> None:
        try:
            await self._load(SAVE_LIMIT_S)
        finally:
            self._loading = None

    def _is_saved(self) -> bool:
        saved, latest = self._saved, self._latest
        return (
            saved is not None
            and latest is not None
            and saved.histories is latest.histories
            and saved.tenant_histories is latest.tenant_histories
            and _findings(saved) == _findings(latest)
            and saved.tenants == latest.tenants
        )

    async def _save(self, snapshot: Snapshot) -> None:
        try:
            async with asyncio.timeout(SAVE_LIMIT_S):
                await self._store.save(past_of(snapshot))
        except (StoreError, TimeoutError) as error:
            reason = str(error) or f"not done within {SAVE_LIMIT_S:g} s"
            if not self._is_failing:
                log.warning("the past that people saw cannot be saved: %s", reason)
            self._is_failing = True
            # what another process has saved meanwhile is gone on from, before it is replaced
            self._is_unread = self._is_unread or isinstance(error, StoreConflictError)
        else:
            self._saved, self._is_failing = snapshot, False
        finally:
            self._not_before = self._clock.monotonic() + every_s(len(snapshot.pools))
            self._saving = None


def every_s(pools: int) -> float:
    """The least time between two saves for so many pools, in seconds."""
    return max(PAST_EVERY_S, pools * PAST_EVERY_S_PER_POOL)


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
