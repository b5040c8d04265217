"""Prepared agents, in virtual time. Making one takes 9 s."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentdash.worker import AgentPool
from support.table import tabled
from support.virtual_loop import in_virtual_time

MAKING_S = 9.0


class Workshop:
    """Makes agents, which are numbers, and remembers what happened to them."""

    def __init__(self, *, fails: int = 0) -> None:
        self.made = 0
        self.closed: list[int] = []
        self.sick: set[int] = set()
        self._fails = fails

    async def make(self) -> int:
        await asyncio.sleep(MAKING_S)
        if self._fails:
            self._fails -= 1
            raise ConnectionError("no tools")
        self.made += 1
        return self.made

    async def close(self, agent: int) -> None:
        self.closed.append(agent)

    async def is_healthy(self, agent: int) -> bool:
        return agent not in self.sick

    def pool(self, **options: Any) -> AgentPool[int]:
        return AgentPool(self.make, close=self.close, is_healthy=self.is_healthy, **options)


async def waited(pool: AgentPool[int], use_s: float = 1.0) -> tuple[int, float]:
    """The agent of one use, and how long it was waited for."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with pool.take() as agent:
        took = loop.time() - began
        await asyncio.sleep(use_s)
        return agent, took


@in_virtual_time
async def test_a_use_waits_for_no_constructor_a_second_time() -> None:
    async with Workshop().pool(least=1, most=1, retire_after_uses=2) as pool:
        took = [(await waited(pool, use_s=10.0))[1] for _ in range(5)]
    assert took == pytest.approx([MAKING_S, 0, 0, 0, 0])


@in_virtual_time
async def test_an_agent_that_comes_free_is_taken_before_a_new_one_is_ready() -> None:
    async with Workshop().pool(least=1, most=3) as pool:
        await asyncio.sleep(MAKING_S)
        used = await asyncio.gather(*(waited(pool, use_s=2.0) for _ in range(3)))
    assert used == [(1, 0.0), (1, 2.0), (1, 4.0)]


@in_virtual_time
async def test_never_more_than_the_most_are_there() -> None:
    shop = Workshop()
    async with shop.pool(least=0, most=2) as pool:
        await asyncio.gather(*(waited(pool, use_s=100.0) for _ in range(6)))
        assert (shop.made, pool.there) == (2, 2)


@in_virtual_time
async def test_an_agent_is_retired_after_its_last_use() -> None:
    shop = Workshop()
    async with shop.pool(least=0, most=1, retire_after_uses=2) as pool:
        assert [(await waited(pool))[0] for _ in range(5)] == [1, 1, 2, 2, 3]
        assert shop.closed == [1, 2]


@in_virtual_time
async def test_idle_agents_above_the_least_are_retired() -> None:
    async with Workshop().pool(least=1, most=3, retire_after_idle_s=60) as pool:
        await asyncio.gather(*(waited(pool, use_s=50.0) for _ in range(3)))
        assert pool.there == 3
        await asyncio.sleep(130)
        assert pool.there == 1


@in_virtual_time
async def test_an_agent_that_is_not_healthy_is_not_used() -> None:
    shop = Workshop()
    async with shop.pool(least=1, most=2) as pool:
        await asyncio.sleep(MAKING_S + 1)
        shop.sick = {1}
        agent, _ = await waited(pool)
        assert (agent, shop.closed) == (2, [1])


@in_virtual_time
async def test_a_factory_that_fails_is_tried_again() -> None:
    async with Workshop(fails=5).pool() as pool:
        assert (await waited(pool))[0] == 1


@in_virtual_time
async def test_a_caller_that_gives_up_leaves_its_agent_to_the_next() -> None:
    shop = Workshop()
    async with shop.pool(least=0) as pool:
        impatient = asyncio.create_task(waited(pool))
        await asyncio.sleep(1)
        impatient.cancel()
        await asyncio.gather(impatient, return_exceptions=True)
        assert ((await waited(pool))[0], shop.made) == (1, 1)


@in_virtual_time
async def test_everything_is_closed_at_the_end_and_a_use_that_waits_is_cancelled() -> None:
    shop = Workshop()
    async with shop.pool(least=2, most=3) as pool:
        await asyncio.gather(waited(pool), waited(pool))
    assert sorted(shop.closed) == [1, 2]
    async with shop.pool(least=0) as pool:
        waiting = asyncio.create_task(waited(pool))
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await waiting


@tabled("sizes", [{"least": 3, "most": 2}, {"least": -1}, {"least": 0, "most": 0}])
def test_impossible_sizes_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="least"):
        AgentPool(Workshop().make, **sizes)
