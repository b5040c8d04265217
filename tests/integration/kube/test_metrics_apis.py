"""The metrics APIs through the client: what is asked for, and which pool gets which figure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from controller.engine.supervise import SystemClock
from controller.kube.cluster import Cluster
from controller.kube.metrics import metric_sources
from controller.model import fleet as metrics
from controller.model.fleet import (
    AverageValueTarget,
    ExternalSeries,
    MetricSpec,
    Pool,
    Signal,
    UtilizationTarget,
    ValueTarget,
)
from controller.model.readings import Absent, Fresh, Why
from controller.model.settings import KubernetesSettings
from controller.model.snapshot import LinkState
from controller.ports import MetricAnswer, MetricSource
from fakes.cluster import ApiFault, SimCluster
from fakes.metrics import (
    Given,
    GivenMetrics,
    GivenObjectValue,
    GivenPodValue,
    GivenSeries,
    GivenUsage,
)
from support import requests_seen
from support.world import make_pool

NAMESPACE = "tenant-acme"
ONE = AverageValueTarget(milli=1000)
CPU = metrics.ResourceMetric(resource="cpu", target=UtilizationTarget(percent=75))
MEMORY = metrics.ContainerResourceMetric(resource="memory", container="agent", target=ONE)


def pool(name: str = "research", *specs: MetricSpec, signals: Iterable[Signal] = ()) -> Pool:
    return msgspec.structs.replace(make_pool(name), metrics=specs, signals=tuple(signals))


class World:
    """A simulator with a Deployment for each pool, the cluster, and the pools' sources."""

    def __init__(self, sim: SimCluster, cluster: Cluster, sources: Sequence[MetricSource]) -> None:
        self.sim, self.cluster, self.sources = sim, cluster, sources
        self._metrics = GivenMetrics(sim)

    def given(self, *values: Given) -> None:
        for value in values:
            self._metrics.set(value)

    async def read(self) -> dict[str, MetricAnswer]:
        """Every answer, by pool and name."""
        answers = [await source.read(3.0) for source in self.sources if source.reads]
        return {f"{key.pool} {key.name}": each for one in answers for key, each in one.items()}

    def asked(self, group: str) -> int:
        return requests_seen.count(self.sim.requests, path_regex=f"/{group}/")


@asynccontextmanager
async def world(
    folder: Path, *pools: Pool, selector: str | None = None, **user: Any
) -> AsyncIterator[World]:
    async with SimCluster(speed=500.0) as sim:
        await sim.create_namespace(NAMESPACE)
        for each in pools:
            await sim.create_deployment(
                each.deployment, NAMESPACE, replicas=2, labels={"agentdash": "yes"}
            )
        sim.write_kubeconfig(folder / "kubeconfig")
        settings = KubernetesSettings(kubeconfig=str(folder / "kubeconfig"), selector=selector)
        clock = SystemClock()
        async with Cluster.connect(settings, clock) as cluster:
            cluster.workloads.prepare(pools)
            cluster.set_namespaces(frozenset({NAMESPACE}))
            await ready(cluster, pools)
            opened = metric_sources(cluster.client, cluster.workloads, pools, clock, selector or "")
            async with opened as sources:
                yield World(sim, cluster, sources)


async def ready(cluster: Cluster, pools: Iterable[Pool]) -> None:
    async with asyncio.timeout(15.0):
        for each in pools:
            while True:
                pods = cluster.workloads.pods(each)
                if isinstance(pods, Fresh) and pods.value.ready == 2:
                    break
                await asyncio.sleep(0.01)


def value(answer: MetricAnswer) -> Any:
    assert isinstance(answer, Fresh), answer
    return answer.value


def trouble(answer: MetricAnswer) -> tuple[Why, str]:
    assert isinstance(answer, Absent), answer
    return answer.why, answer.detail


