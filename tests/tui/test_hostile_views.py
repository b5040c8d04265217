"""Hostile texts through every view, prompt, message, file and clipboard, and the bytes they leave.

No character of another person may speak to the terminal, be taken for markup, or run in a
spreadsheet, wherever it is shown.
"""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from msgspec.structs import replace
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from agentdash.tui.figures import UNICODE
from agentdash.tui.lines import line
from agentdash.tui.sheets import SheetForm, sheets_of, written
from agentdash.tui.tables import views
from agentdash.tui.theme import THEMES, stylesheet
from agentdash.tui.view_state import ViewState
from agentdash.tui.widgets.lines_widget import LinesWidget
from controller.model.intents import IntentChange, Scope
from support.asked import a_pause
from support.table import tabled
from tui import fleet_scenarios, operators, scenarios
from tui.all_views import VIEWS
from tui.dashboards import dashboard
from tui.plain import key_event, screen_lines, typed
from tui.recording import recorded, screen_of
from tui.test_sheets import asked

WIDE = (160, 45)
# the dashboard's own sequences: cursor, colours, erasing, modes, the shape of the mouse pointer
OWN_SEQUENCES = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\[[0-9;?]*\$p|\x1b[78]|\x1b\]22;[a-z-]*\x07"
)
# zero width, bidi marks and overrides, byte order, fillers, a tag, half a surrogate pair
INVISIBLE = "\u200b\u200e\u202e\u2066\u2060\ufeff\u3164\u034f\U000e0041\ud800"
TEXTS = {
    "escapes": scenarios.HOSTILE_TEXT,
    "markup": "[/][@click=app.quit()]x[/][link=http://x]y[bold][",
    "formula": "=cmd|' /C calc'!A0",
    "wide formula": "＝1+1",
    "controls": f"a{INVISIBLE}" + "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)])),
    "long": "[@click=app.quit()]" + "x" * 2_000,
    "wide": "\u754c" * 2_000,
}
TEXTS["escapes and controls"] = TEXTS["escapes"] + TEXTS["controls"]
ALL_AT_ONCE = TEXTS["escapes and controls"] + TEXTS["long"] + TEXTS["escapes and controls"]
COPIED = re.compile(r"\x1b\]52;c;[A-Za-z0-9+/]*=*\x07")
COMMANDS = tuple(view.name for view in VIEWS)
# more of what can be opened: panels of the overview and their rows, why, help, palette, completion
WALKS = (
    ("tab", "enter"),
    ("tab", "tab", "enter"),
    ("d",),
    (*typed(":nodes"), "enter", "enter", "enter", "C"),
    ("question_mark",),
    ("ctrl+p", "x"),
    ("ctrl+p", "escape"),
    (*typed(":why "), "tab", "tab", "enter"),
    (*typed(":pause "), "tab", "tab", "escape"),
    (*typed("/x"), "enter"),
    ("c",),
    ("C",),
)


def harmful(raw: str) -> list[str]:
    """The characters that are neither text nor of the dashboard's own sequences."""
    rest = OWN_SEQUENCES.sub("", COPIED.sub("", raw))
    return [
        character
        for character in rest
        if (ord(character) < 0x20 and character not in "\r\n")
        or 0x7F <= ord(character) <= 0x9F
        or character in INVISIBLE
    ]


def changes_by(text: str) -> list[IntentChange]:
    """Who did what and why is this text."""
    pause = a_pause(scope=Scope(tenant=text), until=scenarios.NOW + 60, who=text, why=text)
    return [
        IntentChange(
            revision=1,
            at=scenarios.NOW - 5,
            key=pause.key,
            who=text,
            origin=text,
            after=pause,
            why=text,
        )
    ]


def operator_by(text: str) -> operators.FakeOperator:
    operator = operators.FakeOperator()
    operator.changes = changes_by(text)
    operator.stands(a_pause(scope=Scope(pool=text), until=scenarios.NOW + 60, who=text, why=text))
    return operator


@pytest.mark.timeout(180)
async def test_no_view_lets_a_text_speak_to_the_terminal() -> None:
    text = ALL_AT_ONCE
    app = dashboard(
        scenarios.FakeFeed(fleet_scenarios.hostile(text)),
        operator=operator_by(text),
        engine_error=lambda: text,
    )
    walks = (*WALKS, *((f":{command}",) for command in (*COMMANDS, "audit")))
    async with recorded(app, WIDE) as (pilot, recording):
        for walk in walks:
            if walk[0].startswith(":"):
                await press(pilot, "colon")
                app.view.prompt.input.value = walk[0].removeprefix(":")
                await press(pilot, "enter")
            else:
                await press(pilot, *walk)
            raw = recording.read()
            assert not harmful(raw), walk
            assert app.return_code is None
            assert raw, walk
            await press(pilot, "enter", "escape", "escape")
        assert not harmful(recording.read())


