"""One delivery, step by step: what is stored and told, and in which order."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import msgspec
import pytest
from nats import errors
from nats.js.api import PubAck
from nats.js.errors import NotFoundError
from prometheus_client import generate_latest

from agentdash.worker import (
    HandBack,
    QueueName,
    Session,
    Task,
    TaskResult,
    WorkerSettings,
)
from agentdash.worker.attempts import DeathNote
from agentdash.worker.delivery import Delivery, Desk, TaskRoom
from agentdash.worker.models import PoolModels
from agentdash.worker.state import UsageReports, WorkerMetrics
from controller.model.worker_messages import UsageEvent
from support.virtual_loop import in_virtual_time, run

SETTINGS = WorkerSettings(
    tenant="acme", pool="research", queues=(QueueName("TASKS", "research"),), worker="one"
)


class Post:
    """The message, and all that keeps or tells something. It refuses the first `refusals` results.

    It notes what happens, in its order.
    """

    headers: dict[str, str] | None = None
    data = b'"go"'
    subject = "tasks.acme.research"
    max_payload = 1_000_000

    def __init__(self, refusals: int = 0, *, delivered: int = 1) -> None:
        self.noted: list[str] = []
        self._delivered = delivered
        self.events: list[UsageEvent] = []
        self._refusals = refusals

    @property
    def metadata(self) -> Any:
        return SimpleNamespace(
            stream="TASKS",
            consumer="research",
            num_delivered=self._delivered,
            sequence=SimpleNamespace(stream=1),
            timestamp=datetime.now(UTC),
        )

    async def get(self, _: str) -> None:
        """There is no result."""

    async def get_msg(self, *_: object, **__: object) -> NoReturn:
        """Nothing is kept of its tries."""
        raise NotFoundError

    async def load(self, _: str) -> None:
        """There is no checkpoint."""

    async def bury(self, note: DeathNote, *_: object) -> None:
        self.noted.append(f"buried: {note.reason}")

    async def keep(self, result: TaskResult) -> TaskResult:
        if self._refusals:
            self._refusals -= 1
            self.noted.append("refused")
            raise errors.TimeoutError
        self.noted.append("kept")
        return result

    async def ack_sync(self, timeout: float) -> None:  # noqa: ASYNC109 - as nats-py has it
        assert timeout
        self.noted.append("acknowledged")

    async def nak(self, delay: float | None = None) -> None:
        self.noted.append("handed back" if delay is None else "not acknowledged")

    async def publish(self, subject: str, body: bytes, **__: object) -> PubAck:
        if subject.startswith("$KV."):
            self.noted.append("counted")
        else:
            self.events.append(msgspec.json.decode(body, type=UsageEvent))
        return PubAck(stream="", seq=1)


def delivery(
    post: Post,
    agent: Callable[[Task, Session], Awaitable[Any]],
    *,
    attempts: int = 5,
    room: TaskRoom | None = None,
    metrics: WorkerMetrics | None = None,
) -> Delivery:
    metrics = metrics or WorkerMetrics("acme", "research")
    any_post = cast("Any", post)
    link = cast("Any", SimpleNamespace(jetstream=post, client=post))
    desk = Desk(
        link=link,
        settings=msgspec.structs.replace(SETTINGS, attempts=attempts),
        agent=agent,
        metrics=metrics,
        models=PoolModels(SETTINGS, link, metrics),
        results=any_post,
        checkpoints=any_post,
        dead=any_post,
        usage=UsageReports(any_post, SETTINGS, metrics),
        room=room or TaskRoom(),
    )
    return Delivery(desk, any_post, most_deliveries=0)


@in_virtual_time
async def test_a_result_is_stored_before_its_message_is_acknowledged() -> None:
    post = Post(refusals=3)
    await delivery(post, _done).handle()
    assert post.noted == ["refused", "refused", "refused", "kept", "acknowledged"]


async def _done(_: Task, __: Session) -> str:
    return "done"


@in_virtual_time
async def test_a_further_try_is_counted_before_it_begins() -> None:
    """One whose worker dies is counted so."""

    post = Post(delivered=2)

    async def agent(task: Task, _: Session) -> None:
        post.noted.append(f"try {task.attempt}")

    await delivery(post, agent).handle()
    assert post.noted == ["counted", "try 2", "kept", "acknowledged"]


async def _lets_a_cancellation_out(_: Task, __: Session) -> None:
    inner = asyncio.create_task(asyncio.sleep(60))
    inner.cancel()
    await inner


async def _cancels_itself(_: Task, __: Session) -> None:
    current = asyncio.current_task()
    assert current is not None
    current.cancel()
    await asyncio.sleep(60)


async def _exits(_: Task, __: Session) -> None:
    sys.exit(3)


async def _is_interrupted(_: Task, __: Session) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (_lets_a_cancellation_out, "the agent raised CancelledError"),
        (_cancels_itself, "the agent raised CancelledError"),
        (_exits, "SystemExit: 3"),
        (_is_interrupted, "KeyboardInterrupt"),
    ],
)
def test_an_agent_that_ends_itself_has_failed(
    agent: Callable[[Task, Session], Awaitable[Any]], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = WorkerMetrics("acme", "research")

    async def history() -> list[str]:
        post = Post()
        await delivery(post, agent, metrics=metrics).handle()
        return post.noted

    assert run(history()) == ["counted", "not acknowledged"]
    retries = 'agent_retries_total{role="research",tenant="acme"} 1.0'
    assert retries in generate_latest(metrics.registry).decode()
    assert any(words in record.getMessage() for record in caplog.records)


@in_virtual_time
async def test_an_agent_that_does_not_end_when_its_time_is_over_is_left_behind() -> None:
    post, ended = Post(), asyncio.Event()

    async def deaf(_: Task, session: Session) -> None:
        while not ended.is_set():
            with suppress(asyncio.CancelledError):
                await ended.wait()
        with pytest.raises(HandBack):
            await session.checkpoint("too late")

    post.headers = {"Agentdash-Task": '{"timeout_s": 60}'}
    room, began = TaskRoom(), asyncio.get_running_loop().time()
    await delivery(post, deaf, room=room).handle()
    assert asyncio.get_running_loop().time() - began == pytest.approx(65)
    assert post.noted == ["counted", "not acknowledged"]
    assert len(room.lost) == 1
    ended.set()
    await asyncio.sleep(0.1)
    assert not room.lost


@in_virtual_time
async def test_what_no_one_expected_ends_no_other_task() -> None:
    """It comes again, when JetStream has waited for it long enough."""

    class BrokenPost(Post):
        async def keep(self, result: TaskResult) -> TaskResult:
            raise RuntimeError(result.id)

    post = BrokenPost()
    await delivery(post, _done).handle()
    assert post.noted == []
