"""Tasks that kill their worker each time, and those that are beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agentdash.worker import Agent, Retryable, Session, Task, TaskStatus, delivery
from agentdash.worker.attempts import DeadLetters
from agentdash.worker.stores import TRIES_BUCKET, bucket, ensure_worker_streams
from tests.integration.worker.conftest import Shop, lose, shop_at
from tests.integration.worker.killing import Victims
from tests.integration.worker.test_orders import busy_with
from tests.support.nats_server import RealNats

HEALTHY = 2


@pytest.mark.timeout(180)
async def test_a_task_that_kills_its_worker_dies_and_those_beside_it_live(
    server: RealNats, tmp_path: Path
) -> None:
    """All are in one process, so that each death takes all of them along."""
    async with (
        shop_at(server.url, ack_wait_s=1.0) as shop,
        Victims(tmp_path, server.url, 1, slots=HEALTHY + 1, attempts=3) as victims,
    ):
        await ensure_worker_streams(shop.link.jetstream, "acme", result_ttl_s=3600.0)
        tasks = [f"healthy-{number}" for number in range(HEALTHY)]
        for task in tasks:
            await shop.submit({"step_s": 1.0}, task)
        await shop.submit({"goal": "poison", "step_s": 0.2}, "poison")
        while await shop.tasks.results.get("poison") is None:
            await victims.replace_dead()
            await asyncio.sleep(0.05)
        ends = [await shop.result(task) for task in tasks]
        await shop.all_acknowledged()
        dead = await shop.result("poison")
        letter = await DeadLetters(shop.link.jetstream, "acme", "research").get("poison")
        await victims.stop()
    assert [end.status for end in ends] == [TaskStatus.DONE] * HEALTHY
    assert (dead.status, dead.attempts) == (TaskStatus.DEAD, 3)
    assert letter is not None
    assert letter.note.reason == dead.error == "began 3 times and no worker lived to end it"
    assert len(victims.begun("poison")) == 3


async def test_tries_whose_worker_died_are_named_beside_those_that_failed(
    server: RealNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def agent(_: Task, __: Session) -> object:
        raise Retryable("not yet", after_s=0.01)

    async with shop_at(server.url, ack_wait_s=0.2) as shop:
        await shop.submit(None, "one")
        await lose(shop, 1)
        async with shop.worker(agent, attempts=3):
            dead = await shop.result("one")
            await shop.all_acknowledged()
    assert (dead.status, dead.attempts) == (TaskStatus.DEAD, 3)
    assert dead.error == (
        "began 3 times: once no worker lived to end it, and 2 times it failed, the last one: "
        "not yet"
    )


async def test_tries_that_failed_make_no_task_suspicious(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its last try beside others."""
    monkeypatch.setattr(delivery, "RETRY_FIRST_S", 0.01)
    begun, end = asyncio.Event(), asyncio.Event()

    async def agent(task: Task, _: Session) -> object:
        if task.id == "long":
            begun.set()
            await end.wait()
        elif task.attempt < 3:
            raise Retryable("not yet")
        return task.attempt

    async with shop.worker(agent, slots=2, attempts=3):
        await shop.submit(None, "long")
        await begun.wait()
        await shop.submit(None, "one")
        assert (await shop.result("one")).result == 3
        end.set()
        await shop.result("long")


@asynccontextmanager
async def suspicious(shop: Shop, agent: Agent) -> AsyncIterator[asyncio.Event]:
    """A worker at a long task, and a suspect that waits for its last try; yields what stops it."""
    await shop.submit("x", "suspect")
    pull = await shop.link.jetstream.pull_subscribe_bind("acme-research", "TASKS")
    [suspect] = await pull.fetch(1, timeout=30)  # by a worker that dies
    await pull.unsubscribe()
    await shop.submit("x", "long")
    async with shop.worker(agent, slots=3, attempts=2) as stopping:
        await busy_with(shop, 1)
        await suspect.nak()
        await busy_with(shop, 2)
        yield stopping


async def test_who_waits_to_be_alone_is_handed_back_when_the_worker_ends(shop: Shop) -> None:
    begun: list[str] = []

    async def agent(task: Task, session: Session) -> object:
        begun.append(task.id)
        await session.stopping.wait()
        return "ended in time"

    async with suspicious(shop, agent) as stopping:
        stopping.set()
    assert begun == ["long"]
    assert (await shop.result("long")).result == "ended in time"
    async with shop.worker(attempts=2):
        assert (await shop.result("suspect")).attempts == 2


async def test_a_suspect_begins_when_all_others_have_ended_and_none_begins_beside_it(
    shop: Shop,
) -> None:
    ends = {name: asyncio.Event() for name in ("long", "suspect", "third")}
    inside: list[str] = []
    begun: list[tuple[str, ...]] = []

    async def agent(task: Task, _: Session) -> object:
        begun.append((task.id, *inside))
        inside.append(task.id)
        await ends[task.id].wait()
        inside.remove(task.id)
        return None

    async with suspicious(shop, agent):
        await shop.submit("x", "third")
        for name in ("long", "suspect", "third"):
            ends[name].set()
            await shop.result(name)
    assert begun == [("long",), ("suspect",), ("third",)]


async def test_hand_backs_that_an_older_worker_has_counted_are_no_tries(server: RealNats) -> None:
    async with shop_at(server.url, ack_wait_s=0.2) as shop:
        js = shop.link.jetstream
        await ensure_worker_streams(js, "acme", result_ttl_s=60.0)
        await shop.submit("x", "one")
        await bucket(js, TRIES_BUCKET).put("acme.research.one.1", b"3")
        await lose(shop, 4)
        async with shop.worker(attempts=2):
            result = await shop.result("one")
    assert (result.status, result.attempts) == (TaskStatus.DONE, 2)
