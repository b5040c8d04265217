"""`agentdash --once VIEW`: a view of the dashboard, printed once as text."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from agentdash.output import by_default, note, tell
from agentdash.tui.glyphs import ASCII, UNICODE
from agentdash.tui.sheets import SheetForm, sheets_of, written
from agentdash.tui.view_state import ViewState
from agentdash.verbs.live import snapshot_now
from controller.engine.clock import SystemClock
from controller.exit_codes import ExitCode

if TYPE_CHECKING:
    from controller.model.settings import Settings


def show_once(
    settings: Settings, view: str, *, name: str, form: str, width: int | None, ascii_only: bool
) -> ExitCode:
    """Print the view as it is now. `name` is the fleet file's; `width` None is the terminal's.

    Raises OutputError.
    """
    for notice in settings.notices:
        note(str(notice))
    # an interrupt ends the process without a word, as it ends other filters
    with by_default(signal.SIGINT):
        seen = snapshot_now(settings, name)
        for text in seen.notes:
            note(text)
        if seen.snapshot is None:
            return seen.code
        state = ViewState(seen.snapshot.at, ASCII if ascii_only else UNICODE)
        state.accept(seen.snapshot)
        frame = state.refresh(max(SystemClock().now(), seen.snapshot.at), None)
        text = written(
            view, sheets_of(view, frame), frame, SheetForm(form), width or _terminal_width()
        )
        tell(text)
    return seen.code


def _terminal_width() -> int | None:
    """The columns of the terminal; None where standard output is none."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (AttributeError, OSError, ValueError):
        return None
