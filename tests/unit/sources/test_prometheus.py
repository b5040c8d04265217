"""Prometheus signals: only a complete answer with one plausible number is a value."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web

from controller.model.fleet import ExternalSeries, Pool, PrometheusQuery, Signal
from controller.model.observation import Series
from controller.model.readings import Absent, Fresh, Why
from controller.ports import MetricAnswer, MetricKey
from controller.sources.prometheus import THREADS, PrometheusSource
from support.world import START, VirtualClock, make_pool
from tests.unit.sources.stub_prometheus import (
    Handler,
    StubPrometheus,
    dribble,
    half,
    result,
    silence,
    stub,
    vector,
)


def pool(name: str = "research", **queries: str) -> Pool:
    signals = tuple(
        Signal(name=signal, source=PrometheusQuery(query=query))
        for signal, query in queries.items()
    )
    return msgspec.structs.replace(make_pool(name), signals=signals)


BACKLOG = pool(backlog="sum(backlog)")
KEY = MetricKey(BACKLOG.key, "backlog")


@pytest.fixture
async def server() -> AsyncIterator[StubPrometheus]:
    async with stub() as running:
        yield running


async def ask(url: str, *pools: Pool, timeout_s: float = 5.0) -> dict[MetricKey, MetricAnswer]:
    async with PrometheusSource.connect(url, pools or (BACKLOG,), VirtualClock()) as source:
        return dict(await source.read(timeout_s))


async def answer(server: StubPrometheus, timeout_s: float = 5.0) -> MetricAnswer:
    return (await ask(server.url, timeout_s=timeout_s))[KEY]


def refused(found: MetricAnswer) -> tuple[Why, str]:
    assert isinstance(found, Absent), found
    return found.why, found.detail


@pytest.mark.parametrize(
    ("body", "milli"),
    [
        (vector("42"), 42_000),
        (vector("0"), 0),
        (vector("0.29"), 290),
        (vector("1.5e+06"), 1_500_000_000),
        (vector("0.0000001"), 1),
        (vector("9223372036854775"), 9_223_372_036_854_775_000),
        (result("scalar", [1_700_000_000, "7.25"]), 7_250),
        (vector("3") | {"warnings": ["PromQL info: metric might not be a counter"]}, 3_000),
        (vector("3") | {"infos": ["PromQL info: x"], "warnings": None}, 3_000),
    ],
)
async def test_a_complete_answer_is_a_value_in_exact_thousandths(
    server: StubPrometheus, body: dict[str, Any], milli: int
) -> None:
    server.body = body
    assert await answer(server) == Fresh(value=Series(values_milli=(milli,)), at=START)


@pytest.mark.parametrize(
    ("body", "why", "words"),
    [
        (b"<html><body>Log in</body></html>", Why.UNREADABLE, "not the JSON of Prometheus"),
        (
            b'{"status":"success","data":{"resultType":"vec',
            Why.UNREADABLE,
            "not the JSON of Prometheus",
        ),
        (b"", Why.UNREADABLE, "not the JSON of Prometheus"),
        (b"\xff\xfe", Why.UNREADABLE, "not the JSON of Prometheus"),
        (None, Why.UNREADABLE, "not the JSON of Prometheus"),
        ([], Why.UNREADABLE, "not the JSON of Prometheus"),
        ({"status": 1}, Why.UNREADABLE, "not the JSON of Prometheus"),
        ({}, Why.INCOMPLETE, "the answer is an error"),
        ({"status": "success"}, Why.INCOMPLETE, "the answer is an error"),
        (
            {"status": "error", "error": "busy \x1b[2J"},
            Why.INCOMPLETE,
            "the answer is an error: busy \ufffd[2J",
        ),
        (vector("5") | {"warnings": ["one store is away"]}, Why.INCOMPLETE, "one store is away"),
        (vector(), Why.INCOMPLETE, "finds no series"),
        (vector("1", "2", "3"), Why.IMPLAUSIBLE, "finds 3 series and one is wanted"),
        (result("vector", [{"metric": {}}]), Why.UNREADABLE, "not a single number"),
        (result("vector", [{"value": [1]}]), Why.UNREADABLE, "not a single number"),
        (result("vector", [{"value": [1, 2]}]), Why.UNREADABLE, "not a single number"),
        (result("vector", None), Why.UNREADABLE, "not a single number"),
        (result("matrix", [{"values": [[1, "2"]]}]), Why.UNREADABLE, "not a single number"),
        (result("string", [1, "many"]), Why.UNREADABLE, "'many' is not a number"),
        (vector(""), Why.UNREADABLE, "'' is not a number"),
        (vector("0" * 100), Why.UNREADABLE, "is not a number"),
        (vector("NaN"), Why.IMPLAUSIBLE, "the query's value is NaN"),
        (vector("+Inf"), Why.IMPLAUSIBLE, "the query's value is +Inf"),
        (vector("-Inf"), Why.IMPLAUSIBLE, "the query's value is -Inf"),
        (vector("-1"), Why.IMPLAUSIBLE, "the query's value is -1, less than 0"),
        (
            vector("9223372036854775808"),
            Why.IMPLAUSIBLE,
            "the query's value is 9223372036854775808",
        ),
        (vector("1e999999999"), Why.IMPLAUSIBLE, "the query's value is 1e999999999"),
        pytest.param(b" " * 10**7, Why.UNREADABLE, "more than 1024 kB", id="10 MB"),
    ],
)
async def test_every_other_answer_is_no_value_and_has_a_reason(
    server: StubPrometheus, body: object, why: Why, words: str
) -> None:
    server.body = body
    found, detail = refused(await answer(server))
    assert found is why
    assert words in detail


@pytest.mark.parametrize(
    ("status", "body", "why", "words"),
    [
        (500, vector("5"), Why.INCOMPLETE, "HTTP 500"),
        (503, b"<html>", Why.INCOMPLETE, "HTTP 503"),
        (400, {"status": "error", "error": "1:6: parse error"}, Why.REFUSED, "1:6: parse error"),
        (401, b"", Why.REFUSED, "HTTP 401"),
        (204, b"", Why.INCOMPLETE, "HTTP 204"),
    ],
)
async def test_no_status_but_200_is_believed(
    server: StubPrometheus, status: int, body: object, why: Why, words: str
) -> None:
    server.status, server.body = status, body
    found, detail = refused(await answer(server))
    assert found is why
    assert words in detail


@pytest.mark.parametrize(
    ("handler", "why"),
    [(silence, Why.TIMED_OUT), (dribble, Why.TIMED_OUT), (half, Why.UNREADABLE)],
)
async def test_an_answer_that_does_not_end_frees_its_thread(
    server: StubPrometheus, handler: Handler, why: Why
) -> None:
    every_thread = pool(**{f"s{number}": f"q{number}" for number in range(THREADS)})
    async with (
        asyncio.timeout(5.0),
        PrometheusSource.connect(server.url, [every_thread], VirtualClock()) as source,
    ):
        server.handler = handler
        assert {refused(each)[0] for each in (await source.read(0.3)).values()} == {why}
        server.handler = None
        assert all(isinstance(each, Fresh) for each in (await source.read(3.0)).values())


async def test_a_redirect_is_not_followed(server: StubPrometheus) -> None:
    async def elsewhere(_request: web.Request) -> web.StreamResponse:
        server.handler = None
        raise web.HTTPFound("/login")

    server.handler = elsewhere
    assert refused(await answer(server)) == (Why.INCOMPLETE, "HTTP 302")


async def test_a_server_that_is_not_there_is_named_with_the_reason(server: StubPrometheus) -> None:
    url = server.url
    await server.stop()
    why, detail = refused((await ask(url))[KEY])
    assert why is Why.DISCONNECTED
    host = url.removeprefix("http://")
    assert detail == f"nothing listens at {host} (connection refused)"


async def test_the_password_in_an_address_is_used_and_never_shown(
    server: StubPrometheus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = server.url.replace("http://", "http://anna:canary@")
    server.status = 500
    found = [(await ask(url))[KEY]]
    assert server.headers[0]["Authorization"].startswith("Basic ")
    await server.stop()
    found.append((await ask(url))[KEY])
    assert all(isinstance(each, Absent) for each in found)
    assert "canary" not in str(found) + caplog.text


async def test_one_bad_query_takes_no_other_with_it(server: StubPrometheus) -> None:
    server.answers = {"good": vector("2"), "bad": vector()}
    found = await ask(server.url, pool(a="good", b="bad"))
    assert isinstance(found[MetricKey(BACKLOG.key, "a")], Fresh)
    assert refused(found[MetricKey(BACKLOG.key, "b")])[0] is Why.INCOMPLETE


async def test_a_query_that_pools_share_is_asked_once(server: StubPrometheus) -> None:
    found = await ask(server.url, pool("a", x="up", y="up"), pool("b", x="up"))
    assert len(found) == 3
    assert server.asked == ["up"]


async def test_a_query_reaches_the_server_as_it_is_written(server: StubPrometheus) -> None:
    query = 'sum(rate(x{a="b&c=d#é"}[5m])) > 0'
    await ask(server.url + "/", pool(x=query))
    assert server.asked == [query]


async def test_more_queries_than_threads_are_answered_in_one_round(server: StubPrometheus) -> None:
    found = await ask(server.url, pool(**{f"s{number}": f"q{number}" for number in range(60)}))
    assert len(found) == 60
    assert all(isinstance(each, Fresh) for each in found.values())


async def test_queries_beyond_the_deadline_are_given_up(server: StubPrometheus) -> None:
    server.handler = silence
    signals = {f"s{number}": f"q{number}" for number in range(20)}
    async with asyncio.timeout(3.0):
        found = await ask(server.url, pool(**signals), timeout_s=0.2)
    assert {refused(each)[0] for each in found.values()} == {Why.TIMED_OUT}


def test_a_fleet_with_very_many_queries_asks_less_often() -> None:
    clock = VirtualClock()
    few = PrometheusSource("http://h", [pool(a="x", b="y")], clock, threads=None)  # type: ignore[arg-type]  # never asked
    many = PrometheusSource(
        "http://h",
        [pool(**{f"s{number}": f"q{number}" for number in range(1000)})],
        clock,
        threads=None,  # type: ignore[arg-type]  # never asked
    )
    assert few.every_s < 0.1
    assert many.every_s == 20.0


def test_other_signals_are_not_prometheus_business() -> None:
    signal = Signal(name="cases", source=ExternalSeries(name="active"))
    fed = msgspec.structs.replace(make_pool(), signals=(signal,))
    source = PrometheusSource("http://h", [fed], VirtualClock(), threads=None)  # type: ignore[arg-type]  # never asked
    assert not source.reads


def test_the_client_is_not_loaded_before_a_query_is_asked() -> None:
    probe = (
        "import sys, controller.wiring, controller.sources.prometheus;"
        "print([m for m in ('requests', 'prometheus_api_client') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
