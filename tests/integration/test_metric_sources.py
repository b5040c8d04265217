"""What every source of metrics owes: a value only from a complete answer, an answer in time, and
the value again as soon as it can be had.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import msgspec
import pytest

from controller.engine.observe import MetricPolls
from controller.engine.supervise import SystemClock
from controller.kube.cluster import Cluster
from controller.kube.metrics import metric_sources
from controller.model import fleet as metrics
from controller.model import observation as seen
from controller.model.fleet import AverageValueTarget, MetricSpec, Pool, PrometheusQuery, Signal
from controller.model.observation import MetricValue
from controller.model.readings import Absent, Fresh, Stale, Why
from controller.model.settings import KubernetesSettings
from controller.ports import MetricAnswer, MetricSource
from controller.sources.prometheus import PrometheusSource
from fakes.cluster import ApiFault, SimCluster
from fakes.metrics import (
    Given,
    GivenMetrics,
    GivenObjectValue,
    GivenPodValue,
    GivenSeries,
    GivenUsage,
)
from support.world import make_pool
from tests.unit.sources.stub_prometheus import StubPrometheus, half, silence, vector

NAMESPACE = "tenant-acme"
TARGET = AverageValueTarget(milli=1000)
TIMEOUT_S = 0.4


class Rig(Protocol):
    """A source with one metric, and the server behind it to break."""

    source: MetricSource

    def say(self, value: str | None) -> None:
        """The metric has this value from now on, or none at all."""

    async def fail(self, how: str) -> None:
        """Answer so: hang, half, garbled, refused, broken, gone."""

    async def heal(self) -> None:
        """Answer well again."""


class PrometheusRig:
    def __init__(self, server: StubPrometheus, source: MetricSource) -> None:
        self._server, self.source = server, source
        self._good: object = None

    def say(self, value: str | None) -> None:
        self._server.body = self._good = vector() if value is None else vector(value)

    async def fail(self, how: str) -> None:
        match how:
            case "hang":
                self._server.handler = silence
            case "half":
                self._server.handler = half
            case "garbled":
                self._server.body = b"<html>"
            case "refused":
                self._server.status = 403
            case "broken":
                self._server.status = 500
            case _:
                await self._server.stop()

    async def heal(self) -> None:
        self._server.handler, self._server.status, self._server.body = None, 200, self._good
        if not self._server.running:
            await self._server.start()


class ClusterRig:
    """`given` makes the metric's value, `path` is where it is asked for."""

    def __init__(
        self, sim: SimCluster, source: MetricSource, path: str, given: Callable[[str], Given]
    ) -> None:
        self._sim, self.source, self._path, self._given = sim, source, path, given
        self._metrics = GivenMetrics(sim)

    def say(self, value: str | None) -> None:
        if value is None:
            self._metrics.clear()
        else:
            self._metrics.set(self._given(value))

    async def fail(self, how: str) -> None:
        faults = {
            "hang": ApiFault(path=self._path, hang=True),
            "half": ApiFault(path=self._path, cut=True),
            "garbled": ApiFault(path=self._path, garble=True),
            "refused": ApiFault(path=self._path, status=403),
            "broken": ApiFault(path=self._path, status=500),
            "gone": ApiFault(path=self._path, status=503),
        }
        self._sim.faults.add(faults[how])

    async def heal(self) -> None:
        self._sim.faults.clear()


@asynccontextmanager
async def prometheus(_: Path) -> AsyncIterator[Rig]:
    server = StubPrometheus()
    await server.start()
    signal = Signal(name="backlog", source=PrometheusQuery(query="sum(backlog)"))
    pool = msgspec.structs.replace(make_pool(), signals=(signal,))
    try:
        async with PrometheusSource.connect(server.url, [pool], SystemClock()) as source:
            yield PrometheusRig(server, source)
    finally:
        await server.stop()


def of_cluster(spec: MetricSpec, path: str, given: Callable[[str], Given], index: int) -> Make:
    @asynccontextmanager
    async def make(folder: Path) -> AsyncIterator[Rig]:
        pool = msgspec.structs.replace(make_pool(), metrics=(spec,))
        async with SimCluster(speed=500.0) as sim:
            await sim.create_namespace(NAMESPACE)
            await sim.create_deployment(pool.deployment, NAMESPACE, replicas=1)
            sim.write_kubeconfig(folder / "kubeconfig")
            settings = KubernetesSettings(kubeconfig=str(folder / "kubeconfig"))
            clock = SystemClock()
            async with Cluster.connect(settings, clock) as cluster:
                cluster.set_namespaces(frozenset({NAMESPACE}))
                await one_ready(cluster, pool)
                kinds = metric_sources(cluster.client, cluster.workloads, [pool], clock, "")
                async with kinds as sources:
                    yield ClusterRig(sim, sources[index], path, given)

    return make


