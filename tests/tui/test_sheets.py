"""Views without a screen: the columns of the screen as text, and their values as JSON and CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Callable

from msgspec.structs import replace

from agentdash.tui.actions import ACTIONS
from agentdash.tui.figures import ASCII, UNICODE, Glyphs
from agentdash.tui.header import header_lines
from agentdash.tui.help_text import HELP, every_column, help_entries
from agentdash.tui.lines import width_of
from agentdash.tui.names import HELP_VIEW, ONCE_VIEWS
from agentdash.tui.sheets import Sheet, SheetForm, Sheets, sheets_of, written
from agentdash.tui.table import Need
from agentdash.tui.tables import views
from agentdash.tui.view import Frame
from agentdash.tui.view_state import ViewState
from controller.model.ids import PoolKey
from controller.model.intents import Audit, IntentChange
from controller.model.snapshot import Diagnosis, Level, Progress, Snapshot
from support.asked import a_pin
from support.table import tabled
from tui import fleet_scenarios, operators, scenarios

SNAPSHOT_VIEWS = [name for name, each in views().items() if Need.SNAPSHOT in each.needs]


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
    seen = asked(frame(snapshot, glyphs))
    return written(view, sheets(view, seen), seen, form, width)


def asked(seen: Frame, text: str = "OPS-902") -> Frame:
    """The frame with what no snapshot brings, which has this text in its values."""
    found = Diagnosis(check="streams", level=Level.FAIL, subject=text, text=text, todo=text)
    checks = Progress(lines=(*operators.some_checks()[-1].lines, found), ended=1, checks=1)
    pool = PoolKey(text)
    pin = a_pin(pool=pool, replicas=3, who=text, why=text, until=scenarios.NOW + 60)
    made = IntentChange(
        revision=8, at=scenarios.NOW - 70, key=pin.key, who=text, origin=text, why=text
    )
    ended = replace(made, revision=9, at=scenarios.NOW - 69, expired=True)
    newest = replace(made, revision=10, at=scenarios.NOW - 60, after=pin)
    audit = Audit(changes=(made, ended, newest))
    return dataclasses.replace(seen, asked=seen.asked._replace(audit=audit, checks=checks))


def sheets(view: str, seen: Frame) -> Sheets:
    if view == HELP_VIEW:
        return (Sheet(HELP, help_entries(ACTIONS, seen.glyphs)),)
    return sheets_of(views()[view], seen)


def test_every_view_that_can_be_named_has_tables() -> None:
    assert all(sheets(view, frame()) for view in ONCE_VIEWS)


def test_the_printed_help_has_every_key_and_explains_every_column() -> None:
    entries = json.loads(printed("help", SheetForm.JSON))["help"]
    assert {"group": "look", "name": "d", "means": "explain the pool's number"} in entries
    columns = {each["name"] for each in entries if each["group"] == "columns"}
    assert columns == {" ".join(title.split()) for title in every_column()}
    assert all(each["means"] for each in entries)


def test_the_printed_help_has_every_state_and_every_word_of_the_header() -> None:
    entries = json.loads(printed("help", SheetForm.JSON))["help"]
    names = {word for each in entries for word in each["name"].split()}
    of_header = [f"{e['name']} {e['means']}" for e in entries if e["group"] in {"header", "roles"}]
    told = set(re.findall(r"[a-z']+", " ".join(of_header).lower()))
    for snapshot in (fleet_scenarios.burst(), fleet_scenarios.over_budget()):
        for view in ("pools", "queues", "tenants"):
            rows = json.loads(printed(view, SheetForm.JSON, snapshot))[view]
            assert {each["state"] for each in rows} <= names
        seen = frame(snapshot)
        spans = [span for each in header_lines(seen, 400, 2) for span in each.spans]
        words = set(re.findall(r"[a-z']{3,}", "".join(span.text for span in spans).lower()))
        assert words - told <= {snapshot.fleet, *snapshot.context.split("-"), "nats"}


def test_a_title_that_means_something_else_elsewhere_is_explained_for_each_table() -> None:
    found = every_column()
    assert found["WHY of tasks"] != found["WHY of intents"]
    told = {(title.partition(" of ")[0], text) for title, text in found.items()}
    tables = [table for view in views().values() for table in view.tables]
    assert {(c.title, c.legend) for table in tables for c in table.columns} == told


def test_a_node_that_takes_only_pods_that_tolerate_its_taint_is_not_open() -> None:
    nodes = {each["node"]: each for each in json.loads(printed("nodes", SheetForm.JSON))["nodes"]}
    said = {name: (each["is_open"], each["state"]) for name, each in nodes.items()}
    assert said["gpu-a10-04"] == (False, "tainted")
    assert (True, "open") in said.values()


@tabled("view", ONCE_VIEWS)
def test_every_column_of_the_screen_has_values(view: str) -> None:
    for table, _ in sheets(view, frame()):
        names = [name for column in table.columns for name in column.names_of_values]
        assert len(set(names)) == len(names)
        said = {"BUDGET", "UNTIL", "!"}  # SHARE, LEFT and 429/m say the same in numbers
        assert {each.title for each in table.columns if not each.names_of_values} <= said


@tabled("view", ONCE_VIEWS)
@tabled("snapshot", [fleet_scenarios.burst, fleet_scenarios.over_budget])
def test_what_a_cell_says_json_and_csv_have_as_a_value(
    view: str, snapshot: Callable[[], Snapshot]
) -> None:
    seen = asked(frame(snapshot()))
    for table, rows in sheets(view, seen):
        for row in rows:
            for column in table.columns:
                text, values = column.span(row, seen).text.strip(), column.values(row, seen)
                if text not in {"", "-", "?", "~", "pods not known"} and values:
                    told = [each for each in values.values() if each is not None and each != ""]
                    assert told, f"{table.name}: {column.title} of {table.key(row)} says {text}"


@tabled("width", [40, 80, 100, 160])
def test_text_never_runs_over_its_width_nor_has_a_colour(width: int) -> None:
    for view in ONCE_VIEWS:
        text = printed(view, SheetForm.TEXT, width=width)
        assert "\x1b" not in text
        for line in text.splitlines():
            assert width_of(line) <= width, (view, line)


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


@tabled("view", ONCE_VIEWS)
def test_plain_has_a_line_for_each_row_and_as_many_cells_as_titles(view: str) -> None:
    tables = sheets(view, asked(frame()))
    lines = [line.split("\t") for line in printed(view, SheetForm.PLAIN).splitlines()]
    assert len(lines) == sum(1 + len(sheet.rows) for sheet in tables)
    several = len(tables) > 1
    for sheet in tables:
        own = [line for line in lines if not several or line[0] == sheet.table.name]
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
    numbers = [gpu[name] for name in ("ready", "replicas", "next", "wanted", "pending")]
    assert numbers == [12, 15, 20, 1252, 1240]
    assert (canary["pending"], canary["target"], canary["state"]) == (None, None, "blind")
    assert pools["globex/research"]["queue_is_old"] is True


def test_csv_can_be_read_back_and_leaves_unknown_numbers_empty() -> None:
    rows = list(csv.DictReader(io.StringIO(printed("pools", SheetForm.CSV))))
    pools = {row["pool"]: row for row in rows}
    assert len(rows) == 9
    assert pools["acme/browser-gpu"]["pending"] == "1240"
    assert pools["globex/canary"]["pending"] == ""


@tabled("beginning", ["=", "+", "-", "@", " =", "\t="])
def test_no_cell_of_csv_begins_a_formula(beginning: str) -> None:
    finding = scenarios.findings()[0]
    text = f"{beginning}HYPERLINK(1)"
    changed = {"findings": (type(finding)(**{**as_fields(finding), "text": text}),)}
    snapshot = type(scenarios.mixed_fleet())(**{**as_fields(scenarios.mixed_fleet()), **changed})
    [row] = csv.DictReader(io.StringIO(printed("attention", SheetForm.CSV, snapshot)))
    assert row["text"].startswith("'")


def as_fields(value: Snapshot | object) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__struct_fields__}  # type: ignore[attr-defined]


@tabled("view", SNAPSHOT_VIEWS)
def test_an_empty_fleet_says_that_it_is_empty(view: str) -> None:
    text = printed(view, SheetForm.TEXT, scenarios.empty_fleet(), width=80)
    assert "no" in text
    assert json.loads(printed(view, SheetForm.JSON, scenarios.empty_fleet()))["view"] == view
    heads = printed(view, SheetForm.CSV, scenarios.empty_fleet())
    assert heads.startswith('"')


def test_nothing_asked_for_and_nothing_checked_are_said() -> None:
    seen = frame()
    nothing = dataclasses.replace(seen, asked=seen.asked._replace(audit=Audit()))
    for view, said in (("audit", "nothing was ever"), ("intents", "nothing stands")):
        assert said in written(view, sheets(view, nothing), nothing, SheetForm.TEXT, 80)
    away = dataclasses.replace(seen, asked=seen.asked._replace(checks="no fleet file; name one"))
    text = written("doctor", sheets("doctor", away), away, SheetForm.TEXT, 80)
    assert "nothing was checked: no fleet file: name one" in text


def test_why_has_the_rules_of_each_pool_in_their_order_and_what_was_decided() -> None:
    answer = json.loads(printed("why", SheetForm.JSON))
    rows = [each for each in answer["rules"] if each["pool"] == "acme/browser-gpu"]
    snapshot = fleet_scenarios.burst()
    decision = next(view for view in snapshot.pools if view.key == "acme/browser-gpu").decision
    assert decision is not None
    assert [each["code"] for each in rows] == [*(str(each.code) for each in decision.reasons), None]
    assert [each["replicas"] for each in rows][:-1] == [each.value for each in decision.reasons]
    assert (rows[-1]["step"], rows[-1]["replicas"]) == ("decided", 20)
    canary = [each for each in answer["rules"] if each["pool"] == "globex/canary"]
    assert (canary[-1]["replicas"], canary[-1]["text"]) == (6, "bound by demand, held by blind")


def test_the_audit_has_who_what_and_why_newest_first() -> None:
    changes = json.loads(printed("audit", SheetForm.JSON))["audit"]
    assert [each["revision"] for each in changes] == [10, 9, 8]
    newest = changes[0]
    assert (newest["before"], newest["after"], newest["why"]) == (
        "nothing",
        "3 spares kept ready",
        "OPS-902",
    )
    assert (newest["until"], newest["age_s"]) == (scenarios.NOW + 60, 60)
    assert (changes[1]["after"], changes[1]["expired"]) == ("ended", True)


def test_the_doctor_has_the_worst_first_and_what_to_do() -> None:
    found = json.loads(printed("doctor", SheetForm.JSON))["doctor"]
    assert found[0]["level"] == "fail"
    assert any(each["todo"] for each in found)


def test_what_stands_now_is_the_newest_of_each_with_its_end() -> None:
    [stands] = json.loads(printed("intents", SheetForm.JSON))["intents"]
    assert (stands["asked"], stands["until"]) == ("3 spares kept ready", scenarios.NOW + 60)


def test_the_log_has_scale_events_and_what_people_changed_in_one_order() -> None:
    rows = json.loads(printed("log", SheetForm.JSON))["log"]
    times = [each["at"] for each in rows]
    assert times == sorted(times, reverse=True)
    assert {"12→20 +8", "nothing → 3 spares kept ready"} <= set(
        printed("log", SheetForm.PLAIN).replace("\n", "\t").split("\t")
    )
    assert {each["revision"] for each in rows} == {None, 8, 9, 10}
