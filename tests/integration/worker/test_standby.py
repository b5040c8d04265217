"""Workers that stand by for many pools, on a real server."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats import errors

from agentdash.worker import NatsLogin, QueueName, Session, Task, Worker, WorkerSettings
from agentdash.worker.attempts import PoolTasks
from agentdash.worker.pull import GROUP
from agentdash.worker.session import TaskResult, TaskTerms
from agentdash.worker.settings import Served
from agentdash.worker.state import WORKERS_BUCKET, bucket
from agentdash.worker.stores import NatsLink, newest
from controller.model.worker_messages import (
    ORDERS_BUCKET,
    PoolOrders,
    WorkerState,
    orders_key,
    worker_key,
)
from tests.support.nats_server import RealNats

POOLS = tuple(f"pool-{number}" for number in range(6))


def place(pool: str) -> Served:
    return Served("acme", pool, (QueueName("TASKS", f"acme-{pool}"),))


class Street:
    """Pools that sleep, each with a consumer that has the priority group."""

    def __init__(self, url: str, link: NatsLink) -> None:
        self.url, self.link = url, link
        self.took: list[tuple[str, str, int]] = []  # (worker, pool, attempt) of each try begun

    async def build(self, *, ack_wait_s: float = 30.0) -> None:
        await self._api(
            "STREAM.CREATE.TASKS", name="TASKS", subjects=["t.>"], retention="workqueue"
        )
        for pool in POOLS:
            config = {
                "durable_name": f"acme-{pool}",
                "filter_subject": f"t.{pool}",
                "ack_policy": "explicit",
                "ack_wait": int(ack_wait_s * 1e9),
                "max_ack_pending": 20_000,
                "priority_groups": [GROUP],
                "priority_policy": "prioritized",
            }
            call = f"CONSUMER.CREATE.TASKS.acme-{pool}.t.{pool}"
            await self._api(call, stream_name="TASKS", config=config)

    async def _api(self, call: str, **body: Any) -> None:
        answer = await self.link.client.request(f"$JS.API.{call}", json.dumps(body).encode())
        assert "error" not in json.loads(answer.data), answer.data

    def tasks(self, pool: str) -> PoolTasks:
        link, queues = self.link, place(pool).queues
        return PoolTasks(link.jetstream, link.client.publish, "acme", pool, queues)

    async def submit(self, pool: str, task: str) -> None:
        await self.tasks(pool).submit("x", TaskTerms(id=task))

    async def result(self, pool: str, task: str) -> TaskResult:
        while True:
            with suppress(errors.TimeoutError):
                if (stored := await self.tasks(pool).results.get(task)) is not None:
                    return stored.result
            await asyncio.sleep(0.005)

    async def state(self, worker: str, pool: str = "spare") -> WorkerState | None:
        states = bucket(self.link.jetstream, WORKERS_BUCKET)
        value, _ = await newest(states, worker_key("acme", pool, worker))
        return None if value is None else msgspec.json.decode(value, type=WorkerState)

    async def order(self, pool: str, orders: PoolOrders) -> None:
        value = msgspec.json.encode(orders)
        await bucket(self.link.jetstream, ORDERS_BUCKET).put(orders_key("acme", pool), value)

    @asynccontextmanager
    async def worker(
        self, name: str, agent: Any, *, own: str = "", pools: tuple[str, ...] = POOLS
    ) -> AsyncIterator[asyncio.Event]:
        """A worker of the pool `own`, or one that stands by; it pulls when the block begins."""
        stands_by = () if own else tuple(map(place, pools))
        settings = WorkerSettings(
            tenant="acme",
            pool=own or "spare",
            queues=place(own).queues if own else (),
            stands_by_for=stands_by,
            worker=name,
        )

        async def noted(task: Task, session: Session) -> object:
            self.took.append((name, task.pool, task.attempt))
            return await agent(task, session)

        stopping, link = asyncio.Event(), NatsLink(NatsLogin(servers=(self.url,)))
        await link.open()
        try:
            async with asyncio.TaskGroup() as group:
                work = Worker(noted, settings, NatsLogin(servers=(self.url,))).work(link, stopping)
                working = group.create_task(work)
                for pool in (own,) if own else pools:
                    await self.waits_at(pool)
                yield stopping
                stopping.set()
                await working
        finally:
            await link.close()

    async def waits_at(self, pool: str, *, least: int = 1) -> None:
        """Once so many pulls wait at the pool's consumer."""
        while await self.waiting(pool) < least:
            await asyncio.sleep(0.005)

    async def waiting(self, pool: str) -> int:
        """The pulls that wait there."""
        with suppress(errors.TimeoutError):  # while the server is away
            info = await self.link.jetstream.consumer_info(*place(pool).queues[0])
            return info.num_waiting or 0
        return 0


