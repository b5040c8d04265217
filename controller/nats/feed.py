"""Snapshots over NATS: who publishes their frames, who reads them, and the last one kept."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec.structs import replace
from nats.aio.msg import Msg

from controller.model.snapshot import Snapshot
from controller.nats.bucket import Bucket
from controller.nats.jetstream import NatsError
from controller.nats.session import NatsSession
from controller.nats.state import PART_BYTES, PartedValue
from controller.ports import Clock, StoreError, StoreUnreadableError
from controller.record.chain import Assembly, Chain, line_of, pieces
from controller.record.frames import (
    SNAPSHOT_VERSION,
    MissedSnapshotError,
    OtherVersionError,
    SnapshotVersion,
    is_whole_line,
    read_line,
    whole_line,
    words_for_controller,
)

log = logging.getLogger(__name__)

MOST_PARTS: Final = 4096
# the magic and the version begin the messages of every version
_VERSION: Final = struct.Struct(">4sHH")
_HEADER: Final = struct.Struct(">4sHHdQHHQ")
_FIRST: Final = SnapshotVersion(1, 4)
"""The versions before it have no frames; they can read a header up to the number of parts."""
_MAGIC: Final = b"AGDS"
_PLAIN_BYTES: Final = 1024


class FrameError(Exception):
    """A message that is no part of a frame; the text says why."""


class Part(NamedTuple):
    """Part `number` of `parts`, of the frame with this epoch and sequence. The frame continues the
    one with the sequence `base`; it is a key frame where that is 0.
    """

    version: SnapshotVersion
    epoch: float
    sequence: int
    base: int
    number: int
    parts: int
    data: bytes


def messages_of(line: bytes, snapshot: Snapshot, base: int, most: int) -> list[bytes]:
    """The messages of the snapshot's frame, none of them larger than `most` bytes. Raises
    FrameError for too many.
    """
    parts = pieces(line, most - _HEADER.size, plain=_PLAIN_BYTES)
    if len(parts) > MOST_PARTS:
        raise FrameError(f"a frame of {len(line):,} bytes does not fit {MOST_PARTS} messages")
    place = (_MAGIC, *SNAPSHOT_VERSION, snapshot.epoch, snapshot.sequence)
    return [
        _HEADER.pack(*place, number, len(parts), base) + part for number, part in enumerate(parts)
    ]


def read_part(message: bytes) -> Part:
    """What a message is a part of. Raises FrameError, and OtherVersionError where its version is
    another major one, or before frames.
    """
    if len(message) < _VERSION.size or not message.startswith(_MAGIC):
        raise FrameError("not a part of a frame")
    _, *numbers = _VERSION.unpack_from(message)
    version = SnapshotVersion(*numbers)
    if not version.is_readable or version < _FIRST:
        raise OtherVersionError(words_for_controller(version))
    if len(message) < _HEADER.size:
        raise FrameError("a part that is cut")
    _, _, _, epoch, sequence, number, count, base = _HEADER.unpack_from(message)
    if not 0 <= number < count <= MOST_PARTS:
        raise FrameError(f"part {number} of {count}")
    return Part(version, epoch, sequence, base, number, count, message[_HEADER.size :])


def snapshot_of(data: bytes, part: Part, before: Snapshot | None) -> Snapshot:
    """The snapshot of a frame whose last part this is. Raises FrameError, OtherVersionError and
    MissedSnapshotError.
    """
    place = None if before is None else (before.epoch, before.sequence)
    if part.base and place != (part.epoch, part.base):
        raise MissedSnapshotError(f"a change of snapshot {part.base}, which is not there")
    try:
        line, base = line_of(data), before if part.base else None
        return read_line(line, base, part.version, is_clean=True).snapshot
    except MissedSnapshotError:
        raise
    except ValueError as error:
        if part.version != SNAPSHOT_VERSION:
            raise OtherVersionError(words_for_controller(part.version)) from None
        raise FrameError(f"cannot be read: it {error}") from None


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

    Without a listener nothing is encoded. What could not be sent is not sent again: the next key
    frame makes up for it.
    """

    def __init__(self, session: NatsSession, bucket: str, clock: Clock) -> None:
        self._session = session
        self._snapshots = snapshots_subject(bucket)
        self._watchers = watchers_subject(bucket)
        self._clock = clock
        self._wake = asyncio.Event()
        self._connected = asyncio.Event()
        self._latest: Snapshot | None = None
        self._chain = Chain(WHOLE_EVERY_S)
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
                self._chain.last = None
                continue
            if self._whole_is_wanted and now - self._whole_at < WHOLE_AT_MOST_EVERY_S:
                await self._clock.sleep(WHOLE_AT_MOST_EVERY_S - (now - self._whole_at))
                self._wake.set()
                continue
            if snapshot is self._chain.last and not self._whole_is_wanted:
                continue
            await self._send(snapshot, now)

    async def _send(self, snapshot: Snapshot, now: float) -> None:
        before, line = self._chain.last, self._chain.line(snapshot, whole=self._whole_is_wanted)
        base = 0
        if is_whole_line(line):
            self._whole_at = now
        elif before is not None:
            base = before.sequence
        self._whole_is_wanted = False
        self._chain.added(line, snapshot)
        try:
            for message in messages_of(line, snapshot, base, self._session.max_payload):
                await self._session.send(self._snapshots, message)
        except (NatsError, FrameError) as error:
            log.debug("snapshot %d was not published: %s", snapshot.sequence, error)
            self._chain.last = None


