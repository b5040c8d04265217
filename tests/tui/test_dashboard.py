"""What keys do, and what a new snapshot changes on the screen."""

from __future__ import annotations

import asyncio
import re
import threading

import pytest
from msgspec.structs import replace
from textual.command import CommandList

from agentdash.tui.lines import Line, Span, Tone, line
from agentdash.tui.screens.why import WhyScreen
from agentdash.tui.tables.models import model_rows
from agentdash.tui.widgets.lines_widget import changed_cells
from controller.model.ids import PoolKey
from controller.model.snapshot import Finding, Severity
from tui import fleet_scenarios, scenarios
from tui.operators import FakeOperator
from tui.sessions import session


async def test_enter_opens_the_page_of_a_pool_and_escape_goes_back() -> None:
    async with session(scenarios.read_only()) as running:
        await running.keys("j", "j", "enter")
        assert running.stack == ["overview", "pool"]
        assert running.app.view.pool == "initech/etl"
        await running.keys("escape", "enter", "q")
        assert running.stack == ["overview"]
        assert running.app.return_code is None


async def test_the_page_of_a_pool_counts_the_ready_ones_as_the_tables_do() -> None:
    """The pods are read by another watch, which may be behind."""
    fleet = scenarios.read_only()
    pool = fleet.pools[0]
    seen = pool.observation
    workload = replace(seen.workload, value=replace(seen.workload.value, ready=77))
    pool = replace(pool, observation=replace(seen, workload=workload))
    async with session(replace(fleet, pools=(pool, *fleet.pools[1:]))) as running:
        await running.command(f"why {pool.key}")
        assert re.findall(r"ready (\d+)", running.text("#now")) == ["77"]


async def test_the_page_of_a_pool_has_tabs_which_take_each_others_place() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.keys("j", "enter")
        for key, tab in (
            ("2", "queues"),
            ("right", "pods"),
            ("4", "events"),
            ("5", "history"),
            ("6", "tasks"),
        ):
            await running.keys(key)
            assert (running.app.view.tab, running.stack) == (tab, ["overview", "pool"])
            assert running.app.view.subject == "acme/browser-gpu"
        await running.keys("right")
        assert running.app.view.tab == "why"
        await running.keys("left", "d", "escape")
        assert running.stack == ["overview"]


@pytest.mark.parametrize(("tabs", "view"), [(0, "pools"), (1, "attention"), (2, "events")])
async def test_a_panel_of_the_overview_is_shown_in_full_on_the_same_row(
    tabs: int, view: str
) -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.keys(*["tab"] * tabs, "j")
        chosen = running.app.view.filtered.cursor_key
        await running.keys("f")
        assert running.stack == ["overview", view]
        assert running.app.view.filtered.cursor_key == chosen
        await running.keys("f")
        assert "does nothing here" in running.text("#crumbs")


async def test_one_tenant_scopes_every_panel_and_sum_and_stands_in_the_header() -> None:
    async with session(fleet_scenarios.burst(), (120, 36)) as running:
        await running.type(":tenant acme")
        await running.keys("enter")
        assert running.stack == ["overview"]
        assert running.pools == ["acme/browser-gpu", "acme/coder-large"]
        assert "tenant acme" in running.text("#header")
        assert "pods 73/" in running.text("#header")
        for panel in ("#events", "#attention"):
            assert "globex" not in running.text(panel)
        assert "tenant acme, 15 minutes" in running.screen
        await running.publish(fleet_scenarios.burst(9000))
        assert len(running.pools) == 2
        await running.type(":pods globex")
        await running.keys("enter")
        assert "acme" not in running.text("#pods")
        await running.keys("0")
        assert "acme" in running.text("#pods")
        assert "tenant" not in running.text("#header")


LISTS = {
    "held; acme/coder-large, globex/canary, initech/voice: raise it": (
        "held; acme/coder-large and others: raise it"),
    "3 pools, globex/canary, initech/voice and 7 more: x": "3 pools, others: x",
    "token usage of acme, globex unknown": "token usage of acme and others unknown",
    "it does not apply to globex/canary, initech/voice.": None,
    "the limit of acme/coder-large is unknown": "the limit of acme/coder-large is unknown",
}  # fmt: skip


