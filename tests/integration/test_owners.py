"""A real daemon beside GitOps, which restores a Deployment's size in the simulated API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agentdash.demo.cluster.objects import DEPLOYMENTS
from fakes.cluster import SimCluster
from fakes.gitops import add_apply
from support.live import daemon, fleet_text, streams, until
from support.nats_server import RealNats
from support.size_writers import as_argo_cd, as_flux

NAMESPACE = "tenant-acme"
PATH = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/research"


@pytest.mark.parametrize("restore", [as_argo_cd, as_flux])
async def test_a_size_that_gitops_restores_is_named_and_left_alone(
    tmp_path: Path, restore: Any
) -> None:
    fleet, kubeconfig = tmp_path / "fleet.yaml", tmp_path / "kubeconfig"
    with RealNats(tmp_path / "nats") as server:
        fleet.write_text(fleet_text(server.url, ["research"]), "utf-8")
        async with (
            streams(server.url, ["research"]) as client,
            SimCluster(speed=50) as sim,
            aiohttp.ClientSession(sim.url) as session,
        ):
            add_apply(sim)
            await sim.create_namespace(NAMESPACE)
            await sim.create_deployment("research", NAMESPACE, replicas=1)
            sim.write_kubeconfig(kubeconfig)
            for _ in range(5):
                await client.jetstream().publish("tasks.research", b"work")

            async def ask(method: str, path: str, body: Any, kind: str) -> dict[str, Any]:
                headers = {"Content-Type": kind}
                async with session.request(method, path, json=body, headers=headers) as answer:
                    answer.raise_for_status()
                    return dict(await answer.json())

            def size() -> int:
                stored = sim.store.get(DEPLOYMENTS, NAMESPACE, "research")
                assert stored is not None
                return int(stored.object["spec"]["replicas"])

            async with daemon(fleet, kubeconfig) as running:
                await until(lambda: running.said("scaled") and size() == 5)
                await running.pass_ticks(2)  # one that sees our size
                await restore(ask, PATH, 2)
                await until(lambda: running.said("needs attention"))
                await running.pass_ticks(10)
                _, metrics = await running.get("/metrics")
                assert size() == 2
    assert [line["after"] for line in running.said("scaled")] == [5]
    assert "set back from 5 to 2 by" in str(running.said("needs attention")[0])
    assert 'agentdash_finding{kind="set_back"' in metrics
