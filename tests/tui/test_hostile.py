"""Text from the cluster cannot speak to the terminal, nor be code, even where nobody cleaned it."""

from __future__ import annotations

import re

import pytest
from textual.app import App, ComposeResult

from agentdash.tui.app import Dashboard
from agentdash.tui.lines import line
from agentdash.tui.theme import THEME, stylesheet
from agentdash.tui.widgets.lined import Lined
from tui import scenarios
from tui.recording import recorded, screen_of

# what a dashboard itself says: cursor, colours, erasing, modes, the mouse pointer's shape
OURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\[[0-9;?]*\$p|\x1b[78]|\x1b\]22;[a-z-]*\x07")
WAYS = {
    "overview": (),
    "panels": ("tab", "tab"),
    "pools": ("colon", "p", "l", "enter"),
    "why": ("d",),
    "events": ("tab", "tab", "enter"),
    "help": ("question_mark",),
    "completion": ("colon", "w", "h", "y", "space", "left_square_bracket", "tab"),
    "palette": ("ctrl+p",),
}


@pytest.mark.parametrize("wire_diff", [True, False])
@pytest.mark.parametrize("way", WAYS)
async def test_nothing_of_it_reaches_the_terminal(way: str, wire_diff: bool) -> None:
    app = Dashboard(
        scenarios.FakeFeed(scenarios.hostile()), clock=scenarios.FixedClock(), wire_diff=wire_diff
    )
    async with recorded(app, (160, 45)) as (pilot, tape):
        for key in WAYS[way]:
            await pilot.press(key)
        await pilot.pause()
        raw = tape.read()
        rest = OURS.sub("", raw)
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


async def test_markup_is_shown_as_it_was_typed_and_a_click_on_it_does_nothing() -> None:
    app = Dashboard(scenarios.FakeFeed(scenarios.hostile()), clock=scenarios.FixedClock())
    async with recorded(app, (160, 45)) as (pilot, tape):
        screen, stream = screen_of((160, 45))
        stream.feed(tape.read())
        assert "[@click=app.quit()]x" in "\n".join(screen.display)
        await pilot.click(offset=(4, 6))
        await pilot.pause()
        assert app.return_code is None


class Bare(App[None]):
    """Only a widget of lines, with text that nobody has cleaned."""

    CSS = stylesheet()

    def __init__(self) -> None:
        super().__init__()
        self.register_theme(THEME)
        self.theme = THEME.name

    def compose(self) -> ComposeResult:
        yield Lined(id="bare")


async def test_the_widget_itself_is_a_door_for_whoever_forgets_to_clean() -> None:
    app = Bare()
    async with app.run_test(size=(80, 24)):
        bare = app.query_one("#bare", Lined)
        bare.show(lambda *_: [line(scenarios.EVIL)])
        shown = "".join(segment.text for segment in bare.render_line(0))
    assert "[@click=app.quit()]x" in shown
    assert not set(shown) & set("\x1b\x07\x9b\u202e\u200b")
