"""Every type of metric as `agentdash plan` reads it live: one look, the HPA's arithmetic."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from agentdash.demo.cluster.objects import DEPLOYMENTS
from fakes.cluster import SimCluster
from fakes.metrics import GivenMetrics, GivenObjectValue, GivenPodValue, GivenSeries, GivenUsage
from support.forked import agentdash
from support.live import Daemon, daemon, streams, until
from support.nats_server import RealNats

NAMESPACE = "tenant-acme"
METRICS = {
    "cpu": "{type: Resource, resource: {name: cpu,"
    " target: {type: Utilization, averageUtilization: 50}}}",
    "memory": "{type: ContainerResource, containerResource: {name: memory, container: agent,"
    " target: {type: AverageValue, averageValue: 100Mi}}}",
    "sessions": "{type: Pods, pods: {metric: {name: sessions},"
    ' target: {type: AverageValue, averageValue: "2"}}}',
    "hits": "{type: Object, object: {metric: {name: hits}, target: {type: Value, value: 10},"
    " describedObject: {apiVersion: apps/v1, kind: Deployment, name: hits}}}",
    "active": "{type: External, external: {metric: {name: active},"
    ' target: {type: AverageValue, averageValue: "4"}}}',
}
FLEET = """\
version: 1
nats: {{servers: ['{nats}']}}
tenants: {{acme: {{tier: growth, namespace: tenant-acme}}}}
pools:
{pools}
"""
POOL = """\
  - {{name: {name}, tenant: acme, queue: {{stream: TASKS, consumer: {name}}}, rule: hpa,
     replicas: {{min: 1, max: 20}}, metrics: [{metric}],
     signals: {{active: {{external: {{name: tasks, selector: {{matchLabels: {{team: a}}}}}}}}}}}}
"""


class Live:
    def __init__(self, folder: Path, sim: SimCluster) -> None:
        self.fleet, self.kubeconfig, self.sim = folder / "fleet.yaml", folder / "kubeconfig", sim
        self.metrics = GivenMetrics(sim)

    async def plan(self) -> dict[str, Any]:
        """The pools as `agentdash plan --json` has them, by name."""
        place = ("-f", self.fleet, "--kubeconfig", self.kubeconfig)
        said = await agentdash("plan", "--fresh", "--json", *place)
        return {each["pool"].partition("/")[2]: each for each in json.loads(said.out)["pools"]}


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    with RealNats(tmp_path / "nats") as nats:
        async with streams(nats.url, list(METRICS)), SimCluster(speed=200) as sim:
            await sim.create_namespace(NAMESPACE)
            for name in METRICS:
                await sim.create_deployment(name, NAMESPACE, replicas=2, cpu="200m")
            await until(lambda: all(ready(sim, name) == 2 for name in METRICS))
            found = Live(tmp_path, sim)
            pools = "".join(
                POOL.format(name=name, metric=metric) for name, metric in METRICS.items()
            )
            found.fleet.write_text(FLEET.format(nats=nats.url, pools=pools), "utf-8")
            sim.write_kubeconfig(found.kubeconfig)
            yield found


def ready(sim: SimCluster, name: str) -> int:
    stored = sim.store.get(DEPLOYMENTS, NAMESPACE, name)
    assert stored is not None
    return int(stored.object["status"].get("readyReplicas", 0))


def give(live: Live) -> dict[str, int]:
    """Set every value; returns what the HPA makes of them."""
    for value in (
        GivenUsage(
            namespace=NAMESPACE,
            usage={"agent": {"cpu": "150m", "memory": "250Mi"}},
            # pods whose samples began before they were ready do not count yet (HPA, CPU only)
            window="0s",
        ),
        GivenPodValue(namespace=NAMESPACE, metric="sessions", value="5"),
        GivenObjectValue(
            namespace=NAMESPACE,
            resource="deployments.apps",
            name="hits",
            metric="hits",
            value="25",
        ),
        GivenSeries(namespace=NAMESPACE, metric="tasks", value="13", labels={"team": "a"}),
        GivenSeries(namespace=NAMESPACE, metric="tasks", value="100", labels={"team": "b"}),
    ):
        live.metrics.set(value)
    # 150m of 200m at 50 %: 1.5 x 2; 250Mi at 100Mi: 2.5 x 2; 5 at 2: 2.5 x 2; 25 at 10: 2.5 x 2
    return {"cpu": 3, "memory": 5, "sessions": 5, "hits": 5, "active": 4}


async def test_each_type_of_metric_asks_for_what_the_hpa_would(live: Live) -> None:
    wanted = give(live)
    pools = await live.plan()
    assert {name: each["wanted"] for name, each in pools.items()} == wanted


async def test_a_controller_scales_by_each_type_of_metric(live: Live) -> None:
    wanted = give(live)
    async with daemon(live.fleet, live.kubeconfig, "--read-only") as running:
        await until(lambda: len(logged_sizes(running)) >= len(wanted))
        # without a `behavior` block the HPA goes to 4 at most in its first step
        assert logged_sizes(running) == {
            name: min(replicas, 4) for name, replicas in wanted.items()
        }


def logged_sizes(running: Daemon) -> dict[str, int]:
    """What the daemon says that it would write: of one pool, or of several in one line."""
    found: dict[str, int] = {}
    for line in running.said("would scale"):
        found |= cast("dict[str, int]", line.get("sizes") or {line["pool"]: line["after"]})
    return {pool.partition("/")[2]: size for pool, size in found.items()}


async def test_what_nobody_serves_is_named_and_takes_nothing_away(live: Live) -> None:
    pools = await live.plan()
    assert {each["next"] for each in pools.values()} == {2}
    for each in pools.values():
        [unknown] = [one for one in each["reasons"] if one["code"] == "metric_unknown"]
        assert unknown["numbers"]["why"] == "object_missing"
