"""A pool sized by the HPA's rule from a Prometheus signal: a daemon on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agentdash.demo.cluster.objects import DEPLOYMENTS
from fakes.cluster import SimCluster
from support.live import daemon, streams, until
from support.nats_server import RealNats
from support.prometheus_server import RealPrometheus

NAMESPACE = "tenant-acme"
FLEET = """\
version: 1
nats: {{servers: ['{nats}']}}
prometheus: {{url: '{prometheus}'}}
controller: {{interval: 200ms}}
tenants:
  acme: {{tier: growth, namespace: tenant-acme}}
pools:
  - name: research
    tenant: acme
    queue: {{stream: TASKS, consumer: research}}
    rule: hpa
    replicas: {{min: 1, max: 10}}
    signals:
      backlog: {{prometheus: 'sum(agent_backlog{{agent="e2e"}})'}}
    metrics:
      - type: External
        external: {{metric: {{name: backlog}}, target: {{type: AverageValue, averageValue: "5"}}}}
    behavior:
      scaleUp: {{policies: [{{type: Pods, value: 10, periodSeconds: 1}}]}}
      scaleDown:
        stabilizationWindowSeconds: 0
        policies: [{{type: Pods, value: 10, periodSeconds: 1}}]
"""


class Live:
    def __init__(self, folder: Path, nats: RealNats, prometheus: RealPrometheus) -> None:
        self.fleet, self.kubeconfig = folder / "fleet.yaml", folder / "kubeconfig"
        self.prometheus = prometheus
        text = FLEET.format(nats=nats.url, prometheus=prometheus.url)
        self.fleet.write_text(text, "utf-8")
        self.replicas: Callable[[], int]
        self.sim: SimCluster

    def backlog(self, value: int) -> None:
        self.prometheus.exporter.backlog.labels("e2e").set(value)


@pytest.fixture
async def live(tmp_path: Path, prometheus: RealPrometheus) -> AsyncIterator[Live]:
    with RealNats(tmp_path / "nats") as nats:
        found = Live(tmp_path, nats, prometheus)
        found.backlog(5)
        async with streams(nats.url, ["research"]), SimCluster(speed=50) as sim:
            await sim.create_namespace(NAMESPACE)
            await sim.create_deployment("research", NAMESPACE, replicas=1)
            sim.write_kubeconfig(found.kubeconfig)

            def replicas() -> int:
                stored = sim.store.get(DEPLOYMENTS, NAMESPACE, "research")
                assert stored is not None
                return int(stored.object["spec"]["replicas"])

            found.replicas, found.sim = replicas, sim
            yield found


async def test_a_signal_grows_and_shrinks_its_pool_and_its_silence_does_neither(
    live: Live,
) -> None:
    async with daemon(live.fleet, live.kubeconfig) as running:
        live.backlog(32)
        await until(lambda: live.replicas() == 7)
        await until(lambda: running.said("scaled"))
        assert "backlog" in str(running.said("scaled")[-1]["why"])

        # the exporter is gone: the query finds nothing, and nothing is not 0
        live.prometheus.exporter.backlog.remove("e2e")
        while 'gate="blind"' not in (await running.get("/metrics"))[1]:
            await asyncio.sleep(0.05)
        await running.pass_ticks(5)
        assert live.replicas() == 7
        failures = 'agentdash_source_failures_total{source="prometheus"}'
        assert f"{failures} 0.0" not in (page := (await running.get("/metrics"))[1])
        assert failures in page

        live.backlog(10)
        await until(lambda: live.replicas() == 2)
