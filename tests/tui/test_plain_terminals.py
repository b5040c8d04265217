"""The dashboard without colours, without Unicode, and its palette and legend."""

from __future__ import annotations

import asyncio
import re

import pytest
from msgspec.structs import replace

from agentdash.tui.figures import ASCII
from agentdash.tui.help_text import BOUNDS, every_column, help_lines
from agentdash.tui.view import PoolState
from controller.model.decision import Bound, Gate
from tui import fleet_scenarios, scenarios
from tui.all_views import VIEWS
from tui.dashboards import dashboard
from tui.operators import FakeOperator, some_checks
from tui.plain import at_rest, press, typed
from tui.recording import recorded, screen_of
from tui.sessions import session

KEYS = (
    (),
    ("j", "d"),
    ("tab", "tab", "enter"),
    ("question_mark",),
    ("f", "question_mark", "pagedown", "pagedown", "G"),
    ("colon", "w", "h"),
    ("ctrl+p", "p"),
    ("f", "ctrl+p", "s", "o", "r", "t"),
)


async def test_with_ascii_no_other_character_is_written() -> None:
    size = (160, 45)
    operator = FakeOperator()
    operator.progress = some_checks()
    snapshot = replace(fleet_scenarios.over_budget(), at=scenarios.NOW - 47.0)
    app = dashboard(scenarios.FakeFeed(snapshot), ascii_only=True, operator=operator)
    async with recorded(app, size) as (pilot, recording):
        screen, stream = screen_of(size)
        for keys in (*KEYS, *((*typed(f":{view.name}"), "enter") for view in VIEWS)):
            await press(pilot, *keys)
            written = recording.read()
            assert written.isascii(), (keys, sorted(set(re.findall(r"[^\x00-\x7f]", written))))
            stream.feed(written)
            assert "prod-eu1" in screen.display[0]
            await press(pilot, "escape", "escape", "escape")


async def test_with_ascii_the_panels_themselves_draw_with_ascii() -> None:
    app = dashboard(scenarios.FakeFeed(scenarios.mixed_fleet()), ascii_only=True)
    async with recorded(app, (80, 24)) as (pilot, _):
        await pilot.press("j", "d")
        for widget in app.screen.query("Panel"):
            for y in range(widget.size.height):
                text = "".join(segment.text for segment in widget.render_line(y))
                assert text.isascii(), text


async def test_without_colours_the_selection_of_the_palette_is_underlined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = dashboard(scenarios.FakeFeed(scenarios.mixed_fleet()))
    screen, stream = screen_of((100, 30))
    async with recorded(app, (100, 30)) as (pilot, recording):
        await pilot.press("ctrl+p")
        await app.workers.wait_for_complete()
        await pilot.pause()
        await pilot.press("down")
        await pilot.pause()
        stream.feed(recording.read())
    underlined = {
        "".join(cell.data for cell in row.values() if cell.underscore).strip()
        for row in screen.buffer.values()
    }
    assert any(text.startswith(":") for text in underlined)


async def test_the_palette_has_every_action_with_its_keys_every_view_and_every_pool() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        entries = {
            entry.title: entry.help for entry in running.app.get_system_commands(running.app.screen)
        }
        assert entries["still"] == ".  keep still, or go on"
        assert entries["reverse sort"] == "O  reverse the order"
        assert entries["page down"] == "ctrl-f pgdn  page down"
        assert {":overview", ":pools", ":help", ":quit", ":theme paper"} <= entries.keys()
        assert entries["sort by WANT"] == "W  what its work asks for, before any limit"
        await running.keys("ctrl+p")
        await running.type("eval-b")
        await at_rest(running.app, running.pilot)
        await running.keys("enter")
        async with asyncio.timeout(20):
            while running.stack != ["overview", "pool"]:
                await running.pilot.pause(0.05)
        assert running.app.view.pool == "globex/eval-batch"


async def test_help_lists_only_keys_that_do_something_in_the_view() -> None:
    async with session(scenarios.mixed_fleet(), (160, 45)) as running:

        def ids() -> set[str]:
            return {action.id for action in running.app.view.actions}

        assert {"sort_turn", "open", "next_panel", "why"} <= ids()
        await running.keys("f")
        assert "next_panel" not in ids()
        await running.keys("enter")
        assert running.stack[-1] == "pool"
        assert "next_panel" in ids()
        assert not {"open", "filter", "sort_turn", "sort_by", "why"} & ids(), "no pod is shown"
        await running.keys("?")
        assert "sort by" not in running.text("#help")
        assert not {"open", "filter", "sort_turn", "next_panel", "why"} & ids()


def test_the_legend_explains_every_column_state_bound_and_gate() -> None:
    assert all(every_column().values())
    assert all(state.help for state in PoolState)
    assert set(BOUNDS) == {*Bound, *Gate}


def test_the_legend_is_part_of_the_help_and_fits_every_width() -> None:
    for width in (39, 78, 156):
        rows = help_lines((), width, ASCII, every_column())
        shown = ["".join(span.text for span in row.spans) for row in rows]
        text = " ".join(" ".join(shown).split())
        assert "NOW>NEXT" in text
        assert "not becoming ready" in text
        assert all(len(row) <= width for row in shown)
        assert text.isascii()
