"""The subjects to subscribe to, so that a pool is woken by its first message."""

from __future__ import annotations

import itertools
import re

import pytest

from controller.nats.jetstream import NatsRefusedError
from controller.nats.wake import ASK_AGAIN_S, KEEP_S, Subjects, overlap
from tests.unit.nats.fake_nats import Answer, FakeNats, FrozenClock, api_error, stream_answer


def subjects(answer: Answer, filters: tuple[str, ...] | None = ()) -> tuple[Subjects, FakeNats]:
    nats = FakeNats(lambda *_: answer)
    return Subjects(nats, FrozenClock(), lambda *_: filters), nats


@pytest.mark.parametrize(
    ("published", "filters", "expected"),
    [
        (["work.>"], (), ("work.>",)),
        (["work.>"], ("work.a",), ("work.a",)),
        (["work.a"], (">",), ("work.a",)),
        (["work.*.x"], ("work.a.*",), ("work.a.x",)),
        (["work.>", "rest"], ("work.a", "rest", "work.b"), ("work.a", "work.b", "rest")),
    ],
)
async def test_only_subjects_both_published_and_taken_are_used(
    published: list[str], filters: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    known, _ = subjects(stream_answer(subjects=published), filters)
    await known.learn(["WORK"])
    assert known.of("WORK", "c").subjects == expected


@pytest.mark.parametrize(
    ("answer", "filters", "why"),
    [
        (stream_answer(mirror={"name": "OTHER"}), (), "is a mirror"),
        (stream_answer(subjects=["a"], sources=[{"name": "OTHER"}]), (), "has sources"),
        (
            stream_answer(subjects=["a"], subject_transform={"src": ">", "dest": "b.>"}),
            (),
            "transforms",
        ),
        (stream_answer(subjects=["a"]), None, "has not been read yet"),
        (stream_answer(subjects=["a"]), ("b",), "takes none of"),
        (NatsRefusedError("our NATS user may not"), (), "may not"),
        (api_error(10059, "stream not found"), (), "stream not found"),
        (b"[]", (), "garbled"),
    ],
)
async def test_a_pool_that_cannot_be_woken_is_polled_with_the_reason(
    answer: Answer, filters: tuple[str, ...] | None, why: str
) -> None:
    known, _ = subjects(answer, filters)
    await known.learn(["WORK"])
    found = known.of("WORK", "c")
    assert not found.subjects
    assert why in found.polled_because


async def test_a_stream_is_asked_once_until_a_while_has_passed_or_a_reconnect() -> None:
    nats, clock = FakeNats(lambda *_: stream_answer(subjects=["a"])), FrozenClock()
    known = Subjects(nats, clock, lambda *_: ())
    for _ in range(3):
        await known.learn(["WORK"])
    assert len(nats.asked) == 1
    nats.reconnect()
    await known.learn(["WORK"])
    assert len(nats.asked) == 2
    clock.time += KEEP_S
    await known.learn(["WORK"])
    assert len(nats.asked) == 3


async def test_a_refused_stream_is_not_asked_every_tick() -> None:
    nats, clock = FakeNats(lambda *_: NatsRefusedError("no")), FrozenClock()
    known = Subjects(nats, clock, lambda *_: ())
    for _ in range(3):
        await known.learn(["WORK"])
    assert len(nats.asked) == 1
    clock.time += ASK_AGAIN_S
    await known.learn(["WORK"])
    assert len(nats.asked) == 2


def test_overlap_is_what_both_patterns_match() -> None:
    tokens = ["a", "b", "*"]
    patterns = [
        ".".join([*body, *tail])
        for length in range(3)
        for body in itertools.product(tokens, repeat=length)
        for tail in ([], [">"])
        if body or tail
    ]
    world = [".".join(s) for n in (1, 2, 3) for s in itertools.product("abc", repeat=n)]

    def matched(pattern: str | None) -> set[str]:
        if pattern is None:
            return set()
        rule = pattern.replace(".", r"\.").replace("*", "[^.]+").replace(">", ".+")
        return {subject for subject in world if re.fullmatch(rule, subject)}

    for one, other in itertools.product(patterns, repeat=2):
        assert matched(overlap(one, other)) == matched(one) & matched(other), (one, other)
