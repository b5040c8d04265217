"""One delivery, step by step: what is stored and told, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from nats import errors

from agentdash.worker import QueueName, Session, Task, TaskResult, UsedTokens, WorkerSettings
from agentdash.worker.delivery import Delivery, Desk
from agentdash.worker.metrics import WorkerMetrics
from agentdash.worker.pool_models import PoolModels
from agentdash.worker.usage_reports import UsageReports
from controller.model.usage_event import UsageEvent
from support.virtual_loop import run

SETTINGS = WorkerSettings(
    tenant="acme", pool="research", queues=(QueueName("TASKS", "research"),), worker="one"
)


class Post:
    """The message, and all that keeps or tells something. It refuses the first `refusals` results.

    It notes what happens, in its order.
    """

    headers: dict[str, str] | None = None
    data = b'"go"'
    max_payload = 1_000_000

    def __init__(self, refusals: int = 0) -> None:
        self.noted: list[str] = []
        self.events: list[UsageEvent] = []
        self._refusals = refusals

    @property
    def metadata(self) -> Any:
        return SimpleNamespace(
            stream="TASKS",
            consumer="research",
            num_delivered=1,
            sequence=SimpleNamespace(stream=1),
            timestamp=datetime.now(UTC),
        )

    async def get(self, _: str) -> None:
        """There is no result."""

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
        assert delay is not None
        self.noted.append("not acknowledged")

    async def publish(self, _: str, body: bytes, **__: object) -> None:
        self.events.append(msgspec.json.decode(body, type=UsageEvent))


def delivery(post: Post, agent: Callable[[Task, Session], Awaitable[Any]]) -> Delivery:
    metrics = WorkerMetrics("acme", "research")
    any_post = cast("Any", post)
    desk = Desk(
        link=cast("Any", SimpleNamespace(jetstream=post, client=post)),
        settings=SETTINGS,
        agent=agent,
        metrics=metrics,
        models=PoolModels(SETTINGS, any_post, metrics),
        results=any_post,
        checkpoints=any_post,
        hand_backs=any_post,
        dead=any_post,
        usage=UsageReports(any_post, SETTINGS, metrics),
    )
    return Delivery(desk, any_post, most_deliveries=0)


def test_a_result_is_stored_before_its_message_is_acknowledged() -> None:
    async def history() -> list[str]:
        post = Post(refusals=3)
        await delivery(post, _done).handle()
        return post.noted

    assert run(history()) == ["refused", "refused", "refused", "kept", "acknowledged"]


def test_a_message_whose_result_is_not_stored_stays_unacknowledged() -> None:
    async def history() -> list[str]:
        post = Post(refusals=10**9)
        handling = asyncio.create_task(delivery(post, _done).handle())
        await asyncio.sleep(3600)
        assert not handling.done()
        assert set(post.noted) == {"refused"}
        handling.cancel()
        return post.noted

    assert run(history())


def test_a_try_that_is_cut_reports_what_it_used() -> None:
    async def endless(_: Task, session: Session) -> None:
        session.used(UsedTokens(input=70), model="small")
        await asyncio.Event().wait()

    async def history() -> Post:
        post = Post()
        post.headers = {"Agentdash-Task": '{"timeout_s": 5}'}
        await delivery(post, endless).handle()
        return post

    post = run(history())
    assert post.noted == ["not acknowledged"]
    assert [(each.model, each.usage.input) for each in post.events] == [("small", 70)]


async def _done(_: Task, __: Session) -> str:
    return "done"
