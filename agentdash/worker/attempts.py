"""How tasks are given to a pool and cancelled; and what becomes of a task that does not end at its
first try: how often it was tried, how it is published once more, and its dead letter.

A try is counted before it begins, so that one whose worker died is counted too. JetStream counts
deliveries, and not each of them is a try: some are handed back, and some reach no living worker.
The first delivery is taken for a try without a word about it, so that a task that ends at its first
try costs nothing here.

A consumer with `max_deliver` gives a message up after so many deliveries, also where a worker was
killed at the last one. JetStream tells of it when the next worker pulls; a stream keeps that, until
a worker has published the task again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from nats import errors
from nats.js import JetStreamContext
from nats.js.api import Header, RawStreamMsg
from nats.js.errors import APIError, KeyWrongLastSequenceError, NotFoundError

from agentdash.worker.session import (
    ID_RULE,
    TERMS_HEADER,
    Priority,
    StoreUnavailableError,
    TaskResult,
    TaskStatus,
    TaskTerms,
    Tries,
    UnreadableStoreError,
    UnreadableTaskError,
    header_json,
    is_task_id,
    message_task,
    read_terms,
)
from agentdash.worker.settings import WorkerSettings
from agentdash.worker.stores import (
    DEAD_PREFIX,
    DEAD_STREAM,
    EXHAUSTED_PREFIX,
    EXHAUSTED_STREAM,
    TRIES_BUCKET,
    NatsLink,
    Results,
    bucket,
    cancel_subject,
    ensure_exhausted_stream,
    messages,
    newest,
)
from controller.model.ids import QueueName
from controller.model.servers import ErrorCode
from controller.model.text import clean
from controller.model.value import UndecodableError, decoded

log = logging.getLogger(__name__)


TRIES_KEPT: Final = 8
MOST_WHY: Final = 300
MOST_KEPT: Final = 64 * 1024
"""The most bytes of a message that is kept with its tries."""


class Try(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One try: its worker, when it began (Unix seconds), how long it took, what it used and why it
    failed; None and empty for one that was begun and of whose end nothing is known.
    """

    worker: str
    at: float
    seconds: float | None = None
    why: str = ""
    tokens: int | None = None
    usd: float | None = None


class KeptMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The message of a task whose stream has dropped it, so that it can be given again."""

    subject: str
    body: bytes
    terms: str = ""


class Tried(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How often a task was begun and not handed back, and how many of these tries ended with an
    error. `again`: it was published once more, so that this message is no longer to be done.
    `each` are the last tries of this message, those that are noted. `kept` is there once the task
    has ended, and not as done, if the message is not too large.
    """

    begun: Tries = 0
    failed: Tries = 0
    again: bool = False
    each: tuple[Try, ...] = ()
    kept: KeptMessage | None = None

    @property
    def lost(self) -> int:
        """The tries whose worker lived neither to end nor to hand back the task."""
        return self.begun - self.failed

    def with_try(self, one: Try | None = None, *, failed: bool = False) -> Tried:
        """One try more."""
        each = self.each if one is None else (*self.each, one)[-TRIES_KEPT:]
        failures = self.failed + (1 if failed else 0)
        return msgspec.structs.replace(self, begun=self.begun + 1, failed=failures, each=each)

    def words(self) -> str:
        """Why there is no further try: `began 5 times and no worker lived to end it`."""
        if not self.lost:
            return f"{self.failed} tries failed"
        if not self.failed:
            return f"began {_times(self.begun)} and no worker lived to end it"
        return (
            f"began {_times(self.begun)}: {_times(self.lost)} no worker lived to end it, and "
            f"{_times(self.failed)} it failed"
        )


TRIED: Final = msgspec.json.Decoder(Tried | int)


class TaskMessage(NamedTuple):
    """A task's message and its place."""

    subject: str
    body: bytes
    headers: Mapping[str, str] | None
    stream: str
    sequence: int

    def task(self) -> tuple[str, Tried]:
        """The id of its task, and how often that was tried in earlier messages."""
        found, terms = message_task(self.headers, self.stream, self.sequence)
        return found, Tried(begun=terms.tries, failed=min(terms.failed, terms.tries))


