"""How much work waits: every pool's consumer, read by one chain of CONSUMER.LIST pages a stream."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from controller.model.fleet import Pool
from controller.model.ids import PoolKey
from controller.model.observation import QueueDepth
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.text import clean
from controller.ports import Clock, NatsRequests
from controller.sources.jsapi import (
    MOST_MESSAGES,
    ConsumerInfo,
    NoAnswerError,
    consumer_info,
    consumer_page,
)

STREAMS_AT_ONCE: Final = 256
CONSUMERS_AT_ONCE: Final = 128
CHAINS: Final = 3
"""How often a list that changed while it was read is read again."""

ONE_CHEAPER: Final = 6
"""CONSUMER.INFO costs about as much as this many consumers of a list (measured, one stream)."""

AVOID_LIST_S: Final = 30.0
"""How long a stream is asked consumer by consumer after its list did not come: in a cluster the
list waits 4 s for a consumer without a leader, and its fellows should not wait with it.
"""

_GONE: Final = frozenset({Why.STREAM_MISSING, Why.CONSUMER_MISSING})

Answer: TypeAlias = ConsumerInfo | NoAnswerError


class _Chain(NamedTuple):
    """A stream's consumers as all pages together give them; `silent` exist and did not answer."""

    found: Mapping[str, ConsumerInfo]
    silent: Collection[str]
    pages: int


