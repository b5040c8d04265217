"""What a person's keys do, and what snapshots do to a screen that is looked at."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from agentdash.tui.app import Dashboard
from agentdash.tui.lines import Line
from agentdash.tui.screens.why import WhyScreen
from agentdash.tui.widgets.lined import Lined, changed_cells
from controller.model.snapshot import Snapshot
from tui import scenarios


class Bench:
    """A dashboard at work with its feed and its clock."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        self.feed = scenarios.FakeFeed(snapshot)
        self.clock = scenarios.FixedClock()
        self.trouble: str | None = None
        self.ready = 0
        self.app = Dashboard(
            self.feed,
            clock=self.clock,
            on_ready=self._on_ready,
            engine_status=lambda: self.trouble,
        )
        self.pilot: Pilot[None]

    def _on_ready(self) -> None:
        self.ready += 1

    async def keys(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        names = {"/": "slash", ":": "colon", " ": "space"}
        await self.keys(*(names.get(letter, letter) for letter in text))

    async def publish(self, snapshot: Snapshot) -> None:
        self.feed.publish(snapshot)
        await self.pilot.pause()

    def text(self, selector: str) -> str:
        widget = self.app.view.query_one(selector, Lined)
        return "\n".join(
            "".join(segment.text for segment in widget.render_line(y))
            for y in range(widget.size.height)
        )

    @property
    def stack(self) -> list[str]:
        return [view.VIEW for view in self.app._views()]

    @property
    def pools(self) -> list[str]:
        return list(self.app._overview.pools.visible_keys)


@asynccontextmanager
async def at_work(
    snapshot: Snapshot | None, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Bench]:
    bench = Bench(snapshot)
    async with bench.app.run_test(size=size) as pilot:
        bench.pilot = pilot
        await pilot.pause()
        yield bench


async def test_enter_goes_to_the_pool_and_then_to_its_why_and_escape_comes_back() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.keys("j", "enter")
        assert bench.stack == ["overview", "pools"]
        assert bench.app._pools.pools.cursor_key == "initech/etl"
        await bench.keys("enter")
        assert bench.stack == ["overview", "pools", "why"]
        assert bench.app._why.pool == "initech/etl"
        await bench.keys("escape", "q")
        assert bench.stack == ["overview"]


async def test_q_on_the_first_view_leaves() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.keys("q")
        assert bench.app.return_code == 0


async def test_ctrl_c_leaves_only_when_pressed_twice() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.keys("ctrl+c")
        assert bench.app.return_code is None
        assert "again to quit" in bench.text("#crumbs")
        await bench.keys("ctrl+c")
        assert bench.app.return_code == 0


async def test_commands_go_to_views_and_back_to_those_below() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.type(":pl")
        await bench.keys("enter")
        await bench.type(":why voice")
        await bench.keys("enter")
        assert bench.stack == ["overview", "pools", "why"]
        await bench.type(":pools /globex")
        await bench.keys("enter")
        assert bench.stack == ["overview", "pools"]
        assert len(bench.app._pools.pools.visible_keys) == 4
        await bench.type(":ov")
        await bench.keys("enter")
        assert bench.stack == ["overview"]
        await bench.type(":q")
        await bench.keys("enter")
        assert bench.app.return_code == 0


async def test_an_unknown_command_stays_to_be_mended() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.type(":pols")
        await bench.keys("enter")
        assert "try pools" in bench.text("#prompt-note")
        assert bench.app.view.prompt.input.value == "pols"


async def test_tab_completes_and_up_brings_back_what_was_entered() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.type(":po")
        await bench.keys("tab")
        assert bench.app.view.prompt.input.value == "pools"
        await bench.keys("enter")
        await bench.type(":")
        await bench.keys("up")
        assert bench.app.view.prompt.input.value == "pools"
        await bench.keys("down")
        assert bench.app.view.prompt.input.value == ""


async def test_every_letter_belongs_to_the_prompt_while_it_is_open() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.type("/qdG.?:")
        assert bench.app.view.prompt.input.value == "qdG.?:"
        assert bench.stack == ["overview"]
        assert bench.app.return_code is None


async def test_backspace_on_an_empty_prompt_closes_it_and_nothing_else() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.type("/a")
        await bench.keys("backspace")
        assert bench.app.view.prompt.display
        await bench.keys("backspace")
        assert not bench.app.view.prompt.display
        assert bench.app.focused is bench.app._overview.pools


async def test_a_filter_works_as_it_is_typed_and_escape_in_the_prompt_takes_it_back() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.type("/acme")
        assert bench.pools == ["acme/browser-gpu", "acme/coder-large"]
        await bench.keys("escape")
        assert len(bench.pools) == 9


async def test_escape_clears_a_kept_filter_before_it_goes_back() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.type(":pl")
        await bench.keys("enter")
        await bench.type("/acme")
        await bench.keys("enter", "escape")
        assert len(bench.app._pools.pools.visible_keys) == 9
        assert bench.stack == ["overview", "pools"]


async def test_the_cursor_stays_on_its_pool_while_rows_move() -> None:
    async with at_work(scenarios.many(40)) as bench:
        table = bench.app._overview.pools
        await bench.keys("j", "j", "j")
        chosen = table.cursor_key
        moved = scenarios.many(40, 2)
        busier = scenarios.pool("zz", "new", pending=900, demand=900)
        await bench.publish(replace(moved, pools=(busier, *moved.pools[::-1])))
        assert table.cursor_key == chosen
        assert table.visible_keys[0] == "zz/new"
        await bench.keys("d")
        assert bench.app._why.pool == chosen


async def test_a_cursor_whose_pool_is_gone_stays_in_its_place() -> None:
    async with at_work(scenarios.calm()) as bench:
        table = bench.app._overview.pools
        await bench.keys("j", "j")
        gone, after = table.visible_keys[2], table.visible_keys[3]
        left = tuple(view for view in scenarios.pools() if view.key != gone)
        await bench.publish(replace(scenarios.calm(5000), pools=left))
        assert table.cursor_key == after


async def test_the_why_view_keeps_its_subject_and_says_when_it_is_gone() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.keys("d")
        await bench.publish(replace(scenarios.calm(5000), pools=()))
        assert isinstance(bench.app.view, WhyScreen)
        assert "no pool acme/browser-gpu in this snapshot" in bench.text("#decision")


async def test_a_capital_letter_sorts_by_its_column_and_again_turns_it_round() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.keys("N")
        assert bench.pools == sorted(bench.pools)
        await bench.keys("N")
        assert bench.pools == sorted(bench.pools, reverse=True)
        await bench.keys("O")
        assert bench.pools == sorted(bench.pools)
        await bench.keys("shift+right")
        assert "sort STATE" in bench.text("#pools")
        await bench.keys("shift+left")
        assert "sort POOL" in bench.text("#pools")


async def test_a_sort_key_that_means_nothing_here_says_so() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.keys("tab", "shift+right")
        assert "keeps its own order" in bench.text("#crumbs")


async def test_the_sort_is_remembered_when_coming_back() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.keys("enter", "N", "escape", "enter")
        assert "sort POOL" in bench.text("#pools")


async def test_moving_keys_reach_both_ends_and_scroll() -> None:
    async with at_work(scenarios.many(100)) as bench:
        table = bench.app._overview.pools
        await bench.keys("G")
        assert table.cursor_key == table.visible_keys[-1]
        assert "9/agent-0099" in bench.text("#pools")
        await bench.keys("ctrl+b", "g", "ctrl+f", "k")
        assert table.cursor_key == table.visible_keys[6]


async def test_tab_goes_round_the_panels_and_enter_on_an_event_explains_its_pool() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.keys("tab", "tab", "j", "enter")
        assert bench.app._why.pool == "acme/coder-large"


async def test_enter_on_a_finding_explains_its_pool() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.keys("tab", "enter")
        assert bench.app._why.pool == "globex/canary"


async def test_older_snapshots_are_ignored() -> None:
    async with at_work(scenarios.calm(10)) as bench:
        await bench.publish(replace(scenarios.calm(9), pools=()))
        assert len(bench.pools) == 9
        await bench.publish(replace(scenarios.calm(11), pools=()))
        assert bench.pools == []


async def test_a_frozen_view_stands_still_and_counts_what_waits() -> None:
    async with at_work(scenarios.calm(10)) as bench:
        await bench.keys(".")
        await bench.publish(replace(scenarios.calm(11), pools=()))
        await bench.publish(replace(scenarios.calm(12), pools=scenarios.pools()[:2]))
        bench.app._tick()
        assert len(bench.pools) == 9
        assert "2 updates waiting" in bench.text("#banner")
        await bench.keys("j")
        assert bench.app._overview.pools.cursor_key == "initech/etl"
        await bench.keys(".")
        assert len(bench.pools) == 2
        assert not bench.app.view.query_one("#banner").display


async def test_a_frozen_view_is_not_called_stale_while_news_comes_in() -> None:
    async with at_work(scenarios.calm(10)) as bench:
        await bench.keys(".")
        bench.clock.now += 60
        await bench.publish(scenarios.calm(11, at=bench.clock.now))
        bench.app._tick()
        await bench.pilot.pause()
        assert "age 1m00s" in bench.text("#header")
        assert "STALE" not in bench.text("#header")
        bench.clock.now += 60
        bench.app._tick()
        await bench.pilot.pause()
        assert "STALE" in bench.text("#header")


async def test_a_key_of_ones_own_works_and_is_shown() -> None:
    feed, clock = scenarios.FakeFeed(scenarios.calm()), scenarios.FixedClock()
    app = Dashboard(feed, clock=clock, keymap={"freeze": ["f9"], "back": ["b"]})
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("full_stop")
        assert not app.view.query_one("#banner").display
        await pilot.press("f9")
        assert app.view.query_one("#banner").display
        await pilot.press("b")
        assert app.return_code == 0


async def test_a_pod_opens_nothing_and_says_so() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.keys("d", "tab", "tab", "tab", "enter")
        assert "nothing to open here" in bench.text("#crumbs")


async def test_old_news_says_so_within_a_second_and_recovers() -> None:
    async with at_work(scenarios.calm()) as bench:
        assert "STALE" not in bench.text("#header")
        bench.clock.now += 3
        bench.app._tick()
        await bench.pilot.pause()
        assert "STALE" in bench.text("#header")
        assert "no news for 3s" in bench.text("#banner")
        assert "12~" in bench.text("#pools")
        await bench.publish(scenarios.calm(5000, at=bench.clock.now))
        assert "STALE" not in bench.text("#header")
        assert "12~" not in bench.text("#pools")


async def test_a_stopped_engine_is_shown_and_the_dashboard_lives_on() -> None:
    async with at_work(scenarios.calm()) as bench:
        bench.trouble = "KeyError: 'x'; next try in 8 s"
        bench.app._tick()
        await bench.pilot.pause()
        assert "ENGINE STOPPED  KeyError: 'x'; next try in 8 s" in bench.text("#banner")
        await bench.keys("j")
        assert bench.app._overview.pools.cursor_key == "initech/etl"


async def test_while_loading_the_seconds_are_counted() -> None:
    async with at_work(None) as bench:
        bench.clock.now += 5
        bench.app._tick()
        await bench.pilot.pause()
        assert "loading  5s" in bench.text("#pools")
        await bench.publish(scenarios.calm())
        assert len(bench.pools) == 9


async def test_ready_is_told_once_after_the_first_paint() -> None:
    async with at_work(None) as bench:
        assert bench.ready == 1


async def test_snapshots_from_another_thread_arrive() -> None:
    async with at_work(None) as bench:
        thread = threading.Thread(target=bench.feed.publish, args=(scenarios.calm(),))
        thread.start()
        thread.join()
        await bench.pilot.pause()
        assert len(bench.pools) == 9


async def test_after_it_ended_the_publisher_is_not_bothered() -> None:
    async with at_work(scenarios.calm()) as bench:
        callback = bench.feed.callbacks[0]
    assert bench.feed.callbacks == []
    thread = threading.Thread(target=callback, args=(scenarios.calm(9999),))
    thread.start()
    thread.join()


async def test_ctrl_e_folds_the_header() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.keys("ctrl+e")
        assert bench.app.view.query_one("#header").size.height == 1
        await bench.keys("ctrl+e")
        assert bench.app.view.query_one("#header").size.height == 2


@pytest.mark.parametrize("size", [(59, 24), (80, 14), (20, 5)])
async def test_below_sixty_by_fifteen_it_says_what_it_needs(size: tuple[int, int]) -> None:
    async with at_work(scenarios.calm(), size) as bench:
        assert "needs 60x15" in bench.text("#too-small")
        assert not bench.app.view.query_one("#body").display
        await bench.pilot.resize_terminal(80, 24)
        await bench.pilot.pause()
        assert bench.app.view.query_one("#body").display


async def test_a_storm_of_resizes_leaves_a_whole_screen() -> None:
    async with at_work(scenarios.calm()) as bench:
        for size in ((160, 45), (30, 8), (100, 30), (61, 16), (80, 24)):
            await bench.pilot.resize_terminal(*size)
        await bench.pilot.pause()
        assert "acme/browser-gpu" in bench.text("#pools")


async def test_the_palette_lists_the_actions_of_the_view() -> None:
    async with at_work(scenarios.calm()) as bench:
        titles = [entry.title for entry in bench.app.get_system_commands(bench.app.screen)]
        assert {"why", "freeze", "filter", "redraw"} <= set(titles)
        await bench.keys("ctrl+p")
        await bench.type("freeze")
        await bench.keys("enter")
        await bench.pilot.pause()
        assert "FROZEN" in bench.text("#banner")


async def test_help_lists_the_keys_and_goes_away_again() -> None:
    async with at_work(scenarios.calm()) as bench:
        await bench.keys("?")
        assert "filter: text, regex" in bench.text("#help")
        await bench.keys("q")
        assert bench.stack == ["overview"]


def test_only_the_cells_that_differ_are_refreshed() -> None:
    from agentdash.tui.lines import Span, Tone, line

    old: Line = line(Span("name  ", Tone.DIM), Span("12"), Span("  end"))
    assert changed_cells(old, line(Span("name  ", Tone.DIM), Span("13"), Span("  end")), 80) == (
        6,
        8,
    )
    assert changed_cells(old, line(Span("name  "), Span("12"), Span("  end")), 80) == (0, 6)
    assert changed_cells(old, line(Span("name  ", Tone.DIM), Span("12")), 80) == (8, 80)
    assert changed_cells(old, old._replace(base=Tone.ALERT), 80) == (0, 80)
