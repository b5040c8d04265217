"""Giving tasks to a pool, reading how they ended, and cancelling them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from nats.js import JetStreamContext
from nats.js.api import Header
from nats.js.errors import NotFoundError

from agentdash.worker.errors import StoreUnavailableError
from agentdash.worker.results import TaskResult, TaskStatus
from agentdash.worker.stores import Results
from agentdash.worker.task import (
    TERMS_HEADER,
    Priority,
    TaskTerms,
    header_json,
)
from controller.model.ids import QueueName


class Receipt(NamedTuple):
    """Where a submitted task is. `is_new` is False if the stream had a message with its id."""

    id: str
    stream: str
    sequence: int
    is_new: bool


def cancel_subject(tenant: str, pool: str) -> str:
    """Where a pool's workers are told the id of a cancelled task."""
    return f"agentdash.cancel.{tenant}.{pool}"


class PoolTasks:
    """The tasks of one pool, for those who give it work. All methods raise nats.errors.Error."""

    def __init__(
        self,
        stream: JetStreamContext,
        tell: Callable[[str, bytes], Awaitable[None]],
        tenant: str,
        pool: str,
        queues: Sequence[QueueName],
    ) -> None:
        """`tell` publishes without waiting; `queues` are the pool's, the highest priority first."""
        self._stream = stream
        self._tell = tell
        self._tenant, self._pool = tenant, pool
        self._queues = tuple(queues)
        self.results = Results(self._stream, tenant, pool)

    async def submit(self, payload: Any, terms: TaskTerms) -> Receipt:
        """Publish a task. `payload` is any JSON value; `terms.id` must be set. Its id makes it
        unique within the stream's window for duplicates. Raises StoreUnavailableError if its queue
        has no single subject to publish to.
        """
        queue = self._queues[0 if terms.priority == Priority.HIGH else -1]
        subject = await self._subject_of(queue)
        headers = {TERMS_HEADER: header_json(terms), Header.MSG_ID.value: terms.id}
        body = msgspec.json.encode(payload)
        answer = await self._stream.publish(subject, body, stream=queue.stream, headers=headers)
        return Receipt(terms.id, answer.stream, answer.seq, not answer.duplicate)

    async def cancel(self, task: str, why: str) -> TaskResult:
        """End a task as `cancelled`, unless it has ended; returns its end. A worker that has begun
        it is told; no worker begins it any more.
        """
        ended = TaskResult(id=task, status=TaskStatus.CANCELLED, at=time.time(), error=why)
        first = await self.results.keep(ended)
        await self._tell(cancel_subject(self._tenant, self._pool), task.encode())
        return first

    async def _subject_of(self, queue: QueueName) -> str:
        name = f"consumer {queue.consumer} of stream {queue.stream}"
        try:
            info = await self._stream.consumer_info(queue.stream, queue.consumer)
        except NotFoundError:
            raise StoreUnavailableError(f"there is no {name}: create it first") from None
        subject = info.config.filter_subject or ""
        if not subject or "*" in subject or ">" in subject:
            raise StoreUnavailableError(
                f"{name} filters {subject or 'nothing'}, so a task has no single subject: publish "
                "to one of its subjects yourself"
            )
        return subject
