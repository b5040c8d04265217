"""Pods are placed by room, selector and cordon; those that fit nowhere wait and say why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agentdash.demo.kubesim.controllers.pods import condition
from agentdash.demo.kubesim.resources import EVENTS, NODES
from tests.kubesim.conftest import MERGE, World

Start = Callable[..., Awaitable[World]]


def _placed(world: World) -> list[str]:
    return [
        pod.object["spec"]["nodeName"] for pod in world.pods() if "nodeName" in pod.object["spec"]
    ]


def _words(world: World) -> set[str]:
    found = (condition(pod.object, "PodScheduled") for pod in world.pods())
    return {each["message"] for each in found if each is not None and "message" in each}


async def test_pods_that_fit_nowhere_stay_unscheduled_with_a_reason(start: Start) -> None:
    world = await start(nodes=2, node_cpu="1")
    await world.sim.create_deployment("research", "tenant-a", replicas=5, cpu="500m")
    await world.until(lambda: world.ready() == 4 and _words(world))
    (words,) = _words(world)
    assert words == (
        "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: "
        "0/2 nodes are available: 2 No preemption victims found for incoming pod."
    )
    reasons = {event.object["reason"] for event in world.store.each(EVENTS, "tenant-a")}
    assert "FailedScheduling" in reasons


async def test_a_new_node_takes_the_waiting_pods(start: Start) -> None:
    world = await start(nodes=1, node_cpu="1")
    await world.sim.create_deployment("research", "tenant-a", replicas=3, cpu="500m")
    await world.until(lambda: world.ready() == 2)
    world.sim.cluster.add_node("node-9")
    await world.until(lambda: world.ready() == 3)
    assert "node-9" in _placed(world)


async def test_a_node_that_is_taken_away_is_left_in_order_and_may_come_back(start: Start) -> None:
    world = await start(nodes=2)
    await world.sim.create_deployment("research", "tenant-a", replicas=4)
    await world.until(lambda: world.ready() == 4)
    cluster = world.sim.cluster
    cluster.cordon_node("node-0")
    evicted = cluster.evict_pods("node-0")
    assert evicted
    assert cluster.evict_pods("node-0") == [], "they are leaving already"
    await world.until(lambda: world.ready() == 4 and set(_placed(world)) == {"node-1"})
    assert not set(evicted) & {pod.key[1] for pod in world.pods()}
    cluster.cordon_node("node-0", cordoned=False)
    await world.scale(8)
    await world.until(lambda: set(_placed(world)) == {"node-0", "node-1"})


async def test_a_tainted_node_keeps_its_pods_and_gets_no_more(start: Start) -> None:
    world = await start(nodes=2)
    await world.sim.create_deployment("research", "tenant-a", replicas=4)
    await world.until(lambda: world.ready() == 4)
    cluster = world.sim.cluster
    before = cluster.pods_on("node-0")
    cluster.taint_node("node-0", "example.com/ends")
    cluster.cordon_node("node-0")
    cluster.cordon_node("node-0", cordoned=False)
    await world.scale(8)
    await world.until(lambda: world.ready() == 8)
    assert cluster.pods_on("node-0") == before, "its own taint stays when another one goes"
    cluster.taint_node("node-0", "example.com/ends", tainted=False)
    await world.scale(12)
    await world.until(lambda: len(cluster.pods_on("node-0")) > len(before))


async def test_room_that_becomes_free_is_used_at_once(start: Start) -> None:
    world = await start(nodes=1, node_cpu="1")
    await world.sim.create_deployment("research", "tenant-a", replicas=2, cpu="500m")
    await world.until(lambda: world.ready() == 2)
    await world.sim.create_deployment("browser", "tenant-a", replicas=1, cpu="500m")
    await world.until(lambda: _words(world))
    await world.scale(1)
    await world.until(lambda: world.ready("browser") == 1)


async def test_a_cordoned_node_gets_nothing_and_is_tainted(start: Start) -> None:
    world = await start(nodes=2)
    body = {"spec": {"unschedulable": True}}
    await world.call("PATCH", "/api/v1/nodes/node-0", body, **MERGE)
    await world.sim.create_deployment("research", "tenant-a", replicas=4)
    await world.until(lambda: world.ready() == 4)
    assert set(_placed(world)) == {"node-1"}
    node = world.store.get(NODES, "", "node-0")
    assert node is not None
    assert node.object["spec"]["taints"][0]["key"] == "node.kubernetes.io/unschedulable"


async def test_a_node_selector_is_obeyed(start: Start) -> None:
    world = await start(nodes=2)
    world.sim.cluster.add_node("gpu", {"kind": "gpu"})
    for name, kind in (("research", "gpu"), ("browser", "tpu")):
        selector = {"nodeSelector": {"kind": kind}}
        await world.sim.create_deployment(name, "tenant-a", replicas=1, spec=selector)
    await world.until(lambda: world.ready() == 1 and _words(world))
    assert _placed(world) == ["gpu"]
    assert "3 node(s) didn't match Pod's node affinity/selector" in _words(world).pop()


async def test_a_removed_node_takes_its_pods_with_it(start: Start) -> None:
    world = await start(nodes=2)
    await world.sim.create_deployment("research", "tenant-a", replicas=6)
    await world.until(lambda: world.ready() == 6)
    world.sim.cluster.remove_node("node-0")
    await world.until(lambda: world.ready() == 6 and set(_placed(world)) == {"node-1"})