async def test_no_question_or_message_lets_a_text_speak_to_the_terminal() -> None:
    text = ALL_AT_ONCE
    operator = operator_by(text)
    app = dashboard(scenarios.FakeFeed(fleet_scenarios.hostile(text)), operator=operator)
    async with recorded(app, WIDE) as (pilot, recording):
        await press(pilot, *typed(":pools"), "enter", *typed("/x"), "enter", "escape")
        await press(pilot, "s", *typed("why"), "enter", "y", "enter")
        operator.failure = operators.refused(text)
        await press(pilot, "z", *typed("why"), "enter", "enter")
        await press(pilot, "escape", "escape", "u", "escape")
        app.flash(text)
        app.notify(text, title=text, markup=False)
        await pilot.pause()
        assert not harmful(recording.read())
        assert app.return_code is None


async def press(pilot: Pilot[None], *keys: str) -> None:
    """Type as fast as the dashboard answers."""
    for key in keys:
        pilot.app.post_message(key_event(key))
        with pilot.app._context():
            await pilot._wait_for_screen()


async def test_markup_in_a_name_is_shown_as_it_was_typed_in_every_view() -> None:
    text = TEXTS["markup"]
    app = dashboard(scenarios.FakeFeed(fleet_scenarios.hostile(text)))
    async with recorded(app, WIDE) as (pilot, _):
        for view in COMMANDS:
            await press(pilot, *typed(f":{view}"), "enter")
            assert any("[/]" in line for line in screen_lines(app)), view


async def test_the_clipboard_gets_the_name_and_the_terminal_only_base64() -> None:
    app = dashboard(scenarios.FakeFeed(fleet_scenarios.hostile()))
    async with recorded(app, WIDE) as (pilot, recording):
        await press(pilot, *typed(":pools"), "enter")
        recording.read()
        await press(pilot, "C")
        raw = recording.read()
    assert COPIED.search(raw)
    assert not harmful(raw)


@pytest.mark.parametrize("kind", ["csv", "json", "svg", "txt"])
async def test_a_saved_view_has_no_harmful_character(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = dashboard(scenarios.FakeFeed(fleet_scenarios.hostile()))
    async with recorded(app, WIDE) as (pilot, _):
        await press(pilot, *typed(":pools"), "enter")
        while app.view is app.views.overview:
            await pilot.pause()
        await press(pilot, "ctrl+s")
        app.view.prompt.input.value = f"pools.{kind}"
        await press(pilot, "enter")
        while not (tmp_path / f"pools.{kind}").exists():
            await pilot.pause()
    saved = (tmp_path / f"pools.{kind}").read_text()
    assert "evil" in saved
    assert not harmful(saved)
    if kind == "svg":
        assert "<a " not in saved
        assert "onclick" not in saved


@tabled("name", TEXTS)
def test_no_printed_view_lets_a_text_through(name: str) -> None:
    text = TEXTS[name]
    state = ViewState(scenarios.NOW, UNICODE)
    state.accept(replace(fleet_scenarios.hostile(text), process=text))
    frame = asked(state.refresh(scenarios.NOW, text), text)
    for name_of_view, view in views().items():
        sheets = sheets_of(view, frame)
        printed = {form: written(name_of_view, sheets, frame, form, None) for form in SheetForm}
        for form, output in printed.items():
            assert not [each for each in harmful(output) if each != "\t"], (name_of_view, form)
        json.loads(printed[SheetForm.JSON])
        for row in csv.reader(io.StringIO(printed[SheetForm.CSV])):
            assert not [cell for cell in row if is_formula(cell)], name_of_view


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet would compute the cell; a negative number is none."""
    if not cell.lstrip().startswith(("=", "+", "-", "@", "＝")):
        return False
    return re.fullmatch(r"-?[0-9.e+-]+", cell) is None


async def test_markup_is_shown_as_plain_text_and_a_click_on_it_does_nothing() -> None:
    app = dashboard(scenarios.FakeFeed(scenarios.hostile_fleet()))
    async with recorded(app, (160, 45)) as (pilot, recording):
        screen, stream = screen_of((160, 45))
        stream.feed(recording.read())
        assert "[@click=app.quit()]x" in "\n".join(screen.display)
        await pilot.click(offset=(4, 6))
        await pilot.pause()
        assert app.return_code is None


class OneWidget(App[None]):
    """One widget of lines, for text that was not cleaned before."""

    CSS = stylesheet()

    def __init__(self) -> None:
        super().__init__()
        self.register_theme(THEMES[0])
        self.theme = THEMES[0].name

    def compose(self) -> ComposeResult:
        yield LinesWidget(id="lines")


async def test_the_widget_cleans_text_that_was_not_cleaned_before() -> None:
    app = OneWidget()
    async with app.run_test(size=(80, 24)):
        widget = app.query_one("#lines", LinesWidget)
        widget.show(lambda *_: [line(scenarios.HOSTILE_TEXT)])
        shown = "".join(segment.text for segment in widget.render_line(0))
    assert "[@click=app.quit()]x" in shown
    assert not set(shown) & set("\x1b\x07\x9b\u202e\u200b")