async def test_under_one_tenant_attention_names_no_other_and_what_is_of_all_says_so() -> None:
    snapshot = fleet_scenarios.burst()
    found = [
        Finding(
            severity=Severity.WARNING, subject="fleet", kind=str(n), text=text, since=scenarios.NOW
        )
        for n, text in enumerate(LISTS)
    ]
    other = next(each for each in snapshot.models if each.tenant == "globex")
    of_other = replace(found[0], subject=other.key, text="it refuses 9 %")
    snapshot = replace(snapshot, findings=(*found, of_other))
    theirs = {each.key for each in snapshot.pools if each.tenant != "acme"}
    assert {each.typical for each in snapshot.room.classes} & theirs
    async with session(snapshot, (200, 45)) as running:
        assert "writes" in running.text("#header")
        await running.command("tenant acme")
        shown = running.app.frame.snapshot.findings
        assert [each.text for each in shown] == [text for text in LISTS.values() if text]
        assert "writes" not in running.text("#header")
        assert "engine, of all tenants" in running.screen
        await running.command("models")
        assert "limits and calls are of all tenants" in running.screen
        spent = {e.view.key: (e.usd_today, e.usd_month) for e in model_rows(running.app.frame)}
        assert spent == {"haiku": (0.11, 2.5), "opus": (0.64, 31.4)}, "of acme alone"
        assert {each.typical for each in running.app.frame.snapshot.room.classes} & theirs == set()
        await running.command("nodes")
        assert "what tenant acme takes of them" in running.screen
        await running.command("info")
        assert "2 pools of tenant acme; 0 shows all" in running.screen
        await running.command("why globex/canary")
        assert "all tenants again: globex/canary is not of tenant acme" in running.screen
        assert "removed" not in running.screen
        await running.command("tenant acme")
        assert running.stack == ["overview"], "the page was of another tenant's pool"


async def test_escape_never_ends_the_session() -> None:
    async with session(scenarios.read_only()) as running:
        await running.keys("?", "escape", "escape", "escape")
        assert running.stack == ["overview"]
        assert running.app.return_code is None
        assert "q quits" in running.text("#crumbs")


@pytest.mark.parametrize(("key", "named"), [("q", "q"), ("ctrl+c", "ctrl-c"), ("ctrl+q", "ctrl-q")])
async def test_leaving_a_controller_that_writes_is_asked_once(key: str, named: str) -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.keys(key)
        assert running.app.return_code is None
        said = f"leaving stops the controller of 9 pools: {named} again"
        assert said in running.text("#crumbs")
        await running.keys(key)
        assert running.app.return_code == 0


async def test_the_question_is_asked_again_when_it_is_no_longer_shown() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.keys("q")
        running.app.leaving.asked_at -= 10
        await running.keys("q")
        assert running.app.return_code is None
        await running.keys("j")
        assert "leaving stops" not in running.text("#crumbs")
        await running.keys("q")
        assert running.app.return_code is None


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
async def test_a_dashboard_that_stops_nothing_is_left_at_once(key: str) -> None:
    async with session(scenarios.read_only()) as running:
        await running.keys(key)
        assert running.app.return_code == 0
    async with session(scenarios.mixed_fleet()) as running:
        running.engine_error = "the engine has ended"
        await running.keys(key)
        assert running.app.return_code == 0


async def test_commands_open_views_and_go_back_to_views_on_the_stack() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.type(":pl")
        await running.keys("enter")
        await running.type(":why voice")
        await running.keys("enter")
        assert running.stack == ["overview", "pools", "pool"]
        await running.type(":pools /globex")
        await running.keys("enter")
        assert running.stack == ["overview", "pools"]
        assert len(running.app.view.table.visible_keys) == 4
        await running.type(":ov")
        await running.keys("enter")
        assert running.stack == ["overview"]
        await running.type(":q")
        await running.keys("enter")
        assert running.app.return_code == 0


