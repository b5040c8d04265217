"""What is counted when a worker of the demo has to stop at work."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from agentdash.demo.agents import DemoCrew, DemoPod
from agentdash.demo.process import WorldReport


def pod(name: str, node: str = "node-0") -> DemoPod:
    return DemoPod(name, node, lambda _: None)


def session(*, stopped: bool) -> Any:
    stopping = asyncio.Event()
    if stopped:
        stopping.set()
    return SimpleNamespace(stopping=stopping)


def test_a_worker_that_stops_at_work_was_killed_unless_its_node_goes_or_the_demo_ends() -> None:
    report = WorldReport()
    crew = DemoCrew(report)
    crew.take_away(["b", "d"])
    for name, stopped in (("a", True), ("b", True), ("c", False)):
        with crew.at_work(pod(name), session(stopped=stopped)):
            pass
    with crew.at_work(pod("d"), session(stopped=True)):
        crew.gone(["d"])
    assert (report.killed, report.reclaimed, report.ordered) == (1, 2, 1)
    with crew.at_work(pod("a"), session(stopped=True)):
        crew.end()
    assert report.killed == 1


def test_a_task_that_fails_while_its_worker_stops_is_counted_too() -> None:
    report = WorldReport()
    crew = DemoCrew(report)
    with pytest.raises(ValueError, match="broken"), crew.at_work(pod("a"), session(stopped=True)):
        raise ValueError("broken")
    assert report.killed == 1


async def test_the_busiest_node_is_known_once_one_is_at_work() -> None:
    report = WorldReport()
    crew = DemoCrew(report)
    asked = asyncio.create_task(crew.busiest_node())
    await asyncio.sleep(0)
    assert not asked.done()
    with (
        crew.at_work(pod("a", "node-1"), session(stopped=False)),
        crew.at_work(pod("b", "node-2"), session(stopped=False)),
        crew.at_work(pod("c", "node-2"), session(stopped=False)),
    ):
        assert await asked == "node-2"


async def test_a_node_is_left_once_none_is_at_work_on_it() -> None:
    report = WorldReport()
    crew = DemoCrew(report)
    crew.take_away(["a", "b"])
    with crew.at_work(pod("a"), session(stopped=True)):
        leaving = asyncio.create_task(crew.left("node-0"))
        with crew.at_work(pod("b"), session(stopped=True)):
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not leaving.done()
    await leaving
