"""Frames one after the other: when a key frame is due, the hashes that link lines, and the messages
that carry a line.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Hashable
from hashlib import blake2b
from typing import Final

from controller.model.snapshot import Snapshot
from controller.record.frames import (
    MOST_LINE_BYTES,
    SNAPSHOT_VERSION,
    UnreadableLineError,
    change_line,
    is_whole_line,
    line_start,
    read_line,
    whole_line,
)

_DIGEST_BYTES: Final = 16
_LINK: Final = re.compile(rb',"follows":"([0-9a-f]{32})"\}\n?\Z')
WHOLE_AFTER_BYTES: Final = 8 * 2**20
"""A key frame is due after changes of so many bytes and of twice the size of the last one: so a
moment is found quickly, however busy the fleet is.
"""
PLAIN_BYTES: Final = 64 * 1024
"""A longer line is compressed."""
_LEVEL: Final = 1


class Chain:
    """Makes snapshots into the frames of one journal or feed; a key frame is due every
    `whole_every_s`.
    """

    def __init__(self, whole_every_s: float) -> None:
        self._whole_every_s = whole_every_s
        self.last: Snapshot | None = None
        self._whole_at = 0.0
        self._whole_bytes = 0
        self._bytes_since = 0

    def line(self, snapshot: Snapshot, *, whole: bool = False) -> bytes:
        """The frame of the snapshot, which counts once it is `added`. It has no link."""
        before = self.last
        if before is None or whole or self._is_whole_due(before, snapshot):
            return whole_line(snapshot, before)
        return change_line(before, snapshot)

    def added(self, line: bytes, snapshot: Snapshot) -> None:
        """This is the last frame now."""
        self.last = snapshot
        if is_whole_line(line):
            self._whole_at, self._whole_bytes, self._bytes_since = snapshot.at, len(line), 0
        else:
            self._bytes_since += len(line)

    def _is_whole_due(self, before: Snapshot, snapshot: Snapshot) -> bool:
        return (
            before.epoch != snapshot.epoch
            or not 0 <= snapshot.at - self._whole_at < self._whole_every_s
            or self._bytes_since >= max(WHOLE_AFTER_BYTES, 2 * self._whole_bytes)
        )


def linked(line: bytes, before: str) -> bytes:
    """The line with the hash of the one before it; the same if that is not known (empty)."""
    if not before:
        return line
    return line.removesuffix(b"}\n") + b',"follows":"' + before.encode() + b'"}\n'


def link_of(line: bytes) -> str:
    """The hash that the line carries; empty if it carries none."""
    found = _LINK.search(line, max(0, len(line) - 64))
    return "" if found is None else found[1].decode()


def without_link(line: bytes) -> bytes:
    """The line as it was before it was linked, without its end of line."""
    found = _LINK.search(line, max(0, len(line) - 64))
    return line.removesuffix(b"\n") if found is None else line[: found.start()] + b"}"


def hash_of(line: bytes) -> str:
    """The hash of a whole line, with what it carries and its end of line."""
    return blake2b(line, digest_size=_DIGEST_BYTES).hexdigest()


class LinesRead:
    """The snapshots of lines that come one by one. What cannot be read is left out, up to the next
    key frame.
    """

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self._before: Snapshot | None = None
        self._version = SNAPSHOT_VERSION

    def take(self, line: bytes) -> None:
        """One line, with its link."""
        start = line_start(line)
        if start is not None:
            self._version = start.version
        try:
            self._before = read_line(without_link(line), self._before, self._version).snapshot
        except UnreadableLineError:
            self._before = None
        else:
            self.snapshots.append(self._before)


# -- messages -----------------------------------------------------------------------------------


def pieces(line: bytes, most: int, *, plain: int = PLAIN_BYTES) -> list[bytes]:
    """The line in pieces of at most `most` bytes, compressed if it has more than `plain`."""
    if len(line) <= min(plain, most):
        return [line]
    data = zlib.compress(line, _LEVEL)
    return [data[start : start + most] for start in range(0, len(data), most)]


def line_of(data: bytes) -> bytes:
    """The line that these pieces are of. Raises ValueError if it is damaged, or longer than a line
    may be.
    """
    if data.startswith(b"{"):
        return data
    unpacker = zlib.decompressobj()
    try:
        line = unpacker.decompress(data, MOST_LINE_BYTES)
    except zlib.error as error:
        raise ValueError(f"cannot be unpacked: {error}") from None
    if not unpacker.eof:
        raise ValueError(f"is cut, or of more than {MOST_LINE_BYTES:,} bytes")
    return line


class Assembly:
    """Puts the pieces of lines together, as they come in order. What a writer has left unfinished
    is dropped.
    """

    def __init__(self) -> None:
        self._next: tuple[Hashable, int] | None = None
        self._data: list[bytes] = []

    def add(self, line: Hashable, number: int, count: int, data: bytes) -> bytes | None:
        """Add piece `number` of the `count` of a line; all of it once the last one is there, else
        None.
        """
        if number == 0:
            self._data = []
        elif self._next != (line, number):
            self._next = None
            return None
        self._data.append(data)
        self._next = (line, number + 1)
        if number + 1 < count:
            return None
        self._next = None
        return b"".join(self._data)
