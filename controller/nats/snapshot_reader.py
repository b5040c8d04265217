"""Follows the snapshots that a controller elsewhere publishes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from nats.aio.msg import Msg

from controller.model.snapshot import Snapshot
from controller.nats.errors import NatsError
from controller.nats.session import NatsSession
from controller.nats.snapshot_frames import Assembly, FrameError, read_part
from controller.nats.snapshot_publisher import (
    LISTENING,
    LISTENS_FOR_S,
    WHOLE,
    snapshots_subject,
    watchers_subject,
)
from controller.record.snapshot_changes import MissedSnapshotError, changed
from controller.record.snapshot_version import OtherVersionError

log = logging.getLogger(__name__)

_ASK_AGAIN_S: Final = 1.0
SILENT_INTERVALS: Final = 3
"""A process that has published nothing for so many intervals does not lead any more."""


class SnapshotReader:
    """Hands every snapshot to `on_snapshot`. One that is older than the last is ignored, unless the
    process of the last has been silent: the clock of the next leader may be behind.

    Where a change cannot be used, because one before it was lost, a whole snapshot is asked for.
    `on_other_version` is called with the words for each one that is of a version which cannot be
    read; nothing is asked for then, until the process that wrote it is another one.
    """

    def __init__(
        self,
        session: NatsSession,
        bucket: str,
        on_snapshot: Callable[[Snapshot], None],
        on_other_version: Callable[[str], None] = log.debug,
    ) -> None:
        self._session = session
        self._snapshots = snapshots_subject(bucket)
        self._watchers = watchers_subject(bucket)
        self._on_snapshot = on_snapshot
        self._on_other_version = on_other_version
        self._refused_epoch: float | None = None
        self._assembly = Assembly()
        self._latest: Snapshot | None = None
        self._latest_at = 0.0
        self._needs_whole = True
        self._is_subscribed = False
        self._wake = asyncio.Event()
        session.on_connected(self._wake.set)

    @property
    def latest(self) -> Snapshot | None:
        """The last snapshot that came."""
        return self._latest

    async def run(self) -> None:
        """Follow them until cancelled."""
        while True:
            try:
                await self._say_that_we_listen()
            except NatsError as error:
                log.debug("no snapshots can be asked for: %s", error)
            self._wake.clear()
            wait_s = _ASK_AGAIN_S if self._needs_whole else LISTENS_FOR_S / 3
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _say_that_we_listen(self) -> None:
        if not self._is_subscribed:
            self._needs_whole = True
            await self._session.subscribe(self._snapshots, self._take)
            self._is_subscribed = True
        await self._session.send(self._watchers, WHOLE if self._needs_whole else LISTENING)

    def _take(self, message: Msg | None) -> None:
        if message is None:  # the connection is lost
            self._is_subscribed = False
            self._wake.set()
            return
        epoch: float | None = None
        try:
            part = read_part(message.data)
            epoch = part.epoch
            change = self._assembly.add(part)
            if change is None:
                return
            if self._is_older(change.head):
                self._needs_whole &= change.base is not None
                return
            snapshot = changed(self._latest, change)
        except OtherVersionError as error:
            self._needs_whole, self._refused_epoch = False, epoch
            self._on_other_version(str(error))
            return
        except (FrameError, MissedSnapshotError) as error:
            log.debug("a whole snapshot is needed: %s", error)
            if not self._needs_whole and (epoch is None or epoch != self._refused_epoch):
                self._needs_whole = True
                self._wake.set()
            return
        self._needs_whole = False
        self._latest, self._latest_at = snapshot, asyncio.get_running_loop().time()
        self._on_snapshot(snapshot)

    def _is_older(self, head: Snapshot) -> bool:
        latest = self._latest
        if latest is None:
            return False
        if head.process != latest.process and head.epoch < latest.epoch:
            silent_s = asyncio.get_running_loop().time() - self._latest_at
            return silent_s < SILENT_INTERVALS * latest.interval_s
        return (head.epoch, head.sequence) <= (latest.epoch, latest.sequence)
