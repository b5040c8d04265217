"""Workers built on our runtime, and the ledger that counts what they report."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, StreamConfig

from agentdash.worker import (
    NatsLogin,
    QueueName,
    Session,
    Task,
    UsedTokens,
    Worker,
    WorkerSettings,
)
from agentdash.worker.stores import NatsLink, ensure_usage_stream
from controller.engine.supervise import SystemClock
from controller.model.readings import Fresh
from controller.model.worker_messages import USAGE_STREAM
from controller.nats.session import NatsSession
from controller.nats.usage import TokenUsageSource
from tests.integration.nats.conftest import Until
from tests.unit.nats.usage_world import fleet, tenant


async def tasks(session: NatsSession, number: int) -> JetStreamContext:
    js = session.jetstream(timeout_s=5.0)
    await js.add_stream(StreamConfig(name="TASKS", subjects=["tasks.>"]))
    await js.add_consumer("TASKS", ConsumerConfig(durable_name="research", ack_wait=30))
    for _ in range(number):
        await js.publish("tasks.research", b"work")
    return js


async def agent(_: Task, session: Session) -> object:
    session.used(UsedTokens(input=100, output=20, cached_input=50, calls=2))
    return None


@asynccontextmanager
async def working(url: str, done: list[Task]) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    login = NatsLogin(servers=(url,))
    settings = WorkerSettings(
        tenant="acme",
        pool="research",
        queues=(QueueName("TASKS", "research"),),
        worker="one",
        slots=4,
    )
    worker = Worker(agent, settings, login, on_end=lambda task, _: done.append(task))
    link = NatsLink(login)
    await link.open()
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.work(link, stopping))
        yield
        stopping.set()
    await link.close()


async def all_acknowledged(js: JetStreamContext) -> None:
    """Wait until the server says so; the test's own time-out ends it."""
    while (info := await js.consumer_info("TASKS", "research")).num_ack_pending:
        await asyncio.sleep(0.002)
    assert info.num_pending == 0


async def test_what_workers_use_is_counted_and_measured(
    url: str, session: NatsSession, until: Until
) -> None:
    js = await tasks(session, 8)
    await ensure_usage_stream(js)
    await ensure_usage_stream(js)
    source = TokenUsageSource(session, SystemClock(), fleet(tenant()))
    done: list[Task] = []
    async with source.reading(), working(url, done):
        await until(lambda: len(done) == 8)

        def used() -> object:
            reading = source.read(lambda _: 0)["acme"]
            return reading.value.used if isinstance(reading, Fresh) else None

        await until(lambda: used() == 8 * 125)
        measured = source.measured(next(iter(fleet(tenant()).pools)).key)
        assert measured is not None
        assert (measured.input_tokens, measured.output_tokens, measured.calls) == (100, 20, 2)
        assert source.refused().count == 0
    await all_acknowledged(js)


async def test_work_is_done_where_no_stream_keeps_what_it_used(
    url: str, session: NatsSession, until: Until
) -> None:
    js = await tasks(session, 3)
    done: list[Task] = []
    async with working(url, done):
        await until(lambda: len(done) == 3)
    await all_acknowledged(js)
    assert {task.attempt for task in done} == {1}


async def test_a_full_stream_of_events_delays_no_work(
    url: str, session: NatsSession, until: Until
) -> None:
    js = await tasks(session, 3)
    await ensure_usage_stream(js)
    await js.update_stream(
        StreamConfig(name=USAGE_STREAM, subjects=["agentdash.usage.>"], max_msgs=1, discard="new")
    )
    done: list[Task] = []
    async with working(url, done):
        await until(lambda: len(done) == 3)
    await all_acknowledged(js)