class TryRecord:
    """The tries of one message, seen and counted by its delivery number `delivered`, from 1.

    All methods raise nats.errors.Error. Where another delivery has counted meanwhile, its number
    stays.
    """

    def __init__(
        self,
        stream: JetStreamContext,
        settings: WorkerSettings,
        message: TaskMessage,
        delivered: int,
    ) -> None:
        task, self._earlier = message.task()
        self._bucket = bucket(stream, TRIES_BUCKET)
        self._key = f"{settings.tenant}.{settings.pool}.{task}.{message.sequence}"
        self._message, self._delivered, self._worker = message, delivered, settings.worker
        self._before: Tried | None = None
        self._revision = 0
        self._is_counted = delivered == 1

    async def before(self) -> Tried:
        """The tries before this delivery. Raises UnreadableStoreError if the value is none."""
        if self._before is None:
            self._before = self._earlier if self._delivered == 1 else await self._read()
        return self._before

    async def _read(self) -> Tried:
        value, self._revision = await newest(self._bucket, self._key)
        if value is None:
            return self._earlier.with_try()  # the first delivery, of which nothing is written
        try:
            found = decoded(TRIED, value)
        except UndecodableError as error:
            raise UnreadableStoreError(
                f"{self._key} in {TRIES_BUCKET} is no count of tries: {error}; delete it, and they "
                f"count anew: nats kv del {TRIES_BUCKET} {self._key}",
                revision=self._revision,
            ) from None
        if isinstance(found, Tried):
            return found
        # an older worker has counted what was handed back
        tries = max(0, self._delivered - 1 - found)
        return msgspec.structs.replace(self._earlier, begun=self._earlier.begun + tries)

    async def begin(self) -> None:
        """Count this delivery as a try, before its work begins. Raises UnreadableStoreError."""
        if not self._is_counted:
            begun = Try(worker=self._worker, at=time.time())
            await self._write((await self.before()).with_try(begun))
            self._is_counted = True

    async def fail(self, one: Try, *, is_last: bool) -> Tried:
        """This try did not end as done. Where it `is_last`, the message is kept beside it, for it
        is acknowledged. Raises UnreadableStoreError.
        """
        tried, message = (await self.before()).with_try(one, failed=True), self._message
        if is_last and len(message.body) <= MOST_KEPT:
            terms = (message.headers or {}).get(TERMS_HEADER, "")
            kept = KeptMessage(subject=message.subject, body=message.body, terms=terms)
            tried = msgspec.structs.replace(tried, kept=kept)
        await self._write(tried)
        return tried

    async def take_back(self) -> None:
        """This delivery was no try: it is handed back. Raises UnreadableStoreError."""
        if self._is_counted:
            await self._write(await self.before())
            self._is_counted = False

    async def published_again(self) -> None:
        """Another message has the task from now on. Raises UnreadableStoreError."""
        await self._write(msgspec.structs.replace(await self.before(), again=True))

    async def _write(self, tried: Tried) -> None:
        encoded = msgspec.json.encode(tried)
        try:
            self._revision = await self._bucket.update(self._key, encoded, last=self._revision)
        except KeyWrongLastSequenceError as error:
            log.debug("another delivery counts the tries of %s: %s", self._key, clean(error))


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


LOOK_S: Final = 5.0


def terms_again(headers: Mapping[str, str] | None, task: str, tried: Tried) -> str:
    """The header of a task published again. Raises UnreadableTaskError."""
    again = {"tried_before": True, "tries": tried.begun, "failed": tried.failed}
    return header_json(msgspec.structs.replace(read_terms(headers), id=task, **again))


async def publish_again(stream: JetStreamContext, message: TaskMessage, tried: Tried) -> None:
    """Publish its task once more, with the tries that it had. The same message twice is one, within
    the stream's window for duplicates. Terms that cannot be read stay as they are: the next worker
    makes a dead letter of them. Raises nats.errors.Error.
    """
    task, _ = message.task()
    try:
        terms = terms_again(message.headers, task, tried)
    except UnreadableTaskError:
        terms = (message.headers or {}).get(TERMS_HEADER, "")
    headers = {
        TERMS_HEADER: terms,
        Header.MSG_ID.value: f"again.{message.stream}.{message.sequence}",
    }
    await stream.publish(message.subject, message.body, headers=headers)


class _Notice(msgspec.Struct, frozen=True):
    """io.nats.jetstream.advisory.v1.max_deliver, the fields that are read."""

    stream_seq: int
    deliveries: int


_NOTICE: Final = msgspec.json.Decoder(_Notice)


