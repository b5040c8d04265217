"""Metrics beside the loop: each source at its own pace, the last good value kept as stale."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from controller.engine.observe import MetricPolls, Observer
from controller.model.ids import PoolKey
from controller.model.observation import MetricValue, Series
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.model.snapshot import Severity
from controller.ports import MetricAnswer, MetricKey
from support.sources import sources
from support.world import (
    START,
    FakeCluster,
    FakeQueues,
    FakeWakes,
    VirtualClock,
    make_fleet,
    make_pool,
)

POOL = PoolKey("acme/research")
KEY = MetricKey(POOL, "backlog")
ROUND_S = 0.05


class FakeSource:
    """A source whose answers a test sets; `hang` makes every round wait for ever."""

    def __init__(self, clock: VirtualClock, name: str = "prometheus", every_s: float = 0) -> None:
        self.name = name
        self.every_s = every_s
        self.reads: list[MetricKey] = [KEY]
        self.values: dict[MetricKey, int | Absent] = {KEY: 1}
        self.hang = False
        self.rounds: list[float] = []
        self._clock = clock

    async def read(self, timeout_s: float) -> Mapping[MetricKey, MetricAnswer]:
        assert timeout_s == ROUND_S
        at = self._clock.now()
        self.rounds.append(at - START)
        if self.hang:
            await asyncio.get_running_loop().create_future()
        return {
            key: value if isinstance(value, Absent) else fresh(value, at)
            for key, value in self.values.items()
        }


def fresh(value: int, at: float) -> Fresh[MetricValue]:
    return Fresh(value=Series(values_milli=(value,)), at=at)


class World:
    def __init__(self, *sources: FakeSource, clock: VirtualClock) -> None:
        self.clock = clock
        self.polls = MetricPolls(sources, clock, interval_s=1.0, read_s=ROUND_S)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        async with self.polls.reading():
            await self.clock.advance(0)
            yield self

    @property
    def reading(self) -> Reading[MetricValue] | None:
        return self.polls.readings(POOL).get("backlog")


def make() -> tuple[FakeSource, World]:
    clock = VirtualClock()
    source = FakeSource(clock)
    return source, World(source, clock=clock)


async def test_the_age_of_a_trouble_counts_from_when_it_began() -> None:
    source, world = make()
    source.values[KEY] = Absent(why=Why.DISCONNECTED, at=START)
    async with world.running():
        source.values[KEY] = Absent(why=Why.DISCONNECTED, at=START + 1, detail="still")
        await world.clock.advance(1.0)
        assert world.reading == Absent(why=Why.DISCONNECTED, at=START, detail="still")
        source.values[KEY] = Absent(why=Why.REFUSED, at=START + 2)
        await world.clock.advance(1.0)
        assert world.reading == Absent(why=Why.REFUSED, at=START + 2)


async def test_each_failed_reading_counts_for_its_source() -> None:
    clock = VirtualClock()
    bad, good = FakeSource(clock), FakeSource(clock, "custom metrics")
    world = World(bad, good, clock=clock)
    bad.values[KEY] = Absent(why=Why.REFUSED, at=START)
    async with world.running():
        await world.clock.advance(2.0)
        assert world.polls.failures() == (("prometheus", 3), ("custom metrics", 0))


async def test_a_source_that_hangs_is_cut_off_and_keeps_no_other_waiting() -> None:
    clock = VirtualClock()
    hung, quick = FakeSource(clock, "slow"), FakeSource(clock, "quick")
    quick.reads = [MetricKey(POOL, "cases")]
    quick.values = {quick.reads[0]: 7}
    hung.hang = True
    world = World(hung, quick, clock=clock)
    async with world.running():
        await world.clock.advance(2.0)
        assert quick.rounds == [0, 1, 2]
        assert world.polls.readings(POOL) == {"cases": fresh(7, START)}
        async with asyncio.timeout(3.0):
            while world.reading is None:
                await asyncio.sleep(0.01)
        assert isinstance(world.reading, Absent)
        assert world.reading.why is Why.TIMED_OUT


async def test_a_source_sets_a_slower_pace_than_the_fleet() -> None:
    clock = VirtualClock()
    slow, quick = FakeSource(clock, "slow", every_s=15.0), FakeSource(clock, "quick", every_s=0.02)
    world = World(slow, quick, clock=clock)
    async with world.running():
        await clock.advance(30.0)
    assert slow.rounds == [0, 15, 30]
    assert quick.rounds == list(range(31))


async def test_the_first_read_waits_for_every_source_but_not_for_ever() -> None:
    clock = VirtualClock()
    hung, quick = FakeSource(clock, "slow"), FakeSource(clock, "quick")
    hung.hang = True
    world = World(hung, quick, clock=clock)
    async with world.running():
        await world.polls.first_read(0.02)
        assert world.reading == fresh(1, START)
    _, world = make()
    async with world.running():
        await world.polls.first_read(60.0)


async def test_without_anything_to_read_nothing_is_asked() -> None:
    source, world = make()
    source.reads = []
    world = World(source, clock=world.clock)
    async with world.running():
        await world.polls.first_read(60.0)
        await world.clock.advance(5.0)
    assert source.rounds == []
    assert world.polls.readings(POOL) == {}


async def test_an_observers_clock_is_that_of_its_metrics() -> None:
    _, world = make()
    pool = make_pool("research")
    cluster = FakeCluster(world.clock, [pool])
    async with world.running():
        read = sources(
            FakeQueues(world.clock), FakeWakes(), cluster, world.clock, metrics=world.polls
        )
        observer = Observer(make_fleet(pool), read, world.clock, deadline_s=1.0)
        observer.shift(60.0)
        seen = observer.see([pool]).pools[pool.key]
    assert seen.metrics == {"backlog": fresh(1, START + 60)}


async def test_many_failures_of_one_kind_are_one_finding() -> None:
    source, world = make()
    source.reads = [MetricKey(PoolKey(f"acme/p{number}"), "backlog") for number in range(5)]
    away = Absent(why=Why.DISCONNECTED, detail="no connection to h:9090")
    source.values = dict.fromkeys(source.reads, away)
    source.values[source.reads[0]] = Absent(why=Why.IMPLAUSIBLE, detail="comes to NaN")
    world = World(source, clock=world.clock)
    async with world.running():
        found = list(world.polls.findings())
        source.values = dict.fromkeys(source.reads, 1)
        await world.clock.advance(1.0)
        assert list(world.polls.findings()) == []
    assert [each[:3] for each in found] == [
        (Severity.WARNING, "prometheus", "implausible"),
        (Severity.WARNING, "prometheus", "disconnected"),
    ]
    assert [each[3] for each in found] == [
        "backlog of acme/p0 cannot be read (implausible) and prevent scale-down: comes to NaN",
        (
            "backlog of acme/p1, backlog of acme/p2, backlog of acme/p3 and 1 more cannot be read"
            " (disconnected) and prevent scale-down: no connection to h:9090"
        ),
    ]