class JetStreamSource:
    """Reads queue depths over a NATS connection, each stream for itself, all within `timeout_s`.

    Fresh comes only from a complete answer that names stream and consumer. What is gone is Absent;
    whatever else goes wrong is Stale with the last good value, or Absent if there never was one.
    """

    def __init__(self, nats: NatsRequests, clock: Clock, *, timeout_s: float = 1.0) -> None:
        self._nats = nats
        self._clock = clock
        self._timeout_s = timeout_s
        self._last: dict[tuple[str, str], Fresh[QueueDepth]] = {}
        self._filters: dict[tuple[str, str], tuple[str, ...]] = {}
        self._totals: dict[str, int] = {}
        self._listless_until: dict[str, float] = {}

    async def read(self, pools: Sequence[Pool]) -> Mapping[PoolKey, Reading[QueueDepth]]:
        """A reading for each pool, of the moment before the first request. Raises nothing."""
        at = self._clock.now()
        wanted: dict[str, set[str]] = defaultdict(set)
        for pool in pools:
            wanted[pool.stream].add(pool.consumer)
        # who was slow last time comes last, so that the others never queue behind it
        streams = sorted(wanted, key=lambda stream: self._listless_until.get(stream, 0.0))
        gate = asyncio.Semaphore(STREAMS_AT_ONCE)
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        async with asyncio.TaskGroup() as group:
            asked = {
                stream: group.create_task(self._stream(stream, wanted[stream], gate, deadline))
                for stream in streams
            }
        answers = {stream: task.result() for stream, task in asked.items()}
        return {
            pool.key: self._reading(pool, answers[pool.stream][pool.consumer], at) for pool in pools
        }

    def filters(self, stream: str, consumer: str) -> tuple[str, ...] | None:
        """The subjects this consumer takes, empty for all of its stream's; None before it was
        read.
        """
        return self._filters.get((stream, consumer))

    async def _stream(
        self, stream: str, wanted: Collection[str], gate: asyncio.Semaphore, deadline: float
    ) -> Mapping[str, Answer]:
        """An answer for each consumer wanted of one stream; never raises, never late."""
        try:
            async with asyncio.timeout_at(deadline):
                await gate.acquire()
        except TimeoutError:
            return dict.fromkeys(wanted, self._too_late())
        try:
            if not self._rather_one_by_one(stream, len(wanted)):
                answers = await self._list_in_half_the_time(stream, wanted, deadline)
                if answers is not None:
                    return answers
            return await self._each(stream, wanted, deadline)
        except NoAnswerError as error:
            return dict.fromkeys(wanted, error)
        finally:
            gate.release()

    async def _list_in_half_the_time(
        self, stream: str, wanted: Collection[str], deadline: float
    ) -> Mapping[str, Answer] | None:
        """The list's answers; None if it did not come, and there is time left to ask each."""
        halfway = deadline - self._left(deadline) / 2
        try:
            async with asyncio.timeout_at(halfway):
                chain = await self._settled_chain(stream, halfway)
        except (NoAnswerError, TimeoutError) as error:
            if isinstance(error, NoAnswerError) and error.why is not Why.TIMED_OUT:
                raise
            self._listless_until[stream] = self._clock.now() + AVOID_LIST_S
            return None
        answers: dict[str, Answer] = {
            name: chain.found[name] for name in wanted if name in chain.found
        }
        # of several pages one may have shifted past a consumer unseen: ask before saying "missing"
        doubtful = [
            name
            for name in wanted
            if name not in chain.found and (chain.pages > 1 or name in chain.silent)
        ]
        answers.update(await self._each(stream, doubtful, deadline))
        for name in wanted:
            if name not in answers:
                answers[name] = NoAnswerError(
                    Why.CONSUMER_MISSING, clean(f"stream {stream} has no consumer {name}")
                )
        return answers

    def _rather_one_by_one(self, stream: str, wanted: int) -> bool:
        if self._clock.now() < self._listless_until.get(stream, 0.0):
            return True
        self._listless_until.pop(stream, None)
        return wanted * ONE_CHEAPER < self._totals.get(stream, 0)

    async def _settled_chain(self, stream: str, deadline: float) -> _Chain:
        for _ in range(CHAINS):
            chain = await self._chain(stream, deadline)
            if chain is not None:
                self._totals[stream] = len(chain.found) + len(chain.silent)
                return chain
        raise NoAnswerError(Why.INCOMPLETE, "consumers came and went while they were listed")

    async def _chain(self, stream: str, deadline: float) -> _Chain | None:
        """All pages. None if they do not fit together: consumers came or went meanwhile."""
        found: dict[str, ConsumerInfo] = {}
        silent: set[str] = set()
        offset = pages = 0
        total = None
        while True:
            page = await consumer_page(self._nats, stream, offset, self._left(deadline))
            infos = page.consumers or []
            pages += 1
            if total is not None and page.total != total:
                return None
            total = page.total
            silent |= page.silent
            found.update((info.name, info) for info in infos)
            offset += len(infos) + len(page.silent)
            if len(found) + len(silent) != offset:
                return None
            if offset == total:
                return _Chain(found=found, silent=silent, pages=pages)
            if not infos and not page.silent:
                raise NoAnswerError(Why.INCOMPLETE, f"{offset} of {total} consumers were listed")

    async def _each(
        self, stream: str, consumers: Collection[str], deadline: float
    ) -> Mapping[str, Answer]:
        """CONSUMER.INFO for each of these; one that does not answer takes nobody with it."""
        gate = asyncio.Semaphore(CONSUMERS_AT_ONCE)

        async def ask(consumer: str) -> Answer:
            try:
                async with asyncio.timeout_at(deadline), gate:
                    return await consumer_info(self._nats, stream, consumer, self._left(deadline))
            except NoAnswerError as error:
                return error
            except TimeoutError:
                return self._too_late()

        names = list(consumers)
        return dict(zip(names, await asyncio.gather(*map(ask, names)), strict=True))

    def _too_late(self) -> NoAnswerError:
        return NoAnswerError(Why.TIMED_OUT, f"no answer within {self._timeout_s:g} s")

    def _left(self, deadline: float) -> float:
        return max(0.0, deadline - asyncio.get_running_loop().time())

    def _reading(self, pool: Pool, answer: Answer, at: float) -> Reading[QueueDepth]:
        key = (pool.stream, pool.consumer)
        if isinstance(answer, ConsumerInfo):
            self._filters[key] = answer.filters
            depth = _depth_or_doubt(answer)
        else:
            depth = answer
        if isinstance(depth, QueueDepth):
            fresh = self._last[key] = Fresh(value=depth, at=at)
            return fresh
        if depth.why in _GONE:
            self._last.pop(key, None)
            self._filters.pop(key, None)
        last = self._last.get(key)
        if last is None:
            return Absent(why=depth.why, at=at, detail=depth.detail)
        return Stale(value=last.value, at=last.at, why=depth.why, detail=depth.detail)


def _depth_or_doubt(info: ConsumerInfo) -> QueueDepth | NoAnswerError:
    numbers = (info.num_pending, info.num_ack_pending, info.num_redelivered, info.num_waiting)
    if any(number < 0 or number > MOST_MESSAGES for number in numbers):
        return NoAnswerError(
            Why.IMPLAUSIBLE,
            f"{info.num_pending} pending, {info.num_ack_pending} in flight, "
            f"{info.num_redelivered} redelivered, {info.num_waiting} waiting pulls",
        )
    return QueueDepth(
        pending=info.num_pending,
        in_flight=info.num_ack_pending,
        redelivered=info.num_redelivered,
        waiting_pulls=info.num_waiting,
        paused=info.paused,
        delivered=None if info.delivered is None else info.delivered.consumer_seq,
        sequence=None if info.delivered is None else info.delivered.stream_seq,
    )
