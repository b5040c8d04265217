"""Where a queue's messages pass by on their way into the stream: the subjects to listen on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from controller.model.text import clean
from controller.model.value import Value
from controller.ports import Clock, NatsRequests
from controller.sources.jsapi import NoAnswerError, StreamConfig, stream_config

KEEP_S: Final = 300.0
"""How long a stream's configuration is believed; a reconnect ends it sooner."""

RETRY_S: Final = 10.0
"""How soon a stream that could not be asked is asked again."""


class Listening(Value):
    """The subjects to listen on, or in words why listening would not tell."""

    subjects: tuple[str, ...] = ()
    polled_because: str = ""


class Subjects:
    """Knows where streams take their messages from: STREAM.INFO asked once, and again every five
    minutes and after a reconnect.

    `filters` says what a consumer takes (see JetStreamSource.filters).
    """

    def __init__(
        self,
        nats: NatsRequests,
        clock: Clock,
        filters: Callable[[str, str], tuple[str, ...] | None],
        *,
        timeout_s: float = 1.0,
    ) -> None:
        self._nats = nats
        self._clock = clock
        self._filters = filters
        self._timeout_s = timeout_s
        self._known: dict[str, tuple[StreamConfig | NoAnswerError, float]] = {}
        self._heard: dict[tuple[str, str], tuple[StreamConfig, tuple[str, ...], Listening]] = {}
        nats.on_reconnect(self._known.clear)

    async def learn(self, streams: Collection[str]) -> None:
        """Ask about the streams that are not known; returns within the time-out."""
        now = self._clock.now()
        due = [name for name in streams if name not in self._known or self._known[name][1] <= now]
        answers = await asyncio.gather(*(self._ask(name) for name in due))
        for name, answer in zip(due, answers, strict=True):
            keep_s = KEEP_S if isinstance(answer, StreamConfig) else RETRY_S
            self._known[name] = (answer, now + keep_s)

    def listening(self, stream: str, consumer: str) -> Listening:
        """Where this consumer's next message can be heard."""
        known = self._known.get(stream)
        if known is None:
            return Listening(polled_because=f"stream {stream} has not been asked yet")
        config = known[0]
        if isinstance(config, NoAnswerError):
            return Listening(polled_because=clean(f"stream {stream}: {config.detail}"))
        if indirect := _indirect(config):
            return Listening(polled_because=f"stream {stream} {indirect}")
        filters = self._filters(stream, consumer)
        if filters is None:
            return Listening(polled_because=f"consumer {consumer} has not been read yet")
        cached = self._heard.get((stream, consumer))
        if cached is not None and cached[0] is config and cached[1] == filters:
            return cached[2]
        listening = Listening(subjects=_both(config.subjects or (), filters))
        if not listening.subjects:
            why = f"stream {stream} takes none of consumer {consumer}'s subjects"
            listening = Listening(polled_because=why)
        self._heard[stream, consumer] = (config, filters, listening)
        return listening

    async def _ask(self, stream: str) -> StreamConfig | NoAnswerError:
        try:
            return await stream_config(self._nats, stream, self._timeout_s)
        except NoAnswerError as error:
            return error


def _indirect(config: StreamConfig) -> str:
    """Why messages can enter this stream unheard, if they can."""
    if config.mirror is not None:
        return "is a mirror: its messages are not published to it"
    if config.sources:
        return "has sources: their messages are not published to it"
    if config.subject_transform is not None:
        return "transforms its subjects"
    return ""


def _both(subjects: Collection[str], filters: Collection[str]) -> tuple[str, ...]:
    """What is both published into the stream and taken by the consumer.

    A filter may be wider than its stream: listening to all of it would hear of foreign messages.
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
