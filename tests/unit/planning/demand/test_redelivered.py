"""Messages that are only delivered again: they are named, add no replicas, and are still served."""

from __future__ import annotations

import msgspec
import pytest

from controller.model.decision import Code, Decision
from controller.model.fleet import Pool, Rule
from controller.model.ids import QueueName
from controller.model.memory import Memory
from controller.model.observation import QueueDepth
from controller.model.readings import Fresh
from controller.nats.lag import summed
from controller.planning.explain import sentence
from unit.planning.story import START, Story, behavior, codes, make_pool, silence

QUICK = behavior(down_window_s=0)
LEARNED = {
    Code.LEARNED_NEED,
    Code.WORTH_STARTING,
    Code.WORTH_KEEPING,
    Code.NOT_WORTH_KEEPING,
    Code.SURPLUS_HELD,
}


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


def test_after_a_crash_all_messages_that_ran_are_still_served() -> None:
    queue = Queue(5)
    queue.tick(0, 5, 0)
    assert queue.tick(0, 5, 5).next == 5


def test_waiting_messages_are_served_beside_redelivered_ones() -> None:
    queue = Queue(2)
    decision = queue.tick(3, 2, 2)
    assert (decision.demand, codes(decision)) == (5, [Code.QUEUE])


def test_waiting_messages_count_in_full_and_redelivered_ones_up_to_what_runs() -> None:
    decision = Queue(1).tick(3, 8, 8)
    assert decision.demand == 4
    assert codes(decision)[1] is Code.REDELIVERED


def test_first_deliveries_count_in_full() -> None:
    assert Queue(1).tick(0, 8, 3).demand == 5


def test_once_the_rule_has_learned_redelivered_messages_count_by_slots() -> None:
    queue = Queue(1, slots=4)
    for _ in range(40):
        queue.delivered, queue.sequence = queue.delivered + 1, queue.sequence + 1
        queue.tick(0, 1, 0)
        queue.tick(0, 0, 0)
    queue.delivered, queue.sequence = queue.delivered + 16, queue.sequence + 16
    queue.story.replicas = 1
    decision = queue.tick(0, 16, 4)
    learned = next(each for each in decision.reasons if each.code in LEARNED)
    assert learned.value is not None
    assert decision.demand == learned.value - 1 > 1


def test_rule_hpa_counts_redelivered_messages_like_any_other() -> None:
    decision = Queue(1, rule=Rule.HPA).tick(0, 5, 5)
    assert decision.next == 5
    assert Code.REDELIVERED not in codes(decision)


def test_poison_is_named_after_enough_deliveries() -> None:
    queue = Queue(2)
    named = [Code.POISON in codes(queue.tick(0, 2, 2, again=1)) for _ in range(8)]
    assert named == [False] * 6 + [True] * 2
    reason = next(each for each in queue.tick(0, 2, 2).reasons if each.code is Code.POISON)
    assert reason.numbers == {"redelivered": 2, "deliveries": 7, "since": START}
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
def test_a_queue_in_which_something_moves_holds_no_poison(between: tuple[int, int, int]) -> None:
    queue = Queue(2)
    for _ in range(9):
        for _ in range(5):
            assert Code.POISON not in codes(queue.tick(0, 2, 2, again=1))
        queue.tick(*between)


def test_a_new_message_between_two_looks_is_noticed() -> None:
    queue = Queue(2)
    for _ in range(9):
        for _ in range(5):
            assert Code.POISON not in codes(queue.tick(0, 2, 2, again=1))
        queue.sequence += 1


def test_a_consumer_that_was_created_again_is_counted_from_its_start() -> None:
    queue = Queue(2)
    for _ in range(4):
        queue.tick(0, 2, 2, again=1)
    queue.delivered = 2
    assert Code.POISON not in codes(queue.tick(0, 2, 2))
    for _ in range(5):
        assert Code.POISON not in codes(queue.tick(0, 2, 2, again=1))
    assert Code.POISON in codes(queue.tick(0, 2, 2, again=1))


def test_an_unknown_queue_acknowledges_nothing() -> None:
    queue = Queue(2)
    for _ in range(4):
        queue.tick(0, 2, 2, again=1)
    queue.story.tick(queue=silence())
    assert [Code.POISON in codes(queue.tick(0, 2, 2, again=1)) for _ in range(3)][-1]


def test_poison_in_one_of_several_queues_is_named_while_the_others_have_work() -> None:
    low = QueueName("TASKS", "low")
    pool = make_pool(behavior=QUICK, lower_queues=(low,))
    story = Story(pool, replicas=2)

    def tick(again: int) -> Decision:
        """The high queue's two messages come back, the low one has ever new work."""
        poison = QueueDepth(
            pending=0, in_flight=2, redelivered=2, delivered=10 + again, sequence=10
        )
        busy = QueueDepth(
            pending=5, in_flight=3, redelivered=1, delivered=50 + 7 * again, sequence=50 + 7 * again
        )
        each = tuple(Fresh(value=depth, at=story.now) for depth in (poison, busy))
        total = Fresh(value=summed([poison, busy]), at=story.now)
        return story.tick(queue=total, queues=each)

    named = [Code.POISON in codes(tick(again)) for again in range(8)]
    assert named == [False] * 6 + [True] * 2
    story.tick(queue=silence(), queues=(silence(), silence()), clock_step_s=60.0)
    story.memory = msgspec.json.decode(msgspec.json.encode(story.memory), type=Memory)
    decision = tick(8)
    [reason] = [each for each in decision.reasons if each.code is Code.POISON]
    assert reason.numbers == {
        "redelivered": 2,
        "deliveries": 8,
        "since": START + 60,
        "queue": str(pool.queues[0]),
    }
    assert f"2 messages in flight of {pool.queues[0]} come back" in sentence(reason, story.now)
    assert decision.demand is not None
    assert decision.demand >= 7, "the work beside it is served"


def test_a_step_of_the_clock_and_a_restart_keep_the_age_of_poison() -> None:
    queue = Queue(2)
    queue.tick(0, 2, 2)
    story = queue.story
    story.tick(queue=silence(), clock_step_s=3_600.0)
    story.memory = msgspec.json.decode(msgspec.json.encode(story.memory), type=Memory)
    decision = queue.tick(0, 2, 2, again=9)
    reason = next(each for each in decision.reasons if each.code is Code.POISON)
    assert reason.numbers["since"] == START + 3_600
