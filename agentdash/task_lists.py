"""The tasks of pools, read from what their streams keep and from what their workers answer.

No stream is read from end to end: of what waits the first messages behind the delivered ones are
read, of what has ended the newest values, of what is dead the newest letters. Many are asked for at
once, so that a page takes a few round trips.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from agentdash.worker.attempts import (
    DeadLetters,
    PoolTasks,
    TaskMessage,
    Try,
    publish_again,
    read_letter,
    tries_of,
)
from agentdash.worker.session import (
    RESULTS_BUCKET,
    TERMS_HEADER,
    StoreUnavailableError,
    TaskResult,
    TaskStatus,
    UnreadableStoreError,
    UnreadableTaskError,
    message_task,
    read_payload,
)
from agentdash.worker.stores import (
    DEAD_PREFIX,
    DEAD_STREAM,
    Checkpoints,
    ensure_worker_streams,
)
from controller.model.ids import PoolKey, QueueName, pool_key
from controller.model.tasks import (
    CANCEL_PREFIX,
    RUNNING_PREFIX,
    TaskInFull,
    TaskPage,
    TaskQuestion,
    TaskRow,
    TaskState,
)
from controller.model.text import clean, clean_name
from controller.model.value import UndecodableError, decoded
from controller.nats.jetstream import NatsError, typed_errors
from controller.nats.session import NatsSession
from controller.ports import TasksUnknownError

ANSWERS_S: Final = 0.2
"""How long workers may take to say what they work on."""
RESULT_TTL_S: Final = 86_400.0
"""How long results are kept, where a person is the first to make their bucket."""
_AT_ONCE: Final = 50
_MOST_LOOKS: Final = 1_000
"""So many of the newest messages are looked at in a stream that many pools share."""
_MOST_ANSWER_BYTES: Final = 1024 * 1024
_MOST_TEXT: Final = 4_000
_MOST_DIGITS: Final = 19
_RESULTS: Final = f"KV_{RESULTS_BUCKET}"
_ANSWER: Final = msgspec.json.Decoder(list[TaskRow])
_RESULT: Final = msgspec.json.Decoder(TaskResult)
_NO_WORKER: Final = "delivered, but no worker says that it has it: it comes again in time"
_FEW_RIGHTS: Final = "no answer; perhaps our NATS user may not read it"


class _Found(NamedTuple):
    """Some rows. `waiting` and `in_flight` count all that there are in a pool's queues."""

    rows: Sequence[TaskRow] = ()
    waiting: int = 0
    in_flight: int = 0


