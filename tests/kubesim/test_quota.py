"""A ResourceQuota counts pods, refuses those that exceed it, and admits them when there is room."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agentdash.demo.kubesim.controllers.pods import condition
from agentdash.demo.kubesim.resources import DEPLOYMENTS, EVENTS, RESOURCE_QUOTAS
from tests.kubesim.conftest import CORE, MERGE, World

Start = Callable[..., Awaitable[World]]
POD = {
    "metadata": {"name": "one"},
    "spec": {"containers": [{"name": "agent", "image": "agent:1"}]},
}


def _failure(world: World) -> str:
    stored = world.store.get(DEPLOYMENTS, "tenant-a", "research")
    assert stored is not None
    found = condition(stored.object, "ReplicaFailure")
    return str(found["message"]) if found else ""


def _used(world: World) -> dict[str, str]:
    stored = world.store.get(RESOURCE_QUOTAS, "tenant-a", "tenant")
    assert stored is not None
    return dict(stored.object["status"].get("used", {}))


async def test_pods_beyond_the_quota_fail_with_its_message(start: Start) -> None:
    world = await start(quota={"pods": "2", "requests.cpu": "4"})
    await world.sim.create_deployment("research", "tenant-a", replicas=3)
    await world.until(lambda: world.ready() == 2 and _failure(world))
    words = "exceeded quota: tenant, requested: pods=1, used: pods=2, limited: pods=2"
    assert words in _failure(world)
    await world.until(lambda: _used(world) == {"pods": "2", "requests.cpu": "500m"})
    events = [event.object for event in world.store.each(EVENTS, "tenant-a")]
    assert any(event["reason"] == "FailedCreate" for event in events)


async def test_a_raised_quota_ends_the_failure(start: Start) -> None:
    world = await start(quota={"pods": "1"})
    await world.sim.create_deployment("research", "tenant-a", replicas=2)
    await world.until(lambda: _failure(world) != "")
    raised = {"spec": {"hard": {"pods": "2"}}}
    await world.call("PATCH", f"{CORE}/resourcequotas/tenant", raised, **MERGE)
    await world.until(lambda: world.ready() == 2 and not _failure(world))


async def test_a_pod_must_state_what_the_quota_counts(start: Start) -> None:
    world = await start(quota={"requests.cpu": "4", "requests.memory": "1Gi"})
    status, body = await world.call("POST", f"{CORE}/pods", POD)
    assert (status, body["reason"]) == (403, "Forbidden")
    assert body["message"] == (
        'pods "one" is forbidden: failed quota: tenant: must specify requests.cpu for: agent; '
        "requests.memory for: agent"
    )


async def test_refusals_are_combined_when_there_are_many(start: Start) -> None:
    world = await start(quota={"pods": "0"}, speed=5000.0)
    await world.sim.create_deployment("research", "tenant-a", replicas=1)

    def combined() -> list[int]:
        return [
            event.object["count"]
            for event in world.store.each(EVENTS, "tenant-a")
            if event.object["message"].startswith("(combined from similar events)")
        ]

    await world.until(lambda: combined() and combined()[0] > 1)
    events = [event.object for event in world.store.each(EVENTS, "tenant-a")]
    assert sum(event["reason"] == "FailedCreate" for event in events) == 11
