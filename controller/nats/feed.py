"""Snapshots over NATS: who publishes them, who reads them, their frames, and the last one kept."""

from __future__ import annotations

import asyncio
import logging
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace
from nats.aio.msg import Msg

from controller.model.decoding import Cut, UndecodableError, cut_for, decoded
from controller.model.ids import PoolKey
from controller.model.snapshot import History, Snapshot
from controller.model.text import clean
from controller.nats.bucket import Bucket
from controller.nats.errors import NatsError
from controller.nats.parted import PART_BYTES, PartedValue
from controller.nats.past import PastBucket
from controller.nats.session import NatsSession
from controller.ports import Clock, StoreError, StoreUnreadableError
from controller.record.snapshot_changes import (
    SNAPSHOT_VERSION,
    MissedSnapshotError,
    OtherVersionError,
    SnapshotChange,
    SnapshotVersion,
    changed,
    difference,
    whole,
    words_for_controller,
)

MOST_SNAPSHOT_BYTES: Final = 256 * 2**20
"""A change is never larger than this before it is compressed: 10,000 pools are 7 MB."""
MOST_PARTS: Final = 4096

# the magic and the version begin the messages of every version
_VERSION: Final = struct.Struct(">4sHH")
_HEADER: Final = struct.Struct(">4sHHdQHH")
_MAGIC: Final = b"AGDS"
_LEVEL: Final = 1
_DECODER: Final = msgspec.msgpack.Decoder(SnapshotChange)


class FrameError(Exception):
    """A message that is no part of a snapshot; the text says why."""


class Part(NamedTuple):
    """One message: part `number` of `parts`, of the snapshot (`epoch`, `sequence`)."""

    version: SnapshotVersion
    epoch: float
    sequence: int
    number: int
    parts: int
    data: bytes


def frames(change: SnapshotChange, most: int) -> list[bytes]:
    """The messages, none of them larger than `most` bytes. Raises FrameError for too many."""
    data = zlib.compress(msgspec.msgpack.encode(change), _LEVEL)
    room = most - _HEADER.size
    parts = [data[start : start + room] for start in range(0, len(data), room)]
    if len(parts) > MOST_PARTS:
        raise FrameError(f"a snapshot of {len(data):,} bytes does not fit {MOST_PARTS} messages")
    head = change.head
    return [
        _HEADER.pack(_MAGIC, *SNAPSHOT_VERSION, head.epoch, head.sequence, number, len(parts))
        + part
        for number, part in enumerate(parts)
    ]


def read_part(message: bytes) -> Part:
    """What a message is a part of. Raises FrameError, and OtherVersionError where its version is
    another major one.
    """
    if len(message) < _VERSION.size or not message.startswith(_MAGIC):
        raise FrameError("not a part of a snapshot")
    _, *numbers = _VERSION.unpack_from(message)
    version = SnapshotVersion(*numbers)
    if not version.is_readable:
        raise OtherVersionError(words_for_controller(version))
    if len(message) < _HEADER.size:
        raise FrameError("a part that is cut")
    _, _, _, epoch, sequence, number, count = _HEADER.unpack_from(message)
    if not 0 <= number < count <= MOST_PARTS:
        raise FrameError(f"part {number} of {count}")
    return Part(version, epoch, sequence, number, count, message[_HEADER.size :])


class Assembly:
    """Puts parts together. Parts of one change come in order, on one connection."""

    def __init__(self) -> None:
        self._parts: list[Part] = []

    def add(self, part: Part) -> SnapshotChange | None:
        """The change, once its last part is there. Raises FrameError, and OtherVersionError where
        the change cannot be read because it is of another version.
        """
        if part.number == 0:
            self._parts = []
        elif not self._is_next(part):
            self._parts = []
            raise FrameError(f"part {part.number} without the one before it")
        self._parts.append(part)
        if len(self._parts) < part.parts:
            return None
        data, self._parts = b"".join(each.data for each in self._parts), []
        return _decoded(data, part.version)

    def _is_next(self, part: Part) -> bool:
        if not self._parts:
            return False
        last = self._parts[-1]
        return last[:3] == part[:3] and last.parts == part.parts and last.number + 1 == part.number


