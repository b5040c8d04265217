"""A line of the journal as messages of a stream, and lines made from messages again.

A short line is one message as it is. A longer one is compressed, and cut where a message would be
too large. `Nats-Msg-Id` is HASH-NUMBER-PARTS: the hash of the whole line, and which of its parts
the message is; so a message that is sent twice is stored once.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Final, NamedTuple

from nats.js.api import Header

from controller.record.journal_chain import hash_of
from controller.record.journal_lines import MOST_LINE_BYTES

PLAIN_BYTES: Final = 64 * 1024
"""A longer line is compressed."""
MESSAGE_BYTES: Final = 512 * 1024
_LEVEL: Final = 1
_ID: Final = re.compile(r"([0-9a-f]{32})-([0-9]{1,5})-([0-9]{1,5})")


class PartId(NamedTuple):
    """Part `number` of the `parts` of the line with this hash."""

    line: str
    number: int
    parts: int

    @property
    def is_last(self) -> bool:
        """Whether the line is complete with it."""
        return self.number == self.parts - 1

    def __str__(self) -> str:
        return f"{self.line}-{self.number}-{self.parts}"


class LinePart(NamedTuple):
    """One message of a line."""

    id: PartId
    data: bytes


def parts_of(line: bytes, most: int) -> list[LinePart]:
    """The messages of a line, none of them larger than `most` bytes."""
    pieces = [line]
    if len(line) > min(PLAIN_BYTES, most):
        data, room = zlib.compress(line, _LEVEL), min(MESSAGE_BYTES, most)
        pieces = [data[start : start + room] for start in range(0, len(data), room)]
    name = hash_of(line)
    return [LinePart(PartId(name, number, len(pieces)), data) for number, data in enumerate(pieces)]


def part_id(headers: Mapping[str, str] | None) -> PartId | None:
    """Which part of which line a message is; None for a message of something else."""
    found = _ID.fullmatch((headers or {}).get(Header.MSG_ID.value, ""))
    if found is None:
        return None
    part = PartId(found[1], int(found[2]), int(found[3]))
    return part if part.number < part.parts else None


class LineAssembly:
    """Puts parts together, as they come in order. What a writer has left unfinished is dropped."""

    def __init__(self) -> None:
        self._id: PartId | None = None
        self._data: list[bytes] = []

    def add(self, part: LinePart) -> bytes | None:
        """The line, once its last part is there and its hash is right; else None."""
        if part.id.number == 0:
            self._data = []
        elif self._id is None or part.id != self._id._replace(number=self._id.number + 1):
            self._id, self._data = None, []
            return None
        self._id = part.id
        self._data.append(part.data)
        if not part.id.is_last:
            return None
        data, self._id, self._data = b"".join(self._data), None, []
        line = data if data.startswith(b"{") else _unpacked(data)
        return line if hash_of(line) == part.id.line else None


def _unpacked(data: bytes) -> bytes:
    """What was compressed; nothing if it is damaged or longer than a line may be."""
    unpacker = zlib.decompressobj()
    try:
        line = unpacker.decompress(data, MOST_LINE_BYTES)
    except zlib.error:
        return b""
    return line if unpacker.eof else b""
