"""What a tick sees of queues and tokens, whatever becomes of their sources."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from controller.engine.observe import Observer
from controller.model.ids import PoolKey, QueueName
from controller.model.observation import (
    ModelTokens,
    Pod,
    PodPhase,
    Pods,
    QueueDepth,
    RefusedEvents,
    TierUsage,
    TokensByModel,
    TokenUsage,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import ModelTier, TaskUsage
from support.sources import NoUsage, sources
from support.world import FakeCluster, FakeQueues, FakeWakes, VirtualClock, make_fleet, make_pool

RESEARCH, ETL = make_pool("research"), make_pool("etl", tenant="globex")
TWO_QUEUES = replace(make_pool("both"), lower_queues=(QueueName("TASKS", "low"),))
POOLS = (RESEARCH, ETL, TWO_QUEUES)
TASK = TaskUsage(input_tokens=700, seconds=Decimal(4))


class Halves(FakeQueues):
    """Halves a pool's depth between its two queues."""

    def each(self, pool: PoolKey) -> tuple[Reading[QueueDepth], ...]:
        whole = self.depths.get(pool, QueueDepth(pending=0, in_flight=0))
        assert isinstance(whole, QueueDepth)
        half = QueueDepth(pending=whole.pending // 2, in_flight=0)
        return Fresh(value=half, at=self._clock.now()), Fresh(value=half, at=self._clock.now())


class Usage(NoUsage):
    """A ledger in which acme has used what runs for it, a hundred tokens a task."""

    def read(self, in_flight: Callable[[PoolKey], int]) -> dict[str, Any]:  # type: ignore[override]
        used = TokenUsage(used=Decimal(5), reserved=Decimal(100 * in_flight(RESEARCH.key)))
        return {"acme": Fresh(value=used, at=1.0)}

    def tiers(self) -> dict[str, Any]:
        return {"acme": TierUsage(tokens={ModelTier.NANO: 7}, saved_usd=0.5)}

    def by_model(self) -> dict[str, Any]:
        models = (ModelTokens(model="demo", input=7),)
        return {"acme": TokensByModel(models=models, per_minute=7)}

    def measured(self, pool: object) -> Any:
        return TASK if pool == RESEARCH.key else None

    def refused(self) -> RefusedEvents:
        return RefusedEvents(count=2, last="nonsense")


class World:
    def __init__(self, usage: NoUsage | None = None) -> None:
        self.clock = VirtualClock()
        self.queues, self.cluster = Halves(self.clock), FakeCluster(self.clock, POOLS)
        read = sources(self.queues, FakeWakes(), self.cluster, self.clock, usage=usage)
        self.observer = Observer(make_fleet(*POOLS), read, self.clock, deadline_s=0.01)

    async def both(self) -> tuple[Reading[QueueDepth], ...]:
        await self.observer.ask([TWO_QUEUES])
        return self.observer.see([TWO_QUEUES]).pools[TWO_QUEUES.key].queues


async def test_each_queue_has_a_reading_of_its_own_whatever_becomes_of_the_source() -> None:
    world = World()
    world.queues.hang = True
    seen = await world.both()
    assert [each.why for each in seen if isinstance(each, Absent)] == [Why.TIMED_OUT] * 2
    world.queues.hang = False
    world.queues.depths[TWO_QUEUES.key] = QueueDepth(pending=8, in_flight=0)
    first = await world.both()
    assert [each.value.pending for each in first if isinstance(each, Fresh)] == [4, 4]
    assert await world.both() is first, "the same object while nothing moves"
    world.queues.hang = True
    for each in await world.both():
        assert isinstance(each, Stale)
        assert (each.value.pending, each.why) == (4, Why.TIMED_OUT)


async def test_a_view_of_one_pool_holds_every_tenants_tokens() -> None:
    usage = Usage()
    world = World(usage)
    world.queues.depths[RESEARCH.key] = QueueDepth(pending=9, in_flight=3)
    await world.observer.ask(POOLS)
    seen = world.observer.see([ETL])
    used = TokenUsage(used=Decimal(5), reserved=Decimal(300))
    assert seen.tenants["acme"].usage == Fresh(value=used, at=1.0)
    assert seen.tenants["globex"].usage == Absent(why=Why.NEVER_READ)
    told = (seen.refused_events, seen.tiers, seen.by_model)
    assert told == (usage.refused(), usage.tiers(), usage.by_model())
    measured = world.observer.see(POOLS).pools
    assert [measured[pool.key].task_usage for pool in (RESEARCH, ETL)] == [TASK, None]
    # a queue that falls silent keeps its tasks reserved for
    world.queues.hang = True
    await world.observer.ask(POOLS)
    assert world.observer.see([]).tenants["acme"].usage == Fresh(value=used, at=1.0)


async def test_without_a_ledger_no_tenants_tokens_are_known() -> None:
    seen = World().observer.see([RESEARCH])
    assert seen.tenants["acme"].usage == Absent(why=Why.NEVER_READ)
    assert seen.refused_events == RefusedEvents()


async def test_pods_on_nodes_that_end_are_marked_and_the_same_object_while_nothing_changes() -> (
    None
):
    world = World()
    pods = [Pod(name=node, phase=PodPhase.RUNNING, node=node) for node in ("going", "staying")]
    reading = Fresh(value=Pods(ready=2, items=tuple(pods)), at=1.0)
    world.cluster.pods = lambda _: reading  # type: ignore[method-assign]

    def seen(**ending: str) -> Reading[Pods]:
        room = world.cluster.nodes
        assert isinstance(room, Fresh)
        world.cluster.nodes = replace(room, value=replace(room.value, ending=ending))
        return world.observer.see([RESEARCH]).pools[RESEARCH.key].pods

    assert seen() is reading
    marked = seen(going="drain")
    assert isinstance(marked, Fresh)
    assert [each.node_ends for each in marked.value.items] == ["drain", ""]
    assert seen(going="drain") is marked
    assert seen(elsewhere="drain") is reading
    assert seen() is reading