async def test_an_unknown_command_stays_in_the_prompt() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.type(":pols")
        await running.keys("enter")
        assert "try pools" in running.text("#prompt-note")
        assert running.app.view.prompt.input.value == "pols"


async def test_tab_completes_and_up_shows_the_last_command() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.type(":po")
        await running.keys("tab")
        assert running.app.view.prompt.input.value == "pods"
        await running.keys("enter")
        await running.type(":")
        await running.keys("up")
        assert running.app.view.prompt.input.value == "pods"
        await running.keys("down")
        assert running.app.view.prompt.input.value == ""


async def test_enter_takes_the_only_completion() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.type(":ten")
        await running.keys("enter")
        assert running.stack == ["overview", "tenants"]


async def test_tab_goes_through_all_completions_and_begins_again() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.type(":why acme/")
        seen = []
        for _ in range(3):
            await running.keys("tab")
            seen.append(running.app.view.prompt.input.value)
        assert seen == ["why acme/coder-large", "why acme/browser-gpu", "why acme/coder-large"]


async def test_an_unknown_key_says_so() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.keys("Y")
        assert "Y does nothing here; ? lists the keys" in running.text("#crumbs")
        await running.keys("f5")
        assert "f5 does nothing here" in running.text("#crumbs")
        await running.keys("j")
        assert "j does nothing" not in running.text("#crumbs")


async def test_hints_and_breadcrumbs_can_be_clicked() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.keys("f")
        await running.click("#hints", "<d>")
        assert running.stack == ["overview", "pools", "pool"]
        await running.click("#tabs", "queues")
        assert running.app.view.tab == "queues"
        await running.click("#crumbs", "pools")
        assert running.stack == ["overview", "pools"]
        running.app.screen.set_focus(None)
        await running.click("#hints", "<enter>")
        assert running.stack == ["overview", "pools"], "no panel has the focus"
        running.app.view.focus_panel()
        await running.click("#hints", "<enter>")
        assert running.stack == ["overview", "pools", "pool"]


async def test_every_character_goes_to_the_prompt_while_it_is_open() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.type("/qdG.?:")
        assert running.app.view.prompt.input.value == "qdG.?:"
        assert running.stack == ["overview"]
        assert running.app.return_code is None


async def test_backspace_closes_only_an_empty_prompt() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.type("/a")
        await running.keys("backspace")
        assert running.app.view.prompt.display
        await running.keys("backspace")
        assert not running.app.view.prompt.display
        assert running.app.focused is running.app.views.overview.pools


async def test_a_filter_applies_while_it_is_typed_and_escape_removes_it() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.type("/acme")
        assert running.pools == ["acme/browser-gpu", "acme/coder-large"]
        await running.keys("escape")
        assert len(running.pools) == 9


async def test_escape_clears_the_filter_before_it_goes_back() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.type(":pl")
        await running.keys("enter")
        await running.type("/acme")
        await running.keys("enter", "escape")
        assert len(running.app.view.table.visible_keys) == 9
        assert running.stack == ["overview", "pools"]


async def test_the_cursor_stays_on_its_pool_when_rows_move() -> None:
    async with session(scenarios.many_pools(40)) as running:
        table = running.app.views.overview.pools
        await running.keys("j", "j", "j")
        chosen = table.cursor_key
        moved = scenarios.many_pools(40, 2)
        busier = scenarios.pool("zz", "new", pending=900, demand=900)
        running.clock.now += 11
        await running.publish(replace(moved, pools=(busier, *moved.pools[::-1])))
        assert table.cursor_key == chosen
        assert table.visible_keys[0] == "zz/new"
        await running.keys("d")
        assert running.app.view.pool == chosen


async def test_the_cursor_keeps_its_pool_from_the_first_frame_on() -> None:
    async with session(scenarios.many_pools(5), operator=FakeOperator()) as running:
        table = running.app.views.overview.pools
        first = table.cursor_key
        busier = scenarios.pool("zz", "new", pending=900, demand=900)
        running.clock.now += 11
        more = replace(scenarios.many_pools(5, 2), at=running.clock.now)
        await running.publish(replace(more, pools=(busier, *more.pools)))
        assert table.visible_keys[0] == "zz/new"
        await running.keys("s")
        assert f"pause {first}" in running.screen


