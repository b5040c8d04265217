"""Every view as tables of rows without a screen, and as text: aligned, plain, JSON, CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Generic, TypeAlias

from agentdash.tui import values
from agentdash.tui.attention import ATTENTION_COLUMNS, attention_rows
from agentdash.tui.columns import Column, PlacedColumn, R, place_columns, sort_rows
from agentdash.tui.events import NEWEST_FIRST, TIMELINE_COLUMNS
from agentdash.tui.header import banner_lines, header_lines
from agentdash.tui.info import FACT_COLUMNS, fact_key, facts
from agentdash.tui.lines import Line, cut, fit, width_of
from agentdash.tui.models import BY_LIMIT_SHARE, MODEL_COLUMNS
from agentdash.tui.nodes import (
    CLASS_COLUMNS,
    UNPLACED_COLUMNS,
    class_name,
    nobody_waits,
    unplaced_pods,
)
from agentdash.tui.pods import POD_ROW_COLUMNS, WORST_FIRST, PodRows
from agentdash.tui.queues import BY_PENDING, QUEUE_COLUMNS, queue_rows
from agentdash.tui.rule_rows import RULE_COLUMNS, RULE_FIELDS, rule_rows
from agentdash.tui.single_nodes import NODE_COLUMNS, NODE_POD_COLUMNS, NodeRows
from agentdash.tui.tables import (
    BY_PRESSURE,
    EVENT_COLUMNS,
    FINDING_COLUMNS,
    POOL_COLUMNS,
    POOL_COLUMNS_SHORT,
    event_key,
    finding_key,
)
from agentdash.tui.tenants import BY_SHARE, TENANT_COLUMNS
from agentdash.tui.values import PlainValue, ValueField
from agentdash.tui.view import Frame, findings_by_severity
from controller.model.snapshot import Snapshot
from controller.model.text import clean

# columns that draw with blocks what another column or the values say in numbers
_DRAWINGS: Final = frozenset(
    {"LAST 15 MIN", "READY  TARGET", "WAIT, 15 MIN", "TOK/m, 15 MIN", "BUDGET"}
)
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


@dataclass(frozen=True)
class Sheet(Generic[R]):
    """One table of a view. `name` is its name in JSON, `key` identifies a row, and `nothing` is
    what is said where it has no rows.
    """

    name: str
    title: str
    columns: Sequence[Column[R]]
    fields: Sequence[ValueField[R]]
    rows: Sequence[R]
    key: Callable[[R], str]
    nothing: str

    def only(self, keys: Sequence[str]) -> Sheet[R]:
        """The rows with these keys, in their order."""
        rows = {self.key(row): row for row in self.rows}
        return replace(self, rows=[rows[key] for key in keys if key in rows])


Sheets: TypeAlias = tuple[Sheet[Any], ...]


def sheets_of(view: str, frame: Frame) -> Sheets:
    """The tables of a view, its rows in the order in which the screen begins; () for a view
    without tables, or before the first snapshot.
    """
    make = _VIEWS.get(view)
    return () if make is None or frame.snapshot is None else make(frame, frame.snapshot)


def _pools(frame: Frame, columns: Sequence[Column[Any]], title: str) -> Sheet[Any]:
    rows = sort_rows(frame.rows, columns, BY_PRESSURE, lambda row: row.key)
    nothing = "no pools: the fleet file names none"
    return Sheet("pools", title, columns, values.POOL_FIELDS, rows, lambda row: row.key, nothing)


def _attention(snapshot: Snapshot) -> Sheet[Any]:
    return Sheet(
        "attention",
        "attention",
        FINDING_COLUMNS,
        values.FINDING_FIELDS,
        findings_by_severity(snapshot.findings),
        finding_key,
        "nothing needs attention",
    )


def _attention_sheets(frame: Frame, snapshot: Snapshot) -> Sheets:
    del snapshot
    return (
        Sheet(
            "attention",
            "attention",
            ATTENTION_COLUMNS,
            values.ATTENTION_FIELDS,
            attention_rows(frame),
            lambda row: row.key,
            "nothing needs attention",
        ),
    )


def _events(snapshot: Snapshot, columns: Sequence[Column[Any]]) -> Sheet[Any]:
    return Sheet(
        "events",
        "scale events",
        columns,
        values.EVENT_FIELDS,
        sort_rows(snapshot.events, TIMELINE_COLUMNS, NEWEST_FIRST, event_key),
        event_key,
        "nothing has been scaled yet",
    )


def _overview_sheets(frame: Frame, snapshot: Snapshot) -> Sheets:
    pools = _pools(frame, POOL_COLUMNS_SHORT, "pools, the worst first")
    return pools, _attention(snapshot), _events(snapshot, EVENT_COLUMNS)


def _queue_sheets(frame: Frame, snapshot: Snapshot) -> Sheets:
    del snapshot
    rows = sort_rows(queue_rows(frame, ()), QUEUE_COLUMNS, BY_PENDING, lambda row: row.key)
    nothing = "no pools, so no queues"
    return (
        Sheet(
            "queues",
            "queues",
            QUEUE_COLUMNS,
            values.QUEUE_FIELDS,
            rows,
            lambda row: row.key,
            nothing,
        ),
    )


def _tenant_sheets(frame: Frame, snapshot: Snapshot) -> Sheets:
    del frame
    rows = sort_rows(snapshot.tenants, TENANT_COLUMNS, BY_SHARE, lambda view: view.name)
    return (
        Sheet(
            "tenants",
            "tenants",
            TENANT_COLUMNS,
            values.TENANT_FIELDS,
            rows,
            lambda view: view.name,
            "no tenants: the fleet file names none",
        ),
    )


def _pod_sheets(frame: Frame, snapshot: Snapshot) -> Sheets:
    del snapshot
    rows = sort_rows(PodRows().rows(frame), POD_ROW_COLUMNS, WORST_FIRST, lambda row: row.key)
    return (
        Sheet(
            "pods",
            "pods",
            POD_ROW_COLUMNS,
            values.POD_FIELDS,
            rows,
            lambda row: row.key,
            "no pods: every pool is at zero",
        ),
    )


def _node_sheets(frame: Frame, snapshot: Snapshot) -> Sheets:
    why = snapshot.room.why or "nothing has been read yet"
    waits = "".join(span.text for span in nobody_waits(frame.rows).spans).strip()
    return (
        Sheet(
            "classes",
            "room",
            CLASS_COLUMNS,
            values.CLASS_FIELDS,
            snapshot.room.classes,
            class_name,
            f"no nodes are known, so they set no limit: {why}",
        ),
        Sheet(
            "unplaced",
            "pods that fit nowhere",
            UNPLACED_COLUMNS,
            values.UNPLACED_FIELDS,
            unplaced_pods(frame.rows),
            lambda row: row.key,
            waits,
        ),
        *_single_node_sheets(frame, snapshot),
    )


def _single_node_sheets(frame: Frame, snapshot: Snapshot) -> Sheets:
    del snapshot
    return (
        Sheet(
            "nodes",
            "nodes",
            NODE_COLUMNS,
            values.NODE_FIELDS,
            NodeRows().rows(frame),
            lambda row: row.key,
            "no nodes are known",
        ),
    )


def _node_pod_sheets(frame: Frame, snapshot: Snapshot) -> Sheets:
    del snapshot
    return (
        Sheet(
            "pods",
            "pods on the node",
            NODE_POD_COLUMNS,
            values.NODE_POD_FIELDS,
            [pod for row in NodeRows().rows(frame) for pod in row.pods],
            lambda row: row.key,
            "no pods of this fleet",
        ),
    )


def _model_sheets(frame: Frame, snapshot: Snapshot) -> Sheets:
    del frame
    rows = sort_rows(snapshot.models, MODEL_COLUMNS, BY_LIMIT_SHARE, lambda view: view.key)
    return (
        Sheet(
            "models",
            "models",
            MODEL_COLUMNS,
            values.MODEL_FIELDS,
            rows,
            lambda view: view.key,
            "no models: the fleet file names none",
        ),
    )


def _info_sheets(frame: Frame, snapshot: Snapshot) -> Sheets:
    del snapshot
    return (
        Sheet(
            "info",
            "info",
            FACT_COLUMNS,
            values.FACT_FIELDS,
            facts(frame),
            fact_key,
            "nothing is known yet",
        ),
    )


def _why_sheets(frame: Frame, snapshot: Snapshot) -> Sheets:
    del snapshot
    return (
        Sheet(
            "rules",
            "why: the rules in the order in which they were applied",
            RULE_COLUMNS,
            RULE_FIELDS,
            rule_rows(frame),
            lambda row: row.key,
            "no pools, so no decisions",
        ),
    )


_VIEWS: Final[Mapping[str, Callable[[Frame, Snapshot], Sheets]]] = {
    "overview": _overview_sheets,
    "pools": lambda frame, _: (_pools(frame, POOL_COLUMNS, "pools"),),
    "queues": _queue_sheets,
    "tenants": _tenant_sheets,
    "pods": _pod_sheets,
    "nodes": _node_sheets,
    "class": _single_node_sheets,
    "node": _node_pod_sheets,
    "models": _model_sheets,
    "events": lambda _, snapshot: (_events(snapshot, TIMELINE_COLUMNS),),
    "info": _info_sheets,
    "attention": _attention_sheets,
    "why": _why_sheets,
}


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
        lines = [_plain_text(each) for each in above]
    for sheet in sheets:
        title = f" {sheet.title} [{len(sheet.rows)}]"
        title = title if width is None else cut(title, width, frame.glyphs.ellipsis)
        lines += [*([""] if lines else []), title, *_aligned(sheet, frame, width)]
    return "\n".join(each.rstrip() for each in lines)


def as_plain(sheets: Sheets, frame: Frame) -> str:
    """A line for each row, its cells between tabs, with the titles of the columns above. In a view
    of several tables, each line begins with the name of its table.
    """
    lines: list[str] = []
    for sheet in sheets:
        columns = [each for each in sheet.columns if each.title not in _DRAWINGS]
        name = (sheet.name,) if len(sheets) > 1 else ()
        lines.append("\t".join((*name, *(_title(each, frame) for each in columns))))
        for row in sheet.rows:
            cells = (" ".join(clean(each.cell(row, frame).text).split()) for each in columns)
            lines.append("\t".join((*name, *(cell or _EMPTY for cell in cells))))
    return "\n".join(lines)


def as_json(view: str, sheets: Sheets, frame: Frame) -> str:
    """One object: when, of which fleet where a snapshot says it, and for each table a list of its
    rows as objects.
    """
    snapshot = frame.snapshot
    whole: dict[str, object] = {"version": 1, "view": view, "at": frame.now}
    if snapshot is not None:
        whole |= {
            "at": frame.at,
            "fleet": clean(snapshot.fleet),
            "process": clean(snapshot.process),
            "stale": frame.stale,
        }
    for sheet in sheets:
        whole[sheet.name] = [
            {field.name: _cleaned(field.value(row, frame)) for field in sheet.fields}
            for row in sheet.rows
        ]
    return json.dumps(whole, ensure_ascii=False)


def as_csv(sheets: Sheets, frame: Frame) -> str:
    """The values of JSON with a line of names above; an unknown one is empty, a list has blanks
    between its parts. A text that a spreadsheet would take for a formula begins with a quote.
    """
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    for sheet in sheets:
        name = (sheet.name,) if len(sheets) > 1 else ()
        heading = ("table",) if len(sheets) > 1 else ()
        fields = [field for field in sheet.fields if field.column not in _DRAWINGS]
        writer.writerow((*heading, *(field.name for field in fields)))
        for row in sheet.rows:
            found = (_in_csv(_cleaned(field.value(row, frame))) for field in fields)
            writer.writerow((*name, *found))
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


def _aligned(sheet: Sheet[Any], frame: Frame, width: int | None) -> list[str]:
    """The headings and the rows of one table, cut to the width."""
    if not sheet.rows:
        text = f"  {clean(sheet.nothing)}"
        return [text if width is None else cut(text, width, frame.glyphs.ellipsis)]
    placed = _placed(sheet, frame, width)
    headings = [
        fit(_title(each.column, frame), each.width, right=each.column.right) for each in placed
    ]
    rows = [[_cell(each, row, frame) for each in placed] for row in sheet.rows]
    return [f"  {' '.join(cells)}" for cells in (headings, *rows)]


def _cell(placed: PlacedColumn[Any], row: Any, frame: Frame) -> str:
    column = placed.column
    text = column.cell(row, frame).text
    ellipsis = frame.glyphs.ellipsis
    return fit(text, placed.width, right=column.right, name=column.names, ellipsis=ellipsis)


def _placed(sheet: Sheet[Any], frame: Frame, width: int | None) -> Sequence[PlacedColumn[Any]]:
    longest = {
        column.title: max(width_of(clean(column.cell(row, frame).text)) for row in sheet.rows)
        for column in sheet.columns
    }
    if width is not None:
        return place_columns(sheet.columns, width - 2, longest)
    return [
        PlacedColumn(column, max(longest[column.title], len(column.title)))
        for column in sheet.columns
    ]


def _title(column: Column[Any], frame: Frame) -> str:
    return column.title.replace("→", frame.glyphs.arrow)


def _plain_text(row: Line) -> str:
    return "".join(span.text for span in row.spans)
