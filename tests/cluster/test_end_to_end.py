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
