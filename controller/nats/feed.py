"""Snapshots over NATS: who publishes their frames, who reads them, and the last one kept."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import Final, NamedTuple

from msgspec.structs import replace
from nats.aio.msg import Msg

from controller.model.snapshot import Snapshot
from controller.nats.bucket import Bucket
from controller.nats.jetstream import NatsError
from controller.nats.session import NatsSession
from controller.nats.state import PART_BYTES, PartedValue
from controller.ports import Clock, StoreError, StoreUnreadableError
from controller.record.chain import Assembly, Chain, Encoder, line_of, packed, pieces
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
_MOST_INTERVAL_S: Final = 300.0
"""Of a fleet file; one that was forged would make a dashboard deaf for others, see `_is_older`."""


class FrameError(Exception):
    """A message that is no part of a frame; the text says why."""


class Part(NamedTuple):
    """Part `number` of `parts` of this frame, which continues that of sequence `base` (0: none)."""

    version: SnapshotVersion
    epoch: float
    sequence: int
    base: int
    number: int
    parts: int
    data: bytes


class FeedFrame(NamedTuple):
    """A snapshot's line, packed, and its place in the feed; see `Part`."""

    epoch: float
    sequence: int
    at: float
    base: int
    data: bytes


def frame_of(line: bytes, snapshot: Snapshot, base: int) -> FeedFrame:
    """The frame of the snapshot with this line, which continues the one with this sequence."""
    data = packed(line, _PLAIN_BYTES)
    return FeedFrame(snapshot.epoch, snapshot.sequence, snapshot.at, base, data)


def messages_of(frame: FeedFrame, most: int) -> list[bytes]:
    """The frame's messages of at most `most` bytes. Raises FrameError for too many."""
    parts = pieces(frame.data, most - _HEADER.size)
    if len(parts) > MOST_PARTS:
        raise FrameError(f"a frame of {len(frame.data):,} bytes does not fit {MOST_PARTS} messages")
    place = (_MAGIC, *SNAPSHOT_VERSION, frame.epoch, frame.sequence)
    return [
        _HEADER.pack(*place, number, len(parts), frame.base) + part
        for number, part in enumerate(parts)
    ]


def read_part(message: bytes) -> Part:
    """What a message is a part of. Raises FrameError; OtherVersionError if of another major one."""
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
    """The snapshot of a frame by its last part. Raises FrameError and LineErrors of versions."""
    place = None if before is None else (before.epoch, before.sequence)
    if part.base and place != (part.epoch, part.base):
        raise MissedSnapshotError(f"a change of snapshot {part.base}, which is not there")
    try:
        line, base = line_of(data), before if part.base else None
        snapshot = read_line(line, base, part.version, is_clean=True).snapshot
    except MissedSnapshotError:
        raise
    except ValueError as error:
        if part.version != SNAPSHOT_VERSION:
            raise OtherVersionError(words_for_controller(part.version)) from None
        raise FrameError(f"cannot be read: it {error}") from None
    if snapshot.interval_s > _MOST_INTERVAL_S:
        raise FrameError(f"cannot be one: its interval_s is {snapshot.interval_s:g}")
    return snapshot


LISTENS_FOR_S: Final = 15.0
"""A dashboard that has said nothing for so long is gone."""
WHOLE_AT_MOST_EVERY_S: Final = 0.25
"""Dashboards that ask for a whole snapshot at the same time get the same one."""
WHOLE: Final = b"whole"
LISTENING: Final = b"listening"
PAST: Final = b"past"
"""Asks for the frames that are kept, each sent to the reply, and an empty message after them."""
RECENT_S: Final = 900.0
MOST_RECENT_BYTES: Final = 8 * 2**20
"""20 pools that change each second fill it in 15 minutes; of more, fewer minutes are kept."""
MOST_ASKING: Final = 8


def snapshots_subject(bucket: str) -> str:
    """Where the snapshots of the fleet with this bucket are published."""
    return f"{bucket}.snapshots"


