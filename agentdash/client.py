"""Gives pools tasks and follows them, from a web service or a script; the verbs use it, too.

    async with connect("fleet.yaml") as client:
        task = await client.submit("acme/research", {"goal": "sum up the quarter"})
        async for event in task.events():
            print(event.data)
        print(await task.result())

`connect_blocking` is the same for code that awaits nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg

from agentdash.task_lists import RESULT_TTL_S, TaskLists
from agentdash.task_streams import Looked, look_for, message_at
from agentdash.worker.attempts import PoolTasks, Receipt
from agentdash.worker.session import (
    ID_RULE,
    RESULTS_BUCKET,
    Event,
    Priority,
    TaskResult,
    TaskStatus,
    TaskTerms,
    UnreadableTaskError,
    converted,
    digest_of,
    is_task_id,
    plain,
    read_payload,
    result_key,
)
from agentdash.worker.stores import (
    EVENTS_STREAM,
    Results,
    ensure_worker_streams,
    events_subject,
    messages,
    set_within,
)
from controller.attach import connected
from controller.config import load
from controller.engine.supervise import SystemClock
from controller.model.ids import PoolKey, QueueName
from controller.model.intents import Scope
from controller.model.settings import NatsSettings, Settings
from controller.model.tasks import TaskPage, TaskQuestion, TaskState
from controller.model.text import clean, quote
from controller.model.value import UndecodableError, decoded
from controller.nats.jetstream import NatsDisconnectedError, NatsRefusedError, typed_errors
from controller.nats.session import NatsSession

__all__ = ["OtherPayloadError", "TaskNotDoneError", "connect", "connect_blocking"]
log = logging.getLogger(__name__)
T = TypeVar("T")
LOOK_S: Final = 5.0
"""How often a task is looked at, besides when it is told of: telling may get lost."""
_SOON_S: Final = (0.002, 0.01, 0.05, 0.2)
"""What is told of is stored a moment later."""
_EVENT: Final = msgspec.json.Decoder(Event)


class TaskNotDoneError(Exception):
    """The task ended, and not as done; `end` says how."""

    def __init__(self, end: TaskResult) -> None:
        super().__init__(f"{end.id} ended as {end.status}: {clean(end.error)}".rstrip(": "))
        self.end = end


class OtherPayloadError(Exception):
    """There is a task with this id and another payload: nothing was added."""


class TaskHandle(Generic[T]):
    """One task. `receipt` is where it was published, None if it was given before. All methods raise
    NatsError.
    """

    def __init__(self, client: TaskClient, pool: PoolKey, task: str, gives: Any = Any) -> None:
        self._client, self.pool, self.id, self._gives = client, pool, task, gives
        self._place = (*client.place(pool), task)
        self.receipt: Receipt | None = None

    async def ended(self) -> TaskResult | None:
        """How it has ended; None if it has not. Raises UnreadableStoreError."""
        with typed_errors():
            tenant, pool, task = self._place
            stored = await Results(self._client.session.jetstream(), tenant, pool).get(task)
        return None if stored is None else stored.result

    async def end(self, timeout_s: float | None = None) -> TaskResult:
        """How it ends, once it has. Raises TimeoutError after so many seconds."""
        async with asyncio.timeout(timeout_s), aclosing(self._looks()) as looks:
            async for _ in looks:
                with suppress(NatsDisconnectedError):  # the session connects again
                    if (end := await self.ended()) is not None:
                        return end
        raise AssertionError  # looks do not end

    async def result(self, timeout_s: float | None = None) -> T:
        """What its agent returns, once it has ended. Raises TaskNotDoneError, TimeoutError after so
        many seconds, and ValueError for a result of another type.
        """
        end = await self.end(timeout_s)
        if end.status is not TaskStatus.DONE:
            raise TaskNotDoneError(end)
        given: T = converted(end.result, self._gives)
        return given

    async def cancel(self, why: str = "") -> TaskResult:
        """End it as cancelled, unless it has ended; returns its end."""
        with typed_errors():
            stream = await self._client.stream(self.pool)
            return await self._client.tasks_of(stream, self.pool).cancel(self.id, why)

    async def events(self) -> AsyncGenerator[Event]:
        """What its agent emits, from the first that is kept, until the task has ended."""
        number, subject = 1, events_subject(*self._place)
        async with aclosing(self._looks(subject)) as looks:
            async for _ in looks:
                end, found = None, []
                with suppress(NatsDisconnectedError), typed_errors():
                    ended = await self.ended()  # before the events: none comes after it
                    stream = self._client.session.jetstream()
                    kept = messages(stream, EVENTS_STREAM, subject, number)
                    found, end = [each async for each in kept], ended
                for each in found:
                    number = (each.seq or number) + 1
                    try:
                        yield decoded(_EVENT, each.data or b"")
                    except UndecodableError as error:
                        log.warning(
                            "message %d of %s is no event: %s", number, EVENTS_STREAM, error
                        )
                if end is not None:
                    return

    async def looked_for(self) -> Looked:
        """Whether its pool has it: it has ended, waits or is worked on."""
        if await self.ended() is not None:
            return Looked(is_found=True)
        with typed_errors():
            stream = self._client.session.jetstream()
            looked = await look_for(stream, self._client.pools[self.pool], self.id)
        # the last look is for one that ended while its message was looked for
        return Looked(is_found=True) if await self.ended() is not None else looked

    async def _looks(self, *subjects: str) -> AsyncGenerator[None]:
        """Comes at once, when one of the subjects or the result is told of, and now and then."""
        told = asyncio.Event()
        result = f"$KV.{RESULTS_BUCKET}.{result_key(*self._place)}"
        session = self._client.session
        hearing = [
            asyncio.create_task(session.keep_listening(each, lambda _: told.set()))
            for each in (result, *subjects)
        ]
        try:
            soon = list(_SOON_S)
            while True:
                yield
                if await set_within(told, soon.pop(0) if soon else LOOK_S):
                    told.clear()
                    soon = list(_SOON_S)
        finally:
            for each in hearing:
                each.cancel()
            await asyncio.gather(*hearing, return_exceptions=True)


class TaskClient:
    """The tasks of some pools over one connection, which many may use at once."""

    def __init__(
        self, session: NatsSession, pools: Mapping[PoolKey, tuple[QueueName, ...]]
    ) -> None:
        """`pools` has each pool's queues, the highest priority first."""
        self.session, self.pools = session, pools
        self._prepared: set[str] = set()

    def task(self, pool: str, task: str, gives: type[T] | Any = Any) -> TaskHandle[T]:
        """A task that was given before. Raises ValueError for a pool or an id that cannot be."""
        if not is_task_id(task):
            raise ValueError(f"{quote(task)}: {ID_RULE}")
        return TaskHandle(self, self._known(pool), task, gives)

    async def submit(
        self,
        pool: str,
        payload: object,
        *,
        id: str = "",  # noqa: A002 - as the terms have it
        takes: Any = Any,
        gives: type[T] | Any = Any,
        priority: Priority | str = Priority.NORMAL,
        **terms: Any,
    ) -> TaskHandle[T]:
        """Give a pool a task: `payload` is any JSON value, or one of pydantic, msgspec or a
        dataclass; `takes` and `gives` are the types that its agent takes and gives. `terms` are
        those of TaskTerms: `deadline`, `timeout_s`, `max_steps`, `budget_usd`, `budget_tokens` and
        `workflow`.

        With an `id` it is given once: the same id again is the same task, while the stream
        remembers it or its result is kept. Nothing is published where this raises: ValueError and
        TypeError for a payload or terms that cannot be, OtherPayloadError, NatsError,
        StoreUnavailableError.
        """
        given = {"id": id or uuid.uuid4().hex, "priority": priority, **terms}
        if unknown := given.keys() - {each.name for each in msgspec.structs.fields(TaskTerms)}:
            raise ValueError(f"no terms of a task: {', '.join(sorted(unknown))}")
        wanted, body = converted(given, TaskTerms), plain(payload)
        converted(body, takes)
        handle = self.task(pool, wanted.id, gives)
        before = await handle.ended() if id else None
        if before is not None:
            _refuse_other(handle, before.digest, body)
            return handle
        with typed_errors():
            stream = await self.stream(handle.pool)
            receipt = await self.tasks_of(stream, handle.pool).submit(body, wanted)
            handle.receipt, first = receipt, None
            if not receipt.is_new:
                first = await message_at(stream, receipt.stream, receipt.sequence)
        _refuse_other(handle, _digest_in(first), body)
        return handle

    async def tasks(
        self,
        scope: str = "",
        states: Sequence[TaskState | str] = (*TaskState,),
        *,
        most: int = 100,
        search: str = "",
    ) -> TaskPage:
        """The tasks of all pools, a tenant or a pool: what runs; what waits, the oldest first; what
        is dead and what has ended, the newest first; `most` of each. With `search` only those of
        them whose id, status, worker or reason has this text. Raises TasksUnknownError.
        """
        tenant, _, pool = scope.partition("/")
        key = self._known(scope) if pool else None
        asked = TaskQuestion(
            pools={
                each: queues
                for each, queues in self.pools.items()
                if not tenant or key == each or (key is None and self.place(each)[0] == tenant)
            },
            scope=Scope(tenant=tenant or None, pool=key),
            states=tuple(map(TaskState, states)),
            most=most,
        )
        page, text = await TaskLists(self.session).page(asked), search.casefold()
        rows = (
            row
            for row in page.rows
            if any(text in each.casefold() for each in (row.id, row.status, row.pod, row.why))
        )
        return msgspec.structs.replace(page, rows=tuple(rows)) if text else page

    def place(self, pool: PoolKey) -> tuple[str, str]:
        """A pool's tenant and its name there."""
        tenant, _, name = pool.partition("/")
        return tenant, name

    async def stream(self, pool: PoolKey) -> JetStreamContext:
        """JetStream, with all that a tenant's tasks need, as far as our user may make it. Raises
        nats.errors.Error.
        """
        tenant, _ = self.place(pool)
        stream = self.session.jetstream()
        if tenant not in self._prepared:
            with suppress(NatsRefusedError):  # then a worker has made it
                await ensure_worker_streams(stream, tenant, result_ttl_s=RESULT_TTL_S)
            self._prepared.add(tenant)
        return stream

    def tasks_of(self, stream: JetStreamContext, pool: PoolKey) -> PoolTasks:
        """How tasks are given to a pool and cancelled."""
        return PoolTasks(stream, self.session.send, *self.place(pool), self.pools[pool])

    def _known(self, pool: str) -> PoolKey:
        if pool not in self.pools:
            raise ValueError(f"there is no pool {quote(pool)}: {', '.join(sorted(self.pools))}")
        return PoolKey(pool)