class TaskLists:
    """The `TaskDesk` port."""

    def __init__(self, session: NatsSession) -> None:
        self._session = session

    async def page(self, asked: TaskQuestion) -> TaskPage:
        """What runs; what waits, by pool and priority, the oldest first; what has ended and what is
        dead, the newest first. Raises TasksUnknownError where there is no connection.
        """
        with _in_words():
            stream = self._session.jetstream()
            of_queues = {TaskState.RUNNING, TaskState.WAITING} & {*asked.states}
            pools = asked.pools if of_queues else {}
            told = await self._told(pools)
        scope = asked.scope.pool or asked.scope.tenant
        subject = f"{_subject(scope)}.>" if scope else ">"
        reading: dict[str, Awaitable[_Found]] = {
            f"the queues of {key}": _open(stream, key, queues, told[key], asked.most)
            for key, queues in pools.items()
        }
        if asked.states != (TaskState.DEAD,):
            # a cancelled task has ended, and its message still waits
            reading["what has ended"] = _ended(stream, subject, asked.most)
        if TaskState.DEAD in asked.states:
            reading["what is dead"] = _dead(stream, subject, asked.most)
        answers = await asyncio.gather(*map(_or_why, reading.values()))
        found = [each for each in answers if isinstance(each, _Found)]
        rows = {row.key: row for each in found for row in each.rows}
        return TaskPage(
            rows=tuple(row for row in rows.values() if row.state in asked.states),
            waiting=sum(each.waiting for each in found),
            in_flight=sum(each.in_flight for each in found),
            has_more=any(len(each.rows) >= asked.most for each in found),
            problems=tuple(
                f"{what} cannot be read: {answer}"
                for what, answer in zip(reading, answers, strict=True)
                if isinstance(answer, str)
            ),
        )

    async def _told(self, pools: Iterable[PoolKey]) -> Mapping[PoolKey, list[TaskRow]]:
        """What the workers of these pools say that they work on. Raises NatsError."""
        told: defaultdict[PoolKey, list[TaskRow]] = defaultdict(list)
        keys = {f"{RUNNING_PREFIX}.{_subject(each)}": each for each in pools}

        def hear(message: Msg | None) -> None:
            key = None if message is None else keys.get(message.subject)
            if message is not None and key is not None:
                told[key] += _running(key, message.data)

        if keys:
            listening = await self._session.subscribe(f"{RUNNING_PREFIX}.>", hear)
            try:
                for each in keys.values():
                    await self._session.send(f"{CANCEL_PREFIX}.{_subject(each)}", b"")
                await asyncio.sleep(ANSWERS_S)
            finally:
                await listening.end()
        return told

    async def look(self, row: TaskRow) -> TaskInFull:
        """All that is kept of a task. Raises TasksUnknownError."""
        with _in_words():
            stream = self._session.jetstream()
            tenant, _, name = row.pool.partition("/")
            payload = terms = result = ""
            if row.state is TaskState.ENDED:
                stored = await PoolTasks(stream, self._session.send, tenant, name, ()).results.get(
                    row.id
                )
                if stored is not None and stored.result.status is TaskStatus.DONE:
                    result = _text(stored.result.result)
            message = await _message(stream, row.stream, row.number) if row.stream else None
            if message is not None:
                terms, payload = (message.headers or {}).get(TERMS_HEADER, ""), _payload(message)
            tried = await _tried(stream, (tenant, name), row, message)
            checkpoint = await _checkpoint(stream, (tenant, name), row.id)
        return TaskInFull(
            row=row,
            payload=clean(payload, _MOST_TEXT),
            terms=clean(terms, _MOST_TEXT),
            result=clean(result, _MOST_TEXT),
            tried=tried,
            checkpoint=clean(checkpoint, _MOST_TEXT),
        )

    async def cancel(self, row: TaskRow, why: str) -> str:
        """End it as cancelled; returns what became of it. Raises TasksUnknownError."""
        tenant, _, name = row.pool.partition("/")
        with _in_words():
            stream = self._session.jetstream()
            await ensure_worker_streams(stream, tenant, result_ttl_s=RESULT_TTL_S)
            tasks = PoolTasks(stream, self._session.send, tenant, name, ())
            result = await tasks.cancel(row.id, clean(why))
        if result.status is TaskStatus.CANCELLED:
            return f"{row.id} is cancelled"
        return f"{row.id} had ended before, as {result.status}: nothing was changed"

    async def retry(self, row: TaskRow) -> str:
        """Give it to its queue again; returns what became of it. Raises TasksUnknownError, and
        nothing is done, where its message is no longer kept.
        """
        tenant, _, name = row.pool.partition("/")
        with _in_words():
            stream = self._session.jetstream()
            results = PoolTasks(stream, self._session.send, tenant, name, ()).results
            if row.state is TaskState.DEAD:
                letters = DeadLetters(stream, tenant, name)
                letter = await letters.get(row.id)
                if letter is None:
                    raise TasksUnknownError(f"{row.id} is no dead letter any more")
                if not await letters.retry(letter, results):
                    return f"{row.id} has another result by now: nothing was changed"
                return f"{row.id} is published to {letter.note.subject} again"
            message = await _message(stream, row.stream, row.number) if row.stream else None
            stored = await results.get(row.id)
            if message is None or stored is None:
                raise TasksUnknownError(
                    f"the message of {row.id} is no longer kept: submit it again under another id"
                )
            kept = TaskMessage(
                message.subject or "", message.data or b"", message.headers, row.stream, row.number
            )
            if not await results.forget(stored):
                return f"{row.id} has another result by now: nothing was changed"
            await publish_again(stream, kept, kept.task()[1])
            return f"{row.id} is published to {kept.subject} again"


def _subject(scope: str) -> str:
    """A tenant or a pool as a part of subjects."""
    return scope.replace("/", ".", 1)


# -- what runs and waits ----------------------------------------------------------------------


def _running(key: PoolKey, answer: bytes) -> list[TaskRow]:
    """What one worker says; nothing where that cannot be read."""
    try:
        said = decoded(_ANSWER, answer, most_bytes=_MOST_ANSWER_BYTES)
    except UndecodableError:
        return []
    texts = ("id", "priority", "pod", "stream")
    return [
        msgspec.structs.replace(
            each,
            pool=key,
            state=TaskState.RUNNING,
            why="",
            **{name: clean_name(getattr(each, name)) for name in texts},
        )
        for each in said
    ]


