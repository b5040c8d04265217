"""The tasks of pools, read from what their streams keep and from what their workers answer.

No stream is read from end to end: of what waits the first messages behind the delivered ones are
read, of what has ended the newest values, of what is dead the newest letters. Many are asked for at
once, so that a page takes a few round trips.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo, RawStreamMsg

from agentdash.task_streams import (
    MOST_DIGITS,
    filters_of,
    message_at,
    newest_rows,
    next_messages,
    tries_of,
)
from agentdash.tui import figures
from agentdash.worker.attempts import (
    MOST_KEPT,
    DeadLetters,
    PoolTasks,
    TaskMessage,
    Tried,
    Try,
    publish_again,
    read_letter,
)
from agentdash.worker.session import (
    MESSAGE_ID_HEADER,
    RESULTS_BUCKET,
    TERMS_HEADER,
    StoreUnavailableError,
    TaskResult,
    TaskStatus,
    UnreadableTaskError,
    message_task,
    read_payload,
)
from agentdash.worker.stores import (
    DEAD_PREFIX,
    DEAD_STREAM,
    Checkpoints,
    Results,
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
_MOST_ANSWER_BYTES: Final = 1024 * 1024
_MOST_TEXT: Final = 4_000
_RESULTS: Final = f"KV_{RESULTS_BUCKET}"
_ANSWER: Final = msgspec.json.Decoder(list[TaskRow])
_RESULT: Final = msgspec.json.Decoder(TaskResult)
_NO_WORKER: Final = "delivered, but no worker says that it has it: it comes again in time"
_FEW_RIGHTS: Final = "no answer; perhaps our NATS user may not read it"


T = TypeVar("T")
_Queues: TypeAlias = Sequence[tuple[QueueName, ConsumerInfo]] | str
"""The queues of a pool and their state; a text says why it cannot be read."""


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
            told, queues_of = await self._told(stream, pools)
        scope = asked.scope.pool or asked.scope.tenant
        subject = f"{_subject(scope)}.>" if scope else ">"
        reading: dict[str, Awaitable[TaskPage]] = {
            f"the queues of {key}": _open(stream, key, queues, told[key], asked.most)
            for key, queues in queues_of.items()
        }
        if asked.states != (TaskState.DEAD,):
            # a cancelled task has ended, and its message still waits
            reading["what has ended"] = _ended(stream, subject, asked.most)
        if TaskState.DEAD in asked.states:
            reading["what is dead"] = _dead(stream, subject, asked.most)
        answers = await asyncio.gather(*map(_or_why, reading.values()))
        found = [each for each in answers if isinstance(each, TaskPage)]
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

    async def _told(
        self, stream: JetStreamContext, pools: Mapping[PoolKey, Sequence[QueueName]]
    ) -> tuple[Mapping[PoolKey, list[TaskRow]], Mapping[PoolKey, _Queues]]:
        """What the workers of these pools say that they work on, and the state of their queues,
        which says how much there is to be told: with all of it, no answer is waited for any longer.
        Raises NatsError.
        """
        told: defaultdict[PoolKey, list[TaskRow]] = defaultdict(list)
        found: dict[PoolKey, _Queues] = {}
        keys = {f"{RUNNING_PREFIX}.{_subject(each)}": each for each in pools}
        is_told = asyncio.Event()

        def hear(message: Msg | None) -> None:
            key = None if message is None else keys.get(message.subject)
            if message is not None and key is not None:
                told[key] += _running(key, message.data)
            if found and all(len(told[each]) >= _delivered(found[each]) for each in pools):
                is_told.set()

        if keys:
            listening = await self._session.subscribe(f"{RUNNING_PREFIX}.>", hear)
            try:
                for each in keys.values():
                    await self._session.send(f"{CANCEL_PREFIX}.{_subject(each)}", b"")
                read = await asyncio.gather(*(_queues(stream, each) for each in pools.values()))
                found |= zip(pools, read, strict=True)
                hear(None)
                with suppress(TimeoutError):
                    await asyncio.wait_for(is_told.wait(), ANSWERS_S)
            finally:
                await listening.end()
        return told, found

    async def look(self, row: TaskRow) -> TaskInFull:
        """All that is kept of a task; one may have ended since. Raises TasksUnknownError."""
        with _in_words():
            stream, tenant, name = self._session.jetstream(), *_names(row)
            payload = terms = result = ""
            stored = await Results(stream, tenant, name).get(row.id)
            if stored is not None and row.state is not TaskState.DEAD:
                payload = stored.result.asked
                if stored.result.status is TaskStatus.DONE:
                    result = _text(stored.result.result)
                ended = _ended_row(row.pool, row.id, stored.result)
                row = (
                    ended if ended.number else replace(ended, stream=row.stream, number=row.number)
                )
            notes = await tries_of(stream, tenant, name, row.id)
            message = await _kept_message(stream, row, notes)
            if message is not None:
                terms, payload = (message.headers or {}).get(TERMS_HEADER, ""), _payload(message)
            checkpoint = await _checkpoint(stream, (tenant, name), row.id)
        return TaskInFull(
            row=row,
            payload=clean(payload, _MOST_TEXT),
            terms=clean(terms, _MOST_TEXT),
            result=clean(result, _MOST_TEXT),
            tried=_tried(row, notes),
            checkpoint=clean(checkpoint, _MOST_TEXT),
        )

    async def cancel(self, row: TaskRow, why: str) -> str:
        """End it as cancelled; returns what became of it. Raises TasksUnknownError."""
        tenant, name = _names(row)
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
        tenant, name = _names(row)
        with _in_words():
            stream = self._session.jetstream()
            results = Results(stream, tenant, name)
            if row.state is TaskState.DEAD:
                letters = DeadLetters(stream, tenant, name)
                letter = await letters.get(row.id)
                if letter is None:
                    raise TasksUnknownError(f"{row.id} is no dead letter any more")
                if not await letters.retry(letter, results):
                    return f"{row.id} has another result by now: nothing was changed"
                return f"{row.id} is published to {letter.note.subject} again"
            kept = await _kept_message(stream, row, await tries_of(stream, tenant, name, row.id))
            stored = await results.get(row.id)
            if kept is None or stored is None:
                raise TasksUnknownError(
                    f"the message of {row.id} is no longer kept (those above {MOST_KEPT // 1024} "
                    "KiB are not): give its payload again under another id, agentdash submit "
                    f"{row.pool} --payload - < FILE"
                )
            if not await results.forget(stored):
                return f"{row.id} has another result by now: nothing was changed"
            await publish_again(stream, kept, kept.task()[1])
            return f"{row.id} is published to {kept.subject} again"


def _names(row: TaskRow) -> tuple[str, str]:
    """The tenant and the name of its pool."""
    tenant, _, name = row.pool.partition("/")
    return tenant, name


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
        replace(
            each,
            pool=key,
            state=TaskState.RUNNING,
            why="",
            **{name: clean_name(getattr(each, name)) for name in texts},
        )
        for each in said
    ]


async def _queues(stream: JetStreamContext, names: Sequence[QueueName]) -> _Queues:
    """The state of a pool's queues, or why it cannot be read."""
    infos = await _or_why(
        asyncio.gather(*(stream.consumer_info(each.stream, each.consumer) for each in names))
    )
    return infos if isinstance(infos, str) else tuple(zip(names, infos, strict=True))


