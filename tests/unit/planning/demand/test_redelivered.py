"""Messages that are only delivered again: they are named, add no replicas, and are still served."""

from __future__ import annotations

from itertools import count

import pytest

from controller.model.decision import Code, Decision
from controller.model.ids import QueueName
from controller.model.observation import QueueDepth
from controller.model.readings import Fresh
from controller.nats.lag import summed
from controller.planning.explain import sentence
from support.table import tabled
from unit.planning.consumer import BY_ITS_PAST
from unit.planning.story import START, Story, behavior, codes, make_pool, silence

POOL = make_pool(behavior=behavior(down_window_s=0))


def poison(ticks: int, since: int = 101, *, seen: str = "0+2 redelivered=2 sequence=90") -> str:
    """So many ticks in which the same messages were delivered once more."""
    return "\n".join(f"{seen} delivered={n} : _ !poison" for n in range(since, since + ticks))


# fmt: off
STORIES = {
    "messages that only come back wake a pool": (0, "3* 0+5 redelivered=5 : 1"),
    "they add no replicas": (1, "3* 0+5 redelivered=5 : 1 [queue redelivered] redelivered=5"),
    "nor to three": (3, "3* 0+5 redelivered=5 : 3 [queue redelivered]"),
    "a larger pool shrinks to its demand": (9, "3* 0+5 redelivered=5 : 5 !redelivered"),
    "after a crash all messages that ran are still served": (5, """
        0+5 : 5
        0+5 redelivered=5 : 5"""),
    "waiting messages are served beside them": (2, "3+2 redelivered=2 : 5 (5) [queue]"),
    "waiting ones count in full, they up to what runs": (1, "3+8 redelivered=8 : 4 redelivered"),
    "first deliveries count in full": (1, "0+8 redelivered=3 : 5"),
    "poison is named after enough deliveries": (2, poison(6) + """
        0+2 redelivered=2 sequence=90 delivered=107 : 2 [queue poison] deliveries=6 since=0
        0+2 redelivered=2 sequence=90 delivered=108 : 2 poison redelivered=2 deliveries=7"""),
    "a long task that was delivered twice is no poison": (
        2, "900* 0+2 redelivered=2 sequence=90 delivered=101 : 2 !poison"),
    "a new message between two looks is noticed": (2, "\n".join(
        poison(5, 101 + 5 * n, seen=f"0+2 redelivered=2 sequence={90 + n}") for n in range(9))),
    "a consumer that was created again is counted from its start": (2, poison(4) + """
        0+2 redelivered=2 sequence=90 delivered=2 : 2 !poison
        0+2 redelivered=2 sequence=90 delivered=7 : 2 !poison
        0+2 redelivered=2 sequence=90 delivered=8 : 2 poison"""),
    "an unknown queue acknowledges nothing": (2, poison(4) + """
        ? : 2
        0+2 redelivered=2 sequence=90 delivered=107 : 2 poison"""),
    "a step of the clock and a restart keep its age": (2, poison(1) + """
        ? step=3600 : 2
        0+2 restart redelivered=2 sequence=90 delivered=110 : 2 poison since=3600"""),
}
# fmt: on


@tabled("name", STORIES)
def test_a_story(name: str) -> None:
    size, table = STORIES[name]
    Story(POOL, size).tell(table)


@tabled(
    "between",
    [
        pytest.param("0+1 redelivered=1", id="one was acknowledged"),
        pytest.param("1+2 redelivered=2", id="something waits"),
        pytest.param("0+2 redelivered=1", id="something new is in flight"),
        pytest.param("0+0", id="all were acknowledged"),
    ],
)
def test_a_queue_in_which_something_moves_holds_no_poison(between: str) -> None:
    story = Story(POOL, 2)
    for number in range(9):
        at = 101 + 5 * number
        story.tell(poison(5, at)).tell(f"{between} sequence=90 delivered={at + 4} : _ !poison")


def test_once_the_rule_has_learned_redelivered_messages_count_by_slots() -> None:
    story, numbers = Story(make_pool(behavior=POOL.behavior, slots=4), 1), count(100)
    for number in (next(numbers) for _ in range(40)):
        story.tell(f"0+1 delivered={number} sequence={number} : _")
        story.tell(f"0+0 delivered={number} sequence={number} : _")
    story.tell("0+16 size=1 redelivered=4 delivered=155 sequence=155 : _")
    assert story.decision is not None
    learned = next(each for each in story.decision.reasons if each.code in BY_ITS_PAST)
    assert story.decision.demand == (learned.value or 0) - 1 > 1


def test_poison_in_one_of_several_queues_is_named_while_the_others_have_work() -> None:
    low = QueueName("TASKS", "low")
    pool = make_pool(behavior=POOL.behavior, lower_queues=(low,))
    story = Story(pool, replicas=2)

    def tick(again: int) -> Decision:
        """The high queue's two messages come back, the low one has ever new work."""
        done = 50 + 7 * again
        back = QueueDepth(pending=0, in_flight=2, redelivered=2, delivered=10 + again, sequence=10)
        busy = QueueDepth(pending=5, in_flight=3, redelivered=1, delivered=done, sequence=done)
        each = tuple(Fresh(value=depth, at=story.now) for depth in (back, busy))
        return story.tick(queue=Fresh(value=summed([back, busy]), at=story.now), queues=each)

    named = [Code.POISON in codes(tick(again)) for again in range(8)]
    assert named == [False] * 6 + [True] * 2
    story.tick(queue=silence(), queues=(silence(), silence()), clock_step_s=60.0)
    story.restart()
    decision = tick(8)
    [reason] = [each for each in decision.reasons if each.code is Code.POISON]
    numbers = {"redelivered": 2, "deliveries": 8, "since": START + 60, "queue": str(pool.queues[0])}
    assert reason.numbers == numbers
    assert f"2 messages in flight of {pool.queues[0]} come back" in sentence(reason, story.now)
    assert (decision.demand or 0) >= 7, "the work beside it is served"
