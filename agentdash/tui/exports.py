"""What a person takes out of the dashboard: the view as a file, or a text for the clipboard."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentdash.tui.clipboard import MOST_BYTES, TooLongError, clipboard_sequence
from agentdash.tui.lines import Tone
from agentdash.tui.saving import (
    FORMS,
    FileKind,
    SaveError,
    file_named,
    proposed_name,
    write_new,
)
from agentdash.tui.sheets import Sheet, Sheets, as_plain, written
from agentdash.tui.widgets.live_table import LiveTable
from controller.model.text import clean

if TYPE_CHECKING:
    from agentdash.tui.app import Dashboard


class Exports:
    """Saves and copies what the top view shows."""

    def __init__(self, app: Dashboard) -> None:
        self._app = app
        self._names: list[str] = []

    def _sheets(self, *, of_row: bool = False) -> Sheets:
        """The tables of this view with the rows that pass the filters, in their order; `of_row`:
        the row under the cursor alone.
        """
        view = self._app.view
        table = view.filtered
        if of_row:
            keys = () if table is None or table.cursor_key is None else (table.cursor_key,)
            return () if table is None else (_sheet(table).only(keys),)
        tables = [each for each in view.query(LiveTable) if each.spec.copies and each.display]
        return tuple(_sheet(each).only(each.visible_keys) for each in tables)

    # -- files --------------------------------------------------------------------------------

    def ask_name(self) -> None:
        """Ask for the name of a file to save the view in."""
        if self._app.frame.snapshot is None:
            self._app.flash("nothing to save yet: no snapshot has come")
            return
        view = self._app.view
        name = proposed_name(view.VIEW, self._app.now, has_tables=bool(self._sheets()))
        view.open_saving(name, self._names)

    def save_as(self, text: str) -> None:
        """Save the view in the file that a person named, or say in the prompt why that cannot
        be.
        """
        view = self._app.view
        try:
            path, kind = file_named(text, has_tables=bool(self._sheets()))
        except SaveError as error:
            view.prompt.note(str(error), Tone.WARN)
            return
        view.close_prompt()
        # the prompt is no part of the picture
        self._app.call_after_refresh(self._save, path, kind)

    def _save(self, path: Path, kind: FileKind) -> None:
        sheets, view = self._sheets(), self._app.view.VIEW
        if kind in FORMS and sheets:
            text = written(view, sheets, self._app.frame, FORMS[kind])
        elif kind is FileKind.SVG:
            text = self._app.export_screenshot(title=self._app.title)
        else:
            text = self._screen_text()
        try:
            write_new(path, text)
        except SaveError as error:
            self._app.flash(f"not saved: {error}")
            return
        self._app.flash(f"saved {view} as {clean(path)}", Tone.OK)

    def _screen_text(self) -> str:
        # as Textual's own export does
        strips = self._app.screen._compositor.render_strips()  # noqa: SLF001
        return "\n".join(strip.text.rstrip() for strip in strips)

    # -- the clipboard ------------------------------------------------------------------------

    def copy_key(self) -> None:
        """Copy the key of the pool under the cursor; without one, the name of the row."""
        view = self._app.view
        table = view.filtered
        self._copy(view.subject or (None if table is None else table.cursor_key))

    def copy_row(self) -> None:
        """Copy the row under the cursor, its cells between tabs."""
        text = as_plain(self._sheets(of_row=True), self._app.frame)
        self._copy(text.partition("\n")[2])

    def _copy(self, text: str | None) -> None:
        """Hand a text to the clipboard of the person's terminal, which gives no answer."""
        if not text:
            self._app.flash("nothing to copy here")
            return
        try:
            sequence = clipboard_sequence(text, os.environ)
        except TooLongError:
            save = self._app.keys.key_of("save")
            self._app.flash(f"too long to copy: more than {MOST_BYTES:,} bytes; {save} saves it")
            return
        self._app.write_raw(sequence)
        self._app.flash(f"copied {clean(text)}", Tone.OK)


def _sheet(table: LiveTable[Any]) -> Sheet:
    return Sheet(table.spec, table.shown_rows)
