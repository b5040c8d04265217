"""Messages that only come back: named as such, without replicas of their own, and never starved."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from controller.model.decision import Code, Decision
from controller.model.fleet import Pool, Rule
from controller.model.memory import Memory
from controller.model.observation import QueueDepth
from controller.model.readings import Fresh
from controller.planning.demand.redelivered import limit_repeats
from unit.planning.story import Story, behavior, codes, make_pool, silence

QUICK = behavior(down_window_s=0)


class Queue:
    """A pool and its consumer's numbers."""

    def __init__(self, replicas: int, **fields: object) -> None:
        pool: Pool = make_pool(**{"behavior": QUICK, **fields})
        self.story = Story(pool, replicas=replicas)
        self.delivered, self.sequence = 100, 90

    def tick(self, pending: int, in_flight: int, redelivered: int, again: int = 0) -> Decision:
        """A look after so many more deliveries of what was delivered before."""
        self.delivered += again
        depth = QueueDepth(
            pending=pending,
            in_flight=in_flight,
            redelivered=redelivered,
            delivered=self.delivered,
            sequence=self.sequence,
        )
        return self.story.tick(queue=Fresh(value=depth, at=self.story.now))


@pytest.mark.parametrize(("replicas", "expected"), [(0, 1), (1, 1), (3, 3), (9, 5)])
def test_messages_that_only_come_back_add_no_replicas(replicas: int, expected: int) -> None:
    queue = Queue(replicas)
    for _ in range(3):
        decision = queue.tick(0, 5, 5)
        assert decision.next == expected
    assert (Code.REDELIVERED in codes(decision)) == (replicas < 5)
    if replicas < 5:
        reason = decision.reasons[1]
        assert (reason.code, reason.value) == (Code.REDELIVERED, expected)
        assert reason.numbers == {"redelivered": 5}


def test_after_a_crash_everything_that_ran_is_still_served() -> None:
    queue = Queue(5)
    queue.tick(0, 5, 0)
    assert queue.tick(0, 5, 5).next == 5


def test_what_waits_is_served_beside_what_comes_back() -> None:
    queue = Queue(2)
    decision = queue.tick(3, 2, 2)
    assert (decision.demand, codes(decision)) == (5, [Code.QUEUE])


def test_what_waits_counts_in_full_and_what_comes_back_not_beyond_what_runs() -> None:
    decision = Queue(1).tick(3, 8, 8)
    assert decision.demand == 4
    assert codes(decision)[1] is Code.REDELIVERED


def test_first_deliveries_count_in_full() -> None:
    assert Queue(1).tick(0, 8, 3).demand == 5


def test_what_was_learned_of_the_pool_counts_what_comes_back_by_its_slots() -> None:
    queue = Queue(1, slots=4)
    for _ in range(40):
        queue.delivered, queue.sequence = queue.delivered + 1, queue.sequence + 1
        queue.tick(0, 1, 0)
        queue.tick(0, 0, 0)
    queue.delivered, queue.sequence = queue.delivered + 16, queue.sequence + 16
    queue.story.replicas = 1
    decision = queue.tick(0, 16, 4)
    learned = next(each for each in decision.reasons if each.code is Code.LEARNED)
    assert learned.value is not None
    assert decision.demand == learned.value - 1 > 1


def test_an_hpa_knows_no_repeats() -> None:
    decision = Queue(1, rule=Rule.HPA).tick(0, 5, 5)
    assert decision.next == 5
    assert Code.REDELIVERED not in codes(decision)


def test_poison_is_named_once_it_came_back_often_enough() -> None:
    queue = Queue(2)
    named = [Code.POISON in codes(queue.tick(0, 2, 2, again=1)) for _ in range(8)]
    assert named == [False] * 6 + [True] * 2
    reason = next(each for each in queue.tick(0, 2, 2).reasons if each.code is Code.POISON)
    assert reason.numbers == {"redelivered": 2, "deliveries": 7, "age_s": 8.0}
    assert reason.value == 2


def test_a_long_task_that_was_delivered_twice_is_no_poison() -> None:
    queue = Queue(2)
    for _ in range(2_000):
        assert Code.POISON not in codes(queue.tick(0, 2, 2))


@pytest.mark.parametrize(
    "between",
    [
        pytest.param((0, 1, 1), id="one was acknowledged"),
        pytest.param((1, 2, 2), id="something waits"),
        pytest.param((0, 2, 1), id="something new is in flight"),
        pytest.param((0, 0, 0), id="all were acknowledged"),
    ],
)
def test_whatever_moves_is_no_poison(between: tuple[int, int, int]) -> None:
    queue = Queue(2)
    for _ in range(9):
        for _ in range(5):
            assert Code.POISON not in codes(queue.tick(0, 2, 2, again=1))
        queue.tick(*between)


def test_something_new_that_has_come_and_gone_between_two_looks_is_noticed() -> None:
    queue = Queue(2)
    for _ in range(9):
        for _ in range(5):
            assert Code.POISON not in codes(queue.tick(0, 2, 2, again=1))
        queue.sequence += 1


def test_a_consumer_that_was_made_anew_counts_from_its_beginning() -> None:
    queue = Queue(2)
    for _ in range(4):
        queue.tick(0, 2, 2, again=1)
    queue.delivered = 2
    assert Code.POISON not in codes(queue.tick(0, 2, 2))
    for _ in range(5):
        assert Code.POISON not in codes(queue.tick(0, 2, 2, again=1))
    assert Code.POISON in codes(queue.tick(0, 2, 2, again=1))


def test_silence_is_no_acknowledgement() -> None:
    queue = Queue(2)
    for _ in range(4):
        queue.tick(0, 2, 2, again=1)
    queue.story.tick(queue=silence())
    assert [Code.POISON in codes(queue.tick(0, 2, 2, again=1)) for _ in range(3)][-1]


def test_a_step_of_the_clock_and_a_restart_leave_its_age() -> None:
    queue = Queue(2)
    queue.tick(0, 2, 2)
    story = queue.story
    story.tick(queue=silence(), clock_step_s=3_600.0)
    story.memory = msgspec.json.decode(msgspec.json.encode(story.memory), type=Memory)
    decision = queue.tick(0, 2, 2, again=9)
    reason = next(each for each in decision.reasons if each.code is Code.POISON)
    assert reason.numbers["age_s"] == 2.0


def test_no_small_world_starves_or_grows_for_repeats() -> None:
    for pending, in_flight, redelivered, per, current in itertools.product(
        range(5), range(5), range(-1, 7), (1, 3), range(5)
    ):
        depth = QueueDepth(pending=pending, in_flight=in_flight, redelivered=redelivered)
        plain = -(-(pending + in_flight) // per)
        demand = limit_repeats(plain, depth, per, current)
        assert min(plain, 1) <= demand <= plain
        repeats = max(min(redelivered, in_flight), 0)
        assert demand >= -(-(pending + in_flight - repeats) // per)
        if not repeats or current >= plain:
            assert demand == plain
        if repeats == in_flight and not pending:
            assert demand <= max(current, 1)
