"""What is shown of what came in: the newest snapshot, or the one that a person froze. Pure."""

from __future__ import annotations

from dataclasses import replace

from agentdash.tui.glyphs import Glyphs
from agentdash.tui.view import Scene, is_newer, pool_rows, totals
from controller.model.snapshot import Snapshot


class Stage:
    """Takes snapshots, refuses older ones, and keeps the scene that is drawn."""

    def __init__(self, title: str, started_at: float, glyphs: Glyphs) -> None:
        self.scene = Scene(title, started_at, started_at, glyphs=glyphs)
        self._newest: Snapshot | None = None
        self._held_back: int | None = None

    def accept(self, snapshot: Snapshot) -> bool:
        """Show it, or count it while the view is frozen; False for one that is older."""
        if not is_newer(snapshot, self._newest):
            return False
        self._newest = snapshot
        if self._held_back is None or self.scene.snapshot is None:
            self._show(snapshot)
        else:
            self._held_back += 1
        return True

    def toggle_freeze(self) -> None:
        """Hold the view still, or go on with what came meanwhile."""
        if self._held_back is None:
            self._held_back = 0
            return
        self._held_back = None
        if self._newest is not None and self._newest is not self.scene.snapshot:
            self._show(self._newest)

    def refresh(self, now: float, trouble: str | None) -> Scene:
        """The scene as of now; ages and banners follow from it."""
        self.scene = replace(
            self.scene,
            now=now,
            trouble=trouble,
            held_back=self._held_back,
            news_at=None if self._newest is None else self._newest.at,
        )
        return self.scene

    def _show(self, snapshot: Snapshot) -> None:
        rows = pool_rows(snapshot, self.scene.snapshot)
        self.scene = replace(self.scene, snapshot=snapshot, rows=rows, totals=totals(rows))
