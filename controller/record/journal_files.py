"""The files of a journal: the one that is written, and the ones before it, by age and size.

JournalError    the files cannot be written or read
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from controller.model.settings import JournalSettings
from controller.record.journal_chain import hash_of, linked

_PARTS: Final = 8
"""The journal is kept in about so many files, and is cut by whole files."""
_WHOLES_IN_A_FILE: Final = 4
_NAME_OF_TIME: Final = "%Y%m%dT%H%M%S.%fZ"
_MODE: Final = 0o640
_TAIL_BYTES: Final = 2**20
_ENDS_OF_TWO_LINES: Final = 2
"""A tail with so many line ends has the whole of the last line that has one."""


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
        """Have a file open for a line of this time (Unix seconds). True if it is empty, so that the
        line must be a whole snapshot. Raises JournalError.
        """
        with _in_words(self._path):
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
        with _in_words(self._path):
            try:
                _write_all(self._write, self._descriptor, line)
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


def hash_of_last_line(path: Path) -> str:
    """The hash of the last line that has an end; empty if there is none. Raises OSError."""
    with path.open("rb") as opened:
        at, tail = opened.seek(0, os.SEEK_END), b""
        while at > 0 and tail.count(b"\n") < _ENDS_OF_TWO_LINES:
            at = max(0, at - _TAIL_BYTES)
            opened.seek(at)
            tail = opened.read(_TAIL_BYTES) + tail if tail else opened.read()
    ended, end, _torn = tail.rpartition(b"\n")
    return hash_of(ended.rpartition(b"\n")[2] + end) if end else ""


def earlier_files(path: Path) -> list[Path]:
    """The files of this journal before the one that is written, the oldest first."""
    found = path.parent.glob(f"{_escaped(path.stem)}-*{_escaped(path.suffix)}")
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


def _escaped(text: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)


def _write_all(write: Callable[[int, bytes], int], descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[write(descriptor, bytes(rest)) :]


@contextlib.contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JournalError(in_words(error, path)) from error


def in_words(error: OSError, path: Path) -> str:
    """Why a file cannot be used, for example `/var/journal.jsonl: no space left on device`."""
    return f"{error.filename or path}: {(error.strerror or str(error)).lower()}"
