"""Only the cells that differ are written, and the screen is the same as with whole updates."""

from __future__ import annotations

import re

import pytest
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual._compositor import LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from agentdash.tui.app import Dashboard
from agentdash.tui.terminal_diff import TerminalDiff
from tui import scenarios
from tui.dashboards import UndiffedDashboard, dashboard
from tui.recording import cells, recorded, screen_of

SIZE = (100, 30)
SESSION = (
    "j", "j", "G", "g", "tab", "d", "down", "escape", "enter", "shift+right", "escape",
    "slash", "a", "c", "enter", "escape", "colon", "p", "o", "tab", "escape", "question_mark",
    "escape", "full_stop", "full_stop", "ctrl+e", "ctrl+p", "f", "escape", "ctrl+l",
)  # fmt: skip


async def session(kind: type[Dashboard]) -> list[list[list[tuple[object, ...]]]]:
    """What the terminal shows after each key; some snapshots come between the keys."""
    feed, clock = scenarios.FakeFeed(scenarios.mixed_fleet(1)), scenarios.FixedClock()
    app = dashboard(feed, clock, kind=kind)
    screen, stream = screen_of(SIZE)
    shown = []
    async with recorded(app, SIZE) as (pilot, recording):
        stream.feed(recording.read())
        shown.append(cells(screen))
        for number, key in enumerate(SESSION):
            await pilot.press(key)
            if number % 3 == 0:
                feed.publish(scenarios.many_pools(40, number + 2, changed=10))
            await pilot.pause()
            stream.feed(recording.read())
            shown.append(cells(screen))
    return shown


async def test_a_session_looks_the_same_with_and_without_the_difference() -> None:
    with_diff, without = await session(Dashboard), await session(UndiffedDashboard)
    names = ("start", *SESSION)
    for name, one, other in zip(names, with_diff, without, strict=True):
        differing = [
            (y, x)
            for y, (row, twin) in enumerate(zip(one, other, strict=True))
            for x, (cell, its_twin) in enumerate(zip(row, twin, strict=True))
            if cell != its_twin
        ]
        assert not differing, f"after {name}: cells {differing[:5]}"


def update(*rows: str, style: Style | None = None, y: int = 0) -> LayoutUpdate:
    strips = [[Strip([Segment(row, style)])] for row in rows]
    return LayoutUpdate(list(strips), Region(0, y, len(rows[0]), len(rows)))


def written(diff: TerminalDiff, *rows: str, style: Style | None = None) -> str:
    return diff.encode(update(*rows, style=style), ColorSystem.TRUECOLOR)


def test_cells_that_do_not_change_are_not_written() -> None:
    diff = TerminalDiff()
    assert written(diff, "hello", "world") == "\x1b[1;1H\x1b[0mhello\x1b[2;1H\x1b[0mworld\x1b[0m"
    assert written(diff, "hello", "world") == ""
    assert written(diff, "hello", "worms") == "\x1b[2;4H\x1b[0mms\x1b[0m"


def test_a_cell_with_another_colour_is_written() -> None:
    diff = TerminalDiff()
    written(diff, "ab")
    assert "31" in written(diff, "ab", style=Style(color="red"))


def test_a_short_gap_is_written_again_and_a_long_gap_is_skipped() -> None:
    diff = TerminalDiff()
    written(diff, "." * 30)
    assert written(diff, "x...x" + "." * 25) == "\x1b[1;1H\x1b[0mx...x\x1b[0m"
    assert written(diff, "y...x" + "." * 20 + "y....").count("H") == 2


def test_after_a_reset_everything_is_written() -> None:
    diff = TerminalDiff()
    first = written(diff, "hello")
    diff.reset()
    assert written(diff, "hello") == first


@pytest.mark.parametrize("text", ["日本語 ok", "e\u0301tude", "a👍🏽b", "🇪🇺 x"])
def test_wide_and_combined_characters_fill_as_many_cells_as_on_the_terminal(text: str) -> None:
    diff = TerminalDiff()
    plain = "." * 12
    written(diff, plain)
    row = Strip([Segment(text)]).adjust_cell_length(12)
    shown = diff.encode(LayoutUpdate([[row]], Region(0, 0, 12, 1)), ColorSystem.TRUECOLOR)
    assert text[-1] in shown
    back = written(diff, plain)
    assert not re.search(r"[^\x00-\x7f]", back)
    assert written(diff, plain) == ""


def test_cells_under_a_wide_character_are_written_again() -> None:
    diff = TerminalDiff()
    screen, stream = screen_of((4, 1))
    for row in ("..x.", "日x.", "a.x."):
        stream.feed(written(diff, row))
    assert screen.display[0] == "a.x."


async def test_a_resize_writes_the_whole_screen_again() -> None:
    app = dashboard(scenarios.FakeFeed(scenarios.mixed_fleet()))
    async with recorded(app, SIZE) as (pilot, recording):
        recording.read()
        await pilot.resize_terminal(90, 28)
        await pilot.pause()
        screen, stream = screen_of((90, 28))
        stream.feed(recording.read())
        assert "acme/browser-gpu" in "\n".join(screen.display)
        assert "prod-eu1" in screen.display[0]