async def test_the_worst_pools_stay_on_a_screen_that_nobody_has_touched() -> None:
    async with session(scenarios.many_pools(40), operator=FakeOperator()) as running:
        table = running.app.views.overview.pools
        first = table.cursor_key
        running.clock.now += 11
        more = replace(scenarios.many_pools(40, 2), at=running.clock.now)
        worse = [
            scenarios.pool("zz", f"new-{each:02}", pending=900, demand=900) for each in range(40)
        ]
        more = replace(more, pools=(*worse, *more.pools))
        await running.publish(more)
        assert first not in table.visible_keys[:40]
        shown = table.visible_keys[0]
        assert table.cursor_key == shown
        # its row has gone, and another is under the cursor: a key that is on its way is refused
        await running.keys("s")
        assert f"{shown} has just come to this place: press it again" in running.text("#crumbs")
        running.clock.now += 2
        await running.publish(replace(more, sequence=more.sequence + 1, at=running.clock.now))
        await running.keys("s")
        assert f"pause {shown}" in running.screen


async def test_what_was_said_before_hides_no_reason_of_the_next_row() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.keys("Y")
        assert "Y does nothing here" in running.text("#crumbs")
        await running.keys("j")
        table = running.app.views.overview.pools
        assert f"{table.cursor_key}: " in running.text("#crumbs")


async def test_the_cursor_keeps_its_place_when_its_pool_is_gone() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        table = running.app.views.overview.pools
        await running.keys("j", "j")
        gone, after = table.visible_keys[2], table.visible_keys[3]
        left = tuple(view for view in scenarios.pools() if view.key != gone)
        await running.publish(replace(scenarios.mixed_fleet(5000), pools=left))
        assert table.cursor_key == after


async def test_the_why_view_says_when_its_pool_is_gone() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.keys("j", "d")
        await running.publish(replace(scenarios.mixed_fleet(5000), pools=()))
        assert isinstance(running.app.view, WhyScreen)
        assert "no pool acme/browser-gpu in this snapshot" in running.text("#decision")


async def test_a_capital_letter_sorts_by_its_column_and_a_second_one_reverses() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.keys("N")
        assert running.pools == sorted(running.pools)
        await running.keys("N")
        assert running.pools == sorted(running.pools, reverse=True)
        await running.keys("O")
        assert running.pools == sorted(running.pools)
        await running.keys("shift+right")
        assert "sort STATE" in running.text("#pools")
        await running.keys("shift+left")
        assert "sort POOL" in running.text("#pools")


async def test_a_sort_key_in_a_table_with_a_fixed_order_says_so() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.keys("tab", "shift+right")
        assert "has a fixed order" in running.text("#crumbs")


async def test_the_sort_is_kept_while_another_view_is_shown() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.keys("f", "N", "escape", "f")
        assert "sort POOL" in running.text("#pools")


async def test_keys_move_the_cursor_to_both_ends_and_scroll() -> None:
    async with session(scenarios.many_pools(100)) as running:
        table = running.app.views.overview.pools
        await running.keys("G")
        assert table.cursor_key == table.visible_keys[-1]
        assert "ent-0099" in running.text("#pools")
        await running.keys("ctrl+b", "g", "ctrl+f", "k")
        assert table.cursor_key == table.visible_keys[6]


async def test_enter_on_an_event_shows_the_decision_of_that_moment_not_todays() -> None:
    then = scenarios.over_max().decision
    assert then is not None
    event = replace(scenarios.events()[1], decision=replace(then, pool=PoolKey("acme/coder-large")))
    fleet = replace(scenarios.mixed_fleet(), events=(event,))
    async with session(fleet) as running:
        await running.keys("tab", "tab", "enter")
        shown = running.text("#detail")
        assert "acme/coder-large at 12:04:02" in shown
        assert "1,240 pending + 12 in flight" in shown
        assert "bound by max" in shown
        assert "applied (200)" in shown
        await running.keys("d")
        assert running.app.view.pool == "acme/coder-large"
        assert "1,240 pending" not in running.text("#decision")


