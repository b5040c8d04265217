"""Another autoscaler of a Deployment is part of its reading, where it may be listed."""

from __future__ import annotations

from typing import Any

from controller.kube.cluster import Cluster
from controller.model.readings import Fresh

A = frozenset({"tenant-a"})


def autoscaler(cluster: Cluster, pool: Any) -> str:
    reading = cluster.workloads.workload(pool)
    assert isinstance(reading, Fresh)
    return reading.value.autoscaler


def put(api: Any, kind: str, name: str, target: str) -> None:
    api.put(kind, "tenant-a", name, spec={"scaleTargetRef": {"kind": "Deployment", "name": target}})


async def test_an_autoscaler_is_known_with_the_first_reading_and_followed(api: Any) -> None:
    api.deployment("tenant-a", "research", 1)
    api.deployment("tenant-a", "browser", 1)
    put(api, "horizontalpodautoscalers", "keda-hpa-research", "research")
    put(api, "scaledobjects", "research", "research")
    changes: list[str] = []
    async with api.cluster("tenant-a") as cluster:
        assert autoscaler(cluster, api.pool()) == "ScaledObject research"
        assert autoscaler(cluster, api.pool("browser")) == ""
        cluster.workloads.on_change(lambda _namespace, workload: changes.append(workload.name))
        await api.until(lambda: api.count("watch horizontalpodautoscalers"))
        put(api, "horizontalpodautoscalers", "new", "browser")
        await api.until(lambda: autoscaler(cluster, api.pool("browser")))
        assert "browser" in changes
        api.delete("horizontalpodautoscalers", "tenant-a", "new")
        await api.until(lambda: not autoscaler(cluster, api.pool("browser")))


async def test_the_first_decision_waits_until_other_autoscalers_are_listed(api: Any) -> None:
    api.deployment("tenant-a", "research", 1)
    put(api, "horizontalpodautoscalers", "rival", "research")
    api.once["list horizontalpodautoscalers"].append(api.silence)
    async with api.cluster("tenant-a", wait=False) as cluster:
        await api.until(lambda: api.count("watch deployments") and api.count("watch pods"))
        assert not await cluster.synced(0.1)


async def test_where_autoscalers_may_not_be_listed_or_do_not_exist_nothing_else_suffers(
    api: Any,
) -> None:
    api.deployment("tenant-a", "research", 1)
    api.always["list scaledobjects"] = api.status(404, "", "404 page not found")
    words = "horizontalpodautoscalers is forbidden"
    api.always["list horizontalpodautoscalers"] = api.status(403, "Forbidden", words)
    async with api.cluster("tenant-a") as cluster:
        assert autoscaler(cluster, api.pool()) == ""
        await api.until(lambda: len([s for s in api.clock.slept if 120 <= s <= 300]) >= 2)
