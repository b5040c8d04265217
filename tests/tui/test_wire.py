"""The wire: only cells that differ are written, and the screen is the same as without it."""

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
from agentdash.tui.wire import WireDiff
from tui import scenarios
from tui.recording import pixels, recorded, screen_of

SIZE = (100, 30)
SESSION = (
    "j", "j", "G", "g", "tab", "d", "down", "escape", "enter", "shift+right", "escape",
    "slash", "a", "c", "enter", "escape", "colon", "p", "o", "tab", "escape", "question_mark",
    "escape", "full_stop", "full_stop", "ctrl+e", "ctrl+p", "f", "escape", "ctrl+l",
)  # fmt: skip


async def session(*, wire_diff: bool) -> list[list[list[tuple[object, ...]]]]:
    """What the terminal shows after each key, and after snapshots in between."""
    feed, clock = scenarios.FakeFeed(scenarios.calm(1)), scenarios.FixedClock()
    app = Dashboard(feed, clock=clock, wire_diff=wire_diff)
    screen, stream = screen_of(SIZE)
    shown = []
    async with recorded(app, SIZE) as (pilot, tape):
        stream.feed(tape.read())
        shown.append(pixels(screen))
        for number, key in enumerate(SESSION):
            await pilot.press(key)
            if number % 3 == 0:
                feed.publish(scenarios.many(40, number + 2, changed=10))
            await pilot.pause()
            stream.feed(tape.read())
            shown.append(pixels(screen))
    return shown


async def test_a_session_looks_the_same_with_and_without_it() -> None:
    with_diff, without = await session(wire_diff=True), await session(wire_diff=False)
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


def written(wire: WireDiff, *rows: str, style: Style | None = None) -> str:
    return wire.encode(update(*rows, style=style), ColorSystem.TRUECOLOR)


def test_what_the_terminal_shows_already_is_not_written_again() -> None:
    wire = WireDiff()
    assert written(wire, "hello", "world") == "\x1b[1;1H\x1b[0mhello\x1b[2;1H\x1b[0mworld\x1b[0m"
    assert written(wire, "hello", "world") == ""
    assert written(wire, "hello", "worms") == "\x1b[2;4H\x1b[0mms\x1b[0m"


def test_a_colour_alone_is_a_difference() -> None:
    wire = WireDiff()
    written(wire, "ab")
    assert "31" in written(wire, "ab", style=Style(color="red"))


def test_a_short_gap_is_bridged_and_a_long_one_jumped() -> None:
    wire = WireDiff()
    written(wire, "." * 30)
    assert written(wire, "x...x" + "." * 25) == "\x1b[1;1H\x1b[0mx...x\x1b[0m"
    assert written(wire, "y...x" + "." * 20 + "y....").count("H") == 2


def test_after_a_reset_everything_is_written() -> None:
    wire = WireDiff()
    first = written(wire, "hello")
    wire.reset()
    assert written(wire, "hello") == first


@pytest.mark.parametrize("text", ["日本語 ok", "e\u0301tude", "a👍🏽b", "🇪🇺 x"])
def test_wide_and_combined_letters_end_where_the_terminal_ends_them(text: str) -> None:
    wire = WireDiff()
    plain = "." * 12
    written(wire, plain)
    row = Strip([Segment(text)]).adjust_cell_length(12)
    shown = wire.encode(LayoutUpdate([[row]], Region(0, 0, 12, 1)), ColorSystem.TRUECOLOR)
    assert text[-1] in shown
    back = written(wire, plain)
    assert not re.search(r"[^\x00-\x7f]", back)
    assert written(wire, plain) == ""


def test_what_a_wide_letter_covered_is_written_again() -> None:
    wire = WireDiff()
    screen, stream = screen_of((4, 1))
    for row in ("..x.", "日x.", "a.x."):
        stream.feed(written(wire, row))
    assert screen.display[0] == "a.x."


async def test_a_resize_writes_the_whole_screen_again() -> None:
    app = Dashboard(scenarios.FakeFeed(scenarios.calm()), clock=scenarios.FixedClock())
    async with recorded(app, SIZE) as (pilot, tape):
        tape.read()
        await pilot.resize_terminal(90, 28)
        await pilot.pause()
        screen, stream = screen_of((90, 28))
        stream.feed(tape.read())
        assert "acme/browser-gpu" in "\n".join(screen.display)
        assert "prod-eu1" in screen.display[0]
