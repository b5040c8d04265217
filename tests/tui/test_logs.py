"""The last lines of a pod: pictures, their plain twin, and why there may be none. Each docstring of
a picture says what a reviewer must see.
"""

from __future__ import annotations

from collections.abc import Callable

from controller.model.snapshot import Container, ContainerState, PodEvent, PodInFull, PodLog
from tui import fleet_scenarios
from tui.operators import FakeOperator
from tui.plain import typed
from tui.scenarios import NOW
from tui.sessions import Session, session

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
    operator.pods.logs[POD] = PodLog(container=container, lines=lines)
    return operator


async def test_the_key_reads_the_lines_again() -> None:
    operator = reading("one")
    async with session(fleet_scenarios.burst(), operator=operator) as running:
        await running.keys(*KEYS)
        assert "one" in running.text("#lines")
        operator.pods.logs[POD] = PodLog(lines=("one", "two"))
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


async def test_a_log_is_read_on_while_it_is_looked_at_and_stands_still_on_a_key() -> None:
    operator = reading("one")
    async with session(fleet_scenarios.burst(), operator=operator) as running:
        await running.keys(*KEYS)
        assert "follows" in running.text("#lines")
        operator.pods.logs[POD] = PodLog(lines=("one", "two", "three"))
        await later(running, 1.0)
        assert ">   3 three" in running.text("#lines"), "the cursor goes along at the end"
        assert "held" not in running.text("#lines")
        await running.keys("k", "k")
        read = operator.pods.logs[POD]
        operator.pods.logs[POD] = PodLog(lines=("one", "two", "three", "four"))
        await later(running, 1.0)
        assert operator.pods.known == read, "it is gone on with"
        text = running.text("#lines")
        assert ">   1 one" in text, "a number stays that of its line"
        assert "    4 four" in text
        await running.keys("f")
        assert "stands still" in running.text("#lines")
        operator.pods.logs[POD] = PodLog(lines=("four", "five"))
        await later(running, 9.0)
        assert "five" not in running.text("#lines")
        assert running.stack == ["overview", "pods", "logs"]


async def test_what_was_read_stays_where_the_log_cannot_be_read_on_and_it_is_said() -> None:
    operator = reading("one")
    async with session(fleet_scenarios.burst(), (120, 36), operator=operator) as running:
        await running.keys(*KEYS)
        operator.pods.problem = "the pod is not there any longer"
        await later(running, 1.0)
        assert "not read on: the pod is not there any longer" in running.text("#lines")
        assert "one" in running.text("#lines")
        operator.pods.problem = ""
        operator.pods.logs[POD] = PodLog(lines=("one", "nine"))
        await later(running, 5.0)
        assert "nine" in running.text("#lines")
        assert "not read on" not in running.text("#lines")


async def test_the_run_before_another_container_and_long_lines() -> None:
    operator = FakeOperator()
    operator.pods.logs = {
        POD: PodLog(container="agent", containers=("agent", "proxy"), lines=(FAILED,)),
        (*POD, "previous"): PodLog(container="agent", lines=("killed",)),
        (*POD, "proxy"): PodLog(container="proxy", lines=("proxies",)),
    }
    async with session(fleet_scenarios.burst(), (80, 24), operator=operator) as running:
        await running.keys(*KEYS)
        assert "agent 1/2, follows" in running.text("#lines")
        assert "<p>previous" in running.text("#hints")
        assert "replica may take it" not in running.text("#lines")
        await running.keys("w")
        assert "replica may take it" in running.text("#lines")
        await running.keys("p")
        assert "killed" in running.text("#lines")
        assert "agent 1/2, previous run" in running.text("#lines")
        await running.keys("p", "n")
        assert "proxies" in running.text("#lines")
        assert "proxy 2/2" in running.text("#lines")


async def later(running: Session, seconds: float) -> None:
    running.clock.now += seconds
    running.app.draw()
    await running.pilot.pause()
    await running.app.workers.wait_for_complete()
    await running.pilot.pause()


CRASHED = PodInFull(
    containers=(
        Container(
            name="fetch",
            image="fetch:2",
            is_init=True,
            state=ContainerState(word="ended", reason="Completed", exit_code=0, at=NOW - 130),
        ),
        Container(
            name="agent",
            image="registry.example/agent:7",
            restarts=4,
            state=ContainerState(reason="CrashLoopBackOff", message="back-off 40s"),
            last=ContainerState(word="ended", exit_code=3, at=NOW - 20),
        ),
    ),
    events=(
        PodEvent(
            at=NOW - 20, count=4, reason="BackOff", message="\x1b[31mrestarting", is_warning=True
        ),
        PodEvent(
            at=NOW - 130, count=1, reason="Pulled", message="image is there", is_warning=False
        ),
    ),
)


async def test_a_pod_in_full_has_its_containers_its_events_and_why_it_is_not_ready() -> None:
    operator = FakeOperator()
    operator.pods.seen[POD] = CRASHED
    async with session(fleet_scenarios.burst(), (160, 45), operator=operator) as running:
        await running.keys(*typed(":pods"), "enter", "j", "enter")
        assert running.stack == ["overview", "pods", "detail"]
        text = " ".join(running.text("#detail").split())
        assert "not ready container agent has ended 4 times, last with exit 3" in text
        assert "fetch (init) ended, exit 0 (Completed) 12:02Z 0 - fetch:2" in text
        assert "agent waiting: CrashLoopBackOff - 4 exit 3 at 12:04Z registry.example" in text
        assert "12:04Z 4 BackOff \ufffd[31mrestarting" in text
        operator.pods.seen[POD] = PodInFull(events="our user may not read events")
        await later(running, 2.0)
        assert "our user may not read events" in running.text("#detail")
        await running.keys("l")
        assert running.stack[-1] == "logs"
    async with session(fleet_scenarios.burst(), (160, 45)) as running:
        await running.keys(*typed(":pods"), "enter", "j", "enter")
        assert "this dashboard cannot ask for it" in running.text("#detail")
