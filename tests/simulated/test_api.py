"""The API over HTTP: watches, pages, logs, refusals, faults, and extensions."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest

from agentdash.demo.cluster.objects import DEPLOYMENTS
from tests.simulated.conftest import APPS, CORE, DEADLINE_S, Start, World

RESEARCH = f"{APPS}/deployments/research"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/tenant-a/leases"
Line = dict[str, Any]


class Watching:
    """An open watch, read line by line."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def line(self) -> Line:
        async with asyncio.timeout(DEADLINE_S):
            raw = await self.response.content.readline()
        return msgspec.json.decode(raw) if raw else {}

    async def rest(self) -> list[Line]:
        """Everything until the watch ends."""
        lines = []
        try:
            while line := await self.line():
                lines.append(line)
        finally:
            self.response.close()
        return lines


async def watch(world: World, path: str, **query: str) -> Watching:
    url = world.sim.url + path
    response = await world.session.get(url, params={"watch": "1", **query})
    assert response.status == 200
    return Watching(response)


async def version(world: World, path: str = f"{APPS}/deployments") -> str:
    """The present version, once the Deployment's controller has had its say on its creation."""
    await world.until(
        lambda: all(
            each.object["status"].get("conditions") for each in world.store.each(DEPLOYMENTS)
        )
    )
    _, listed = await world.call("GET", path)
    return str(listed["metadata"]["resourceVersion"])


async def label(world: World, **labels: str | None) -> None:
    await world.call("PATCH", RESEARCH, {"metadata": {"labels": labels}})


async def test_a_watch_resumes_where_it_was_left(world: World) -> None:
    since = await version(world)
    for number in range(3):
        await label(world, step=str(number))
    watching = await watch(world, f"{APPS}/deployments", resourceVersion=since)
    seen = [await watching.line() for _ in range(3)]
    assert [line["object"]["metadata"]["labels"]["step"] for line in seen] == list("012")
    resumed = seen[1]["object"]["metadata"]["resourceVersion"]
    again = await watch(world, f"{APPS}/deployments", resourceVersion=resumed)
    assert await again.line() == seen[2]
    for each in (watching, again):
        each.response.close()


@pytest.mark.parametrize("how", ["beyond the history", "of an earlier run"])
async def test_a_version_that_is_not_kept_is_410_inside_the_stream(start: Start, how: str) -> None:
    world = await start(history=5)
    await world.sim.create_deployment("research", "tenant-a")
    since = await version(world)
    if how == "of an earlier run":
        world = await start()
        await world.sim.create_deployment("research", "tenant-a")
    for number in range(6 if how == "beyond the history" else 1):
        await label(world, step=str(number))
    watching = await watch(world, f"{APPS}/deployments", resourceVersion=since)
    (line,) = await watching.rest()
    assert (line["type"], line["object"]["code"]) == ("ERROR", 410)
    assert line["object"]["reason"] == "Expired"


async def test_entering_and_leaving_a_selection_is_added_and_deleted(world: World) -> None:
    query = {"resourceVersion": await version(world), "labelSelector": "step"}
    watching = await watch(world, f"{APPS}/deployments", **query)
    for step in ("1", "2", None):
        await label(world, step=step)
    lines = [await watching.line() for _ in range(3)]
    assert [line["type"] for line in lines] == ["ADDED", "MODIFIED", "DELETED"]
    watching.response.close()


async def test_dropped_watches_break_or_end_cleanly(world: World) -> None:
    broken = await watch(world, f"{CORE}/pods", resourceVersion=await version(world))
    assert world.sim.faults.drop_watches() == 1
    with pytest.raises(aiohttp.ClientPayloadError):
        await broken.rest()
    clean = await watch(world, f"{CORE}/pods", resourceVersion=await version(world))
    assert world.sim.faults.drop_watches(clean=True) == 1
    assert await clean.rest() == []


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("", "abc"),
        ("team", "ab"),
        ("!team", "c"),
        ("team=x", "a"),
        ("team==x", "a"),
        ("team!=x", "bc"),
        ("team in (x, y)", "ab"),
        ("team notin (x),team", "b"),
        ("team in (x", None),
        ("team=x,", None),
    ],
)
async def test_labels_choose_as_in_kubernetes(
    world: World, selector: str, names: str | None
) -> None:
    for name, labels in (("a", {"team": "x"}), ("b", {"team": "y"}), ("c", {})):
        await world.call("POST", LEASES, {"metadata": {"name": name, "labels": labels}})
    url = world.sim.url + LEASES
    async with world.session.get(url, params={"labelSelector": selector}) as response:
        found = await response.json()
    if names is None:
        assert (response.status, found["reason"]) == (400, "BadRequest")
    else:
        assert [item["metadata"]["name"] for item in found["items"]] == list(names)


# Objects


async def test_only_a_change_of_spec_makes_a_new_generation_and_no_change_no_version(
    world: World,
) -> None:
    await version(world)
    _, before = await world.call("GET", RESEARCH)
    _, labelled = await world.call("PATCH", RESEARCH, {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == before["metadata"]["generation"]
    _, changed = await world.call("PATCH", RESEARCH, {"spec": {"paused": True}})
    assert changed["metadata"]["generation"] == before["metadata"]["generation"] + 1
    await world.call("POST", LEASES, {"metadata": {"name": "a"}, "spec": {}})
    held = [
        await world.call("PATCH", f"{LEASES}/a", {"spec": {"holderIdentity": "one"}})
        for _ in range(2)
    ]
    assert held[0] == held[1]
    _, item = await world.call("PATCH", RESEARCH, {"status": {"replicas": 99}})
    assert item["status"].get("replicas") != 99


@pytest.mark.parametrize("size", [-1, "many", 2**31, True])
async def test_a_size_that_is_none_is_refused_and_changes_nothing(
    world: World, size: object
) -> None:
    status, body = await world.call("PATCH", f"{RESEARCH}/scale", {"spec": {"replicas": size}})
    assert status in {400, 422}
    assert body["kind"] == "Status"
    assert (await world.call("GET", RESEARCH))[1]["spec"]["replicas"] == 0


@pytest.mark.parametrize("body", [[], "text", {"metadata": []}, {"spec": None}, {"spec": 3}])
async def test_a_malformed_body_is_refused(world: World, body: object) -> None:
    status, found = await world.call("POST", f"{APPS}/deployments", body)
    assert (status, found["kind"]) == (400, "Status")
