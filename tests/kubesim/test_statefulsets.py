"""StatefulSets: ordinals in their order, one by one or together, and rollouts from the highest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agentdash.demo.kubesim.controllers.pods import is_ready
from agentdash.demo.kubesim.resources import EVENTS, PODS, STATEFUL_SETS
from agentdash.demo.kubesim.store import Change
from support.stateful import create_statefulset
from tests.kubesim.conftest import APPS, MERGE, World

Start = Callable[..., Awaitable[World]]
SCALE = f"{APPS}/statefulsets/db/scale"


class Life:
    """The pods of a StatefulSet as they come, become ready and go."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.made: list[str] = []
        self.gone: list[str] = []
        self.most_not_ready = 0
        world.store.subscribe(self._note)

    def _note(self, change: Change) -> None:
        if change.new.resource is not PODS:
            return
        if change.type == "ADDED":
            self.made.append(change.new.key[1])
        elif change.type == "DELETED":
            self.gone.append(change.new.key[1])
        starting = [pod for pod in self.world.pods() if not is_ready(pod.object)]
        self.most_not_ready = max(self.most_not_ready, len(starting))

    def names(self) -> list[str]:
        return sorted(pod.key[1] for pod in self.world.pods())

    def ready(self) -> int:
        return int(self.status().get("readyReplicas", 0))

    def status(self) -> dict[str, Any]:
        stored = self.world.store.get(STATEFUL_SETS, "tenant-a", "db")
        assert stored is not None
        found: dict[str, Any] = stored.object["status"]
        return found

    async def scale(self, replicas: int) -> None:
        status, scale = await self.world.call(
            "PATCH", SCALE, {"spec": {"replicas": replicas}}, **MERGE
        )
        assert (status, scale["kind"]) == (200, "Scale")
        await self.world.until(
            lambda: self.ready() == replicas and len(self.world.pods()) == replicas
        )


async def test_ordered_ready_starts_one_after_the_other_and_ends_from_the_top(
    world: World,
) -> None:
    create_statefulset(world.sim, "db", "tenant-a")
    life = Life(world)
    await life.scale(3)
    assert life.made == ["db-0", "db-1", "db-2"]
    assert life.most_not_ready == 1
    await life.scale(1)
    assert life.gone == ["db-2", "db-1"]


async def test_parallel_starts_all_at_once_and_takes_the_highest(world: World) -> None:
    create_statefulset(world.sim, "db", "tenant-a", podManagementPolicy="Parallel")
    life = Life(world)
    await life.scale(4)
    assert life.most_not_ready == 4
    await life.scale(2)
    assert sorted(life.gone) == ["db-2", "db-3"]
    assert life.names() == ["db-0", "db-1"]


async def test_a_pod_has_the_names_and_labels_of_the_real_controller(world: World) -> None:
    create_statefulset(world.sim, "db", "tenant-a", ordinals={"start": 5})
    life = Life(world)
    await life.scale(1)
    (pod,) = world.pods()
    assert pod.key[1] == "db-5"
    labels, spec = pod.object["metadata"]["labels"], pod.object["spec"]
    assert labels["statefulset.kubernetes.io/pod-name"] == "db-5"
    assert labels["apps.kubernetes.io/pod-index"] == "5"
    assert labels["controller-revision-hash"] == life.status()["updateRevision"]
    assert (spec["hostname"], spec["subdomain"]) == ("db-5", "db")


async def test_a_deleted_pod_comes_back_under_its_name(world: World) -> None:
    create_statefulset(world.sim, "db", "tenant-a", podManagementPolicy="Parallel")
    life = Life(world)
    await life.scale(3)
    before = {pod.key[1]: pod.uid for pod in world.pods()}
    await world.call("DELETE", "/api/v1/namespaces/tenant-a/pods/db-1")
    await world.until(lambda: life.gone and len(world.pods()) == 3)
    after = {pod.key[1]: pod.uid for pod in world.pods()}
    assert before.keys() == after.keys()
    assert {name for name in after if after[name] != before[name]} == {"db-1"}


async def test_a_rollout_replaces_the_highest_first_and_one_at_a_time(world: World) -> None:
    create_statefulset(world.sim, "db", "tenant-a", podManagementPolicy="Parallel")
    life = Life(world)
    await life.scale(3)
    life.most_not_ready = 0
    first = life.status()["currentRevision"]
    template = {"metadata": {"annotations": {"version": "2"}}}
    await world.call("PATCH", f"{APPS}/statefulsets/db", {"spec": {"template": template}}, **MERGE)
    await world.until(lambda: life.status()["currentRevision"] != first)
    assert life.gone == ["db-2", "db-1", "db-0"]
    assert life.most_not_ready == 1
    assert life.status()["updatedReplicas"] == 3


async def test_the_defaults_and_the_empty_status_are_those_of_the_real_server(
    world: World,
) -> None:
    stored = create_statefulset(world.sim, "db", "tenant-a")
    spec = stored.object["spec"]
    assert spec["podManagementPolicy"] == "OrderedReady"
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    }
    assert stored.object["status"] == {"replicas": 0, "availableReplicas": 0}


async def test_what_may_not_change_is_refused_in_the_words_of_the_server(world: World) -> None:
    create_statefulset(world.sim, "db", "tenant-a")
    change = {"spec": {"podManagementPolicy": "Parallel"}}
    status, refusal = await world.call("PATCH", f"{APPS}/statefulsets/db", change, **MERGE)
    assert status == 422
    assert refusal["message"] == (
        'StatefulSet.apps "db" is invalid: spec: Forbidden: updates to statefulset spec for fields'
        " other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit',"
        " 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
    )


@pytest.mark.parametrize("policy", ["OrderedReady", "Parallel"])
async def test_a_quota_that_refuses_a_pod_is_an_event_and_is_tried_again(
    start: Start, policy: str
) -> None:
    world = await start(quota={"pods": "1"})
    create_statefulset(world.sim, "db", "tenant-a", replicas=2, podManagementPolicy=policy)

    def told() -> bool:
        return any(
            event.object["reason"] == "FailedCreate"
            and "Create Pod db-1 in StatefulSet db failed error: " in event.object["message"]
            for event in world.store.each(EVENTS, "tenant-a")
        )

    await world.until(told)
    assert [pod.key[1] for pod in world.pods()] == ["db-0"]
    more = {"spec": {"hard": {"pods": "2"}}}
    await world.call("PATCH", "/api/v1/namespaces/tenant-a/resourcequotas/tenant", more, **MERGE)
    await world.until(lambda: len(world.pods()) == 2)