async def _open(
    stream: JetStreamContext,
    pool: PoolKey,
    queues: Sequence[QueueName],
    told: Sequence[TaskRow],
    most: int,
) -> _Found:
    """What of a pool has not ended, its first queue first. Raises nats.errors.Error."""
    rows, waiting, in_flight = list(told), 0, 0
    known = {(each.stream, each.number) for each in told}
    for place, queue in enumerate(queues):
        info = await stream.consumer_info(queue.stream, queue.consumer)
        filters = info.config.filter_subjects or [info.config.filter_subject or ">"]
        priority = "high" if place == 0 and len(queues) > 1 else "normal"
        waiting += info.num_pending or 0
        in_flight += info.num_ack_pending or 0
        delivered = 0 if info.delivered is None else info.delivered.stream_seq
        floor = 0 if info.ack_floor is None else info.ack_floor.stream_seq
        silent = (info.num_ack_pending or 0) - sum(name == queue.stream for name, _ in known)
        if silent > 0:
            before = await _next(stream, queue, filters, floor, min(silent + len(known), most))
            for each in before:
                number = each.seq or 0
                if floor < number <= delivered and (queue.stream, number) not in known:
                    row = _waiting(pool, queue, each, priority)
                    rows.append(msgspec.structs.replace(row, why=_NO_WORKER))
        if info.num_pending:
            most_of_it = min(info.num_pending, most)
            found = await _next(stream, queue, filters, delivered, most_of_it)
            rows += [_waiting(pool, queue, each, priority) for each in found]
    return _Found(rows, waiting, in_flight)


def _waiting(pool: PoolKey, queue: QueueName, message: RawStreamMsg, priority: str) -> TaskRow:
    number = message.seq or 0
    task, terms = message_task(message.headers, queue.stream, number)
    return TaskRow(
        pool=pool,
        id=task,
        state=TaskState.WAITING,
        at=0.0 if message.time is None else message.time.timestamp(),
        priority=priority,
        tries=terms.tries,
        stream=queue.stream,
        number=number,
    )


async def _next(
    stream: JetStreamContext, queue: QueueName, filters: Sequence[str], after: int, most: int
) -> list[RawStreamMsg]:
    """The first messages after this one, at most so many. Numbers side by side are asked for at
    once; a gap is passed by asking for the next one. Raises nats.errors.Error.
    """
    found: list[RawStreamMsg] = []
    while len(found) < most:
        numbers = range(after + 1, after + 1 + min(_AT_ONCE, most - len(found)))
        beside = await asyncio.gather(*(_message(stream, queue.stream, each) for each in numbers))
        seen = [each for each in beside if each is not None]
        found += [each for each in seen if _is_in(each.subject or "", filters)]
        after = numbers[-1]
        if len(seen) < len(numbers) and len(found) < most:
            try:
                subject = filters[0] if len(filters) == 1 else ">"
                jump = await stream.get_msg(queue.stream, after + 1, subject=subject, next=True)
            except NotFoundError:
                break
            after = (jump.seq or 0) - 1
    return found


def _is_in(subject: str, filters: Sequence[str]) -> bool:
    """Whether one of a consumer's filters takes this subject."""
    return any(_takes(each.split("."), subject.split(".")) for each in filters)


