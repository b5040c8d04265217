"""One feed: snapshots become lines once, for the live feed, the journal's stream and its file; key
frames, hashes that link lines, messages that carry them, and what a file of lines has.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import zlib
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar

from controller.model.snapshot import Snapshot
from controller.model.text import clean
from controller.ports import Clock
from controller.record.frames import (
    KEY_FRAME,
    MOST_LINE_BYTES,
    SNAPSHOT_VERSION,
    SnapshotVersion,
    UnreadableLineError,
    change_line,
    is_whole_line,
    line_start,
    read_line,
    whole_line,
    words_for_journal,
)

_LINK: Final = re.compile(rb',"follows":"([0-9a-f]{32})"\}\n?\Z')
WHOLE_AFTER_BYTES: Final = 8 * 2**20
"""A key frame is due after changes of so many bytes and of twice the size of the last one: so a
moment is found quickly, however busy the fleet is.
"""
PLAIN_BYTES: Final = 64 * 1024
"""A longer line is compressed."""
_PIECE_BYTES: Final = 2**20
_MOST_OF_LITTLE: Final = 118 * 2**20
"""10,000 idle pools with 24 hours of history are sent in 0.6 MB; zeros grow a thousandfold."""
_WORTH: Final = 40
MOST_FRAME_BYTES: Final = 360 * 2**20
"""What 10,000 pools take to be read of which each slot of 24 hours has another number (12 MB are
sent of them), and some more: the largest fleet that is shown.
"""
_TAKES: Final = {b",": 8, b'"': 32, b'":': -64, b"{": 140, b"[": 56, b"000": 32}
"""About what becomes of each mark of JSON, in bytes of memory, where all digits are 0: names of
fields are not kept, small numbers are there already.
"""
_AS_ZEROS: Final = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_LIST_TAKES: Final = 12
"""For each of what a list has that fills a piece: it is there twice while it is read."""
_SHARED_BYTES: Final = 2 * 2**20
WHOLE_EVERY_S: Final = 300.0
MOST_WAITING: Final = 64
"""So many snapshots wait for a sink; after them, the oldest are left out."""
TELL_S: Final = 60.0
T = TypeVar("T")


class _Made(NamedTuple):
    """The line that was made of a snapshot after another one."""

    before: Snapshot | None
    snapshot: Snapshot
    is_whole: bool
    line: bytes


class Encoder:
    """Makes snapshots into lines once for all sinks, from any thread, up to 2 MB."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._made: deque[_Made] = deque(maxlen=2)

    def line(self, before: Snapshot | None, snapshot: Snapshot, *, whole: bool) -> bytes:
        """The key frame of the snapshot, or what differs from the one before. It has no link."""
        with self._lock:
            for made in self._made:
                if made.snapshot is snapshot and made.before is before and made.is_whole is whole:
                    return made.line
            if before is None or whole:
                line = whole_line(snapshot, before)
            else:
                line = change_line(before, snapshot)
            if len(line) <= _SHARED_BYTES:
                self._made.append(_Made(before, snapshot, whole, line))
            return line


class Backlog:
    """The snapshots that wait for one sink, on its event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: deque[Snapshot] = deque()
        self._wake = asyncio.Event()
        self._is_ending = False
        self._told_until = 0.0
        self.left_out = 0
        """How many snapshots the sink has missed."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, snapshot: Snapshot) -> None:
        """The newest. Never waits."""
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self.leave_out()
        self._waiting.append(snapshot)
        self._wake.set()

    async def take(self) -> Snapshot | None:
        """The oldest, as soon as there is one; None at the end, when all are taken."""
        while not self._waiting:
            if self._is_ending:
                return None
            await self._wake.wait()
            self._wake.clear()
        return self._waiting.popleft()

    def clear(self) -> None:
        """Nothing waits any more."""
        self._waiting.clear()

    def end(self) -> None:
        """Nothing more comes."""
        self._is_ending = True
        self._wake.set()

    def leave_out(self) -> None:
        """The sink misses one."""
        self.left_out += 1
        self.tell()

    def tell(self) -> None:
        """What was left out is news for a minute from now."""
        self._told_until = self._clock.monotonic() + TELL_S

    @property
    def is_news(self) -> bool:
        """Whether something was left out, and people are still to be told."""
        return bool(self.left_out) and self._clock.monotonic() < self._told_until


class Chain:
    """The frames of one sink; a key frame is due every `whole_every_s`."""

    def __init__(
        self, encoder: Encoder | None = None, whole_every_s: float = WHOLE_EVERY_S
    ) -> None:
        self._whole_every_s = whole_every_s
        self._encoder = encoder or Encoder()
        self.last: Snapshot | None = None
        self._whole_at = 0.0
        self._whole_bytes = 0
        self._bytes_since = 0

    def line(self, snapshot: Snapshot, *, whole: bool = False) -> bytes:
        """The frame of the snapshot, which counts once it is `added`. It has no link."""
        before = self.last
        is_whole = before is None or whole or self._is_whole_due(before, snapshot)
        return self._encoder.line(before, snapshot, whole=is_whole)

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
    return blake2b(line, digest_size=16).hexdigest()


