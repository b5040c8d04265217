"""Every outcome of a write: answers, missing answers, and our own limits."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from controller.kube import writes
from controller.kube.cluster import Cluster
from controller.model.decision import Outcome, OutcomeKind
from controller.model.readings import Fresh

A = frozenset({"tenant-a"})


async def write(cluster: Cluster, pool: Any, replicas: int = 3, version: str = "101") -> Outcome:
    return await cluster.actuator.scale(pool, replicas, version, urgent=False)


async def test_a_write_is_a_merge_patch_with_the_observed_version(api: Any) -> None:
    api.deployment("tenant-a", "research", 1)
    sent: list[Any] = []

    async def note(request: Any) -> Any:
        sent.append(await request.json())
        return await api._scale(request, "tenant-a", "research")

    api.always["scale"] = note
    async with api.cluster() as cluster:
        assert await write(cluster, api.pool()) == Outcome(kind=OutcomeKind.APPLIED, status=200)
        assert cluster.client.requests["PATCH", "deployments/scale"] == 1
    request = api.last("scale")
    assert request.method == "PATCH"
    assert request.content_type == "application/merge-patch+json"
    assert request.query["fieldManager"] == "agentdash"
    assert request.headers["Authorization"] == "Bearer secret"
    assert sent == [{"metadata": {"resourceVersion": "101"}, "spec": {"replicas": 3}}]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, OutcomeKind.INVALID),
        (401, OutcomeKind.UNAUTHORIZED),
        (403, OutcomeKind.FORBIDDEN),
        (404, OutcomeKind.GONE),
        (409, OutcomeKind.CONFLICT),
        (422, OutcomeKind.INVALID),
        (429, OutcomeKind.THROTTLED),
        (500, OutcomeKind.FAILED),
        (503, OutcomeKind.FAILED),
        (504, OutcomeKind.FAILED),
    ],
)
async def test_a_refusal_is_an_outcome_and_is_not_tried_again(
    api: Any, code: int, kind: OutcomeKind
) -> None:
    api.always["scale"] = api.status(code, "Reason", "words")
    async with api.cluster() as cluster:
        result = await write(cluster, api.pool())
    assert result == Outcome(kind=kind, status=code, detail="words")
    assert api.count("scale") == (2 if code == 401 else 1)


async def test_a_connection_lost_after_sending_is_unknown(api: Any) -> None:
    api.always["scale"] = api.drop
    async with api.cluster() as cluster:
        assert (await write(cluster, api.pool())).kind is OutcomeKind.UNKNOWN
    assert api.count("scale") == 1


async def test_no_answer_in_time_is_unknown(api: Any) -> None:
    api.always["scale"] = api.silence
    async with api.cluster(write_timeout_s=0.05) as cluster:
        assert (await write(cluster, api.pool())).kind is OutcomeKind.UNKNOWN


@pytest.mark.parametrize(
    "answer", ["<html>welcome</html>", "[" * 100_000 + "]" * 100_000], ids=["text", "deep"]
)
async def test_an_answer_2xx_without_a_scale_is_unknown(api: Any, answer: str) -> None:
    api.always["scale"] = api.lines(answer)
    async with api.cluster() as cluster:
        assert (await write(cluster, api.pool())).kind is OutcomeKind.UNKNOWN


async def test_a_port_where_nothing_listens_is_unreachable(api: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        async with Cluster.connect(api.settings(url), api.clock) as cluster:
            result = await write(cluster, api.pool())
    assert result.kind is OutcomeKind.UNREACHABLE


async def test_our_write_is_in_the_next_view_and_an_older_event_does_not_undo_it(api: Any) -> None:
    api.deployment("tenant-a", "research", 1)
    api.always["watch deployments"] = api.silence
    async with api.cluster("tenant-a") as cluster:
        seen = cluster.workloads.workload(api.pool())
        assert isinstance(seen, Fresh)
        done = await write(cluster, api.pool(), 9, seen.value.resource_version)
        assert done.kind is OutcomeKind.APPLIED
        now = cluster.workloads.workload(api.pool())
        assert isinstance(now, Fresh)
        assert now.value.replicas == 9
        assert now.value.resource_version == str(api.version)
        again = await write(cluster, api.pool(), 4, now.value.resource_version)
        assert again.kind is OutcomeKind.APPLIED, "the new version is good for the next write"


async def test_a_write_with_an_old_version_is_a_conflict(api: Any) -> None:
    api.deployment("tenant-a", "research", 1)
    stale = str(api.version)
    api.deployment("tenant-a", "research", 6)
    async with api.cluster() as cluster:
        assert (await write(cluster, api.pool(), 2, stale)).kind is OutcomeKind.CONFLICT
    assert api.count("scale") == 1
    assert api.objects["deployments", "tenant-a", "research"]["spec"]["replicas"] == 6


async def test_nothing_is_sent_while_the_server_asks_us_to_wait(api: Any) -> None:
    api.once["scale"].append(api.status(429, "TooManyRequests", "slow down", retry_after=1))
    api.deployment("tenant-a", "research", 1)
    async with api.cluster() as cluster:
        first = await write(cluster, api.pool())
        assert (first.kind, first.retry_after_s) == (OutcomeKind.THROTTLED, 1.0)
        held = await write(cluster, api.pool("other"))
        assert held.kind is OutcomeKind.THROTTLED
        assert held.status == 0
        assert held.retry_after_s is not None
        assert 0 < held.retry_after_s <= 1.0
        assert api.count("scale") == 1, "not even sent"
        await cluster.client.call("GET", "/version", kind="version")  # reading is another lane

        async def accepted() -> Outcome:
            while True:
                result = await write(cluster, api.pool())
                if result.kind is not OutcomeKind.THROTTLED:
                    return result
                await asyncio.sleep((result.retry_after_s or 0) + 0.001)

        assert (await accepted()).kind is OutcomeKind.APPLIED
    sent = api.times("scale")
    assert sent[1] - sent[0] >= 1.0


async def test_of_two_waits_that_are_asked_for_the_longer_counts(api: Any) -> None:
    for seconds in (30, 1):
        answer = api.status(429, "TooManyRequests", "slow down", retry_after=seconds)
        api.once["scale"].append(answer)
    async with api.cluster() as cluster:
        await asyncio.gather(*(write(cluster, api.pool(name)) for name in ("research", "other")))
        held = await write(cluster, api.pool())
        assert held.retry_after_s is not None
        assert held.retry_after_s > 20.0


async def test_an_unavailable_server_gets_neither_reads_nor_writes(api: Any) -> None:
    api.once["scale"].append(api.status(503, "ServiceUnavailable", "starting", retry_after=30))
    async with api.cluster() as cluster:
        await api.until(lambda: api.count("version"))
        assert (await write(cluster, api.pool())).kind is OutcomeKind.FAILED
        sent = cluster.client.requests.total()  # some of them may still be on their way
        cluster.set_namespaces(A)
        slept = len(api.clock.slept)
        await api.until(lambda: len(api.clock.slept) > slept + 3)
        assert cluster.client.requests.total() == sent
        assert len(api.asked) <= sent
    assert any(29.0 <= seconds <= 31.0 for seconds in api.clock.slept)


async def test_the_right_to_write_is_asked_after_the_wait_for_a_turn(api: Any) -> None:
    async with api.cluster(may_write=lambda: False) as cluster:
        assert (await write(cluster, api.pool())).kind is OutcomeKind.READ_ONLY
    assert api.count("scale") == 0


async def test_urgent_writes_leave_before_the_bulk(api: Any) -> None:
    order: list[str] = []

    async def note(request: Any) -> Any:
        order.append(request.path.split("/")[-2])
        return await api.status(409, "Conflict", "no")(request)

    api.always["scale"] = note
    async with (
        api.cluster() as cluster,
        asyncio.TaskGroup() as group,
    ):
        for number in range(80):
            group.create_task(write(cluster, api.pool(f"bulk-{number}")))
        await asyncio.sleep(0)
        group.create_task(cluster.actuator.scale(api.pool("wake"), 1, "1", urgent=True))
    assert len(order) == 81
    assert order.index("wake") < 77, "before those that waited for a turn"


async def test_a_backlog_beyond_our_own_limit_is_left_to_the_next_tick(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writes, "TURN_TIMEOUT_S", 0.1)
    api.always["scale"] = api.status(409, "Conflict", "no")
    async with api.cluster() as cluster:
        results = await asyncio.gather(*(write(cluster, api.pool(f"p{n}")) for n in range(150)))
    kinds = [result.kind for result in results]
    assert set(kinds) == {OutcomeKind.CONFLICT, OutcomeKind.THROTTLED}
    assert api.count("scale") == kinds.count(OutcomeKind.CONFLICT) >= 50


async def test_a_webhook_that_changes_the_number_is_named(api: Any) -> None:
    api.deployment("tenant-a", "research", 1)

    async def halve(request: Any) -> Any:
        answer = await api._scale(request, "tenant-a", "research")
        answer.text = answer.text.replace('"replicas": 8', '"replicas": 4')
        return answer

    api.always["scale"] = halve
    async with api.cluster() as cluster:
        result = await write(cluster, api.pool(), 8)
    assert (result.kind, result.detail) == (
        OutcomeKind.APPLIED,
        "an admission webhook changed it to 4",
    )


async def test_a_mark_is_a_merge_patch_of_one_annotation(api: Any) -> None:
    sent: list[tuple[str, str, Any]] = []

    async def note(request: Any) -> Any:
        sent.append((request.method, request.path, await request.json()))
        return await api.status(200)(request)

    api.always["list research-1"] = note
    async with api.cluster() as cluster:
        for cost in (-(2**31), None):
            done = await cluster.actuator.mark(api.pool(), "research-1", cost)
            assert done.kind is OutcomeKind.APPLIED
    path = "/api/v1/namespaces/tenant-a/pods/research-1"
    name = "controller.kubernetes.io/pod-deletion-cost"
    assert sent == [
        ("PATCH", path, {"metadata": {"annotations": {name: value}}})
        for value in ("-2147483648", None)
    ]


async def test_a_refused_mark_is_remembered_for_a_while(api: Any) -> None:
    api.always["list research-1"] = api.status(403, "Forbidden", "cannot patch pods")
    async with api.cluster() as cluster:
        pool = api.pool()
        assert cluster.workloads.unmarkable(pool) == ""
        done = await cluster.actuator.mark(pool, "research-1", 0)
        assert done.kind is OutcomeKind.FORBIDDEN
        assert cluster.workloads.unmarkable(pool) == "cannot patch pods"
