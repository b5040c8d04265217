"""Tokens in a tick's view: each tenant's, what runs reserved for, and what was not counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from controller.engine.observe import Observer
from controller.model.ids import PoolKey
from controller.model.observation import (
    ModelTokens,
    QueueDepth,
    RefusedEvents,
    TierUsage,
    TokensByModel,
    TokenUsage,
)
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.model.scarcity import ModelTier, TaskUsage
from controller.ports import UsageSource
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

RESEARCH, ETL = make_pool("research"), make_pool("etl", tenant="globex")
TASK = TaskUsage(input_tokens=700, seconds=Decimal(4))
BY_MODEL = {"acme": TokensByModel(models=(ModelTokens(model="demo", input=7),), per_minute=7)}
TIERS = {"acme": TierUsage(tokens={ModelTier.NANO: 7}, saved_usd=0.5)}
REFUSED = RefusedEvents(count=2, last="nonsense")


class FakeUsage:
    """A ledger in which acme has used what runs for it, a hundred tokens a task."""

    def read(self, in_flight: Callable[[PoolKey], int]) -> Mapping[str, Reading[TokenUsage]]:
        used = TokenUsage(used=Decimal(5), reserved=Decimal(100 * in_flight(RESEARCH.key)))
        return {"acme": Fresh(value=used, at=START)}

    def tiers(self) -> Mapping[str, TierUsage]:
        return TIERS

    def by_model(self) -> Mapping[str, TokensByModel]:
        return BY_MODEL

    def on_use(self, callback: Callable[[str, Decimal], None]) -> None:
        pass

    def measured(self, pool: PoolKey) -> TaskUsage | None:
        return TASK if pool == RESEARCH.key else None

    def refused(self) -> RefusedEvents:
        return REFUSED


class World:
    def __init__(self, usage: UsageSource | None) -> None:
        clock = VirtualClock()
        self.pools = (RESEARCH, ETL)
        self.queues = FakeQueues(clock)
        cluster = FakeCluster(clock, self.pools)
        read = sources(self.queues, FakeWakes(), cluster, clock, usage=usage)
        self.observer = Observer(make_fleet(*self.pools), read, clock, deadline_s=1.0)


async def test_a_view_of_one_pool_holds_every_tenants_tokens() -> None:
    world = World(FakeUsage())
    world.queues.depths[RESEARCH.key] = QueueDepth(pending=9, in_flight=3)
    await world.observer.ask(world.pools)
    seen = world.observer.see([ETL])
    assert seen.tenants["acme"].usage == Fresh(
        value=TokenUsage(used=Decimal(5), reserved=Decimal(300)), at=START
    )
    assert seen.tenants["globex"].usage == Absent(why=Why.NEVER_READ)
    assert seen.refused_events == REFUSED
    assert seen.tiers == TIERS
    assert seen.by_model == BY_MODEL


async def test_what_was_measured_of_a_pools_tasks_is_in_its_view() -> None:
    seen = World(FakeUsage()).observer.see([RESEARCH, ETL])
    assert seen.pools[RESEARCH.key].task_usage == TASK
    assert seen.pools[ETL.key].task_usage is None


async def test_a_queue_that_falls_silent_keeps_its_tasks_reserved_for() -> None:
    world = World(FakeUsage())
    world.queues.depths[RESEARCH.key] = QueueDepth(pending=0, in_flight=2)
    await world.observer.ask(world.pools)
    world.queues.hang = True
    await world.observer.ask(world.pools)
    usage = world.observer.see([]).tenants["acme"].usage
    assert isinstance(usage, Fresh)
    assert usage.value.reserved == 200


async def test_without_a_ledger_nobodys_tokens_are_known() -> None:
    seen = World(None).observer.see([RESEARCH])
    assert seen.tenants["acme"].usage == Absent(why=Why.NEVER_READ)
    assert seen.refused_events == RefusedEvents()
