"""Steps through the moments that are kept and back to now, and reads a moment as it is typed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from agentdash.tui.lines import Tone
from agentdash.tui.view_state import Step, ViewState
from controller.model.text import quote
from controller.model.value import Moment, is_within
from controller.notation.quantity import read_duration

if TYPE_CHECKING:
    from agentdash.tui.app import Dashboard

_TIME_OF_DAY: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?Z?")
_ADVICE: Final = "is no time: 11:50, 11:50:03, -15m or 2026-11-22T11:50Z"


def read_past_moment(text: str, end: float) -> float:
    """The time in Unix seconds: `11:50` (UTC), the last one up to `end`; `-15m` before `end`; or a
    date and time, in UTC unless it names its offset. Raises ValueError.
    """
    if found := _TIME_OF_DAY.fullmatch(text):
        hour, minute, second = (int(part or 0) for part in found.groups())
        day = datetime.fromtimestamp(end, UTC)
        moment = day.replace(hour=hour, minute=minute, second=second, microsecond=0)
        return (moment if moment <= day else moment - timedelta(days=1)).timestamp()
    try:
        if text.startswith("-"):
            at = end - read_duration(text[1:])
        else:
            date = datetime.fromisoformat(text)
            at = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"{quote(text)} {_ADVICE}") from None
    if not is_within(at, Moment):
        raise ValueError(f"{quote(text)} {_ADVICE}")
    return at


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
