"""How many bytes reach the terminal: budgets as counts of fixed sessions, not as times."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from agentdash.tui.app import Dashboard
from tui import scenarios
from tui.recording import recorded

WIDE = (160, 45)
# what is promised by the second at one snapshot a second; the measured figure is far below
IDLE, TEN_CELLS, FIFTY_ROWS = 1_000, 2_000, 10_000


@pytest.mark.parametrize(("changed", "budget"), [(0, IDLE), (10, TEN_CELLS), (50, FIFTY_ROWS)])
async def test_a_second_costs_no_more_than_promised(changed: int, budget: int) -> None:
    feed, clock = scenarios.FakeFeed(scenarios.many(50, 1, changed=changed)), scenarios.FixedClock()
    app = Dashboard(feed, clock=clock)
    async with recorded(app, WIDE) as (pilot, tape):
        await pilot.press("enter")
        await pilot.pause()
        tape.read()
        seconds = 5
        for sequence in range(2, 2 + seconds):
            clock.now += 1
            app._tick()
            feed.publish(scenarios.many(50, sequence, changed=changed, at=clock.now - 0.4))
            await pilot.pause()
        cost = len(tape.read().encode()) / seconds
    assert 0 < cost <= budget


async def test_the_same_snapshot_again_writes_next_to_nothing() -> None:
    feed, clock = scenarios.FakeFeed(scenarios.calm(1)), scenarios.FixedClock()
    app = Dashboard(feed, clock=clock)
    async with recorded(app, WIDE) as (pilot, tape):
        tape.read()
        feed.publish(scenarios.calm(2))
        await pilot.pause()
        assert len(tape.read()) < 200


@pytest.mark.parametrize(
    ("keys", "budget"),
    [(("j",), 1_500), (("d",), 35_000), (("question_mark",), 35_000), (("slash",), 3_000)],
)
async def test_a_key_costs_no_more_than_promised(keys: tuple[str, ...], budget: int) -> None:
    app = Dashboard(scenarios.FakeFeed(scenarios.many(1000)), clock=scenarios.FixedClock())
    async with recorded(app, WIDE) as (pilot, tape):
        tape.read()
        for key in keys:
            await pilot.press(key)
        await pilot.pause()
        assert 0 < len(tape.read().encode()) <= budget


async def test_nothing_blinks_while_nobody_types() -> None:
    app = Dashboard(scenarios.FakeFeed(scenarios.calm()), clock=scenarios.FixedClock())
    async with recorded(app, WIDE) as (pilot, _):
        for key in ("slash", "escape", "ctrl+p"):
            await pilot.press(key)
            await pilot.pause()
            assert not any(each.cursor_blink for each in app.screen.query(Input))
