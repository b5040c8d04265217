"""What the messages of a queue ask for, and which counts are not believed."""

from __future__ import annotations

import math

import pytest

from controller.model.decision import Code, Gate
from controller.model.observation import QueueDepth
from controller.model.readings import Absent, Fresh, Why
from unit.planning.story import START, Story, codes, make_pool


@pytest.mark.parametrize(
    ("pending", "in_flight", "target", "replicas"),
    [(0, 0, 1, 0), (1, 0, 10, 1), (10, 0, 10, 1), (11, 0, 10, 2), (7, 4, 10, 2), (20, 0, 1, 20)],
)
def test_demand_is_the_work_by_the_target_rounded_up(
    pending: int, in_flight: int, target: int, replicas: int
) -> None:
    decision = Story(make_pool(target=target)).tick(pending, in_flight)
    assert decision.demand == replicas
    reason = decision.reasons[0]
    assert reason.code is Code.QUEUE
    assert reason.numbers == {
        "pending": pending,
        "in_flight": in_flight,
        "target": target,
        "slots": 1,
    }


ABSURD = [-1, 2**63, 10**12, math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("field", ["pending", "in_flight"])
@pytest.mark.parametrize("number", ABSURD)
def test_an_absurd_number_is_refused_and_takes_nothing_away(field: str, number: float) -> None:
    story = Story(make_pool(), replicas=5)
    story.ticks(2_000, pending=5)
    depth = QueueDepth(**{"pending": 0, "in_flight": 0, field: number})  # type: ignore[arg-type]
    decision = story.tick(queue=Fresh(value=depth, at=story.now))
    assert decision.demand is None
    assert codes(decision) == [Code.QUEUE_UNKNOWN, Code.HELD_BLIND]
    assert decision.reasons[0].numbers["why"] == Why.IMPLAUSIBLE
    assert decision.gate is Gate.BLIND
    assert decision.next == 5


@pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf])
def test_a_reading_without_a_time_is_refused(at: float) -> None:
    story = Story(make_pool(), replicas=5)
    decision = story.tick(queue=Fresh(value=QueueDepth(pending=9, in_flight=0), at=at))
    assert codes(decision)[0] is Code.QUEUE_UNKNOWN
    assert decision.reasons[0].numbers == {"why": Why.IMPLAUSIBLE}


def test_a_paused_consumer_is_named_and_its_messages_count() -> None:
    decision = Story(make_pool(), replicas=0).tick(3, paused=True)
    assert Code.QUEUE_PAUSED in codes(decision)
    assert decision.next == 3


def test_a_wake_up_after_a_count_of_zero_is_one_message() -> None:
    story = Story(make_pool())
    decision = story.tick(
        queue=Fresh(value=QueueDepth(pending=0, in_flight=0), at=START - 0.5), woken_at=START
    )
    assert codes(decision) == [Code.QUEUE, Code.WOKEN]
    assert (decision.demand, decision.next, decision.wake) == (1, 1, True)


def test_a_wake_up_before_the_count_was_asked_for_is_already_counted() -> None:
    story = Story(make_pool())
    decision = story.tick(woken_at=START - 0.001)
    assert codes(decision) == [Code.QUEUE]
    assert decision.next == 0


def test_a_wake_up_wakes_a_pool_whose_queue_cannot_be_read() -> None:
    decision = Story(make_pool()).tick(
        queue=Absent(why=Why.DISCONNECTED, at=START), woken_at=START - 1
    )
    assert codes(decision) == [Code.QUEUE_UNKNOWN, Code.WOKEN]
    assert (decision.next, decision.wake, decision.gate) == (1, True, None)


def test_a_wake_up_proves_only_one_message_and_passes_no_activation_above_zero() -> None:
    story = Story(make_pool(activation=1))
    assert story.tick(woken_at=story.now + 1).next == 0
    blind = story.tick(queue=Absent(why=Why.DISCONNECTED, at=START), woken_at=story.now)
    assert (blind.next, blind.gate) == (0, Gate.BLIND)


def test_a_wake_up_at_the_moment_of_the_count_may_not_be_in_it() -> None:
    assert Story(make_pool()).tick(woken_at=START).next == 1


def test_a_wake_up_without_a_time_is_no_wake_up() -> None:
    assert Story(make_pool()).tick(woken_at=math.nan).next == 0
