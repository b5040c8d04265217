"""Which subjects wake a pool, and the subscriptions that notice the first message there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from controller.model.fleet import Pool
from controller.model.ids import PoolKey
from controller.model.observation import WakeWatch
from controller.model.text import clean
from controller.nats.jetstream import (
    NatsDisconnectedError,
    NatsError,
    StreamConfiguration,
    stream_info,
)
from controller.nats.session import Listening, NatsSession
from controller.ports import Clock

KEEP_S: Final = 300.0
"""How long a stream's configuration is used before it is read again; a new connection ends it
sooner.
"""
ASK_AGAIN_S: Final = 10.0
"""How soon a stream that gave no answer is asked again."""
STREAM_ANSWER_S: Final = 1.0
MOST_SUBJECTS: Final = 10_000
"""The most subscriptions at a time; further pools are polled."""
_NOT_CONNECTED: Final = "not connected to NATS"


class _Subjects(NamedTuple):
    """The subjects to subscribe to for one queue or pool, or the reason why it is only polled."""

    subjects: tuple[str, ...] = ()
    polled_because: str = ""


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

    On which subjects a stream's messages are published is asked by STREAM.INFO, then again every
    five minutes and after each new connection. `filters` says what a consumer takes (see
    QueueReader.filters).
    """

    def __init__(
        self,
        nats: NatsSession,
        clock: Clock,
        filters: Callable[[str, str], tuple[str, ...] | None],
        *,
        most_subjects: int = MOST_SUBJECTS,
    ) -> None:
        self._nats = nats
        self._clock = clock
        self._filters = filters
        self._most_subjects = most_subjects
        self._callback: Callable[[PoolKey], None] = lambda *_: None
        self._streams: dict[str, tuple[StreamConfiguration | NatsError, float]] = {}
        self._worked_out: dict[
            tuple[str, str], tuple[StreamConfiguration, tuple[str, ...] | None, _Subjects]
        ] = {}
        self._watches: dict[str, _SubjectWatch] = {}
        self._armed: dict[PoolKey, tuple[str, ...]] = {}
        self._polled: dict[PoolKey, str] = {}
        self._refused: dict[str, str] = {}
        nats.on_connected(self._forget_connection)

    def on_wake(self, callback: Callable[[PoolKey], None]) -> None:
        """Call back, the last one given, on the event loop, at most once for each watch."""
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
        """Watch these pools, one call at a time. True: one is new, read its depth again."""
        wanted = {pool.key: pool for pool in pools}
        for key in self._armed.keys() - wanted.keys():
            self._disarm(key)
        self._polled = {key: why for key, why in self._polled.items() if key in wanted}
        if not self._nats.connected:
            self._polled.update(dict.fromkeys(wanted, _NOT_CONNECTED))
            return False
        await self._ask({queue.stream for pool in pools for queue in pool.queues})
        is_new = False
        try:
            for pool in wanted.values():
                is_new |= await self._arm(pool)
            for watch in [watch for watch in self._watches.values() if not watch.pools]:
                del self._watches[watch.subject]
                if watch.subscription is not None:
                    await watch.subscription.end()
        except NatsDisconnectedError:
            self._forget_connection()
            self._polled.update(dict.fromkeys(wanted, _NOT_CONNECTED))
        return is_new

    async def _ask(self, streams: Collection[str]) -> None:
        """Read the streams that are not known; returns within the time-out."""

        async def configuration(stream: str) -> StreamConfiguration | NatsError:
            try:
                return (await stream_info(self._nats, stream, STREAM_ANSWER_S)).config
            except NatsError as error:
                return error

        now, known = self._clock.monotonic(), self._streams
        due = [name for name in streams if name not in known or known[name][1] <= now]
        answers = await asyncio.gather(*map(configuration, due))
        for name, answer in zip(due, answers, strict=True):
            keep_s = ASK_AGAIN_S if isinstance(answer, NatsError) else KEEP_S
            known[name] = (answer, now + keep_s)

    async def _arm(self, pool: Pool) -> bool:
        found = self._subjects_of(pool)
        if found.subjects and self._armed.get(pool.key) == found.subjects:
            return False
        refused = next((each for each in found.subjects if each in self._refused), None)
        new = sum(subject not in self._watches for subject in found.subjects)
        why = found.polled_because
        if refused is not None:
            why = self._refused[refused]
        elif new and len(self._watches) + new > self._most_subjects:
            why = f"{self._most_subjects} subjects are watched already"
        self._disarm(pool.key)
        if why:
            self._polled[pool.key] = why
            return False
        self._polled.pop(pool.key, None)
        self._armed[pool.key] = found.subjects
        for subject in found.subjects:
            watch = self._watches.get(subject)
            if watch is not None:
                watch.pools.add(pool.key)
                continue
            watch = self._watches[subject] = _SubjectWatch(subject, {pool.key})
            watch.subscription = await self._nats.subscribe_once(
                subject, partial(self._on_message, watch), partial(self._on_refused, watch)
            )
        return True

    def _subjects_of(self, pool: Pool) -> _Subjects:
        """The subjects of all its queues; none, with a reason, if one of them must be polled."""
        subjects: dict[str, None] = {}
        for queue in pool.queues:
            found = self._subjects_of_queue(queue.stream, queue.consumer)
            if found.polled_because:
                return found
            subjects.update(dict.fromkeys(found.subjects))
        return _Subjects(tuple(subjects))

    def _subjects_of_queue(self, stream: str, consumer: str) -> _Subjects:
        """Where this consumer's next message will be published."""
        config, _ = self._streams.get(stream, (None, 0.0))
        if config is None:  # the connection is another one since it was asked
            return _Subjects(polled_because=f"stream {stream} has not been asked yet")
        if isinstance(config, NatsError):
            return _Subjects(polled_because=clean(f"stream {stream}: {config}"))
        filters = self._filters(stream, consumer)
        before = self._worked_out.get((stream, consumer))
        if before is not None and before[0] is config and before[1] == filters:
            return before[2]
        found = _worked_out(stream, config, consumer, filters)
        self._worked_out[stream, consumer] = (config, filters, found)
        return found

    def _on_message(self, watch: _SubjectWatch) -> None:
        for pool in self._ended(watch):
            self._callback(pool)

    def _on_refused(self, watch: _SubjectWatch, why: str) -> None:
        self._refused[watch.subject] = why
        for pool in self._ended(watch):
            self._polled[pool] = why

    def _ended(self, watch: _SubjectWatch) -> tuple[PoolKey, ...]:
        """The pools that waited for it, which are watched no longer."""
        if self._watches.get(watch.subject) is not watch:
            return ()
        del self._watches[watch.subject]
        pools = tuple(watch.pools)
        for pool in pools:
            self._disarm(pool)
        return pools

    def _disarm(self, pool: PoolKey) -> None:
        for subject in self._armed.pop(pool, ()):
            watch = self._watches.get(subject)
            if watch is not None:
                watch.pools.discard(pool)

    def _forget_connection(self) -> None:
        """Subscriptions end with their connection, and a new one may allow other subjects."""
        self._streams.clear()
        self._watches.clear()
        self._armed.clear()
        self._refused.clear()


def _worked_out(
    stream: str, config: StreamConfiguration, consumer: str, filters: tuple[str, ...] | None
) -> _Subjects:
    """Subjects both published into the stream and taken by the perhaps wider consumer."""
    why = ""
    if config.mirror is not None:
        why = f"stream {stream} is a mirror: its messages are not published to it"
    elif config.sources:
        why = f"stream {stream} has sources: their messages are not published to it"
    elif config.subject_transform is not None:
        why = f"stream {stream} transforms its subjects"
    elif filters is None:
        why = f"consumer {consumer} has not been read yet"
    if why or filters is None:
        return _Subjects(polled_because=why)
    published = config.subjects or ()
    shared = [overlap(subject, taken) for subject in published for taken in filters or (">",)]
    subjects = tuple(dict.fromkeys(each for each in shared if each is not None))
    if not subjects:
        why = f"stream {stream} takes none of consumer {consumer}'s subjects"
    return _Subjects(subjects, why)


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
