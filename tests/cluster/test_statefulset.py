"""A pool that is a StatefulSet on the real control plane, whose own controller chooses the pods: it
grows, shrinks to the ordinal that is busy, and on once that has finished.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from controller.config import parse
from controller.kube.cluster import Cluster
from controller.manifests.rights import tenant_rights
from controller.model.decision import OutcomeKind
from controller.model.ids import PoolKey
from controller.model.readings import Fresh, last_known
from support.asked import a_cap
from support.desk import operator
from support.live import daemon, fleet_text, streams, until
from support.nats_server import RealNats
from support.pod_workers import PodWorkers
from tests.cluster.test_drain import Kubelet, never_empty

pytestmark = pytest.mark.cluster
MOST = 5
PATIENCE_S = 60.0
policies = pytest.mark.parametrize("policy", ["OrderedReady", "Parallel"])


def fleet_of(url: str, namespace: str) -> str:
    text = fleet_text(url, ["research"], namespace=namespace, maximum=MOST, minimum=1)
    return text.replace("    tenant: acme\n", "    tenant: acme\n    statefulset: db\n")


def set_pool(admin: Any) -> Any:

    return replace(admin.pool("research"), deployment="", statefulset="db")


@policies
@pytest.mark.timeout(300)
async def test_it_grows_and_shrinks_to_the_busy_ordinal_and_on_once_that_has_finished(
    admin: Any, tmp_path: Path, policy: str
) -> None:
    fleet = tmp_path / "fleet.yaml"
    await admin.deploy_stateful("db", 1, policy)
    tasks_s = {"long": 20.0}
    with RealNats(tmp_path / "nats") as server:
        workers = PodWorkers(server.url, lambda: tasks_s["long"])
        async with streams(server.url, ["research"]) as client, workers.connected():
            fleet.write_text(fleet_of(server.url, admin.namespace), "utf-8")
            async with (
                Kubelet(admin, workers, set_pool(admin)).running(),
                daemon(fleet, Path(os.environ["AGENTDASH_TEST_KUBECONFIG"])) as running,
                operator(server.url) as desk,
            ):
                await until(lambda: running.said("started"))
                for _ in range(MOST):
                    await client.jetstream().publish("tasks.research", b"work")
                await until(lambda: len(+workers.at_work) == MOST, PATIENCE_S)
                tasks_s["long"] = 0.05
                await until(lambda: 0 < len(+workers.at_work) < MOST, PATIENCE_S)
                await desk.ask(a_cap(pool=PoolKey("acme/research"), replicas=1))
                await until(lambda: workers.ready == {"db-0"}, PATIENCE_S)
                found = await admin.ask("GET", admin.stateful("db"))
                killed = list(workers.killed_busy)
    assert found["spec"]["replicas"] == 1
    assert killed == [], "\n\n".join(map(workers.story, killed))
    changes = [(line["before"], line["after"]) for line in running.said("scaled")]
    assert all(before != after for before, after in changes), changes
    assert running.said("not scaled") == [], json.dumps(running.lines)


@policies
@pytest.mark.timeout(300)
async def test_no_busy_ordinal_is_deleted_by_scale_downs_under_load(
    admin: Any, tmp_path: Path, policy: str
) -> None:
    fleet = tmp_path / "fleet.yaml"
    await admin.deploy_stateful("db", 1, policy)
    chance = random.Random(11)
    with RealNats(tmp_path / "nats") as server:
        workers = PodWorkers(server.url, lambda: chance.uniform(0.05, 0.6))
        async with streams(server.url, ["research"]) as client, workers.connected():
            fleet.write_text(fleet_of(server.url, admin.namespace), "utf-8")
            async with (
                Kubelet(admin, workers, set_pool(admin)).running(),
                daemon(fleet, Path(os.environ["AGENTDASH_TEST_KUBECONFIG"])) as running,
                operator(server.url) as desk,
                asyncio.TaskGroup() as tasks,
            ):
                load = tasks.create_task(never_empty(client))
                await until(lambda: running.said("started"))
                for replicas in (MOST, 2, MOST, 1):
                    await desk.ask(a_cap(pool=PoolKey("acme/research"), replicas=replicas))
                    names = {f"db-{each}" for each in range(replicas)}
                    await until(lambda names=names: workers.ready == names, PATIENCE_S)
                load.cancel()
                gone, killed = workers.ended, list(workers.killed_busy)
    assert gone >= 7
    assert killed == [], "\n\n".join(map(workers.story, killed))


async def test_the_rights_of_the_list_are_enough_to_scale_it(admin: Any, tmp_path: Path) -> None:

    await admin.deploy_stateful("db", 1, "Parallel")
    settings = parse(fleet_of("nats://nats:4222", admin.namespace), "fleet.yaml")
    rules = [
        {"apiGroups": [each.group], "resources": [*each.resources], "verbs": [*each.verbs]}
        for each in tenant_rights(settings)[admin.namespace]
    ]
    assert "deployments" not in json.dumps(rules)
    pool = set_pool(admin)
    async with Cluster.connect(await admin.account("scaler", *rules), admin.clock) as cluster:
        cluster.workloads.prepare([pool])
        cluster.set_namespaces(frozenset({admin.namespace}))
        await admin.until(lambda: isinstance(cluster.workloads.workload(pool), Fresh))
        seen = cluster.workloads.workload(pool)
        version = seen.value.resource_version
        done = await cluster.actuator.scale(pool, 3, version, urgent=False)
        assert done.kind is OutcomeKind.APPLIED, done

        def has_three() -> bool:
            pods = last_known(cluster.workloads.pods(pool))
            return pods is not None and len(pods.items) == 3

        await admin.until(has_three)
        items = cluster.workloads.pods(pool).value.items
        assert [(each.name, each.ordinal) for each in items] == [
            ("db-0", 0),
            ("db-1", 1),
            ("db-2", 2),
        ]
        assert cluster.workloads.workload(pool).value.first_ordinal == 0
