"""A real daemon on the real control plane: its Events, an HPA beside it, and a ServiceAccount that
is deleted while it runs.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, Final

import pytest

from support.live import Daemon, daemon, fleet_text, streams, until
from support.nats_server import RealNats

pytestmark = pytest.mark.cluster

WATCHED: Final = {
    "apiGroups": ["", "apps"],
    "resources": ["deployments", "pods", "events", "resourcequotas"],
    "verbs": ["get", "list", "watch"],
}
SCALE: Final = {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]}
LEASE: Final = {
    "apiGroups": ["coordination.k8s.io"],
    "resources": ["leases"],
    "verbs": ["get", "create", "patch", "watch"],
}
EVENTS: Final = {
    "apiGroups": ["events.k8s.io"],
    "resources": ["events"],
    "verbs": ["create", "patch"],
}
DEPLOYMENT: Final = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "research"}


def write_fleet(folder: Path, url: str, namespace: str, *, minimum: int = 0) -> Path:
    text = fleet_text(url, ["research"], namespace=namespace, minimum=minimum)
    lease = f"controller: {{interval: 200ms, lease: {{namespace: {namespace}}}}}"
    path = folder / "fleet.yaml"
    path.write_text(text.replace("controller: {interval: 200ms}", lease), "utf-8")
    return path


async def until_ready(running: Daemon) -> None:
    await until(lambda: running.said("started"))
    async with asyncio.timeout(20):
        while (await running.get("/readyz"))[0] != 200:
            await asyncio.sleep(0.05)


async def events_about(admin: Any, reason: str) -> list[dict[str, Any]]:
    """The Events that `kubectl describe deployment research` lists, of this reason."""
    found = await admin.ask("GET", admin.deployments("research"))
    chosen = {
        "involvedObject.name": "research",
        "involvedObject.namespace": admin.namespace,
        "involvedObject.kind": "Deployment",
        "involvedObject.uid": found["metadata"]["uid"],
        "reason": reason,
    }
    selector = ",".join(f"{name}={value}" for name, value in chosen.items())
    listed = await admin.ask("GET", admin.core("events"), query={"fieldSelector": selector})
    return list(listed["items"])


async def first_event(admin: Any, reason: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while not (found := await events_about(admin, reason)):
            await asyncio.sleep(0.05)
    return found[0]


async def test_kubectl_describe_shows_why_a_size_changed(admin: Any, tmp_path: Path) -> None:
    await admin.deploy("research", replicas=0)
    settings = await admin.account("agentdash", WATCHED, SCALE, LEASE, EVENTS)
    with RealNats(tmp_path / "nats") as server:
        fleet = write_fleet(tmp_path, server.url, admin.namespace)
        async with (
            streams(server.url, ["research"]) as client,
            daemon(fleet, Path(settings.kubeconfig)) as running,
        ):
            await until_ready(running)
            for _ in range(3):
                await client.jetstream().publish("tasks.research", b"work")
            await until(lambda: running.said("scaled"))
            event = await first_event(admin, "ScaledUp")
    assert event["message"].startswith("scaled from 0 to ")
    assert (event["type"], event["action"]) == ("Normal", "Scale")
    assert event["reportingComponent"] == "agentdash.dev/controller"


async def test_kubectl_describe_shows_why_a_size_was_refused(admin: Any, tmp_path: Path) -> None:
    await admin.deploy("research", replicas=0)
    settings = await admin.account("agentdash", WATCHED, LEASE, EVENTS)
    with RealNats(tmp_path / "nats") as server:
        fleet = write_fleet(tmp_path, server.url, admin.namespace)
        async with (
            streams(server.url, ["research"]) as client,
            daemon(fleet, Path(settings.kubeconfig)) as running,
        ):
            await until_ready(running)
            await client.jetstream().publish("tasks.research", b"work")
            await until(lambda: running.said("not scaled"))
            event = await first_event(admin, "ScaleRefused")
            await running.pass_ticks(20)
            assert len(await events_about(admin, "ScaleRefused")) == 1
    assert "not permitted to scale it" in event["message"]
    assert event["type"] == "Warning"


async def test_a_pool_that_a_real_hpa_scales_is_never_written(admin: Any, tmp_path: Path) -> None:
    await admin.deploy("research", replicas=1)
    body = {
        "metadata": {"name": "rival"},
        "spec": {"scaleTargetRef": DEPLOYMENT, "minReplicas": 3, "maxReplicas": 5},
    }
    hpas = f"/apis/autoscaling/v2/namespaces/{admin.namespace}/horizontalpodautoscalers"
    await admin.ask("POST", hpas, body)
    path = admin.deployments("research")
    kubeconfig = Path(os.environ["AGENTDASH_TEST_KUBECONFIG"])
    with RealNats(tmp_path / "nats") as server:
        fleet = write_fleet(tmp_path, server.url, admin.namespace, minimum=1)
        async with streams(server.url, ["research"]), daemon(fleet, kubeconfig) as running:
            await until_ready(running)
            await admin.until_shown(path, lambda item: item["spec"]["replicas"] == 3, 60.0)
            await running.pass_ticks(10)
            _, metrics = await running.get("/metrics")
            assert running.said("scaled") == []
            assert 'kind="other_autoscaler"' in metrics
            await admin.ask("DELETE", f"{hpas}/rival")
            await admin.until_shown(path, lambda item: item["spec"]["replicas"] == 1, 60.0)


@pytest.mark.timeout(150)
async def test_a_service_account_deleted_while_the_daemon_runs_fails_readiness_and_says_why(
    admin: Any, tmp_path: Path
) -> None:
    await admin.deploy("research", replicas=1)
    settings = await admin.account("agentdash", WATCHED, SCALE, LEASE, EVENTS)
    with RealNats(tmp_path / "nats") as server:
        fleet = write_fleet(tmp_path, server.url, admin.namespace, minimum=1)
        async with (
            streams(server.url, ["research"]) as client,
            daemon(fleet, Path(settings.kubeconfig)) as running,
        ):
            await until_ready(running)
            await admin.ask("DELETE", admin.core("serviceaccounts/agentdash"))
            for _ in range(3):
                await client.jetstream().publish("tasks.research", b"work")
            async with asyncio.timeout(90):
                while True:
                    status, text = await running.get("/readyz")
                    if status == 503 and "nauthorized" in text:
                        break
                    await asyncio.sleep(0.1)
            assert (await running.get("/healthz"))[0] == 200
    assert running.process.returncode == 0
