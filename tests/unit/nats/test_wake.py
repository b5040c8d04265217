"""When a pool at zero is woken, and when it can only be polled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.model.fleet import Pool
from controller.model.observation import WakeWatch
from controller.nats.wake import Subjects, WakeSubscriptions
from tests.unit.nats.fake_nats import FakeNats, FrozenClock, pool, stream_answer

ARMED = (WakeWatch.ARMED, "")
OFF = (WakeWatch.OFF, "")


class World:
    """A stream on `work.>` with these consumers; `woken` are the pools called back with."""

    def __init__(self, filters: Mapping[str, tuple[str, ...]], **options: Any) -> None:
        self.nats = FakeNats(lambda *_: stream_answer(subjects=["work.>"]))
        subjects = Subjects(self.nats, FrozenClock(), lambda _, consumer: filters.get(consumer))
        self.wake = WakeSubscriptions(self.nats, subjects, **options)
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


async def test_a_pool_with_several_subjects_is_woken_by_any_and_leaves_none_behind() -> None:
    world = World({"a": ("work.x", "work.y"), "b": ("work.y",)})
    await world.watch("ab")
    world.nats.publish("work.x")
    assert world.woken == ["acme/a"]
    world.nats.publish("work.y")
    assert world.woken == ["acme/a", "acme/b"]
    await world.watch("a")
    world.nats.publish("work.x")
    await world.watch("")
    assert world.nats.subscriptions == {}


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
