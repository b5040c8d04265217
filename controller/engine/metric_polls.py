"""Polls the pools' metrics in tasks beside the loop, one per source: a tick never waits for a slow
source.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final, Self

import msgspec

from controller.engine.findings import Found
from controller.model.ids import PoolKey
from controller.model.metrics import MetricValue
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.snapshot import Severity
from controller.ports import Clock, MetricAnswer, MetricKey, MetricSource

READ_S: Final = 3.0
"""Time limit of one round; KEDA's limit for a scaler (KEDA_HTTP_DEFAULT_TIMEOUT, 3000 ms)."""
GRACE_S: Final = 0.5
"""Extra time before a round is cancelled. A source that keeps its own time limit can say for each
metric what failed; a cancelled one cannot."""
_NAMED: Final = 3
_NOTHING: Final[dict[str, Reading[MetricValue]]] = {}


class MetricPolls:
    """The last reading of every metric that a source can read.

    A metric that cannot be read is Stale with the last good value, or Absent if there never was
    one. Each source is polled every `interval_s`, or every `every_s` of its own if that is longer;
    its rounds never overlap, and each may take `read_s`.
    """

    def __init__(
        self,
        sources: Collection[MetricSource],
        clock: Clock,
        *,
        interval_s: float,
        read_s: float = READ_S,
    ) -> None:
        self._sources = tuple(source for source in sources if source.reads)
        self._clock = clock
        self._interval_s = interval_s
        self._read_s = read_s
        # replaced, never changed in place: an observation may still hold the old one
        self._readings: dict[PoolKey, dict[str, Reading[MetricValue]]] = {}
        self._read_at: dict[MetricKey, float] = {}
        self._unread = set(range(len(self._sources)))
        self._failed = {source.name: 0 for source in self._sources}
        self._first = asyncio.Event()
        if not self._sources:
            self._first.set()

    def readings(self, pool: PoolKey) -> dict[str, Reading[MetricValue]]:
        """The last readings of the pool's metrics, by name; the same object until one changes."""
        return self._readings.get(pool, _NOTHING)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Self]:
        """Poll the sources while the block runs."""
        if not self._sources:
            yield self
            return
        async with asyncio.TaskGroup() as tasks:
            polls = [
                tasks.create_task(self._poll(index, source), name=f"metrics of {source.name}")
                for index, source in enumerate(self._sources)
            ]
            yield self
            for poll in polls:
                poll.cancel()

    async def first_read(self, timeout_s: float) -> None:
        """Return when every source has ended its first round, or after `timeout_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._first.wait()

    def shift(self, seconds: float) -> None:
        """Add a step of the clock to the times of all readings."""
        self._readings = {
            pool: {
                name: msgspec.structs.replace(reading, at=reading.at + seconds)
                for name, reading in readings.items()
            }
            for pool, readings in self._readings.items()
        }

    def findings(self) -> Iterator[Found]:
        """One finding for each source and kind of failure, with all its pools together."""
        for source in self._sources:
            failures: defaultdict[Why, list[tuple[MetricKey, str]]] = defaultdict(list)
            for key in source.reads:
                reading = self.readings(key.pool).get(key.name)
                if reading is not None and not isinstance(reading, Fresh):
                    failures[reading.why].append((key, reading.detail))
            for why, concerned in failures.items():
                yield _failure_of(source.name, why, concerned)

    def failures(self) -> Collection[tuple[str, int]]:
        """Each source with how many readings of its metrics failed since the process began."""
        return tuple(self._failed.items())

    async def _poll(self, index: int, source: MetricSource) -> None:
        interval_s = max(self._interval_s, source.every_s)
        while True:
            began = self._clock.monotonic()
            self._take(source, await self._round(source))
            self._unread.discard(index)
            if not self._unread:
                self._first.set()
            await self._clock.sleep(max(0.0, began + interval_s - self._clock.monotonic()))

    async def _round(self, source: MetricSource) -> Mapping[MetricKey, MetricAnswer]:
        try:
            async with asyncio.timeout(self._read_s + GRACE_S):
                return await source.read(self._read_s)
        except TimeoutError:
            silent = Absent(
                why=Why.TIMED_OUT,
                at=self._clock.now(),
                detail=f"no answer within {self._read_s:g} s",
            )
            return dict.fromkeys(source.reads, silent)

    def _take(self, source: MetricSource, answers: Mapping[MetricKey, MetricAnswer]) -> None:
        missing = Absent(
            why=Why.INCOMPLETE, at=self._clock.now(), detail="the source gave no answer for it"
        )
        for key in source.reads:
            readings = self.readings(key.pool)
            known = readings.get(key.name)
            answer = answers.get(key, missing)
            reading = _reading(answer, known, self._read_at.get(key))
            if isinstance(answer, Fresh):
                self._read_at[key] = answer.at
            else:
                self._failed[source.name] += 1
            if reading is not known:
                self._readings[key.pool] = {**readings, key.name: reading}


def _reading(
    answer: MetricAnswer, known: Reading[MetricValue] | None, read_at: float | None
) -> Reading[MetricValue]:
    """The reading after an answer; `read_at` is the time of the last good one."""
    if isinstance(answer, Fresh) or known is None:
        same = (
            isinstance(known, Fresh) and isinstance(answer, Fresh) and known.value == answer.value
        )
        return known if known is not None and same else answer
    if not isinstance(known, Absent):
        at = known.at if read_at is None else read_at
        stale = Stale(value=known.value, at=at, why=answer.why, detail=answer.detail)
        return known if stale == known else stale
    # the same failure goes on: keep the time at which it began
    lasting = msgspec.structs.replace(answer, at=known.at)
    if lasting == known:
        return known
    return lasting if known.why is answer.why else answer


def _failure_of(source: str, why: Why, concerned: list[tuple[MetricKey, str]]) -> Found:
    names = [f"{key.name} of {key.pool}" for key, _ in concerned[:_NAMED]]
    more = f" and {len(concerned) - _NAMED} more" if len(concerned) > _NAMED else ""
    detail = concerned[0][1]
    said = f": {detail}" if detail else ""
    words = why.value.replace("_", " ")
    text = f"{', '.join(names)}{more} cannot be read ({words}) and prevent scale-down{said}"
    return Severity.WARNING, source, why.value, text
