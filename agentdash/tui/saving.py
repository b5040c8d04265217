"""A view as a file: which name it gets, and what may be written where.

SaveError        it cannot be saved; the text says why and what to do
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from agentdash.tui.sheets import SheetForm
from controller.model.text import clean


class SaveError(Exception):
    """A view cannot be saved so."""


class FileKind(StrEnum):
    """What a file's extension says."""

    CSV = "csv"
    JSON = "json"
    SVG = "svg"
    TXT = "txt"


FORMS: Final = {
    FileKind.CSV: SheetForm.CSV,
    FileKind.JSON: SheetForm.JSON,
    FileKind.TXT: SheetForm.TEXT,
}
"""How tables are written; a picture has none."""
SAVE_NOTE: Final = "save as .csv, .json, .svg or .txt; esc leaves"


def proposed_name(view: str, at: float, *, has_tables: bool) -> str:
    """`agentdash-pools-20260302-120449Z.csv`, in the current directory."""
    kind = FileKind.CSV if has_tables else FileKind.TXT
    return f"agentdash-{view}-{datetime.fromtimestamp(at, UTC):%Y%m%d-%H%M%SZ}.{kind}"


def file_named(text: str, *, has_tables: bool) -> tuple[Path, FileKind]:
    """The file that a person means. Raises SaveError where it is there already, where its name says
    no kind, and where the kind needs tables and the view has none.
    """
    try:
        path = Path(text.strip()).expanduser()
    except RuntimeError:
        raise SaveError("~ is no home directory here: write the whole path") from None
    try:
        kind = FileKind(path.suffix.lower().removeprefix("."))
    except ValueError:
        raise SaveError("the name must end in .csv, .json, .svg or .txt") from None
    if not has_tables and kind in {FileKind.CSV, FileKind.JSON}:
        raise SaveError(f"this view has no table for .{kind}: take .txt or .svg")
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