async def test_an_event_without_its_decision_shows_its_whole_reason() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.keys("tab", "tab", "j", "j", "enter")
        said = " ".join(running.text("#detail").split())
        assert "52 replicas, the highest recommendation" in said
        assert "last write" in said


async def test_a_finding_that_is_no_pools_opens_in_full() -> None:
    text = "planned at 51.20 USD per hour, at or above its alert of 40; " + "and so on " * 20
    finding = replace(
        scenarios.findings()[1], subject="fleet file", kind="cost", text=text + "end."
    )
    async with session(replace(scenarios.mixed_fleet(), findings=(finding,))) as running:
        await running.keys("tab", "enter")
        shown = running.text("#detail")
        assert "end." in shown
        await running.keys("escape")
        assert running.stack == ["overview"]


async def test_enter_on_a_finding_explains_its_pool() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.keys("tab", "enter")
        assert running.app.view.pool == "globex/canary"


async def test_older_snapshots_are_ignored() -> None:
    async with session(scenarios.mixed_fleet(10)) as running:
        await running.publish(replace(scenarios.mixed_fleet(9), pools=()))
        assert len(running.pools) == 9
        await running.publish(replace(scenarios.mixed_fleet(11), pools=()))
        assert running.pools == []


async def test_a_still_picture_does_not_change_and_counts_the_snapshots() -> None:
    async with session(scenarios.mixed_fleet(10)) as running:
        await running.keys(".")
        await running.publish(replace(scenarios.mixed_fleet(11), pools=()))
        await running.publish(replace(scenarios.mixed_fleet(12), pools=scenarios.pools()[:2]))
        running.app._redraw()
        assert len(running.pools) == 9
        assert "2 updates waiting" in running.text("#banner")
        await running.keys("j")
        assert running.app.views.overview.pools.cursor_key == "acme/browser-gpu"
        await running.keys(".")
        assert len(running.pools) == 2
        assert not running.app.view.query_one("#banner").display


async def test_a_still_picture_is_not_stale_while_snapshots_come() -> None:
    async with session(scenarios.mixed_fleet(10)) as running:
        await running.keys(".")
        running.clock.now += 60
        await running.publish(scenarios.mixed_fleet(11, at=running.clock.now))
        running.app._redraw()
        await running.pilot.pause()
        assert "age 1m00s" in running.text("#header")
        assert "STALE" not in running.text("#header")
        running.clock.now += 60
        running.app._redraw()
        await running.pilot.pause()
        assert "STALE" in running.text("#header")


async def test_an_old_snapshot_is_stale_until_a_new_one_comes() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        assert "STALE" not in running.text("#header")
        running.clock.now += 3
        running.app._redraw()
        await running.pilot.pause()
        assert "STALE" in running.text("#header")
        assert "no news for 3s" in running.text("#banner")
        assert "12~" in running.text("#pools")
        await running.publish(scenarios.mixed_fleet(5000, at=running.clock.now))
        assert "STALE" not in running.text("#header")
        assert "12~" not in running.text("#pools")


async def test_an_engine_error_is_shown_and_the_dashboard_still_works() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        running.engine_error = "KeyError: 'x'; next try in 8 s"
        running.app._redraw()
        await running.pilot.pause()
        assert "ENGINE STOPPED  KeyError: 'x'; next try in 8 s" in running.text("#banner")
        await running.keys("j")
        assert running.app.views.overview.pools.cursor_key == "acme/browser-gpu"


async def test_while_loading_the_seconds_are_counted() -> None:
    async with session(None) as running:
        running.clock.now += 5
        running.app._redraw()
        await running.pilot.pause()
        assert "loading  5s" in running.text("#pools")
        await running.publish(scenarios.mixed_fleet())
        assert len(running.pools) == 9


async def test_on_ready_is_called_once_after_the_first_paint() -> None:
    async with session(None) as running:
        assert running.ready_calls == 1


