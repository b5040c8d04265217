"""The consumers of a stream, as the server describes them.

They are read by raw pages of CONSUMER.LIST: for 1,000 consumers nats-py's `consumers_info` takes
three times as long (21 instead of 7 ms), and `consumer_info` one by one 40 times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple, TypeAlias

import msgspec

from controller.model.observation import QueueDepth
from controller.model.text import clean
from controller.nats.jetstream import (
    ConsumerMissingError,
    JetStreamAnswer,
    NatsError,
    NatsTimeoutError,
    Requests,
    UnreadableAnswerError,
    ask,
)
from controller.ports import Clock

CONSUMERS_AT_ONCE: Final = 128
CHAINS: Final = 3
"""How often a list that changed while it was read is read again."""
ONE_COSTS: Final = 6
"""One CONSUMER.INFO costs about as much as this many consumers of a list (measured, one stream)."""
AVOID_LIST_S: Final = 30.0
"""How long consumers are read one by one after the list did not come. In a cluster the list waits 4
s for a consumer without a leader, and the stream's other consumers should not wait for it.
"""
ONE_BY_ONE_MOST: Final = 1_000
"""More consumers than this cannot be read one by one in time (1,000 take 0.3 s), so their list may
use all the time.
"""


# gc=False: none of these can be in a reference cycle, and every tick decodes thousands of them
class ConsumerConfiguration(msgspec.Struct, gc=False):
    """The subjects a consumer takes: one filter, several, or with neither the whole stream; and how
    often it delivers a message at most, 0 or less for no limit.
    """

    filter_subject: str = ""
    filter_subjects: list[str] | None = None
    max_deliver: int = -1

    def subjects(self) -> tuple[str, ...]:
        """All filters; empty for the whole stream."""
        if self.filter_subjects:
            return tuple(self.filter_subjects)
        return (self.filter_subject,) if self.filter_subject else ()


class LastDelivery(msgspec.Struct, gc=False):
    """The last delivery: its number among the consumer's, and its message's in the stream."""

    consumer_seq: int
    stream_seq: int


class AckFloor(msgspec.Struct, frozen=True, gc=False):
    """The deliveries up to `consumer_seq`, of messages up to `stream_seq`, are acknowledged.
    `last_active` is the time of the last acknowledgement of any message, empty before the first
    since the consumer has its leader (nats-server, consumer.go updateAcks).
    """

    consumer_seq: int
    stream_seq: int
    last_active: str = ""


class ConsumerState(JetStreamAnswer, kw_only=True, gc=False):
    """One consumer. A missing number makes the answer unreadable; it is not a zero."""

    stream_name: str
    name: str
    num_pending: int
    num_ack_pending: int
    num_redelivered: int
    num_waiting: int
    paused: bool = False
    created: str = ""
    delivered: LastDelivery | None = None
    ack_floor: AckFloor | None = None
    config: ConsumerConfiguration = msgspec.field(default_factory=ConsumerConfiguration)

    def depth(self) -> QueueDepth:
        """How much work waits."""
        delivered = self.delivered
        return QueueDepth(
            pending=self.num_pending,
            in_flight=self.num_ack_pending,
            redelivered=self.num_redelivered,
            waiting_pulls=self.num_waiting,
            paused=self.paused,
            delivered=None if delivered is None else delivered.consumer_seq,
            sequence=None if delivered is None else delivered.stream_seq,
        )


class ConsumerPage(JetStreamAnswer, kw_only=True):
    """One page of CONSUMER.LIST. In a cluster `missing` and `offline` name consumers that belong to
    the page and whose leaders did not answer.
    """

    total: int
    consumers: list[ConsumerState]
    offset: int = 0
    missing: list[str] | None = None
    offline: dict[str, str] | None = None

    @property
    def silent(self) -> frozenset[str]:
        """Consumers that exist and did not answer."""
        return frozenset(self.missing or ()) | frozenset(self.offline or ())


_PAGE: Final = msgspec.json.Decoder(ConsumerPage)
_CONSUMER: Final = msgspec.json.Decoder(ConsumerState)


async def consumer_page(nats: Requests, stream: str, offset: int, timeout_s: float) -> ConsumerPage:
    """The page of the stream's consumers that begins at `offset`. Raises NatsError."""
    payload = b'{"offset":%d}' % offset
    page = await ask(nats, f"CONSUMER.LIST.{stream}", payload, _PAGE, timeout_s)
    if page.offset != offset:
        raise UnreadableAnswerError(f"the page from {page.offset} instead of {offset}")
    for consumer in page.consumers:
        if consumer.stream_name != stream:
            raise UnreadableAnswerError(f"an answer about {clean(consumer.stream_name)}")
    return page


async def consumer_state(
    nats: Requests, stream: str, consumer: str, timeout_s: float
) -> ConsumerState:
    """One consumer, from its leader. Raises NatsError."""
    state = await ask(nats, f"CONSUMER.INFO.{stream}.{consumer}", b"", _CONSUMER, timeout_s)
    if (state.stream_name, state.name) != (stream, consumer):
        raise UnreadableAnswerError(f"an answer about {clean(state.name)}")
    return state


Answer: TypeAlias = ConsumerState | NatsError