@pytest.fixture
async def street(server: RealNats) -> AsyncIterator[Street]:
    link = NatsLink(NatsLogin(servers=(server.url,)))
    await link.open()
    try:
        built = Street(server.url, link)
        await built.build()
        yield built
    finally:
        await link.close()


async def answer(task: Task, _: Session) -> object:
    return task.pool


class Held:
    """An agent whose tasks go on until `end` is set."""

    def __init__(self) -> None:
        self.begun, self.end = asyncio.Event(), asyncio.Event()

    async def __call__(self, _: Task, __: Session) -> object:
        self.begun.set()
        await self.end.wait()
        return None


async def test_the_first_message_of_each_pool_is_done_under_the_pools_own_name(
    street: Street,
) -> None:
    async with street.worker("spare-1", answer):
        for pool in POOLS:
            await street.submit(pool, f"first-{pool}")
            result = await street.result(pool, f"first-{pool}")
            assert (result.result, result.worker, result.attempts) == (pool, "spare-1", 1)


async def test_what_a_busy_one_is_sent_another_does_at_once_and_it_counts_as_no_try(
    street: Street,
) -> None:
    held = Held()
    async with street.worker("spare-1", held):
        await street.submit(POOLS[0], "long")
        await held.begun.wait()
        async with street.worker("spare-2", answer):
            for pool in POOLS[1:]:
                await street.submit(pool, f"short-{pool}")
                result = await street.result(pool, f"short-{pool}")
                assert (result.worker, result.attempts) == ("spare-2", 1)
        held.end.set()
        await street.result(POOLS[0], "long")


async def test_what_nobody_had_room_for_is_done_when_one_is_free_the_oldest_first(
    street: Street,
) -> None:
    held = Held()
    async with street.worker("spare-1", held):
        await street.submit(POOLS[0], "long")
        await held.begun.wait()
        for pool in (POOLS[3], POOLS[1], POOLS[2]):
            await street.submit(pool, f"waits-{pool}")
            # its request is used up: the message was handed back
            while await street.waiting(pool):
                await asyncio.sleep(0.005)
        street.took.clear()
        held.end.set()
        for pool in POOLS[1:4]:
            assert (await street.result(pool, f"waits-{pool}")).attempts == 1
    assert [pool for _, pool, _ in street.took] == [POOLS[3], POOLS[1], POOLS[2]]


async def test_under_a_backlog_pools_are_served_in_turn(street: Street) -> None:
    held = Held()
    async with street.worker("spare-1", held):
        await street.submit(POOLS[5], "long")
        await held.begun.wait()
        for number in range(3):
            for pool in POOLS[:2]:
                await street.submit(pool, f"{pool}-{number}")
        street.took.clear()
        held.end.set()
        for pool in POOLS[:2]:
            await street.result(pool, f"{pool}-2")
    assert [pool for _, pool, _ in street.took] == [*POOLS[:2]] * 3


async def test_a_pools_own_worker_is_served_first_whenever_it_waits(street: Street) -> None:
    pool = POOLS[0]
    async with (
        street.worker("spare-1", answer),
        street.worker("spare-2", answer),
        street.worker("own-1", answer, own=pool),
    ):
        for number in range(50):
            await street.waits_at(pool, least=3)
            await street.submit(pool, f"task-{number}")
            await street.result(pool, f"task-{number}")
    assert {name for name, _, _ in street.took} == {"own-1"}


async def test_no_pull_waits_at_a_paused_pool_and_the_others_are_served(street: Street) -> None:
    js, paused = street.link.jetstream, POOLS[0]
    async with street.worker("spare-1", answer):
        await street.order(paused, PoolOrders(pull=False, because="pause"))
        while await street.waiting(paused):
            await asyncio.sleep(0.005)
        await street.submit(paused, "held")
        await street.submit(POOLS[1], "goes-on")
        await street.result(POOLS[1], "goes-on")
        assert (await js.consumer_info(*place(paused).queues[0])).num_pending == 1
        await street.order(paused, PoolOrders())
        await street.result(paused, "held")


async def test_it_says_for_whom_it_works_now_and_did_last(street: Street) -> None:
    held = Held()
    async with street.worker("spare-1", held):
        await street.submit(POOLS[2], "one")
        await held.begun.wait()
        while not (state := await street.state("spare-1")) or not state.busy:
            await asyncio.sleep(0.005)
        assert (state.works_for, state.did_last) == (f"acme/{POOLS[2]}", "")
        held.end.set()
        while not (state := await street.state("spare-1")) or state.busy:
            await asyncio.sleep(0.005)
        assert (state.works_for, state.did_last) == ("", f"acme/{POOLS[2]}")


