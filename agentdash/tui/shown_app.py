"""A terminal app that writes only what has changed, and draws frames into the top view."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

import rich
from rich.console import RenderableType
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App
from textual.events import Resize
from textual.screen import Screen

from agentdash.tui.keymap import Keymap
from agentdash.tui.lines import Span, Tone
from agentdash.tui.screens.base import NO_FLASH, Chrome, ViewScreen
from agentdash.tui.terminal_diff import TerminalDiff
from agentdash.tui.view import Frame
from agentdash.tui.view_state import ViewState
from controller.model.snapshot import Snapshot


class TerminalApp(App[None]):
    """Writes the difference between two pictures. `on_painted` is called once, after the first
    picture that is written after `begin_painting`.

    `erases_in_color`: the terminal erases cells in the background colour, which saves bytes.
    """

    def __init__(
        self, *, on_painted: Callable[[], None], ascii_only: bool, erases_in_color: bool
    ) -> None:
        # with NO_COLOR, Textual paints grey colours unless it uses the terminal's own colours
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self._terminal_diff = TerminalDiff(ascii_only=ascii_only, erases_in_color=erases_in_color)
        self._on_painted = on_painted
        self._tells_of_paint = False

    def begin_painting(self) -> None:
        """The next picture is the first that counts."""
        self._tells_of_paint = True

    def write_raw(self, sequence: str) -> None:
        """Write a control sequence to the person's terminal, which draws nothing for it."""
        if self._driver is not None:
            self._driver.write(sequence)
            self._driver.flush()

    def action_redraw(self) -> None:
        """Write the whole screen again."""
        self._terminal_diff.reset()
        self.screen.refresh(layout=True)

    def on_resize(self, event: Resize) -> None:
        """The terminal may have moved its text, so it is no longer known what it shows."""
        del event
        self._terminal_diff.reset()

    def _fatal_error(self) -> None:
        """Show the traceback without local variables, which Textual would print too."""
        # loaded only then: it takes a tenth of the time of the first screen
        from rich.traceback import Traceback

        self.bell()
        self._exit_renderables.append(Traceback(show_locals=False, width=None, suppress=[rich]))
        self._close_messages_no_wait()

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        """Textual writes everything through this method; here only the difference is written.

        Where nothing differs, nothing is written: Textual would write 22 bytes, which begin and end
        a frame and set the cursor, for each time that a view is drawn again.
        """
        if isinstance(renderable, LayoutUpdate | ChopsUpdate):
            update = self._terminal_diff.wrap(renderable)
            if (
                self._would_write
                and self._cursor_stays
                and not update.render_segments(self.console)
            ):
                self.post_display_hook()
            else:
                # an update renders itself, which Rich's type does not say
                super()._display(screen, update)  # type: ignore[arg-type]
        else:
            super()._display(screen, renderable)
        # call_after_refresh would get lost if a key changed the view before the first paint
        if self._tells_of_paint and renderable is not None:
            self._tells_of_paint = False
            self.call_later(self._on_painted)

    @property
    def _would_write(self) -> bool:
        """Whether Textual writes updates now: those that it drops must not count as written."""
        is_open = self._running and not self._closed and not self._batch_count
        return is_open and not self.is_headless and self._driver is not None

    @property
    def _cursor_stays(self) -> bool:
        """Whether the terminal's cursor is where it belongs."""
        place = self.screen.outer_size.clamp_offset(self.cursor_position)
        return place == self._previous_cursor_position


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
