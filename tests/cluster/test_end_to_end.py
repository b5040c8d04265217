"""The whole product on a real API server: a message in a real queue becomes a Ready pod."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from support.live import daemon, fleet_text, streams, until
from support.nats_server import RealNats

pytestmark = pytest.mark.cluster


async def test_a_message_scales_a_real_deployment_and_a_pod_becomes_ready(
    admin: Any, tmp_path: Path
) -> None:
    kubeconfig = Path(os.environ["AGENTDASH_TEST_KUBECONFIG"])
    fleet = tmp_path / "fleet.yaml"
    await admin.deploy("research", replicas=0)
    with RealNats(tmp_path / "nats") as server:
        async with streams(server.url, ["research"]) as client:
            text = fleet_text(server.url, ["research"], namespace=admin.namespace)
            fleet.write_text(text, "utf-8")
            async with daemon(fleet, kubeconfig) as running:
                await until(lambda: running.said("started"))
                while (await running.get("/readyz"))[0] != 200:
                    await asyncio.sleep(0.05)
                await client.jetstream().publish("tasks.research", b"work")
                await until(lambda: running.said("scaled"))
                path = f"/apis/apps/v1/namespaces/{admin.namespace}/deployments/research"

                async def status() -> dict[str, object]:
                    return dict((await admin.ask("GET", path)).get("status", {}))

                while (await status()).get("readyReplicas") != 1:
                    await asyncio.sleep(0.1)
                pull = await client.jetstream().pull_subscribe_bind("research", "TASKS")
                for message in await pull.fetch(1):
                    await message.ack_sync()
                await until(lambda: len(running.said("scaled")) == 2)
                assert (await admin.ask("GET", path))["spec"]["replicas"] == 0
    changes = [(line["before"], line["after"]) for line in running.said("scaled")]
    assert changes == [(0, 1), (1, 0)]
    assert running.said("not scaled") == [], json.dumps(running.lines)


async def test_a_burst_stays_within_what_the_quota_leaves_beside_pods_of_others(
    admin: Any, tmp_path: Path
) -> None:
    kubeconfig = Path(os.environ["AGENTDASH_TEST_KUBECONFIG"])
    fleet = tmp_path / "fleet.yaml"
    quota = {"metadata": {"name": "tenant"}, "spec": {"hard": {"pods": "5", "requests.cpu": "1"}}}
    await admin.ask("POST", admin.core("resourcequotas"), quota)
    await admin.deploy("research", replicas=0)
    await admin.deploy("web", replicas=2)
    pods = admin.core("pods?labelSelector=app%3Dweb")
    while len((await admin.ask("GET", pods))["items"]) < 2:
        await asyncio.sleep(0.05)
    with RealNats(tmp_path / "nats") as server:
        async with streams(server.url, ["research"]) as client:
            text = fleet_text(server.url, ["research"], namespace=admin.namespace)
            fleet.write_text(text, "utf-8")
            async with daemon(fleet, kubeconfig) as running:
                await until(lambda: running.said("started"))
                while (await running.get("/readyz"))[0] != 200:
                    await asyncio.sleep(0.05)
                for _ in range(9):
                    await client.jetstream().publish("tasks.research", b"work")
                await until(lambda: any(line["after"] > 1 for line in running.said("scaled")))
                path = f"/apis/apps/v1/namespaces/{admin.namespace}/deployments/research"
                found = await admin.ask("GET", path)
                while found["status"].get("readyReplicas") != 3:
                    await asyncio.sleep(0.1)
                    found = await admin.ask("GET", path)
    assert found["spec"]["replicas"] == 3
    last = running.said("scaled")[-1]
    assert (last["after"], last["bound"]) == (3, "quota"), last
    kinds = {condition["type"] for condition in found["status"]["conditions"]}
    assert "ReplicaFailure" not in kinds, "nothing was asked for that the quota refuses"
