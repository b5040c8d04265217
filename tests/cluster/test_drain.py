"""Scale-downs and rollouts under load on the real control plane, whose own controllers choose the
pods: no busy worker is deleted. Beside each the same load without agentdash, and its count.

AGENTDASH_SCALE_DOWNS=1000 makes the scale-downs many.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from controller.kube.cluster import Cluster
from controller.model.fleet import Pool
from controller.model.ids import PoolKey
from controller.model.observation import Pod, PodPhase
from controller.model.readings import Fresh
from support.asked import a_cap
from support.desk import operator
from support.live import daemon, fleet_text, streams, until
from support.nats_server import RealNats
from support.pod_workers import PodWorkers

pytestmark = pytest.mark.cluster

SCALE_DOWNS = int(os.environ.get("AGENTDASH_SCALE_DOWNS", "32"))
MOST, LEAST = 12, 4
PATIENCE_S = 60.0
ROLLOUT_S = 150.0


class Kubelet:
    """Runs a worker in each Ready pod, and ends it when its pod is deleted."""

    def __init__(self, admin: Any, workers: PodWorkers, pool: Pool) -> None:
        self._admin, self._workers, self._pool = admin, workers, pool
        self._stops: dict[str, asyncio.Event] = {}
        self._seen: dict[str, str] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Kubelet]:
        pool = self._pool
        async with (
            Cluster.connect(self._admin.settings, self._admin.clock) as cluster,
            asyncio.TaskGroup() as tasks,
        ):
            cluster.workloads.prepare([pool])
            cluster.set_namespaces(frozenset({self._admin.namespace}))

            def look(*_: object) -> None:
                reading = cluster.workloads.pods(pool)
                if not isinstance(reading, Fresh):
                    return
                there = {
                    pod.name: pod.phase
                    for pod in reading.value.items
                    if pod.phase is not PodPhase.TERMINATING
                }
                for pod in reading.value.items:
                    self._note(pod)
                for name in self._stops.keys() - there.keys():
                    self._stops.pop(name).set()
                for name, phase in there.items():
                    if phase is PodPhase.READY and name not in self._stops:
                        stop = self._stops[name] = asyncio.Event()
                        tasks.create_task(self._workers.run(name, stop))

            cluster.workloads.on_change(look)
            yield self
            for stop in self._stops.values():
                stop.set()

    def _note(self, pod: Pod) -> None:
        seen = f"{pod.name} is {pod.phase}, its deletion cost {pod.deletion_cost}"
        if self._seen.get(pod.name) != seen:
            self._seen[pod.name] = seen
            self._workers.note(seen)


async def rounds(
    name: str, workers: PodWorkers, lower: Callable[[int], Awaitable[object]]
) -> tuple[int, list[str]]:
    """Lower and raise the pool under load until enough workers went; how many, and which of them
    were at work.
    """

    async def sized(replicas: int) -> None:
        workers.note(f"{name}: {replicas} replicas wanted")
        await lower(replicas)
        try:
            await until(lambda: len(workers.ready) == replicas, PATIENCE_S)
        except TimeoutError:
            stories = "\n".join(map(workers.story, sorted(workers.ready)))
            pytest.fail(f"{len(workers.ready)} of {replicas} workers, and no progress:\n{stories}")

    await sized(MOST)
    began, ended, killed = time.monotonic(), workers.ended, len(workers.killed_busy)
    while workers.ended - ended < SCALE_DOWNS:
        await sized(LEAST)
        gone, busy = workers.ended - ended, len(workers.killed_busy) - killed
        took_s = time.monotonic() - began
        print(f"{name}: {gone} workers went in {took_s:.0f} s, {busy} of them busy", flush=True)
        await sized(MOST)
    return workers.ended - ended, workers.killed_busy[killed:]


async def roll_out(
    admin: Any, name: str, workers: PodWorkers, spec: dict[str, Any], pods: int
) -> tuple[int, list[str]]:
    """Change the pod template, and this of the Deployment's spec, and wait until all pods are new.
    How many workers of the old generation went, and which of them were at work.
    """
    old, ended, killed = frozenset(workers.ready), workers.ended, len(workers.killed_busy)
    began, tasks = time.monotonic(), len(workers.begun)
    workers.note(f"{name}: a rollout of {', '.join(sorted(old))}")
    body = {"spec": spec | {"template": {"metadata": {"annotations": {"release": name}}}}}
    path = admin.deployments("research")
    patch = "application/merge-patch+json"
    asked = await admin.ask("PATCH", path, body, content_type=patch)

    def has_ended(found: dict[str, Any]) -> bool:
        status, generation = found["status"], asked["metadata"]["generation"]
        sizes = {status.get(each) for each in ("replicas", "updatedReplicas", "availableReplicas")}
        return status["observedGeneration"] >= generation and sizes == {pods}

    await admin.until_shown(path, has_ended, ROLLOUT_S)
    took_s, tasks = time.monotonic() - began, len(workers.begun) - tasks
    await until(lambda: len(workers.ready - old) == len(workers.ready) == pods, PATIENCE_S)
    gone, busy = workers.ended - ended, workers.killed_busy[killed:]
    print(
        f"{name}: {gone} workers went in {took_s:.0f} s, {len(busy)} of them"
        f" busy; {tasks / took_s:.0f} tasks a second meanwhile",
        flush=True,
    )
    return gone, busy


@pytest.mark.timeout(90 + 6 * SCALE_DOWNS)
async def test_no_busy_worker_is_deleted_by_many_scale_downs_under_load(
    admin: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeconfig = Path(os.environ["AGENTDASH_TEST_KUBECONFIG"])
    fleet = tmp_path / "fleet.yaml"
    await admin.deploy("research", replicas=MOST)
    chance = random.Random(11)
    with capsys.disabled(), RealNats(tmp_path / "nats") as server:
        workers = PodWorkers(server.url, lambda: chance.uniform(0.05, 0.6))
        async with streams(server.url, ["research"]) as client, workers.connected():
            text = fleet_text(
                server.url, ["research"], namespace=admin.namespace, minimum=1, maximum=MOST
            )
            fleet.write_text(text, "utf-8")
            async with (
                Kubelet(admin, workers, admin.pool("research")).running(),
                asyncio.TaskGroup() as tasks,
            ):
                load = tasks.create_task(never_empty(client))

                async def as_an_hpa(replicas: int) -> None:
                    await admin.ask(
                        "PATCH",
                        admin.deployments("research"),
                        {"spec": {"replicas": replicas}},
                        content_type="application/merge-patch+json",
                    )

                plain = await rounds("as an HPA", workers, as_an_hpa)
                async with daemon(fleet, kubeconfig) as running, operator(server.url) as desk:
                    await until(lambda: running.said("started"))

                    async def capped(replicas: int) -> None:
                        await desk.ask(a_cap(pool=PoolKey("acme/research"), replicas=replicas))

                    ours = await rounds("agentdash", workers, capped)
                load.cancel()
    assert plain[1], "the load is too low to show anything"
    assert ours[1] == [], "\n\n".join(map(workers.story, ours[1]))


@pytest.mark.parametrize(
    ("pods", "surge", "min_ready_s", "tasks_s"),
    [
        pytest.param(6, 1, 0, (0.05, 0.6), id="one_by_one"),
        pytest.param(MOST, "25%", 0, (0.05, 0.6), id="several_at_once"),
        pytest.param(MOST, "25%", 5, (3.0, 4.5), id="tasks_longer_than_a_start"),
    ],
)
@pytest.mark.timeout(120 + 3 * ROLLOUT_S)
async def test_no_busy_worker_of_the_old_generation_is_deleted_by_a_rollout_under_load(
    admin: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    pods: int,
    surge: int | str,
    min_ready_s: int,
    tasks_s: tuple[float, float],
) -> None:
    """A pod is ready 2 s after it was made or later, and available `min_ready_s` after that. An old
    pod has this time to finish its task.
    """
    rolling = {"maxSurge": surge, "maxUnavailable": 0}
    spec = {"minReadySeconds": min_ready_s, "strategy": {"rollingUpdate": rolling}}
    kubeconfig = Path(os.environ["AGENTDASH_TEST_KUBECONFIG"])
    fleet = tmp_path / "fleet.yaml"
    await admin.deploy("research", replicas=pods)
    chance = random.Random(11)
    with capsys.disabled(), RealNats(tmp_path / "nats") as server:
        workers = PodWorkers(server.url, lambda: chance.uniform(*tasks_s))
        async with streams(server.url, ["research"]) as client, workers.connected():
            text = fleet_text(
                server.url, ["research"], namespace=admin.namespace, minimum=pods, maximum=pods
            )
            fleet.write_text(text, "utf-8")
            async with (
                Kubelet(admin, workers, admin.pool("research")).running(),
                asyncio.TaskGroup() as tasks,
            ):
                load = tasks.create_task(never_empty(client))
                await until(lambda: len(+workers.at_work) == pods, PATIENCE_S)
                plain = await roll_out(admin, "without agentdash", workers, spec, pods)
                async with daemon(fleet, kubeconfig) as running:
                    await until(lambda: running.said("started"))
                    await running.ready()
                    ours = await roll_out(admin, "agentdash", workers, spec, pods)
                load.cancel()
    assert plain[1], "the load is too low to show anything"
    assert ours == (pods, []), "\n\n".join(map(workers.story, ours[1]))
    assert running.said("scaled") == []


async def never_empty(client: Client) -> None:
    """Keep the queue full."""
    stream = client.jetstream()
    while True:
        info = await stream.consumer_info("TASKS", "research")
        for _ in range(max(0, 200 - (info.num_pending or 0))):
            await stream.publish("tasks.research", b"work")
        await asyncio.sleep(0.5)
