"""Others that write a size, and a Deployment that is paused, on the real control plane."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from support import size_writers
from support.live import Daemon, daemon, fleet_text, streams, until
from support.nats_server import RealNats
from support.size_writers import Ask, as_argo_cd, as_flux, each_owner_in_turn

pytestmark = pytest.mark.cluster


def asking(admin: Any) -> Ask:
    async def ask(method: str, path: str, body: Any, kind: str) -> dict[str, Any]:
        bare, _, query = path.partition("?")
        options = {"content_type": kind} if kind else {}
        fields = dict(each.split("=") for each in query.split("&")) if query else {}
        answer: dict[str, Any] = await admin.ask(method, bare, body, query=fields, **options)
        return answer

    return ask


@asynccontextmanager
async def scaled_to_five(admin: Any, folder: Path) -> AsyncIterator[tuple[Daemon, Client]]:
    """A daemon that has scaled the pool to 5 for its work."""
    fleet = folder / "fleet.yaml"
    with RealNats(folder / "nats") as server:
        async with streams(server.url, ["research"]) as client:
            text = fleet_text(server.url, ["research"], namespace=admin.namespace)
            fleet.write_text(text, "utf-8")
            for _ in range(5):
                await client.jetstream().publish("tasks.research", b"work")
            kubeconfig = Path(os.environ["AGENTDASH_TEST_KUBECONFIG"])
            async with daemon(fleet, kubeconfig) as running:
                await until(lambda: running.said("started"))
                path = admin.deployments("research")
                await admin.until_shown(path, lambda item: item["spec"]["replicas"] == 5)
                # what another writes before a tick has seen our size is no contest yet
                await until(lambda: running.said("scaled"))
                await running.pass_ticks(2)
                yield running, client


async def test_the_owner_of_a_size_is_noted_as_the_simulated_api_notes_it(admin: Any) -> None:
    await admin.deploy("research", replicas=1)
    found = await each_owner_in_turn(asking(admin), admin.deployments("research"))
    assert found == size_writers.IN_TURN


@pytest.mark.parametrize("restore", [as_argo_cd, as_flux])
async def test_a_size_that_gitops_restores_is_named_and_left_alone(
    admin: Any, tmp_path: Path, restore: Any
) -> None:
    await admin.deploy("research", replicas=1)
    async with scaled_to_five(admin, tmp_path) as (running, _):
        await restore(asking(admin), admin.deployments("research"), 2)
        await until(lambda: running.said("needs attention"))
        await running.pass_ticks(10)
        found = await admin.ask("GET", admin.deployments("research"))
        _, metrics = await running.get("/metrics")
    assert found["spec"]["replicas"] == 2
    assert [line["after"] for line in running.said("scaled")] == [5]
    assert "set back from 5 to 2 by" in str(running.said("needs attention")[0])
    assert 'kind="set_back"' in metrics


async def test_a_paused_deployment_is_scaled_and_named(admin: Any, tmp_path: Path) -> None:
    await admin.deploy("research", replicas=1)
    path = admin.deployments("research")
    await asking(admin)("PATCH", path, {"spec": {"paused": True}}, size_writers.MERGE)
    async with scaled_to_five(admin, tmp_path) as (running, _):
        await admin.until_shown(path, lambda item: item["status"].get("readyReplicas") == 5)
        _, metrics = await running.get("/metrics")
    assert 'kind="rollout"' in metrics
    assert running.said("not scaled") == []


async def test_a_rollout_with_surge_pods_changes_no_size(admin: Any, tmp_path: Path) -> None:
    await admin.deploy("research", replicas=1)
    path = admin.deployments("research")
    async with scaled_to_five(admin, tmp_path) as (running, _):
        await admin.until_shown(path, lambda item: item["status"].get("readyReplicas") == 5)
        rolled = {"spec": {"template": {"metadata": {"annotations": {"rolled": "1"}}}}}
        await asking(admin)("PATCH", path, rolled, size_writers.MERGE)
        sizes, most = set(), 0

        def ended(item: dict[str, Any]) -> bool:
            nonlocal most
            sizes.add(item["spec"]["replicas"])
            most = max(most, item["status"].get("replicas", 0))
            status = item["status"]
            return (
                status.get("observedGeneration") == item["metadata"]["generation"]
                and status.get("updatedReplicas") == status.get("replicas") == 5
                and status.get("readyReplicas") == 5
            )

        await admin.until_shown(path, ended, 60.0)
        await running.pass_ticks(5)
    assert (sizes, most > 5) == ({5}, True)
    assert [line["after"] for line in running.said("scaled")] == [5]
