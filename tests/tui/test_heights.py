"""Panels of a column share its lines: empty ones collapse, full ones get the place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agentdash.tui.screens.base import details_lines, share_lines
from agentdash.tui.screens.views import TableScreen
from agentdash.tui.widgets.live_table import LiveTable
from tui import fleet_scenarios, scenarios
from tui.plain import screen_lines
from tui.sessions import session

LEAST = (8, 5, 5)


@given(st.integers(18, 80), st.tuples(*[st.integers(3, 300)] * 3))
def test_every_line_is_given_and_only_the_first_panel_gets_more_than_it_wants(
    lines: int, wanted: tuple[int, int, int]
) -> None:
    found = share_lines(lines, wanted, LEAST)
    assert sum(found) == lines
    assert all(has <= want for has, want in zip(found[1:], wanted[1:], strict=True))
    assert all(has >= min(want, low) for has, want, low in zip(found, wanted, LEAST, strict=True))


async def test_panels_without_rows_collapse_and_the_pools_get_their_place() -> None:
    quiet = replace(scenarios.many_pools(40), findings=(), events=())
    async with session(quiet) as running:
        overview = running.app.views.overview
        assert (overview.findings.size.height, overview.events.size.height) == (3, 3)
        before = overview.pools.size.height
        await running.publish(replace(scenarios.many_pools(40, 2), findings=scenarios.findings()))
        await running.pilot.pause()
        assert overview.findings.size.height >= 5
        assert overview.pools.size.height < before


@given(st.integers(11, 80), st.integers(0, 300), st.integers(1, 100))
def test_details_are_never_higher_than_their_lines_nor_leave_a_table_without_two_rows(
    lines: int, rows: int, details: int
) -> None:
    height = details_lines(lines, rows, details)
    assert 3 <= height <= details + 2
    assert lines - height >= min(rows + 3, 5)
    if height < details + 2:
        assert lines - height <= max(lines // 2, 5)


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_the_panel_of_details_has_no_empty_line_and_cuts_none(size: tuple[int, int]) -> None:
    async with session(fleet_scenarios.burst(), size) as running:
        for view in ("tn", "qu", "po", "ev", "mo", "att", "log"):
            await running.command(view)
            await running.keys("j")
            screen = running.app.view
            assert isinstance(screen, TableScreen)
            shown = screen.details.lines(*screen.details.size)
            inside = ["".join(span.text for span in row.spans)[1:-1].strip() for row in shown[1:-1]]
            assert inside
            assert inside[-1], view
            assert "more lines below" not in inside[-1], view


async def test_60x15_has_the_headings_of_its_table_and_more_than_one_row() -> None:
    async with session(fleet_scenarios.burst(), (60, 15)) as running:
        for view in ("ov", "pl", "tn", "qu", "po", "ev", "mo"):
            await running.command(view)
            table = next(iter(running.app.view.query(LiveTable)))
            shown = ["".join(span.text for span in row.spans) for row in table.lines(*table.size)]
            titles = {column.title.split()[0] for column in table.spec.columns}
            assert titles & set(shown[1].replace("→", " → ").split()) or "NOW→NEXT" in shown[1]
            assert len(shown) >= 5
            assert all(each.strip("│ ") for each in shown[2:4])


async def test_59x15_says_what_it_needs() -> None:
    async with session(scenarios.mixed_fleet(), (59, 15)) as running:
        text = "\n".join(screen_lines(running.app))
        assert "needs 60x15" in text
        assert "has 59x15" in text


async def test_why_on_the_smallest_screen_begins_with_the_decision() -> None:
    async with session(fleet_scenarios.burst(), (60, 15)) as running:
        await running.keys("d")
        why = running.app.view
        assert why.decision.size.height >= 6
        assert why.now.size.height >= 4
