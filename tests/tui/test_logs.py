"""The last lines of a pod: pictures, their plain twin, and why there may be none. Each docstring of
a picture says what a reviewer must see.
"""

from __future__ import annotations

from collections.abc import Callable

from controller.model.snapshot import PodLog
from tui import fleet_scenarios
from tui.operators import FakeOperator
from tui.plain import typed
from tui.sessions import session

SMALL, MIDDLE, WIDE = (80, 24), (120, 36), (160, 45)
Picture = Callable[..., bool]
POD = ("agents-acme", "browser-gpu-7c9f-p0d3c")
KEYS = (*typed(":pods"), "enter", "j", "l")
FAILED = (
    "tool server handshake failed: connection reset by peer after 3 tries, "
    "giving the task back and ending with exit code 3 so that another replica may take it"
)
LINES = (
    "started: works for acme-browser-gpu, model opus",
    "task begins, it waited 112.4 s",
    "GET https://shop.example/cart 200 in 0.8 s",
    FAILED,
)


def reading(*lines: str, container: str = "") -> FakeOperator:
    operator = FakeOperator()
    operator.logs[POD] = PodLog(container=container, lines=lines)
    return operator


async def test_the_key_reads_the_lines_again() -> None:
    operator = reading("one")
    async with session(fleet_scenarios.burst(), operator=operator) as running:
        await running.keys(*KEYS)
        assert "one" in running.text("#lines")
        operator.logs[POD] = PodLog(lines=("one", "two"))
        await running.keys("l")
        assert ">   2 two" in running.text("#lines")
        assert running.stack == ["overview", "pods", "logs"]
        await running.keys("slash", *"one", "enter")
        assert "two" not in running.text("#lines")


async def test_a_pod_without_lines_says_so() -> None:
    async with session(fleet_scenarios.burst(), operator=reading()) as running:
        await running.keys(*KEYS)
        assert "it has written nothing" in running.text("#lines")


async def test_without_a_pod_under_the_cursor_nothing_is_asked() -> None:
    async with session(fleet_scenarios.burst(), operator=reading("one")) as running:
        await running.keys("l")
        assert "no pod under the cursor" in running.text("#crumbs")
        await running.keys(*typed(":pods"), "enter", "l")
        assert "no pod under the cursor" in running.text("#crumbs"), "its pods are not known"


async def test_a_dashboard_that_cannot_ask_says_so() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.keys(*KEYS)
        assert "this dashboard cannot ask for it" in running.text("#lines")


async def test_the_past_has_no_log() -> None:
    before = fleet_scenarios.burst(4820, fleet_scenarios.NOW - 60)
    async with session(before, operator=reading("one")) as running:
        await running.publish(fleet_scenarios.burst(4821))
        await running.keys(*typed(":pods"), "enter", "j", "<", "l")
        assert "a log is of now" in running.text("#crumbs")
        assert running.stack == ["overview", "pods"]
