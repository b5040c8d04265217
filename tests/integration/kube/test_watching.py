"""The view during all that a server and a network may do to a list and a watch."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import controller.kube.cluster as cluster_module
from controller.kube.cluster import Cluster
from controller.model.observation import Pods
from controller.model.readings import Absent, Fresh, Stale, Why
from controller.model.snapshot import LinkState
from integration.kube.conftest import lines, status

A = frozenset({"tenant-a"})


def bookmark(version: object) -> dict[str, Any]:
    return {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}}


def replicas(cluster: Cluster, pool: Any) -> int | None:
    reading = cluster.workloads.workload(pool)
    return reading.value.replicas if isinstance(reading, Fresh) else None


async def test_a_deployment_and_its_pods_are_seen_and_followed(api: Any) -> None:
    api.deployment("tenant-a", "research", 2)
    api.pod("tenant-a", "research-1", "research")
    changes: list[tuple[str, str]] = []
    async with api.cluster() as cluster:
        cluster.workloads.on_change(
            lambda namespace, workload: changes.append((namespace, workload.name))
        )
        cluster.set_namespaces(A)
        assert await cluster.synced(5.0)
        pods = cluster.workloads.pods(api.pool())
        assert isinstance(pods, Fresh)
        assert pods.value.ready == 1
        assert cluster.context == "stub"
        changes.clear()
        api.deployment("tenant-a", "research", 7)
        await api.until(lambda: replicas(cluster, api.pool()) == 7)
        api.delete("pods", "tenant-a", "research-1")
        await api.until(lambda: len(changes) == 2)
        assert changes == [("tenant-a", "research")] * 2
        api.delete("deployments", "tenant-a", "research")
        await api.until(lambda: isinstance(cluster.workloads.workload(api.pool()), Absent))
        gone = cluster.workloads.workload(api.pool())
        assert isinstance(gone, Absent)
        assert gone.why is Why.OBJECT_MISSING
        nobody = cluster.workloads.pods(api.pool())
        assert isinstance(nobody, Fresh)
        assert nobody.value == Pods()
        assert cluster.link().state is LinkState.CONNECTED


async def test_long_lists_come_in_pages_and_carry_the_selector(api: Any) -> None:
    for number in range(1203):
        api.deployment("tenant-a", f"pool-{number:04}", number)
    settings = api.settings(selector="agentdash.dev/managed=true")
    async with Cluster.connect(settings, api.clock) as cluster:
        cluster.set_namespaces(A)
        assert await cluster.synced(5.0)
        assert replicas(cluster, api.pool("pool-1202")) == 1202
        await api.until(lambda: api.count("watch deployments") and api.count("watch pods"))
    assert api.count("list deployments") == 3
    for kind in ("list deployments", "watch deployments", "list pods", "watch pods"):
        assert api.last(kind).query["labelSelector"] == "agentdash.dev/managed=true"
    assert api.last("watch deployments").query["allowWatchBookmarks"] == "true"


@pytest.mark.parametrize(
    ("fault", "words"), [("status", "etcd is gone"), ("drop", "connection lost")]
)
async def test_a_page_that_fails_leaves_no_incomplete_view(
    api: Any, fault: str, words: str
) -> None:
    for number in range(600):
        api.deployment("tenant-a", f"pool-{number:03}")
    fails = api.drop if fault == "drop" else api.status(500, "InternalError", "etcd is gone")

    async def page_two_fails(request: Any) -> Any:
        if "continue" in request.query:
            return await fails(request)
        return api._list(request, "deployments", "tenant-a")

    api.always["list deployments"] = page_two_fails
    async with api.cluster("tenant-a", wait=False) as cluster:
        await api.until(lambda: api.count("list deployments") >= 4)
        half = cluster.workloads.workload(api.pool("pool-000"))
        assert isinstance(half, Absent)
        assert half.why is Why.VIEW_INCOMPLETE
        assert half.detail.startswith(words)
        del api.always["list deployments"]
        await api.until(lambda: replicas(cluster, api.pool("pool-000")) == 1)


async def test_a_list_that_expires_between_pages_is_read_without_pages(api: Any) -> None:
    for number in range(600):
        api.deployment("tenant-a", f"pool-{number:03}")

    async def page_two_expired(request: Any) -> Any:
        if "continue" in request.query:
            return await api.status(410, "Expired", "too old")(request)
        return api._list(request, "deployments", "tenant-a")

    api.always["list deployments"] = page_two_expired
    async with api.cluster("tenant-a") as cluster:
        assert replicas(cluster, api.pool("pool-599")) == 1
    assert api.count("list deployments") == 3
    assert "limit" not in api.last("list deployments").query


async def test_a_dropped_watch_resumes_where_it_was(api: Any) -> None:
    api.deployment("tenant-a", "research", 1)
    async with api.cluster("tenant-a") as cluster:
        await api.until(lambda: api.count("watch deployments") == 1)
        api.deployment("tenant-a", "research", 2)
        await api.until(lambda: replicas(cluster, api.pool()) == 2)
        seen = api.version
        api.drop_all()
        api.deployment("tenant-a", "research", 3)
        await api.until(lambda: replicas(cluster, api.pool()) == 3)
        assert api.count("list deployments") == 1
        assert api.count("watch deployments") >= 2
        versions = {
            r.query["resourceVersion"] for _, k, r in api.asked if k.startswith("watch deploy")
        }
        assert str(seen) in versions


async def test_a_watch_resumes_at_the_last_bookmark(api: Any) -> None:
    api.once["watch deployments"].append(api.lines(bookmark("5000")))
    async with api.cluster("tenant-a", wait=False):
        await api.until(lambda: api.count("watch deployments") == 2)
        assert api.last("watch deployments").query["resourceVersion"] == "5000"
        assert api.count("list deployments") == 1


async def test_a_watch_that_ends_normally_resumes_without_a_list(api: Any) -> None:
    api.once["watch deployments"].extend([api.lines()] * 3)
    async with api.cluster("tenant-a", wait=False) as cluster:
        await api.until(lambda: api.count("watch deployments") == 4)
        assert api.count("list deployments") == 1
        assert isinstance(cluster.workloads.workload(api.pool()), Absent)
    assert any(seconds > 0 for seconds in api.clock.slept), "ended at once: not hurried"


async def test_after_an_expired_watch_nothing_is_fresh_until_the_next_list(api: Any) -> None:
    api.deployment("tenant-a", "research", 1)
    expired = {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}}
    async with api.cluster("tenant-a") as cluster:
        await api.until(lambda: api.count("watch deployments") == 1)
        api.once["watch deployments"].append(api.lines(expired))
        api.always["list deployments"] = api.status(500, "InternalError", "not now")
        api.drop_all()
        await api.until(lambda: api.count("list deployments") >= 3)
        gap = cluster.workloads.workload(api.pool())
        assert isinstance(gap, Stale)
        assert (gap.why, gap.value.replicas) == (Why.VIEW_INCOMPLETE, 1)
        unknown = cluster.workloads.workload(api.pool("perhaps"))
        assert isinstance(unknown, Absent)
        assert unknown.why is Why.VIEW_INCOMPLETE, (
            "an untrue view knows of nothing that it is missing"
        )
        api.deployment("tenant-a", "research", 4)
        del api.always["list deployments"]
        await api.until(lambda: replicas(cluster, api.pool()) == 4)


async def test_a_version_not_reached_yet_is_waited_for(api: Any) -> None:
    too_new = api.status(504, "Timeout", "Too large resource version", retry_after=1)
    api.once["watch deployments"].append(too_new)
    async with api.cluster("tenant-a", wait=False):
        await api.until(lambda: api.count("watch deployments") == 2)
        assert api.count("list deployments") == 1
    assert any(1.0 <= seconds <= 1.5 for seconds in api.clock.slept)


DEEP = "[" * 100_000 + "]" * 100_000
UNUSABLE = (
    status(410, "Expired", "too old resource version"),
    status(500, "", 'resourceVersion: Invalid value: "abc"'),
    lines(bookmark("3")),  # the versions go backwards
    *map(lines, ("<html>", "{}", '{"type":"MODIFIED","object":{"kind":"Dep')),
    lines('{"type":"ERROR","object":[]}'),
    *(
        lines(f'{{"type":"{kind}","object":{DEEP}}}')
        for kind in ("MODIFIED", "ERROR", "BOOKMARK", "DELETED")
    ),
)


async def test_after_a_watch_that_cannot_be_used_the_list_is_read_anew(api: Any) -> None:
    api.deployment("tenant-a", "research", 1)
    api.once["watch deployments"].extend(UNUSABLE)
    async with api.cluster("tenant-a", wait=False) as cluster:
        await api.until(lambda: api.count("list deployments") == 1 + len(UNUSABLE))
        await api.until(lambda: replicas(cluster, api.pool()) == 1)


@pytest.mark.parametrize(
    "answer",
    [
        "<html>please log in</html>",
        "{}",
        "null",
        "[]",
        '{"metadata":{"resourceVersion":"7"}}',
        '{"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"res',
        '{"kind":"Status","status":"Success"}',
    ],
)
async def test_an_answer_that_is_no_list_is_unreadable(api: Any, answer: str) -> None:
    api.always["list deployments"] = api.lines(answer)
    async with api.cluster("tenant-a", wait=False) as cluster:
        await api.until(lambda: api.count("list deployments") == 2)
        reading = cluster.workloads.workload(api.pool())
        assert isinstance(reading, Absent)
        assert reading.why is Why.UNREADABLE


async def test_refused_credentials_are_a_link_that_is_down_until_they_are_taken(api: Any) -> None:
    api.deployment("tenant-a", "research", 1)
    async with api.cluster("tenant-a") as cluster:
        api.always["version"] = api.status(401, "Unauthorized", "Unauthorized")
        await api.until(lambda: cluster.link().state is LinkState.DISCONNECTED)
        assert cluster.link().detail == "our credentials are refused: Unauthorized"
        assert replicas(cluster, api.pool()) == 1, "the watch is open and still right"
        del api.always["version"]
        await api.until(lambda: cluster.link().state is LinkState.CONNECTED)


async def test_a_deployment_read_by_itself_replaces_an_older_state_only(api: Any) -> None:
    api.deployment("tenant-a", "research", 1)
    api.always["watch deployments"] = api.silence
    async with api.cluster("tenant-a") as cluster:
        api.deployment("tenant-a", "research", 6)
        assert replicas(cluster, api.pool()) == 1
        await cluster.workloads.reread(api.pool())
        assert replicas(cluster, api.pool()) == 6
        before = api.objects["deployments", "tenant-a", "research"]
        older = {**before["metadata"], "resourceVersion": "3"}
        api.objects["deployments", "tenant-a", "research"] = {
            **before,
            "metadata": older,
            "spec": {"replicas": 2},
        }
        await cluster.workloads.reread(api.pool())
        assert replicas(cluster, api.pool()) == 6
        await cluster.workloads.reread(api.pool("nowhere"))
        await cluster.workloads.reread(api.pool(namespace="elsewhere"))


async def test_a_refusal_in_one_namespace_does_not_affect_another(api: Any) -> None:
    api.deployment("tenant-b", "research", 5)
    for kind in ("deployments", "pods", "events"):
        words = f"{kind} is forbidden"
        api.always[f"list {kind} in tenant-a"] = api.status(403, "Forbidden", words)
    async with api.cluster() as cluster:
        cluster.set_namespaces(frozenset({"tenant-a", "tenant-b"}))
        await api.until(lambda: replicas(cluster, api.pool(namespace="tenant-b")) == 5)
        await api.until(lambda: api.count("list deployments in tenant-a") >= 2)
        walled = cluster.workloads.workload(api.pool())
        assert isinstance(walled, Absent)
        assert (walled.why, walled.detail) == (Why.REFUSED, "deployments is forbidden")
        assert not await cluster.synced(0.01)
        api.deployment("tenant-a", "research", 2)
        api.always.clear()
        await api.until(lambda: replicas(cluster, api.pool()) == 2)
    assert all(15.0 <= s <= 30.0 for s in api.clock.slept if s > 6.0), "asked again slowly"


async def test_the_first_decision_does_not_wait_for_warnings(api: Any) -> None:
    api.always["list events"] = api.silence
    async with api.cluster("tenant-a") as cluster:
        assert cluster.workloads.warnings(api.pool()) == ()


async def test_warnings_reach_their_pool(api: Any) -> None:
    about = {"kind": "Deployment", "name": "research"}
    api.put(
        "events",
        "tenant-a",
        "e",
        type="Warning",
        involvedObject=about,
        reason="Quota",
        count=2,
        lastTimestamp="2999-01-01T00:00:00Z",
        message="exceeded",
    )
    async with api.cluster("tenant-a", wait=False) as cluster:
        await api.until(lambda: cluster.workloads.warnings(api.pool()))
        (warning,) = cluster.workloads.warnings(api.pool())
        assert (warning.reason, warning.message, warning.count) == ("Quota", "exceeded", 2)
        assert api.last("list events").query["fieldSelector"].startswith("type=Warning,")


async def test_namespaces_come_and_go_while_running(api: Any) -> None:
    api.deployment("tenant-a", "research", 1)
    api.deployment("tenant-b", "research", 2)
    async with api.cluster() as cluster:
        unwatched = cluster.workloads.workload(api.pool())
        assert isinstance(unwatched, Absent)
        assert unwatched.why is Why.NEVER_READ
        cluster.set_namespaces(A)
        assert await cluster.synced(5.0)
        cluster.set_namespaces(frozenset({"tenant-a", "tenant-b"}))
        assert replicas(cluster, api.pool()) == 1, "what stays is kept"
        assert await cluster.synced(5.0)
        assert api.count("list deployments in tenant-a") == 1
        cluster.set_namespaces(frozenset({"tenant-b"}))
        assert isinstance(cluster.workloads.workload(api.pool()), Absent)
        assert replicas(cluster, api.pool(namespace="tenant-b")) == 2


async def test_a_server_that_is_down_at_the_start_is_a_link_that_is_down(api: Any) -> None:
    api.deployment("tenant-a", "research", 1)
    await api.stop()
    async with api.cluster("tenant-a", wait=False) as cluster:
        await api.until(lambda: cluster.link().state is LinkState.DISCONNECTED)
        await api.until(lambda: len(api.clock.slept) > 5)
        down = cluster.workloads.workload(api.pool())
        assert isinstance(down, Absent)
        assert down.why is Why.DISCONNECTED
        assert cluster.link().last_good_at is None
        await api.start()
        await api.until(lambda: replicas(cluster, api.pool()) == 1)
        assert cluster.link().state is LinkState.CONNECTED
        await api.stop()
        await api.until(lambda: cluster.link().state is LinkState.DISCONNECTED)
        assert replicas(cluster, api.pool()) == 1, "fresh for a moment while it is taken up again"


async def test_nothing_is_left_running(api: Any) -> None:
    before = asyncio.all_tasks()
    async with api.cluster("tenant-a"):
        assert {task.get_name() for task in asyncio.all_tasks() - before} >= {"kube writes"}
    own = {task for task in asyncio.all_tasks() - before if task.get_name().startswith("kube")}
    assert not own


async def test_a_frozen_server_is_a_link_that_is_down(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "PROBE_TIMEOUT_S", 0.05)
    async with api.cluster("tenant-a") as cluster:
        await api.until(lambda: api.count("watch deployments"))
        api.always["version"] = api.silence
        await api.until(lambda: cluster.link().state is LinkState.DISCONNECTED)
        assert cluster.link().detail == "no answer in time"
        del api.always["version"]
        monkeypatch.setattr(cluster_module, "PROBE_TIMEOUT_S", 5.0)
        await api.until(lambda: cluster.link().state is LinkState.CONNECTED)
