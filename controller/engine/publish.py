"""Step 5 of a tick: publishes snapshots, a burst of changes in one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from typing import Final, NamedTuple

from controller.engine.actuate import Recorder
from controller.engine.intents import Switches
from controller.engine.lead import Lead
from controller.engine.memory import FINISH_S, SAVE_LIMIT_S
from controller.engine.show.findings import Found
from controller.engine.show.snapshot import SnapshotBuilder
from controller.engine.supervise import Hub
from controller.model.snapshot import Link, Snapshot
from controller.ports import (
    Clock,
    SnapshotStore,
    StoreConflictError,
    StoreError,
    StoreUnreadableError,
)

COALESCE_S: Final = 0.02
"""All changes within this time are published in one snapshot, for example a burst of writes."""


class Shows(NamedTuple):
    """What an engine shows its work by. `links`, `findings` and `failures` (sources, each with how
    many of its requests failed) are of what the engine does not ask itself.
    """

    hub: Hub
    recorder: Recorder
    snapshots: SnapshotBuilder
    links: Collection[Callable[[], Link]]
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
                links=[link() for link in self._shows.links],
                recorder=self._shows.recorder,
                notices=tuple(self._findings()),
                failures=self._failures(),
                now=self._clock.now(),
                role=self._lead.role,
                lease=self._lead.view(),
                frozen_by=tuple(f"{each.who}: {each.why}" for each in self._switches.freezes),
            )
        )


log = logging.getLogger(__name__)

KEPT_RECALL_S: Final = 1.0
"""How long a process that begins or takes over waits for it."""
KEPT_LOAD_AGAIN_S: Final = 5.0
"""The least time between attempts to read it."""
KEPT_EVERY_S: Final = 15.0
"""It is saved so often while something changes, as often as a slot of a history ends."""
KEPT_EVERY_S_PER_POOL: Final = 0.015
"""From 1,000 pools on less often, so that no more than 40 kB a second are written for it."""
KEPT_AGAIN_S: Final = 300.0
"""And so often while nothing does, so that it says how long the process has run."""
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
    "histories",
    "tenant_histories",
)


class FrameKeeper:
    """Saves the last snapshot, and hands what it knows of the past to the next process. A failure
    is logged: people then see a shorter past, and the controller does its work. Before what is
    stored was read, nothing is saved in its place.
    """

    def __init__(self, store: SnapshotStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._snapshots: SnapshotBuilder | None = None
        self._recorder: Recorder | None = None
        self._saved: Snapshot | None = None
        self._not_before = 0.0
        self._load_not_before = 0.0
        self._saving: asyncio.Task[None] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._is_failing = False
        self._is_unread = True

    @property
    def is_unread(self) -> bool:
        """Whether the store may have something that these snapshots do not go on from yet."""
        return self._is_unread

    async def recall(self, snapshots: SnapshotBuilder, recorder: Recorder) -> None:
        """Let snapshots and scale events go on from what was saved. If it cannot be read within
        `KEPT_RECALL_S`, they do when it can.
        """
        self.go_on_with(snapshots, recorder, is_unread=True)
        await self._load(KEPT_RECALL_S)

    def go_on_with(
        self, snapshots: SnapshotBuilder, recorder: Recorder, *, is_unread: bool
    ) -> None:
        """Begin with what an engine in the same process has left, with its `is_unread`."""
        self._snapshots, self._recorder, self._is_unread = snapshots, recorder, is_unread

    def remember(self, snapshot: Snapshot, tasks: asyncio.TaskGroup) -> None:
        """Take the latest snapshot, and start a save in `tasks` if one is due; where what is stored
        is not read yet, an attempt to read it. Never waits.
        """
        now = self._clock.monotonic()
        if self._is_unread:
            if self._loading is None and now >= self._load_not_before:
                self._loading = tasks.create_task(self._load_late(), name="load the last snapshot")
        elif self._saving is None and now >= self._not_before:
            if self._is_saved(snapshot):
                self._not_before = now + every_s(len(snapshot.pools))
            else:
                self._saving = tasks.create_task(
                    self._save(snapshot), name="save the last snapshot"
                )

    async def finish(self, last: Snapshot | None) -> None:
        """Save the last snapshot if it is not saved yet, within `FINISH_S`; None, of a process that
        does not lead, is not saved.
        """
        if self._loading is not None:
            self._loading.cancel()
        try:
            async with asyncio.timeout(FINISH_S):
                if self._saving is not None:
                    await self._saving
                if last is not None and not self._is_unread and not self._is_saved(last):
                    await self._save(last)
        except TimeoutError:
            log.warning("the last snapshot was not saved in time")

    def follow(self) -> None:
        """Save nothing from now on: another process leads."""
        self._is_unread = True

    async def _load_late(self) -> None:
        try:
            await self._load(SAVE_LIMIT_S)
        finally:
            self._loading = None

    async def _load(self, limit_s: float) -> None:
        """Go on from what is stored, if it can be read within this time."""
        try:
            async with asyncio.timeout(limit_s):
                left = await self._store.load()
        except StoreUnreadableError as error:
            log.warning("the last snapshot cannot be read: %s", error)
        except (StoreError, TimeoutError) as error:
            self._failed("read", error, limit_s)
            return
        else:
            if left is not None:
                self._go_on_from(left)
        finally:
            self._load_not_before = self._clock.monotonic() + KEPT_LOAD_AGAIN_S
        self._is_unread = self._is_failing = False

    def _go_on_from(self, left: Snapshot) -> None:
        now = self._clock.now()
        if self._snapshots is not None:
            self._snapshots.begin_after(left.epoch, now)
            if left.at <= now:
                self._snapshots.begin_with(left, now)
        if self._recorder is not None:
            self._recorder.begin_with(each for each in left.events if each.at <= now)

    def _is_saved(self, snapshot: Snapshot) -> bool:
        """Whether only time went on since it was saved, and not for long."""
        saved = self._saved
        return (
            saved is not None
            and saved.epoch == snapshot.epoch
            and 0 <= snapshot.at - saved.at < KEPT_AGAIN_S
            and all(_is_same(getattr(saved, name), getattr(snapshot, name)) for name in _SHOWN)
            and [link.state for link in saved.links] == [link.state for link in snapshot.links]
        )

    async def _save(self, snapshot: Snapshot) -> None:
        try:
            async with asyncio.timeout(SAVE_LIMIT_S):
                await self._store.save(snapshot)
        except (StoreError, TimeoutError) as error:
            self._failed("saved", error, SAVE_LIMIT_S)
            # what another process has saved meanwhile is gone on from, before it is replaced
            self._is_unread = self._is_unread or isinstance(error, StoreConflictError)
        else:
            self._saved, self._is_failing = snapshot, False
        finally:
            self._not_before = self._clock.monotonic() + every_s(len(snapshot.pools))
            self._saving = None

    def _failed(self, what: str, error: Exception, limit_s: float) -> None:
        if not self._is_failing:
            reason = str(error) or f"no answer within {limit_s:g} s"
            log.warning("the last snapshot cannot be %s: %s", what, reason)
        self._is_failing = True


def every_s(pools: int) -> float:
    """The least time between two saves for so many pools, in seconds."""
    return max(KEPT_EVERY_S, pools * KEPT_EVERY_S_PER_POOL)


def _is_same(saved: object, latest: object) -> bool:
    return saved is latest or saved == latest
