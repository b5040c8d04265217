"""Hands snapshots from the engine's thread to the screen: the newest waits, older ones go."""

from __future__ import annotations

import threading
from collections.abc import Callable

from controller.model.snapshot import Snapshot


class Mailbox:
    """Holds at most one snapshot and knocks at most once until it is taken.

    `knock` is called on the publisher's thread and must be quick and safe there.
    """

    def __init__(self, knock: Callable[[], None]) -> None:
        self._knock = knock
        self._lock = threading.Lock()
        self._waiting: Snapshot | None = None

    def put(self, snapshot: Snapshot) -> None:
        """Leave the newest; the reader is told once, however many come before it looks."""
        with self._lock:
            knocked = self._waiting is not None
            self._waiting = snapshot
        if not knocked:
            self._knock()

    def take(self) -> Snapshot | None:
        """The newest, once."""
        with self._lock:
            snapshot, self._waiting = self._waiting, None
        return snapshot