def _takes(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    if pattern[-1] == ">":
        pattern, parts = pattern[:-1], parts[: len(pattern) - 1]
    return len(pattern) == len(parts) and all(
        one in {"*", other} for one, other in zip(pattern, parts, strict=True)
    )


# -- what has ended ---------------------------------------------------------------------------


async def _ended(stream: JetStreamContext, scope: str, most: int) -> _Found:
    """The newest results. Raises nats.errors.Error."""
    prefix = f"$KV.{RESULTS_BUCKET}"

    def read(message: RawStreamMsg) -> TaskRow | None:
        key = (message.subject or "").removeprefix(f"{prefix}.").split(".", 2)
        try:
            tenant, name, task = key
            result = decoded(_RESULT, message.data or b"")
        except ValueError:
            return None  # a mark of deletion, or no result
        place, _, number = result.run.rpartition(".")[0].rpartition(".")
        return TaskRow(
            pool=pool_key(clean_name(tenant), clean_name(name)),
            id=clean_name(task),
            state=TaskState.ENDED,
            at=result.at,
            status=result.status.value,
            tries=result.attempts,
            tokens=result.tokens,
            usd=result.usd,
            seconds=result.seconds,
            pod=clean_name(result.worker),
            why=clean(result.error or _text(result.result)),
            stream=clean_name(place.partition(".")[0]),
            number=int(number) if number.isdecimal() and len(number) <= _MOST_DIGITS else 0,
        )

    rows = await _newest(stream, _RESULTS, f"{prefix}.{scope}", read, most)
    return _Found([each for each in rows if each.status != TaskStatus.DEAD])


async def _dead(stream: JetStreamContext, scope: str, most: int) -> _Found:
    """The newest dead letters. Raises nats.errors.Error."""

    def read(message: RawStreamMsg) -> TaskRow | None:
        subject = (message.subject or "").removeprefix(f"{DEAD_PREFIX}.")
        try:
            tenant, name = subject.split(".")[:2]
            letter = read_letter(message)
        except (ValueError, StoreUnavailableError):
            return None
        return TaskRow(
            pool=pool_key(clean_name(tenant), clean_name(name)),
            id=letter.note.id,
            state=TaskState.DEAD,
            at=letter.note.at,
            tries=letter.note.attempts,
            pod=clean_name(letter.note.worker),
            why=clean(letter.note.reason),
            stream=DEAD_STREAM,
            number=letter.number,
        )

    return _Found(await _newest(stream, DEAD_STREAM, f"{DEAD_PREFIX}.{scope}", read, most))


async def _newest(
    stream: JetStreamContext,
    name: str,
    subject: str,
    read: Callable[[RawStreamMsg], TaskRow | None],
    most: int,
) -> list[TaskRow]:
    """The newest messages with this subject, from the last one back. Raises nats.errors.Error."""
    try:
        last = (await stream.get_last_msg(name, subject)).seq or 0
    except NotFoundError:
        return []
    rows: list[TaskRow] = []
    end = max(last - _MOST_LOOKS, 0)
    while last > end and len(rows) < most:
        numbers = range(last, max(last - _AT_ONCE, end), -1)
        beside = await asyncio.gather(*(_message(stream, name, each) for each in numbers))
        mine = (each for each in beside if each and _is_in(each.subject or "", (subject,)))
        rows += [row for row in map(read, mine) if row is not None]
        last = numbers[-1] - 1
    return rows[:most]


# -- one of them ------------------------------------------------------------------------------


async def _message(stream: JetStreamContext, name: str, number: int) -> RawStreamMsg | None:
    """A message of a stream; None if it is not kept. Raises nats.errors.Error."""
    try:
        return await stream.get_msg(name, number)
    except NotFoundError:
        return None


def _payload(message: RawStreamMsg) -> str:
    try:
        return _text(read_payload(message.data or b""))
    except UnreadableTaskError as error:
        return str(error)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


async def _tried(
    stream: JetStreamContext, place: tuple[str, str], row: TaskRow, message: RawStreamMsg | None
) -> tuple[str, ...]:
    """Its tries, the last of them a line each. Raises nats.errors.Error."""
    letter = read_letter(message) if row.state is TaskState.DEAD and message else None
    number = row.number if letter is None else letter.note.sequence
    try:
        found = await tries_of(stream, *place, row.id, number)
    except UnreadableStoreError as error:
        return (clean(error),)
    first = found.begun - len(found.each) + 1
    lines = [f"{first + at}. {_try_words(each)}" for at, each in enumerate(found.each)]
    if found.each and first > 1:
        lines.insert(0, f"{'try 1 is' if first == 2 else f'tries 1 to {first - 1} are'} not noted")
    if letter is not None:
        note = letter.note
        if found.each and found.each[-1].seconds is None:
            lines.pop()  # it began, and ended so
        lines.append(f"{note.attempts}. ended {_clock(note.at)} on {note.worker}: {note.reason}")
    if not lines and not found.begun and row.state is TaskState.WAITING and not row.why:
        return ("it was not tried yet",)
    return tuple(clean(line) for line in lines)


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%SZ")


def _try_words(one: Try) -> str:
    """`12:04:31Z on worker-7, 12.5 s: TimeoutError`."""
    if one.seconds is None:
        return f"{_clock(one.at)} on {one.worker}"
    return f"{_clock(one.at)} on {one.worker}, {one.seconds:.1f} s: {one.why}"


async def _checkpoint(stream: JetStreamContext, place: tuple[str, str], task: str) -> str:
    """Its last checkpoint; empty where there is none, or our user may not read it."""
    try:
        stored = await Checkpoints(stream, *place).load(task)
    except StoreUnavailableError as error:
        return str(error)
    return "" if stored is None else f"number {stored.revision}: {_text(stored.state)}"


async def _or_why(reading: Awaitable[_Found]) -> _Found | str:
    """What is read, or why it cannot be."""
    try:
        with _in_words():
            return await reading
    except TasksUnknownError as error:
        return str(error)


@contextmanager
def _in_words() -> Iterator[None]:
    """Every failure of the server or a store becomes a TasksUnknownError."""
    try:
        with typed_errors():
            yield
    except (NatsError, StoreUnavailableError) as error:
        raise TasksUnknownError(str(error) or _FEW_RIGHTS) from error
