"""How many bytes are written to the terminal where a pty would not say more: what is written when,
and with many pools. The promised figures are counted in test_terminal_bytes.py, in a pty.
"""

from __future__ import annotations

import pytest
from textual.widgets import Input

from tui import scenarios
from tui.dashboards import dashboard
from tui.recording import recorded, screen_of

WIDE = (160, 45)
# the most bytes in a second with one snapshot a second
FIFTY_ROWS = 10_000


async def test_a_second_in_which_50_rows_change_writes_no_more_bytes_than_promised() -> None:
    changed = 50
    feed, clock = (
        scenarios.FakeFeed(scenarios.many_pools(50, 1, changed=changed)),
        scenarios.FixedClock(),
    )
    app = dashboard(feed, clock)
    async with recorded(app, WIDE) as (pilot, recording):
        await pilot.press("enter")
        await pilot.pause()
        recording.read()
        seconds = 5
        for sequence in range(2, 2 + seconds):
            clock.now += 1
            app._redraw()
            feed.publish(scenarios.many_pools(50, sequence, changed=changed, at=clock.now - 0.4))
            await pilot.pause()
        cost = len(recording.read().encode()) / seconds
    assert 0 < cost <= FIFTY_ROWS


async def test_the_same_values_again_write_fewer_than_200_characters() -> None:
    feed, clock = scenarios.FakeFeed(scenarios.mixed_fleet(1)), scenarios.FixedClock()
    app = dashboard(feed, clock)
    async with recorded(app, WIDE) as (pilot, recording):
        recording.read()
        feed.publish(scenarios.mixed_fleet(2))
        await pilot.pause()
        assert len(recording.read()) < 200


async def test_a_view_that_is_drawn_again_without_a_change_writes_nothing() -> None:
    app = dashboard(scenarios.FakeFeed(scenarios.mixed_fleet()))
    async with recorded(app, WIDE) as (pilot, recording):
        recording.read()
        for _ in range(3):
            app._redraw()
            app.screen.refresh(layout=True)
            await pilot.pause()
        assert recording.read() == ""
        app.action_redraw()
        await pilot.pause()
        assert len(recording.read()) > 1_000


@pytest.mark.parametrize(("keys", "budget"), [(("j",), 1_500), (("d",), 15_000)])
async def test_a_key_among_1000_pools_writes_as_few_bytes_as_promised(
    keys: tuple[str, ...], budget: int
) -> None:
    app = dashboard(scenarios.FakeFeed(scenarios.many_pools(1000)), erases_in_color=True)
    async with recorded(app, WIDE) as (pilot, recording):
        recording.read()
        for key in keys:
            await pilot.press(key)
        await pilot.pause()
        assert 0 < len(recording.read().encode()) <= budget


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (120, 36), WIDE])
async def test_the_first_screen_is_written_once_and_no_change_of_view_blanks_it(
    size: tuple[int, int],
) -> None:
    app = dashboard(scenarios.FakeFeed(scenarios.mixed_fleet()))
    screen, stream = screen_of(size)
    async with recorded(app, size) as (pilot, recording):
        first = recording.writes()
        stream.feed("".join(first))
        assert len([each for each in first if len(each) > 100]) == 1
        for key in ("f", "escape"):
            await pilot.press(key)
            await pilot.pause()
            for each in recording.writes():
                stream.feed(each)
                assert "initech/etl" in "\n".join(screen.display), key


async def test_no_cursor_blinks() -> None:
    app = dashboard(scenarios.FakeFeed(scenarios.mixed_fleet()))
    async with recorded(app, WIDE) as (pilot, _):
        for key in ("slash", "escape", "ctrl+p"):
            await pilot.press(key)
            await pilot.pause()
            assert not any(each.cursor_blink for each in app.screen.query(Input))
