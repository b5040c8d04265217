"""Signals that are PromQL queries, read from one Prometheus server."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from threading import Lock
from typing import TYPE_CHECKING, Final, Self

from controller.model.fleet import Pool, PrometheusQuery
from controller.model.observation import Series
from controller.model.readings import Absent, Fresh, Why
from controller.model.settings import Settings
from controller.ports import Clock, MetricAnswer, MetricKey

if TYPE_CHECKING:
    from controller.sources._promapi import PrometheusApi

THREADS: Final = 4
"""The client blocks a thread, so this is the number of queries at the same time."""
QUERIES_PER_SECOND: Final = 50
"""A query costs about a millisecond of a core. A fleet with very many queries asks less often, so
that they never take more than a twentieth of a core.
"""


class QueryError(Exception):
    """A query gave no usable number. `why` and the message go into the reading."""

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(message)
        self.why = why


@asynccontextmanager
async def open_source(settings: Settings, clock: Clock) -> AsyncIterator[PrometheusSource | None]:
    """The source of this fleet, if its file names a server."""
    if settings.prometheus is None:
        yield None
        return
    url, pools = settings.prometheus.url, settings.fleet.pools
    async with PrometheusSource.connect(url, pools, clock) as source:
        yield source


class PrometheusSource:
    """The `MetricSource` of the pools' Prometheus signals. A query that several pools share is sent
    once. The client library takes long to import, so it is imported in the first round.

    Only a complete answer with exactly one number is Fresh. Everything else is Absent with the
    reason.
    """

    name = "prometheus"

    def __init__(
        self, url: str, pools: Iterable[Pool], clock: Clock, threads: ThreadPoolExecutor
    ) -> None:
        self._url = url
        self._clock = clock
        self._threads = threads
        self._loading = Lock()
        self._api: PrometheusApi | None = None
        self._asked_by: defaultdict[str, list[MetricKey]] = defaultdict(list)
        for pool in pools:
            for signal in pool.signals:
                if isinstance(signal.source, PrometheusQuery):
                    key = MetricKey(pool.key, signal.name)
                    self._asked_by[signal.source.query].append(key)

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str, pools: Iterable[Pool], clock: Clock) -> AsyncIterator[Self]:
        """A source with its threads, which end after their last query."""
        threads = ThreadPoolExecutor(THREADS, thread_name_prefix="prometheus")
        source = cls(url, pools, clock, threads)
        try:
            yield source
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            if source._api is not None:
                source._api.close()

    @property
    def reads(self) -> Collection[MetricKey]:
        """The signals that `read` answers."""
        return tuple(key for keys in self._asked_by.values() for key in keys)

    @property
    def every_s(self) -> float:
        """The least time between two rounds, in seconds."""
        return len(self._asked_by) / QUERIES_PER_SECOND

    async def read(self, timeout_s: float) -> Mapping[MetricKey, MetricAnswer]:
        """An answer for each signal, dated before the first query. Raises nothing."""
        at = self._clock.now()
        deadline = time.monotonic() + timeout_s
        async with asyncio.TaskGroup() as group:
            asked = {
                query: group.create_task(self._ask(query, at, deadline)) for query in self._asked_by
            }
        return {
            key: asked[query].result() for query, keys in self._asked_by.items() for key in keys
        }

    async def _ask(self, query: str, at: float, deadline: float) -> MetricAnswer:
        running = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                milli = await running.run_in_executor(self._threads, self._answer, query, deadline)
        except QueryError as error:
            return Absent(why=error.why, at=at, detail=str(error))
        except TimeoutError:
            return Absent(why=Why.TIMED_OUT, at=at, detail="no answer in time")
        return Fresh(value=Series(values_milli=(milli,)), at=at)

    def _answer(self, query: str, deadline: float) -> int:
        """Runs on one of the threads. Raises QueryError."""
        with self._loading:
            if self._api is None:
                from controller.sources._promapi import PrometheusApi

                self._api = PrometheusApi(self._url)
        return self._api.ask(query, deadline)