def hash_of_last_line(path: Path) -> str:
    """The hash of the last line that has an end; empty if there is none. Raises OSError."""
    with path.open("rb") as opened:
        at, tail = opened.seek(0, os.SEEK_END), b""
        while at > 0 and tail.count(b"\n") < 2:
            at = max(0, at - _PIECE_BYTES)
            opened.seek(at)
            tail = opened.read(_PIECE_BYTES) + tail if tail else opened.read()
    ended, end, _torn = tail.rpartition(b"\n")
    return hash_of(ended.rpartition(b"\n")[2] + end) if end else ""


def snapshots_of(lines: Iterable[bytes]) -> Iterator[Snapshot]:
    """The snapshots of linked lines; unreadable ones are left out up to the next key frame."""
    before: Snapshot | None = None
    version = SNAPSHOT_VERSION
    for line in lines:
        start = line_start(line)
        version = version if start is None else start.version
        try:
            before = read_line(without_link(line), before, version).snapshot
        except UnreadableLineError:
            before = None
        else:
            yield before


# -- messages -----------------------------------------------------------------------------------


def packed(line: bytes, most: int) -> bytes:
    """The line, compressed if it has more than `most` bytes."""
    return line if len(line) <= most else zlib.compress(line, 1)


def pieces(data: bytes, most: int) -> list[bytes]:
    """What is packed, in pieces of at most `most` bytes."""
    return [data[start : start + most] for start in range(0, len(data), most)]


def line_of(data: bytes) -> bytes | bytearray:
    """The line that was packed. Raises ValueError if it is damaged, or would take too much."""
    most = min(max(_MOST_OF_LITTLE, _WORTH * len(data)), MOST_FRAME_BYTES)
    line, takes = bytearray(), 0
    for part in (data,) if data.startswith(b"{") else unpacked(data, MOST_LINE_BYTES):
        marks = part.translate(_AS_ZEROS)
        takes += len(part) + sum(marks.count(mark) * each for mark, each in _TAKES.items())
        if marks.count(b"[") < 100:
            takes += marks.count(b",") * _LONG_LIST_TAKES
        if takes > most:
            raise ValueError(f"would take {takes:,} bytes of memory, {most:,} at most")
        line += part  # grows in place: parts that are joined would be there twice
    return line


def unpacked(data: bytes, most: int) -> Iterator[bytes]:
    """What was packed, in pieces of a MiB. Raises ValueError where it is damaged or has more than
    `most` bytes.
    """
    unpacker, size = zlib.decompressobj(), 0
    while not unpacker.eof:
        try:
            part = unpacker.decompress(data, _PIECE_BYTES)
        except zlib.error as error:
            raise ValueError(f"cannot be unpacked: {error}") from None
        data = unpacker.unconsumed_tail
        if not part and not data and not unpacker.eof:
            raise ValueError("is cut")
        if (size := size + len(part)) > most:
            raise ValueError(f"has more than {most:,} bytes")
        yield part


class Assembly:
    """Puts pieces of lines together as they come in order; unfinished ones are dropped."""

    def __init__(self) -> None:
        self._next: tuple[Hashable, int] | None = None
        self._data: list[bytes] = []
        self._size = 0

    def add(self, line: Hashable, number: int, count: int, data: bytes) -> bytes | None:
        """Add piece `number` of `count`; the whole once the last one is there, else None."""
        if number == 0:
            self._data, self._size = [], 0
        elif self._next != (line, number):
            self._next, self._data = None, []
            return None
        self._size += len(data)
        if self._size > MOST_LINE_BYTES:
            self._next, self._data = None, []
            return None
        self._data.append(data)
        self._next = (line, number + 1)
        if number + 1 < count:
            return None
        self._next = None
        return b"".join(self._data)


