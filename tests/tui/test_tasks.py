"""The view of tasks: rows, what is asked for, the row in full, cancel, retry and copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from agentdash.operate import NotDoneError
from controller.model.ids import PoolKey
from controller.model.intents import Scope
from controller.model.tasks import TaskInFull, TaskPage, TaskRow, TaskState
from tui import fleet_scenarios, scenarios
from tui.dashboards import dashboard
from tui.operators import FakeOperator
from tui.plain import screen_lines, typed
from tui.scenarios import NOW, FakeFeed
from tui.sessions import Session, session

RESEARCH, CODER = PoolKey("globex/research"), PoolKey("acme/coder-large")
TASKS = (*typed(":tasks"), "enter")


def row(task: str, state: TaskState, at: float, **more: Any) -> TaskRow:
    return TaskRow(pool=more.pop("pool", RESEARCH), id=task, state=state, at=NOW - at, **more)


PAGE = TaskPage(
    rows=(
        row("failed-1", TaskState.ENDED, 40, status="failed", tries=3, seconds=12.0, tokens=1_200,
            usd=0.0123, pod="research-9", why="it cannot be done"),
        row("done-1", TaskState.ENDED, 20, status="done", tries=1, seconds=2.0, tokens=88_000,
            usd=1.25, pod="research-9", why='{"answer":42}'),
        row("dead-1", TaskState.DEAD, 600, tries=5, pool=CODER, why="5 tries failed"),
        row("normal-1", TaskState.WAITING, 300, priority="normal"),
        row("high-1", TaskState.WAITING, 100, priority="high"),
        row("high-2", TaskState.WAITING, 10, priority="high", why="no worker has it"),
        row("run-1", TaskState.RUNNING, 90, tries=2, tokens=4_000, usd=0.02, checkpoint=3,
            pod="research-7"),
    ),
    waiting=10_000,
    in_flight=2,
    has_more=True,
)  # fmt: skip
ORDER = ["run-1", "high-1", "high-2", "normal-1", "dead-1", "done-1", "failed-1"]


def screen(running: Session) -> str:
    return "\n".join(screen_lines(running.app))


def operator(page: TaskPage = PAGE) -> FakeOperator:
    found = FakeOperator()
    found.found = page
    return found


def test_tasks_160x45(picture: Callable[..., bool]) -> None:
    """What runs first, then what waits by priority, the dead, the ended; the row in words below."""
    app = dashboard(FakeFeed(scenarios.mixed_fleet()), operator=operator())
    assert picture(app, press=TASKS, terminal_size=(160, 45))


def test_tasks_80x24(picture: Callable[..., bool]) -> None:
    """State, id, pool, age, tries and tokens have room; the title says how many wait."""
    app = dashboard(FakeFeed(scenarios.mixed_fleet()), operator=operator())
    assert picture(app, press=TASKS, terminal_size=(80, 24))


async def test_what_runs_longest_is_on_top_and_the_newest_end_last() -> None:
    async with session(scenarios.mixed_fleet(), operator=operator()) as running:
        await running.keys(*TASKS)
        table = running.app.view.filtered
        assert table is not None
        assert [key.partition(" ")[2] for key in table.visible_keys] == ORDER
        assert "10,000 wait, 2 delivered; more at the end" in running.text("#tasks")


async def test_pools_with_work_are_asked_for_and_one_tenant_or_pool_alone() -> None:
    asks = operator()
    async with session(fleet_scenarios.burst(), operator=asks) as running:
        await running.keys(*TASKS)
        tenants = {each.partition("/")[0] for each in asks.asked_tasks[-1].pools}
        assert len(tenants) > 1
        await running.keys(*typed(":tasks acme"), "enter")
        question = asks.asked_tasks[-1]
        assert {each.partition("/")[0] for each in question.pools} == {"acme"}
        assert question.scope == Scope(tenant="acme")
        await running.keys(*typed(":tasks acme/browser-gpu"), "enter")
        question = asks.asked_tasks[-1]
        assert [*question.pools] == ["acme/browser-gpu"]
        assert question.scope.pool == "acme/browser-gpu"


async def test_the_page_of_a_pool_has_its_tasks_alone() -> None:
    async with session(scenarios.mixed_fleet(), operator=operator()) as running:
        await running.keys(*typed(":tasks acme/coder-large"), "enter")
        assert "dead-1" in running.text("#tasks")
        assert "run-1" not in running.text("#tasks")


async def test_at_the_last_row_more_are_asked_for() -> None:
    asks = operator()
    async with session(scenarios.mixed_fleet(), operator=asks) as running:
        await running.keys(*TASKS)
        assert asks.asked_tasks[-1].most == 100
        await running.keys("end")
        running.clock.now += 3
        await running.publish(scenarios.mixed_fleet(4822, at=running.clock.now))
        assert asks.asked_tasks[-1].most == 200


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("dead", ["dead-1"]),
        ("acme/coder", ["dead-1"]),
        ("high", ["high-1", "high-2"]),
        ("^run-1$", ["run-1"]),
        ("failed", ["dead-1", "failed-1"]),
    ],
)
async def test_a_filter_finds_state_pool_priority_and_id(words: str, found: list[str]) -> None:
    async with session(scenarios.mixed_fleet(), operator=operator()) as running:
        await running.keys(*TASKS, *typed("/" + words), "enter")
        table = running.app.view.filtered
        assert table is not None
        assert [key.partition(" ")[2] for key in table.visible_keys] == found


async def test_enter_shows_payload_terms_and_tries() -> None:
    async with session(scenarios.mixed_fleet(), operator=operator()) as running:
        await running.keys(*TASKS, "enter")
        text = running.text("#detail")
        assert "task run-1" in text
        for part in (
            "payload of run-1",
            "4.0 s: TimeoutError",
            "4,000 tokens",
            "checkpoint 3",
            "research-7",
        ):
            assert part in text


async def test_a_page_that_was_opened_as_running_says_how_the_task_ended() -> None:
    class Ending(FakeOperator):
        has_ended = False

        async def look(self, row: TaskRow) -> TaskInFull:
            found = await super().look(row)
            if not self.has_ended:
                return found
            by_now = replace(row, state=TaskState.ENDED, status="done", why="42")
            return replace(found, row=by_now, payload="")

    acts = Ending()
    acts.found = PAGE
    async with session(scenarios.mixed_fleet(), (120, 30), operator=acts) as running:
        await running.keys(*TASKS, "enter")
        assert "running since" in running.text("#detail")
        acts.has_ended = True
        running.clock.now += 2.0
        running.app.draw()
        await running.app.workers.wait_for_complete()
        await running.pilot.pause()
        text = running.text("#detail")
        assert ("running" in text, "done at" in text, "42" in text) == (False, True, True)


async def test_cancel_and_retry_ask_first_and_name_the_task() -> None:
    acts = operator()
    async with session(scenarios.mixed_fleet(), operator=acts) as running:
        await running.keys(*TASKS, "ctrl+k")
        assert "cancel run-1 of globex/research" in screen(running)
        await running.keys("n")
        assert "not confirmed: nothing was changed" in screen(running)
        await running.keys("ctrl+k", "escape")
        assert acts.task_acts == []
        await running.keys("ctrl+k", "y")
        assert [(what, each.id) for what, each in acts.task_acts] == [
            ("cancelled by ann@laptop", "run-1")
        ]
        assert "run-1 is cancelled" in screen(running)
        await running.keys("R")
        assert "only a dead or failed one is tried again" in screen(running)
        await running.keys(*typed("/dead"), "enter", "R", "y")
        assert acts.task_acts[-1][1].id == "dead-1"
        await running.keys("ctrl+k")
        assert "dead-1 has ended, as dead" in screen(running)


async def test_what_cannot_be_done_is_said() -> None:
    acts = operator()
    async with session(scenarios.mixed_fleet(), operator=acts) as running:
        await running.keys(*TASKS, "ctrl+k")
        acts.failure = NotDoneError("nats is away")
        await running.keys("y")
        assert "nats is away" in screen(running)
        acts.off = "read-only"
        await running.keys("ctrl+k")
        assert "cancel is off: read-only" in screen(running)


async def test_the_key_copies_the_id() -> None:
    async with session(scenarios.mixed_fleet(), operator=operator()) as running:
        await running.keys(*TASKS, "c")
        assert "copied run-1" in screen(running)


async def test_why_no_task_is_known_is_said_and_what_could_not_be_read() -> None:
    asks = operator(TaskPage(problems=("what is dead cannot be read: no right",)))
    async with session(scenarios.mixed_fleet(), operator=asks) as running:
        await running.keys(*TASKS)
        assert "what is dead cannot be read: no right" in running.text("#tasks")
    asks = operator()
    asks.failure = NotDoneError("nats is away")
    async with session(scenarios.mixed_fleet(), operator=asks) as running:
        await running.keys(*TASKS)
        assert "the tasks are not known: nats is away" in running.text("#tasks")