async def test_snapshots_from_another_thread_arrive() -> None:
    async with session(None) as running:
        thread = threading.Thread(target=running.feed.publish, args=(scenarios.mixed_fleet(),))
        thread.start()
        thread.join()
        await running.pilot.pause()
        assert len(running.pools) == 9


async def test_a_publisher_can_go_on_after_the_dashboard_ended() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        callback = running.feed.callbacks[0]
    assert running.feed.callbacks == []
    thread = threading.Thread(target=callback, args=(scenarios.mixed_fleet(9999),))
    thread.start()
    thread.join()


async def test_ctrl_e_folds_the_header() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.keys("ctrl+e")
        assert running.app.view.query_one("#header").size.height == 1
        await running.keys("ctrl+e")
        assert running.app.view.query_one("#header").size.height == 2


@pytest.mark.parametrize("size", [(59, 24), (80, 14), (20, 5)])
async def test_below_sixty_by_fifteen_the_screen_shows_the_size_it_needs(
    size: tuple[int, int],
) -> None:
    async with session(scenarios.mixed_fleet(), size) as running:
        assert "needs 60x15" in running.text("#too-small")
        assert not running.app.view.query_one("#body").display
        await running.keys("q")
        asked = " ".join(running.text("#too-small").split())
        assert asked.startswith("leaving stops the controller of 9 pools: q again")
        await running.pilot.resize_terminal(80, 24)
        await running.pilot.pause()
        assert running.app.view.query_one("#body").display
        await running.pilot.resize_terminal(*size)
        await running.keys("q", "q")
        assert running.app.return_code == 0


async def test_after_many_resizes_the_screen_is_complete() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        for size in ((160, 45), (30, 8), (100, 30), (61, 16), (80, 24)):
            await running.pilot.resize_terminal(*size)
        await running.pilot.pause()
        assert "acme/browser-gpu" in running.text("#pools")


async def test_the_palette_lists_the_actions_of_the_view() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        titles = [entry.title for entry in running.app.get_system_commands(running.app.screen)]
        assert {"why", "still", "filter", "redraw"} <= set(titles)
        await running.keys("ctrl+p")
        await running.type("still")
        async with asyncio.timeout(20):  # it searches beside what is typed
            while running.app.screen.query_one(CommandList).option_count != 1:
                await running.pilot.pause(0.05)
            await running.keys("enter")
            while "STILL" not in running.text("#banner"):
                await running.pilot.pause(0.05)


async def test_help_lists_the_keys_and_closes() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        await running.keys("?")
        assert "filter: text, regex" in running.text("#help")
        assert "ACTIVE" in running.text("#header")
        await running.keys("q")
        assert running.stack == ["overview"]


def test_only_the_cells_that_differ_are_refreshed() -> None:
    old: Line = line(Span("name  ", Tone.DIM), Span("12"), Span("  end"))
    assert changed_cells(old, line(Span("name  ", Tone.DIM), Span("13"), Span("  end")), 80) == (
        6,
        8,
    )
    assert changed_cells(old, line(Span("name  "), Span("12"), Span("  end")), 80) == (0, 6)
    assert changed_cells(old, line(Span("name  ", Tone.DIM), Span("12")), 80) == (8, 80)
    assert changed_cells(old, old._replace(background=Tone.ALERT), 80) == (0, 80)


async def test_the_finding_under_the_cursor_is_whole_and_a_click_below_finds_its_row() -> None:
    async with session(scenarios.mixed_fleet()) as running:
        findings = running.app.views.overview.findings
        assert "no consumer   12:04" in running.text("#attention")
        assert "globex-canary on AGENTS" in running.text("#attention")
        assert await running.pilot.click(findings, offset=(30, 2))
        assert findings.cursor_key == findings.visible_keys[0]
        assert await running.pilot.click(findings, offset=(30, 3))
        assert findings.cursor_key == findings.visible_keys[1]
        await running.pilot.pause()
        assert "globex-canary on AGENTS" not in running.text("#attention")
