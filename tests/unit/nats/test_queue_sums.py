"""A pool with several queues: its work is what waits in all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from controller.model.ids import QueueName
from controller.model.observation import QueueDepth, WakeWatch
from controller.model.readings import Absent, Fresh, Stale, Why
from controller.nats.lag import QueueReader, summed
from controller.nats.wake import WakeSubscriptions
from tests.unit.nats.fake_nats import (
    Answer,
    FakeNats,
    FrozenClock,
    api_error,
    info,
    page,
    pool,
    stream_answer,
)

HIGH = replace(pool("high"), lower_queues=(QueueName("WORK", "low"), QueueName("OTHER", "batch")))


def reader(*answers: Answer) -> tuple[QueueReader, FakeNats]:
    """A reader whose stream WORK answers this, one after the other, and OTHER has 5 messages."""
    left = list(answers)

    def answer(subject: str, _: dict[str, Any]) -> Answer:
        if "OTHER" in subject:
            return page(info("batch", 5, 1, stream_name="OTHER"))
        return left.pop(0) if len(left) > 1 else left[0]

    nats = FakeNats(answer)
    return QueueReader(nats, FrozenClock()), nats


async def test_a_missing_consumer_makes_the_whole_pool_unknown_and_is_named() -> None:
    queues, _ = reader(page(info("high", 1)))
    reading = (await queues.read([HIGH]))[HIGH.key]
    assert isinstance(reading, Absent)
    assert reading.why is Why.CONSUMER_MISSING
    assert "WORK/low" in reading.detail


async def test_a_queue_that_falls_silent_makes_the_sum_stale_with_what_was_known() -> None:
    queues, _ = reader(page(info("high", 1), info("low", 2)), api_error(10008, "busy"))
    assert isinstance((await queues.read([HIGH]))[HIGH.key], Fresh)
    reading = (await queues.read([HIGH]))[HIGH.key]
    assert isinstance(reading, Stale)
    assert reading.value.pending == 8
    assert [type(each) for each in queues.each(HIGH.key)] == [Stale, Stale, Fresh]


def test_counters_that_one_queue_does_not_have_are_unknown() -> None:
    known = QueueDepth(pending=1, in_flight=0, delivered=4, sequence=9, paused=True)
    assert summed([known, known]) == QueueDepth(
        pending=2, in_flight=0, delivered=8, sequence=18, paused=True
    )
    unknown = QueueDepth(pending=1, in_flight=0)
    assert summed([known, unknown]) == QueueDepth(pending=2, in_flight=0)


@pytest.mark.parametrize("subject", ["work.high", "work.low", "work.batch"])
async def test_the_first_message_of_any_queue_wakes_the_pool(subject: str) -> None:
    woken: list[str] = []
    wake = _wakes(lambda consumer: (f"work.{consumer}",))
    wake.on_wake(woken.append)
    await wake.watch([HIGH])
    assert wake.state(HIGH.key) == (WakeWatch.ARMED, "")
    _nats_of(wake).publish(subject)
    assert woken == ["acme/high"]


def _wakes(filters: Callable[[str], tuple[str, ...] | None]) -> WakeSubscriptions:
    nats = FakeNats(lambda *_: stream_answer(subjects=["work.>"]))
    return WakeSubscriptions(nats, FrozenClock(), lambda _, consumer: filters(consumer))


def _nats_of(wake: WakeSubscriptions) -> FakeNats:
    nats = wake._nats
    assert isinstance(nats, FakeNats)
    return nats


def test_one_queues_redeliveries_never_count_as_another_queues_messages() -> None:
    """Else new messages of the second would be taken for poison of the first."""
    poison = QueueDepth(pending=0, in_flight=2, redelivered=5)
    fresh = QueueDepth(pending=0, in_flight=3)
    assert summed([poison, fresh]).redelivered == 2
