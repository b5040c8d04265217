"""Operating in the dashboard as pictures. Each docstring says what a reviewer must see."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controller.model.intents import Pin
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


def test_operating_form_160x45(picture: Picture) -> None:
    """The same; the rows above stay where they are."""
    assert same(picture, asked(), WIDE, *PIN)


def test_operating_pool_80x24(picture: Picture) -> None:
    """What the pin changes now, what is asked for, until when and why; then y/N."""
    assert same(picture, asked(), SMALL, *PIN, "enter")


def test_operating_replaced_160x45(picture: Picture) -> None:
    """Somebody has pinned the pool already: who, since when, why; the question says replace."""
    operator = asked()
    operator.stands(
        Pin(pool="acme/browser-gpu", replicas=2, who=operators.MARA, why="demo for a customer")
    )
    keys = typed(":pin acme/browser-gpu 5 until 1h why load test")
    assert same(picture, operator, WIDE, *keys, "enter")


def test_operating_tenant_80x24(picture: Picture) -> None:
    """A tenant: how many of its pools, how many idle replicas go and busy ones finish; y/N."""
    keys = (*typed(":tn"), "enter", "s", *typed("OPS-902"), "enter", "enter")
    assert same(picture, asked("TENANT"), SMALL, *keys)


def test_operating_everything_160x45(picture: Picture) -> None:
    """The whole fleet: the numbers, and its name has to be typed."""
    keys = typed(":freeze --all until 1h why incident OPS-903")
    assert same(picture, asked("FLEET"), WIDE, *keys, "enter")


def test_operating_off_80x24(picture: Picture) -> None:
    """Read-only: the keys that change something stand in round brackets; pressed, one says why."""
    operator = asked()
    operator.off = "read-only (--read-only)"
    assert same(picture, operator, SMALL, "p")


def test_audit_80x24(picture: Picture) -> None:
    """Every change, the newest first: who, what, of what, before and after; below, one in full."""
    assert same(picture, asked(), SMALL, *typed(":au"), "enter", "j")


def test_audit_120x36(picture: Picture) -> None:
    """Who asked for what, for which pool or tenant, and until when; below, the change in words."""
    assert same(picture, asked(), MIDDLE, *typed(":au"), "enter")


def test_audit_160x45(picture: Picture) -> None:
    """The same with age, end and reason; an intent that ended by itself is dim."""
    assert same(picture, asked(), WIDE, *typed(":au"), "enter")


def test_audit_empty_80x24(picture: Picture) -> None:
    """Nobody has ever asked for anything."""
    assert same(picture, operators.FakeOperator(), SMALL, *typed(":au"), "enter")


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
