"""Panels of a column share its lines: empty ones collapse, full ones get the place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agentdash.tui.heights import share_lines
from tui import scenarios
from tui.sessions import session

LEAST = (8, 5, 5)


@pytest.mark.parametrize(
    ("lines", "wanted", "shared"),
    [
        (20, (12, 3, 3), [14, 3, 3]),  # empty panels collapse
        (20, (50, 3, 40), [11, 3, 6]),
        (20, (4, 20, 20), [4, 8, 8]),  # three pools: the place goes to what has more rows
        (20, (4, 3, 3), [14, 3, 3]),
        (32, (100, 30, 200), [16, 8, 8]),
    ],
)
def test_lines_are_shared(lines: int, wanted: tuple[int, int, int], shared: list[int]) -> None:
    assert share_lines(lines, wanted, LEAST) == shared


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


async def test_a_pool_without_unready_pods_gives_their_place_to_the_panels_above() -> None:
    async with session(scenarios.mixed_fleet(), (120, 36)) as running:
        why = running.app.views.why
        await running.keys("j", "d")
        await running.pilot.pause()
        with_pods = why.decision.size.height + why.now.size.height
        await running.type(":why support-chat")
        await running.keys("enter")
        await running.pilot.pause()
        assert why.pods.size.height == 3
        assert why.decision.size.height + why.now.size.height == with_pods + 3