class _Chain(NamedTuple):
    """A stream's consumers, from all pages. The consumers in `silent` exist and did not answer."""

    found: dict[str, ConsumerState]
    silent: Collection[str]
    pages: int


class StreamConsumers:
    """Reads the consumers of one stream, and remembers what makes the next read fast.

    `avoid_list_until` (monotonic seconds): until then the list is not requested.
    """

    def __init__(
        self, nats: Requests, clock: Clock, stream: str, timeout_s: float, gate: asyncio.Semaphore
    ) -> None:
        """`gate` lets so many streams be read at a time."""
        self.name = stream
        self.avoid_list_until = 0.0
        self._nats = nats
        self._clock = clock
        self._timeout_s = timeout_s
        self._gate = gate
        self._total = 0

    async def ask(self, wanted: AbstractSet[str], deadline: float) -> Mapping[str, Answer]:
        """An answer for each consumer wanted, perhaps for others too, at the latest at `deadline`
        (the event loop's time). Never raises.
        """
        try:
            async with asyncio.timeout_at(deadline):
                await self._gate.acquire()
        except TimeoutError:
            return dict.fromkeys(wanted, self._late())
        try:
            if self._clock.monotonic() >= self.avoid_list_until:
                self.avoid_list_until = 0.0
                if len(wanted) * ONE_COSTS >= self._total:
                    answers = await self._listed(wanted, deadline)
                    if answers is not None:
                        return answers
            return await self._each(wanted, deadline)
        except NatsError as error:
            return dict.fromkeys(wanted, error)
        finally:
            self._gate.release()

    async def _listed(
        self, wanted: AbstractSet[str], deadline: float
    ) -> Mapping[str, Answer] | None:
        """The list's answers; None if it did not come, while there is time left to read one by one.
        A long list has all the time; if it does not come, the next read is one by one: if the list
        waited for some consumer, at least the others answer then. Raises NatsError.
        """
        is_long = len(wanted) > ONE_BY_ONE_MOST
        try:
            listed_by = deadline if is_long else deadline - _left(deadline) / 2
            return await self._list(wanted, listed_by, deadline)
        except TimeoutError:
            late = self._late()
        except NatsTimeoutError as error:
            late = error
        avoid_s = self._timeout_s if is_long else AVOID_LIST_S
        self.avoid_list_until = self._clock.monotonic() + avoid_s
        if is_long:
            raise late
        return None

    async def _list(
        self, wanted: AbstractSet[str], listed_by: float, deadline: float
    ) -> Mapping[str, Answer]:
        """The answers of a list, if it is there by `listed_by`. Raises NatsError, TimeoutError."""
        async with asyncio.timeout_at(listed_by):
            chain = await self._settled_chain(listed_by)
        unlisted = wanted - chain.found.keys()
        if not unlisted:
            return chain.found
        # between two pages a consumer may have moved to the previous page: read it by itself
        doubtful = [name for name in unlisted if chain.pages > 1 or name in chain.silent]
        answers: dict[str, Answer] = dict(chain.found)
        for name in unlisted:
            answers[name] = ConsumerMissingError(
                clean(f"stream {self.name} has no consumer {name}")
            )
        return answers | await self._each(doubtful, deadline)

    async def _settled_chain(self, deadline: float) -> _Chain:
        for _ in range(CHAINS):
            chain = await self._chain(deadline)
            if chain is not None:
                self._total = len(chain.found) + len(chain.silent)
                return chain
        raise UnreadableAnswerError("consumers came and went while they were listed")

    async def _chain(self, deadline: float) -> _Chain | None:
        """All pages. None if they do not fit together, because consumers came or went between two
        of them.
        """
        found: dict[str, ConsumerState] = {}
        silent: set[str] = set()
        offset = pages = 0
        total = None
        while True:
            page = await consumer_page(self._nats, self.name, offset, _left(deadline))
            pages += 1
            if total is not None and page.total != total:
                return None
            total = page.total
            missing = page.silent
            silent |= missing
            found.update({consumer.name: consumer for consumer in page.consumers})
            offset += len(page.consumers) + len(missing)
            if len(found) + len(silent) != offset:
                return None
            if offset == total:
                return _Chain(found=found, silent=silent, pages=pages)
            if not page.consumers and not missing:
                raise UnreadableAnswerError(f"{offset} of {total} consumers were listed")

    async def _each(self, consumers: Collection[str], deadline: float) -> dict[str, Answer]:
        """CONSUMER.INFO for each of these. A consumer that does not answer does not affect the
        others.
        """
        gate = asyncio.Semaphore(CONSUMERS_AT_ONCE)

        async def ask(consumer: str) -> Answer:
            try:
                async with asyncio.timeout_at(deadline), gate:
                    return await consumer_state(self._nats, self.name, consumer, _left(deadline))
            except NatsError as error:
                return error
            except TimeoutError:
                return self._late()

        names = list(consumers)
        return dict(zip(names, await asyncio.gather(*map(ask, names)), strict=True))

    def _late(self) -> NatsTimeoutError:
        return NatsTimeoutError(f"no answer within {self._timeout_s:g} s")


def _left(deadline: float) -> float:
    return max(0.0, deadline - asyncio.get_running_loop().time())
