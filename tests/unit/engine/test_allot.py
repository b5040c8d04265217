"""When workers are told what they may use."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from controller.engine.workers import Allotment
from controller.model.fleet import Tenant, Tier
from controller.model.ids import PoolKey, pool_key
from controller.model.observation import Workers
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.model.scarcity import RateLimits
from controller.model.worker_messages import ModelDemand, PoolAllowance, WorkerState
from controller.ports import StoreAwayError
from property.test_provider_shares import A, B, fleet

TENANT = Tenant(name="t", tier=Tier(name="growth", priority=500), namespace="t")
SIXTY = RateLimits(requests_per_minute=60)


class Crew:
    """What the workers say, as a test sets it."""

    def __init__(self) -> None:
        self.readings: dict[PoolKey, Reading[Workers] | None] = {A: None, B: None}

    def read(self, pool: PoolKey) -> Reading[Workers] | None:
        return self.readings[pool]

    def are(self, pool: PoolKey, *names: str, short: bool = False) -> None:
        demand = ModelDemand(model="gpt", short_of=("requests_per_minute",) if short else ())
        self.readings[pool] = Fresh(
            value=Workers(
                states=tuple(
                    WorkerState(worker=name, slots=1, busy=1, pulling=True, demand=(demand,))
                    for name in names
                )
            ),
            at=0.0,
        )


class Store:
    """What was stored, and whether it can be."""

    def __init__(self) -> None:
        self.writes: list[tuple[PoolKey, PoolAllowance]] = []
        self.is_away = False

    async def allow(self, pool: PoolKey, allowance: PoolAllowance) -> None:
        if self.is_away:
            raise StoreAwayError("bucket agentdash_allowances: no answer")
        self.writes.append((pool, allowance))


class Still:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at


class World:
    def __init__(self, limits: RateLimits | None = SIXTY) -> None:
        """Without limits the pools have no model at all."""
        self.crew, self.store, self.clock = Crew(), Store(), Still()
        whole = fleet(limits, A, B)
        if limits is None:
            pools = tuple(replace(pool, model=None) for pool in whole.pools)
            whole = replace(whole, models=(), pools=pools)
        tenants = tuple(
            replace(TENANT, name=pool.tenant, namespace=pool.tenant) for pool in whole.pools
        )
        self.allotment = Allotment(
            replace(whole, tenants=tenants),
            self.crew,  # type: ignore[arg-type]
            self.store,
            self.clock,  # type: ignore[arg-type]
        )

    async def tick(self, **sizes: int) -> list[tuple[PoolKey, PoolAllowance]]:
        """What this tick stores."""
        self.store.writes.clear()
        async with asyncio.TaskGroup() as tasks:
            self.allotment.begin(tasks, {pool_key("acme", key): sizes[key] for key in sizes})
        return list(self.store.writes)


def part(allowance: PoolAllowance, worker: str) -> float | None:
    return allowance.shares[0].of(worker).requests_per_minute


async def test_a_pool_without_workers_is_told_what_the_first_one_may_use() -> None:
    world = World()
    world.crew.are(A)
    world.crew.are(B, "two")
    told = await world.tick()
    assert [pool for pool, _ in told] == [B, A]
    assert part(dict(told)[A], "first") == 0.3
    assert await world.tick() == []


async def test_workers_that_start_together_are_told_a_part_each() -> None:
    """What is kept for them has parts for the next power of two."""
    world = World()
    world.crew.are(A)
    assert part(dict(await world.tick(a=1))[A], "first") == 60
    assert part(dict(await world.tick(a=5))[A], "first") == 7.5
    assert await world.tick(a=8) == []


async def test_a_pool_without_workers_or_models_is_told_nothing() -> None:
    world = World(None)
    world.crew.are(A)
    assert await world.tick() == []


async def test_a_pool_whose_workers_are_not_known_is_told_nothing() -> None:
    world = World()
    world.crew.readings[A] = Absent(why=Why.NEVER_READ, at=0.0)
    assert await world.tick() == []


async def test_what_could_not_be_stored_is_a_finding_and_tried_again() -> None:
    world = World()
    world.crew.are(A, "one")
    world.store.is_away = True
    assert await world.tick() == []
    ((_, _, code, text),) = world.allotment.findings()
    assert code == "allowances"
    assert "no answer" in text
    world.store.is_away = False
    assert len(await world.tick()) == 1
    assert list(world.allotment.findings()) == []


@pytest.mark.parametrize("limits", [SIXTY, RateLimits(parallel=3)])
async def test_time_alone_changes_nothing_while_there_is_enough(limits: RateLimits) -> None:
    world = World(limits)
    world.crew.are(A, "one")
    await world.tick()
    world.clock.at += 1000
    assert await world.tick() == []
