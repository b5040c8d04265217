"""`agentdash --once VIEW`: a view of the dashboard, printed once as text."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, NamedTuple

from agentdash.output import by_default, note, tell
from agentdash.tui.actions import ACTIONS
from agentdash.tui.commands import OnceView, UnknownCommandError, scope_named
from agentdash.tui.glyphs import ASCII, UNICODE
from agentdash.tui.help_text import HELP, help_entries
from agentdash.tui.keymap import Keymap
from agentdash.tui.names import HELP_VIEW
from agentdash.tui.sheets import Sheet, SheetForm, Sheets, sheets_of, written
from agentdash.tui.table import Need
from agentdash.tui.tables import views
from agentdash.tui.view import Frame
from agentdash.tui.view_state import ViewState
from agentdash.verbs.doctor import find_faults
from agentdash.verbs.intent_lists import AuditError, read_audit
from agentdash.verbs.live import snapshot_now
from controller.engine.clock import SystemClock
from controller.exit_codes import ExitCode
from controller.model.snapshot import Progress

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
            shown = _look(settings, view, name, state)
        except _NothingShownError as nothing:
            return nothing.code
        room = width or _terminal_width()
        tell(written(view.name, shown.sheets, shown.frame, SheetForm(form), room))
    return shown.code


def show_help_once(keys: Keymap, *, form: str, width: int | None, ascii_only: bool) -> ExitCode:
    """Print every key, column, word and mark of the dashboard. Raises OutputError."""
    glyphs = ASCII if ascii_only else UNICODE
    sheets = (Sheet(HELP, help_entries(keys.applied(ACTIONS), glyphs)),)
    with by_default(signal.SIGINT):
        frame = _now(ViewState(SystemClock().now(), glyphs))
        tell(written(HELP_VIEW, sheets, frame, SheetForm(form), width or _terminal_width()))
    return ExitCode.OK


def _look(settings: Settings, asked: OnceView, name: str, state: ViewState) -> _Shown:
    """The tables of a view, with what they need. Raises _NothingShownError."""
    view, clock, codes = views()[asked.name], SystemClock(), [ExitCode.OK]
    if Need.AUDIT in view.needs:
        codes.append(_keep_audit(settings, state, clock))
    if Need.SNAPSHOT in view.needs:
        codes.append(_keep_snapshot(settings, asked, name, state))
    if Need.DOCTOR in view.needs:
        report = find_faults(settings)
        found = len(report.lines)
        state.keep(checks=Progress(lines=report.lines, ended=found, checks=found))
        codes.append(ExitCode.FAILED if report.has_failure else ExitCode.OK)
    snapshot = state.newest
    now = clock.now() if snapshot is None else max(clock.now(), snapshot.at)
    return _Shown(sheets_of(view, state.refresh(now, None)), state.frame, max(codes))


def _keep_snapshot(settings: Settings, asked: OnceView, name: str, state: ViewState) -> ExitCode:
    seen = snapshot_now(settings, name)
    for text in seen.notes:
        note(text)
    if seen.snapshot is None:
        raise _NothingShownError(seen.code)
    state.accept(seen.snapshot)
    if asked.of:
        try:
            scope = scope_named(asked.of, state.all_tenants, state.all_pools)
        except UnknownCommandError as error:
            note(str(error))
            raise _NothingShownError(ExitCode.USAGE) from None
        state.show_only(scope)
    return seen.code


def _keep_audit(settings: Settings, state: ViewState, clock: SystemClock) -> ExitCode:
    try:
        state.keep(audit=read_audit(settings, clock))
    except AuditError as error:
        note(str(error))
        raise _NothingShownError(error.code) from None
    return ExitCode.OK


def _now(state: ViewState) -> Frame:
    return state.refresh(SystemClock().now(), None)


def _terminal_width() -> int | None:
    """The columns of the terminal; None where standard output is none."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (AttributeError, OSError, ValueError):
        return None
