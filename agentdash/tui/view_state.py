"""Which snapshot is shown: the newest one, or the one that a person froze. No clock, no I/O."""

from __future__ import annotations

from dataclasses import replace

from agentdash.tui.glyphs import Glyphs
from agentdash.tui.view import Frame, is_newer, pool_rows, totals
from controller.model.snapshot import Snapshot


class ViewState:
    """Takes snapshots, ignores older ones, and keeps the frame that the screens are drawn from."""

    def __init__(self, started_at: float, glyphs: Glyphs) -> None:
        self.frame = Frame(started_at, started_at, glyphs=glyphs)
        self._newest: Snapshot | None = None
        self._waiting: int | None = None

    def accept(self, snapshot: Snapshot) -> bool:
        """Show the snapshot, or only count it while the view is frozen.

        Returns False for a snapshot that is not newer than the last one.
        """
        if not is_newer(snapshot, self._newest):
            return False
        self._newest = snapshot
        if self._waiting is None or self.frame.snapshot is None:
            self._show(snapshot)
        else:
            self._waiting += 1
        return True

    def toggle_freeze(self) -> None:
        """Freeze the view; or resume it and show the newest snapshot."""
        if self._waiting is None:
            self._waiting = 0
            return
        self._waiting = None
        if self._newest is not None and self._newest is not self.frame.snapshot:
            self._show(self._newest)

    def refresh(self, now: float, engine_error: str | None) -> Frame:
        """The frame as of now: ages and banners follow from it."""
        self.frame = replace(
            self.frame,
            now=now,
            engine_error=engine_error,
            waiting=self._waiting,
            newest_at=None if self._newest is None else self._newest.at,
        )
        return self.frame

    def _show(self, snapshot: Snapshot) -> None:
        shown = self.frame
        rows = pool_rows(snapshot, shown.rows)
        sums = totals(rows, shown.rows, shown.totals)
        self.frame = replace(shown, snapshot=snapshot, rows=rows, totals=sums)
