"""A journal's files: the one that is written, the ones before it by age and size, and the moments
that are read from them. The files are indexed by their key frames: to see a moment, only the lines
from the one before it are read.

JournalError    the files cannot be written or read
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import sys
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from glob import escape
from itertools import accumulate
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Final

from controller.model.settings import JournalSettings
from controller.model.snapshot import Snapshot
from controller.model.text import clean
from controller.ports import Clock, PastMoment, Place
from controller.record.chain import (
    Backlog,
    Chain,
    DiskThread,
    Encoder,
    JournalPart,
    Scan,
    hash_of,
    hash_of_last_line,
    in_words,
    line_at,
    linked,
    not_following,
    without_link,
)
from controller.record.frames import (
    ReadSnapshot,
    UnreadableLineError,
    read_line,
)

_PARTS: Final = 8
"""The journal is kept in about so many files, and is cut by whole files."""
_WHOLES_IN_A_FILE: Final = 4
_NAME_OF_TIME: Final = "%Y%m%dT%H%M%S.%fZ"
_MODE: Final = 0o640


log = logging.getLogger(__name__)


class JournalError(Exception):
    """The files cannot be written or read; the text says why, and is for users."""


class JournalFiles:
    """Appends lines to the file of `settings.path`. When it is old or large enough, the file gets
    the time of its last line in its name, and those that are too old or too many go.

    `write` is `os.write`. All methods block.
    """

    def __init__(
        self, settings: JournalSettings, *, write: Callable[[int, bytes], int] = os.write
    ) -> None:
        self._path = Path(settings.path)
        self._keep_s = settings.keep_s
        self._most_bytes = settings.max_bytes
        self._write = write
        self._descriptor: int | None = None
        self._size = 0
        self._first_line = 0
        self._began = 0.0
        self._last = 0.0
        self._last_hash = ""

    def is_new(self, at: float) -> bool:
        """Open a file for this time; True: it is empty, a key frame is due. Raises JournalError."""
        with _in_words(self._path):
            if self._descriptor is not None and not self._is_there():
                log.warning("the journal was moved or deleted", extra={"file": str(self._path)})
                self.close()
            if self._descriptor is not None and self._is_full(at):
                self._end_file()
            if self._descriptor is None:
                self._begin_file(at)
        return not self._size

    def append(self, line: bytes, at: float, *, to_disk: bool) -> None:
        """Write one line with the hash of the one before it; `to_disk` waits until the disk has it.
        A line that cannot be written as a whole is taken back. Raises JournalError.
        """
        if self._descriptor is None:
            raise JournalError(f"{self._path} is not open")
        line = linked(line, self._last_hash)
        rest = memoryview(line)
        with _in_words(self._path):
            try:
                while rest:
                    rest = rest[self._write(self._descriptor, bytes(rest)) :]
            except OSError:
                self._take_back()
                raise
            self._size += len(line)
            self._last_hash = hash_of(line)
            self._first_line = self._first_line or len(line)
            self._last = at
            if to_disk:
                os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; the next process puts it beside."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            with _in_words(self._path):
                os.close(descriptor)

    def _is_there(self) -> bool:
        """Whether the path is still that of the open file; else nobody would find its lines."""
        try:
            return os.path.samestat(os.fstat(self._descriptor or 0), self._path.stat())
        except FileNotFoundError:
            return False

    def _is_full(self, at: float) -> bool:
        most = max(self._most_bytes // _PARTS, _WHOLES_IN_A_FILE * self._first_line)
        return bool(self._size) and (
            self._size >= most or at - self._began >= self._keep_s / _PARTS
        )

    def _begin_file(self, at: float) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = self._open_alone()
        try:
            found = os.fstat(descriptor)
            if found.st_size:  # of a process before this one: its last line may be torn
                self._last_hash = self._last_hash or hash_of_last_line(self._path)
                self._put_beside(found.st_mtime)
                os.close(descriptor)
                descriptor = self._open_alone()
            self._remove_old(at)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self._size, self._first_line, self._began = 0, 0, at

    def _open_alone(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, _MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise JournalError(f"another process writes {self._path}") from None
        return descriptor

    def _end_file(self) -> None:
        self._put_beside(self._last)
        self.close()

    def _put_beside(self, at: float) -> None:
        moment = datetime.fromtimestamp(at, UTC)
        while (beside := _beside(self._path, moment)).exists():
            moment += timedelta(microseconds=1)
        self._path.rename(beside)

    def _remove_old(self, at: float) -> None:
        files = earlier_files(self._path)
        total = sum(file.stat().st_size for file in files)
        room = self._most_bytes - self._most_bytes // _PARTS
        for file in files:
            ended = ended_at(self._path, file)
            if total <= room and ended is not None and at - ended <= self._keep_s:
                return
            if ended is not None and at - ended <= self._keep_s:
                held = {"file": str(file), "holds_s": round(at - ended), "keep_s": self._keep_s}
                log.warning("the journal holds less than keep: max_bytes is full", extra=held)
            total -= file.stat().st_size
            file.unlink()

    def _take_back(self) -> None:
        """Cut off what was written of a line. Where that fails too, begin another file."""
        if self._descriptor is None:
            return
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            self._end_file()


def earlier_files(path: Path) -> list[Path]:
    """The files of this journal before the one that is written, the oldest first."""
    found = path.parent.glob(f"{escape(path.stem)}-*{escape(path.suffix)}")
    return sorted(file for file in found if ended_at(path, file) is not None)


def ended_at(path: Path, file: Path) -> float | None:
    """The time of its last line, from the file's name; None for a file of something else."""
    name = file.name.removeprefix(f"{path.stem}-").removesuffix(path.suffix)
    try:
        return datetime.strptime(name, _NAME_OF_TIME).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _beside(path: Path, moment: datetime) -> Path:
    return path.with_name(f"{path.stem}-{moment.strftime(_NAME_OF_TIME)}{path.suffix}")


