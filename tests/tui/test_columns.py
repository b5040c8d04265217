"""Which columns of a table fit, and in which order its rows come."""

from __future__ import annotations

from agentdash.tui.table import Sort, place_columns, sort_rows
from agentdash.tui.tables.pools import POOL_COLUMNS, POOLS
from agentdash.tui.view import PoolRow, pool_rows
from support.table import tabled
from tui import scenarios


def keys(rows: list[PoolRow]) -> list[str]:
    return [row.key for row in rows]


def test_columns_are_dropped_by_rank_and_never_made_narrower() -> None:
    for width in range(20, 240):
        placed = place_columns(POOL_COLUMNS, width)
        assert all(each.width >= each.column.width for each in placed)
        dropped = [
            column.rank for column in POOL_COLUMNS if column not in [p.column for p in placed]
        ]
        kept = [each.column.rank for each in placed]
        assert not dropped or min(dropped) >= max(kept)


def test_the_most_important_columns_fit_a_screen_of_eighty_cells() -> None:
    titles = [each.column.title for each in place_columns(POOL_COLUMNS, 76)]
    assert titles == ["POOL", "STATE", "SINCE", "READY", "NOW→NEXT", "PENDING", "PRESS", "BOUND"]


def test_a_wide_screen_shows_every_column_but_the_three_least_important() -> None:
    placed = place_columns(POOL_COLUMNS, 156)
    titles = [each.column.title for each in placed]
    assert [each.title for each in POOL_COLUMNS if each.title not in titles] == [
        "TIER",
        "MIN/MAX",
        "WAKE",
    ]
    assert sum(each.width for each in placed) + len(placed) - 1 == 156


def test_the_last_15_minutes_are_shown_from_120_cells_on() -> None:
    assert "QUEUE, 15 MIN" in [each.column.title for each in place_columns(POOL_COLUMNS, 116)]


def test_trouble_comes_first_and_then_the_greatest_pressure() -> None:
    rows = sort_rows(
        pool_rows(scenarios.mixed_fleet()), POOL_COLUMNS, POOLS.sort, lambda row: row.key
    )
    troubles = [row.state.trouble for row in rows]
    assert troubles == sorted(troubles, reverse=True)
    assert keys(rows)[:3] == ["globex/canary", "acme/browser-gpu", "initech/etl"]
    for trouble in (1, 0):
        pressures = [row.pressure or 0 for row in rows if row.state.trouble == trouble]
        assert pressures == sorted(pressures, reverse=True)


def test_equal_rows_have_one_order_for_every_order_of_the_snapshot() -> None:
    rows = pool_rows(scenarios.many_pools(30))
    one = sort_rows(rows, POOL_COLUMNS, Sort("TIER", descending=True), lambda row: row.key)
    other = sort_rows(rows[::-1], POOL_COLUMNS, Sort("TIER", descending=True), lambda row: row.key)
    assert keys(one) == keys(other)


LETTERS = sorted({each.title for each in POOL_COLUMNS if each.letter})


@tabled("title", LETTERS)
def test_every_sort_letter_belongs_to_a_column_that_sorts(title: str) -> None:
    rows = sort_rows(
        pool_rows(scenarios.mixed_fleet()),
        POOL_COLUMNS,
        Sort(title, descending=False),
        lambda row: row.key,
    )
    assert len(rows) == 9
