"""Publishes this controller's snapshots for dashboards elsewhere, while any of them listens."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from nats.aio.msg import Msg

from controller.model.snapshot import Snapshot
from controller.nats.errors import NatsError
from controller.nats.session import NatsSession
from controller.nats.snapshot_frames import FrameError, frames
from controller.ports.clock import Clock
from controller.record.snapshot_changes import difference, whole

log = logging.getLogger(__name__)

LISTENS_FOR_S: Final = 15.0
"""A dashboard that has said nothing for so long is gone."""
WHOLE_EVERY_S: Final = 60.0
WHOLE_AT_MOST_EVERY_S: Final = 0.25
"""Dashboards that ask for a whole snapshot at the same time get the same one."""
WHOLE: Final = b"whole"
LISTENING: Final = b"listening"


def snapshots_subject(bucket: str) -> str:
    """Where the snapshots of the fleet with this bucket are published."""
    return f"{bucket}.snapshots"


def watchers_subject(bucket: str) -> str:
    """Where dashboards say that they listen, and ask for a whole snapshot."""
    return f"{bucket}.watchers"


class SnapshotPublisher:
    """Publishes the latest snapshot as what differs from the one before, once for all listeners.

    Without a listener nothing is encoded. What could not be sent is not sent again: the next whole
    snapshot makes up for it.
    """

    def __init__(self, session: NatsSession, bucket: str, clock: Clock) -> None:
        self._session = session
        self._snapshots = snapshots_subject(bucket)
        self._watchers = watchers_subject(bucket)
        self._clock = clock
        self._wake = asyncio.Event()
        self._connected = asyncio.Event()
        self._latest: Snapshot | None = None
        self._sent: Snapshot | None = None
        self._whole_at = float("-inf")
        self._whole_is_wanted = False
        self._heard_at: float | None = None
        self._connected.set()  # the session may be connected already
        session.on_connected(self._connected.set)

    def offer(self, snapshot: Snapshot) -> None:
        """This is the latest. One that should not speak stops those before it. Called on the loop
        that `run` runs on.
        """
        self._latest = snapshot if snapshot.speaks else None
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(), name="snapshot watchers")
            group.create_task(self._publish(), name="snapshots")

    def _heard(self, message: Msg | None) -> None:
        if message is None:
            return
        self._heard_at = self._clock.monotonic()
        if message.data == WHOLE:
            self._whole_is_wanted = True
            self._wake.set()

    async def _listen(self) -> None:
        """A subscription ends with its connection."""
        while True:
            await self._connected.wait()
            self._connected.clear()
            try:
                await self._session.subscribe(self._watchers, self._heard)
            except NatsError as error:
                log.debug("dashboards cannot be heard: %s", error)

    async def _publish(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            snapshot, now = self._latest, self._clock.monotonic()
            if snapshot is None or self._heard_at is None or now - self._heard_at > LISTENS_FOR_S:
                self._sent = None
                continue
            if self._whole_is_wanted and now - self._whole_at < WHOLE_AT_MOST_EVERY_S:
                await self._clock.sleep(WHOLE_AT_MOST_EVERY_S - (now - self._whole_at))
                self._wake.set()
                continue
            if snapshot is self._sent and not self._whole_is_wanted:
                continue
            await self._send(snapshot, now)

    async def _send(self, snapshot: Snapshot, now: float) -> None:
        before = self._sent
        if before is None or self._whole_is_wanted or now - self._whole_at >= WHOLE_EVERY_S:
            change, self._whole_at = whole(snapshot), now
        else:
            change = difference(before, snapshot)
        self._whole_is_wanted, self._sent = False, snapshot
        try:
            for message in frames(change, self._session.max_payload):
                await self._session.send(self._snapshots, message)
        except (NatsError, FrameError) as error:
            log.debug("snapshot %d was not published: %s", snapshot.sequence, error)
            self._sent = None
