"""A change of snapshots as messages: compressed, and cut where the server takes no larger ones."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from typing import Final, NamedTuple

import msgspec

from controller.model.decoding import UndecodableError, decoded
from controller.model.known_fields import Cut, cut_for
from controller.model.text import clean
from controller.record.snapshot_changes import SnapshotChange
from controller.record.snapshot_version import (
    SNAPSHOT_VERSION,
    OtherVersionError,
    SnapshotVersion,
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