def _digest_in(message: RawStreamMsg | None) -> str:
    """That of its payload; empty where it is no longer kept."""
    try:
        return "" if message is None else digest_of(read_payload(message.data or b""))
    except UnreadableTaskError:
        return "unreadable"


def _refuse_other(handle: TaskHandle[Any], digest: str, body: Any) -> None:
    if digest not in {"", digest_of(body)}:
        raise OtherPayloadError(
            f"{handle.pool} has a task {handle.id} with another payload: nothing was added; give "
            "it under another id"
        )


@asynccontextmanager
async def connect(
    fleet: str | Path = "", *, nats: str = "", pools: Mapping[str, Sequence[str]] | None = None
) -> AsyncIterator[TaskClient]:
    """A client, by a fleet file, which names NATS and the queues; or by a server's URL and
    `pools={"acme/research": ["TASKS/acme-research"]}`, the queue of the highest priority first.

    It connects again by itself. Raises FatalError if NATS cannot be reached within 3 s,
    FleetFileError, and ValueError for what is no pool or queue.
    """
    if fleet:
        async with client_of(load(Path(fleet))) as client:
            yield client
        return
    if not (nats and pools and all("/" in each for each in pools)):
        raise ValueError("name a fleet file, or a server and pools: TENANT/POOL and its queues")
    known = {PoolKey(key): tuple(map(_queue, queues)) for key, queues in pools.items()}
    async with connected(NatsSettings(servers=(nats,)), SystemClock()) as session:
        yield TaskClient(session, known)


