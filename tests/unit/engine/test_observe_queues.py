"""What is known of each queue of a pool with several, whatever becomes of their source."""

from __future__ import annotations

from msgspec.structs import replace

from controller.engine.observe import Observer
from controller.model.ids import PoolKey, QueueName
from controller.model.observation import QueueDepth
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from support.sources import sources
from support.world import (
    FakeCluster,
    FakeQueues,
    FakeWakes,
    VirtualClock,
    make_fleet,
    make_pool,
)

POOL = replace(make_pool("research"), lower_queues=(QueueName("TASKS", "low"),))


class TwoQueues(FakeQueues):
    """Halves the pool's depth between its two queues."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self._at = clock.now

    def each(self, pool: PoolKey) -> tuple[Reading[QueueDepth], ...]:
        whole = self.depths[pool]
        assert isinstance(whole, QueueDepth)
        half = QueueDepth(pending=whole.pending // 2, in_flight=0)
        return Fresh(value=half, at=self._at()), Fresh(value=half, at=self._at())


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.queues = TwoQueues(self.clock)
        cluster = FakeCluster(self.clock, (POOL,))
        read = sources(self.queues, FakeWakes(), cluster, self.clock)
        self.observer = Observer(make_fleet(POOL), read, self.clock, deadline_s=0.01)

    async def seen(self) -> tuple[Reading[QueueDepth], ...]:
        await self.observer.ask([POOL])
        return self.observer.see([POOL]).pools[POOL.key].queues


async def test_each_queue_has_a_reading_of_its_own_whatever_becomes_of_the_source() -> None:
    world = World()
    world.queues.hang = True
    seen = await world.seen()
    assert [each.why for each in seen if isinstance(each, Absent)] == [Why.TIMED_OUT] * 2
    world.queues.hang = False
    world.queues.depths[POOL.key] = QueueDepth(pending=8, in_flight=0)
    first = await world.seen()
    assert [each.value.pending for each in first if isinstance(each, Fresh)] == [4, 4]
    assert await world.seen() is first, "the same object while nothing moves"
    world.queues.hang = True
    for each in await world.seen():
        assert isinstance(each, Stale)
        assert (each.value.pending, each.why) == (4, Why.TIMED_OUT)
