"""Writes each snapshot of a controller into the journal, beside the loop and never in its way."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final

from controller.model.snapshot import Snapshot
from controller.ports.clock import Clock
from controller.record.journal_files import JournalError, JournalFiles
from controller.record.journal_lines import change_line, whole_line

log = logging.getLogger(__name__)

_MOST_WAITING: Final = 64
"""So many snapshots wait for a slow disk; after them, the oldest are left out."""
_WHOLE_EVERY_S: Final = 300.0
_WHOLE_AFTER_BYTES: Final = 8 * 2**20
"""A whole snapshot is written after so much time, or after changes of so many bytes and of twice
the size of the last whole one. So a moment is found quickly, however busy the fleet is.
"""
_TELL_S: Final = 60.0
_FINISH_S: Final = 5.0


class JournalWriter:
    """Takes snapshots on the loop, and writes them in a thread of its own.

    What cannot be written is left out: `problem` says why. The journal goes on as soon as it can.
    """

    def __init__(self, files: JournalFiles, clock: Clock) -> None:
        self._files = files
        self._clock = clock
        self._waiting: deque[Snapshot] = deque()
        self._wake = asyncio.Event()
        self._ending = False
        self._written: Snapshot | None = None
        self._whole_at = 0.0
        self._whole_bytes = 0
        self._bytes_since = 0
        self._problem: str | None = None
        self._left_out = 0
        self._told_until = 0.0

    def offer(self, snapshot: Snapshot) -> None:
        """Have it written. Called on the loop of `recording`; never waits."""
        if len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft()
            self._left_out += 1
            self._told_until = self._clock.monotonic() + _TELL_S
        self._waiting.append(snapshot)
        self._wake.set()

    def down(self) -> str | None:
        """Why nothing can be written now, in words; None if the last line was written."""
        return self._problem

    def problem(self) -> str | None:
        """Why snapshots are missing in the journal, in words; None while all are written."""
        if self._problem is not None:
            return self._problem
        if self._clock.monotonic() < self._told_until:
            return f"the disk is too slow, {self._left_out} snapshots were left out"
        return None

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[None]:
        """Write while inside; at the end, what waits is written within a few seconds. It begins by
        opening the file, so that a journal that is `down` is known from the start.
        """
        with_thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        loop = asyncio.get_running_loop()
        self._tell(await loop.run_in_executor(with_thread, self._open))
        task = asyncio.create_task(self._run(with_thread), name="journal")
        try:
            yield
        finally:
            self._ending = True
            self._wake.set()
            try:
                async with asyncio.timeout(_FINISH_S):
                    await task
            except TimeoutError:
                log.warning("the journal's last snapshots were not written in time")
            with_thread.shutdown(wait=False)

    async def _run(self, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting or not self._ending:
            if not self._waiting:
                await self._wake.wait()
                self._wake.clear()
                continue
            snapshot = self._waiting.popleft()
            problem = await loop.run_in_executor(thread, self._write, snapshot)
            self._tell(problem)
        await loop.run_in_executor(thread, self._close)

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
        before = self._written
        try:
            if self._files.is_new(snapshot.at) or before is None or self._is_whole_due(snapshot):
                line = whole_line(snapshot, before)
                self._files.append(line, snapshot.at, to_disk=_has_acted(before, snapshot))
                self._whole_at, self._whole_bytes = snapshot.at, len(line)
                self._bytes_since = 0
            else:
                line = change_line(before, snapshot)
                self._files.append(line, snapshot.at, to_disk=_has_acted(before, snapshot))
                self._bytes_since += len(line)
        except JournalError as error:
            return str(error)
        self._written = snapshot
        return None

    def _is_whole_due(self, snapshot: Snapshot) -> bool:
        before = self._written
        return (
            before is None
            or before.epoch != snapshot.epoch
            or not 0 <= snapshot.at - self._whole_at < _WHOLE_EVERY_S
            or self._bytes_since >= max(_WHOLE_AFTER_BYTES, 2 * self._whole_bytes)
        )

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
