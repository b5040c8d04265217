"""The cluster through the demo's simulated API over HTTP: a fleet scales, and faults happen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from controller.kube.client import MERGE_PATCH
from controller.kube.cluster import Cluster
from controller.model.decision import OutcomeKind
from controller.model.fleet import Pool
from controller.model.ids import WorkloadKind, WorkloadName
from controller.model.observation import Pods, Workload
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.model.settings import KubernetesSettings
from controller.planning.inputs import read_freeze
from fakes.cluster import ApiFault, SimCluster
from integration.kube.conftest import QuickClock
from support.stateful import create_statefulset


@pytest.fixture
async def sim() -> AsyncIterator[SimCluster]:
    async with SimCluster(speed=50.0) as running:
        for namespace in ("tenant-a", "tenant-b"):
            await running.create_namespace(namespace)
            await running.create_deployment("research", namespace, replicas=1)
        yield running


@pytest.fixture
async def cluster(sim: SimCluster, tmp_path: Path) -> AsyncIterator[Cluster]:
    path = tmp_path / "kubeconfig"
    sim.write_kubeconfig(path)
    async with Cluster.connect(KubernetesSettings(kubeconfig=str(path)), QuickClock()) as connected:
        connected.set_namespaces(frozenset({"tenant-a", "tenant-b"}))
        assert await connected.synced(5.0)
        yield connected


def workload(reading: Reading[Workload]) -> Workload:
    assert isinstance(reading, Fresh), reading
    return reading.value


def pods(reading: Reading[Pods]) -> Pods:
    assert isinstance(reading, Fresh), reading
    return reading.value


def ready(reading: Reading[Pods]) -> int:
    return pods(reading).ready


async def scaled(cluster: Cluster, pool: Pool, replicas: int) -> OutcomeKind:
    """Write again after a conflict, as the next tick does: a status changes the version, too."""
    while True:
        seen = workload(cluster.workloads.workload(pool))
        done = await cluster.actuator.scale(pool, replicas, seen.resource_version, urgent=True)
        if done.kind is not OutcomeKind.CONFLICT:
            return done.kind
        await asyncio.sleep(0.01)


async def test_a_deployment_and_a_stateful_set_of_one_name_are_two_workloads(
    cluster: Cluster, sim: SimCluster, api: Any
) -> None:
    plain, stateful = api.pool(), replace(api.pool(), deployment="", statefulset="research")
    changes: list[tuple[str, WorkloadName]] = []
    create_statefulset(sim, "research", "tenant-a", podManagementPolicy="Parallel")
    cluster.workloads.prepare([plain, stateful])
    cluster.set_namespaces(frozenset({"tenant-a"}))
    cluster.workloads.on_change(lambda namespace, changed: changes.append((namespace, changed)))
    assert await cluster.synced(5.0)
    assert await scaled(cluster, stateful, 3) is OutcomeKind.APPLIED
    await api.until(lambda: ready(cluster.workloads.pods(stateful)) == 3, 20.0)
    items = pods(cluster.workloads.pods(stateful)).items
    assert [each.ordinal for each in items] == [0, 1, 2]
    assert workload(cluster.workloads.workload(stateful)).first_ordinal == 0
    assert workload(cluster.workloads.workload(plain)).replicas == 1
    await api.until(lambda: ready(cluster.workloads.pods(plain)) == 1, 20.0)
    assert ("tenant-a", WorkloadName("research", WorkloadKind.STATEFUL_SET)) in changes


async def test_the_annotation_of_a_stateful_set_freezes_it(
    cluster: Cluster, sim: SimCluster, api: Any
) -> None:
    stateful = replace(api.pool(), deployment="", statefulset="db")
    create_statefulset(sim, "db", "tenant-a")
    cluster.workloads.prepare([stateful])
    cluster.set_namespaces(frozenset({"tenant-a"}))
    assert await cluster.synced(5.0)
    freeze = {"metadata": {"annotations": {"agentdash.dev/freeze": "the auditors are here"}}}
    path = "/apis/apps/v1/namespaces/tenant-a/statefulsets/db"
    await cluster.client.call("PATCH", path, kind="test", body=freeze, content_type=MERGE_PATCH)

    def frozen() -> bool:
        freeze = read_freeze(workload(cluster.workloads.workload(stateful)), stateful.key)
        return freeze is not None and freeze.why == "the auditors are here"

    await api.until(frozen)


async def test_a_write_whose_answer_breaks_off_is_unknown_until_the_watch_shows_it(
    cluster: Cluster, sim: SimCluster, api: Any
) -> None:
    pool = api.pool()
    await api.until(lambda: workload(cluster.workloads.workload(pool)).ready == 1, 20.0)
    sim.faults.add(ApiFault(verb="patch", cut=True, times=1))
    assert await scaled(cluster, pool, 3) is OutcomeKind.UNKNOWN
    await api.until(lambda: workload(cluster.workloads.workload(pool)).replicas == 3)


async def test_a_deleted_deployment_is_missing(cluster: Cluster, api: Any) -> None:
    path = "/apis/apps/v1/namespaces/tenant-a/deployments/research"
    await cluster.client.call("DELETE", path, kind="test")
    pool = api.pool()
    await api.until(lambda: isinstance(cluster.workloads.workload(pool), Absent))
    gone = cluster.workloads.workload(pool)
    assert isinstance(gone, Absent)
    assert gone.why is Why.OBJECT_MISSING
    assert (await cluster.actuator.scale(pool, 1, "1", urgent=False)).kind is OutcomeKind.GONE