def _delivered(queues: _Queues) -> int:
    """How many of a pool's messages are with workers; none where that cannot be read."""
    return 0 if isinstance(queues, str) else sum(info.num_ack_pending or 0 for _, info in queues)


async def _open(
    stream: JetStreamContext,
    pool: PoolKey,
    queues: _Queues,
    told: Sequence[TaskRow],
    most: int,
) -> TaskPage:
    """What of a pool has not ended, its first queue first. Raises nats.errors.Error, and
    TasksUnknownError where its queues could not be read.
    """
    if isinstance(queues, str):
        raise TasksUnknownError(queues)
    rows, waiting, in_flight = list(told), 0, 0
    known = {(each.stream, each.number) for each in told}
    for place, (queue, info) in enumerate(queues):
        filters = filters_of(info)
        priority = "high" if place == 0 and len(queues) > 1 else "normal"
        waiting += info.num_pending or 0
        in_flight += info.num_ack_pending or 0
        delivered = 0 if info.delivered is None else info.delivered.stream_seq
        floor = 0 if info.ack_floor is None else info.ack_floor.stream_seq
        silent = (info.num_ack_pending or 0) - sum(name == queue.stream for name, _ in known)
        if silent > 0:
            before = await next_messages(
                stream, queue, filters, floor, min(silent + len(known), most)
            )
            for each in before:
                number = each.seq or 0
                if floor < number <= delivered and (queue.stream, number) not in known:
                    row = _waiting(pool, queue, each, priority)
                    rows.append(replace(row, why=_NO_WORKER))
        if info.num_pending:
            most_of_it = min(info.num_pending, most)
            found = await next_messages(stream, queue, filters, delivered, most_of_it)
            rows += [_waiting(pool, queue, each, priority) for each in found]
    return TaskPage(rows=tuple(rows), waiting=waiting, in_flight=in_flight)


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


# -- what has ended ---------------------------------------------------------------------------


async def _ended(stream: JetStreamContext, scope: str, most: int) -> TaskPage:
    """The newest results. Raises nats.errors.Error."""
    prefix = f"$KV.{RESULTS_BUCKET}"

    def read(message: RawStreamMsg) -> TaskRow | None:
        key = (message.subject or "").removeprefix(f"{prefix}.").split(".", 2)
        try:
            tenant, name, task = key
            result = decoded(_RESULT, message.data or b"")
        except ValueError:
            return None  # a mark of deletion, or no result
        return _ended_row(pool_key(clean_name(tenant), clean_name(name)), clean_name(task), result)

    rows = await newest_rows(stream, _RESULTS, f"{prefix}.{scope}", read, most)
    return TaskPage(rows=tuple(each for each in rows if each.state is TaskState.ENDED))


