"""Snapshots for those who show them, now and of the past."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from controller.model.snapshot import Snapshot


class Feed(Protocol):
    """Passes snapshots to subscribers; only the latest is kept, and the publisher never waits."""

    def latest(self) -> Snapshot | None:
        """The newest snapshot; None before the first."""
        ...

    def subscribe(self, callback: Callable[[Snapshot], None]) -> Callable[[], None]:
        """Call back with each snapshot, on the publisher's thread; returns a function that ends
        the subscription.
        """
        ...


class Journal(Protocol):
    """Keeps each snapshot in a file."""

    def problem(self) -> str | None:
        """Why snapshots are missing in it, in words; None while all are written."""
        ...

    def down(self) -> str | None:
        """Why nothing can be written into it now, in words; None if the last line was written."""
        ...


Place: TypeAlias = tuple[int, int]
"""Where a moment is in its past; later moments have larger ones."""


class PastMoment(NamedTuple):
    """A snapshot of the past, and where it is there."""

    place: Place
    snapshot: Snapshot


class Past(Protocol):
    """The snapshots of earlier moments."""

    def last(self) -> PastMoment | None:
        """The newest moment; None without any."""
        ...

    def at(self, at: float) -> PastMoment | None:
        """The last moment at this time or before it (Unix seconds), else the first of all."""
        ...

    def before(self, place: Place) -> PastMoment | None:
        """The change before this place, else the first moment; None at the first."""
        ...

    def after(self, place: Place) -> PastMoment | None:
        """The change after this place, else the last moment; None at the last."""
        ...

    def notes(self) -> Sequence[str]:
        """What could not be read, in words."""
        ...
