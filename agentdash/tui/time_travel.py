"""Steps the dashboard through the moments that are kept, and back to now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentdash.tui.lines import Tone
from agentdash.tui.moments import read_past_moment
from agentdash.tui.view_state import Step, ViewState

if TYPE_CHECKING:
    from agentdash.tui.app import Dashboard


class TimeTravel:
    """Which moment is shown, as a person asks for it."""

    def __init__(self, app: Dashboard, state: ViewState) -> None:
        self._app = app
        self._state = state
        self._told_notes = 0

    def keep_still(self) -> None:
        """Keep the picture still, or go on with the newest snapshot."""
        self._state.toggle_still()
        self._app.draw()

    def step(self, step: Step) -> None:
        """Step back or on to another moment of what is kept."""
        self._say_where(self._state.step(step))

    def go_live(self) -> None:
        """Show the newest snapshot again."""
        self._state.go_live()
        self._app.draw()

    def go_to(self, text: str) -> None:
        """Show the moment of a time as it is typed. Raises ValueError."""
        end = self._state.end_at(self._app.now)
        self._say_where(self._state.go_to(read_past_moment(text, end)))

    def tell_notes(self) -> None:
        """Say once of each line of a journal that it cannot be read."""
        notes = self._state.notes()
        if len(notes) > self._told_notes:
            self._told_notes = len(notes)
            self._app.flash(notes[-1])

    def _say_where(self, missing: str) -> None:
        self._app.draw()
        if missing:
            self._app.flash(missing, Tone.DIM)
        self.tell_notes()
