"""Looks for messages in streams that many pools share, a few at a time: the next ones of a queue,
the newest ones, one task's among those of its pool's queues, and what is noted of its tries.

A stream is never read from end to end: what is others' is passed by asking for the next message on
a subject.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from nats import errors
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo, RawStreamMsg
from nats.js.errors import NotFoundError

from agentdash.worker.attempts import TRIED, Tried
from agentdash.worker.session import message_task
from agentdash.worker.stores import TRIES_BUCKET, messages
from controller.model.ids import QueueName
from controller.model.tasks import TaskRow
from controller.model.value import UndecodableError, decoded

MOST_LOOKED: Final = 10_000
"""So many messages of a queue are looked through for one task."""
MOST_DIGITS: Final = 19
"""Of the number of a message."""
_AT_ONCE: Final = 50
_MOST_MESSAGES: Final = 20


async def next_messages(
    stream: JetStreamContext, queue: QueueName, filters: Sequence[str], after: int, most: int
) -> list[RawStreamMsg]:
    """The first messages after this one, at most so many. Numbers side by side are asked for at
    once, fewer of them where many are others'; a gap is passed by asking for the next one. Raises
    nats.errors.Error.
    """
    found: list[RawStreamMsg] = []
    beside = _AT_ONCE
    while len(found) < most:
        numbers = range(after + 1, after + 1 + min(beside, most - len(found)))
        seen = await asyncio.gather(*(message_at(stream, queue.stream, each) for each in numbers))
        mine = [each for each in seen if each is not None and _is_in(each.subject or "", filters)]
        found, after, beside = found + mine, numbers[-1], min(_AT_ONCE, 2 * len(mine) + 1)
        if len(mine) < len(numbers) and len(found) < most:
            jumps = (_from(stream, queue.stream, each, after + 1) for each in filters)
            jumped = [each for each in await asyncio.gather(*jumps) if each is not None]
            if not jumped:
                break
            found.append(min(jumped, key=lambda each: each.seq or 0))
            after = found[-1].seq or 0
    return found


async def _from(
    stream: JetStreamContext, name: str, subject: str, number: int
) -> RawStreamMsg | None:
    """The first message with this subject from this number on. Raises nats.errors.Error."""
    try:
        return await stream.get_msg(name, number, subject=subject, next=True)
    except NotFoundError:
        return None


class Looked(NamedTuple):
    """Whether a task was found in its pool's queues, and how many messages were not looked at."""

    is_found: bool
    unread: int = 0


async def look_for(stream: JetStreamContext, queues: Iterable[QueueName], task: str) -> Looked:
    """Whether a task waits or is worked on: its id is in its message alone, so that the first
    messages of each queue are looked through. Found also if our user may not look. Raises
    nats.errors.Error.
    """
    unread = 0
    for queue in queues:
        try:
            info = await stream.consumer_info(queue.stream, queue.consumer)
            after, looked = 0 if info.ack_floor is None else info.ack_floor.stream_seq, 0
            while looked < MOST_LOOKED:
                wanted = min(_AT_ONCE * 10, MOST_LOOKED - looked)
                page = await next_messages(stream, queue, filters_of(info), after, wanted)
                ids = (message_task(each.headers, queue.stream, each.seq or 0)[0] for each in page)
                if task in ids:
                    return Looked(is_found=True)
                looked += len(page)
                if len(page) < wanted:
                    break
                after = page[-1].seq or 0
            else:
                unread += max((info.num_pending or 0) + (info.num_ack_pending or 0) - looked, 0)
        except NotFoundError:
            continue
        except errors.TimeoutError:
            return Looked(is_found=True)
    return Looked(is_found=False, unread=unread)


def filters_of(info: ConsumerInfo) -> Sequence[str]:
    """The subjects that a consumer takes."""
    return info.config.filter_subjects or [info.config.filter_subject or ">"]


def _is_in(subject: str, filters: Sequence[str]) -> bool:
    """Whether one of a consumer's filters takes this subject."""
    return any(_takes(each.split("."), subject.split(".")) for each in filters)


def _takes(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    if pattern[-1] == ">":
        pattern, parts = pattern[:-1], parts[: len(pattern) - 1]
    return len(pattern) == len(parts) and all(
        one in {"*", other} for one, other in zip(pattern, parts, strict=True)
    )


async def newest_rows(
    stream: JetStreamContext,
    name: str,
    subject: str,
    read: Callable[[RawStreamMsg], TaskRow | None],
    most: int,
) -> list[TaskRow]:
    """The newest messages with this subject, from the last one back, in ranges: a longer one where
    few were found in the last. Raises nats.errors.Error.
    """
    try:
        last = (await stream.get_last_msg(name, subject)).seq or 0
    except NotFoundError:
        return []
    rows: list[TaskRow] = []
    length = _AT_ONCE
    while last > 0 and len(rows) < most:
        first = max(last - length + 1, 1)
        found = await _between(stream, name, subject, first, last)
        if len(found) > _AT_ONCE:  # the newest of so many are in a shorter range
            length = max(length // 4, _AT_ONCE)
            continue
        rows += [row for row in map(read, reversed(found)) if row is not None]
        last, length = first - 1, length * 4 if len(found) * 4 < _AT_ONCE else length
    return rows[:most]


async def _between(
    stream: JetStreamContext, name: str, subject: str, first: int, last: int
) -> list[RawStreamMsg]:
    """The messages with this subject in a range of numbers; if there are more, the first _AT_ONCE
    and one. Raises nats.errors.Error.
    """
    if last - first < _AT_ONCE:
        numbers = range(first, last + 1)
        beside = await asyncio.gather(*(message_at(stream, name, each) for each in numbers))
        return [each for each in beside if each and _is_in(each.subject or "", (subject,))]
    found: list[RawStreamMsg] = []
    while len(found) <= _AT_ONCE:
        message = await _from(stream, name, subject, first)
        if message is None or (message.seq or 0) > last:
            break
        found.append(message)
        first = (message.seq or 0) + 1
    return found


async def message_at(stream: JetStreamContext, name: str, number: int) -> RawStreamMsg | None:
    """A message of a stream; None if it is not kept. Raises nats.errors.Error."""
    try:
        return await stream.get_msg(name, number)
    except NotFoundError:
        return None


async def tries_of(
    stream: JetStreamContext, tenant: str, pool: str, task: str
) -> dict[int, Tried | str]:
    """What is noted of the tries of a task, by the number of its message, the first one first: it
    has several where it was published again. Of a note that cannot be read: why. Raises
    nats.errors.Error.
    """
    subject = f"$KV.{TRIES_BUCKET}.{tenant}.{pool}.{task}.*"
    found: dict[int, Tried | str] = {}
    async for message in messages(stream, f"KV_{TRIES_BUCKET}", subject):
        number = (message.subject or "").rpartition(".")[2]
        if message.data and number.isdecimal() and len(number) <= MOST_DIGITS:
            found[int(number)] = _noted(message.data)
        if len(found) == _MOST_MESSAGES:
            break
    return dict(sorted(found.items()))


def _noted(note: bytes) -> Tried | str:
    try:
        found = decoded(TRIED, note)
    except UndecodableError as error:
        return f"how it was tried cannot be read: {error}"
    return found if isinstance(found, Tried) else "an older worker has only counted its tries"
