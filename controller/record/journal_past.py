"""Reads a journal: the moment at a time, and the ones before and after it.

The files are indexed by their whole snapshots. To see a moment, only the lines from the whole
snapshot before it are read.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from controller.model.snapshot import Snapshot
from controller.model.text import clean
from controller.ports import PastMoment, Place
from controller.record.chain import hash_of, link_of, without_link
from controller.record.frames import (
    MOST_LINE_BYTES,
    ReadSnapshot,
    SnapshotVersion,
    UnreadableLineError,
    line_start,
    read_line,
    words_for_journal,
)
from controller.record.journal_files import JournalError, earlier_files, in_words

_READ_KEPT: Final = 4
_BUFFER_BYTES: Final = 2**20
_MOST_NOTES: Final = 100
_MOST_PART_BYTES: Final = 4 * MOST_LINE_BYTES


class _Part(NamedTuple):
    """The lines of a file from a whole snapshot of this version up to the next; `line` is the
    first's number.
    """

    file: Path
    offset: int
    size: int
    line: int
    at: float
    version: SnapshotVersion


class JournalPast:
    """The moments of a journal, the one that is written now and its earlier files."""

    def __init__(self, path: Path) -> None:
        """Raises JournalError for a file that cannot be read or is no journal."""
        self._notes: list[str] = []
        self._read: OrderedDict[int, list[ReadSnapshot]] = OrderedDict()
        self._parts: list[_Part] = []
        self._last_hash, self._is_chained = "", False
        for file in (*earlier_files(path), path):
            try:
                with file.open("rb", _BUFFER_BYTES) as opened:
                    self._parts += self._parts_of(file, opened)
            except OSError as error:
                raise JournalError(in_words(error, file)) from error
        # after the clock was set back, times are found up to where it was
        self._times = list(accumulate((part.at for part in self._parts), max))
        if self.last() is None:
            because = f": {self._notes[0]}" if self._notes else ""
            raise JournalError(f"{path} is no journal, or has no snapshot{because}")

    def notes(self) -> tuple[str, ...]:
        """What could not be read, in words."""
        return tuple(self._notes)

    def last(self) -> PastMoment | None:
        """The end of the journal."""
        return next(self._backwards((len(self._parts), 0), changed=False), None)

    def at(self, at: float) -> PastMoment | None:
        """The last moment at this time or before it (Unix seconds), else the first of all."""
        index = max(bisect_right(self._times, at) - 1, 0)
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
        first = next(self._forwards((0, -1), changed=False), None)
        at_first = first is None or first.place >= place
        return next(self._backwards(place, changed=True), None if at_first else first)

    def after(self, place: Place) -> PastMoment | None:
        """The change after this place, else the last moment; None at the last."""
        last = self.last()
        at_last = last is None or last.place <= place
        return next(self._forwards(place, changed=True), None if at_last else last)

    def _backwards(self, place: Place, *, changed: bool) -> Iterator[PastMoment]:
        index, number = place
        while index >= 0:
            moments = self._moments(index) if index < len(self._parts) else []
            for each in range(min(number, len(moments)) - 1, -1, -1):
                if moments[each].changed or not changed:
                    yield PastMoment((index, each), moments[each].snapshot)
            index, number = index - 1, sys.maxsize

    def _forwards(self, place: Place, *, changed: bool) -> Iterator[PastMoment]:
        index, number = place
        while index < len(self._parts):
            moments = self._moments(index)
            for each in range(number + 1, len(moments)):
                if moments[each].changed or not changed:
                    yield PastMoment((index, each), moments[each].snapshot)
            index, number = index + 1, -1

    def _moments(self, index: int) -> list[ReadSnapshot]:
        if not 0 <= index < len(self._parts):
            return []
        if index in self._read:
            self._read.move_to_end(index)
            return self._read[index]
        moments = self._read[index] = list(self._read_part(self._parts[index]))
        while len(self._read) > _READ_KEPT:
            self._read.popitem(last=False)
        return moments

    def _read_part(self, part: _Part) -> Iterator[ReadSnapshot]:
        """The moments of a part, up to the first line that cannot be read."""
        try:
            with part.file.open("rb") as opened:
                opened.seek(part.offset)
                data = opened.read(part.size)
        except OSError as error:
            self._note(in_words(error, part.file))
            return
        before: Snapshot | None = None
        for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), part.line):
            try:
                moment = read_line(without_link(line), before, part.version)
            except UnreadableLineError as error:
                self._note(
                    f"line {number} of {part.file.name} {error}: left out, with what follows up to"
                    " the next whole snapshot"
                )
                return
            before = moment.snapshot
            yield moment

    def _parts_of(self, file: Path, opened: BinaryIO) -> Iterator[_Part]:
        """The parts of a file, found by how their first lines begin."""
        begun: _Part | None = None
        offset, number = 0, 0
        while line := opened.readline(MOST_LINE_BYTES):
            number += 1
            if not line.endswith(b"\n"):
                if len(line) == MOST_LINE_BYTES:
                    self._note(
                        f"line {number} of {file.name} is longer than {MOST_LINE_BYTES:,} bytes:"
                        " left out, with all that follows"
                    )
                else:
                    self._note(f"the last line of {file.name}, {number}, is torn: left out")
                break
            self._check_link(line, number, file)
            start = line_start(line)
            if start is not None and not start.version.is_readable:
                self._note(f"{file.name} {words_for_journal(start.version)}")
            is_too_large = begun is not None and offset - begun.offset > _MOST_PART_BYTES
            if start is not None or is_too_large:
                if begun is not None:
                    yield begun._replace(size=offset - begun.offset)
                begun = None
                if start is not None and start.version.is_readable:
                    begun = _Part(file, offset, 0, number, start.at, start.version)
            elif begun is None and number == 1:
                self._note(
                    f"line 1 of {file.name} is no whole snapshot:"
                    f" {clean(line[:60].decode('utf-8', 'replace'))}"
                )
            offset += len(line)
        if begun is not None:
            yield begun._replace(size=offset - begun.offset)

    def _check_link(self, line: bytes, number: int, file: Path) -> None:
        """Note a line that does not follow the one before it. What an older version wrote carries
        no hashes.
        """
        before, self._last_hash = self._last_hash, hash_of(line)
        link = link_of(line)
        self._is_chained |= bool(link)
        if before and self._is_chained and link != before:
            self._last_hash = ""  # the next line is the first of another chain
            self._note(
                f"line {number} of {file.name} does not follow the line before it: lines were"
                " changed, removed or put in there"
            )

    def _note(self, text: str) -> None:
        if text not in self._notes and len(self._notes) < _MOST_NOTES:
            self._notes.append(clean(text))
