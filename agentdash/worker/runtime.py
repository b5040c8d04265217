"""One worker: `slots` tasks at once from a pull consumer, each acknowledged when it is done."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import Header
from nats.js.errors import APIError, NoStreamResponseError

from controller.model.usage_event import UsageEvent, UsedTokens, usage_subject

log = logging.getLogger(__name__)

PULL_WAIT_S: Final = 1.0
"""Short, because a worker that is told to stop waits for its last pull."""
RETRY_S: Final = 1.0
HEARTBEATS_PER_ACK_WAIT: Final = 3


@dataclass(frozen=True, kw_only=True)
class Task:
    """One message to work on. `waited_s` is from its publication to its delivery."""

    data: bytes
    sequence: int
    deliveries: int
    waited_s: float


Agent = Callable[[Task], Awaitable[UsedTokens]]


class Worker:
    """Pulls tasks and gives them to an agent until it is told to stop.

    While the agent works, JetStream is told so, and does not deliver the task again. When the agent
    returns, its usage is stored (or the server refuses it), and then the task is acknowledged. When
    the agent raises, the task is handed back at once. A worker that is told to stop takes no new
    task and finishes those it has; one that is cancelled hands them back.
    """

    def __init__(
        self,
        *,
        stream: JetStreamContext,
        stream_name: str,
        consumer: str,
        agent: Agent,
        tenant: str,
        role: str,
        model: str = "",
        slots: int = 1,
        ack_wait_s: float = 30.0,
        reports_usage: bool = True,
        on_done: Callable[[Task, UsedTokens], None] | None = None,
    ) -> None:
        """`tenant` and `role` are those of the pool in the fleet file. With `reports_usage` each
        task's tokens are published for the tenant's budget (see agentdash/worker/usage.py).
        """
        self._stream = stream
        self._stream_name = stream_name
        self._consumer = consumer
        self._agent = agent
        self._tenant = tenant
        self._role = role
        self._model = model
        self._slots = slots
        self._heartbeat_s = ack_wait_s / HEARTBEATS_PER_ACK_WAIT
        self._reports_usage = reports_usage
        self._on_done = on_done

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set and the tasks that were taken are done."""
        free = asyncio.Semaphore(self._slots)
        subscription = await self._stream.pull_subscribe_bind(self._consumer, self._stream_name)
        try:
            async with asyncio.TaskGroup() as tasks:
                while not stopping.is_set():
                    await free.acquire()
                    message = await self._pull(subscription, stopping)
                    if message is None:
                        free.release()
                        continue
                    task = tasks.create_task(self._work(message))
                    task.add_done_callback(lambda _: free.release())
        finally:
            await subscription.unsubscribe()

    async def _pull(
        self, subscription: JetStreamContext.PullSubscription, stopping: asyncio.Event
    ) -> Msg | None:
        """One message to work on; None if none came in time, and when told to stop.

        A pull is never abandoned, because the server may already have delivered to it.
        """
        try:
            message = (await subscription.fetch(1, timeout=PULL_WAIT_S))[0]
        except nats.errors.TimeoutError:
            return None
        except (nats.errors.Error, APIError) as error:
            log.warning("pulling failed; trying again", extra={"error": str(error)})
            await _wait(stopping, RETRY_S)
            return None
        if stopping.is_set():
            await message.nak()
            return None
        return message

    async def _work(self, message: Msg) -> None:
        metadata = message.metadata
        task = Task(
            data=message.data,
            sequence=metadata.sequence.stream,
            deliveries=metadata.num_delivered or 1,
            waited_s=max(0.0, time.time() - metadata.timestamp.timestamp()),
        )
        alive = asyncio.create_task(self._keep_alive(message))
        began = time.monotonic()
        try:
            used = await self._agent(task)
            await self._report(task, used, time.monotonic() - began)
            await message.ack()
        except asyncio.CancelledError:
            await message.nak()
            raise
        except nats.errors.Error as error:
            # not acknowledged, so JetStream delivers it again
            log.warning("a task could not be acknowledged", extra={"error": str(error)})
            return
        except Exception:
            log.exception("the agent failed; the task is handed back")
            await message.nak(delay=RETRY_S)
            return
        finally:
            alive.cancel()
        if self._on_done is not None:
            self._on_done(task, used)

    async def _report(self, task: Task, used: UsedTokens, seconds: float) -> None:
        if not self._reports_usage:
            return
        event = UsageEvent(
            tenant=self._tenant,
            role=self._role,
            model=self._model,
            usage=used,
            seconds=seconds,
        )
        # one number for each delivery: work that is done twice uses its tokens twice
        number = f"{self._stream_name}.{self._consumer}.{task.sequence}.{task.deliveries}"
        try:
            await self._stream.publish(
                usage_subject(self._tenant, self._role),
                msgspec.json.encode(event),
                headers={Header.MSG_ID.value: number},
            )
        except (NoStreamResponseError, APIError) as error:
            # no stream, or one that takes no more: doing the work again would not help
            log.warning("the tokens of a task were not counted", extra={"error": str(error)})

    async def _keep_alive(self, message: Msg) -> None:
        """Tell JetStream often enough that the work goes on: then it does not deliver it again."""
        while True:
            await asyncio.sleep(self._heartbeat_s)
            await message.in_progress()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
