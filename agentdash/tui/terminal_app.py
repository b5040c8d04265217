"""What an app writes to the terminal: only what has changed there, and a clean end if it fails."""

from __future__ import annotations

import os
from collections.abc import Callable

import rich
from rich.console import RenderableType
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App
from textual.events import Resize
from textual.screen import Screen

from agentdash.tui.terminal_diff import TerminalDiff


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
