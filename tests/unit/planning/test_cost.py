"""The work of a plan follows the number of pools, never the number of messages."""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal
from types import FrameType

import pytest

from controller.model.observation import QueueDepth
from controller.model.readings import Fresh
from controller.model.scarcity import Warm
from unit.planning.story import Story, make_pool


def calls_of(work: Callable[[], object]) -> int:
    """How many functions are called while this runs."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def busiest_plan(messages: int, warm: Warm) -> int:
    """The most calls of any plan in a history of bursts of so many messages."""
    story = Story(make_pool(max=2 * 10**9, warm=warm), replicas=3)
    most = 0
    for number in range(40):
        depth = QueueDepth(
            pending=messages * (number % 3),
            in_flight=messages // 10,
            delivered=messages * number,
            sequence=messages * number,
        )
        queue = Fresh(value=depth, at=story.now)
        most = max(most, calls_of(lambda queue=queue: story.tick(queue=queue)))
    return most


@pytest.mark.parametrize("warm", [Warm(), Warm(slo=Decimal("0.99"))])
def test_a_backlog_of_a_billion_is_planned_with_as_little_work_as_a_thousand(warm: Warm) -> None:
    assert busiest_plan(10**9, warm) < 3 * busiest_plan(10**3, warm)
