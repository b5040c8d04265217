"""How much work waits: the depths of all pools' queues, read over one session."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from controller.model.fleet import Pool
from controller.model.ids import PoolKey
from controller.model.observation import QueueDepth
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.nats.consumer_lists import Answer, StreamConsumers
from controller.nats.consumers import ConsumerFilters, ConsumerState
from controller.nats.errors import NatsError, NatsTimeoutError
from controller.nats.jetstream import Requests
from controller.ports import Clock

STREAMS_AT_ONCE: Final = 256
MOST_MESSAGES: Final = 10**12
"""No queue is this long: a larger number is an error of the source."""

_GONE: Final = frozenset({Why.STREAM_MISSING, Why.CONSUMER_MISSING})


class _LastReading:
    """The last good reading of one consumer."""

    __slots__ = ("at", "config", "depth", "filters")

    def __init__(self, depth: QueueDepth, config: ConsumerFilters, at: float) -> None:
        self.depth = depth
        self.config = config
        self.filters = config.subjects()
        self.at = at


class QueueReader:
    """Reads queue depths: each stream independently of the others, all within `timeout_s`.

    A reading is Fresh only after a complete answer that names stream and consumer. It is Absent if
    one of them does not exist. Any other failure is Stale with the last good value, or Absent if
    there never was one. While a queue's numbers stay the same, its readings hold the same
    QueueDepth object, so that the planner recognises an unchanged pool without comparing numbers.
    """

    def __init__(self, nats: Requests, clock: Clock, *, timeout_s: float = 1.0) -> None:
        self._nats = nats
        self._clock = clock
        self._timeout_s = timeout_s
        self._streams: dict[str, StreamConsumers] = {}
        self._last: defaultdict[str, dict[str, _LastReading]] = defaultdict(dict)

    async def read(self, pools: Sequence[Pool]) -> Mapping[PoolKey, Reading[QueueDepth]]:
        """A reading for each pool, as of the time before the first request. Never raises."""
        at = self._clock.now()
        wanted: defaultdict[str, dict[str, PoolKey]] = defaultdict(dict)
        shared: list[tuple[PoolKey, PoolKey]] = []
        for pool in pools:
            first = wanted[pool.stream].setdefault(pool.consumer, pool.key)
            if first != pool.key:
                shared.append((pool.key, first))
        streams = [self._stream(name) for name in wanted]
        # streams that were slow last time come last, so that the others never wait for them
        streams.sort(key=lambda stream: stream.avoid_list_until)
        gate = asyncio.Semaphore(STREAMS_AT_ONCE)
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        async with asyncio.TaskGroup() as group:
            tasks = {
                stream.name: group.create_task(
                    self._ask(stream, wanted[stream.name].keys(), gate, deadline)
                )
                for stream in streams
            }
        readings: dict[PoolKey, Reading[QueueDepth]] = {}
        for name, task in tasks.items():
            self._take(name, wanted[name], task.result(), at, readings)
        for key, first in shared:
            readings[key] = readings[first]
        return readings

    def filters(self, stream: str, consumer: str) -> tuple[str, ...] | None:
        """The subjects this consumer takes, empty for all of its stream's; None before the consumer
        was read.
        """
        last = self._last[stream].get(consumer)
        return None if last is None else last.filters

    def _stream(self, name: str) -> StreamConsumers:
        if name not in self._streams:
            self._streams[name] = StreamConsumers(self._nats, self._clock, name, self._timeout_s)
        return self._streams[name]

    async def _ask(
        self,
        stream: StreamConsumers,
        wanted: AbstractSet[str],
        gate: asyncio.Semaphore,
        deadline: float,
    ) -> Mapping[str, Answer]:
        """An answer for each consumer wanted of one stream. Never raises, never late."""
        try:
            async with asyncio.timeout_at(deadline):
                await gate.acquire()
        except TimeoutError:
            error = NatsTimeoutError(f"no answer within {self._timeout_s:g} s")
            return dict.fromkeys(wanted, error)
        try:
            return await stream.ask(wanted, deadline)
        finally:
            gate.release()

    def _take(
        self,
        stream: str,
        wanted: Mapping[str, PoolKey],
        answers: Mapping[str, Answer],
        at: float,
        readings: dict[PoolKey, Reading[QueueDepth]],
    ) -> None:
        """Add a reading for each consumer wanted of one stream."""
        known = self._last[stream]
        # in the order of the answers, which are adjacent in memory: in the order of `wanted` this
        # loop takes twice as long (1.6 µs instead of 0.8 µs a consumer)
        for name, answer in answers.items():
            pool = wanted.get(name)
            if pool is None:
                continue
            last = known.get(name)
            if isinstance(answer, NatsError):
                readings[pool] = _without_value(answer.why, str(answer), last, at)
                if answer.why in _GONE:
                    known.pop(name, None)
                continue
            depth = _depth(answer)
            if last is None or depth != last.depth or answer.config != last.config:
                if not _is_plausible(depth):
                    readings[pool] = _without_value(Why.IMPLAUSIBLE, _numbers(depth), last, at)
                    continue
                if last is not None and depth == last.depth:
                    depth = last.depth
                last = known[name] = _LastReading(depth, answer.config, at)
            last.at = at
            readings[pool] = Fresh(value=last.depth, at=at)


def _without_value(
    why: Why, detail: str, last: _LastReading | None, at: float
) -> Stale[QueueDepth] | Absent:
    if last is None or why in _GONE:
        return Absent(why=why, at=at, detail=detail)
    return Stale(value=last.depth, at=last.at, why=why, detail=detail)


def _depth(state: ConsumerState) -> QueueDepth:
    delivered = state.delivered
    return QueueDepth(
        pending=state.num_pending,
        in_flight=state.num_ack_pending,
        redelivered=state.num_redelivered,
        waiting_pulls=state.num_waiting,
        paused=state.paused,
        delivered=None if delivered is None else delivered.consumer_seq,
        sequence=None if delivered is None else delivered.stream_seq,
    )


def _is_plausible(depth: QueueDepth) -> bool:
    numbers = (depth.pending, depth.in_flight, depth.redelivered, depth.waiting_pulls)
    return all(0 <= number <= MOST_MESSAGES for number in numbers)


def _numbers(depth: QueueDepth) -> str:
    return (
        f"{depth.pending} pending, {depth.in_flight} in flight, "
        f"{depth.redelivered} redelivered, {depth.waiting_pulls} waiting pulls"
    )
