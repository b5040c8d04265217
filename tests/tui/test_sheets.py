"""Views without a screen: the columns of the screen as text, and their values as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json

import pytest

from agentdash.tui.glyphs import ASCII, UNICODE, Glyphs
from agentdash.tui.lines import width_of
from agentdash.tui.names import ONCE_VIEWS
from agentdash.tui.sheets import SheetForm, sheets_of, written
from agentdash.tui.view import Frame
from agentdash.tui.view_state import ViewState
from controller.model.snapshot import Snapshot
from tui import fleet_scenarios, scenarios

# of the column BUDGET: the share in numbers says the same
WITHOUT_A_VALUE = {"BUDGET"}


def frame(snapshot: Snapshot | None = None, glyphs: Glyphs = UNICODE) -> Frame:
    state = ViewState(scenarios.NOW, glyphs)
    state.accept(snapshot or fleet_scenarios.burst())
    return state.refresh(scenarios.NOW, None)


def printed(
    view: str,
    form: SheetForm,
    snapshot: Snapshot | None = None,
    *,
    width: int | None = None,
    glyphs: Glyphs = UNICODE,
) -> str:
    seen = frame(snapshot, glyphs)
    return written(view, sheets_of(view, seen), seen, form, width)


def test_every_view_that_can_be_named_has_tables() -> None:
    assert all(sheets_of(view, frame()) for view in ONCE_VIEWS)


@pytest.mark.parametrize("view", ONCE_VIEWS)
def test_every_column_of_the_screen_has_values(view: str) -> None:
    for sheet in sheets_of(view, frame()):
        titles = {column.title for column in sheet.columns}
        assert titles - WITHOUT_A_VALUE <= {field.column for field in sheet.fields}
        names = [field.name for field in sheet.fields]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("view", ONCE_VIEWS)
@pytest.mark.parametrize("width", [40, 80, 100, 160])
def test_text_never_runs_over_its_width(view: str, width: int) -> None:
    for line in printed(view, SheetForm.TEXT, width=width).splitlines():
        assert width_of(line) <= width, line


def test_without_a_width_nothing_is_cut() -> None:
    text = printed("pools", SheetForm.TEXT)
    assert "…" not in text
    assert "2 messages in flight come back again and again" in text
    assert "missing data takes nothing away" in text


def test_a_narrow_text_leaves_out_the_columns_that_the_screen_leaves_out() -> None:
    heading = printed("pools", SheetForm.TEXT, width=80).splitlines()[4].split()
    assert heading[:4] == ["POOL", "STATE", "SINCE", "READY"]
    assert "WHY" not in heading


def test_text_says_what_is_old_and_what_is_unknown() -> None:
    rows = printed("pools", SheetForm.TEXT, width=160).splitlines()
    research = next(row for row in rows if "globex/research" in row)
    assert "402~" in research
    canary = next(row for row in rows if "globex/canary" in row)
    assert "!! blind" in canary
    assert " ? " in canary


@pytest.mark.parametrize("view", ONCE_VIEWS)
def test_plain_has_a_line_for_each_row_and_as_many_cells_as_titles(view: str) -> None:
    sheets = sheets_of(view, frame())
    lines = [line.split("\t") for line in printed(view, SheetForm.PLAIN).splitlines()]
    assert len(lines) == sum(1 + len(sheet.rows) for sheet in sheets)
    several = len(sheets) > 1
    for sheet in sheets:
        own = [line for line in lines if not several or line[0] == sheet.name]
        assert len({len(line) for line in own}) == 1
        assert all(cell for line in own for cell in line)


def test_plain_draws_no_borders_and_no_bars() -> None:
    for view in ONCE_VIEWS:
        assert not set(printed(view, SheetForm.PLAIN)) & set("─│┌┐└┘▁▂▃▄▅▆▇█")


def test_ascii_is_ascii() -> None:
    for view in ONCE_VIEWS:
        for form in (SheetForm.TEXT, SheetForm.PLAIN):
            assert printed(view, form, glyphs=ASCII, width=100).isascii()


def test_json_has_numbers_and_null_for_what_is_not_known() -> None:
    answer = json.loads(printed("pools", SheetForm.JSON))
    pools = {each["pool"]: each for each in answer["pools"]}
    assert answer["view"] == "pools"
    gpu, canary = pools["acme/browser-gpu"], pools["globex/canary"]
    numbers = [gpu[name] for name in ("ready", "replicas", "next", "demand", "pending")]
    assert numbers == [12, 15, 20, 1252, 1240]
    assert (canary["pending"], canary["target"], canary["state"]) == (None, None, "blind")
    assert pools["globex/research"]["queue_is_old"] is True


def test_csv_can_be_read_back_and_leaves_unknown_numbers_empty() -> None:
    rows = list(csv.DictReader(io.StringIO(printed("pools", SheetForm.CSV))))
    pools = {row["pool"]: row for row in rows}
    assert len(rows) == 9
    assert pools["acme/browser-gpu"]["pending"] == "1240"
    assert pools["globex/canary"]["pending"] == ""


@pytest.mark.parametrize("beginning", ["=", "+", "-", "@", " =", "\t="])
def test_no_cell_of_csv_begins_a_formula(beginning: str) -> None:
    finding = scenarios.findings()[0]
    text = f"{beginning}HYPERLINK(1)"
    changed = {"findings": (type(finding)(**{**as_fields(finding), "text": text}),)}
    snapshot = type(scenarios.mixed_fleet())(**{**as_fields(scenarios.mixed_fleet()), **changed})
    [row] = csv.DictReader(io.StringIO(printed("attention", SheetForm.CSV, snapshot)))
    assert row["text"].startswith("'")


def as_fields(value: Snapshot | object) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__struct_fields__}  # type: ignore[attr-defined]


@pytest.mark.parametrize("view", ONCE_VIEWS)
@pytest.mark.parametrize("form", SheetForm)
def test_no_hostile_text_comes_through(view: str, form: SheetForm) -> None:
    for snapshot in (scenarios.hostile_fleet(), fleet_scenarios.hostile()):
        text = printed(view, form, snapshot)
        assert not {"\x1b", "\x9b", "\u202e", "\u200b", "\x07"} & set(text)
        if form is SheetForm.JSON:
            assert "\\u001b" not in text


@pytest.mark.parametrize("view", ONCE_VIEWS)
def test_an_empty_fleet_says_that_it_is_empty(view: str) -> None:
    text = printed(view, SheetForm.TEXT, scenarios.empty_fleet(), width=80)
    assert "no" in text
    assert json.loads(printed(view, SheetForm.JSON, scenarios.empty_fleet()))["view"] == view
    heads = printed(view, SheetForm.CSV, scenarios.empty_fleet())
    assert heads.startswith('"')