async def test_one_request_measures_all_pools_of_a_namespace(tmp_path: Path) -> None:
    research, etl = pool("research", CPU, MEMORY), pool("etl", CPU)
    async with world(tmp_path, research, etl) as here:
        used = {"agent": {"cpu": "100500u", "memory": "100Mi"}, "proxy": {"cpu": "11350n"}}
        here.given(
            GivenUsage(namespace=NAMESPACE, selector="app=research", usage=used),
            GivenUsage(namespace=NAMESPACE, selector="app=etl", usage={"agent": {"cpu": "1"}}),
        )
        found = await here.read()
        assert here.asked("metrics.k8s.io") == 1
        cpu = value(found["acme/research cpu"])
        # Quantity.MilliValue rounds up, as the HPA does
        assert [each.containers for each in cpu.items] == [{"agent": 101, "proxy": 1}] * 2
        assert all(each.pod.startswith("research-") for each in cpu.items)
        assert {each.window_s for each in cpu.items} == {15.0}
        assert abs(cpu.items[0].at - SystemClock().now()) < 5
        memory = value(found["acme/research memory"])
        assert memory.items[0].containers == {"agent": 100 * 2**20 * 1000, "proxy": None}
        assert [each.containers for each in value(found["acme/etl cpu"]).items] == [
            {"agent": 1000}
        ] * 2


async def test_the_watched_labels_choose_the_pods_that_are_measured(tmp_path: Path) -> None:
    async with world(tmp_path, pool("research", CPU), selector="agentdash=yes") as here:
        here.given(GivenUsage(namespace=NAMESPACE, usage={"agent": {"cpu": "1"}}))
        await here.sim.create_deployment("stranger", NAMESPACE, replicas=1)
        assert len(value((await here.read())["acme/research cpu"]).items) == 2


async def test_the_series_of_an_external_metric_are_those_that_the_selector_chooses(
    tmp_path: Path,
) -> None:
    selected = metrics.ExternalMetric(name="active", target=ONE, selector="team in (a,b)")
    signal = Signal(name="cases", source=ExternalSeries(name="active", selector="team=c"))
    spoken_of = metrics.ExternalMetric(name="cases", target=ValueTarget(milli=1000))
    queue = metrics.ExternalMetric(name="queue", target=ONE)
    fed = pool("research", selected, spoken_of, queue, signals=[signal])
    async with world(tmp_path, fed) as here:
        for team, amount in (("a", "3"), ("b", "1500m"), ("c", "1k")):
            here.given(
                GivenSeries(
                    namespace=NAMESPACE, metric="active", value=amount, labels={"team": team}
                )
            )
        found = await here.read()
        assert set(found) == {"acme/research active{team in (a,b)}", "acme/research cases"}
        assert value(found["acme/research active{team in (a,b)}"]).values_milli == (3000, 1500)
        assert value(found["acme/research cases"]).values_milli == (1_000_000,)


async def test_one_series_that_cannot_be_read_leaves_no_sum(tmp_path: Path) -> None:
    fed = pool("research", metrics.ExternalMetric(name="active", target=ONE))
    async with world(tmp_path, fed) as here:
        for team, amount in (("a", "3"), ("b", "many")):
            here.given(
                GivenSeries(
                    namespace=NAMESPACE, metric="active", value=amount, labels={"team": team}
                )
            )
        assert trouble((await here.read())["acme/research active"]) == (
            Why.IMPLAUSIBLE,
            "'many' is no quantity",
        )


async def test_without_a_series_there_is_no_sum(tmp_path: Path) -> None:
    fed = pool("research", metrics.ExternalMetric(name="active", target=ONE))
    async with world(tmp_path, fed) as here:
        here.given(GivenSeries(namespace=NAMESPACE, metric="other", value="3"))
        assert trouble((await here.read())["acme/research active"]) == (
            Why.INCOMPLETE,
            "there is no series of active",
        )


async def test_figures_of_unknown_pods_belong_to_no_pool(tmp_path: Path) -> None:
    fed = pool("research", CPU)
    async with world(tmp_path, fed) as here:
        here.given(GivenUsage(namespace=NAMESPACE, usage={"agent": {"cpu": "1"}}))
        assert here.cluster.workloads.measured_pods(fed)
        here.cluster.set_namespaces(frozenset())
        assert trouble((await here.read())["acme/research cpu"])[0] is Why.VIEW_INCOMPLETE


async def test_pods_that_are_known_in_part_are_not_counted(api: Any) -> None:
    fed, clock = pool("research", CPU), SystemClock()
    api.pod(NAMESPACE, "a", "research")
    async with Cluster.connect(api.settings(), clock) as cluster:
        cluster.workloads.prepare([fed])
        cluster.set_namespaces(frozenset({NAMESPACE}))
        await api.until(lambda: cluster.workloads.measured_pods(fed))
        api.always["list pods"] = api.status(500)
        api.always["watch pods"] = api.lines("nonsense")
        api.drop_all()
        await api.until(lambda: not cluster.workloads.measured_pods(fed))