class ExhaustedWatch:
    """Publishes again what the consumers of one pool deliver no more."""

    def __init__(self, link: NatsLink, results: Results, settings: WorkerSettings) -> None:
        self._link, self._results, self._settings = link, results, settings
        self._queues: tuple[QueueName, ...] = ()
        self._next: dict[QueueName, int] = {}

    async def begin(self, limits: Mapping[QueueName, int]) -> None:
        """Watch consumers with a limit of deliveries. Raises StoreUnavailableError if it loses
        tasks.
        """
        self._queues = tuple(queue for queue, most in limits.items() if most > 0)
        for queue in self._queues:
            try:
                await ensure_exhausted_stream(self._link.jetstream)
                await self._notice(queue, 1)
            except errors.Error as error:
                raise StoreUnavailableError(
                    f"consumer {queue.consumer} of stream {queue.stream} has max_deliver "
                    f"{limits[queue]}, and there is no stream {EXHAUSTED_STREAM} that we may read "
                    f"({clean(error) or 'no answer'}): a task whose worker is killed at its last "
                    "delivery would be lost; AGENTDASH_ATTEMPTS limits the tries, so: "
                    f"{unlimited(queue)}"
                ) from None
            words = (
                "consumer %s of stream %s has max_deliver %d: what it delivers no more is "
                "published again, behind the others; AGENTDASH_ATTEMPTS limits the tries, so: %s"
            )
            log.warning(words, queue.consumer, queue.stream, limits[queue], unlimited(queue))

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while self._queues:
            await self.look(self._queues)
            await asyncio.sleep(LOOK_S)

    async def look(self, queues: Sequence[QueueName]) -> None:
        """Publish again what these consumers have given up. What fails is tried the next time."""
        for queue in queues:
            try:
                while (notice := await self._notice(queue, self._next.get(queue, 1))) is not None:
                    await self._recover(queue, notice)
                    self._next[queue] = (notice.seq or 0) + 1
            except errors.Error as error:
                log.warning(
                    "a task of %s/%s that is delivered no more could not be published again: %s",
                    queue.stream,
                    queue.consumer,
                    clean(error),
                )

    async def _notice(self, queue: QueueName, number: int) -> RawStreamMsg | None:
        """This consumer's first notice from this number on, or None. Raises nats.errors.Error."""
        subject = f"{EXHAUSTED_PREFIX}.{queue.stream}.{queue.consumer}"
        try:
            return await self._link.jetstream.get_msg(
                EXHAUSTED_STREAM, seq=number, subject=subject, next=True
            )
        except NotFoundError as error:
            if error.err_code == ErrorCode.STREAM_NOT_FOUND:
                raise
            return None

    async def _recover(self, queue: QueueName, notice: RawStreamMsg) -> None:
        """Raises nats.errors.Error."""
        try:
            told = decoded(_NOTICE, notice.data or b"")
        except UndecodableError as error:
            log.warning("message %s of %s: %s", notice.seq, EXHAUSTED_STREAM, clean(error))
            return
        try:
            found = await self._link.jetstream.get_msg(queue.stream, told.stream_seq)
        except NotFoundError:
            await self._forget(notice)  # it was acknowledged after all
            return
        message = TaskMessage(
            found.subject or "", found.data or b"", found.headers, queue.stream, told.stream_seq
        )
        await self._publish(message, told.deliveries)
        # JetStream takes an acknowledgement of a message that it has given up: the stream drops it
        await self._link.client.publish(
            f"$JS.ACK.{queue.stream}.{queue.consumer}.{told.deliveries}.{told.stream_seq}.0.0.0",
            b"+ACK",
        )
        await self._forget(notice)

    async def _publish(self, message: TaskMessage, deliveries: int) -> None:
        task, earlier = message.task()
        try:
            if await self._results.get(task) is not None:
                return
        except UnreadableStoreError as error:
            log.debug("the next delivery tells of it: %s", clean(error))
        record = TryRecord(self._link.jetstream, self._settings, message, deliveries + 1)
        try:
            before = await record.before()
        except UnreadableStoreError as error:
            log.warning("%s", clean(error))
            before = Tried(begun=earlier.begun + deliveries, failed=earlier.failed)
        if before.again:
            return
        log.warning(
            "%s was delivered %d times and is delivered no more (max_deliver): published again",
            task,
            deliveries,
            extra={"task": task},
        )
        await publish_again(self._link.jetstream, message, before)
        try:
            await record.published_again()
        except UnreadableStoreError as error:
            log.debug("it stays unreadable: %s", clean(error))

    async def _forget(self, notice: RawStreamMsg) -> None:
        try:
            await self._link.jetstream.delete_msg(EXHAUSTED_STREAM, notice.seq or 0)
        except APIError as error:
            log.debug("another worker has deleted the notice: %s", clean(error))


def unlimited(queue: QueueName) -> str:
    """The command that takes the limit away."""
    return f"nats consumer edit {queue.stream} {queue.consumer} --max-deliver=-1"


_HEADER: Final = "Agentdash-Dead"
LIST_MOST: Final = 1_000


