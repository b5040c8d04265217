"""The metrics APIs of the simulator: set over its admin interface, answered as adapters do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kubesim.conftest import World

SET = "/_sim/metrics"
USED = {"cpu": "100m", "memory": "1Mi"}
USAGE = {
    "type": "usage",
    "namespace": "tenant-a",
    "selector": "app=research",
    "usage": {"agent": USED},
}
PODS = "/apis/metrics.k8s.io/v1beta1/namespaces/tenant-a/pods"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/tenant-a/active"
CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/tenant-a"


@pytest.mark.parametrize("path", [PODS, EXTERNAL, f"{CUSTOM}/pods/*/sessions"])
async def test_an_api_is_missing_before_its_first_value(world: World, path: str) -> None:
    async with world.session.get(world.sim.url + path) as answer:
        assert (answer.status, await answer.text()) == (404, "404 page not found\n")


async def test_only_running_pods_that_the_selectors_choose_are_measured(world: World) -> None:
    assert await world.call("POST", SET, USAGE) == (200, {})
    status, found = await world.call("GET", PODS)
    assert (status, found["kind"], found["items"]) == (200, "PodMetricsList", [])
    await world.scale(2)
    await world.until(lambda: world.ready() == 2)
    _, found = await world.call("GET", PODS)
    assert {item["metadata"]["name"] for item in found["items"]} == {
        pod.key[1] for pod in world.pods()
    }
    assert found["items"][0]["containers"] == [{"name": "agent", "usage": USED}]
    _, found = await world.call("GET", f"{PODS}?labelSelector=app=other")
    assert found["items"] == []


async def test_series_are_chosen_by_their_labels_and_replaced_by_the_same(world: World) -> None:
    for team, value in (("a", "1"), ("b", "2"), ("a", "3")):
        series = {"type": "external", "namespace": "tenant-a", "metric": "active"}
        await world.call("POST", SET, {**series, "labels": {"team": team}, "value": value})
    _, found = await world.call("GET", f"{EXTERNAL}?labelSelector=team=a")
    assert [(item["metricLabels"], item["value"]) for item in found["items"]] == [
        ({"team": "a"}, "3")
    ]
    _, found = await world.call("GET", EXTERNAL)
    assert len(found["items"]) == 2
    await world.call("DELETE", SET)
    _, found = await world.call("GET", EXTERNAL)
    assert found["items"] == []


async def test_a_custom_metric_is_of_pods_of_an_object_or_unknown(world: World) -> None:
    await world.scale(1)
    await world.until(lambda: world.ready() == 1)
    pods = {"type": "pods", "namespace": "tenant-a", "metric": "sessions", "value": "4"}
    hits: dict[str, Any] = {"type": "object", "namespace": "tenant-a", "metric": "hits"}
    hits |= {"resource": "deployments.apps", "kind": "Deployment", "name": "gate", "value": "9"}
    for body in (pods, hits):
        await world.call("POST", SET, body)
    _, found = await world.call("GET", f"{CUSTOM}/pods/*/sessions")
    [item] = found["items"]
    assert (item["describedObject"]["kind"], item["value"]) == ("Pod", "4")
    _, found = await world.call("GET", f"{CUSTOM}/deployments.apps/gate/hits")
    assert [item["value"] for item in found["items"]] == ["9"]
    status, found = await world.call("GET", f"{CUSTOM}/deployments.apps/other/hits")
    assert (status, found["reason"]) == (404, "NotFound")
    _, found = await world.call("GET", "/apis/custom.metrics.k8s.io")
    assert found["preferredVersion"]["version"] == "v1beta2"


@pytest.mark.parametrize("body", [{}, {"type": "odd"}, {**USAGE, "more": 1}])
async def test_a_value_that_cannot_be_read_is_refused(world: World, body: dict[str, Any]) -> None:
    status, found = await world.call("POST", SET, body)
    assert (status, found["reason"]) == (400, "BadRequest")
