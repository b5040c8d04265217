"""Tasks that are published once more, because their consumer delivers their message no more.

A consumer with `max_deliver` gives a message up after so many deliveries, also where a worker was
killed at the last one. JetStream tells of it when the next worker pulls; a stream keeps that, until
a worker has published the task again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from nats import errors
from nats.js import JetStreamContext
from nats.js.api import Header, RawStreamMsg
from nats.js.errors import APIError, NotFoundError

from agentdash.worker.errors import (
    StoreUnavailableError,
    UnreadableStoreError,
    UnreadableTaskError,
)
from agentdash.worker.link import NatsLink
from agentdash.worker.stores import Results
from agentdash.worker.streams import EXHAUSTED_PREFIX, EXHAUSTED_STREAM, ensure_exhausted_stream
from agentdash.worker.task import (
    TERMS_HEADER,
    TaskTerms,
    header_json,
    read_terms,
    read_terms_again,
    task_id,
)
from agentdash.worker.tries import Tried, TryCounts
from controller.model.decoding import UndecodableError, decoded
from controller.model.ids import QueueName
from controller.model.servers import ErrorCode
from controller.model.text import clean

log = logging.getLogger(__name__)

LOOK_S: Final = 5.0


class TaskMessage(NamedTuple):
    """A task's message and its place."""

    subject: str
    body: bytes
    headers: Mapping[str, str] | None
    stream: str
    sequence: int

    def task(self) -> tuple[str, Tried]:
        """The id of its task, and how often that was tried in earlier messages."""
        try:
            terms = read_terms(self.headers)
        except UnreadableTaskError:
            terms = TaskTerms()
        found = task_id(terms, self.headers, self.stream, self.sequence)
        return found, Tried(begun=terms.tries, failed=min(terms.failed, terms.tries))


async def publish_again(stream: JetStreamContext, message: TaskMessage, tried: Tried) -> None:
    """Publish its task once more, with the tries that it had. The same message twice is one, within
    the stream's window for duplicates. Terms that cannot be read stay as they are: the next worker
    makes a dead letter of them. Raises nats.errors.Error.
    """
    task, _ = message.task()
    try:
        terms = header_json(
            read_terms_again(message.headers, task, tries=tried.begun, failed=tried.failed)
        )
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

    def __init__(self, link: NatsLink, results: Results, tries: TryCounts) -> None:
        self._link = link
        self._results = results
        self._tries = tries
        self._queues: tuple[QueueName, ...] = ()
        self._next: dict[QueueName, int] = {}

    async def begin(self, limits: Mapping[QueueName, int]) -> None:
        """Watch the consumers that have a limit of deliveries. Raises StoreUnavailableError where
        tasks would be lost by it.
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
            log.warning(
                "consumer %s of stream %s has max_deliver %d: what it delivers no more is "
                "published again, behind the others; AGENTDASH_ATTEMPTS limits the tries, so: %s",
                queue.consumer,
                queue.stream,
                limits[queue],
                unlimited(queue),
            )

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
        """The first notice of this consumer from this number on; None if there is none. Raises
        nats.errors.Error.
        """
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
        record = self._tries.of(task, message.sequence, deliveries + 1, earlier)
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