async def one_ready(cluster: Cluster, pool: Pool) -> None:
    async with asyncio.timeout(10.0):
        while True:
            pods = cluster.workloads.pods(pool)
            if isinstance(pods, Fresh) and pods.value.ready == 1:
                return
            await asyncio.sleep(0.01)


Make = Callable[[Path], AbstractAsyncContextManager[Rig]]
RIGS: dict[str, Make] = {
    "prometheus": prometheus,
    "resource": of_cluster(
        metrics.ResourceMetric(resource="cpu", target=TARGET),
        "/metrics.k8s.io/",
        lambda value: GivenUsage(namespace=NAMESPACE, usage={"agent": {"cpu": value}}),
        0,
    ),
    "external": of_cluster(
        metrics.ExternalMetric(name="active", target=TARGET),
        "/external.metrics.k8s.io/",
        lambda value: GivenSeries(namespace=NAMESPACE, metric="active", value=value),
        1,
    ),
    "pods": of_cluster(
        metrics.PodsMetric(name="sessions", target=TARGET),
        "/custom.metrics.k8s.io/",
        lambda value: GivenPodValue(namespace=NAMESPACE, metric="sessions", value=value),
        2,
    ),
    "object": of_cluster(
        metrics.ObjectMetric(
            name="hits",
            target=TARGET,
            kind="Deployment",
            object_name="gate",
            api_version="apps/v1",
        ),
        "/custom.metrics.k8s.io/",
        lambda value: GivenObjectValue(
            namespace=NAMESPACE,
            resource="deployments.apps",
            name="gate",
            metric="hits",
            value=value,
        ),
        2,
    ),
}


@pytest.fixture(params=RIGS)
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    async with RIGS[request.param](tmp_path) as made:
        made.say("2")
        yield made


async def answer(rig: Rig) -> MetricAnswer:
    async with asyncio.timeout(TIMEOUT_S + 1.0):
        [found] = (await rig.source.read(TIMEOUT_S)).values()
    return found


def figures(value: MetricValue) -> list[int | None]:
    """Every number in it."""
    match value:
        case seen.Series():
            return list(value.values_milli)
        case seen.Figure():
            return [value.value_milli]
        case seen.PodFigures():
            return [each.value_milli for each in value.items]
        case seen.PodUsages():
            return [used for each in value.items for used in each.containers.values()]


async def test_a_good_answer_is_a_value_as_of_when_it_was_asked_for(rig: Rig) -> None:
    before = SystemClock().now()
    found = await answer(rig)
    assert isinstance(found, Fresh), found
    assert figures(found.value) == [2000]
    assert before - 0.1 <= found.at <= SystemClock().now()


@pytest.mark.parametrize(
    ("how", "whys"),
    [
        ("hang", {Why.TIMED_OUT}),
        ("half", {Why.UNREADABLE, Why.DISCONNECTED}),
        ("garbled", {Why.UNREADABLE}),
        ("refused", {Why.REFUSED}),
        ("broken", {Why.INCOMPLETE, Why.VIEW_INCOMPLETE}),
        ("gone", {Why.DISCONNECTED, Why.VIEW_INCOMPLETE}),
    ],
)
async def test_what_fails_is_no_value_says_why_and_is_one_again(
    rig: Rig, how: str, whys: set[Why]
) -> None:
    await rig.fail(how)
    found = await answer(rig)
    assert isinstance(found, Absent), found
    assert found.why in whys
    assert found.detail
    await rig.heal()
    assert isinstance(await answer(rig), Fresh)


async def test_no_series_is_no_zero(rig: Rig) -> None:
    rig.say(None)
    found = await answer(rig)
    # of pods there may be an empty list, which the HPA's arithmetic refuses by itself
    assert isinstance(found, Absent) or figures(found.value) == []


@pytest.mark.parametrize("absurd", ["-1", "NaN", "9223372036854775808"])
async def test_an_absurd_number_is_no_value(rig: Rig, absurd: str) -> None:
    rig.say(absurd)
    found = await answer(rig)
    assert isinstance(found, Absent) or figures(found.value) == []


async def test_the_last_good_value_is_kept_as_stale_until_the_next(rig: Rig) -> None:
    [key] = rig.source.reads
    polls = MetricPolls([Hurried(rig.source)], SystemClock(), interval_s=0.02)

    async def until(kind: type) -> None:
        async with asyncio.timeout(10.0):
            while not isinstance(polls.readings(key.pool).get(key.name), kind):
                await asyncio.sleep(0.01)

    async with polls.reading():
        await until(Fresh)
        await rig.fail("refused")
        await until(Stale)
        [text] = [text for _, _, _, text in polls.findings()]
        assert f"{key.name} of {key.pool} cannot be read (refused)" in text
        await rig.heal()
        await until(Fresh)
        assert not list(polls.findings())


class Hurried:
    """A source without its own pace."""

    every_s = 0.0

    def __init__(self, source: MetricSource) -> None:
        self.name, self.reads, self.read = source.name, source.reads, source.read
