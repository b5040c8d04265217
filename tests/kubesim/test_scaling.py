"""Deployments, ReplicaSets and pods follow `spec.replicas`; writes grow linearly with the pods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agentdash.demo.kubesim import PodTrouble
from agentdash.demo.kubesim.controllers.pods import condition
from agentdash.demo.kubesim.controllers.victims import DELETION_COST
from agentdash.demo.kubesim.resources import DEPLOYMENTS, EVENTS, PODS, REPLICA_SETS
from tests.kubesim.conftest import APPS, CORE, MERGE, World

Start = Callable[..., Awaitable[World]]


async def test_pods_come_and_go_with_the_replicas(world: World) -> None:
    await world.scale(3)
    await world.until(lambda: world.ready() == 3)
    (owner,) = world.store.each(REPLICA_SETS, "tenant-a")
    for pod in world.pods():
        assert pod.key[1].startswith(f"{owner.key[1]}-")
        assert pod.object["metadata"]["ownerReferences"][0]["uid"] == owner.uid
    await world.scale(0)
    await world.until(lambda: not world.pods())
    await world.until(lambda: world.ready() == 0)


async def test_the_pod_with_the_lowest_deletion_cost_goes_first(world: World) -> None:
    await world.scale(4)
    await world.until(lambda: world.ready() == 4)
    chosen = world.pods()[2].key[1]
    note = {"metadata": {"annotations": {DELETION_COST: "-5"}}}
    await world.call("PATCH", f"{CORE}/pods/{chosen}", note, **MERGE)
    await world.scale(3)
    await world.until(lambda: len(world.pods()) == 3)
    assert chosen not in {pod.key[1] for pod in world.pods()}


async def test_a_new_template_rolls_over_without_losing_too_many(world: World) -> None:
    await world.scale(8)
    await world.until(lambda: world.ready() == 8)
    fewest = 8

    def watch_the_fewest(_change: object) -> None:
        nonlocal fewest
        fewest = min(fewest, world.ready())

    world.store.subscribe(watch_the_fewest)
    image = {
        "spec": {"template": {"spec": {"containers": [{"name": "agent", "image": "agent:2"}]}}}
    }
    kind = "application/strategic-merge-patch+json"
    await world.call("PATCH", f"{APPS}/deployments/research", image, Content_Type=kind)

    def rolled_over() -> bool:
        images = [pod.object["spec"]["containers"][0]["image"] for pod in world.pods()]
        return images == ["agent:2"] * 8 and world.ready() == 8

    await world.until(rolled_over)
    assert fewest >= 6  # 25 % of 8 may be unavailable
    kept = world.store.get(DEPLOYMENTS, "tenant-a", "research")
    assert kept is not None
    assert kept.object["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"


async def test_an_earlier_template_becomes_the_latest_revision(world: World) -> None:
    path, kind = f"{APPS}/deployments/research", "application/strategic-merge-patch+json"
    for image in ("agent:2", "registry.example/agent:1"):
        containers = [{"name": "agent", "image": image}]
        body = {"spec": {"template": {"spec": {"containers": containers}}}}
        await world.call("PATCH", path, body, Content_Type=kind)
        before = len(list(world.store.each(REPLICA_SETS, "tenant-a")))
        assert before <= 2

    def revision() -> str:
        kept = world.store.get(DEPLOYMENTS, "tenant-a", "research")
        assert kept is not None
        notes = kept.object["metadata"].get("annotations") or {}
        return str(notes.get("deployment.kubernetes.io/revision"))

    await world.until(lambda: revision() == "3")


async def test_a_rollout_without_progress_exceeds_its_deadline(world: World) -> None:
    world.sim.cluster.kubelets.add_trouble(PodTrouble("never-ready"))
    body = {"spec": {"replicas": 1, "progressDeadlineSeconds": 20, "paused": False}}
    await world.call("PATCH", f"{APPS}/deployments/research", body, **MERGE)
    kind, image = "application/strategic-merge-patch+json", {"name": "agent", "image": "agent:2"}
    change = {"spec": {"template": {"spec": {"containers": [image]}}}}
    await world.call("PATCH", f"{APPS}/deployments/research", change, Content_Type=kind)

    def reason() -> str:
        kept = world.store.get(DEPLOYMENTS, "tenant-a", "research")
        found = condition(kept.object, "Progressing") if kept is not None else None
        return str(found["reason"]) if found is not None else ""

    await world.until(lambda: reason() == "ReplicaSetUpdated")
    await world.until(lambda: reason() == "ProgressDeadlineExceeded")


async def test_controllers_write_events(world: World) -> None:
    await world.scale(1)
    await world.until(lambda: world.ready() == 1)
    reasons = {event.object["reason"] for event in world.store.each(EVENTS, "tenant-a")}
    assert reasons >= {
        "ScalingReplicaSet",
        "SuccessfulCreate",
        "Scheduled",
        "Pulling",
        "Pulled",
        "Created",
        "Started",
    }


async def test_a_deleted_pod_is_replaced(world: World) -> None:
    await world.scale(2)
    await world.until(lambda: world.ready() == 2)
    gone = world.pods()[0].key[1]
    await world.call("DELETE", f"{CORE}/pods/{gone}")
    await world.until(lambda: gone not in {pod.key[1] for pod in world.pods()})
    await world.until(lambda: len(world.pods()) == 2 and world.ready() == 2)


async def _writes_to_reach(start: Start, replicas: int) -> int:
    world = await start(nodes=20)
    await world.sim.create_deployment("research", "tenant-a", cpu="10m", memory="16Mi")
    before = world.store.version
    await world.scale(replicas)
    await world.until(lambda: world.ready() == replicas)
    return world.store.version - before


async def test_the_writes_of_a_scale_up_grow_with_the_pods(start: Start) -> None:
    few, many = await _writes_to_reach(start, 100), await _writes_to_reach(start, 400)
    # per pod: itself in five versions and six events, and at most one status write per version
    # of its ReplicaSet, Deployment and quota
    assert few <= 100 * 24
    assert many <= 4.5 * few


async def test_a_thousand_pods_are_listed_from_bytes_that_are_made_once(start: Start) -> None:
    world = await start(nodes=20)
    await world.sim.create_deployment("research", "tenant-a", cpu="10m", memory="16Mi")
    await world.scale(1000)
    await world.until(lambda: world.ready() == 1000)
    status, body = await world.call("GET", f"{CORE}/pods")
    assert (status, len(body["items"])) == (200, 1000)
    made = [stored.item() for stored in world.store.each(PODS, "tenant-a")]
    again = [stored.item() for stored in world.store.each(PODS, "tenant-a")]
    assert all(left is right for left, right in zip(made, again, strict=True))


async def test_a_deployment_made_anew_gets_a_replica_set_of_its_own(world: World) -> None:
    """While that of the one before it, of the same name, is still there."""
    await world.scale(2)
    await world.until(lambda: world.ready() == 2)
    path = f"{APPS}/deployments/research"
    (_, before) = await world.call("GET", path)
    (old,) = world.store.each(REPLICA_SETS, "tenant-a")
    held = {"metadata": {"finalizers": ["example.com/hold"]}}
    await world.call("PATCH", f"{APPS}/replicasets/{old.key[1]}", held, **MERGE)
    await world.call("DELETE", path)
    again = {each: before[each] for each in ("apiVersion", "kind", "spec")}
    again["metadata"] = {"name": "research", "labels": before["metadata"].get("labels") or {}}
    await world.call("POST", f"{APPS}/deployments", again)

    def is_whole() -> bool:
        found = world.store.get(DEPLOYMENTS, "tenant-a", "research")
        return found is not None and found.object["status"].get("updatedReplicas") == 2

    await world.until(is_whole)
    names = {each.uid: each.key[1] for each in world.store.each(REPLICA_SETS, "tenant-a")}
    assert len(names) == len(set(names.values())) == 2
    (_, after) = await world.call("GET", path)
    assert (names[old.uid], after["status"]["collisionCount"]) == (old.key[1], 1)
