"""Every fault concerns the requests that it should, as often as it should."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import aiohttp
import pytest

from agentdash.demo.kubesim import ApiFault
from tests.kubesim.conftest import APPS, CORE, MERGE, World
from tests.support import requests_seen

Start = Callable[..., Awaitable[World]]
SCALE = f"{APPS}/deployments/research/scale"


@pytest.mark.parametrize("code", [401, 403, 404, 409, 422, 429, 500, 503, 504])
async def test_a_refusal_with_times_concerns_the_next_requests_only(
    world: World, code: int
) -> None:
    world.sim.faults.add(ApiFault(verb="patch", path="/scale", status=code, times=2))
    answers = [await world.scale(1) for _ in range(3)]
    assert [status for status, _ in answers] == [code, code, 200]
    assert answers[0][1]["code"] == code
    assert answers[0][1]["kind"] == "Status"


async def test_a_refused_write_was_not_carried_out(world: World) -> None:
    world.sim.faults.add(ApiFault(verb="patch", status=500, times=1))
    await world.scale(5)
    _, scale = await world.call("GET", SCALE)
    assert scale["spec"] == {}


async def test_a_write_can_be_carried_out_and_its_answer_lost(world: World) -> None:
    world.sim.faults.add(ApiFault(verb="patch", status=504, after=True, times=1))
    status, _ = await world.scale(5)
    _, scale = await world.call("GET", SCALE)
    assert (status, scale["spec"]) == (504, {"replicas": 5})


async def test_retry_after_is_sent_when_asked_for(world: World) -> None:
    for seconds in (7, None):
        number = world.sim.faults.add(ApiFault(status=429, retry_after=seconds))
        async with world.session.get(world.sim.url + SCALE) as response:
            assert response.headers.get("Retry-After") == (None if seconds is None else "7")
        world.sim.faults.remove(number)


async def test_a_fault_may_concern_a_share_of_the_requests(world: World) -> None:
    world.sim.faults.add(ApiFault(path="/configmaps", status=503, share=0.5))
    codes = [(await world.call("GET", f"{CORE}/configmaps"))[0] for _ in range(60)]
    assert 15 <= codes.count(503) <= 45


async def test_a_fault_does_not_concern_other_verbs_and_paths(world: World) -> None:
    world.sim.faults.add(ApiFault(verb="list|watch", path="/pods", status=500))
    assert (await world.call("GET", f"{CORE}/pods"))[0] == 500
    assert (await world.call("GET", f"{CORE}/configmaps"))[0] == 200
    assert (await world.scale(1))[0] == 200


async def test_a_hanging_request_never_answers(world: World) -> None:
    world.sim.faults.add(ApiFault(hang=True, times=1))
    deadline = aiohttp.ClientTimeout(total=0.05)
    with pytest.raises(TimeoutError):
        await world.session.get(world.sim.url + SCALE, timeout=deadline)
    assert (await world.call("GET", SCALE))[0] == 200


async def test_latency_comes_before_the_answer(world: World) -> None:
    world.sim.faults.add(ApiFault(latency_s=0.05, times=1))
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert (await world.call("GET", SCALE))[0] == 200
    assert loop.time() - began >= 0.05


async def test_half_an_answer_is_cut_off(world: World) -> None:
    world.sim.faults.add(ApiFault(cut=True, times=1))
    response = await world.session.get(world.sim.url + SCALE)
    with pytest.raises(aiohttp.ClientPayloadError):
        await response.read()


async def test_a_garbled_answer_is_not_json(world: World) -> None:
    world.sim.faults.add(ApiFault(garble=True, times=1))
    async with world.session.get(world.sim.url + SCALE) as response:
        assert response.status == 200
        with pytest.raises(ValueError, match=r"Expecting|decode|Invalid"):
            await response.json()


async def test_the_switches_work_over_http(world: World) -> None:
    status, made = await world.call("POST", "/_sim/faults", {"verb": "get", "status": 503})
    assert status == 200
    assert (await world.call("GET", SCALE))[0] == 503
    await world.call("DELETE", f"/_sim/faults/{made['number']}")
    assert (await world.call("GET", SCALE))[0] == 200
    status, refused = await world.call("POST", "/_sim/faults", {"status": "many"})
    assert (status, refused["reason"]) == (400, "BadRequest")


async def test_nodes_and_troubles_are_switched_over_http(world: World) -> None:
    await world.call("POST", "/_sim/nodes", {"name": "extra"})
    assert (await world.call("GET", "/api/v1/nodes/extra"))[0] == 200
    await world.call("DELETE", "/_sim/nodes/extra")
    assert (await world.call("GET", "/api/v1/nodes/extra"))[0] == 404
    await world.call("POST", "/_sim/troubles", {"kind": "waiting", "reason": "ErrImagePull"})
    await world.scale(1)
    await world.until(
        lambda: (
            [
                status["state"].get("waiting", {}).get("reason")
                for pod in world.pods()
                for status in pod.object["status"].get("containerStatuses", ())
            ]
            == ["ErrImagePull"]
        )
    )
    await world.call("DELETE", "/_sim/troubles")
    await world.until(lambda: world.ready() == 1)


async def test_requests_are_counted_by_template_and_writes_apart(world: World) -> None:
    world.sim.requests.clear()
    await world.scale(1)
    await world.call("GET", SCALE)
    await world.call("GET", f"{APPS}/deployments/nothing")
    assert len(world.sim.requests.writes()) == 1
    log = world.sim.requests
    assert requests_seen.count(log, method="PATCH", path_regex="/scale$", status=200) == 1
    assert requests_seen.count(log, status=404) == 1
    _, shown = await world.call("GET", "/_sim/requests")
    assert (shown["total"], shown["writes"]) == (3, 1)
    template = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"
    patched = {"method": "PATCH", "template": template, "status": 200, "count": 1}
    assert patched in shown["counts"]
    await world.call("DELETE", "/_sim/requests")
    assert len(world.sim.requests) == 0


async def test_a_refused_write_is_counted_as_a_write_too(world: World) -> None:
    world.sim.requests.clear()
    world.sim.faults.add(ApiFault(verb="patch", status=409, times=1))
    await world.scale(1)
    assert [request.status for request in world.sim.requests.writes()] == [409]


HOSTILE = "[@click=app.quit()]x/%2f\x1b]52;c;AAAA\x07"


async def test_hostile_text_is_stored_only_where_names_are_lenient(start: Start) -> None:
    strict, lenient = await start(), await start(lenient_names=True)
    body = {
        "metadata": {"name": HOSTILE, "labels": {"a": HOSTILE}},
        "spec": {"containers": [{"name": "agent", "image": "agent:1"}]},
    }
    assert (await strict.call("POST", f"{CORE}/pods", body))[0] == 422
    status, made = await lenient.call("POST", f"{CORE}/pods", body)
    assert (status, made["metadata"]["name"]) == (201, HOSTILE)
    _, listed = await lenient.call("GET", f"{CORE}/pods")
    assert [item["metadata"]["labels"]["a"] for item in listed["items"]] == [HOSTILE]
    path = f"{CORE}/pods/{quote(HOSTILE, safe='')}"
    status, found = await lenient.call("GET", path)
    assert (status, found["metadata"]["name"]) == (200, HOSTILE)
    note = {"metadata": {"annotations": {"n": HOSTILE}}}
    await lenient.sim.create_deployment("research", "tenant-a")
    path = f"{APPS}/deployments/research"
    assert (await lenient.call("PATCH", path, note, **MERGE))[0] == 200
