"""A column and a view are added in one file each, and are everywhere they should be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from agentdash.tui import names, tables
from agentdash.tui.commands import once_view
from agentdash.tui.figures import UNICODE
from agentdash.tui.help_text import every_column
from agentdash.tui.sheets import SheetForm, sheets_of, written
from agentdash.tui.table import View
from agentdash.tui.tables import pools, views
from agentdash.tui.view_state import ViewState
from tui import fleet_scenarios, scenarios
from tui.plain import key_event, typed
from tui.sessions import session

COLUMN = """
from agentdash.tui.table import Column

ADDED = Column(
    "LUCK", 5, "how lucky the pool is", "luck", lambda row: len(row.key), letter="L", right=True
)
"""
VIEW = """
from agentdash.tui.lines import Span
from agentdash.tui.table import Column, Table, View

WORDS = Table(
    "words",
    "lucky words",
    (Column("WORD", 12, "a word", "word", lambda row: row),),
    lambda frame: ["clover", "ladybird"] if frame.snapshot else [],
    key=lambda row: row,
    nothing=lambda _: [Span("no luck")],
)
VIEWS = (View("luck", (WORDS,), "lucky words", ("lu",)),)
"""


def from_template(text: str) -> ModuleType:
    module = ModuleType("template")
    exec(text, module.__dict__)
    return module


@pytest.fixture
def with_views(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Puts views in place of those of the files, or beside them."""

    def put(*added: View) -> None:
        known = {**views(), **{each.name: each for each in added}}
        for module in ("view_stack", "app", "commands", "help_text"):
            monkeypatch.setattr(f"agentdash.tui.{module}.views", lambda: known)

    return put


def printed(view: View, form: SheetForm) -> str:
    state = ViewState(scenarios.NOW, UNICODE)
    state.accept(fleet_scenarios.burst())
    frame = state.refresh(scenarios.NOW, None)
    return written(view.name, sheets_of(view, frame), frame, form, 240)


async def test_a_column_of_one_file_is_on_the_screen_in_every_form_sorted_and_explained(
    with_views: Callable[..., None],
) -> None:
    column = from_template(COLUMN).ADDED
    table = replace(pools.POOLS, columns=(*pools.POOLS.columns, column))
    view = replace(views()["pools"], tables=(table,))
    with_views(view)
    for form in (SheetForm.TEXT, SheetForm.PLAIN):
        assert "LUCK" in printed(view, form).split()
    assert all(each["luck"] == len(each["pool"]) for each in as_json(view)["pools"])
    assert '"luck"' in printed(view, SheetForm.CSV).splitlines()[0]
    assert every_column()["LUCK"] == "how lucky the pool is"
    async with session(fleet_scenarios.burst(), (240, 45)) as running:
        await running.keys(*typed(":pools"), "enter", "shift+right")
        assert "LUCK" in running.text("#pools").splitlines()[1]
        running.app.view.table.sort_by("LUCK", turn=False)
        shown = running.app.view.table.visible_keys
        assert list(shown) == sorted(shown, key=lambda key: (len(key), key))
        assert running.app.view.columns["LUCK"] == "how lucky the pool is"


def as_json(view: View) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads(printed(view, SheetForm.JSON))
    return found


async def test_a_view_of_one_file_is_opened_printed_and_filtered(
    with_views: Callable[..., None],
) -> None:
    [view] = from_template(VIEW).VIEWS
    with_views(view)
    assert once_view("lu").name == "luck"
    assert as_json(view)["words"] == [{"word": "clover"}, {"word": "ladybird"}]
    async with session(fleet_scenarios.burst()) as running:
        await running.app.views.show("luck")
        await running.pilot.pause()
        assert running.stack == ["overview", "luck"]
        assert "lucky words [2]" in running.text("#words")
        await running.keys(*typed("/lady"), "enter")
        assert running.app.view.table.visible_keys == ("ladybird",)


def test_each_file_of_views_is_found_without_being_named_elsewhere() -> None:
    files = {each.stem for each in Path(tables.__file__).parent.glob("[a-z]*.py")}
    assert set(names.VIEW_NAMES) == files
    assert files <= set(views())


async def test_a_key_that_is_typed_behind_the_one_that_opens_a_view_is_the_views() -> None:
    async with session(fleet_scenarios.burst()) as running:
        driver = running.app._driver
        assert driver is not None
        for key in ("f", "j", "j"):
            driver.send_message(key_event(key))
        await running.settled()
        await running.pilot.pause()
        table = running.app.view.table
        assert table.cursor_key == table.visible_keys[2]
