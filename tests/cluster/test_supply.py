"""A real API server's quotas, nodes and pod templates, as the planner sees them."""

from __future__ import annotations

from typing import Any

import pytest

from controller.kube.cluster import Cluster
from controller.model.ids import WorkloadName
from controller.model.observation import ClusterRoom, Workload
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import NodeClass, Resources
from controller.model.settings import KubernetesSettings

pytestmark = pytest.mark.cluster

MERGE = "application/merge-patch+json"
OURS = frozenset({WorkloadName("research")})
MI = 2**20


def workload(reading: Reading[Workload]) -> Workload:
    assert isinstance(reading, Fresh), reading
    return reading.value


def room(cluster: Cluster, *classes: NodeClass) -> ClusterRoom:
    reading = cluster.workloads.room(classes)
    assert isinstance(reading, Fresh), reading
    return reading.value


def cores(resources: Resources) -> float:
    return (resources.cpu_milli or 0) / 1000


def left_of_quota(cluster: Cluster, admin: Any) -> Resources | None:
    reading = cluster.workloads.quota(admin.namespace, OURS)
    return reading.value if isinstance(reading, Fresh) else None


async def quota(admin: Any, name: str, hard: dict[str, str], **spec: Any) -> None:
    """Create a quota and wait until its controller knows it; else pods are counted only later."""
    body = {"metadata": {"name": name}, "spec": {"hard": hard, **spec}}
    await admin.ask("POST", admin.core("resourcequotas"), body)
    path = admin.core(f"resourcequotas/{name}")
    await admin.until_shown(path, lambda found: found["status"].get("hard") == hard)


async def test_quotas_leave_what_pods_of_others_do_not_use(admin: Any) -> None:
    await quota(admin, "compute", {"requests.cpu": "1", "requests.memory": "1Gi", "pods": "20"})
    await quota(admin, "count", {"count/pods": "9"})
    await quota(admin, "scoped", {"pods": "0"}, scopes=["BestEffort"])
    await admin.deploy("research", 2)
    async with Cluster.connect(admin.settings, admin.clock) as cluster:
        cluster.set_namespaces(frozenset({admin.namespace}))
        assert await cluster.synced(10.0)
        await admin.until(
            lambda: (
                left_of_quota(cluster, admin)
                == Resources(replicas=9, cpu_milli=1000, memory_bytes=1024 * MI)
                and workload(cluster.workloads.workload(admin.pool("research"))).ready == 2
            )
        )
        await admin.deploy("web", 3)
        beside = Resources(replicas=6, cpu_milli=970, memory_bytes=(1024 - 48) * MI)
        await admin.until(lambda: left_of_quota(cluster, admin) == beside)
        await admin.ask("DELETE", admin.core("resourcequotas/count"))
        await admin.until(lambda: (left_of_quota(cluster, admin) or Resources()).replicas == 17)


async def test_the_template_and_its_annotations_are_read_as_they_are_written(admin: Any) -> None:
    await admin.deploy("research", 0)
    init_containers = [
        {
            "name": "proxy",
            "image": "registry.example/proxy:1",
            "restartPolicy": "Always",
            "resources": {"requests": {"cpu": "0.25"}, "limits": {"memory": "1e6"}},
        },
        {
            "name": "fetch",
            "image": "registry.example/fetch:1",
            "resources": {"limits": {"cpu": 2}},
        },
    ]
    change = {
        "metadata": {"annotations": {"autoscaling.keda.sh/paused-replicas": "3", "a": "b"}},
        "spec": {"template": {"spec": {"initContainers": init_containers}}},
    }
    await admin.ask("PATCH", admin.deployments("research"), change, content_type=MERGE)
    pool = admin.pool("research")
    async with Cluster.connect(admin.settings, admin.clock) as cluster:
        cluster.set_namespaces(frozenset({admin.namespace}))
        assert await cluster.synced(10.0)
        seen = workload(cluster.workloads.workload(pool))
        assert seen.requests == Resources(cpu_milli=2250, memory_bytes=16 * MI + 10**6)
        assert seen.annotations == {"autoscaling.keda.sh/paused-replicas": "3"}