async def test_each_pool_gets_the_figures_of_its_own_pods(tmp_path: Path) -> None:
    spec = metrics.PodsMetric(name="sessions", target=ONE)
    async with world(tmp_path, pool("research", spec), pool("etl", spec)) as here:
        here.given(
            GivenPodValue(
                namespace=NAMESPACE, metric="sessions", value="7", selector="app=research"
            )
        )
        found = await here.read()
        mine = value(found["acme/research sessions"]).items
        assert [each.value_milli for each in mine] == [7000, 7000]
        assert {each.window_s for each in mine} == {60.0}
        assert value(found["acme/etl sessions"]).items == ()
        assert here.asked("custom.metrics.k8s.io") == 1


async def test_an_object_is_found_by_its_kind_and_a_namespace_by_its_name(tmp_path: Path) -> None:
    gate = metrics.ObjectMetric(
        name="hits", target=ONE, kind="Deployment", object_name="gate", api_version="apps/v1"
    )
    space = metrics.ObjectMetric(
        name="load", target=ONE, kind="Namespace", object_name="shared", api_version="v1"
    )
    odd = metrics.ObjectMetric(name="hits", target=ONE, kind="Gadget", object_name="gate")
    async with world(tmp_path, pool("research", gate, space, odd)) as here:
        here.given(
            GivenObjectValue(
                namespace=NAMESPACE,
                resource="deployments.apps",
                name="gate",
                metric="hits",
                value="2500m",
            ),
            GivenObjectValue(
                namespace="shared", resource="namespaces", name="shared", metric="load", value="4"
            ),
        )
        found = await here.read()
        assert value(found["acme/research Deployment/gate/hits"]).value_milli == 2500
        assert value(found["acme/research Namespace/shared/load"]).value_milli == 4000
        assert trouble(found["acme/research Gadget/gate/hits"]) == (
            Why.INCOMPLETE,
            "v1 has no kind Gadget",
        )


async def test_an_api_that_is_not_installed_is_named(tmp_path: Path) -> None:
    fed = pool(
        "research",
        CPU,
        metrics.ExternalMetric(name="active", target=ONE),
        metrics.PodsMetric(name="sessions", target=ONE),
    )
    async with world(tmp_path, fed) as here:
        found = await here.read()
        assert {name.split()[1]: trouble(each) for name, each in found.items()} == {
            "cpu": (Why.OBJECT_MISSING, "the API metrics.k8s.io is not installed"),
            "active": (Why.OBJECT_MISSING, "the API external.metrics.k8s.io is not installed"),
            "sessions": (Why.OBJECT_MISSING, "the API custom.metrics.k8s.io is not installed"),
        }
        here.given(GivenPodValue(namespace=NAMESPACE, metric="sessions", value="1"))
        assert value((await here.read())["acme/research sessions"]).items


async def test_a_slow_metrics_api_leaves_the_clusters_link_up(tmp_path: Path) -> None:
    async with world(tmp_path, pool("research", CPU)) as here:
        here.sim.faults.add(ApiFault(path="/metrics.k8s.io/", hang=True))
        [source] = [source for source in here.sources if source.reads]
        [answer] = (await source.read(0.2)).values()
        assert trouble(answer)[0] is Why.TIMED_OUT
        assert here.cluster.link().state is LinkState.CONNECTED
        here.sim.faults.clear()
        here.sim.faults.add(ApiFault(path="/metrics.k8s.io/", status=503, retry_after=60))
        [answer] = (await source.read(1.0)).values()
        assert trouble(answer)[0] is Why.VIEW_INCOMPLETE
        [answer] = (await source.read(1.0)).values()
        assert "asked to wait" in trouble(answer)[1]
        await here.cluster.client.call("GET", "/version", kind="version")