@asynccontextmanager
async def client_of(settings: Settings) -> AsyncIterator[TaskClient]:
    """A client for the pools of a fleet. Raises FatalError."""
    async with connected(settings.nats, SystemClock()) as session:
        yield TaskClient(session, {each.key: tuple(each.queues) for each in settings.fleet.pools})


def _queue(text: str) -> QueueName:
    stream, slash, consumer = text.partition("/")
    if not slash:
        raise ValueError(f"{quote(text)} is not STREAM/CONSUMER")
    return QueueName(stream, consumer)


class _Do(Protocol):
    """Awaits something on the event loop of the client."""

    def __call__(self, work: Awaitable[T], /) -> T: ...


class BlockingTask(Generic[T]):
    """A `TaskHandle` of which nothing is awaited."""

    def __init__(self, task: TaskHandle[T], do: _Do) -> None:
        self._task, self._do = task, do
        self.pool, self.id, self.receipt = task.pool, task.id, task.receipt

    def ended(self) -> TaskResult | None:
        """As TaskHandle.ended."""
        return self._do(self._task.ended())

    def end(self, timeout_s: float | None = None) -> TaskResult:
        """As TaskHandle.end."""
        return self._do(self._task.end(timeout_s))

    def result(self, timeout_s: float | None = None) -> T:
        """As TaskHandle.result."""
        return self._do(self._task.result(timeout_s))

    def cancel(self, why: str = "") -> TaskResult:
        """As TaskHandle.cancel."""
        return self._do(self._task.cancel(why))

    def events(self) -> Iterator[Event]:
        """As TaskHandle.events."""
        events = self._task.events()
        try:
            while (event := self._do(anext(events, None))) is not None:
                yield event
        finally:
            self._do(events.aclose())


class BlockingClient:
    """A `TaskClient` of which nothing is awaited; several threads may use it."""

    def __init__(self, client: TaskClient, do: _Do) -> None:
        self._client, self._do = client, do

    def task(self, pool: str, task: str, gives: type[T] | Any = Any) -> BlockingTask[T]:
        """As TaskClient.task."""
        return BlockingTask(self._client.task(pool, task, gives), self._do)

    def submit(self, pool: str, payload: object, **terms: Any) -> BlockingTask[Any]:
        """As TaskClient.submit."""
        return BlockingTask(self._do(self._client.submit(pool, payload, **terms)), self._do)

    def tasks(self, scope: str = "", **asked: Any) -> TaskPage:
        """As TaskClient.tasks."""
        return self._do(self._client.tasks(scope, **asked))


@contextmanager
def connect_blocking(fleet: str | Path = "", **where: Any) -> Iterator[BlockingClient]:
    """As `connect`; its event loop turns in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="agentdash client", daemon=True)

    def do(work: Awaitable[T], /) -> T:
        async def awaited() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(awaited(), loop).result()

    thread.start()
    opened = AsyncExitStack()
    try:
        yield BlockingClient(do(opened.enter_async_context(connect(fleet, **where))), do)
    finally:
        do(opened.aclose())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
