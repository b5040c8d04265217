"""`agentdash --once VIEW`: a view of the dashboard, printed once as text."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from agentdash.output import by_default, note, tell
from agentdash.tui.actions import ACTIONS
from agentdash.tui.asked_sheets import audit_sheets, doctor_sheets, help_sheets
from agentdash.tui.commands import OnceView, UnknownCommandError, pool_named
from agentdash.tui.glyphs import ASCII, UNICODE
from agentdash.tui.help_text import help_entries
from agentdash.tui.keymap import Keymap
from agentdash.tui.names import ASKED_VIEWS, HELP_VIEW
from agentdash.tui.sheets import SheetForm, Sheets, sheets_of, written
from agentdash.tui.view import Frame
from agentdash.tui.view_state import ViewState
from agentdash.verbs.doctor import find_faults
from agentdash.verbs.intent_lists import AuditError, read_audit
from agentdash.verbs.live import snapshot_now
from controller.engine.clock import SystemClock
from controller.exit_codes import ExitCode

if TYPE_CHECKING:
    from controller.model.settings import Settings


class _Shown(NamedTuple):
    """The tables of a view and the moment they are of; the exit code says whether all was seen."""

    sheets: Sheets
    frame: Frame
    code: ExitCode


class _NothingShownError(Exception):
    """There is nothing to print; the notes are told already."""

    def __init__(self, code: ExitCode) -> None:
        super().__init__(code)
        self.code = code


def show_once(
    settings: Settings, view: OnceView, *, name: str, form: str, width: int | None, ascii_only: bool
) -> ExitCode:
    """Print the view as it is now. `name` is the fleet file's; `width` None is the terminal's.

    Raises OutputError.
    """
    for notice in settings.notices:
        note(str(notice))
    # an interrupt ends the process without a word, as it ends other filters
    with by_default(signal.SIGINT):
        state = ViewState(SystemClock().now(), ASCII if ascii_only else UNICODE)
        try:
            if view.name in ASKED_VIEWS:
                shown = _asked(settings, view.name, state)
            else:
                shown = _of_snapshot(settings, view, name, state)
        except _NothingShownError as nothing:
            return nothing.code
        room = width or _terminal_width()
        tell(written(view.name, shown.sheets, shown.frame, SheetForm(form), room))
    return shown.code


def show_help_once(keys: Keymap, *, form: str, width: int | None, ascii_only: bool) -> ExitCode:
    """Print every key, column, word and mark of the dashboard. Raises OutputError."""
    glyphs = ASCII if ascii_only else UNICODE
    sheets = help_sheets(help_entries(keys.applied(ACTIONS), glyphs))
    with by_default(signal.SIGINT):
        frame = _now(ViewState(SystemClock().now(), glyphs))
        tell(written(HELP_VIEW, sheets, frame, SheetForm(form), width or _terminal_width()))
    return ExitCode.OK


def _of_snapshot(settings: Settings, view: OnceView, name: str, state: ViewState) -> _Shown:
    """The tables of a view of the fleet. Raises _NothingShownError."""
    seen = snapshot_now(settings, name)
    for text in seen.notes:
        note(text)
    if seen.snapshot is None:
        raise _NothingShownError(seen.code)
    state.accept(seen.snapshot)
    frame = state.refresh(max(SystemClock().now(), seen.snapshot.at), None)
    if view.pool:
        try:
            key = pool_named(view.pool, [row.key for row in frame.rows])
        except UnknownCommandError as error:
            note(str(error))
            raise _NothingShownError(ExitCode.USAGE) from None
        frame = replace(frame, rows=tuple(row for row in frame.rows if row.key == key))
    return _Shown(sheets_of(view.name, frame), frame, seen.code)


def _asked(settings: Settings, view: str, state: ViewState) -> _Shown:
    """The table of a view that comes with no snapshot. Raises _NothingShownError."""
    if view == "doctor":
        report = find_faults(settings)
        code = ExitCode.FAILED if report.has_failure else ExitCode.OK
        return _Shown(doctor_sheets(report.lines), _now(state), code)
    try:
        audit = read_audit(settings, SystemClock())
    except AuditError as error:
        note(str(error))
        raise _NothingShownError(error.code) from None
    return _Shown(audit_sheets(audit.changes), _now(state), ExitCode.OK)


def _now(state: ViewState) -> Frame:
    return state.refresh(SystemClock().now(), None)


def _terminal_width() -> int | None:
    """The columns of the terminal; None where standard output is none."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (AttributeError, OSError, ValueError):
        return None