async def test_what_we_count_is_what_the_quota_counts(admin: Any) -> None:
    """The server's own sum for a pod in which every part requests something."""
    await quota(admin, "count", {"requests.cpu": "64", "requests.memory": "64Gi", "pods": "9"})
    resources = [
        {"requests": {"cpu": "300m", "memory": "10Mi"}},
        {"limits": {"cpu": "1", "memory": "5Mi"}},
    ]
    init = [
        {"resources": {"requests": {"cpu": "200m", "memory": "1Mi"}}, "restartPolicy": "Always"},
        {"resources": {"requests": {"cpu": "2", "memory": "2Mi"}}},
    ]
    image = {"image": "registry.example/agent:1"}
    spec = {
        "containers": [
            {"name": f"c{number}", "resources": each, **image}
            for number, each in enumerate(resources)
        ],
        "initContainers": [
            {"name": f"i{number}", **each, **image} for number, each in enumerate(init)
        ],
    }
    await admin.ask("POST", admin.core("pods"), {"metadata": {"name": "job"}, "spec": spec})
    async with Cluster.connect(admin.settings, admin.clock) as cluster:
        cluster.set_namespaces(frozenset({admin.namespace}))
        assert await cluster.synced(10.0)
        seen = await admin.until_shown(
            admin.core("resourcequotas/count"), lambda found: found["status"]["used"]["pods"] == "1"
        )
        assert seen["status"]["used"] == {
            "pods": "1",
            "requests.cpu": "2200m",
            "requests.memory": "16Mi",
        }
        left = Resources(replicas=8, cpu_milli=61_800, memory_bytes=(64 * 1024 - 16) * MI)
        # our own watch may see it after this request did
        await admin.until(lambda: left_of_quota(cluster, admin) == left)


async def test_nodes_make_room_by_class_and_a_cordoned_node_makes_none(admin: Any) -> None:
    found = await admin.ask("GET", "/api/v1/nodes")
    name = found["items"][0]["metadata"]["name"]
    mark = admin.namespace
    spot = NodeClass(name="spot", selector=f"class={mark}", max_nodes=3)
    rest = NodeClass(name="rest")
    async with Cluster.connect(admin.settings, admin.clock) as cluster:
        assert await cluster.synced(10.0)
        whole = room(cluster)
        node = cores(whole.resources) / len(found["items"])
        assert node > 0
        await patch(admin, name, {"metadata": {"labels": {"class": mark}}})
        try:
            await admin.until(lambda: room(cluster, spot, rest).classes["spot"] != Resources())
            by_class = room(cluster, spot, rest)
            assert cores(by_class.classes["spot"]) == 3 * node
            assert cores(by_class.classes["rest"]) == cores(whole.resources) - node
            assert cores(by_class.resources) == cores(whole.resources) + 2 * node
            await patch(admin, name, {"spec": {"unschedulable": True}})
            await admin.until(
                lambda: cores(room(cluster).resources) == cores(whole.resources) - node
            )
        finally:
            undo = {"metadata": {"labels": {"class": None}}, "spec": {"unschedulable": None}}
            await patch(admin, name, undo)
        await admin.until(lambda: room(cluster) == whole)


async def patch(admin: Any, node: str, change: dict[str, Any]) -> None:
    await admin.ask("PATCH", f"/api/v1/nodes/{node}", change, content_type=MERGE)


async def test_an_account_of_one_namespace_works_without_nodes(admin: Any) -> None:
    await admin.deploy("research", 1)
    read = {
        "apiGroups": ["apps", ""],
        "resources": ["deployments", "pods", "events"],
        "verbs": ["list", "watch"],
    }
    settings: KubernetesSettings = await admin.account("watcher", read)
    async with Cluster.connect(settings, admin.clock) as cluster:
        cluster.set_namespaces(frozenset({admin.namespace}))
        assert await cluster.synced(10.0)
        nodes = cluster.workloads.room(())
        quotas = cluster.workloads.quota(admin.namespace, OURS)
        assert isinstance(nodes, Absent)
        assert isinstance(quotas, Absent)
        assert (nodes.why, quotas.why) == (Why.REFUSED, Why.REFUSED)
        assert "nodes is forbidden" in nodes.detail
        assert not isinstance(cluster.workloads.workload(admin.pool("research")), Absent | Stale)
