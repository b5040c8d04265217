"""Signals read from a real Prometheus, which dies, freezes and comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec

from controller.engine.observe import MetricPolls
from controller.engine.supervise import SystemClock
from controller.model.fleet import PrometheusQuery, Signal
from controller.model.observation import MetricValue, Series
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.sources.prometheus import PrometheusSource
from support.prometheus_server import RealPrometheus
from support.world import make_pool

READ_S = 0.5


@asynccontextmanager
async def polling(prometheus: RealPrometheus, **queries: str) -> AsyncIterator[MetricPolls]:
    signals = tuple(
        Signal(name=name, source=PrometheusQuery(query=query)) for name, query in queries.items()
    )
    pools, clock = [msgspec.structs.replace(make_pool(), signals=signals)], SystemClock()
    async with PrometheusSource.connect(prometheus.url, pools, clock) as source:
        polls = MetricPolls([source], clock, interval_s=0.05, read_s=READ_S)
        async with polls.reading():
            await polls.first_read(5.0)
            yield polls


def read(polls: MetricPolls) -> Mapping[str, Reading[MetricValue]]:
    return polls.readings(make_pool().key)


async def until(polls: MetricPolls, kind: type[Reading[MetricValue]], name: str = "all") -> None:
    async with asyncio.timeout(15.0):
        while not isinstance(read(polls).get(name), kind):
            await asyncio.sleep(0.01)


def milli(reading: Reading[MetricValue]) -> int:
    assert isinstance(reading, Fresh | Stale), reading
    assert isinstance(reading.value, Series)
    [value] = reading.value.values_milli
    return value


async def test_queries_answer_with_one_number_or_say_why_not(prometheus: RealPrometheus) -> None:
    queries = {
        "all": "sum(agent_backlog)",
        "one": 'agent_backlog{agent="etl"}',
        "scalar": "scalar(sum(agent_backlog)) * 2",
        "many": "agent_backlog",
        "none": "agent_backlog > 100",
        "infinite": "sum(agent_backlog) / 0",
        "broken": "sum(agent_backlog",
        "matrix": "agent_backlog[1m]",
    }
    async with polling(prometheus, **queries) as polls:
        found = read(polls)
    values = {name: milli(found[name]) for name in ("all", "one", "scalar")}
    assert values == {"all": 7500, "one": 2500, "scalar": 15000}
    whys = {name: each.why for name, each in found.items() if isinstance(each, Absent)}
    assert whys == {
        "many": Why.IMPLAUSIBLE,
        "none": Why.INCOMPLETE,
        "infinite": Why.IMPLAUSIBLE,
        "broken": Why.REFUSED,
        "matrix": Why.UNREADABLE,
    }
    broken = found["broken"]
    assert isinstance(broken, Absent)
    assert "unclosed left parenthesis" in broken.detail


async def test_a_frozen_server_is_a_dead_one_until_it_answers_again(
    prometheus: RealPrometheus,
) -> None:
    async with polling(prometheus, all="sum(agent_backlog)") as polls:
        await until(polls, Fresh)
        prometheus.freeze()
        frozen_at = time.monotonic()
        await until(polls, Stale)
        assert time.monotonic() - frozen_at < 3 * READ_S
        stale = read(polls)["all"]
        assert isinstance(stale, Stale)
        assert (milli(stale), stale.why) == (7500, Why.TIMED_OUT)
        prometheus.thaw()
        await until(polls, Fresh)


async def test_a_killed_server_leaves_the_last_value_and_is_read_again_after_its_start(
    prometheus: RealPrometheus,
) -> None:
    async with polling(prometheus, all="sum(agent_backlog)") as polls:
        await until(polls, Fresh)
        prometheus.kill()
        await until(polls, Stale)
        stale = read(polls)["all"]
        assert isinstance(stale, Stale)
        assert (milli(stale), stale.why) == (7500, Why.DISCONNECTED)
        assert "connection refused" in stale.detail
        await asyncio.to_thread(prometheus.start)
        await until(polls, Fresh)
        assert milli(read(polls)["all"]) == 7500


async def test_a_series_that_ends_is_no_zero(prometheus: RealPrometheus) -> None:
    async with polling(prometheus, all='agent_backlog{agent="etl"}') as polls:
        await until(polls, Fresh)
        prometheus.exporter.backlog.remove("etl")
        await until(polls, Stale)
        stale = read(polls)["all"]
        assert isinstance(stale, Stale)
        assert (milli(stale), stale.why) == (2500, Why.INCOMPLETE)