async def read(
    api: Any, source: int, *specs: MetricSpec, selector: str = ""
) -> dict[str, MetricAnswer]:
    """The answers of one of the sources for a pool with these metrics, by their names."""
    clock, fed = SystemClock(), [pool("research", *specs)]
    async with (
        Cluster.connect(api.settings(), clock) as cluster,
        metric_sources(cluster.client, cluster.workloads, fed, clock, selector) as sources,
    ):
        cluster.set_namespaces(frozenset({NAMESPACE}))
        assert await cluster.synced(5.0)
        return {key.name: each for key, each in (await sources[source].read(1.0)).items()}


@pytest.mark.parametrize("served", [["v1beta1"], ["v1beta1", "v1beta2"], ["v9"]])
async def test_the_newest_known_version_of_the_custom_metrics_api_is_used(
    served: list[str], api: Any
) -> None:
    spec = metrics.ObjectMetric(name="load", target=ONE, kind="Namespace", object_name="shared")
    versions = [{"version": version} for version in served]
    item = {
        "describedObject": {"kind": "Namespace", "name": "shared"},
        "metricName": "load",
        "timestamp": "2026-01-01T00:00:00Z",
        "value": "5",
    }
    api.always["list custom.metrics.k8s.io"] = body({"versions": versions})
    api.always["list load in shared"] = body({"items": [item]})
    [answer] = (await read(api, 2, spec)).values()
    if served == ["v9"]:
        assert trouble(answer)[0] is Why.UNREADABLE
        return
    assert value(answer).value_milli == 5000
    path = api.last("list load").path
    assert path == f"/apis/custom.metrics.k8s.io/{served[-1]}/namespaces/shared/metrics/load"


async def test_the_selector_of_a_custom_metric_is_asked_for(api: Any) -> None:
    specs = (
        metrics.PodsMetric(name="sessions", target=ONE, selector="team=a"),
        metrics.ObjectMetric(
            name="load", target=ONE, kind="Namespace", object_name="shared", selector="team=b"
        ),
    )
    item = {"describedObject": {}, "timestamp": "2026-01-01T00:00:00Z", "value": "5"}
    api.always["list custom.metrics.k8s.io"] = body({"versions": [{"version": "v1beta2"}]})
    api.always["list sessions"] = api.always["list load"] = body({"items": [item, item]})
    answers = await read(api, 2, *specs, selector="app=x")
    assert api.last("list sessions").query["metricLabelSelector"] == "team=a"
    assert api.last("list sessions").query["labelSelector"] == "app=x"
    assert api.last("list load").query["metricLabelSelector"] == "team=b"
    assert trouble(answers["Namespace/shared/load{team=b}"]) == (
        Why.INCOMPLETE,
        "2 values of load, one is wanted",
    )


@pytest.mark.parametrize("odd", [b"{}", b"null", b"[]", b"", b'{"items":null}', b'{"items":[1]}'])
async def test_a_list_without_its_items_is_no_list(odd: bytes, api: Any) -> None:
    api.always["list active"] = body(odd)
    found = await read(api, 1, metrics.ExternalMetric(name="active", target=ONE))
    assert trouble(found["active"])[0] is Why.UNREADABLE


async def test_a_pod_that_cannot_be_read_is_left_out(api: Any) -> None:
    for name in ("a", "b", "c", "d"):
        api.pod(NAMESPACE, name, "research")
    containers = [{"name": "agent", "usage": {"cpu": "1", "memory": "much"}}]
    good = {"timestamp": "2026-01-01T00:00:00Z", "window": "15s"}
    odd = ({"timestamp": "noon"}, {"window": "long"}, {"containers": "none"})
    items = [
        {
            "metadata": {"name": name},
            "containers": containers,
            **good,
            **more,
        }
        for name, more in zip("abcd", ({}, *odd), strict=True)
    ]
    api.always["list pods in tenant-acme"] = pods_and_their_use(api, items)
    found = await read(api, 0, CPU, MEMORY)
    assert [each.pod for each in value(found["cpu"]).items] == ["a"]
    assert value(found["memory"]).items == ()


def pods_and_their_use(api: Any, items: list[dict[str, Any]]) -> Any:
    """The pods of the core API, and what metrics.k8s.io says of them under the same name."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if "metrics.k8s.io" in request.path:
            return web.json_response({"items": items})
        return api._list(request, "pods", NAMESPACE)

    return answer


def body(found: object) -> Any:
    """A handler that answers exactly this."""
    raw = found if isinstance(found, bytes) else msgspec.json.encode(found)

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=raw, content_type="application/json")

    return answer
