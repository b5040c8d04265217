"""When a pool at zero is woken, on which subjects, and when it can only be polled."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

import pytest

from controller.model.fleet import Pool
from controller.model.observation import WakeWatch
from controller.nats.jetstream import NatsRefusedError
from controller.nats.wake import ASK_AGAIN_S, KEEP_S, WakeSubscriptions, overlap
from tests.unit.nats.fake_nats import (
    Answer,
    FakeNats,
    FrozenClock,
    api_error,
    pool,
    stream_answer,
)

OFF = (WakeWatch.OFF, "")


class World:
    """A stream on `work.>` with these consumers; `woken` are the pools called back with."""

    def __init__(
        self,
        filters: Mapping[str, tuple[str, ...] | None],
        answer: Answer | None = None,
        **options: Any,
    ) -> None:
        stream = stream_answer(subjects=["work.>"]) if answer is None else answer
        self.nats, self.clock = FakeNats(lambda *_: stream), FrozenClock()
        self.wake = WakeSubscriptions(
            self.nats,  # type: ignore[arg-type]  # a fake session
            self.clock,
            lambda _, consumer: filters.get(consumer),
            **options,
        )
        self.woken: list[str] = []
        self.wake.on_wake(self.woken.append)
        self.pools: dict[str, Pool] = {name: pool(name) for name in filters}

    async def watch(self, names: str) -> bool:
        return await self.wake.watch([self.pools[name] for name in names])

    def state(self, name: str) -> tuple[WakeWatch, str]:
        return self.wake.state(self.pools[name].key)


async def test_pools_that_share_a_subject_are_all_woken_by_one_subscription() -> None:
    world = World({"a": ("work.x",), "b": ("work.x",)})
    await world.watch("ab")
    assert list(world.nats.subscriptions) == ["work.x"]
    world.nats.publish("work.x")
    assert sorted(world.woken) == ["acme/a", "acme/b"]


async def test_a_pool_that_joins_a_subscription_counts_as_newly_watched() -> None:
    world = World({"a": ("work.x",), "b": ("work.x",)})
    await world.watch("a")
    assert await world.watch("ab") is True


async def test_a_refused_subject_is_polled_with_the_reason_and_not_asked_again() -> None:
    world = World({"a": ("work.a",)})
    await world.watch("a")
    world.nats.refuse("work.a", "our NATS user may not subscribe to work.a")
    polled = (WakeWatch.POLLED, "our NATS user may not subscribe to work.a")
    assert world.state("a") == polled
    assert await world.watch("a") is False
    assert world.state("a") == polled
    assert world.nats.subscriptions == {}
    world.nats.reconnect()
    assert await world.watch("a") is True, "another connection may have other rights"


async def test_a_pool_that_cannot_be_woken_is_polled_with_the_reason() -> None:
    world = World({"a": ("elsewhere",)})
    assert await world.watch("a") is False
    assert world.state("a") == (
        WakeWatch.POLLED,
        "stream WORK takes none of consumer a's subjects",
    )
    await world.watch("")
    assert world.state("a") == OFF


async def test_no_more_subjects_than_the_limit_are_watched() -> None:
    world = World({name: (f"work.{name}",) for name in "abc"}, most_subjects=2)
    await world.watch("abc")
    assert [world.state(name)[0] for name in "abc"] == [
        WakeWatch.ARMED,
        WakeWatch.ARMED,
        WakeWatch.POLLED,
    ]
    assert world.state("c")[1] == "2 subjects are watched already"


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
    world = World({"c": filters}, stream_answer(subjects=published))
    await world.watch("c")
    assert tuple(world.nats.subscriptions) == expected


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
async def test_what_a_stream_or_consumer_says_makes_a_pool_polled_with_the_reason(
    answer: Answer, filters: tuple[str, ...] | None, why: str
) -> None:
    world = World({"c": filters}, answer)
    await world.watch("c")
    watch, reason = world.state("c")
    assert watch is WakeWatch.POLLED
    assert why in reason


@pytest.mark.parametrize(
    ("answer", "keep_s"),
    [(stream_answer(subjects=["a"]), KEEP_S), (NatsRefusedError("no"), ASK_AGAIN_S)],
)
async def test_a_stream_is_asked_once_until_a_while_has_passed_or_a_reconnect(
    answer: Answer, keep_s: float
) -> None:
    world = World({"c": ()}, answer)
    for _ in range(3):
        await world.watch("c")
    assert len(world.nats.asked) == 1
    world.nats.reconnect()
    await world.watch("c")
    assert len(world.nats.asked) == 2
    world.clock.time += keep_s
    await world.watch("c")
    assert len(world.nats.asked) == 3


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
