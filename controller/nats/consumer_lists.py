"""Reads the consumers of one stream, by one chain of CONSUMER.LIST pages, or one by one where that
is faster.

For 1,000 consumers one chain takes 7 to 15 ms; one request for each takes 250 to 340 ms
(tests/benchmarks/bench_lag.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple, TypeAlias

from controller.model.readings import Why
from controller.model.text import clean
from controller.nats.consumers import ConsumerState, consumer_page, consumer_state
from controller.nats.errors import (
    ConsumerMissingError,
    NatsError,
    NatsTimeoutError,
    UnreadableAnswerError,
)
from controller.nats.jetstream import Requests
from controller.ports.clock import Clock

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

    def __init__(self, nats: Requests, clock: Clock, stream: str, timeout_s: float) -> None:
        self.name = stream
        self.avoid_list_until = 0.0
        self._nats = nats
        self._clock = clock
        self._timeout_s = timeout_s
        self._total = 0

    async def ask(self, wanted: AbstractSet[str], deadline: float) -> Mapping[str, Answer]:
        """An answer for each consumer wanted, perhaps for others too, at the latest at `deadline`
        (the event loop's time). Never raises.
        """
        try:
            if len(wanted) > ONE_BY_ONE_MOST and self._clock.monotonic() >= self.avoid_list_until:
                return await self._list_in_all_the_time(wanted, deadline)
            if not self._is_one_by_one_quicker(len(wanted)):
                answers = await self._list_in_half_the_time(wanted, deadline)
                if answers is not None:
                    return answers
            return await self._each(wanted, deadline)
        except NatsError as error:
            return dict.fromkeys(wanted, error)

    def _is_one_by_one_quicker(self, wanted: int) -> bool:
        if self._clock.monotonic() < self.avoid_list_until:
            return True
        self.avoid_list_until = 0.0
        return wanted * ONE_COSTS < self._total

    async def _list_in_half_the_time(
        self, wanted: AbstractSet[str], deadline: float
    ) -> Mapping[str, Answer] | None:
        """The list's answers; None if it did not come, while there is time left to read one by one.
        Raises NatsError.
        """
        try:
            return await self._list(wanted, deadline - _left(deadline) / 2, deadline)
        except (NatsError, TimeoutError) as error:
            if isinstance(error, NatsError) and error.why is not Why.TIMED_OUT:
                raise
            self.avoid_list_until = self._clock.monotonic() + AVOID_LIST_S
            return None

    async def _list_in_all_the_time(
        self, wanted: AbstractSet[str], deadline: float
    ) -> Mapping[str, Answer]:
        """The list's answers. If it does not come, the next read is one by one: if the list waited
        for some consumer, at least the others answer then.
        """
        try:
            return await self._list(wanted, deadline, deadline)
        except (NatsError, TimeoutError) as error:
            late = isinstance(error, TimeoutError) or error.why is Why.TIMED_OUT
            if late:
                self.avoid_list_until = self._clock.monotonic() + self._timeout_s
            return dict.fromkeys(wanted, self._late() if isinstance(error, TimeoutError) else error)

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

    def _late(self) -> NatsError:
        return NatsTimeoutError(f"no answer within {self._timeout_s:g} s")


def _left(deadline: float) -> float:
    return max(0.0, deadline - asyncio.get_running_loop().time())
