"""Only the cells that differ are written, and the screen is the same as with whole updates."""

from __future__ import annotations

import re

import pyte
import pytest
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual._compositor import LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from agentdash.tui.app import Dashboard
from agentdash.tui.terminal_diff import TerminalDiff
from support.table import tabled
from tui import scenarios
from tui.dashboards import UndiffedDashboard, dashboard
from tui.plain import at_rest
from tui.recording import cells, recorded, screen_of

SIZE = (100, 30)
SESSION = (
    "j", "j", "G", "g", "tab", "d", "down", "escape", "enter", "shift+right", "escape",
    "slash", "a", "c", "enter", "escape", "colon", "p", "o", "tab", "escape", "question_mark",
    "escape", "full_stop", "full_stop", "ctrl+e", "ctrl+p", "f", "escape", "ctrl+l",
)  # fmt: skip


async def session(
    kind: type[Dashboard], *, erases_in_color: bool = False
) -> list[list[list[tuple[object, ...]]]]:
    """What the terminal shows after each key; some snapshots come between the keys."""
    feed, clock = scenarios.FakeFeed(scenarios.mixed_fleet(1)), scenarios.FixedClock()
    app = dashboard(feed, clock, kind=kind, erases_in_color=erases_in_color)
    screen, stream = screen_of(SIZE)
    shown = []
    async with recorded(app, SIZE) as (pilot, recording):
        stream.feed(recording.read())
        shown.append(cells(screen))
        for number, key in enumerate(SESSION):
            await pilot.press(key)
            if number % 3 == 0:
                feed.publish(scenarios.many_pools(40, number + 2, changed=10))
            await at_rest(app, pilot)
            stream.feed(recording.read())
            shown.append(cells(screen))
    return shown


async def test_a_session_looks_the_same_with_and_without_the_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # a message that ends with time would end at another key on a slow machine
    monkeypatch.setattr("agentdash.tui.app.FLASH_S", 1e9)
    with_diff = await session(Dashboard, erases_in_color=True)
    without = await session(UndiffedDashboard)
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
    assert written(diff, "hello", "world") == "\x1b[m\x1b[1;1Hhello\r\nworld"
    assert written(diff, "hello", "world") == ""
    assert written(diff, "hello", "worms") == "\x1b[2;4Hms"


def test_a_cell_with_another_colour_is_written() -> None:
    diff = TerminalDiff()
    written(diff, "ab")
    assert "31" in written(diff, "ab", style=Style(color="red"))


def test_a_short_gap_is_written_again_and_a_long_gap_is_skipped() -> None:
    diff = TerminalDiff()
    written(diff, "." * 30)
    assert written(diff, "x...x" + "." * 25) == "\x1b[1;1Hx...x"
    assert written(diff, "y...x" + "." * 20 + "y....") == "\x1b[1;1Hy\x1b[26Gy"


def test_many_blanks_are_one_erasure_and_on_a_colour_only_where_the_terminal_keeps_it() -> None:
    row, on_red = "a" + " " * 20 + "b", Style(bgcolor="red")
    assert written(TerminalDiff(), row) == "\x1b[m\x1b[1;1Ha\x1b[20X\x1b[22Gb"
    assert written(TerminalDiff(), "a" + " " * 20) == "\x1b[m\x1b[1;1Ha\x1b[20X"
    assert " " * 20 in written(TerminalDiff(), row, style=on_red)
    assert "\x1b[20X" in written(TerminalDiff(erases_in_color=True), row, style=on_red)


@tabled("style", ["underline", "reverse on blue", "strike"])
def test_blanks_of_which_more_than_the_colour_is_seen_are_written(style: str) -> None:
    seen = written(TerminalDiff(erases_in_color=True), " " * 20, style=Style.parse(style))
    assert " " * 20 in seen


def test_the_same_column_of_the_next_line_costs_a_step_down() -> None:
    diff, above = TerminalDiff(), [""] * 9
    written(diff, *above, "age 1s", "age 2s")
    assert written(diff, *above, "age 3s", "age 4s") == "\x1b[10;5H3\x1b[B\x1b[D4"


def test_a_step_straight_down_moves_to_no_side() -> None:
    diff, above = TerminalDiff(), [""] * 9
    written(diff, *above, "age 17s", "! 1 new")
    shown = written(diff, *above, "age 18s", "! 1 net")
    assert shown == "\x1b[10;6H8\x1b[Bt"