_ASK_AGAIN_S: Final = 1.0
SILENT_INTERVALS: Final = 3
"""A process that has published nothing for so many intervals does not lead any more."""


class SnapshotReader:
    """Hands every snapshot to `on_snapshot`. One that is older than the last is ignored, unless the
    process of the last has been silent: the clock of the next leader may be behind.

    Where a frame cannot be used, because one before it was lost, a key frame is asked for.
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
            data = self._assembly.add(part[:4], part.number, part.parts, part.data)
            if data is None:
                return
            if self._is_older(part):
                self._needs_whole &= bool(part.base)
                return
            snapshot = snapshot_of(data, part, self._latest)
        except OtherVersionError as error:
            self._needs_whole, self._refused_epoch = False, epoch
            self._on_other_version(str(error))
            return
        except (FrameError, MissedSnapshotError) as error:
            log.debug("a key frame is needed: %s", error)
            if not self._needs_whole and (epoch is None or epoch != self._refused_epoch):
                self._needs_whole = True
                self._wake.set()
            return
        self._needs_whole = False
        self._latest, self._latest_at = snapshot, asyncio.get_running_loop().time()
        self._on_snapshot(snapshot)

    def _is_older(self, part: Part) -> bool:
        latest = self._latest
        if latest is None:
            return False
        if part.epoch < latest.epoch:
            silent_s = asyncio.get_running_loop().time() - self._latest_at
            return silent_s < SILENT_INTERVALS * latest.interval_s
        return (part.epoch, part.sequence) <= (latest.epoch, latest.sequence)


FORMAT: Final = 2
MOST_KEPT_BYTES: Final = 16 * 2**20
"""Compressed; 10,000 pools with 24 hours of histories have about 6 MB."""
_NAME: Final = "snapshot"
_BEFORE: Final = "past"
"""Where the version before kept histories."""


class SnapshotBucket:
    """Loads and saves the last key frame; one save at a time."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._value = PartedValue(bucket, _NAME, version=FORMAT)
        self._is_first = True

    async def load(self) -> Snapshot | None:
        """The last one that was saved; None if there is none.

        Raises StoreUnreadableError for what is damaged or was written by another version;
        StoreError.
        """
        found = await self._value.load()
        if found is None:
            return None
        try:
            return read_line(line_of(b"".join(found.parts)), None, is_clean=True).snapshot
        except ValueError as error:
            raise StoreUnreadableError(f"it {error}") from None

    async def save(self, snapshot: Snapshot) -> None:
        """Replace what was saved, all of it or nothing. Raises StoreError, also for a snapshot
        larger than `MOST_KEPT_BYTES`.
        """
        most = min(PART_BYTES, self._bucket.most_value_bytes())
        # beside the ticks: of 10,000 pools it takes a part of a second
        parts = await asyncio.to_thread(lambda: pieces(whole_line(snapshot, None), most, plain=0))
        if (size := sum(map(len, parts))) > MOST_KEPT_BYTES:
            raise StoreError(f"it has {size:,} bytes, more than the {MOST_KEPT_BYTES:,} kept")
        head = await self._value.save(parts, snapshot.at)
        if self._is_first:
            await self._bucket.purge(_BEFORE, before=head)
        self._is_first = False


async def recall_snapshot(bucket: Bucket) -> Snapshot | None:
    """The last snapshot that a leader has saved, `recalled`; None if there is none. Raises
    StoreError.
    """
    snapshot = await SnapshotBucket(bucket).load()
    return None if snapshot is None else replace(snapshot, attached=True, recalled=True)
