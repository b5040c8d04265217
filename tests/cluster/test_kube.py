"""A real API server: we see its changes, our writes are conditional, every refusal is typed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from controller.kube import wire
from controller.kube.cluster import Cluster
from controller.kube.watch import Reflector, WatchTarget
from controller.kube.workloads import WorkloadView
from controller.model.decision import OutcomeKind
from controller.model.fleet import Pool
from controller.model.observation import PodPhase, Pods, Workload
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.model.settings import KubernetesSettings
from controller.model.snapshot import LinkState
from controller.ports import PodUnknownError
from support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.cluster

READ = {
    "apiGroups": ["apps", ""],
    "resources": ["deployments", "pods", "events"],
    "verbs": ["list", "watch"],
}


def value(reading: Reading[Workload]) -> Workload:
    assert isinstance(reading, Fresh), reading
    return reading.value


def pods(reading: Reading[Pods]) -> Pods:
    assert isinstance(reading, Fresh), reading
    return reading.value


async def scaled(cluster: Cluster, pool: Pool, replicas: int) -> None:
    """Write again after a conflict, as the next tick does: a status changes the version, too."""
    while True:
        seen = value(cluster.workloads.workload(pool))
        done = await cluster.actuator.scale(pool, replicas, seen.resource_version, urgent=True)
        if done.kind is OutcomeKind.APPLIED:
            return
        assert done.kind is OutcomeKind.CONFLICT, done
        await asyncio.sleep(0.05)


async def test_scaling_a_real_deployment_up_and_seeing_its_pods_become_ready(admin: Any) -> None:
    await admin.deploy("research", 1)
    pool = admin.pool("research")
    async with Cluster.connect(admin.settings, admin.clock) as cluster:
        cluster.set_namespaces(frozenset({admin.namespace}))
        assert await cluster.synced(10.0)
        assert cluster.context == "local"
        assert cluster.link().state is LinkState.CONNECTED
        await admin.until(lambda: pods(cluster.workloads.pods(pool)).ready == 1)
        seen = value(cluster.workloads.workload(pool))
        await scaled(cluster, pool, 3)
        assert value(cluster.workloads.workload(pool)).replicas == 3, (
            "without waiting for the watch"
        )
        await admin.until(lambda: pods(cluster.workloads.pods(pool)).ready == 3)
        await admin.until(lambda: value(cluster.workloads.workload(pool)).ready == 3)
        ready = pods(cluster.workloads.pods(pool)).items[0]
        assert ready.phase is PodPhase.READY
        assert ready.node.startswith("node-")
        assert ready.created_at <= (ready.scheduled_at or 0) <= (ready.ready_at or 0)
        stale = await cluster.actuator.scale(pool, 9, seen.resource_version, urgent=False)
        assert stale.kind is OutcomeKind.CONFLICT
        assert "modified" in stale.detail
        await scaled(cluster, pool, 0)
        await admin.until(lambda: pods(cluster.workloads.pods(pool)) == Pods())


async def test_among_many_changes_our_write_is_never_undone_by_an_older_event(admin: Any) -> None:
    await admin.deploy("research", 1)
    pool = admin.pool("research")
    shown: list[int] = []
    async with Cluster.connect(admin.settings, admin.clock) as cluster:
        cluster.set_namespaces(frozenset({admin.namespace}))
        assert await cluster.synced(10.0)

        def look(_namespace: str, _changed: object) -> None:
            reading = cluster.workloads.workload(pool)
            if isinstance(reading, Fresh):
                shown.append(reading.value.replicas)

        cluster.workloads.on_change(look)
        written = 1
        while written < 8:
            assert value(cluster.workloads.workload(pool)).replicas == written
            written += 1
            await scaled(cluster, pool, written)
            look("", "")
        await admin.until(lambda: pods(cluster.workloads.pods(pool)).ready == 8)
    assert shown == sorted(shown), "no event took a write back"


async def test_a_service_account_without_the_right_is_forbidden(admin: Any) -> None:
    await admin.deploy("research", 1)
    pool = admin.pool("research")
    settings = await admin.account("watcher", READ)
    async with Cluster.connect(settings, admin.clock) as cluster:
        cluster.set_namespaces(frozenset({admin.namespace, "default"}))
        await admin.until(lambda: isinstance(cluster.workloads.workload(pool), Fresh))
        seen = value(cluster.workloads.workload(pool))
        done = await cluster.actuator.scale(pool, 5, seen.resource_version, urgent=False)
        assert done.kind is OutcomeKind.FORBIDDEN
        assert 'cannot patch resource "deployments/scale"' in done.detail
        other = admin.pool("research", "default")
        await admin.until(lambda: cluster.workloads.workload(other).why is Why.REFUSED)
        walled = cluster.workloads.workload(other)
        assert isinstance(walled, Absent)
        assert "cannot list resource" in walled.detail
        assert isinstance(cluster.workloads.workload(pool), Fresh)


async def test_an_autoscaler_of_the_real_server_is_part_of_the_reading(admin: Any) -> None:
    await admin.deploy("research", 1)
    pool = admin.pool("research")
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "research"}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3}
    hpas = f"/apis/autoscaling/v2/namespaces/{admin.namespace}/horizontalpodautoscalers"
    async with Cluster.connect(admin.settings, admin.clock) as cluster:
        cluster.set_namespaces(frozenset({admin.namespace}))
        assert await cluster.synced(10.0)
        assert value(cluster.workloads.workload(pool)).autoscaler == ""
        await admin.ask("POST", hpas, {"metadata": {"name": "rival"}, "spec": spec})
        await admin.until(lambda: value(cluster.workloads.workload(pool)).autoscaler)
        found = value(cluster.workloads.workload(pool)).autoscaler
        assert found == "HorizontalPodAutoscaler rival"
        await admin.ask("DELETE", f"{hpas}/rival")
        await admin.until(lambda: not value(cluster.workloads.workload(pool)).autoscaler)


async def test_a_quota_shows_in_the_deployments_message_and_as_a_warning(admin: Any) -> None:
    quota = {"metadata": {"name": "tenant"}, "spec": {"hard": {"pods": "2"}}}
    await admin.ask("POST", admin.core("resourcequotas"), quota)
    await admin.deploy("research", 1)
    pool = admin.pool("research")
    async with Cluster.connect(admin.settings, admin.clock) as cluster:
        cluster.set_namespaces(frozenset({admin.namespace}))
        assert await cluster.synced(10.0)
        await scaled(cluster, pool, 5)
        await admin.until(lambda: "quota" in value(cluster.workloads.workload(pool)).message)
        await admin.until(lambda: cluster.workloads.warnings(pool))
        assert value(cluster.workloads.workload(pool)).replicas == 5
        warning = cluster.workloads.warnings(pool)[0]
        assert warning.reason == "FailedCreate"
        assert "exceeded quota: tenant" in warning.message
        assert abs(warning.at - admin.clock.now()) < 60


async def test_a_pod_without_a_node_has_the_schedulers_message(admin: Any) -> None:
    await admin.deploy("giant", 1, cpu="64")
    pool = admin.pool("giant")
    async with Cluster.connect(admin.settings, admin.clock) as cluster:
        cluster.set_namespaces(frozenset({admin.namespace}))
        assert await cluster.synced(10.0)
        await admin.until(
            lambda: any(pod.message for pod in pods(cluster.workloads.pods(pool)).items)
        )
        found = pods(cluster.workloads.pods(pool))
        assert found.unscheduled == 1
        assert found.items[0].reason == "Unschedulable"
        assert "Insufficient cpu" in found.items[0].message
        await admin.until(lambda: cluster.workloads.warnings(pool))
        assert cluster.workloads.warnings(pool)[0].reason == "FailedScheduling"


async def test_writing_to_a_deleted_deployment_is_gone_and_then_it_is_missing(admin: Any) -> None:
    await admin.deploy("research", 1)
    pool = admin.pool("research")
    async with Cluster.connect(admin.settings, admin.clock) as cluster:
        cluster.set_namespaces(frozenset({admin.namespace}))
        assert await cluster.synced(10.0)
        seen = value(cluster.workloads.workload(pool))
        await admin.ask("DELETE", admin.deployments("research"))
        done = await cluster.actuator.scale(pool, 5, seen.resource_version, urgent=False)
        assert done.kind is OutcomeKind.GONE
        await admin.until(lambda: isinstance(cluster.workloads.workload(pool), Absent))
        gone = cluster.workloads.workload(pool)
        assert isinstance(gone, Absent)
        assert gone.why is Why.OBJECT_MISSING


class Proxied:
    """Settings that go through a proxy."""

    def __init__(self, settings: KubernetesSettings, proxy: TcpProxy) -> None:
        self.settings = settings
        self.proxy = proxy


async def through_proxy(admin: Any) -> Proxied:
    config = json.loads(Path(admin.settings.kubeconfig).read_text())
    cluster = config["clusters"][0]["cluster"]
    target = urlsplit(cluster["server"])
    proxy = TcpProxy(str(target.hostname), target.port or 443)
    await proxy.open()
    cluster["server"] = f"https://127.0.0.1:{proxy.port}"
    path = admin.folder / "proxied"
    path.write_text(json.dumps(config))
    return Proxied(KubernetesSettings(kubeconfig=str(path)), proxy)


@pytest.mark.timeout(150)
async def test_after_a_broken_connection_missed_changes_are_seen(
    admin: Any,
) -> None:
    await admin.deploy("research", 1)
    pool = admin.pool("research")
    proxied = await through_proxy(admin)
    async with Cluster.connect(proxied.settings, admin.clock) as cluster:
        cluster.set_namespaces(frozenset({admin.namespace}))
        assert await cluster.synced(10.0)
        lists = cluster.client.requests["GET", "deployments"]
        await proxied.proxy.cut()
        await admin.until(lambda: cluster.link().state is LinkState.DISCONNECTED)
        patch = {"spec": {"replicas": 4}}
        await admin.ask(
            "PATCH",
            admin.deployments("research/scale"),
            patch,
            content_type="application/merge-patch+json",
        )
        await proxied.proxy.open()
        await admin.until(
            lambda: (
                isinstance(r := cluster.workloads.workload(pool), Fresh) and r.value.replicas == 4
            )
        )
        assert cluster.link().state is LinkState.CONNECTED
        assert cluster.client.requests["GET", "deployments"] > lists
    await proxied.proxy.cut()


@pytest.mark.timeout(150)
async def test_a_watch_from_an_expired_version_lists_anew(admin: Any) -> None:
    """ConfigMaps have no watch cache on the test cluster: versions that etcd compacts are gone."""
    first = await admin.ask("GET", admin.core("configmaps"))
    view = WorkloadView(lambda _name: None)
    resource = WatchTarget(kind="configmaps", path=admin.core("configmaps"))
    reflector = Reflector(admin.client, resource, view)
    freshness = reflector.freshness
    async with asyncio.timeout(90):
        while True:  # change something until the first version is compacted away
            body = {"metadata": {"generateName": "c-"}}
            await admin.ask("POST", admin.core("configmaps"), body)
            reflector._version = first["metadata"]["resourceVersion"]
            task = asyncio.create_task(reflector.run())
            await asyncio.sleep(1.0)
            task.cancel()
            if freshness.listed:
                break
            await asyncio.sleep(4.0)
    assert isinstance(freshness.judge(1), Fresh)


async def test_bookmarks_carry_a_quiet_watch_forward(admin: Any) -> None:
    """A Deployment elsewhere changes the version; only a bookmark tells a quiet watch."""
    first = await admin.ask("GET", admin.deployments())
    query = {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "12",
        "labelSelector": "app=nothing",
        "resourceVersion": first["metadata"]["resourceVersion"],
    }
    async with admin.client.lines(
        admin.deployments(), kind="test", query=query, silence_s=30.0
    ) as stream:
        await admin.deploy("research", 1)
        lines = [wire.WireWatchLine.of(line) async for line in stream]
    assert {line.type for line in lines} == {"BOOKMARK"}
    version = wire.WireVersioned.of(lines[-1].object).metadata.resource_version
    assert int(version) > int(first["metadata"]["resourceVersion"])


async def test_without_a_log_the_real_server_and_we_say_why(admin: Any) -> None:
    """The nodes here have no kubelet that could answer."""
    await admin.deploy("research", 1)
    await admin.deploy("giant", 1, cpu="64")
    placed, unplaced = admin.pool("research"), admin.pool("giant")
    async with Cluster.connect(admin.settings, admin.clock) as cluster:
        cluster.set_namespaces(frozenset({admin.namespace}))
        assert await cluster.synced(10.0)
        await admin.until(lambda: pods(cluster.workloads.pods(placed)).ready == 1)

        def told(pool: Any) -> list[str]:
            return [each.message[:20] for each in pods(cluster.workloads.pods(pool)).items]

        await admin.until(lambda: told(unplaced) == ["no node takes it: 0/"])
        [unplaced_pod] = pods(cluster.workloads.pods(unplaced)).items
        assert (await cluster.pods.tail(admin.namespace, unplaced_pod.name)).lines == ()
        found = await cluster.pods.look(admin.namespace, unplaced_pod.name)
        assert [each.state.word for each in found.containers] == ["waiting"]
        [event, *_] = found.events
        assert (event.reason, event.is_warning) == ("FailedScheduling", True)
        [pod] = pods(cluster.workloads.pods(placed)).items
        assert pod.message == ""
        with pytest.raises(PodUnknownError, match="the kubelet of its node does not answer"):
            await cluster.pods.tail(admin.namespace, pod.name)
        with pytest.raises(PodUnknownError, match="not there any longer"):
            await cluster.pods.tail(admin.namespace, "gone")
    settings = await admin.account("watcher", READ)
    async with Cluster.connect(settings, admin.clock) as cluster:
        with pytest.raises(PodUnknownError, match="allow it `get` on `pods/log`"):
            await cluster.pods.tail(admin.namespace, pod.name)
