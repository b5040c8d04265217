"""A real nats-server, a pool's queues on it, and workers that are stopped with the test."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from nats import errors
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    ConsumerInfo,
    RetentionPolicy,
    StreamConfig,
)

from agentdash.worker import (
    Agent,
    NatsLogin,
    QueueName,
    Session,
    Task,
    TaskResult,
    TaskTerms,
    Worker,
    WorkerSettings,
)
from agentdash.worker.attempts import PoolTasks
from agentdash.worker.session import Prepare
from agentdash.worker.stores import NatsLink
from support.forked import Forked, forked
from tests.support.nats_server import RealNats

QUEUE = QueueName("TASKS", "acme-research")
HIGH = QueueName("TASKS", "acme-research-high")


async def answer(task: Task, _: Session) -> object:
    return {"answer": task.payload}


class Busy:
    """An agent whose task goes on until `end` is set; its result is the number of the try."""

    def __init__(self) -> None:
        self.begun, self.end = asyncio.Event(), asyncio.Event()

    async def __call__(self, task: Task, _: Session) -> object:
        self.begun.set()
        await self.end.wait()
        return task.attempt


async def worker_process(home: Path, url: str, agent: str, **environment: str) -> Forked:
    """`agentdash worker` as a process; its modules lie in `home`."""
    given = {
        "NATS_URL": url,
        "AGENTDASH_TENANT": "acme",
        "AGENTDASH_POOL": "research",
        "AGENTDASH_QUEUES": "TASKS/acme-research",
        "AGENTDASH_LISTEN": "off",
    }
    words = ("agentdash", "worker", agent)
    return await forked(*words, cwd=home, env={**os.environ, **given, **environment})


@dataclass
class Shop:
    """A pool with its queues, and a connection to it."""

    url: str
    link: NatsLink
    tasks: PoolTasks
    ended: list[tuple[Task, TaskResult]] = field(default_factory=list)

    def settings(self, **changes: Any) -> WorkerSettings:
        given = {"tenant": "acme", "pool": "research", "queues": (QUEUE,), "worker": "one"}
        return WorkerSettings(**(given | changes))

    @asynccontextmanager
    async def worker(
        self,
        agent: Agent = answer,
        *,
        prepare: Prepare | None = None,
        shared: bool = False,
        **changes: Any,
    ) -> AsyncIterator[asyncio.Event]:
        """A worker that runs while the block does; yields the event that stops it. With `shared` it
        uses the connection of the tests.
        """
        stopping = asyncio.Event()
        link = self.link if shared else NatsLink(NatsLogin(servers=(self.url,)))
        if not shared:
            await link.open()
        worker = Worker(
            agent,
            self.settings(**changes),
            NatsLogin(servers=(self.url,)),
            prepare=prepare,
            on_end=lambda task, result: self.ended.append((task, result)),
        )
        try:
            async with asyncio.TaskGroup() as group:
                working = group.create_task(worker.work(link, stopping))
                yield stopping
                stopping.set()
                await working
        finally:
            if not shared:
                await link.close()

    async def submit(self, payload: object, task: str, **terms: Any) -> None:
        await self.tasks.submit(payload, TaskTerms(id=task, **terms))

    async def result(self, task: str) -> TaskResult:
        """The task's result once there is one; the test's own time-out ends it."""
        while True:
            with suppress(errors.TimeoutError):  # while the server is away
                if (stored := await self.tasks.results.get(task)) is not None:
                    return stored.result
            await asyncio.sleep(0.005)

    async def counted(self, queue: QueueName = QUEUE) -> ConsumerInfo:
        """The consumer once it counts a message, which is some time after the stream has it."""
        js = self.link.jetstream
        while not (info := await js.consumer_info(*queue)).num_ack_pending + info.num_pending:
            await asyncio.sleep(0.005)
        return info

    async def all_acknowledged(self, queue: QueueName = QUEUE) -> None:
        js = self.link.jetstream
        while (info := await js.consumer_info(*queue)).num_ack_pending or info.num_pending:
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def _warnings_are_seen(caplog: pytest.LogCaptureFixture) -> None:
    """Also after tests of verbs, which drop all records."""
    caplog.set_level(logging.WARNING)


@pytest.fixture
def server() -> Iterator[RealNats]:
    with tempfile.TemporaryDirectory(prefix="nats") as path, RealNats(Path(path)) as running:
        yield running


async def prepare(link: NatsLink, *, ack_wait_s: float = 30.0, **consumer: Any) -> None:
    js = link.jetstream
    await js.add_stream(
        StreamConfig(name="TASKS", subjects=["tasks.>"], retention=RetentionPolicy.WORK_QUEUE)
    )
    for queue, subject in ((QUEUE, "tasks.acme.research"), (HIGH, "tasks.acme.research-high")):
        await js.add_consumer(
            "TASKS",
            ConsumerConfig(
                durable_name=queue.consumer,
                filter_subject=subject,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ack_wait_s,
                **consumer,
            ),
        )


@asynccontextmanager
async def shop_at(url: str, **consumer: Any) -> AsyncIterator[Shop]:
    link = NatsLink(NatsLogin(servers=(url,)), name="tests")
    await link.open()
    try:
        await prepare(link, **consumer)
        yield Shop(url, link, pool_tasks(link))
    finally:
        await link.close()


def pool_tasks(link: NatsLink) -> PoolTasks:
    return PoolTasks(link.jetstream, link.client.publish, "acme", "research", (HIGH, QUEUE))


@pytest.fixture
async def shop(server: RealNats) -> AsyncIterator[Shop]:
    async with shop_at(server.url) as opened:
        yield opened


async def lose(shop: Shop, times: int = 1, *, at_once: int = 1) -> None:
    """So many deliveries reach a worker that dies, `at_once` of them each time."""
    pull = await shop.link.jetstream.pull_subscribe_bind(QUEUE.consumer, QUEUE.stream)
    for _ in range(times):
        await pull.fetch(at_once, timeout=30)
    await pull.unsubscribe()
