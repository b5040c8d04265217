"""Real fakes of what outlives a process: memory and intents that a test reads, sets and breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable

from msgspec.structs import replace

from controller.model.ids import QueueName
from controller.model.intents import Intents, Scope, StoredIntents
from controller.model.memory import Memory, QueueMark, SavedMemory
from controller.model.snapshot import Snapshot
from controller.ports import Clock, StoreError


class FakeMemories:
    """What was saved, and when; `error` is raised by all, `gate` holds a save until it is set."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock
        self.kept: SavedMemory | None = None
        self.error: StoreError | None = None
        self.gate: asyncio.Event | None = None
        self.load_gate: asyncio.Event | None = None
        self.saves: list[float] = []

    async def load(self) -> SavedMemory | None:
        if self.load_gate is not None:
            await self.load_gate.wait()
        if self.error is not None:
            raise self.error
        return self.kept

    async def save(self, memory: Memory, now: float) -> None:
        self.saves.append(now)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.kept = SavedMemory(memory=memory, saved_at=now)

    async def seen(self, *, is_partial: bool) -> None:
        if self.error is not None:
            raise self.error
        if self.kept is not None:
            now = self.kept.saved_at if self._clock is None else self._clock.now()
            self.kept = replace(self.kept, saved_at=now, is_partial=is_partial)


class FakeHistories:
    """Where queues stand in their histories, as a test sets it; `given` is what was handed over."""

    def __init__(self) -> None:
        self.known: dict[QueueName, QueueMark] = {}
        self.given: list[QueueMark] = []
        self.milestones = 0

    def marks(self, queues: Iterable[QueueName]) -> tuple[QueueMark, ...]:
        return tuple(self.known[queue] for queue in queues if queue in self.known)

    def go_on_from(self, marks: Iterable[QueueMark]) -> None:
        self.given += marks


class FakeSnapshots:
    """The last snapshot that was saved; `error` is raised by all, `load_error` by a load alone."""

    def __init__(self) -> None:
        self.kept: Snapshot | None = None
        self.error: StoreError | None = None
        self.load_error: StoreError | None = None
        self.saves = 0

    async def load(self) -> Snapshot | None:
        error = self.error or self.load_error
        if error is not None:
            raise error
        return self.kept

    async def save(self, snapshot: Snapshot) -> None:
        if self.error is not None:
            raise self.error
        self.kept = snapshot
        self.saves += 1


class FakeIntents:
    """Intents that a test sets."""

    def __init__(self) -> None:
        self.now = StoredIntents(read=True)
        self._callback: Callable[[Collection[Scope]], None] = lambda _: None

    def stored(self) -> StoredIntents:
        return self.now

    async def first_read(self) -> None:
        return

    def on_change(self, callback: Callable[[Collection[Scope]], None]) -> None:
        self._callback = callback

    def set(self, intents: Intents, *concerned: Scope) -> None:
        """Operators ask for this now; who follows is told what it concerns."""
        self.now = StoredIntents(intents=intents, read=True)
        self._callback(concerned)
