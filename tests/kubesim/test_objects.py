"""Objects follow the API's rules: versions, generations, defaults, three ways of deletion."""

from __future__ import annotations

from typing import Any

import pytest

from agentdash.demo.kubesim.resources import DEPLOYMENTS, NAMESPACES, PODS, REPLICA_SETS
from support import size_writers
from tests.kubesim.conftest import APPS, CORE, MERGE, World

PATH = f"{APPS}/deployments/research"


async def test_only_a_change_of_spec_makes_a_new_generation(world: World) -> None:
    _, before = await world.call("GET", PATH)
    _, labelled = await world.call("PATCH", PATH, {"metadata": {"labels": {"a": "b"}}}, **MERGE)
    assert labelled["metadata"]["generation"] == before["metadata"]["generation"]
    _, paused = await world.call("PATCH", PATH, {"spec": {"paused": True}}, **MERGE)
    assert paused["metadata"]["generation"] == before["metadata"]["generation"] + 1


async def test_a_patch_that_changes_nothing_makes_no_new_version(world: World) -> None:
    await world.scale(2)
    await world.until(lambda: world.ready() == 2)
    before = world.store.version
    assert (await world.scale(2))[0] == 200
    assert world.store.version == before


async def test_status_and_spec_are_written_apart(world: World) -> None:
    body = {"spec": {"replicas": 9}, "status": {"replicas": 7}}
    await world.call("PATCH", f"{PATH}/status", {"status": {"collisionCount": 3}}, **MERGE)
    _, item = await world.call("PATCH", f"{PATH}/status", body, **MERGE)
    assert item["spec"]["replicas"] == 0
    _, item = await world.call("PATCH", PATH, {"status": {"replicas": 99}}, **MERGE)
    assert item["status"].get("replicas") != 99


async def test_a_dry_run_is_checked_and_not_stored(world: World) -> None:
    body = {"metadata": {"name": "page"}, "data": {"a": "b"}}
    status, _ = await world.call("POST", f"{CORE}/configmaps?dryRun=All", body)
    assert status == 201
    assert (await world.call("GET", f"{CORE}/configmaps/page"))[0] == 404
    wrong = {"metadata": {"name": "Page!"}}
    assert (await world.call("POST", f"{CORE}/configmaps?dryRun=All", wrong))[0] == 422
    assert (await world.call("DELETE", f"{PATH}?dryRun=All"))[0] == 200
    assert (await world.call("GET", PATH))[0] == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"spec": {"selector": {"matchLabels": {"app": "other"}}}}, "spec.selector"),
        ({"metadata": {"labels": {"a": "not valid!"}}}, "metadata.labels"),
        ({"metadata": {"annotations": {"not valid!": "a"}}}, "metadata.annotations"),
        ({"spec": {"replicas": -1}}, "spec.replicas"),
    ],
)
async def test_a_bad_change_is_refused_with_its_field(
    world: World, change: object, field: str
) -> None:
    status, body = await world.call("PATCH", PATH, change, **MERGE)
    assert (status, body["reason"]) == (422, "Invalid")
    assert field in {cause["field"] for cause in body["details"]["causes"]}


async def test_unknown_fields_are_warned_of_dropped_or_refused(world: World) -> None:
    body = {"spec": {"replcias": 3}}
    async with world.session.patch(world.sim.url + PATH, json=body, headers=MERGE) as response:
        assert response.headers["Warning"] == '299 - "unknown field \\"spec.replcias\\""'
        assert "replcias" not in (await response.json())["spec"]
    status, refused = await world.call("PATCH", f"{PATH}?fieldValidation=Strict", body, **MERGE)
    assert status == 422
    assert 'strict decoding error: unknown field "spec.replcias"' in refused["message"]


async def test_deleting_a_deployment_deletes_its_pods(world: World) -> None:
    await world.scale(2)
    await world.until(lambda: world.ready() == 2)
    await world.call("DELETE", PATH)
    await world.until(lambda: not world.pods())
    assert not list(world.store.each(REPLICA_SETS, "tenant-a"))


async def test_foreground_deletion_waits_for_the_pods(world: World) -> None:
    await world.scale(2)
    await world.until(lambda: world.ready() == 2)
    order: list[str] = []
    world.store.subscribe(
        lambda change: order.append(change.new.resource.kind) if change.type == "DELETED" else None
    )
    await world.call("DELETE", PATH, {"propagationPolicy": "Foreground"})
    await world.until(lambda: world.store.get(DEPLOYMENTS, "tenant-a", "research") is None)
    assert order == ["Pod", "Pod", "ReplicaSet", "Deployment"]


