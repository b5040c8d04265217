"""A real fake of the lease: one record in memory, with faults that a test orders."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from controller.model.settings import LeaseRecord, SeenLease
from controller.ports import StoreAwayError, StoreConflictError, StoreError


class FakeLease:
    """`error` is raised by all; `lost_replies` so many writes happen, but have no answer; `gate`
    holds a request until it is set. `damage` and `delete` are what people do to it.
    """

    name = "the lease"

    def __init__(self) -> None:
        self._version = itertools.count(1)
        self._watchers: list[Callable[[], None]] = []
        self.now: SeenLease | None = None
        self.error: StoreError | None = None
        self.lost_replies = 0
        self.gate: asyncio.Event | None = None
        self.silent = False
        self.requests: list[str] = []
        self.records: list[LeaseRecord] = []

    async def read(self) -> SeenLease | None:
        await self._request("read")
        return self.now

    async def write(self, record: LeaseRecord, *, replaces: SeenLease | None) -> SeenLease:
        await self._request("write")
        standing = None if self.now is None else self.now.version
        if standing != (None if replaces is None else replaces.version):
            raise StoreConflictError(f"{self.name} was changed by another process")
        self.records.append(record)
        stored = self.damage(
            holder=record.holder,
            duration_s=record.duration_s,
            transitions=record.transitions,
            stamp=f"{record.acquired_at} {record.renewed_at}",
        )
        if self.lost_replies > 0:
            self.lost_replies -= 1
            raise StoreAwayError(f"{self.name}: no answer")
        return stored

    async def watch(self, on_change: Callable[[], None]) -> None:
        self._watchers.append(on_change)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._watchers.remove(on_change)

    def damage(
        self, holder: str = "", duration_s: float = 0.0, transitions: int = 0, stamp: str = ""
    ) -> SeenLease:
        """This is stored now."""
        self.now = SeenLease(
            holder=holder,
            duration_s=duration_s,
            transitions=transitions,
            stamp=stamp,
            version=str(next(self._version)),
        )
        self._tell()
        return self.now

    def delete(self) -> None:
        self.now = None
        self._tell()

    def _tell(self) -> None:
        if not self.silent:
            for watcher in self._watchers:
                watcher()

    async def _request(self, kind: str) -> None:
        self.requests.append(kind)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
