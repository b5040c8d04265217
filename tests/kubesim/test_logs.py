"""GET pods/log: the lines that pods wrote, and the real server's refusals."""

from __future__ import annotations

import pytest

from agentdash.demo.kubesim.resources import PODS
from kubesim.conftest import CORE, Start, World


async def log(world: World, pod: str, query: str = "") -> tuple[int, str]:
    url = f"{world.sim.url}{CORE}/pods/{pod}/log?{query}"
    async with world.session.get(url, headers={"Accept": "application/json"}) as response:
        return response.status, await response.text()


async def a_running_pod(world: World) -> str:
    await world.scale(1)
    await world.until(lambda: world.ready() == 1)
    return str(world.pods()[0].object["metadata"]["name"])


async def message(world: World, pod: str, query: str = "") -> tuple[int, str]:
    status, body = await world.call("GET", f"{CORE}/pods/{pod}/log?{query}")
    return status, body["message"]


async def test_a_pod_answers_with_its_own_last_lines(world: World) -> None:
    pod = await a_running_pod(world)
    for number in range(5):
        world.sim.write_log("tenant-a", pod, f"line {number}")
    assert await log(world, pod) == (200, "".join(f"line {n}\n" for n in range(5)))
    assert await log(world, pod, "tailLines=2") == (200, "line 3\nline 4\n")
    assert await log(world, pod, "tailLines=0") == (200, "")
    assert await log(world, pod, "limitBytes=8&container=agent") == (200, "line 0\nl")
    assert (await log(world, pod, "sinceSeconds=60"))[1].count("\n") == 5
    stamped = (await log(world, pod, "timestamps=true&tailLines=1"))[1]
    assert stamped.endswith("Z line 4\n")


async def test_lines_go_with_their_pod(world: World) -> None:
    pod = await a_running_pod(world)
    world.sim.write_log("tenant-a", pod, "line")
    await world.call("DELETE", f"{CORE}/pods/{pod}?gracePeriodSeconds=0")
    await world.until(lambda: world.store.get(PODS, "tenant-a", pod) is None)
    assert await message(world, pod) == (404, f'pods "{pod}" not found')
    assert not world.sim.cluster.logs._lines


INVALID = 'PodLogOptions "{pod}" is invalid: '
REFUSALS = {
    "container=x": (400, "container x is not valid for pod {pod}"),
    "previous=true": (400, 'previous terminated container "agent" in pod "{pod}" not found'),
    "tailLines=-1": (
        422,
        INVALID + "tailLines: Invalid value: -1: must be greater than or equal to 0",
    ),
    "limitBytes=0": (
        422,
        'PodLogOptions "{pod}" is invalid: limitBytes: Invalid value: 0: must be greater than 0',
    ),
}


@pytest.mark.parametrize("query", REFUSALS)
async def test_what_cannot_be_answered_is_refused_as_the_real_server_does(
    world: World, query: str
) -> None:
    pod = await a_running_pod(world)
    status, words = REFUSALS[query]
    assert await message(world, pod, query) == (status, words.format(pod=pod))


async def test_a_pod_that_has_not_run_has_no_log(start: Start) -> None:
    world = await start(nodes=0)
    await world.sim.create_deployment("research", "tenant-a", replicas=1)
    await world.until(world.pods)
    pod = world.pods()[0].object["metadata"]["name"]
    assert await log(world, pod) == (200, ""), "as the real server answers without a node"
    assert await message(world, "gone") == (404, 'pods "gone" not found')


async def test_of_several_containers_one_has_to_be_named(start: Start) -> None:
    world = await start()
    containers = [{"name": name, "image": "a:1"} for name in ("agent", "proxy")]
    await world.sim.create_deployment("research", "tenant-a", spec={"containers": containers})
    pod = await a_running_pod(world)
    assert await message(world, pod) == (
        400,
        f"a container name must be specified for pod {pod}, choose one of: [agent proxy]",
    )