async def test_a_drained_one_takes_nothing_more_of_any_pool(street: Street) -> None:
    async with street.worker("spare-1", answer):
        await street.order("spare", PoolOrders(drain=("spare-1",)))
        while not (state := await street.state("spare-1")) or state.pulling:
            await asyncio.sleep(0.005)
        for pool in POOLS:
            assert not await street.waiting(pool)


async def test_its_pulls_come_back_after_the_server_was_restarted(
    server: RealNats, street: Street
) -> None:
    async with street.worker("spare-1", answer):
        server.kill()
        server.start()
        while not street.link.client.is_connected:
            await asyncio.sleep(0.01)
        await street.waits_at(POOLS[4])
        await street.submit(POOLS[4], "after")
        assert (await street.result(POOLS[4], "after")).worker == "spare-1"


AGENT = """\
import os

from agentdash.worker import Session, Task

SEEN = []


async def work(task: Task, session: Session) -> object:
    SEEN.append(task.id)
    with open(os.environ["RAN"], "a", encoding="utf-8") as ran:
        ran.write(f"{task.id} {os.getpid()}\\n")
    return {"pid": os.getpid(), "seen": list(SEEN)}
"""


@asynccontextmanager
async def process(
    home: Path, url: str, name: str, **more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`agentdash worker` that stands by for all pools, a process of its own."""
    (home / "standby_agent.py").write_text(AGENT, "utf-8")
    given = {
        "NATS_URL": url,
        "AGENTDASH_TENANT": "acme",
        "AGENTDASH_POOL": "spare",
        "AGENTDASH_STANDBY_FOR": " ".join(f"{pool}=TASKS/acme-{pool}" for pool in POOLS),
        "AGENTDASH_LISTEN": "off",
        "AGENTDASH_WORKER": name,
        "RAN": str(home / "ran"),
    }
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agentdash", "worker", "standby_agent:work"),
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), **given, **more},
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            with suppress(ProcessLookupError):
                started.kill()
            await started.wait()


async def test_nothing_of_a_task_is_in_memory_for_the_next_where_the_process_is_renewed(
    street: Street, tmp_path: Path
) -> None:
    async with process(tmp_path, street.url, "spare-1", AGENTDASH_RENEW="process") as running:
        for number, pool in enumerate(POOLS[:3]):
            await street.waits_at(POOLS[-1])
            await street.submit(pool, f"task-{number}")
            result: Any = (await street.result(pool, f"task-{number}")).result
            assert result == {"pid": running.pid, "seen": [f"task-{number}"]}
        while not (state := await street.state("spare-1")) or state.did_last != f"acme/{pool}":
            await asyncio.sleep(0.01)
        running.terminate()
        assert await running.wait() == 0


async def test_while_standbys_are_killed_no_first_message_is_lost_or_done_twice(
    street: Street, tmp_path: Path
) -> None:
    await killed(street, tmp_path, messages=200, kills=4)


async def killed(street: Street, home: Path, *, messages: int, kills: int) -> dict[str, int]:
    """Each message has one result, and only those that a killed worker held were begun again."""
    rng, every = random.Random(18), messages // (kills + 1)
    running: list[tuple[Any, asyncio.subprocess.Process]] = []

    async def start(number: int) -> None:
        context = process(home, street.url, f"spare-{number}")
        running.append((context, await context.__aenter__()))

    for number in range(3):
        await start(number)
    await street.waits_at(POOLS[-1], least=3)
    for number in range(messages):
        await street.submit(rng.choice(POOLS), f"first-{number}")
        if number % every == every - 1 and number // every < kills:
            context, victim = running.pop(rng.randrange(len(running)))
            victim.kill()
            await context.__aexit__(None, None, None)
            await start(number + 3)
    js, deadline, done = street.link.jetstream, time.monotonic() + 60, 0
    while (now := (await js.stream_info("KV_agentdash_results")).state.messages) < messages:
        if now > done:
            deadline, done = time.monotonic() + 60, now
        assert time.monotonic() < deadline, [
            (pool, info.num_pending, info.num_ack_pending, info.num_waiting)
            for pool in POOLS
            if (info := await js.consumer_info(*place(pool).queues[0])).num_pending
            or info.num_ack_pending
        ]
        await asyncio.sleep(0.2)
    # each result is created once: one more message of the bucket would be a second one
    assert (await js.stream_info("KV_agentdash_results")).state.last_seq == messages
    for context, _ in running:
        await context.__aexit__(None, None, None)
    begun = [line.split()[0] for line in (home / "ran").read_text("utf-8").splitlines()]
    again = len(begun) - len(set(begun))
    assert len(set(begun)) == messages
    assert again <= kills  # one seat: a kill cuts one task at most
    return {"messages": messages, "kills": kills, "begun again": again}
