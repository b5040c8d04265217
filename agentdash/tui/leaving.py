"""The dashboard's end: leaving, suspending, and the newest snapshot that waits to be drawn."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from agentdash.tui import figures
from agentdash.tui.actions import key_name

if TYPE_CHECKING:
    from agentdash.tui.app import Dashboard
    from controller.model.snapshot import Snapshot

TWICE_WITHIN_S: Final = 4.0
"""How long a question in the last line waits for the key to be pressed again."""


class Leaving:
    """`stops` gives the newest snapshot of the controller that ends with this process, if any."""

    def __init__(self, app: Dashboard, stops: Callable[[], Snapshot | None]) -> None:
        self._app = app
        self._stops = stops
        self.asked_at = float("-inf")
        self._suspended_at: float | None = None

    def leave(self, key: str = "") -> None:
        """Quit. Where that stops a controller that writes, the key must be pressed again within a
        few seconds, where the question can be read. Without a key, a person has written the
        command, which is no slip.
        """
        stops = self._stops()
        writes = stops is not None and stops.role.writes
        if not key or stops is None or not writes or self.asks:
            self._app.exit()
            return
        key = self._app.keys.key_of("leave") if key == "ctrl-q" else key
        pools = figures.amount(len(stops.pools), "pool")
        self._app.flash(f"leaving stops the controller of {pools}: {key} again")
        self.asked_at = time.monotonic()

    @property
    def asks(self) -> bool:
        """Whether the question can be read now."""
        return time.monotonic() - self.asked_at <= TWICE_WITHIN_S

    def is_answer(self, key: str) -> bool:
        """Whether the question can be read, and this is a key that leaves."""
        leaves = (*map(self._app.keys.key_of, ("back", "leave")), "ctrl-c", "ctrl-q")
        return self.asks and key_name(key) in leaves

    def withdraw_question(self) -> None:
        """The question whether to leave is no longer on the screen: the next key asks it again."""
        self.asked_at = float("-inf")

    def suspend(self) -> None:
        """Give the terminal back to the shell until `fg`. Everything in this process stops."""
        if os.getsid(0) == os.getpgrp():
            # no shell could continue us: Textual would stop this process for good
            self._app.flash("no shell is behind this terminal to suspend to")
            return
        self._suspended_at = self._app.now
        # as the terminal's own ctrl-z: to the whole job, so that the shell notices
        os.killpg(0, signal.SIGTSTP)

    def resumed(self) -> None:
        """After `fg`: the shell has written on the screen, and time has passed."""
        self._app.action_redraw()
        self._app.draw()
        if self._suspended_at is not None:
            stopped = figures.age(self._app.now - self._suspended_at)
            self._suspended_at = None
            too = ", and the controller with it" if self._stops() is not None else ""
            self._app.flash(f"was suspended for {stopped}{too}")


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
