"""A controller elsewhere, seen through NATS alone: nothing here knows Kubernetes."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec.structs import replace

from controller.engine.clock import SystemClock
from controller.engine.hub import Hub
from controller.engine.supervise import FatalError
from controller.model.settings import NatsSettings
from controller.model.snapshot import Snapshot
from controller.nats.session import NatsSession
from controller.nats.snapshot_reader import SnapshotReader

LOOK_EVERY_S: Final = 0.5
ANSWERS_WITHIN_S: Final = 2.0
"""A controller that runs answers within a few ms; after this time the person is told."""


class UnsupportedServerError(FatalError):
    """The NATS server cannot be worked with; the message says which and what is needed."""


class Attachment:
    """Hands to a hub what a controller elsewhere publishes. It writes nothing."""

    def __init__(self, settings: NatsSettings, hub: Hub, clock: SystemClock) -> None:
        self._settings = settings
        self._hub = hub
        self._clock = clock
        self._problem: str | None = None

    def problem(self) -> str | None:
        """Why there are no snapshots, in words for the user; None while they come."""
        return self._problem

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow them until `stopping`. Raises FatalError for a server that is too old."""
        began = self._clock.now()
        async with NatsSession(self._settings, self._clock) as session:
            reader = SnapshotReader(session, self._settings.bucket, self._publish)
            reading = asyncio.create_task(reader.run(), name="snapshots")
            try:
                while not stopping.is_set() and session.unsupported is None:
                    self._problem = self._missing(session, reader, self._clock.now() - began)
                    await _wait(stopping, LOOK_EVERY_S)
            finally:
                reading.cancel()
            refusal = session.unsupported
        if refusal is not None:
            raise UnsupportedServerError(str(refusal))

    def _publish(self, snapshot: Snapshot) -> None:
        self._hub.publish(replace(snapshot, attached=True))

    def _missing(self, session: NatsSession, reader: SnapshotReader, waited_s: float) -> str | None:
        if waited_s < ANSWERS_WITHIN_S:
            return None
        if not session.connected:
            return f"not connected to NATS: {session.link().detail}"
        if reader.latest is None:
            bucket = self._settings.bucket
            return (
                f"no controller answers at {session.link().detail}: none runs there with the"
                f" bucket {bucket}, or this NATS user may not use {bucket}.snapshots and"
                f" {bucket}.watchers"
            )
        return None


async def find_writer(settings: NatsSettings, clock: SystemClock, within_s: float) -> str | None:
    """The name of a controller of this fleet that writes, if one answers within this time."""
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def take(snapshot: Snapshot) -> None:
        if snapshot.role.writes and not found.done():
            found.set_result(snapshot.process)

    async with NatsSession(settings, clock) as session:
        reading = asyncio.create_task(SnapshotReader(session, settings.bucket, take).run())
        try:
            async with asyncio.timeout(within_s):
                return await found
        except TimeoutError:
            return None
        finally:
            reading.cancel()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
