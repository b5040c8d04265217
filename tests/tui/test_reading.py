"""Tables while a person reads them: the cursor, the order of rows, and what a filter finds."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from controller.model.decision import Bound
from controller.model.snapshot import ScaleEvent, Snapshot
from tui import scenarios
from tui.sessions import session


def with_demands(sequence: int, at: float, **demands: int) -> Snapshot:
    """Pools with these demands; each has one replica, so the demand is the pressure."""
    views = tuple(
        scenarios.pool("acme", name, pending=demand, ready=1, current=1, demand=demand, target=1)
        for name, demand in demands.items()
    )
    return replace(scenarios.mixed_fleet(sequence, at=at), pools=views)


async def test_rows_keep_their_order_while_they_are_read() -> None:
    async with session(with_demands(1, scenarios.NOW, a=9, b=5, c=3)) as running:
        clock = running.clock
        await running.keys("j")
        clock.now += 9
        await running.publish(with_demands(2, clock.now, a=1, b=2, c=3, d=99))
        assert running.pools == ["acme/a", "acme/b", "acme/c", "acme/d"]
        clock.now += 2
        await running.publish(with_demands(3, clock.now, a=1, b=2, c=3, d=99))
        assert running.pools == ["acme/d", "acme/c", "acme/b", "acme/a"]
        assert running.app.views.overview.pools.cursor_key == "acme/b"


async def test_rows_change_their_places_at_most_every_five_seconds() -> None:
    async with session(with_demands(1, scenarios.NOW, a=9, b=5)) as running:
        clock = running.clock
        clock.now += 6
        await running.publish(with_demands(2, clock.now, a=5, b=9))
        assert running.pools == ["acme/b", "acme/a"]
        clock.now += 1
        await running.publish(with_demands(3, clock.now, a=9, b=5))
        assert running.pools == ["acme/b", "acme/a"]
        clock.now += 4
        await running.publish(with_demands(3, clock.now, a=9, b=5))
        same = with_demands(4, clock.now, a=9, b=5)
        await running.publish(same)
        assert running.pools == ["acme/a", "acme/b"]


async def test_a_sort_that_a_person_asks_for_is_made_at_once() -> None:
    async with session(with_demands(1, scenarios.NOW, a=9, b=5)) as running:
        await running.keys("j")
        await running.publish(with_demands(2, running.clock.now, a=5, b=9))
        await running.keys("P")
        assert running.pools == ["acme/a", "acme/b"]
        await running.keys("P")
        assert running.pools == ["acme/b", "acme/a"]


async def test_a_click_on_a_heading_sorts_by_its_column() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.pilot.click("#pools", offset=(4, 1))
        assert "sort POOL" in running.text("#pools")
        await running.pilot.click("#pools", offset=(4, 1))
        assert running.pools == sorted(running.pools, reverse=True)


async def test_the_cursor_is_seen_after_every_change_of_view_and_size() -> None:
    async with session(scenarios.many_pools(120)) as running:
        await running.keys("G", "k", "k", "k")
        chosen = running.app.views.overview.pools.cursor_key
        assert chosen is not None
        end = chosen[-6:]

        def is_seen() -> bool:
            return any(end in row and ">" in row for row in running.text("#pools").splitlines())

        assert is_seen()
        await running.keys("f")
        assert running.app.view.table.cursor_key == chosen
        assert is_seen()
        await running.keys("escape")
        assert is_seen()
        for size in ((40, 10), (120, 36), (80, 15), (80, 24)):
            await running.pilot.resize_terminal(*size)
            await running.pilot.pause()
        assert is_seen()
        await running.keys("k")
        assert running.app.views.overview.pools.cursor_key != chosen


async def test_after_too_small_and_back_the_keyboard_works() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.keys("tab", "tab")
        await running.pilot.resize_terminal(40, 10)
        await running.pilot.pause()
        await running.pilot.resize_terminal(80, 24)
        await running.pilot.pause()
        assert running.app.focused is running.app.views.overview.events
        await running.keys("j", "d")
        assert running.app.view.pool == "acme/coder-large"


async def test_the_wheel_takes_the_cursor_along() -> None:
    async with session(scenarios.many_pools(100)) as running:
        table = running.app.views.overview.pools
        table.scroll_by(30)
        await running.pilot.pause()
        assert table.cursor_key == table.visible_keys[30]
        assert "31-" in running.text("#pools")


def scaled(count: int, at: float) -> tuple[ScaleEvent, ...]:
    reason = scenarios.queue_reason(3, 0, 3)
    return tuple(
        replace(
            scenarios.event(0, f"acme/pool-{number:03d}", 1, 3, Bound.DEMAND, reason=reason),
            at=at + number,
        )
        for number in range(count)
    )


async def test_events_follow_the_newest_until_the_cursor_is_moved_then_hold_still() -> None:
    def fleet(count: int) -> Snapshot:
        snapshot = scenarios.mixed_fleet(5000 + count)
        return replace(snapshot, events=scaled(count, scenarios.NOW - 400))

    async with session(fleet(30)) as running:
        events = running.app.views.overview.events
        await running.publish(fleet(31))
        assert events.cursor_key == events.visible_keys[0]
        await running.keys("tab", "tab", "j", "j")
        chosen, before = events.cursor_key, running.text("#events").splitlines()[1:-1]
        await running.publish(fleet(60))
        assert events.cursor_key == chosen
        assert running.text("#events").splitlines()[1:-1] == before
        assert "held" in running.text("#events")
        await running.keys("g")
        await running.publish(fleet(61))
        assert events.cursor_key == events.visible_keys[0]
        assert "acme/pool-060" in running.text("#events")


async def test_a_filter_belongs_to_the_table_with_the_focus() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        events = running.app.views.overview.events
        await running.keys("tab", "tab")
        await running.type("/forbidden")
        assert len(events.visible_keys) == 1
        assert len(running.pools) == 9
        assert "1 match in scale events" in running.text("#prompt-note")
        await running.keys("enter")
        assert running.app.focused is events
        await running.keys("tab", "escape")
        assert len(events.visible_keys) == 6
        await running.keys("escape")
        assert running.app.return_code is None


@pytest.mark.parametrize(
    ("text", "found"),
    [("max", 1), ("cooldown", 1), ("5 pods per 60 s", 1), ("^12:0", 4), ("^globex", 2)],
)
async def test_a_filter_finds_every_column_of_an_event(text: str, found: int) -> None:
    async with session(scenarios.mixed_fleet(), (160, 45)) as running:
        await running.keys("tab", "tab")
        await running.type(f"/{text}")
        assert len(running.app.views.overview.events.visible_keys) == found


async def test_a_filter_finds_every_column_of_a_pool() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.type("/1,240")
        assert running.pools == ["acme/browser-gpu"]
        await running.keys("escape")
        await running.type("/starter")
        assert len(running.pools) == 3
