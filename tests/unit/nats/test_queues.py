"""The reading that follows from every kind of answer that JetStream can give, and from none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from controller.model.observation import QueueDepth
from controller.model.readings import Absent, Fresh, Stale, Why
from controller.nats.jetstream import (
    NatsDisconnectedError,
    NatsNoRespondersError,
    NatsRefusedError,
    NatsTimeoutError,
)
from controller.nats.lag import AVOID_LIST_S, ONE_BY_ONE_MOST, QueueReader
from tests.unit.nats.fake_nats import (
    Answer,
    FakeNats,
    FrozenClock,
    api_error,
    info,
    page,
    pool,
)

LIST = "$JS.API.CONSUMER.LIST.WORK"


def source(
    answer: Callable[[str, dict[str, Any]], Answer | None], timeout_s: float = 1.0
) -> tuple[QueueReader, FakeNats, FrozenClock]:
    nats, clock = FakeNats(answer), FrozenClock()
    return QueueReader(nats, clock, timeout_s=timeout_s), nats, clock


async def test_while_a_queue_stays_as_it_is_its_depth_is_the_same_object() -> None:
    answers = [page(info("a", 7, delivered={"consumer_seq": 1, "stream_seq": 1}), info("b"))]
    jetstream, _, clock = source(lambda *_: answers[-1])

    async def depth(name: str) -> QueueDepth:
        reading = (await jetstream.read([pool("a"), pool("b")]))[pool(name).key]
        assert isinstance(reading, Fresh)
        assert reading.at == clock.now()
        return reading.value

    first, other = await depth("a"), await depth("b")
    clock.time += 1
    assert await depth("a") is first
    for changed in (
        {"pending": 8},
        {"in_flight": 1},
        {"num_redelivered": 1},
        {"num_waiting": 1},
        {"paused": True},
        {"delivered": {"consumer_seq": 2, "stream_seq": 1}},
        {"delivered": {"consumer_seq": 1, "stream_seq": 2}},
        {"delivered": None},
    ):
        fields = {"pending": 7, "delivered": {"consumer_seq": 1, "stream_seq": 1}} | changed
        answers.append(page(info("a", **fields), info("b")))
        now = await depth("a")
        assert now != first, changed
        assert await depth("a") is now
        assert await depth("b") is other


async def test_filters_that_change_are_seen_while_the_depth_stays() -> None:
    answers = [page(info("a")), page(info("a", config={"filter_subject": "work.z"}))]
    jetstream, _, _ = source(lambda *_: answers.pop(0))
    before = (await jetstream.read([pool("a")]))["acme/a"]
    after = (await jetstream.read([pool("a")]))["acme/a"]
    assert isinstance(before, Fresh)
    assert isinstance(after, Fresh)
    assert before.value is after.value
    assert jetstream.filters("WORK", "a") == ("work.z",)


async def test_pools_that_share_a_consumer_get_the_same_reading() -> None:
    jetstream, nats, _ = source(lambda *_: page(info("a", 3)))
    ours = pool("a")
    theirs = pool("a", tenant="globex")
    readings = await jetstream.read([ours, theirs])
    assert (
        readings[ours.key]
        == readings[theirs.key]
        == Fresh(value=QueueDepth(pending=3, in_flight=0), at=1000.0)
    )
    assert nats.asked == [LIST]


async def test_a_few_of_many_consumers_are_asked_one_by_one() -> None:
    everything = [info(f"c{n:03}", n) for n in range(250)]

    def answer(subject: str, _: dict[str, Any]) -> Answer:
        if subject == LIST:
            return page(*everything)
        return everything[int(subject.rpartition(".c")[2])]

    jetstream, nats, _ = source(answer)
    await jetstream.read([pool(f"c{n:03}") for n in range(250)])
    nats.asked.clear()
    readings = await jetstream.read([pool("c007")])
    assert nats.asked == ["$JS.API.CONSUMER.INFO.WORK.c007"]
    assert readings["acme/c007"] == Fresh(value=QueueDepth(pending=7, in_flight=0), at=1000.0)


async def test_a_consumer_that_a_complete_list_does_not_name_is_missing() -> None:
    jetstream, _, _ = source(lambda *_: page(info("a")))
    reading = (await jetstream.read([pool("b")]))["acme/b"]
    assert reading == Absent(
        why=Why.CONSUMER_MISSING, at=1000.0, detail="stream WORK has no consumer b"
    )


async def test_a_consumer_that_is_gone_has_no_last_value() -> None:
    answers: list[Answer] = [page(info("a", 9)), page(), NatsTimeoutError("no answer")]
    jetstream, _, _ = source(lambda *_: answers[0])
    for expected in (Fresh, Absent, Absent):
        assert isinstance((await jetstream.read([pool("a")]))["acme/a"], expected)
        answers.pop(0)


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (NatsTimeoutError("no answer"), Why.TIMED_OUT),
        (NatsDisconnectedError("gone"), Why.DISCONNECTED),
        (NatsRefusedError("may not"), Why.REFUSED),
        (NatsNoRespondersError("nothing listens"), Why.REFUSED),
        (api_error(10039, "JetStream not enabled for account"), Why.REFUSED),
        (api_error(10008, "JetStream system temporarily unavailable"), Why.INCOMPLETE),
        (b"", Why.INCOMPLETE),
        (b"{}", Why.INCOMPLETE),
        (b"null", Why.INCOMPLETE),
        (b"[]", Why.INCOMPLETE),
        (b"<html>503</html>", Why.INCOMPLETE),
        (b"\xff\xfe", Why.INCOMPLETE),
        (b'{"total":1,"offset":0,"consumers":[{"name":"a","num_pen', Why.INCOMPLETE),
        (b'{"total":1,"offset":0,"consumers":[{"name":"a","stream_name":"WORK"}]}', Why.INCOMPLETE),
        (b'{"total":0,"offset":0}', Why.INCOMPLETE),
        (b'{"offset":0,"consumers":[]}', Why.INCOMPLETE),
        (page(info("a"), offset=256), Why.INCOMPLETE),
        (page(info("a"), total=2), Why.INCOMPLETE),
        (page(info("a", stream_name="OTHER")), Why.INCOMPLETE),
        (b" " * (8 * 1024 * 1024 + 1), Why.INCOMPLETE),
        (page(info("a", -1)), Why.IMPLAUSIBLE),
        (page(info("a", 10**12 + 1)), Why.IMPLAUSIBLE),
        (page(info("a", 0, 2**64 - 1)), Why.IMPLAUSIBLE),
    ],
)
async def test_a_failure_is_absent_at_first_and_stale_after_a_good_value(
    failure: Answer, why: Why
) -> None:
    answers: list[Answer] = [failure, page(info("a", 5)), failure]
    jetstream, _, clock = source(
        lambda subject, _: answers[0] if subject == LIST else NatsTimeoutError("no answer")
    )
    first = (await jetstream.read([pool("a")]))["acme/a"]
    assert isinstance(first, Absent)
    assert first.why is why
    assert first.detail
    answers.pop(0)
    clock.time += AVOID_LIST_S
    good_at = clock.time
    assert isinstance((await jetstream.read([pool("a")]))["acme/a"], Fresh)
    answers.pop(0)
    clock.time += 1
    last = (await jetstream.read([pool("a")]))["acme/a"]
    assert isinstance(last, Stale)
    assert (last.value.pending, last.at, last.why) == (5, good_at, why)
    assert last.detail


async def test_a_list_that_changes_while_it_is_read_is_read_again() -> None:
    small = [info(f"c{n:03}") for n in range(300)]
    chains = [(small, 300), (small, 301), ([*small, info("c300")], 301)]
    pages = iter(
        [
            page(*chains[0][0][:256], total=300),
            page(*chains[1][0][256:], total=301, offset=256),
            page(*chains[2][0][:256], total=301),
            page(*chains[2][0][256:], total=301, offset=256),
        ]
    )
    jetstream, nats, _ = source(lambda *_: next(pages))
    readings = await jetstream.read([pool(f"c{n:03}") for n in range(301)])
    assert all(isinstance(reading, Fresh) for reading in readings.values())
    assert nats.asked == [LIST] * 4


async def test_a_list_that_never_settles_is_incomplete() -> None:
    def shifted(_: str, asked: dict[str, Any]) -> Answer:
        offset = asked["offset"]
        first = 0 if offset == 0 else offset - 1  # a consumer before was deleted, and one was added
        return page(
            *(info(f"c{n:03}") for n in range(first, min(first + 256, 300))),
            total=300,
            offset=offset,
        )

    jetstream, _, _ = source(shifted)
    reading = (await jetstream.read([pool("c000")]))["acme/c000"]
    assert isinstance(reading, Absent)
    assert reading.why is Why.INCOMPLETE


async def test_a_consumer_that_slipped_between_two_pages_is_asked_for() -> None:
    def answer(subject: str, asked: dict[str, Any]) -> Answer:
        if subject != LIST:
            return info("c256", 4)
        names = range(256) if asked["offset"] == 0 else range(257, 301)
        return page(*(info(f"c{n:03}") for n in names), total=300, offset=asked["offset"])

    jetstream, nats, _ = source(answer)
    readings = await jetstream.read([pool(f"c{n:03}") for n in range(200, 300)])
    assert readings["acme/c256"] == Fresh(value=QueueDepth(pending=4, in_flight=0), at=1000.0)
    assert nats.asked == [LIST, LIST, "$JS.API.CONSUMER.INFO.WORK.c256"]


async def test_consumers_whose_leader_was_silent_are_asked_one_by_one() -> None:
    def answer(subject: str, _: dict[str, Any]) -> Answer:
        if subject.endswith(".b"):
            return info("b", 8)
        if subject.endswith((".c", ".d")):
            return NatsTimeoutError("no answer within 1 s")
        return page(info("a", 1), total=4) | {"missing": ["b", "c"], "offline": {"d": "old"}}

    jetstream, nats, _ = source(answer)
    readings = await jetstream.read([pool(name) for name in "abcd"])
    assert [type(readings[f"acme/{name}"]) for name in "abcd"] == [Fresh, Fresh, Absent, Absent]
    assert readings["acme/c"].why is Why.TIMED_OUT  # type: ignore[union-attr]  # absent
    assert len(nats.asked) == 4


async def test_one_consumer_whose_list_hangs_leaves_the_others_their_readings() -> None:
    """In a cluster the list waits 4 s for a consumer without a leader."""

    def answer(subject: str, _: dict[str, Any]) -> Answer | None:
        return None if subject == LIST or subject.endswith(".sick") else info("well", 2)

    jetstream, nats, clock = source(answer, timeout_s=0.1)
    for _ in range(2):
        readings = await jetstream.read([pool("well"), pool("sick")])
        assert isinstance(readings["acme/well"], Fresh)
        assert readings["acme/sick"].why is Why.TIMED_OUT  # type: ignore[union-attr]  # absent
    assert nats.asked.count(LIST) == 1, "the second reading asks one by one at once"
    clock.time += AVOID_LIST_S
    await jetstream.read([pool("well"), pool("sick")])
    assert nats.asked.count(LIST) == 2


async def test_a_long_list_has_all_the_time_and_is_left_out_once_after_it_hung() -> None:
    names = [f"c{n:04}" for n in range(ONE_BY_ONE_MOST + 1)]

    def answer(subject: str, _: dict[str, Any]) -> Answer | None:
        return None if subject == LIST else info(subject.rpartition(".")[2], 1)

    jetstream, nats, clock = source(answer, timeout_s=0.5)
    pools = [pool(name) for name in names]
    readings = await jetstream.read(pools)
    assert {reading.why for reading in readings.values()} == {Why.TIMED_OUT}  # type: ignore[union-attr]  # absent
    assert nats.asked == [LIST], "nothing is asked one by one beside a list that still may come"
    readings = await jetstream.read(pools)
    assert nats.asked.count(LIST) == 1
    assert any(isinstance(reading, Fresh) for reading in readings.values())
    clock.time += 0.5
    await jetstream.read(pools)
    assert nats.asked.count(LIST) == 2


async def test_a_hanging_stream_ends_with_the_deadline_and_leaves_the_others_their_readings() -> (
    None
):
    jetstream, _, _ = source(
        lambda subject, _: page(info("a", 3)) if subject == LIST else None, timeout_s=0.05
    )
    hanging = [pool(f"h{n}", stream=f"HANGS{n}") for n in range(400)]
    started = asyncio.get_running_loop().time()
    await jetstream.read([*hanging, pool("a")])
    readings = await jetstream.read([*hanging, pool("a")])
    assert asyncio.get_running_loop().time() - started < 2.0
    assert isinstance(readings["acme/a"], Fresh)
    assert {readings[one.key].why for one in hanging} == {Why.TIMED_OUT}  # type: ignore[union-attr]  # absent


async def test_names_from_outside_are_cleaned() -> None:
    jetstream, _, _ = source(lambda *_: api_error(1, "\x1b[31mred\x07"))
    reading = (await jetstream.read([pool("a")]))["acme/a"]
    assert isinstance(reading, Absent)
    assert reading.detail == "�[31mred� (1)"


async def test_filters_are_known_once_read_and_forgotten_with_the_consumer() -> None:
    several = {"filter_subjects": ["x", "y"]}
    answers: list[Answer] = [page(info("a"), info("b", config=several), info("c", config={}))]
    jetstream, _, _ = source(lambda *_: answers[-1])
    assert jetstream.filters("WORK", "a") is None
    await jetstream.read([pool("a"), pool("b"), pool("c")])
    assert [jetstream.filters("WORK", name) for name in "abc"] == [("work.a",), ("x", "y"), ()]
    answers.append(page())
    await jetstream.read([pool("a")])
    assert jetstream.filters("WORK", "a") is None
