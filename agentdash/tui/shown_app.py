"""A terminal app that draws frames into the top view, and says things in its last line: what the
parts of the dashboard stand on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from agentdash.tui.keymap import Keymap
from agentdash.tui.lines import Span, Tone
from agentdash.tui.screens.base import NO_FLASH, Chrome, ViewScreen
from agentdash.tui.terminal_app import TerminalApp
from agentdash.tui.view import Frame
from agentdash.tui.view_state import ViewState
from controller.model.snapshot import Snapshot

FLASH_S: Final = 4.0


class ShownApp(TerminalApp):
    """Shows the frame of `state` in the top view.

    `clock` gives Unix seconds. `engine_error` says why the engine does not run, and gives None
    while it runs; `feed_problem` says why nothing comes from a controller elsewhere. The other
    arguments are those of TerminalApp.
    """

    def __init__(
        self,
        state: ViewState,
        keys: Keymap,
        *,
        clock: Callable[[], float],
        engine_error: Callable[[], str | None],
        feed_problem: Callable[[], str | None],
        on_painted: Callable[[], None],
        ascii_only: bool,
        erases_in_color: bool,
    ) -> None:
        super().__init__(
            on_painted=on_painted, ascii_only=ascii_only, erases_in_color=erases_in_color
        )
        self.keys = keys
        self.engine_error = engine_error
        self._state = state
        self._clock = clock
        self._feed_problem = feed_problem
        self._flash = NO_FLASH
        self._flash_until = 0.0
        self._folded = False

    # -- what is shown ------------------------------------------------------------------------

    @property
    def frame(self) -> Frame:
        """What the views are drawn from."""
        return self._state.frame

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot that is shown."""
        return self.frame.snapshot

    @property
    def shows_the_past(self) -> bool:
        """Whether the moment that is shown is not now."""
        return self.frame.moment is not None

    @property
    def now(self) -> float:
        """Unix seconds."""
        return self._clock()

    @property
    def view_stack(self) -> list[ViewScreen]:
        """The views that lie on each other; none while the app ends."""
        return [screen for screen in self.screen_stack if isinstance(screen, ViewScreen)]

    @property
    def view(self) -> ViewScreen:
        """The top view; the command palette may lie over it."""
        return self.view_stack[-1]

    @property
    def pool_keys(self) -> tuple[str, ...]:
        """The keys of all pools, in the order of the fleet."""
        return self._state.all_pools

    @property
    def tenants(self) -> tuple[str, ...]:
        """The names of all tenants, in the order of the fleet."""
        return self._state.all_tenants

    # -- drawing ------------------------------------------------------------------------------

    def draw(self) -> None:
        """Draw the top view as of now."""
        self.view.draw(self._refresh(), self._chrome())

    def draw_chrome(self) -> None:
        """Draw the header and the last line of the top view."""
        self.view.draw_chrome(self.frame, self._chrome())

    def draw_ages(self) -> None:
        """Draw what grows old while no snapshot comes: all of the view where a snapshot has become
        stale, or where the view counts seconds.
        """
        before = self.frame
        after = self._refresh()
        if after.snapshot is None or before.stale != after.stale or self.view.COUNTS_SECONDS:
            self.view.draw(after, self._chrome())
        else:
            self.view.draw_chrome(after, self._chrome())

    def fold_header(self) -> None:
        """Fold the header to one line, or unfold it."""
        self._folded = not self._folded
        self.draw()

    def flash(self, text: str, tone: Tone = Tone.WARN, seconds: float | None = None) -> None:
        """Show a message in the last line for a few seconds, or for so many."""
        self._flash = Span(text, tone)
        self._flash_until = time.monotonic() + (seconds or FLASH_S)
        self.draw_chrome()

    def keys_are_off(self) -> bool:
        """Whether the keys that change something are off now, for the last line."""
        return False

    def _refresh(self) -> Frame:
        return self._state.refresh(self._clock(), self.engine_error(), self._feed_problem())

    def _chrome(self) -> Chrome:
        if time.monotonic() > self._flash_until:
            self._flash = NO_FLASH
        crumbs = tuple(screen.VIEW for screen in self.view_stack)
        return Chrome(crumbs, self._flash, self._folded, self.keys_are_off())
