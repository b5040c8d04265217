"""What a person takes out of the dashboard: the view as a file, or a text for the clipboard."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agentdash.tui.lines import Tone
from agentdash.tui.sheets import Sheet, SheetForm, Sheets, as_plain, written
from agentdash.tui.widgets.prompt import SAVE, PromptUse
from controller.model.tasks import TaskRow
from controller.model.text import clean

if TYPE_CHECKING:
    from agentdash.tui.app import Dashboard


class SaveError(Exception):
    """A view cannot be saved so."""


FORMS: Final = {
    ".csv": SheetForm.CSV,
    ".json": SheetForm.JSON,
    ".svg": None,
    ".txt": SheetForm.TEXT,
}
"""How tables are written, by the extension of the file; a picture has none."""
SAVE_NOTE: Final = "save as .csv, .json, .svg or .txt; esc leaves"


def proposed_name(view: str, at: float, *, has_tables: bool) -> str:
    """`agentdash-pools-20260302-120449Z.csv`, in the current directory."""
    kind = ".csv" if has_tables else ".txt"
    return f"agentdash-{view}-{datetime.fromtimestamp(at, UTC):%Y%m%d-%H%M%SZ}{kind}"


def file_named(text: str, *, has_tables: bool) -> tuple[Path, str]:
    """The file that a person means, and its extension. Raises SaveError where it is there already,
    where its name says no kind, and where the kind needs tables and the view has none.
    """
    try:
        path = Path(text.strip()).expanduser()
    except RuntimeError:
        raise SaveError("~ is no home directory here: write the whole path") from None
    kind = path.suffix.lower()
    if kind not in FORMS:
        raise SaveError("the name must end in .csv, .json, .svg or .txt")
    if not has_tables and kind in {".csv", ".json"}:
        raise SaveError(f"this view has no table for {kind}: take .txt or .svg")
    try:
        taken = path.exists() or path.is_symlink()
    except (OSError, ValueError) as error:
        raise SaveError(_cannot(error)) from None
    if taken:
        raise SaveError("that file is there already: take another name")
    return path, kind


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet. Raises SaveError."""
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(f"{text}\n")
    except FileExistsError:
        raise SaveError("that file is there already: take another name") from None
    except (OSError, ValueError) as error:
        raise SaveError(_cannot(error)) from None


def _cannot(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else error
    return f"it cannot be written: {clean(reason)}; take another folder"


MOST_BYTES: Final = 74_994
"""The longest text: terminals take a sequence of 100,000 bytes, as hterm and xterm document."""
# screen takes strings of 256 bytes
_PART: Final = 200


class TooLongError(ValueError):
    """The text is longer than terminals take."""


def clipboard_sequence(text: str, environment: Mapping[str, str]) -> str:
    """What to write to the terminal. Raises TooLongError.

    tmux takes the sequence itself (`set-clipboard on`) or hands a wrapped one on
    (`allow-passthrough on`), so it gets both.
    """
    content = text.encode("utf-8", "replace")
    if len(content) > MOST_BYTES:
        raise TooLongError
    plain = f"\x1b]52;c;{base64.b64encode(content).decode('ascii')}\x07"
    if environment.get("TMUX"):
        inner = plain.replace("\x1b", "\x1b\x1b")
        return f"{plain}\x1bPtmux;{inner}\x1b\\"
    if environment.get("STY"):
        parts = (plain[start : start + _PART] for start in range(0, len(plain), _PART))
        return "".join(f"\x1bP{part}\x1b\\" for part in parts)
    return plain


class Exports:
    """Saves and copies what the top view shows."""

    def __init__(self, app: Dashboard) -> None:
        self._app = app
        self._names: list[str] = []

    def _sheets(self, *, of_row: bool = False) -> Sheets:
        """The tables with the rows that pass the filters; `of_row`: the one under the cursor."""
        view = self._app.view
        table = view.filtered
        if of_row:
            row = view.row_under_cursor
            return () if table is None else (Sheet(table.spec, [] if row is None else [row]),)
        tables = [each for each in view.tables if each.spec.copies and each.display]
        return tuple(Sheet(each.spec, each.visible_rows) for each in tables)

    # -- files --------------------------------------------------------------------------------

    def ask_name(self) -> None:
        """Ask for the name of a file to save the view in."""
        if self._app.frame.snapshot is None:
            self._app.flash("nothing to save yet: no snapshot has come")
            return
        view = self._app.view
        name = proposed_name(view.VIEW, self._app.now, has_tables=bool(self._sheets()))
        use = PromptUse(SAVE, self._save_as, lambda _: view.close_prompt(), history=self._names)
        view.open_prompt(use, name, SAVE_NOTE)

    def _save_as(self, text: str) -> None:
        """Save the view in the file that was named, or say in the prompt why not."""
        view = self._app.view
        if not text:
            view.close_prompt()
            return
        try:
            path, kind = file_named(text, has_tables=bool(self._sheets()))
        except SaveError as error:
            view.prompt.note(str(error), Tone.WARN)
            return
        view.close_prompt()
        # the prompt is no part of the picture
        self._app.call_after_refresh(self._save, path, kind)

    def _save(self, path: Path, kind: str) -> None:
        sheets, view, form = self._sheets(), self._app.view.VIEW, FORMS[kind]
        if form is None:
            picture = self._app.export_screenshot(title=self._app.title)
            # else viewers drop the blanks that put a number under its heading
            text = picture.replace("<text ", '<text xml:space="preserve" ')
        elif sheets:
            text = written(view, sheets, self._app.frame, form)
        else:
            # as Textual's own export does
            strips = self._app.screen._compositor.render_strips()  # noqa: SLF001
            text = "\n".join(strip.text.rstrip() for strip in strips)
        try:
            write_new(path, text)
        except SaveError as error:
            self._app.flash(f"not saved: {error}")
            return
        self._app.flash(f"saved {view} as {clean(path)}", Tone.OK)

    # -- the clipboard ------------------------------------------------------------------------

    def copy_key(self) -> None:
        """Copy the task's id, else the pool's key, else the name of the row."""
        view = self._app.view
        if isinstance(view.row_under_cursor, TaskRow):
            self._copy(view.row_under_cursor.id)
            return
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
