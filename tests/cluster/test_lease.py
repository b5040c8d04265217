"""Fail-over on a real API server, by accounts that have just the rights that the README lists."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import pytest

from controller.exit_codes import ExitCode
from support.live import daemon, fleet_text, streams, until
from support.nats_server import RealNats

pytestmark = pytest.mark.cluster

RULES: Final = (
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get", "patch"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
)
OF_LEASES: Final = {
    "apiGroups": ["coordination.k8s.io"],
    "resources": ["leases"],
    "verbs": ["get", "create", "patch", "watch"],
}
DURATION_S: Final = 4.0


def write_fleet(folder: Path, url: str, namespace: str) -> Path:
    lease = f"namespace: {namespace}, duration: 4s, renew_deadline: 3s, retry: 300ms"
    text = fleet_text(url, ["research"], namespace=namespace, minimum=1).replace(
        "controller: {interval: 200ms}", f"controller: {{interval: 200ms, lease: {{{lease}}}}}"
    )
    path = folder / "fleet.yaml"
    path.write_text(text, "utf-8")
    return path


async def test_the_next_controller_takes_over_with_the_rights_of_the_readme(
    admin: Any, tmp_path: Path
) -> None:
    await admin.deploy("research", replicas=1)
    settings = await admin.account("agentdash", *RULES, OF_LEASES)
    kubeconfig = Path(settings.kubeconfig)
    deployment = admin.deployments("research")

    async def replicas() -> int:
        return int((await admin.ask("GET", deployment))["spec"]["replicas"])

    with RealNats(tmp_path / "nats") as server:
        fleet = write_fleet(tmp_path, server.url, admin.namespace)
        async with (
            streams(server.url, ["research"]) as client,
            daemon(fleet, kubeconfig) as first,
        ):
            await until(lambda: first.said("leading"))
            async with daemon(fleet, kubeconfig) as second:
                await until(lambda: second.said("following"))
                await client.jetstream().publish("tasks.research", b"work")
                await client.jetstream().publish("tasks.research", b"work")
                await until(lambda: first.said("scaled"))
                began = time.monotonic()
                first.process.terminate()
                assert await first.process.wait() == ExitCode.OK
                await until(lambda: second.said("leading"))
                assert time.monotonic() - began < DURATION_S
                assert second.said("scaled") == []
                async with daemon(fleet, kubeconfig) as third:
                    await until(lambda: third.said("following"))
                    second.process.kill()
                    began = time.monotonic()
                    await client.jetstream().publish("tasks.research", b"work")
                    while await replicas() != 3:
                        await asyncio.sleep(0.05)
                    assert DURATION_S - 1.0 <= time.monotonic() - began <= DURATION_S + 2.0
                    await until(lambda: third.said("scaled"))
    path = f"/apis/coordination.k8s.io/v1/namespaces/{admin.namespace}/leases/agentdash"
    spec = (await admin.ask("GET", path))["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("", 2)


async def test_without_the_rule_for_leases_nothing_is_written_and_the_rule_is_named(
    admin: Any, tmp_path: Path
) -> None:
    await admin.deploy("research", replicas=1)
    settings = await admin.account("agentdash", *RULES)
    with RealNats(tmp_path / "nats") as server:
        fleet = write_fleet(tmp_path, server.url, admin.namespace)
        async with (
            streams(server.url, ["research"]) as client,
            daemon(fleet, Path(settings.kubeconfig)) as running,
        ):
            await until(lambda: running.said("started"))
            await client.jetstream().publish("tasks.research", b"work")
            await client.jetstream().publish("tasks.research", b"work")
            while "resources [leases]" not in (await running.get("/readyz"))[1]:
                await asyncio.sleep(0.05)
            await running.pass_ticks(10)
            assert running.said("scaled") == []
    found = await admin.ask("GET", admin.deployments("research"))
    assert found["spec"]["replicas"] == 1
