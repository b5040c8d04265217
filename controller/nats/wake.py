"""Which subjects wake a pool, and the subscriptions that notice the first message there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final

from controller.model.fleet import Pool
from controller.model.ids import PoolKey
from controller.model.observation import WakeWatch
from controller.model.text import clean
from controller.model.value import Value
from controller.nats.client import Listening
from controller.nats.jetstream import (
    NatsDisconnectedError,
    NatsError,
    StreamConfiguration,
    stream_info,
)
from controller.nats.session import NatsSession
from controller.ports import Clock

KEEP_S: Final = 300.0
"""How long a stream's configuration is used before it is read again; a new connection ends it
sooner.
"""

ASK_AGAIN_S: Final = 10.0
"""How soon a stream that gave no answer is asked again."""


class WakeSubjects(Value):
    """The subjects to subscribe to for one queue, or the reason why its pool is only polled."""

    subjects: tuple[str, ...] = ()
    polled_because: str = ""


class Subjects:
    """Knows on which subjects the messages of streams are published: requests STREAM.INFO once,
    then every five minutes and after each new connection.

    `filters` says what a consumer takes (see QueueReader.filters).
    """

    def __init__(
        self,
        nats: NatsSession,
        clock: Clock,
        filters: Callable[[str, str], tuple[str, ...] | None],
        *,
        timeout_s: float = 1.0,
    ) -> None:
        self._nats = nats
        self._clock = clock
        self._filters = filters
        self._timeout_s = timeout_s
        self._known: dict[str, tuple[StreamConfiguration | NatsError, float]] = {}
        self._worked_out: dict[
            tuple[str, str], tuple[StreamConfiguration, tuple[str, ...], WakeSubjects]
        ] = {}
        nats.on_connected(self._known.clear)

    async def learn(self, streams: Collection[str]) -> None:
        """Read the streams that are not known; returns within the time-out."""
        now = self._clock.monotonic()
        due = [name for name in streams if name not in self._known or self._known[name][1] <= now]
        answers = await asyncio.gather(*(self._ask(name) for name in due))
        for name, answer in zip(due, answers, strict=True):
            keep_s = ASK_AGAIN_S if isinstance(answer, NatsError) else KEEP_S
            self._known[name] = (answer, now + keep_s)

    def of(self, stream: str, consumer: str) -> WakeSubjects:
        """Where this consumer's next message will be published."""
        known = self._known.get(stream)
        if known is None:
            return WakeSubjects(polled_because=f"stream {stream} has not been asked yet")
        config = known[0]
        if isinstance(config, NatsError):
            return WakeSubjects(polled_because=clean(f"stream {stream}: {config}"))
        filters = self._filters(stream, consumer)
        before = self._worked_out.get((stream, consumer))
        if before is not None and before[0] is config and before[1] == filters:
            return before[2]
        if indirect := _indirect(config):
            return WakeSubjects(polled_because=f"stream {stream} {indirect}")
        if filters is None:
            return WakeSubjects(polled_because=f"consumer {consumer} has not been read yet")
        found = WakeSubjects(subjects=_published_and_taken(config.subjects or (), filters))
        if not found.subjects:
            reason = f"stream {stream} takes none of consumer {consumer}'s subjects"
            found = WakeSubjects(polled_because=reason)
        self._worked_out[stream, consumer] = (config, filters, found)
        return found

    async def _ask(self, stream: str) -> StreamConfiguration | NatsError:
        try:
            return (await stream_info(self._nats, stream, self._timeout_s)).config
        except NatsError as error:
            return error


def _indirect(config: StreamConfiguration) -> str:
    """Why messages can enter this stream without being published on its subjects; empty if they
    cannot.
    """
    if config.mirror is not None:
        return "is a mirror: its messages are not published to it"
    if config.sources:
        return "has sources: their messages are not published to it"
    if config.subject_transform is not None:
        return "transforms its subjects"
    return ""


def _published_and_taken(subjects: Collection[str], filters: Collection[str]) -> tuple[str, ...]:
    """The subjects that are both published into the stream and taken by the consumer.

    A filter may be wider than its stream. A subscription to the whole filter would also get
    messages that are not in the stream.
    """
    if not filters:
        return tuple(subjects)
    shared = (overlap(subject, taken) for subject in subjects for taken in filters)
    return tuple(dict.fromkeys(subject for subject in shared if subject is not None))


def overlap(one: str, other: str) -> str | None:
    """The subjects that match both patterns, as one pattern; None if there are none."""
    left, right = one.split("."), other.split(".")
    tokens: list[str] = []
    for place, (a, b) in enumerate(zip(left, right, strict=False)):
        if a == ">":
            return ".".join([*tokens, *right[place:]])
        if b == ">":
            return ".".join([*tokens, *left[place:]])
        if "*" not in (a, b) and a != b:
            return None
        tokens.append(b if a == "*" else a)
    return ".".join(tokens) if len(left) == len(right) else None


MOST_SUBJECTS: Final = 10_000
"""The most subscriptions at a time; further pools are polled."""

_NOT_CONNECTED: Final = "not connected to NATS"


@dataclass(eq=False)
class _SubjectWatch:
    """One subscription and the pools that wait for it."""

    subject: str
    pools: set[PoolKey]
    subscription: Listening | None = None