@contextlib.contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JournalError(in_words(error, path)) from error


_FINISH_S: Final = 5.0
HUNG_S: Final = 5.0
"""A write that takes longer is a disk that hangs."""


class JournalWriter:
    """Takes snapshots on the loop, and writes them in a thread of its own.

    What cannot be written is left out: `problem` says why. The journal goes on as soon as it can.
    """

    def __init__(self, files: JournalFiles, clock: Clock, encoder: Encoder | None = None) -> None:
        self._files = files
        self._clock = clock
        self._backlog = Backlog(clock)
        self._chain = Chain(encoder)
        self._problem: str | None = None

    def offer(self, snapshot: Snapshot) -> None:
        """Have it written. Called on the loop of `recording`; never waits."""
        self._backlog.put(snapshot)

    def down(self) -> str | None:
        """Why nothing can be written now, in words; None if the last line was written."""
        return self._problem

    def problem(self) -> str | None:
        """Why snapshots are missing in the journal, in words; None while all are written."""
        if self._problem is not None:
            return self._problem
        if self._backlog.is_news:
            return f"the disk is too slow, {self._backlog.left_out} snapshots were left out"
        return None

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[None]:
        """Write while inside; at the end, what waits is written within a few seconds. It begins by
        opening the file, so that a journal that is `down` is known from the start.
        """
        with_thread = DiskThread()
        loop = asyncio.get_running_loop()
        opening = loop.run_in_executor(with_thread, self._open)
        await self._watch(opening)
        task = asyncio.create_task(self._run(with_thread, opening), name="journal")
        try:
            yield
        finally:
            self._backlog.end()
            try:
                async with asyncio.timeout(_FINISH_S):
                    await task
            except TimeoutError:
                log.warning("the journal's last snapshots were not written in time")
            with_thread.shutdown(wait=False)

    async def _run(self, thread: Executor, opening: asyncio.Future[str | None]) -> None:
        loop = asyncio.get_running_loop()
        self._tell(await opening)
        while (snapshot := await self._backlog.take()) is not None:
            writing = loop.run_in_executor(thread, self._write, snapshot)
            await self._watch(writing)
            self._tell(await writing)
        await loop.run_in_executor(thread, self._close)

    async def _watch(self, asked: asyncio.Future[str | None]) -> None:
        """Wait until the disk has answered; that it hangs is told."""
        if (await asyncio.wait({asked}, timeout=HUNG_S))[0]:
            self._tell(asked.result())
        else:
            self._tell(f"the disk hangs: no answer for {HUNG_S:g} s")

    def _tell(self, problem: str | None) -> None:
        if problem is not None and problem != self._problem:
            log.warning("the journal is not written", extra={"why": problem})
        self._problem = problem

    def _open(self) -> str | None:
        """Open the file in the thread; why it cannot be opened, in words."""
        try:
            self._files.is_new(self._clock.now())
        except JournalError as error:
            return str(error)
        return None

    def _write(self, snapshot: Snapshot) -> str | None:
        """Write it in the thread; why it cannot be written, in words."""
        before = self._chain.last
        try:
            is_new = self._files.is_new(snapshot.at)
            line = self._chain.line(snapshot, whole=is_new)
            self._files.append(line, snapshot.at, to_disk=_has_acted(before, snapshot))
        except JournalError as error:
            return str(error)
        self._chain.added(line, snapshot)
        return None

    def _close(self) -> None:
        try:
            self._files.close()
        except JournalError as error:
            log.warning("the journal was not closed", extra={"why": str(error)})


