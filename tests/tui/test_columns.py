"""Tables as data: which columns fit, and in which order rows come."""

from __future__ import annotations

import pytest

from agentdash.tui.columns import Sort, place, sort_rows
from agentdash.tui.tables import BY_PRESSURE, POOLS, POOLS_SHORT, SORT_LETTERS
from agentdash.tui.view import PoolRow, pool_rows
from tui import scenarios


def keys(rows: list[PoolRow]) -> list[str]:
    return [row.key for row in rows]


def test_columns_drop_by_rank_and_are_never_squeezed() -> None:
    for width in range(20, 240):
        placed = place(POOLS, width)
        assert all(each.width >= each.column.width for each in placed)
        dropped = [column.rank for column in POOLS if column not in [p.column for p in placed]]
        kept = [each.column.rank for each in placed]
        assert not dropped or min(dropped) >= max(kept)


def test_the_columns_that_matter_most_fit_eighty_cells() -> None:
    titles = [each.column.title for each in place(POOLS_SHORT, 76)]
    assert titles == ["POOL", "STATE", "READY", "NOW→NEXT", "WANT", "PENDING", "PRESS", "BOUND"]


def test_a_wide_screen_shows_every_column() -> None:
    placed = place(POOLS, 156)
    assert len(placed) == len(POOLS)
    assert sum(each.width for each in placed) + len(placed) - 1 == 156


def test_the_greatest_pressure_comes_first_and_the_unknown_last() -> None:
    rows = sort_rows(pool_rows(scenarios.calm()), POOLS, BY_PRESSURE, lambda row: row.key)
    known = [row.pressure for row in rows if row.pressure is not None]
    assert known == sorted(known, reverse=True)
    assert keys(rows)[:2] == ["acme/browser-gpu", "initech/etl"]
    assert keys(rows)[-1] == "globex/canary"
    turned = sort_rows(rows, POOLS, Sort("PRESS", descending=False), lambda row: row.key)
    assert keys(turned)[-1] == "globex/canary"


def test_equal_rows_keep_one_order_whatever_the_snapshots_order() -> None:
    rows = pool_rows(scenarios.many(30))
    one = sort_rows(rows, POOLS, Sort("TIER", descending=True), lambda row: row.key)
    other = sort_rows(rows[::-1], POOLS, Sort("TIER", descending=True), lambda row: row.key)
    assert keys(one) == keys(other)


@pytest.mark.parametrize("title", SORT_LETTERS.values())
def test_every_sort_letter_names_a_column_that_sorts(title: str) -> None:
    rows = sort_rows(
        pool_rows(scenarios.calm()), POOLS, Sort(title, descending=False), lambda row: row.key
    )
    assert len(rows) == 9