class WakeSubscriptions:
    """One core subscription for each subject that pools at zero wait on. The server ends it at the
    first message.

    A call says that a message was published on the subject. JetStream may still have refused it (a
    duplicate, a full stream), and core NATS delivers at most once: only the queue's depth is
    reliable, and a wake-up only makes it be read sooner. Neither the subject nor the payload is
    used.
    """

    def __init__(
        self, nats: NatsSession, subjects: Subjects, *, most_subjects: int = MOST_SUBJECTS
    ) -> None:
        self._nats = nats
        self._subjects = subjects
        self._most_subjects = most_subjects
        self._callback: Callable[[PoolKey], None] = lambda *_: None
        self._watches: dict[str, _SubjectWatch] = {}
        self._armed: dict[PoolKey, tuple[str, ...]] = {}
        self._polled: dict[PoolKey, str] = {}
        self._refused: dict[str, str] = {}
        nats.on_connected(self._forget_connection)

    def on_wake(self, callback: Callable[[PoolKey], None]) -> None:
        """Call back on the event loop, at most once for each time that a pool is watched.
        There is one callback: the last one given.
        """
        self._callback = callback

    def state(self, pool: PoolKey) -> tuple[WakeWatch, str]:
        """How this pool is watched, and why it is only polled."""
        if pool in self._polled:
            return WakeWatch.POLLED, self._polled[pool]
        if pool not in self._armed:
            return WakeWatch.OFF, ""
        if not self._nats.connected:
            return WakeWatch.POLLED, _NOT_CONNECTED
        return WakeWatch.ARMED, ""

    async def watch(self, pools: Collection[Pool]) -> bool:
        """Watch exactly these pools; one call at a time. True if a pool is newly watched: its depth
        must be read again, because messages may have been published since the last reading.
        """
        wanted = {pool.key: pool for pool in pools}
        for key in self._armed.keys() - wanted.keys():
            self._disarm(key)
        self._polled = {key: why for key, why in self._polled.items() if key in wanted}
        if not self._nats.connected:
            self._polled.update(dict.fromkeys(wanted, _NOT_CONNECTED))
            return False
        await self._subjects.learn({queue.stream for pool in pools for queue in pool.queues})
        is_new = False
        try:
            for pool in wanted.values():
                is_new |= await self._arm(pool)
            await self._end_unused()
        except NatsDisconnectedError:
            self._forget_connection()
            self._polled.update(dict.fromkeys(wanted, _NOT_CONNECTED))
        return is_new

    async def _arm(self, pool: Pool) -> bool:
        found = self._subjects_of(pool)
        if found.subjects and self._armed.get(pool.key) == found.subjects:
            return False
        found = self._allowed(found)
        if found.polled_because:
            self._disarm(pool.key)
            self._polled[pool.key] = found.polled_because
            return False
        self._polled.pop(pool.key, None)
        self._disarm(pool.key)
        self._armed[pool.key] = found.subjects
        for subject in found.subjects:
            await self._subscribe(subject, pool.key)
        return True

    def _subjects_of(self, pool: Pool) -> WakeSubjects:
        """The subjects of all its queues; none, with a reason, if one of them must be polled."""
        subjects: dict[str, None] = {}
        for queue in pool.queues:
            found = self._subjects.of(queue.stream, queue.consumer)
            if found.polled_because:
                return found
            subjects.update(dict.fromkeys(found.subjects))
        return WakeSubjects(subjects=tuple(subjects))

    def _allowed(self, found: WakeSubjects) -> WakeSubjects:
        """These subjects; none, with a reason, if our user may not subscribe to one or there are
        too many.
        """
        for subject in found.subjects:
            if subject in self._refused:
                return WakeSubjects(polled_because=self._refused[subject])
        new = sum(subject not in self._watches for subject in found.subjects)
        if new and len(self._watches) + new > self._most_subjects:
            reason = f"{self._most_subjects} subjects are watched already"
            return WakeSubjects(polled_because=reason)
        return found

    async def _subscribe(self, subject: str, pool: PoolKey) -> None:
        watch = self._watches.get(subject)
        if watch is not None:
            watch.pools.add(pool)
            return
        watch = self._watches[subject] = _SubjectWatch(subject=subject, pools={pool})
        watch.subscription = await self._nats.subscribe_once(
            subject, partial(self._on_message, watch), partial(self._on_refused, watch)
        )

    def _on_message(self, watch: _SubjectWatch) -> None:
        if self._watches.get(watch.subject) is not watch:
            return
        del self._watches[watch.subject]
        for pool in tuple(watch.pools):
            self._disarm(pool)
            self._callback(pool)

    def _on_refused(self, watch: _SubjectWatch, why: str) -> None:
        self._refused[watch.subject] = why
        if self._watches.get(watch.subject) is not watch:
            return
        del self._watches[watch.subject]
        for pool in tuple(watch.pools):
            self._disarm(pool)
            self._polled[pool] = why

    def _disarm(self, pool: PoolKey) -> None:
        for subject in self._armed.pop(pool, ()):
            watch = self._watches.get(subject)
            if watch is not None:
                watch.pools.discard(pool)

    async def _end_unused(self) -> None:
        """End the subscriptions that no pool waits for any more."""
        for watch in [watch for watch in self._watches.values() if not watch.pools]:
            del self._watches[watch.subject]
            if watch.subscription is not None:
                await watch.subscription.end()

    def _forget_connection(self) -> None:
        """Subscriptions end with their connection, and a new one may allow other subjects."""
        self._watches.clear()
        self._armed.clear()
        self._refused.clear()
