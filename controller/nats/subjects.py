"""The subjects on which the messages of a queue are published, so that pools can be woken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from controller.model.text import clean
from controller.model.value import Value
from controller.nats.errors import NatsError
from controller.nats.jetstream import StreamConfiguration, stream_info
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