def _ended_row(pool: PoolKey, task: str, result: TaskResult) -> TaskRow:
    place, _, number = result.run.rpartition(".")[0].rpartition(".")
    is_dead = result.status is TaskStatus.DEAD
    return TaskRow(
        pool=pool,
        id=task,
        state=TaskState.DEAD if is_dead else TaskState.ENDED,
        at=result.at,
        status="" if is_dead else result.status.value,
        tries=result.attempts,
        tokens=result.tokens if result.run else None,
        usd=result.usd if result.run else None,
        seconds=result.seconds if result.run else None,
        pod=clean_name(result.worker),
        why=clean(result.error or _text(result.result)),
        stream=clean_name(place.partition(".")[0]),
        number=int(number) if number.isdecimal() and len(number) <= MOST_DIGITS else 0,
    )


async def _dead(stream: JetStreamContext, scope: str, most: int) -> TaskPage:
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

    rows = await newest_rows(stream, DEAD_STREAM, f"{DEAD_PREFIX}.{scope}", read, most)
    return TaskPage(rows=tuple(rows))


# -- one of them ------------------------------------------------------------------------------


async def _kept_message(
    stream: JetStreamContext, row: TaskRow, notes: Mapping[int, Tried | str]
) -> TaskMessage | None:
    """Its message from its stream, or beside its tries, or None. Raises nats.errors.Error."""
    found = await message_at(stream, row.stream, row.number) if row.stream else None
    if found is not None:
        subject, headers = found.subject or "", found.headers
        return TaskMessage(subject, found.data or b"", headers, row.stream, row.number)
    note = notes.get(row.number)
    if not isinstance(note, Tried) or note.kept is None:
        return None
    headers = {MESSAGE_ID_HEADER: row.id}
    if note.kept.terms:
        headers[TERMS_HEADER] = note.kept.terms
    return TaskMessage(note.kept.subject, note.kept.body, headers, row.stream, row.number)


def _payload(message: TaskMessage) -> str:
    try:
        return _text(read_payload(message.body))
    except UnreadableTaskError as error:
        return str(error)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _tried(row: TaskRow, notes: Mapping[int, Tried | str]) -> tuple[str, ...]:
    """Its tries, those of each of its messages: a line each, and what they used together."""
    last = _last_try(row)
    every = notes if last is None else {row.number: Tried(), **notes}
    lines: list[str] = []
    known: list[Try] = []
    for number, note in sorted(every.items()):
        if lines:
            lines.append("published again:")
        if isinstance(note, str):
            lines.append(note)
            continue
        tried = note if last is None or number != row.number else _ended_by(note, last, row.tries)
        first = tried.begun - len(tried.each) + 1
        if tried.each and first > 1:
            lines.append(f"{'try 1 is' if first == 2 else f'tries 1 to {first - 1} are'} not noted")
        lines += [f"{first + at}. {_try_words(each)}" for at, each in enumerate(tried.each)]
        known += [each for each in tried.each if each.tokens is not None]
    if len(known) > 1:
        lines.append(f"together: {_used(known)}")
    if not lines and row.state is TaskState.WAITING and not row.why:
        return ("it was not tried yet",)
    return tuple(clean(line) for line in lines)


def _last_try(row: TaskRow) -> Try | None:
    """The try that ended it, as its result has it."""
    if row.state is not TaskState.ENDED or not row.pod:
        return None
    seconds = row.seconds or 0.0
    why = row.status if row.status == TaskStatus.DONE else row.why or row.status
    return Try(
        worker=row.pod,
        at=row.at - seconds,
        seconds=seconds,
        why=why,
        tokens=row.tokens,
        usd=row.usd,
    )


def _ended_by(tried: Tried, last: Try, number: int) -> Tried:
    """With its last try in the place of what was noted of it."""
    before = tried.each[:-1] if tried.begun == number else tried.each
    return replace(tried, begun=number, each=(*before, last))


def _used(tries: Sequence[Try]) -> str:
    tokens, usd = sum(each.tokens or 0 for each in tries), sum(each.usd or 0.0 for each in tries)
    return f"{tokens:,} tokens, {usd:.4f} USD"


def _try_words(one: Try) -> str:
    """`12:04:31Z on worker-7, 12.5 s, 900 tokens, 0.0012 USD: TimeoutError`."""
    parts = [f"{figures.time_of_day(one.at)} on {one.worker}"]
    if one.seconds is not None:
        parts.append(f"{one.seconds:.1f} s")
    if one.tokens is not None:
        parts.append(_used((one,)))
    return ", ".join(parts) + (f": {one.why}" if one.why else "")


async def _checkpoint(stream: JetStreamContext, place: tuple[str, str], task: str) -> str:
    """Its last checkpoint; empty where there is none, or our user may not read it."""
    try:
        stored = await Checkpoints(stream, *place).load(task)
    except StoreUnavailableError as error:
        return str(error)
    return "" if stored is None else f"number {stored.revision}: {_text(stored.state)}"


async def _or_why(reading: Awaitable[T]) -> T | str:
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
