"""The workers of the pods of a test: agentdash's own, each ended when its pod is deleted."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from nats.aio.msg import Msg

from agentdash.worker import NatsLogin, QueueName, Session, Task, Worker, WorkerSettings
from agentdash.worker.stores import NatsLink
from controller.model.worker_messages import ORDERS_BUCKET, WORKERS_BUCKET

GRACE_S: Final = 0.05
NOTES_KEPT: Final = 50_000


class PodWorkers:
    """Workers of pool acme/research that all use one connection, and what became of them.

    `killed_busy` are those that were at a task when their pod was deleted. A message that a worker
    has got, but that its agent has not seen yet, is handed back by the worker, and nothing of it is
    lost.
    """

    def __init__(self, url: str, task_s: Callable[[], float]) -> None:
        """`task_s` gives how long the next task takes."""
        self._login = NatsLogin(servers=(url,))
        self._link = NatsLink(self._login)
        self._task_s = task_s
        self._notes: deque[tuple[float, str]] = deque(maxlen=NOTES_KEPT)
        self.ready: set[str] = set()
        """The pods whose workers run."""
        self.at_work: Counter[str] = Counter()
        self.begun: list[float] = []
        """When each task was begun, in seconds of time.monotonic."""
        self.ended = 0
        self.killed_busy: list[str] = []

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[PodWorkers]:
        """Connected to NATS while the block runs; notes what workers and controller say there."""
        await self._link.open()
        for bucket in (WORKERS_BUCKET, ORDERS_BUCKET):
            await self._link.client.subscribe(f"$KV.{bucket}.>", cb=self._overhear)
        try:
            yield self
        finally:
            await self._link.close()

    async def run(self, pod: str, stopping: asyncio.Event) -> None:
        """The worker in a pod, until the pod is deleted."""
        settings = WorkerSettings(
            tenant="acme",
            pool="research",
            queues=(QueueName("TASKS", "research"),),
            worker=pod,
            grace_s=GRACE_S,
            listen=None,
        )
        deleted = asyncio.Event()

        async def agent(_: Task, __: Session) -> None:
            self.begun.append(time.monotonic())
            self.at_work[pod] += 1
            try:
                await asyncio.sleep(self._task_s())
            finally:
                self.at_work[pod] -= 1

        async with asyncio.TaskGroup() as group:
            group.create_task(Worker(agent, settings, self._login).work(self._link, deleted))
            self.ready.add(pod)
            try:
                await stopping.wait()
            finally:
                self._end(pod)
                deleted.set()

    def note(self, text: str) -> None:
        """Keep a line for the story of a pod."""
        self._notes.append((time.time(), text))

    def story(self, pod: str) -> str:
        """What is known of a pod, line by line."""
        return "\n".join(f"{at:.3f} {text}" for at, text in self._notes if pod in text)

    def _end(self, pod: str) -> None:
        self.ready.discard(pod)
        self.ended += 1
        if self.at_work[pod]:
            self.killed_busy.append(pod)
            self.note(f"{pod} was deleted at work")

    async def _overhear(self, message: Msg) -> None:
        self.note(f"{message.subject} {message.data.decode()} {message.headers or ''}")
