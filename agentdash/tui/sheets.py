"""The tables of a view without a screen, as text: aligned, plain, JSON, CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeAlias

from agentdash.tui.header import banner_lines, header_lines
from agentdash.tui.lines import cut
from agentdash.tui.table import PlainValue, Table, View, table_lines
from agentdash.tui.view import Frame
from controller.model.text import clean

# what a spreadsheet takes for the beginning of a formula
_BEGINS_FORMULA: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_EMPTY: Final = "-"
# of the header, where no width is given
_HEADER_WIDTH: Final = 140


class SheetForm(StrEnum):
    """How tables are written."""

    TEXT = "text"
    PLAIN = "plain"
    JSON = "json"
    CSV = "csv"


class Sheet(NamedTuple):
    """A table and its rows of one moment."""

    table: Table[Any]
    rows: Sequence[Any]


Sheets: TypeAlias = tuple[Sheet, ...]


def sheets_of(view: View, frame: Frame) -> Sheets:
    """The tables of a view, its rows in the order in which the screen begins."""
    return tuple(Sheet(table, table.sorted_rows(frame)) for table in view.tables)


def written(
    view: str, sheets: Sheets, frame: Frame, form: SheetForm, width: int | None = None
) -> str:
    """The tables in one of the forms, without a line break at the end. `width` is for text alone:
    columns that do not fit are left out, as on the screen; None gives every column all it needs.
    """
    match form:
        case SheetForm.TEXT:
            return as_text(sheets, frame, width)
        case SheetForm.PLAIN:
            return as_plain(sheets, frame)
        case SheetForm.JSON:
            return as_json(view, sheets, frame)
        case SheetForm.CSV:
            return as_csv(sheets, frame)


def as_text(sheets: Sheets, frame: Frame, width: int | None = None) -> str:
    """The header of the screen where there is a snapshot, then each table under its title."""
    room = _HEADER_WIDTH if width is None else width
    lines: list[str] = []
    if frame.snapshot is not None:
        above = (*header_lines(frame, room, 2), *banner_lines(frame, room))
        lines = ["".join(span.text for span in each.spans) for each in above]
    for sheet in sheets:
        title = f" {sheet.table.title} [{len(sheet.rows)}]"
        title = title if width is None else cut(title, width, frame.glyphs.ellipsis)
        lines += [*([""] if lines else []), title, *_aligned(sheet, frame, width)]
    return "\n".join(each.rstrip() for each in lines)


def as_plain(sheets: Sheets, frame: Frame) -> str:
    """A line for each row, its cells between tabs, with the titles of the columns above. In a view
    of several tables, each line begins with the name of its table.
    """
    lines: list[str] = []
    for table, rows in sheets:
        columns = [each for each in table.columns if not each.drawn]
        name = (table.name,) if len(sheets) > 1 else ()
        lines.append("\t".join((*name, *(_title(each.title, frame) for each in columns))))
        for row in rows:
            cells = (" ".join(clean(each.span(row, frame).text).split()) for each in columns)
            lines.append("\t".join((*name, *(cell or _EMPTY for cell in cells))))
    return "\n".join(lines)


def as_json(view: str, sheets: Sheets, frame: Frame) -> str:
    """One object: when, of which fleet, and for each table a list of its rows as objects."""
    snapshot = frame.snapshot
    whole: dict[str, object] = {"version": 1, "view": view, "at": frame.now}
    if snapshot is not None:
        whole |= {
            "at": frame.at,
            "fleet": clean(snapshot.fleet),
            "process": clean(snapshot.process),
            "stale": frame.stale,
        }
    for table, rows in sheets:
        whole[table.name] = [
            {
                name: _cleaned(value)
                for column in table.columns
                for name, value in column.values(row, frame).items()
            }
            for row in rows
        ]
    return json.dumps(whole, ensure_ascii=False)


def as_csv(sheets: Sheets, frame: Frame) -> str:
    """The values of JSON with a line of names above; an unknown one is empty, a list has blanks
    between its parts. A text that a spreadsheet would take for a formula begins with a quote.
    """
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    for table, rows in sheets:
        first = (table.name,) if len(sheets) > 1 else ()
        columns = [each for each in table.columns if not each.drawn]
        names = (name for column in columns for name in column.names_of_values)
        writer.writerow((*(["table"] if first else []), *names))
        for row in rows:
            values = (value for each in columns for value in each.values(row, frame).values())
            writer.writerow((*first, *(_in_csv(_cleaned(value)) for value in values)))
    return out.getvalue().removesuffix("\n")


def _in_csv(value: PlainValue) -> str | int | float:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return value
        case list():
            text = " ".join("" if each is None else str(each) for each in value)
        case str():
            text = value
    return f"'{text}" if text.lstrip().startswith(_BEGINS_FORMULA) else text


def _cleaned(value: PlainValue) -> PlainValue:
    match value:
        case str():
            return clean(value)
        case [str(), *_]:
            return [clean(each) for each in value]
    return value


def _aligned(sheet: Sheet, frame: Frame, width: int | None) -> Iterator[str]:
    room = None if width is None else width - 2
    for each in table_lines(sheet.table, sheet.rows, frame, room):
        yield f"  {''.join(span.text for span in each.spans)}"


def _title(title: str, frame: Frame) -> str:
    return title.replace("→", frame.glyphs.arrow)