def _decoded(data: bytes, version: SnapshotVersion) -> SnapshotChange:
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(data, MOST_SNAPSHOT_BYTES)
        if not unpacker.eof:
            raise FrameError(
                f"a snapshot that is cut, or of more than {MOST_SNAPSHOT_BYTES:,} bytes"
            )
        return _change(content, version)
    except (zlib.error, UndecodableError) as error:
        if version != SNAPSHOT_VERSION:
            raise OtherVersionError(words_for_controller(version)) from None
        raise FrameError(f"cannot be read: {clean(error, 120)}") from None


def _change(content: bytes, version: SnapshotVersion) -> SnapshotChange:
    """Raises UndecodableError."""
    try:
        return decoded(_DECODER, content)
    except UndecodableError:
        if not version.is_newer:
            raise
    return decoded(_NewerDecoder(), content)


class _NewerDecoder:
    """Reads what a newer version has written, but for the fields that are unknown here."""

    def decode(self, data: bytes | msgspec.Raw, /) -> SnapshotChange:
        """The change. Raises as msgspec's decoders do."""
        return msgspec.convert(_known_fields()(msgspec.msgpack.decode(data)), SnapshotChange)


@cache
def _known_fields() -> Cut:
    return cut_for(SnapshotChange)


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


FORMAT: Final = 1
MOST_KEPT_BYTES: Final = 16 * 2**20
"""Compressed; 10,000 pools have about 1 MB."""
_NAME: Final = "snapshot"


class SnapshotBucket:
    """Loads and saves the last snapshot; one save at a time."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._value = PartedValue(bucket, _NAME, version=FORMAT)

    async def load(self) -> Snapshot | None:
        """The last one that was saved, without histories; None if there is none.

        Raises StoreUnreadableError for what is damaged or was written by another version;
        StoreError.
        """
        found = await self._value.load()
        if found is None:
            return None
        assembly, change = Assembly(), None
        try:
            for part in found.parts:
                change = assembly.add(read_part(part))
            if change is None:
                raise StoreUnreadableError("parts of it are missing")
            snapshot = changed(None, change)
        except (FrameError, MissedSnapshotError, OtherVersionError) as error:
            raise StoreUnreadableError(str(error)) from None
        return snapshot

    async def save(self, snapshot: Snapshot) -> None:
        """Replace what was saved, all of it or nothing. Raises StoreError, also for a snapshot
        larger than `MOST_KEPT_BYTES`.
        """
        plain = replace(snapshot, histories={}, tenant_histories={})
        most = min(PART_BYTES, self._bucket.most_value_bytes())
        try:
            # beside the ticks: of 10,000 pools it takes a part of a second
            parts = await asyncio.to_thread(frames, whole(plain), most)
        except FrameError as error:
            raise StoreError(str(error)) from None
        if (size := sum(map(len, parts))) > MOST_KEPT_BYTES:
            raise StoreError(f"it has {size:,} bytes, more than the {MOST_KEPT_BYTES:,} kept")
        await self._value.save(parts, snapshot.at)


async def recall_snapshot(bucket: Bucket) -> Snapshot | None:
    """The last snapshot that a leader has saved, `recalled` and with its histories as far as they
    can be read; None if there is none. Raises StoreError.
    """
    snapshot = await SnapshotBucket(bucket).load()
    if snapshot is None:
        return None
    histories: dict[PoolKey, History] = {}
    of_tenants: dict[str, History] = {}
    try:
        for part in await PastBucket(bucket).load():
            histories.update(part.histories)
            of_tenants.update(part.tenant_histories)
    except StoreError as error:
        log.debug("the last snapshot is shown without histories: %s", error)
    return replace(
        snapshot, attached=True, recalled=True, histories=histories, tenant_histories=of_tenants
    )