def _has_acted(before: Snapshot | None, after: Snapshot) -> bool:
    """Whether something was written to the cluster between the two."""
    known = before.loop if before is not None and before.epoch == after.epoch else None
    acts = after.loop.writes + after.loop.failed_writes
    return acts > (0 if known is None else known.writes + known.failed_writes)


_READ_KEPT: Final = 4
_MOST_NOTES: Final = 100


class JournalPast:
    """The moments of a journal. The file that is written now, or its end, is there at once; the
    rest is read beside, the newest first, and waited for where a moment of it is asked for.
    """

    def __init__(self, path: Path, *, end_first: bool = False) -> None:
        """With `end_first` no more than the last key frame and what follows is read at once. Raises
        JournalError for a file that cannot be read or is no journal.
        """
        self._notes: list[str] = []
        self._read: OrderedDict[int, list[ReadSnapshot]] = OrderedDict()
        self._parts: list[JournalPart] = []
        self._low = 0
        """The number of the first part; those of earlier files are below 0."""
        self._times: list[float] = []
        self._oldest = Scan.of_end(path) if end_first else Scan(path)
        if self._oldest.error:
            raise JournalError(self._oldest.error)
        self._add(self._oldest)
        self._low = 0
        self._earlier: Queue[Scan | None] = Queue()
        self._is_all = False
        # not before it is wanted: it would delay the first picture
        scan = partial(self._scan, path, self._oldest.begin)
        self._reader = Thread(target=scan, name="journal", daemon=True)
        newest = iter(()) if not self._parts else self._read_part(self._parts[-1])
        if next(newest, None) is None and self.last() is None:
            because = f": {self._notes[0]}" if self._notes else ""
            raise JournalError(f"{path} is no journal, or has no snapshot{because}")

    def notes(self) -> tuple[str, ...]:
        """What could not be read so far, in words."""
        while not self._is_all and not self._earlier.empty():
            self._has_earlier()
        return tuple(self._notes)

    def begins_at(self) -> float | None:
        """How far back it is read so far; None once all of it is. From now on it is read."""
        self._read_on()
        self.notes()
        return None if self._is_all or not self._times else self._times[0]

    def last(self) -> PastMoment | None:
        """The end of the journal."""
        end = self._low + len(self._parts)
        return next(self._backwards((end, 0), changed=False), None)

    def at(self, at: float) -> PastMoment | None:
        """The last moment at this time or before it (Unix seconds), else the first of all."""
        while (not self._times or self._times[0] > at) and self._has_earlier():
            continue
        index = self._low + max(bisect_right(self._times, at) - 1, 0)
        moments = self._moments(index)
        number = max(
            (number for number, each in enumerate(moments) if each.snapshot.at <= at), default=-1
        )
        if number >= 0:
            return PastMoment((index, number), moments[number].snapshot)
        earlier = next(self._backwards((index, 0), changed=False), None)
        return earlier or next(self._forwards((index, -1), changed=False), None)

    def before(self, place: Place) -> PastMoment | None:
        """The change before this place, else the first moment; None at the first."""
        found = next(self._backwards(place, changed=True), None)
        if found is not None:
            return found
        first = next(self._forwards((self._low, -1), changed=False), None)
        return None if first is None or first.place >= place else first

    def after(self, place: Place) -> PastMoment | None:
        """The change after this place, else the last moment; None at the last."""
        last = self.last()
        at_last = last is None or last.place <= place
        return next(self._forwards(place, changed=True), None if at_last else last)

    def _read_on(self) -> None:
        if self._reader.ident is None:
            self._reader.start()

    def _scan(self, path: Path, end: int) -> None:
        """Look through what is before the end; runs in a thread of its own."""
        earlier = reversed(earlier_files(path))
        if end:
            self._earlier.put(Scan(path, end=end))
        for file in earlier:
            self._earlier.put(Scan(file))
        self._earlier.put(None)

    def _has_earlier(self) -> bool:
        """Whether there is another earlier file; its parts are added, once it is read."""
        self._read_on()
        scan = None if self._is_all else self._earlier.get()
        if scan is None:
            self._is_all = True
            return False
        if not self._oldest.follows(scan):
            self._note(not_following(self._oldest.first_line, self._oldest.file))
        self._oldest = scan
        self._add(scan)
        return True

    def _add(self, scan: Scan) -> None:
        for note in (scan.error, *scan.notes):
            self._note(note)
        self._parts[:0] = scan.parts
        self._low -= len(scan.parts)
        # after the clock was set back, times are found up to where it was
        self._times = list(accumulate((part.at for part in self._parts), max))

    def _backwards(self, place: Place, *, changed: bool) -> Iterator[PastMoment]:
        index, number = place
        while index >= self._low or self._has_earlier():
            moments = self._moments(index)
            for each in range(min(number, len(moments)) - 1, -1, -1):
                if moments[each].changed or not changed:
                    yield PastMoment((index, each), moments[each].snapshot)
            # a file without parts moves nothing
            if index >= self._low:
                index, number = index - 1, sys.maxsize

    def _forwards(self, place: Place, *, changed: bool) -> Iterator[PastMoment]:
        index, number = place
        while index < self._low + len(self._parts):
            moments = self._moments(index)
            for each in range(number + 1, len(moments)):
                if moments[each].changed or not changed:
                    yield PastMoment((index, each), moments[each].snapshot)
            index, number = index + 1, -1

    def _moments(self, index: int) -> list[ReadSnapshot]:
        if not 0 <= index - self._low < len(self._parts):
            return []
        if index in self._read:
            self._read.move_to_end(index)
            return self._read[index]
        part = self._parts[index - self._low]
        moments = self._read[index] = list(self._read_part(part))
        while len(self._read) > _READ_KEPT:
            self._read.popitem(last=False)
        return moments

    def _read_part(self, part: JournalPart) -> Iterator[ReadSnapshot]:
        """The moments of a part, up to the first line that cannot be read."""
        try:
            with part.file.open("rb") as opened:
                opened.seek(part.offset)
                data = opened.read(part.size)
        except OSError as error:
            self._note(in_words(error, part.file))
            return
        before: Snapshot | None = None
        for number, line in enumerate(data.removesuffix(b"\n").split(b"\n")):
            try:
                moment = read_line(without_link(line), before, part.version)
            except UnreadableLineError as error:
                at = line_at(part.file, part.offset) + number
                self._note(
                    f"line {at} of {part.file.name} {error}: left out, with what follows up to"
                    " the next whole snapshot"
                )
                return
            before = moment.snapshot
            yield moment

    def _note(self, text: str) -> None:
        if text and text not in self._notes and len(self._notes) < _MOST_NOTES:
            self._notes.append(clean(text))
