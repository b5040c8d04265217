"""Text from outside never reaches the terminal as escape sequences, nor Textual as markup."""

from __future__ import annotations

import re

import pytest
from textual.app import App, ComposeResult

from agentdash.tui.app import Dashboard
from agentdash.tui.lines import line
from agentdash.tui.theme import THEMES, stylesheet
from agentdash.tui.widgets.lines_widget import LinesWidget
from tui import fleet_scenarios, scenarios
from tui.dashboards import UndiffedDashboard, dashboard
from tui.plain import press
from tui.recording import recorded, screen_of

# the dashboard's own sequences: cursor, colours, erasing, modes, the shape of the mouse pointer
OWN_SEQUENCES = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\[[0-9;?]*\$p|\x1b[78]|\x1b\]22;[a-z-]*\x07"
)
KEYS = {
    "overview": (),
    "panels": ("tab", "tab"),
    "pools": ("colon", "p", "l", "enter"),
    "why": ("d",),
    "events": ("tab", "tab", "enter"),
    "help": ("question_mark",),
    "completion": ("colon", "w", "h", "y", "space", "left_square_bracket", "tab"),
    "palette": ("ctrl+p",),
    "queues": ("colon", "q", "u", "enter"),
    "tenants": ("colon", "t", "n", "enter"),
    "pods": ("colon", "p", "o", "enter"),
    "nodes": ("colon", "n", "o", "enter"),
    "class": ("colon", "n", "o", "enter", "enter"),
    "node": ("colon", "n", "o", "enter", "enter", "enter"),
    "models": ("colon", "m", "o", "enter"),
    "timeline": ("colon", "e", "v", "enter"),
}


@pytest.mark.parametrize("kind", [Dashboard, UndiffedDashboard])
@pytest.mark.parametrize("name", KEYS)
async def test_no_harmful_character_reaches_the_terminal(name: str, kind: type[Dashboard]) -> None:
    app = dashboard(scenarios.FakeFeed(fleet_scenarios.hostile()), kind=kind)
    async with recorded(app, (160, 45)) as (pilot, recording):
        await press(pilot, *KEYS[name])
        await pilot.pause()
        raw = recording.read()
        rest = OWN_SEQUENCES.sub("", raw)
        harmful = [
            character
            for character in rest
            if (ord(character) < 0x20 and character not in "\r\n")
            or 0x7F <= ord(character) <= 0x9F
            or character in "\u202e\u200b"
        ]
        assert not harmful
        assert "]52;" not in raw.replace("\N{REPLACEMENT CHARACTER}]52;", "")
        assert app.return_code is None


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