def watchers_subject(bucket: str) -> str:
    """Where dashboards say that they listen, and ask for a whole snapshot."""
    return f"{bucket}.watchers"


class SnapshotPublisher:
    """Publishes the latest snapshot as what differs from the one before, once for all listeners,
    and keeps what was published lately for those that begin to listen.

    Without a listener nothing is sent; to encode and keep a tick costs 0.7 ms (1,000 pools, 50
    changed). What could not be sent is not sent again: the next key
    frame makes up for it.
    """

    def __init__(
        self, session: NatsSession, bucket: str, clock: Clock, encoder: Encoder | None = None
    ) -> None:
        self._session = session
        self._snapshots = snapshots_subject(bucket)
        self._watchers = watchers_subject(bucket)
        self._clock = clock
        self._wake = asyncio.Event()
        self._latest: Snapshot | None = None
        self._chain = Chain(encoder)
        self._recent: deque[FeedFrame] = deque()
        self._recent_bytes = 0
        self._asking: deque[str] = deque(maxlen=MOST_ASKING)
        self._whole_at = float("-inf")
        self._whole_is_wanted = False
        self._heard_at: float | None = None

    def offer(self, snapshot: Snapshot) -> None:
        """This is the latest, called on `run`'s loop; one that is not to speak stops all before."""
        self._latest = snapshot if snapshot.speaks else None
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as group:
            listening = self._session.keep_listening(self._watchers, self._heard)
            group.create_task(listening, name="snapshot watchers")
            group.create_task(self._publish(), name="snapshots")

    def _heard(self, message: Msg) -> None:
        self._heard_at = self._clock.monotonic()
        if message.data == WHOLE:
            self._whole_is_wanted = True
            self._wake.set()
        elif message.data == PAST and message.reply:
            self._asking.append(message.reply)
            self._wake.set()

    async def _publish(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            snapshot, now = self._latest, self._clock.monotonic()
            if snapshot is None:
                self._chain.last = None
                self._recent.clear()
                self._recent_bytes = 0
            elif self._whole_is_wanted and now - self._whole_at < WHOLE_AT_MOST_EVERY_S:
                await self._clock.sleep(WHOLE_AT_MOST_EVERY_S - (now - self._whole_at))
                self._wake.set()
            elif snapshot is not self._chain.last or self._whole_is_wanted:
                await self._send(snapshot, now)
            while self._asking:
                reply = self._asking.popleft()
                try:
                    for frame in tuple(self._recent):
                        await self._send_all(reply, frame)
                    await self._session.send(reply, b"")
                except (NatsError, FrameError) as error:
                    log.debug("the time before was not sent: %s", error)

    async def _send(self, snapshot: Snapshot, now: float) -> None:
        whole, self._whole_is_wanted = self._whole_is_wanted, False
        # beside the ticks, and not at all where the journal has made it already
        line, frame = await asyncio.to_thread(self._encoded, snapshot, whole=whole)
        if self._latest is None:
            return  # it follows by now
        if snapshot is not self._chain.last:
            self._keep(frame)
        self._chain.added(line, snapshot)
        if not frame.base:
            self._whole_at = now
        if self._heard_at is None or now - self._heard_at > LISTENS_FOR_S:
            return
        try:
            await self._send_all(self._snapshots, frame)
        except (NatsError, FrameError) as error:
            log.debug("snapshot %d was not published: %s", snapshot.sequence, error)
            self._whole_is_wanted = True

    def _keep(self, frame: FeedFrame) -> None:
        """Keep 15 minutes, from a key frame on: one that continues what is gone is of no use."""
        kept = self._recent
        if kept or not frame.base:
            kept.append(frame)
            self._recent_bytes += len(frame.data)
        while kept:
            second = next((each for each in islice(kept, 1, None) if not each.base), None)
            is_old = second is not None and frame.at - second.at > RECENT_S
            if self._recent_bytes <= MOST_RECENT_BYTES and not is_old:
                break
            while kept and kept[0] is not second:
                self._recent_bytes -= len(kept.popleft().data)

    async def _send_all(self, subject: str, frame: FeedFrame) -> None:
        for message in messages_of(frame, self._session.max_payload):
            await self._session.send(subject, message)

    def _encoded(self, snapshot: Snapshot, *, whole: bool) -> tuple[bytes, FeedFrame]:
        before, line = self._chain.last, self._chain.line(snapshot, whole=whole)
        base = 0 if before is None or is_whole_line(line) else before.sequence
        return line, frame_of(line, snapshot, base)


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
        self.latest: Snapshot | None = None
        self._latest_at = 0.0
        self._needs_whole = True
        self._is_subscribed = False
        self._wake = asyncio.Event()
        session.on_connected(self._wake.set)

    async def run(self) -> None:
        """Follow them until cancelled."""
        while True:
            try:
                if not self._is_subscribed:
                    self._needs_whole = True
                    await self._session.subscribe(self._snapshots, self._take)
                    self._is_subscribed = True
                wanted = WHOLE if self._needs_whole else LISTENING
                await self._session.send(self._watchers, wanted)
            except NatsError as error:
                log.debug("no snapshots can be asked for: %s", error)
            self._wake.clear()
            wait_s = _ASK_AGAIN_S if self._needs_whole else LISTENS_FOR_S / 3
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

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
            snapshot = snapshot_of(data, part, self.latest)
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
        self.latest, self._latest_at = snapshot, asyncio.get_running_loop().time()
        self._on_snapshot(snapshot)

    def _is_older(self, part: Part) -> bool:
        latest = self.latest
        if latest is None:
            return False
        if part.epoch < latest.epoch:
            silent_s = asyncio.get_running_loop().time() - self._latest_at
            return silent_s < SILENT_INTERVALS * latest.interval_s
        return (part.epoch, part.sequence) <= (latest.epoch, latest.sequence)


async def read_recent(session: NatsSession, bucket: str, silence_s: float) -> list[Snapshot]:
    """The snapshots the controller still has, oldest first. Raises NatsError."""
    found: list[Snapshot] = []
    assembly, arrivals = Assembly(), asyncio.Queue[Msg | None]()
    inbox = await session.deliver_to(arrivals.put_nowait)
    try:
        await session.send(watchers_subject(bucket), PAST, inbox.subject)
        while True:
            async with asyncio.timeout(silence_s):
                message = await arrivals.get()
            if message is None or not message.data:
                break
            try:
                part = read_part(message.data)
                data = assembly.add(part[:4], part.number, part.parts, part.data)
                if data is not None:
                    found.append(snapshot_of(data, part, found[-1] if found else None))
            except (FrameError, MissedSnapshotError, OtherVersionError) as error:
                log.debug("a frame of the time before cannot be read: %s", error)
    except TimeoutError:
        log.debug("no controller sends the time before: silence for %g s", silence_s)
    finally:
        await inbox.end()
    return found


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
        """Replace what was saved, whole or not at all. Raises StoreError, also if too large."""
        most = min(PART_BYTES, self._bucket.most_value_bytes())
        # beside the ticks: of 10,000 pools it takes a part of a second
        data = await asyncio.to_thread(lambda: packed(whole_line(snapshot, None), 0))
        parts = pieces(data, most)
        if (size := sum(map(len, parts))) > MOST_KEPT_BYTES:
            raise StoreError(f"it has {size:,} bytes, more than the {MOST_KEPT_BYTES:,} kept")
        head = await self._value.save(parts, snapshot.at)
        if self._is_first:
            await self._bucket.purge(_BEFORE, before=head)
        self._is_first = False


async def recall_snapshot(bucket: Bucket) -> Snapshot | None:
    """The snapshot that a leader saved last, `recalled`, or None. Raises StoreError."""
    snapshot = await SnapshotBucket(bucket).load()
    return None if snapshot is None else replace(snapshot, attached=True, recalled=True)
