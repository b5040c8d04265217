"""Whatever is typed, clicked or resized: no crash, no deed without a confirmation, no surprise."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tui.any_input import (
    EFFECTS,
    HISTORIES,
    SCENARIOS,
    Mouse,
    Press,
    Resized,
    Step,
    Watched,
    presses,
)


@asynccontextmanager
async def watched(
    scenario: str, effect: str, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Watched]:
    """A running dashboard whose rules are checked after each step."""
    running = Watched(scenario, effect)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # views are saved there
        async with running.app.run_test(size=size) as pilot:
            running.pilot = pilot
            await pilot.pause()
            yield running


async def do_all(running: Watched, steps: Sequence[Step]) -> None:
    for step in steps:
        await running.do(step)
        if running.has_ended:
            return


# an example takes a second, so failing ones are not made shorter: the assertion names the step
@pytest.mark.timeout(400)
@settings(max_examples=8, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    scenario=st.sampled_from(sorted(SCENARIOS)),
    effect=st.sampled_from(sorted(EFFECTS)),
    steps=HISTORIES,
)
async def test_nothing_is_done_without_a_confirmation_and_the_keyboard_stays_alive(
    scenario: str, effect: str, steps: tuple[Step, ...]
) -> None:
    async with watched(scenario, effect) as running:
        await do_all(running, steps)
        if not running.has_ended:
            await running.is_alive()


CONFIRMING = presses("s", "why", "[enter]", "[enter]")


async def test_a_click_on_a_panel_leaves_the_keyboard_with_the_open_prompt() -> None:
    async with watched("burst", "pool") as running:
        await do_all(running, (*presses(":p"), Mouse("move", 0.5, 0.6), *presses("l", "[enter]")))
        assert running.app.view is running.app.views.view("pools")
        await do_all(running, (*presses(":p"), Mouse("move", 0.5, 0.6), *presses("[escape]")))
        assert running.app.view is running.app.views.view("pools")
        assert not running.app.view.prompt.mode


async def test_a_question_that_another_message_replaced_is_not_answered_by_the_second_q() -> None:
    async with watched("burst", "pool") as running:
        await do_all(running, presses("q", "c", "q"))
        assert not running.has_ended
        await do_all(running, presses("q"))
        assert running.has_ended


async def test_a_confirmation_that_cannot_be_read_is_not_accepted() -> None:
    async with watched("burst", "pool") as running:
        await do_all(running, (*CONFIRMING, Resized(20, 5), Press("y")))
        assert not running.operator.written
        await do_all(running, (Resized(80, 24), Press("y")))
        assert len(running.operator.written) == 1
