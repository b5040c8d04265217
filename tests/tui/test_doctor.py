"""The doctor's view: the checks run when a person asks, and their lines come as they end."""

from __future__ import annotations

from agentdash.tui.table import sort_rows
from agentdash.tui.tables.health import DOCTOR
from controller.model.snapshot import Level
from tui import operators, scenarios
from tui.dashboards import dashboard
from tui.plain import press, screen_lines, typed
from tui.sessions import Session, session

WIDE = (120, 36)


def checked() -> operators.FakeOperator:
    operator = operators.FakeOperator()
    operator.progress = operators.some_checks()
    return operator


async def ask(running: Session) -> str:
    await running.type(":doctor")
    await running.keys("enter")
    await running.pilot.pause()
    return "\n".join(screen_lines(running.app))


async def test_the_picture_of_the_checks_has_a_twin_in_plain_lines() -> None:
    async with session(scenarios.mixed_fleet(), WIDE, checked()) as running:
        shown = await ask(running)
    for line in operators.some_checks()[-1].lines:
        assert any(
            line.level in each and line.check in each and line.text[:40] in each
            for each in shown.splitlines()
        ), line
    assert "checked at" in shown
    assert "apply the Role that `agentdash manifests` prints for this namespace" in shown


def test_what_does_not_work_comes_first() -> None:
    lines = operators.some_checks()[-1].lines
    levels = [each.level for each in sort_rows(lines, DOCTOR.columns, DOCTOR.sort, DOCTOR.key)]
    fail, skip, warn, ok = Level.FAIL, Level.SKIP, Level.WARN, Level.OK
    assert levels == [fail, fail, skip, warn, ok, ok, ok]


async def test_lines_come_while_other_checks_still_run() -> None:
    operator = checked()
    operator.progress = operator.progress[:1]
    operator.gate.clear()
    async with session(scenarios.mixed_fleet(), WIDE, operator) as running:
        shown = await ask(running)
        assert "2 of 7 checks have ended" in shown
        assert "server v1.36.0" in shown
        operator.gate.set()
        await running.app.workers.wait_for_complete()
        await running.pilot.pause()
        assert "checked at" in "\n".join(screen_lines(running.app))


async def test_a_second_request_does_not_run_the_checks_twice_at_once() -> None:
    operator = checked()
    operator.gate.clear()
    async with session(scenarios.mixed_fleet(), WIDE, operator) as running:
        await ask(running)
        await ask(running)
        assert operator.examined == 1
        operator.gate.set()
        await running.app.workers.wait_for_complete()
        await ask(running)
        assert operator.examined == 2


async def test_a_dashboard_that_cannot_check_says_why_and_what_does() -> None:
    operator = operators.FakeOperator()
    operator.failure = operators.refused("this dashboard has no fleet file")
    async with session(scenarios.mixed_fleet(), WIDE, operator) as running:
        assert "nothing was checked: this dashboard has no fleet file" in await ask(running)
    async with session(scenarios.mixed_fleet(), WIDE) as running:
        assert "agentdash doctor checks the same" in await ask(running)


async def test_the_checks_are_shown_before_there_is_any_snapshot() -> None:
    app = dashboard(scenarios.FakeFeed(None), operator=checked())
    async with app.run_test(size=WIDE) as pilot:
        await press(pilot, *typed(":doc"), "enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "research-hpa scales research-agent" in "\n".join(screen_lines(app))
