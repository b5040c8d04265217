"""Since when: the fleet's history in the overview, and 15 minutes and 24 hours of anything by key.

Each picture's docstring says what a reviewer must see, and each has a twin in plain lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agentdash.tui.charts import FleetHistory, history_lines, plot, sparkline
from agentdash.tui.figures import ASCII, UNICODE
from agentdash.tui.view import Frame
from controller.model.ids import PoolKey, pool_key
from controller.model.snapshot import NOT_KNOWN, History, Snapshot, Timeline
from support.table import tabled
from tui import fleet_scenarios, scenarios
from tui.dashboards import dashboard
from tui.plain import screen_lines, shown, typed
from tui.sessions import session

RESEARCH = pool_key("acme", "research")
SMALL, MIDDLE, WIDE = (80, 24), (120, 36), (160, 45)
Picture = Callable[..., bool]


# -- bars of several rows ---------------------------------------------------------------------


def test_a_bar_of_two_rows_is_full_below_before_it_begins_above() -> None:
    assert plot((0, 7, 8, 15), 4, 2, UNICODE, top=15) == ["  ▁█", "▁███"]
    assert plot((NOT_KNOWN, 1, 1000), 3, 2, UNICODE) == ["  █", "·▂█"]
    assert plot((), 4, 2, UNICODE) == ["", ""]


@given(st.lists(st.integers(-1, 500), min_size=1, max_size=100), st.integers(1, 80))
def test_bars_of_one_row_are_a_sparkline(values: list[int], width: int) -> None:
    assert plot(values, width, 1, UNICODE) == [sparkline(values, width, UNICODE)]


@given(
    st.lists(st.integers(-1, 500), min_size=1, max_size=100), st.integers(1, 80), st.integers(1, 4)
)
def test_no_bar_has_a_gap_and_every_row_is_as_wide(
    values: list[int], width: int, rows: int
) -> None:
    drawn = plot(values, width, rows, UNICODE)
    assert len(drawn) == rows
    assert len({len(row) for row in drawn}) == 1
    for column in zip(*drawn, strict=True):
        standing = "".join(column).lstrip(" ")
        assert " " not in standing
        assert all(cell == "█" for cell in standing[1:])


# -- the fleet's ------------------------------------------------------------------------------


def history_of(**series: tuple[int, ...]) -> History:
    return History(recent=Timeline(**series))


def together(*pools: History) -> Timeline:
    found: Mapping[PoolKey, History] = {
        pool_key("acme", f"pool-{number}"): each for number, each in enumerate(pools)
    }
    return FleetHistory().of(found).recent


def test_messages_and_replicas_are_summed_and_the_longest_wait_counts() -> None:
    one = history_of(pending=(1, 2), ready=(1, 1), target=(2, 2), wait_s=(5, 40))
    other = history_of(pending=(10, 0), ready=(3, 4), target=(3, 4), wait_s=(9, 0))
    assert together(one, other) == Timeline(
        pending=(11, 2), ready=(4, 5), target=(5, 6), wait_s=(9, 40)
    )


def test_what_is_not_known_of_one_pool_is_left_out_and_of_all_is_not_known() -> None:
    one = history_of(pending=(NOT_KNOWN, NOT_KNOWN, 3), wait_s=(NOT_KNOWN, NOT_KNOWN, 0))
    other = history_of(pending=(NOT_KNOWN, 7, 4), wait_s=(NOT_KNOWN, 2, 1))
    found = together(one, other)
    assert found.pending == (NOT_KNOWN, 7, 7)
    assert found.wait_s == (NOT_KNOWN, 2, 1)


def test_a_pool_without_a_history_takes_nothing_away_from_the_others() -> None:
    assert together(History(), history_of(pending=(1, 2))).pending == (1, 2)
    assert together(History()) == Timeline()
    assert FleetHistory().of({}) == History()


def test_the_same_histories_are_not_summed_again() -> None:
    pools = {pool_key("acme", "research"): history_of(pending=(1, 2))}
    fleet = FleetHistory()
    first = fleet.of(pools)
    assert fleet.of(pools) is first
    assert fleet.of(dict(pools)) is not first


def test_charts_are_as_wide_as_there_is_room_and_say_where_the_pool_was_scaled() -> None:
    snapshot = with_histories()
    at, event = snapshot.at, snapshot.events[0]
    events = (
        replace(event, pool=RESEARCH, at=at - 450, before=3, after=1),
        replace(event, pool=RESEARCH, at=at - 899, before=1, after=3),
        replace(event, pool=RESEARCH, at=at - 1000, before=0, after=1),
        replace(event, pool=pool_key("acme", "other"), at=at - 60, before=0, after=1),
    )
    frame = Frame(at, at, snapshot=replace(snapshot, events=events))
    history = History(recent=Timeline(*(tuple(range(60)) for _ in range(4))))
    for width, cells in ((100, 60), (155, 120)):
        found = history_lines(history, frame, width, 6, pool=RESEARCH)
        lines = ["".join(span.text for span in each.spans) for each in found]
        bars = [each[10 : 10 + cells] for each in lines[:4]]
        assert all(each[0] in UNICODE.bars and each[-1] in UNICODE.bars for each in bars)
        assert lines[4][10:] == "↑" + " " * (cells // 2 - 1) + "↓"
        assert lines[5].rstrip().endswith("12:04Z")
    without = history_lines(history, frame, 100, 5, pool=RESEARCH)
    assert len(without) == 5, "where there is no line for arrows, the charts are whole"


# -- on the screen ----------------------------------------------------------------------------


def with_histories() -> Snapshot:
    """The day of a burst, with the histories of pools and tenants."""
    found = fleet_scenarios.burst()
    return replace(found, histories=scenarios.histories(found.pools))


@pytest.mark.parametrize(("size", "is_shown"), [(MIDDLE, True), (WIDE, True), (SMALL, False)])
async def test_the_overview_plots_the_fleet_where_there_is_room(
    size: tuple[int, int], is_shown: bool
) -> None:
    lines = "\n".join(await shown(dashboard(scenarios.FakeFeed(with_histories())), [], size))
    assert ("all pools, 15 minutes" in lines) is is_shown
    assert all((f"│ {name} " in lines) is is_shown for name in ("pending", "wait", "target"))
    assert "scale events" in lines


@pytest.mark.parametrize("size", [SMALL, MIDDLE, (60, 15)])
async def test_24_hours_of_a_pool_are_one_key_away_from_why_and_the_same_key_goes_back(
    size: tuple[int, int],
) -> None:
    async with session(with_histories(), size) as running:
        await running.keys("d")
        pool = running.app.view.subject
        await running.keys("t")
        assert running.app.view.tab == "history"
        assert f"history of {pool}" in "\n".join(screen_lines(running.app))
        await running.keys("G")
        assert "24 h ago" in "\n".join(screen_lines(running.app))
        await running.keys("t")
        assert running.app.view.tab == "why"


async def test_a_tenant_has_the_history_of_its_tokens_and_a_node_that_of_the_fleet() -> None:
    async with session(with_histories(), MIDDLE) as running:
        await running.type(":tn")
        await running.keys("enter")
        tenant = running.app.view.table.cursor_key
        await running.keys("t")
        text = "\n".join(screen_lines(running.app))
        assert f"history of {tenant}" in text
        assert "tokens" in text
        assert "/m" in text
        await running.keys("escape")
        await running.type(":no")
        await running.keys("enter", "t")
        assert "history of the fleet" in "\n".join(screen_lines(running.app))


async def test_a_pool_that_is_gone_says_so_and_the_command_opens_the_same() -> None:
    async with session(with_histories(), SMALL) as running:
        await running.type(":history")
        await running.keys("enter")
        pool = running.app.view.subject
        assert f"history of {pool}" in "\n".join(screen_lines(running.app))
        before = with_histories()
        rest = tuple(view for view in before.pools if view.key != pool)
        await running.publish(replace(before, sequence=before.sequence + 1, pools=rest))
        assert "it is no pool of this fleet now" in "\n".join(screen_lines(running.app))


async def test_before_the_first_snapshot_there_is_no_history() -> None:
    lines = await shown(dashboard(scenarios.FakeFeed(None)), ["t"], SMALL)
    assert "no snapshot yet" in lines[3]


async def test_the_pools_show_their_replicas_beside_their_queue_from_120_columns_on() -> None:
    for size, is_shown in ((MIDDLE, True), (WIDE, True), (SMALL, False)):
        app = dashboard(scenarios.FakeFeed(with_histories()))
        lines = await shown(app, [], size)
        heading = next(each for each in lines if "PENDING" in each)
        assert ("SIZE, 15 MIN" in heading) is is_shown
    keys = [*typed(":pools"), "enter"]
    lines = await shown(dashboard(scenarios.FakeFeed(with_histories())), keys, MIDDLE)
    assert "SIZE, 15 MIN" in next(each for each in lines if "PENDING" in each)


TWINS = {
    "history-80x24": (SMALL, ["d", "t"], ("history of", "pending", "24 h ago", "most")),
    "history-160x45": (WIDE, [*typed(":no"), "enter", "t"], ("history of the fleet", "24 h ago")),
}


@pytest.mark.parametrize("name", TWINS)
async def test_a_history_says_in_plain_lines_what_its_picture_shows(name: str) -> None:
    size, keys, seen = TWINS[name]
    lines = await shown(dashboard(scenarios.FakeFeed(with_histories())), keys, size)
    text = "\n".join(lines)
    assert all(each in text for each in seen), text
    assert all(len(each) <= size[0] for each in lines)


# -- one row of bars -------------------------------------------------------------------------


@tabled(
    ("values", "width", "bars"),
    [
        ((0, 1, 2, 3, 4, 5, 6, 7), 8, "▁▂▃▄▅▆▇█"),
        ((0, 0, 0), 3, "▁▁▁"),
        ((NOT_KNOWN, 0, 70), 3, "·▁█"),
        ((1, 1000), 2, "▂█"),
        ((1, 2, 3), 10, "▄▆█"),
        ((), 5, ""),
        ((3,), 0, ""),
    ],
)
def test_a_value_is_as_high_as_its_part_of_the_largest(
    values: tuple[int, ...], width: int, bars: str
) -> None:
    assert sparkline(values, width, UNICODE) == bars


def test_values_that_share_a_cell_show_the_largest_and_the_newest_cell_is_full() -> None:
    assert sparkline((9, 0, 0, 0, 0, 0, 9), 3, UNICODE) == "█▁█"
    assert sparkline((NOT_KNOWN, NOT_KNOWN, NOT_KNOWN, 4), 2, UNICODE) == "·█"


def test_two_rows_can_be_drawn_on_one_scale() -> None:
    assert sparkline((7,), 1, UNICODE, top=14) == "▅"
    assert sparkline((20,), 1, UNICODE, top=14) == "█"


def test_an_ascii_terminal_gets_ascii() -> None:
    assert sparkline((0, NOT_KNOWN, 7), 3, ASCII) == "_ #"