class DiskThread(Executor):
    """One thread that the end of the process does not wait for: a disk that hangs would hold it."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        Thread(target=self._run, name="journal", daemon=True).start()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have it done behind what was asked for before."""
        future: Future[T] = Future()

        def do() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
                future.set_exception(error)

        self._asked.put(do)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End behind what was asked for; nobody waits."""
        del wait, cancel_futures
        self._asked.put(None)

    def _run(self) -> None:
        while (do := self._asked.get()) is not None:
            do()


_BUFFER_BYTES: Final = 2**20
_MOST_PART_BYTES: Final = 4 * MOST_LINE_BYTES


def in_words(error: OSError, path: Path) -> str:
    """Why a file cannot be used, for example `/var/journal.jsonl: no space left on device`."""
    return f"{error.filename or path}: {(error.strerror or str(error)).lower()}"


class JournalPart(NamedTuple):
    """The lines of a file from a whole snapshot of this version up to the next."""

    file: Path
    offset: int
    size: int
    at: float
    version: SnapshotVersion


class Scan:
    """What is found in one file of a journal, from one place up to another, without reading its
    snapshots: parts, the link of the first line, the hash of the last one, and what is wrong, in
    words.
    """

    def __init__(self, file: Path, begin: int = 0, end: int = sys.maxsize) -> None:
        self.file = file
        self.begin = begin
        self.parts: list[JournalPart] = []
        self.notes: list[str] = []
        self.error = ""
        self.first_link = ""
        self.last_hash = ""
        self._is_chained = False
        try:
            with file.open("rb", _BUFFER_BYTES) as opened:
                self.parts += self._parts_of(opened, end)
        except OSError as error:
            self.error = in_words(error, file)

    @classmethod
    def of_end(cls, file: Path) -> Scan:
        """From the last key frame on, else of all the file: so a long one is seen at once."""
        with suppress(OSError):
            scan = cls(file, _last_key_frame(file))
            if scan.parts:
                return scan
        return cls(file)

    @cached_property
    def first_line(self) -> int:
        """The number of the first line."""
        return line_at(self.file, self.begin)

    def _parts_of(self, opened: BinaryIO, end: int) -> Iterator[JournalPart]:
        """The parts of the file, found by how their first lines begin."""
        begun: JournalPart | None = None
        if self.begin:
            opened.seek(self.begin)
        offset, number, name = self.begin, 0, self.file.name
        while offset < end and (line := opened.readline(MOST_LINE_BYTES)):
            number += 1
            if not line.endswith(b"\n"):
                at = self.first_line + number - 1
                if len(line) == MOST_LINE_BYTES:
                    self.notes.append(
                        f"line {at} of {name} is longer than {MOST_LINE_BYTES:,} bytes:"
                        " left out, with all that follows"
                    )
                else:
                    self.notes.append(f"the last line of {name}, {at}, is torn: left out")
                break
            self._check_link(line, number)
            start = line_start(line)
            if start is not None and not start.version.is_readable:
                self.notes.append(f"{name} {words_for_journal(start.version)}")
            is_too_large = begun is not None and offset - begun.offset > _MOST_PART_BYTES
            if start is not None or is_too_large:
                if begun is not None:
                    yield begun._replace(size=offset - begun.offset)
                begun = None
                if start is not None and start.version.is_readable:
                    begun = JournalPart(self.file, offset, 0, start.at, start.version)
            elif begun is None and not offset:
                text = clean(line[:60].decode("utf-8", "replace"))
                self.notes.append(f"line 1 of {name} is no whole snapshot: {text}")
            offset += len(line)
        if begun is not None:
            yield begun._replace(size=offset - begun.offset)

    def _check_link(self, line: bytes, number: int) -> None:
        """Note a line that does not follow the one before; older versions wrote no hashes."""
        before, self.last_hash = self.last_hash, hash_of(line)
        link = link_of(line)
        self._is_chained |= bool(link)
        if number == 1:
            self.first_link = link
        elif before and self._is_chained and link != before:
            self.last_hash = ""  # the next line is the first of another chain
            self.notes.append(not_following(self.first_line + number - 1, self.file))

    def follows(self, before: Scan) -> bool:
        """Whether the first line follows the last one of this file, as far as they are linked."""
        is_linked = self.first_link or before._is_chained
        return not (is_linked and before.last_hash and self.first_link != before.last_hash)


def _last_key_frame(file: Path) -> int:
    """Where the last key frame of the file begins, 0 if that is its first line or if none is
    found. Raises OSError.
    """
    begins = b"\n" + KEY_FRAME
    with file.open("rb") as opened:
        before = opened.seek(0, os.SEEK_END)
        while before > 0:
            # what begins in this piece and ends in the next one is found, too
            end, before = before + len(begins), max(before - _BUFFER_BYTES, 0)
            opened.seek(before)
            found = opened.read(end - before).rfind(begins)
            if found >= 0:
                return before + found + 1
    return 0


def line_at(file: Path, offset: int) -> int:
    """The number of the line that begins there; 1 in a file that is gone."""
    found = 1
    with suppress(OSError), file.open("rb") as opened:
        while piece := opened.read(min(_BUFFER_BYTES, offset - opened.tell())):
            found += piece.count(b"\n")
    return found


def not_following(number: int, file: Path) -> str:
    """That lines are missing in front of this one, in words."""
    return (
        f"line {number} of {file.name} does not follow the line before it: lines were changed,"
        " removed or put in there"
    )
