"""A change of snapshots as messages: compressed, and cut where the server takes no larger ones."""

from __future__ import annotations

import struct
import zlib
from typing import Final, NamedTuple

import msgspec

from controller.model.decoding import UndecodableError, decoded
from controller.model.text import clean
from controller.record.snapshot_changes import SnapshotChange

MOST_SNAPSHOT_BYTES: Final = 256 * 2**20
"""A change is never larger than this before it is compressed: 10,000 pools are 7 MB."""
MOST_PARTS: Final = 4096

_HEADER: Final = struct.Struct(">4sdQHH")
_MAGIC: Final = b"AGD2"
_LEVEL: Final = 1
_DECODER: Final = msgspec.msgpack.Decoder(SnapshotChange)


class FrameError(Exception):
    """A message that is no part of a snapshot; the text says why."""


class Part(NamedTuple):
    """One message: part `number` of `parts`, of the snapshot (`epoch`, `sequence`)."""

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
        _HEADER.pack(_MAGIC, head.epoch, head.sequence, number, len(parts)) + part
        for number, part in enumerate(parts)
    ]


def read_part(message: bytes) -> Part:
    """What a message is a part of. Raises FrameError."""
    if len(message) < _HEADER.size or not message.startswith(_MAGIC):
        raise FrameError("not a part of a snapshot of this version")
    _, epoch, sequence, number, count = _HEADER.unpack_from(message)
    if not 0 <= number < count <= MOST_PARTS:
        raise FrameError(f"part {number} of {count}")
    return Part(epoch, sequence, number, count, message[_HEADER.size :])


class Assembly:
    """Puts parts together. Parts of one change come in order, on one connection."""

    def __init__(self) -> None:
        self._parts: list[Part] = []

    def add(self, part: Part) -> SnapshotChange | None:
        """The change, once its last part is there. Raises FrameError."""
        if part.number == 0:
            self._parts = []
        elif not self._is_next(part):
            self._parts = []
            raise FrameError(f"part {part.number} without the one before it")
        self._parts.append(part)
        if len(self._parts) < part.parts:
            return None
        data, self._parts = b"".join(each.data for each in self._parts), []
        return _decoded(data)

    def _is_next(self, part: Part) -> bool:
        if not self._parts:
            return False
        last = self._parts[-1]
        return last[:2] == part[:2] and last.parts == part.parts and last.number + 1 == part.number


def _decoded(data: bytes) -> SnapshotChange:
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(data, MOST_SNAPSHOT_BYTES)
        if not unpacker.eof:
            raise FrameError(
                f"a snapshot that is cut, or of more than {MOST_SNAPSHOT_BYTES:,} bytes"
            )
        return decoded(_DECODER, content, most_bytes=MOST_SNAPSHOT_BYTES)
    except (zlib.error, UndecodableError) as error:
        raise FrameError(f"cannot be read: {clean(error, 120)}") from None