class DeathNote(msgspec.Struct, frozen=True, kw_only=True):
    """Why a message is dead and where it came from. `at` is in Unix seconds."""

    id: str
    reason: str
    at: float
    subject: str
    stream: str
    sequence: int
    attempts: int
    worker: str


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter: its number in the stream of dead letters, its note, its body and its terms."""

    number: int
    note: DeathNote
    body: bytes
    terms: str = ""


_NOTE: Final = msgspec.json.Decoder(DeathNote)


class DeadList(NamedTuple):
    """The oldest dead letters of a pool, the oldest first. `foreign` says of each message among
    them that is no dead letter which it is; `has_more` whether there are younger letters.
    """

    letters: tuple[DeadLetter, ...]
    foreign: tuple[str, ...] = ()
    has_more: bool = False


class DeadLetters:
    """The dead letters of one pool. All methods raise nats.errors.Error."""

    def __init__(self, stream: JetStreamContext, tenant: str, pool: str) -> None:
        self._stream = stream
        self._subject = f"{DEAD_PREFIX}.{tenant}.{pool}"
        self.subjects = f"{self._subject}.>"
        """The subjects of all of them."""

    async def bury(self, note: DeathNote, body: bytes, headers: Mapping[str, str] | None) -> None:
        """Keep a message. The same message twice is one letter."""
        kept = {_HEADER: header_json(note)}
        terms = (headers or {}).get(TERMS_HEADER)
        if terms is not None:
            kept[TERMS_HEADER] = terms
        kept[Header.MSG_ID.value] = f"dead.{note.stream}.{note.sequence}"
        await self._stream.publish(f"{self._subject}.{note.id}", body, headers=kept)

    async def list(self, most: int = LIST_MOST) -> DeadList:
        """The oldest of them, at most so many."""
        letters: list[DeadLetter] = []
        foreign: list[str] = []
        async for message in messages(self._stream, DEAD_STREAM, self.subjects):
            if len(letters) + len(foreign) == most:
                return DeadList(tuple(letters), tuple(foreign), has_more=True)
            try:
                letters.append(read_letter(message))
            except UnreadableStoreError as error:
                foreign.append(str(error))
        return DeadList(tuple(letters), tuple(foreign))

    async def get(self, task: str) -> DeadLetter | None:
        """The newest letter of this task, or None. Raises UnreadableStoreError for another."""
        try:
            message = await self._stream.get_last_msg(DEAD_STREAM, f"{self._subject}.{task}")
        except NotFoundError:
            return None
        return read_letter(message)

    async def retry(self, letter: DeadLetter, results: Results) -> bool:
        """Give the task to its queue again, with all its tries, and remove the letter. It goes on
        from its checkpoint, if it has one. False, and nothing is done, if it has another result.
        Raises StoreUnavailableError, and nothing is done, if its terms cannot be read.
        """
        try:
            before = {TERMS_HEADER: letter.terms} if letter.terms else {}
            again = terms_again(before, letter.note.id, Tried())
        except UnreadableTaskError as error:
            raise StoreUnavailableError(
                f"{letter.note.id} cannot be given again: {error}; give its body to the pool as a "
                "new task (agentdash submit)"
            ) from None
        stored = await results.get(letter.note.id)
        if stored is not None and (
            stored.result.status is not TaskStatus.DEAD or not await results.forget(stored)
        ):
            return False
        headers = {TERMS_HEADER: again, Header.MSG_ID.value: f"retry.{letter.number}"}
        await self._stream.publish(letter.note.subject, letter.body, headers=headers)
        await self._stream.delete_msg(DEAD_STREAM, letter.number)
        return True


def read_letter(message: RawStreamMsg) -> DeadLetter:
    """A message as a dead letter. Raises UnreadableStoreError."""
    headers = message.headers or {}
    try:
        note = decoded(_NOTE, headers.get(_HEADER, "").encode(errors="replace"))
        if not is_task_id(note.id):
            raise UndecodableError(ID_RULE)
    except UndecodableError as error:
        raise UnreadableStoreError(
            f"message {message.seq} of {DEAD_STREAM} ({clean(message.subject)}) is no dead letter "
            f"of a worker: {error}; to delete it: nats stream rmm {DEAD_STREAM} {message.seq}"
        ) from None
    return DeadLetter(
        number=message.seq or 0,
        note=note,
        body=message.data or b"",
        terms=headers.get(TERMS_HEADER, ""),
    )


class Receipt(NamedTuple):
    """Where a submitted task is. `is_new` is False if the stream had a message with its id."""

    id: str
    stream: str
    sequence: int
    is_new: bool


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
        """Publish a task. `payload` is any JSON value; `terms.id` must be set: it makes the task
        unique within the stream's window for duplicates. Raises StoreUnavailableError if its queue
        has no single subject to publish to.
        """
        queue = self._queues[0 if terms.priority == Priority.HIGH else -1]
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
