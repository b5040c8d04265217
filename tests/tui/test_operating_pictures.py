"""Operating in the dashboard as pictures. Each docstring says what a reviewer must see."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tui import fleet_scenarios, operators, scenarios
from tui.dashboards import dashboard
from tui.plain import typed
from tui.recording import recorded

SMALL, MIDDLE, WIDE = (80, 24), (120, 36), (160, 45)
Picture = Callable[..., bool]
PIN = (*typed(":pools"), "enter", "p", "3", "enter", *typed("load test"), "enter")
CONFIRM_BYTES = 3_000


def same(
    picture: Picture, operator: operators.FakeOperator, size: tuple[int, int], *keys: str
) -> bool:
    app = dashboard(scenarios.FakeFeed(fleet_scenarios.over_budget()), operator=operator)
    return picture(app, press=keys, terminal_size=size)


def asked(effect: str = "POOL") -> operators.FakeOperator:
    operator = operators.FakeOperator()
    operator.effect = getattr(operators, effect)
    operator.changes = operators.some_changes()
    return operator


def test_operating_form_80x24(picture: Picture) -> None:
    """The form of a pin above the prompt: the pool, the answers so far, and how an end is typed."""
    assert same(picture, asked(), SMALL, *PIN)


def test_operating_pool_80x24(picture: Picture) -> None:
    """What the pin changes now, what is asked for, until when and why; then y/N."""
    assert same(picture, asked(), SMALL, *PIN, "enter")


def test_operating_everything_160x45(picture: Picture) -> None:
    """The whole fleet: the numbers, and its name has to be typed."""
    keys = typed(":freeze --all until 1h why incident OPS-903")
    assert same(picture, asked("FLEET"), WIDE, *keys, "enter")


def test_operating_off_80x24(picture: Picture) -> None:
    """Read-only: the keys that change something stand in round brackets; pressed, one says why."""
    operator = asked()
    operator.off = "read-only (--read-only)"
    assert same(picture, operator, SMALL, "p")


@pytest.mark.parametrize("size", [SMALL, WIDE])
async def test_each_step_of_a_confirmation_writes_no_more_bytes_than_promised(
    size: tuple[int, int],
) -> None:
    app = dashboard(
        scenarios.FakeFeed(scenarios.many_pools(1000)), operator=operators.FakeOperator()
    )
    async with recorded(app, size) as (pilot, recording):
        for step in (["p"], ["3", "enter"], ["x", "enter"], ["enter"], ["escape"]):
            recording.read()
            for key in step:
                await pilot.press(key)
            await pilot.pause()
            assert 0 < len(recording.read().encode()) <= CONFIRM_BYTES, step
