"""What `agentdash manifests` prints, applied to a real API server, and the daemon that runs as the
printed ServiceAccount.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from controller.config import parse
from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.errors import ApiError
from controller.manifests.objects import Installation, stream
from controller.manifests.workload import manifests
from controller.model.settings import KubernetesSettings
from support.live import daemon, fleet_text, streams, until
from support.nats_server import RealNats

KUBECTL: Final = shutil.which("kubectl")
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(KUBECTL is None, reason="no kubectl on PATH"),
]
METRICS: Final = """\
    signals: {cases: {external: {name: open_cases}}}
    metrics:
      - {type: Resource, resource: {name: cpu, target: {type: AverageValue, averageValue: 1}}}
      - type: Pods
        pods: {metric: {name: sessions}, target: {type: AverageValue, averageValue: 3}}
"""


async def kubectl(text: str, *arguments: str) -> str:
    assert KUBECTL is not None
    process = await asyncio.create_subprocess_exec(
        KUBECTL,
        "--kubeconfig",
        os.environ["AGENTDASH_TEST_KUBECONFIG"],
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(text.encode())
    assert process.returncode == 0, err.decode()
    return out.decode()


def printed(text: str, options: Installation) -> str:
    return stream(manifests(parse(text, "fleet.yaml"), text, options))


class Installed:
    """The printed objects in the cluster, and who they make agentdash."""

    def __init__(self, admin: Any, folder: Path, url: str) -> None:
        self.admin, self.folder = admin, folder
        self.namespace = f"{admin.namespace}-agentdash"
        lease = f"namespace: {self.namespace}, duration: 4s, renew_deadline: 3s, retry: 300ms"
        text = fleet_text(url, ["research"], namespace=admin.namespace)
        quota = "tier: growth, quota: {replicas: 20, cpu: 8, memory: 64Gi}"
        self.text = text.replace("interval: 200ms", f"interval: 200ms, lease: {{{lease}}}").replace(
            "tier: growth", quota
        )
        self.options = Installation(image="registry.example/agentdash:1", namespace=self.namespace)

    @property
    def fleet(self) -> Path:
        path = self.folder / "fleet.yaml"
        path.write_text(self.text, "utf-8")
        return path

    async def kubeconfig(self) -> Path:
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/agentdash/token"
        token = await self.admin.ask("POST", path, {"spec": {}})
        config = json.loads(Path(os.environ["AGENTDASH_TEST_KUBECONFIG"]).read_text("utf-8"))
        config["users"] = [{"name": "admin", "user": {"token": token["status"]["token"]}}]
        found = self.folder / "agentdash.kubeconfig"
        found.write_text(json.dumps(config), "utf-8")
        return found

    async def remove(self) -> None:
        everything = printed(self.text, self.options)
        await kubectl(everything, "delete", "--ignore-not-found", "--wait=false", "-f", "-")


async def test_all_that_is_printed_is_accepted_and_again_unchanged(
    admin: Any, tmp_path: Path
) -> None:
    here = Installed(admin, tmp_path, "nats://nats.queues.svc:4222")
    text = printed(here.text + METRICS, here.options)
    try:
        # a dry run makes no namespace, which the other objects need
        await kubectl(text.split("\n---\n")[0], "apply", "-f", "-")
        await kubectl(text, "apply", "--server-side", "--dry-run=server", "-f", "-")
        first = await kubectl(text, "apply", "--server-side", "-f", "-")
        assert len(first.splitlines()) == len(list(yaml.safe_load_all(text)))
        again = await kubectl(text, "diff", "-f", "-")
        assert again == ""
    finally:
        await here.remove()


async def test_the_daemon_scales_as_the_printed_account_and_may_do_nothing_else(
    admin: Any, tmp_path: Path
) -> None:
    await admin.deploy("research", replicas=0)
    with RealNats(tmp_path / "nats") as server:
        here = Installed(admin, tmp_path, server.url)
        await kubectl(printed(here.text, here.options), "apply", "--server-side", "-f", "-")
        try:
            kubeconfig = await here.kubeconfig()
            async with (
                streams(server.url, ["research"]) as client,
                daemon(here.fleet, kubeconfig) as running,
            ):
                await until(lambda: running.said("leading"))
                while (await running.get("/readyz"))[0] != 200:
                    await asyncio.sleep(0.05)
                await client.jetstream().publish("tasks.research", b"work")
                await until(lambda: running.said("scaled"))
                path = admin.deployments("research")
                await admin.until_shown(path, lambda it: it["status"].get("readyReplicas") == 1)
            await _may_not(kubeconfig, admin)
        finally:
            await here.remove()


async def _may_not(kubeconfig: Path, admin: Any) -> None:
    """What the account asks for beyond its rights is refused; a metric's path names its right."""
    access = await Access.load(KubernetesSettings(kubeconfig=str(kubeconfig)))
    client = Client(access, admin.clock)
    metrics = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{admin.namespace}/pods/*/sessions"
    try:
        for path, words in (
            (admin.core("secrets"), 'cannot list resource "secrets"'),
            ("/api/v1/namespaces/default/pods", 'cannot list resource "pods"'),
            (metrics, 'cannot get resource "pods/sessions"'),
        ):
            with pytest.raises(ApiError, match=words):
                await client.call("GET", path, kind="test")
    finally:
        await client.close()
