"""WorkloadControllers, scheduler and kubelets: pods follow the sizes, and say why they do not."""

from __future__ import annotations

import asyncio
import statistics
from random import Random
from typing import Any

import pytest

from agentdash.demo.cluster.objects import (
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    is_ready,
)
from agentdash.demo.cluster.registry import Change
from fakes.cluster import ColdStart
from tests.simulated.conftest import APPS, CORE, Start, World


async def test_pods_come_and_go_with_the_replicas(world: World) -> None:
    await world.scale(3)
    await world.until(lambda: world.ready() == 3)
    (owner,) = world.store.each(REPLICA_SETS, "tenant-a")
    for pod in world.pods():
        assert pod.key[1].startswith(f"{owner.key[1]}-")
        assert pod.object["metadata"]["ownerReferences"][0]["uid"] == owner.uid
    assert world.said() >= {"ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "Started"}
    await world.scale(0)
    await world.until(lambda: not world.pods() and world.ready() == 0)


async def test_a_deleted_pod_is_replaced(world: World) -> None:
    await world.scale(2)
    await world.until(lambda: world.ready() == 2)
    gone = world.names()[0]
    await world.call("DELETE", f"{CORE}/pods/{gone}")
    await world.until(lambda: gone not in world.names() and world.ready() == 2)


async def test_a_new_template_replaces_pods_only_as_new_ones_are_ready(world: World) -> None:
    await world.scale(4)
    await world.until(lambda: world.ready() == 4)
    fewest = 4

    def watch_the_fewest(_change: object) -> None:
        nonlocal fewest
        fewest = min(fewest, sum(is_ready(pod.object) for pod in world.pods()))

    world.store.subscribe(watch_the_fewest)
    image = {"template": {"spec": {"containers": [{"name": "agent", "image": "agent:2"}]}}}
    await world.call("PATCH", f"{APPS}/deployments/research", {"spec": image})

    def images() -> list[str]:
        return [pod.object["spec"]["containers"][0]["image"] for pod in world.pods()]

    await world.until(lambda: images() == ["agent:2"] * 4 and world.ready() == 4)
    assert fewest == 4


async def test_deleting_a_deployment_deletes_its_pods_and_one_made_anew_has_its_own_set(
    world: World,
) -> None:
    await world.scale(2)
    await world.until(lambda: world.ready() == 2)
    (old,) = world.store.each(REPLICA_SETS, "tenant-a")
    await world.call("DELETE", f"{APPS}/deployments/research")
    await world.sim.create_deployment("research", "tenant-a", replicas=1, grace_s=5)
    await world.until(lambda: world.ready() == 1 and len(world.pods()) == 1)
    (new,) = world.store.each(REPLICA_SETS, "tenant-a")
    assert new.uid != old.uid


async def test_many_pods_become_ready_and_are_listed_from_bytes_made_once(
    start: Start,
) -> None:
    world = await start(nodes=5)
    await world.sim.create_deployment("research", "tenant-a", cpu="10m", memory="16Mi")
    await world.scale(100)
    await world.until(lambda: world.ready() == 100)
    _, found = await world.call("GET", f"{CORE}/pods")
    assert len(found["items"]) == 100
    made = [pod.json() for pod in world.pods()]
    assert all(left is right.json() for left, right in zip(made, world.pods(), strict=True))


# Quotas and nodes


async def test_pods_that_fit_nowhere_say_why_and_take_the_room_that_becomes_free(
    start: Start,
) -> None:
    world = await start(nodes=2, node_cpu="1")
    await world.sim.create_deployment("research", "tenant-a", replicas=4, cpu="500m")
    await world.until(lambda: world.ready() == 4)
    await world.sim.create_deployment("browser", "tenant-a", replicas=1, cpu="500m")
    await world.until(world.why_unscheduled)
    (words,) = world.why_unscheduled()
    assert words.startswith("0/2 nodes are available: 2 Insufficient cpu.")
    assert "FailedScheduling" in world.said()
    await world.scale(3)
    await world.until(lambda: world.ready("browser") == 1)


async def test_a_node_that_is_taken_away_is_left_in_order_and_may_come_back(start: Start) -> None:
    world = await start(nodes=2)
    await world.sim.create_deployment("research", "tenant-a", replicas=4)
    await world.until(lambda: world.ready() == 4)
    sim = world.sim
    sim.cordon_node("node-0")
    evicted = sim.evict_pods("node-0")
    assert evicted
    assert sim.evict_pods("node-0") == [], "they are leaving already"
    await world.until(lambda: world.ready() == 4 and len(sim.pods_on("node-1")) == 4)
    assert not set(evicted) & set(world.names())
    sim.cordon_node("node-0", cordoned=False)
    await world.scale(8)
    await world.until(lambda: len(sim.pods_on("node-0")) == 4)


async def test_a_tainted_node_keeps_its_pods_and_gets_no_more(start: Start) -> None:
    world = await start(nodes=2)
    await world.sim.create_deployment("research", "tenant-a", replicas=4)
    await world.until(lambda: world.ready() == 4)
    before = world.sim.pods_on("node-0")
    world.sim.taint_node("node-0", "example.com/ends")
    await world.scale(8)
    await world.until(lambda: world.ready() == 8)
    assert world.sim.pods_on("node-0") == before
    world.sim.taint_node("node-0", "example.com/ends", tainted=False)
    await world.scale(12)
    await world.until(lambda: len(world.sim.pods_on("node-0")) > len(before))


# Kubelets


def phases(world: World) -> list[str]:
    found = []
    for pod in world.pods():
        states = [each["state"] for each in pod.object["status"].get("containerStatuses", ())]
        waiting = [state["waiting"]["reason"] for state in states if "waiting" in state]
        found.append(waiting[0] if waiting else pod.object["status"]["phase"])
    return found


async def test_a_pod_is_pending_then_creating_then_running_then_ready(world: World) -> None:
    seen: list[tuple[str, bool, bool]] = []

    def note(change: Change) -> None:
        if change.new.kind is PODS:
            pod = change.new.object
            phase = (phases(world)[0], "nodeName" in pod["spec"], is_ready(pod))
            if not seen or seen[-1] != phase:
                seen.append(phase)

    world.store.subscribe(note)
    await world.scale(1)
    await world.until(lambda: world.ready() == 1)
    assert seen == [
        ("Pending", False, False),
        ("Pending", True, False),
        ("ContainerCreating", True, False),
        ("Running", True, False),
        ("Running", True, True),
    ]


def test_cold_starts_have_the_measured_median_and_tail() -> None:
    rng, cold_start = Random(1), ColdStart()
    drawn = statistics.quantiles((cold_start.draw(rng) for _ in range(4000)), n=100)
    assert drawn[49] == pytest.approx(9.0, rel=0.05)
    assert 1.9 < drawn[94] / drawn[49] < 2.3
    assert 2.5 < drawn[98] / drawn[49] < 3.2


class Worker:
    """A worker that notes its calls and stops when it is told, or never."""

    def __init__(self, *, obedient: bool = True) -> None:
        self.told: list[str] = []
        self.cancelled: list[str] = []
        self.started: list[str] = []
        self._obedient = obedient

    async def run(self, pod: dict[str, Any], stopping: asyncio.Event) -> None:
        name = pod["metadata"]["name"]
        self.started.append(name)
        try:
            await stopping.wait()
            self.told.append(name)
            if not self._obedient:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise


@pytest.mark.parametrize("obedient", [True, False])
async def test_a_ready_pod_runs_a_worker_until_it_is_told_to_stop_or_its_time_is_over(
    world: World, obedient: bool
) -> None:
    worker = world.sim.pod_runner = Worker(obedient=obedient)
    await world.scale(2)
    await world.until(lambda: world.ready() == 2 and len(worker.started) == 2)
    await world.scale(0)
    await world.until(lambda: not world.pods())
    assert sorted(worker.told) == sorted(worker.started)
    await asyncio.sleep(0)  # a cancelled task ends in the next turn
    assert sorted(worker.cancelled) == ([] if obedient else sorted(worker.told))


async def test_a_container_whose_worker_fails_is_started_again_in_its_pod(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker()

    class FailingOnce:
        async def run(self, pod: dict[str, Any], stopping: asyncio.Event) -> None:
            if not worker.started:
                worker.started.append(pod["metadata"]["name"])
                raise RuntimeError("no model")
            await worker.run(pod, stopping)

    world.sim.pod_runner = FailingOnce()
    await world.scale(1)
    await world.until(lambda: world.ready() == 1 and len(worker.started) == 2)
    assert worker.started == world.names() * 2
    (container,) = world.pods()[0].object["status"]["containerStatuses"]
    assert (container["restartCount"], container["lastState"]["terminated"]["exitCode"]) == (1, 1)
    assert "the worker of pod" in caplog.text


async def test_nothing_is_left_running_after_the_cluster_ends(start: Start) -> None:
    before = asyncio.all_tasks()
    world = await start()
    world.sim.pod_runner = Worker()
    await world.sim.create_deployment("research", "tenant-a", replicas=2)
    await world.until(lambda: world.ready() == 2)
    await world.session.close()
    await world.sim.__aexit__(None, None, None)
    assert asyncio.all_tasks() == before


async def test_a_controller_that_crashed_is_said_by_every_answer(world: World) -> None:
    stored = world.store.get(DEPLOYMENTS, "tenant-a", "research")
    assert stored is not None
    spec = {key: value for key, value in stored.object["spec"].items() if key != "strategy"}
    world.store.update(stored, stored.object | {"spec": spec})
    async with asyncio.timeout(5):
        while not world.sim.crash:
            await asyncio.sleep(0)
    status, body = await world.call("GET", f"{APPS}/deployments")
    assert (status, body["message"]) == (500, world.sim.crash)
    with pytest.raises(ExceptionGroup, match="controllers crashed"):
        await world.sim.__aexit__(None, None, None)