async def test_orphans_stay(world: World) -> None:
    await world.scale(1)
    await world.until(lambda: world.ready() == 1)
    await world.call("DELETE", f"{PATH}?propagationPolicy=Orphan")
    (left,) = world.store.each(REPLICA_SETS, "tenant-a")
    assert "ownerReferences" not in left.object["metadata"]
    assert len(world.pods()) == 1


async def test_deleting_a_namespace_deletes_everything_in_it(world: World) -> None:
    await world.scale(2)
    await world.until(lambda: world.ready() == 2)
    _, closing = await world.call("DELETE", "/api/v1/namespaces/tenant-a")
    assert closing["status"]["phase"] == "Terminating"
    await world.until(lambda: world.store.get(NAMESPACES, "", "tenant-a") is None)
    assert not list(world.store.each(PODS, "tenant-a"))


async def test_a_pod_names_its_priority_class(world: World) -> None:
    body = {
        "metadata": {"name": "one"},
        "spec": {
            "priorityClassName": "growth",
            "containers": [{"name": "agent", "image": "agent:1"}],
        },
    }
    assert (await world.call("POST", f"{CORE}/pods", body))[0] == 403
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    await world.call("POST", path, {"metadata": {"name": "growth"}, "value": 500})
    _, pod = await world.call("POST", f"{CORE}/pods", body)
    assert pod["spec"]["priority"] == 500


async def test_apply_creates_merges_and_reports_conflicts(world: World) -> None:
    kind = "application/apply-patch+yaml"
    head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "page"}}
    path = f"{CORE}/configmaps/page?fieldManager=me"
    status, _ = await world.call("PATCH", path, head | {"data": {"a": "1"}}, Content_Type=kind)
    assert status == 201
    status, item = await world.call("PATCH", path, head | {"data": {"b": "2"}}, Content_Type=kind)
    assert (status, item["data"]) == (200, {"a": "1", "b": "2"})
    replicas = {"metadata": {"name": "research"}, "spec": {"replicas": 7}}
    for query, wanted in (("", 409), ("&force=true", 200)):
        status, _ = await world.call(
            "PATCH", f"{PATH}?fieldManager=me{query}", replicas, Content_Type=kind
        )
        assert status == wanted


@pytest.mark.parametrize(
    "path",
    [
        "/apis/apps/v1/nothing",
        "/api/v2/pods",
        "/apis/apps/v1/namespaces/tenant-a/deployments/research/nothing",
        "/nothing",
    ],
)
async def test_unknown_paths_are_404(world: World, path: str) -> None:
    async with world.session.get(world.sim.url + path) as response:
        assert response.status == 404


@pytest.mark.parametrize(
    "body",
    [[], "text", {"metadata": []}, {"spec": None}, {"spec": {"template": 3}}, {"kind": "Pod"}],
)
async def test_malformed_bodies_are_refused(world: World, body: object) -> None:
    status, answer = await world.call("POST", f"{APPS}/deployments", body)
    assert 400 <= status < 500
    assert answer["kind"] == "Status"


@pytest.mark.parametrize("nulled", ["strategy", "replicas", "revisionHistoryLimit"])
async def test_a_field_that_is_left_out_or_nulled_has_its_default_again(
    world: World, nulled: str
) -> None:
    _, made = await world.call("GET", PATH)
    for change in (
        ("PATCH", {"spec": {nulled: None}}, MERGE),
        ("PUT", {**made, "spec": {k: v for k, v in made["spec"].items() if k != nulled}}, {}),
    ):
        method, body, more = change
        body.get("metadata", {}).pop("resourceVersion", None)
        status, found = await world.call(method, PATH, body, **more)
        assert status == 200
        defaults = {
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
            },
            "replicas": 1,
            "revisionHistoryLimit": 10,
        }
        assert found["spec"][nulled] == defaults[nulled]
    await world.scale(2)
    await world.until(lambda: world.ready() == 2)


async def test_a_controller_that_crashes_makes_every_answer_an_error(world: World) -> None:
    def crash(_key: object) -> None:
        raise KeyError("strategy")

    queue = world.sim.cluster._queues[0]
    queue._work = crash
    await world.scale(2)
    await world.until(lambda: world.sim.cluster.crash)
    status, refused = await world.call("GET", PATH)
    assert status == 500
    assert refused["message"] == (
        "a controller of the simulated cluster crashed: KeyError('strategy')"
    )
    world.sim.cluster._tasks[:] = [
        task for task in world.sim.cluster._tasks if not task.done()
    ]  # its crash was seen


async def test_the_last_writer_of_a_size_is_in_its_managed_fields(world: World) -> None:
    async def ask(method: str, path: str, body: Any, kind: str) -> dict[str, Any]:
        headers = {"Content_Type": kind} if kind else {}
        status, answer = await world.call(method, path, body, **headers)
        assert status == 200, answer
        return dict(answer)

    assert await size_writers.each_owner_in_turn(ask, PATH) == size_writers.IN_TURN
