"""What the cluster allows, during refusals, gaps and outages: never a zero that is not known."""

from __future__ import annotations

from typing import Any

from controller.kube.cluster import Cluster
from controller.model.ids import WorkloadName
from controller.model.observation import ClusterRoom
from controller.model.readings import Absent, Fresh, Reading, Why, last_known
from controller.model.scarcity import NodeClass, Resources

A = frozenset({"tenant-a"})
OURS = frozenset({WorkloadName("research")})
SPOT = NodeClass(name="spot", selector="spot=true", max_nodes=3)


def quota(cluster: Cluster, namespace: str = "tenant-a") -> Reading[Resources]:
    return cluster.workloads.quota(namespace, OURS)


def room(cluster: Cluster, *classes: NodeClass) -> Reading[ClusterRoom]:
    return cluster.workloads.room(classes)


def replicas(cluster: Cluster) -> int | None:
    known = last_known(quota(cluster))
    return None if known is None else known.replicas


def cores(cluster: Cluster) -> int | None:
    known = last_known(room(cluster))
    return None if known is None else (known.resources.cpu_milli or 0) // 1000


async def test_quotas_and_nodes_are_known_after_the_first_list_and_followed(api: Any) -> None:
    api.quota("tenant-a", pods="10")
    api.node("n-0")
    api.node("s-0", spot="true")
    async with api.cluster("tenant-a") as cluster:
        assert isinstance(quota(cluster), Fresh)
        assert isinstance(room(cluster), Fresh)
        assert (replicas(cluster), cores(cluster)) == (10, 8)
        by_class = last_known(room(cluster, SPOT))
        assert by_class is not None
        assert by_class.classes["spot"].cpu_milli == 12_000
        api.quota("tenant-a", pods="4")
        api.delete("nodes", "", "s-0")
        await api.until(lambda: (replicas(cluster), cores(cluster)) == (4, 4))
        api.delete("resourcequotas", "tenant-a", "tenant")
        await api.until(lambda: last_known(quota(cluster)) == Resources())
        assert isinstance(quota(cluster), Fresh)
    for kind in ("resourcequotas", "nodes"):
        assert api.count(f"list {kind}") == 1, "watched, never polled"


async def test_pods_of_others_use_their_part_of_the_quota(api: Any) -> None:
    api.quota("tenant-a", pods="10")
    api.pod("tenant-a", "r-1", "research")
    api.pod("tenant-a", "w-1", "web")
    async with api.cluster("tenant-a") as cluster:
        assert replicas(cluster) == 9
        api.pod("tenant-a", "w-2", "web")
        await api.until(lambda: replicas(cluster) == 8)
        api.pod("tenant-a", "r-2", "research")
        await api.until(lambda: cluster.workloads.pods(api.pool()).value.ready == 2)
        assert replicas(cluster) == 8, "our own pods are what the quota is for"


async def test_without_the_right_to_list_there_is_no_limit_and_the_rest_goes_on(api: Any) -> None:
    api.deployment("tenant-a", "research", 2)
    api.quota("tenant-a", pods="1")
    for kind in ("nodes", "resourcequotas"):
        api.always[f"list {kind}"] = api.status(403, "Forbidden", f"{kind} is forbidden")
    async with api.cluster("tenant-a") as cluster:
        for refused, kind in ((room(cluster), "nodes"), (quota(cluster), "resourcequotas")):
            assert isinstance(refused, Absent)
            assert (refused.why, refused.detail) == (Why.REFUSED, f"{kind} is forbidden")
        assert isinstance(cluster.workloads.workload(api.pool()), Fresh)
        api.node("n-0")
        api.always.clear()
        await api.until(lambda: (replicas(cluster), cores(cluster)) == (1, 4))
    assert all(15.0 <= s <= 30.0 for s in api.clock.slept if s > 6.0), "asked again slowly"
