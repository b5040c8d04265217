"""A queue whose history goes back is not believed at once: it may be another queue, or a restored
store, while work of the old one is still being done.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from controller.model.decision import Code, Gate
from controller.model.memory import QueueMark
from controller.model.observation import QueueDepth
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.nats.lag import QueueReader
from unit.nats.fake_nats import Answer, FakeNats, FrozenClock, api_error, info, page, pool
from unit.planning.story import Story, behavior, make_pool

WINDOW_S = 300.0
NOBODY_ACKNOWLEDGED = "5 messages are no longer in flight without an acknowledgement"


class Queue:
    """A reader of one consumer, whose answer a test sets; a read is one second after the last."""

    def __init__(self) -> None:
        self.clock = FrozenClock()
        self._nats = FakeNats(self._answer)
        self.reader = QueueReader(self._nats, self.clock)
        self.pool = replace(pool("a"), behavior=behavior())
        self.answer: Answer = page()

    def has(self, pending: int, in_flight: int, created: str = "monday", **more: Any) -> None:
        delivered = {"consumer_seq": more.pop("deliveries", 9), "stream_seq": more.pop("at", 9)}
        if "acked" in more:
            floor = more.pop("acked")
            acked_at = {"last_active": more.pop("acked_at")} if "acked_at" in more else {}
            more["ack_floor"] = {"consumer_seq": floor, "stream_seq": floor, **acked_at}
        self.answer = page(
            info("a", pending, in_flight, created=created, delivered=delivered, **more)
        )

    async def read(self, after_s: float = 1.0) -> Reading[QueueDepth]:
        self.clock.time += after_s
        return (await self.reader.read([self.pool]))[self.pool.key]

    def filters(self) -> tuple[str, ...] | None:
        return self.reader.filters("WORK", "a")

    def process_without_memory(self) -> None:
        """Another process reads the queue."""
        self.reader = QueueReader(self._nats, self.clock)

    def next_process(self) -> None:
        """Another process reads the queue, with what this one has left."""
        marks = self.reader.marks(self.pool.queues)
        stored = msgspec.json.decode(msgspec.json.encode(marks), type=tuple[QueueMark, ...])
        self.process_without_memory()
        self.reader.go_on_from(stored)

    def _answer(self, *_: object) -> Answer:
        return self.answer


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({"created": "tuesday"}, "the consumer was created anew"),
        ({"deliveries": 3}, "deliveries went back from 9 to 3"),
        ({"at": 4}, "the stream's sequence went back from 9 to 4"),
    ],
)
async def test_less_work_after_a_step_back_is_stale_until_it_has_lasted_one_window(
    after: dict[str, Any], words: str
) -> None:
    queue = Queue()
    queue.has(2, 6)
    assert isinstance(await queue.read(), Fresh)
    before = queue.clock.now()
    queue.has(0, 1, **after)
    first = await queue.read()
    assert isinstance(first, Stale)
    assert (first.why, first.value.total, first.at) == (Why.HISTORY_REGRESSED, 8, before)
    assert first.detail == (
        f"{words}, and 1 messages follow 8; that is believed once it has lasted 300 s"
    )
    assert await queue.read(WINDOW_S - 1) == first
    believed = await queue.read(1)
    assert isinstance(believed, Fresh)
    assert believed.value.total == 1


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"acked": 3}, {"acked": 2}, "acknowledgements went back from 3 to 2"),
        ({"acked": 3}, {"acked": 3}, NOBODY_ACKNOWLEDGED),
        (
            {"acked": 3, "acked_at": "2026-01-01T00:00:01Z"},
            {"acked": 3, "acked_at": "2026-01-01T00:00:01Z"},
            NOBODY_ACKNOWLEDGED,
        ),
        # a leader that has just begun has seen no acknowledgement
        ({"acked": 3, "acked_at": "2026-01-01T00:00:01Z"}, {"acked": 3}, NOBODY_ACKNOWLEDGED),
    ],
)
async def test_work_that_is_gone_without_an_acknowledgement_is_not_believed_at_once(
    before: dict[str, Any], after: dict[str, Any], words: str
) -> None:
    queue = Queue()
    queue.has(0, 6, **before)
    assert isinstance(await queue.read(), Fresh)
    queue.has(0, 1, **after)
    held = await queue.read()
    assert isinstance(held, Stale)
    assert (held.why, held.value.in_flight) == (Why.HISTORY_REGRESSED, 6)
    assert held.detail.startswith(f"{words}, and 1 messages follow 6")
    assert await queue.read(WINDOW_S - 1) == held
    assert isinstance(await queue.read(1), Fresh)


@pytest.mark.parametrize(
    "after",
    [
        {"acked": 8, "acked_at": "2026-01-01T00:00:02Z"},
        {"acked": 3, "acked_at": "2026-01-01T00:00:02Z"},  # the oldest is still in flight
        {"acked": 8},
        {},
    ],
)
async def test_work_that_was_acknowledged_is_done_at_once(after: dict[str, Any]) -> None:
    queue = Queue()
    queue.has(0, 6, acked=3, acked_at="2026-01-01T00:00:01Z")
    await queue.read()
    queue.has(0, 1, **after)
    assert isinstance(await queue.read(), Fresh)


async def test_messages_that_were_delivered_as_often_as_they_may_be_are_given_up_at_once() -> None:
    queue = Queue()
    for limit, redelivered, believed in ((3, 5, Fresh), (3, 4, Stale), (1, 0, Fresh)):
        config = {"max_deliver": limit}
        queue.has(0, 6, acked=3, num_redelivered=redelivered, config=config)
        assert isinstance(await queue.read(), Fresh)
        queue.has(0, 1, acked=3, num_redelivered=redelivered, config=config)
        assert isinstance(await queue.read(), believed), (limit, redelivered)
        await queue.read(WINDOW_S)


async def test_a_consumer_that_comes_back_as_it_was_is_known_again() -> None:
    queue = Queue()
    queue.has(2, 6)
    await queue.read()
    there, queue.answer = queue.answer, api_error(10059, "stream not found")
    await queue.read()
    assert queue.filters() is None
    queue.answer = there
    assert isinstance(await queue.read(), Fresh)
    assert queue.filters() == ("work.a",)


async def test_a_pool_keeps_its_size_at_default_windows_and_says_why() -> None:
    queue = Queue()
    story = Story(make_pool(cooldown_s=1.0), replicas=6)
    queue.has(0, 6)
    for _ in range(400):
        assert story.tick(queue=await queue.read()).next == 6
    queue.has(0, 1, created="tuesday")
    for _ in range(int(WINDOW_S)):
        decision = story.tick(queue=await queue.read())
        assert (decision.next, decision.gate) == (6, Gate.BLIND)
        assert decision.reasons[-1].code is Code.HELD_BLIND
        assert decision.reasons[-1].numbers["why"] == Why.HISTORY_REGRESSED
    sizes = [story.tick(queue=await queue.read()).next for _ in range(900)]
    assert sizes[-1] == 1


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({"created": "tuesday"}, "the consumer was created anew"),
        ({"deliveries": 3}, "deliveries went back from 9 to 3"),
        ({"at": 4}, "the stream's sequence went back from 9 to 4"),
        ({"acked": 2}, "acknowledgements went back from 3 to 2"),
        ({"acked": 3}, "7 messages are no longer in flight without an acknowledgement"),
    ],
)
async def test_a_history_that_went_back_while_no_process_ran_is_noticed_by_the_next(
    after: dict[str, Any], words: str
) -> None:
    queue = Queue()
    queue.has(1, 7, acked=3)
    await queue.read()
    before = queue.clock.now()
    queue.next_process()
    queue.has(0, 0, **after)
    first = await queue.read(WINDOW_S * 3)
    assert isinstance(first, Stale)
    assert (first.why, first.value.total, first.at) == (Why.HISTORY_REGRESSED, 8, before)
    assert first.detail.startswith(f"{words}, and 0 messages follow 8")
    assert await queue.read(WINDOW_S - 1) == first
    assert isinstance(await queue.read(1), Fresh)


async def test_work_that_was_done_while_no_process_ran_is_believed_at_once() -> None:
    queue = Queue()
    queue.has(2, 6, acked=3)
    await queue.read()
    queue.next_process()
    queue.has(0, 1, acked=8, deliveries=11, at=11)
    assert isinstance(await queue.read(), Fresh)


async def test_each_further_process_holds_until_a_window_has_passed_in_one() -> None:
    queue = Queue()
    queue.has(2, 6)
    await queue.read()
    queue.has(0, 0, created="tuesday")
    await queue.read()
    for _ in range(3):
        queue.next_process()
        held = await queue.read(WINDOW_S - 1)
        assert isinstance(held, Stale)
        assert (held.why, held.value.total) == (Why.HISTORY_REGRESSED, 8)
    await queue.read(WINDOW_S)
    queue.next_process()
    assert isinstance(await queue.read(), Fresh), "what was confirmed is what the next begins with"


async def test_what_was_left_stays_until_the_queue_can_be_read() -> None:
    queue = Queue()
    queue.has(2, 6)
    await queue.read()
    left = queue.reader.marks(queue.pool.queues)
    queue.next_process()
    there, queue.answer = queue.answer, api_error(10059, "stream not found")
    missing = await queue.read()
    assert isinstance(missing, Absent), "another process's last value is not a reading of this one"
    assert queue.reader.marks(queue.pool.queues) == left
    queue.answer = there
    assert isinstance(await queue.read(), Fresh)


async def test_what_is_left_can_be_learned_after_the_first_readings() -> None:
    queue = Queue()
    queue.has(2, 6)
    await queue.read()
    left = queue.reader.marks(queue.pool.queues)
    queue.process_without_memory()
    queue.has(0, 0, created="tuesday")
    assert isinstance(await queue.read(), Fresh)
    queue.reader.go_on_from(left)
    held = await queue.read()
    assert isinstance(held, Stale)
    assert held.why is Why.HISTORY_REGRESSED
