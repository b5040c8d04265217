"""Passes snapshots from the engine's thread to the screen. Only the newest one is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable

from controller.model.snapshot import Snapshot


class Mailbox:
    """Holds at most one snapshot, and calls `notify` at most once until that snapshot is taken.

    `notify` is called on the publisher's thread. It must be fast and safe to call there.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._lock = threading.Lock()
        self._waiting: Snapshot | None = None

    def put(self, snapshot: Snapshot) -> None:
        """Replace the waiting snapshot. The reader is notified only if none was waiting."""
        with self._lock:
            notified = self._waiting is not None
            self._waiting = snapshot
        if not notified:
            self._notify()

    def take(self) -> Snapshot | None:
        """Take the waiting snapshot out; None if there is none."""
        with self._lock:
            snapshot, self._waiting = self._waiting, None
        return snapshot
