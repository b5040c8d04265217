"""Where memory and intents are kept, and how that fails."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from controller.model.audit import StandingIntent
from controller.model.intents import Scope
from controller.model.memory import Memory
from controller.model.snapshot import Snapshot
from controller.model.stored import SavedMemory, ShownPast, StoredIntents


class StoreError(Exception):
    """Stored data cannot be read or written; the message may be shown to users.

    StoreError
    ├── StoreAwayError       no answer: a write may or may not have happened
    ├── StoreRefusedError    our user may not do this: nothing was written
    ├── StoreMissingError    the store was never created
    ├── StoreUnreadableError what it holds cannot be understood
    ├── UndoRefusedError     the change cannot be taken back: nothing was written
    └── StoreConflictError   another process has written since we read
        └── IntentConflictError  another operator was first
    """


class StoreAwayError(StoreError):
    """There is no usable answer: a write may or may not have happened."""


class StoreRefusedError(StoreError):
    """Our user may not do this: nothing was written."""


class StoreMissingError(StoreError):
    """The store was never created."""


class StoreUnreadableError(StoreError):
    """What the store holds cannot be understood."""


class StoreConflictError(StoreError):
    """Another process has written since we read."""


class IntentConflictError(StoreConflictError):
    """Another operator was first: the message says who, when and why. `standing` is what is asked
    for now; None if it was taken back, or cannot be read. `revision` is what to replace.
    """

    def __init__(self, words: str, *, standing: StandingIntent | None, revision: int) -> None:
        super().__init__(words)
        self.standing = standing
        self.revision = revision


class UndoRefusedError(StoreError):
    """A change cannot be taken back: the message says why."""


class MemoryStore(Protocol):
    """Stores the planner's memory beyond restarts."""

    async def load(self) -> SavedMemory | None:
        """The last saved memory, complete; None if none was ever saved. Raises StoreError."""
        ...

    async def save(self, memory: Memory, now: float) -> None:
        """Replace the saved memory, as a whole or not at all; `now` is Unix seconds. Raises
        StoreError.
        """
        ...


class PastStore(Protocol):
    """Stores what people have seen of the fleet beyond restarts."""

    async def load(self) -> tuple[ShownPast, ...]:
        """What was saved last, in parts that each stand for themselves. Raises StoreError."""
        ...

    async def save(self, past: ShownPast) -> None:
        """Replace what was saved. Raises StoreError."""
        ...


class SnapshotStore(Protocol):
    """Stores the last snapshot beyond the end of the process."""

    async def load(self) -> Snapshot | None:
        """The last one that was saved; None if there is none. Raises StoreError."""
        ...

    async def save(self, snapshot: Snapshot) -> None:
        """Replace it, as a whole or not at all. Raises StoreError."""
        ...


class IntentStore(Protocol):
    """Operators' intents, kept up to date as they change."""

    def stored(self) -> StoredIntents:
        """The intents as far as they are known now."""
        ...

    async def first_read(self) -> None:
        """Return when the intents have been read for the first time."""
        ...

    def on_change(self, callback: Callable[[Collection[Scope]], None]) -> None:
        """Call back on the event loop with the scopes whose intents came, went or changed."""
        ...
