"""Passes snapshots to subscribers; only the latest is kept, and the publisher never waits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from controller.model.snapshot import Snapshot

log = logging.getLogger(__name__)


class Hub:
    """The newest snapshot and its subscribers; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: Snapshot | None = None
        self._subscribers: dict[int, Callable[[Snapshot], None]] = {}
        self._next_id = 0
        self._earlier: tuple[Snapshot, ...] = ()

    def publish(self, snapshot: Snapshot) -> None:
        """Store the snapshot and call the subscribers; one that raises is logged and removed."""
        with self._lock:
            self._latest = snapshot
            subscribers = list(self._subscribers.items())
        for number, callback in subscribers:
            try:
                callback(snapshot)
            except Exception:  # an error in a subscriber must not stop the loop
                log.exception("a subscriber failed and gets no more snapshots")
                self._drop(number)

    def latest(self) -> Snapshot | None:
        """The newest snapshot; None before the first."""
        with self._lock:
            return self._latest

    def remember(self, earlier: tuple[Snapshot, ...]) -> None:
        """These were before the first that was published, the oldest first."""
        with self._lock:
            self._earlier = earlier

    def earlier(self) -> tuple[Snapshot, ...]:
        """What another process remembers of the time before the first, the oldest first."""
        with self._lock:
            return self._earlier

    def subscribe(self, callback: Callable[[Snapshot], None]) -> Callable[[], None]:
        """Call back with each snapshot, on the publisher's thread; returns a function that ends
        the subscription.
        """
        with self._lock:
            number = self._next_id
            self._next_id += 1
            self._subscribers[number] = callback
        return lambda: self._drop(number)

    def _drop(self, number: int) -> None:
        with self._lock:
            self._subscribers.pop(number, None)