def test_a_table_of_coloured_columns_changes_its_colour_once_for_each() -> None:
    rows = [
        Strip([Segment(f"{n}ok", Style(color="red")), Segment(" up", Style(color="green"))])
        for n in range(5)
    ]
    table = LayoutUpdate([[row] for row in rows], Region(0, 0, 6, 5))
    shown = TerminalDiff().encode(table, ColorSystem.TRUECOLOR)
    assert (shown.count("\x1b[31m"), shown.count("\x1b[32m")) == (1, 1)
    screen = pyte.Screen(6, 5)
    pyte.Stream(screen).feed(shown)
    assert screen.display == [f"{n}ok up" for n in range(5)]
    assert {screen.buffer[4][x].fg for x in (0, 2)} == {"red"}
    assert {screen.buffer[4][x].fg for x in (4, 5)} == {"green"}


def test_after_a_style_the_one_that_differs_least_is_next() -> None:
    styles = ("red", "green on blue", "red on blue")
    row = Strip(
        [Segment(text, Style.parse(each)) for text, each in zip("abc", styles, strict=True)]
    )
    diff = TerminalDiff()
    shown = diff.encode(LayoutUpdate([[row]], Region(0, 0, 3, 1)), ColorSystem.TRUECOLOR)
    assert shown == "\x1b[m\x1b[1;1H\x1b[31ma\x1b[3G\x1b[44mc\x1b[2G\x1b[32mb"
    assert written(diff, "abc", style=Style.parse("green on blue")) == "\x1b[1;1Habc"


def test_a_column_of_the_same_line_is_reached_by_the_shorter_way() -> None:
    diff = TerminalDiff()
    written(diff, "." * 60)
    shown = written(diff, "x" + "." * 9 + "x" + "." * 38 + "x" + "." * 10)
    # on to column 11, and to column 50, where both ways are as long
    assert shown == "\x1b[1;1Hx\x1b[9Cx\x1b[50Gx"


def test_behind_a_character_that_may_be_wider_the_column_is_named() -> None:
    diff = TerminalDiff()
    written(diff, "." * 120)
    shown = written(diff, "." * 100 + "→" + "." * 9 + "x" + "." * 9)
    assert shown == "\x1b[1;101H→\x1b[111Gx"


@tabled(("first", "second"), [("a1", "a2"), ("日1.", "日2.")])
def test_a_step_down_is_not_taken_from_the_last_column_nor_behind_wide_characters(
    first: str, second: str
) -> None:
    shown = written(TerminalDiff(), first, second)
    assert "\r\n" in shown
    assert "\x1b[B" not in shown
    diff = TerminalDiff()
    written(diff, "..", "..")
    assert written(diff, ".x", ".x") == "\x1b[1;2Hx\x1b[2;2Hx"


def test_after_a_reset_everything_is_written() -> None:
    diff = TerminalDiff()
    first = written(diff, "hello")
    diff.reset()
    assert written(diff, "hello") == first


@tabled("text", ["日本語 ok", "e\u0301tude", "a👍🏽b", "🇪🇺 x"])
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


STYLES = ("", "bold red on blue", "dim red on blue", "italic", "underline on blue", "reverse bold")


@tabled("before", STYLES)
@tabled("after", STYLES)
def test_of_a_style_only_the_difference_is_written_and_it_looks_the_same(
    before: str, after: str
) -> None:
    diff = TerminalDiff()
    diffed, one = screen_of((8, 1))
    whole, other = screen_of((8, 1))
    row = Strip([Segment("a b", Style.parse(before)), Segment("c d", Style.parse(after))])
    one.feed(diff.encode(LayoutUpdate([[row]], Region(0, 0, 6, 1)), ColorSystem.TRUECOLOR))
    # the style of one update is still set when the next one begins
    end = Strip([Segment("ef", Style.parse(before))])
    one.feed(diff.encode(LayoutUpdate([[end]], Region(6, 0, 2, 1)), ColorSystem.TRUECOLOR))
    for text, style in (("a b", before), ("c d", after), ("ef", before)):
        other.feed("\x1b[0m" + Style.parse(style).render(text, color_system=ColorSystem.TRUECOLOR))
    assert cells(diffed) == cells(whole)


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


async def test_text_that_nobody_cleaned_reaches_the_terminal_as_text() -> None:
    app = dashboard(scenarios.FakeFeed(scenarios.mixed_fleet()))
    async with recorded(app, (100, 30)) as (pilot, recording):
        recording.read()
        app.notify(f"{scenarios.HOSTILE_TEXT}", markup=False)
        await pilot.pause()
        raw = recording.read()
    assert "evil" in raw
    assert not {"\x9b", "\u202e", "\u200b"} & set(raw)
    assert "\x1b]52" not in raw
