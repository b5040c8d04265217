"""A namespace of the real cluster that AGENTDASH_TEST_KUBECONFIG names, removed at the end."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.errors import ApiError
from controller.model.fleet import Behavior, Pool, ScalingRules
from controller.model.ids import PoolKey
from controller.model.settings import KubernetesSettings

KUBECONFIG = os.environ.get("AGENTDASH_TEST_KUBECONFIG")
RULES = ScalingRules(stabilization_window_s=0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if KUBECONFIG:
        return
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.skip(reason="AGENTDASH_TEST_KUBECONFIG names no cluster"))


class WallClock:
    """Real time."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def follow_step(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Admin:
    """The administrator of one namespace."""

    def __init__(self, client: Client, namespace: str, folder: Path) -> None:
        self.client = client
        self.namespace = namespace
        self.folder = folder
        self.clock = WallClock()

    @property
    def settings(self) -> KubernetesSettings:
        return KubernetesSettings(kubeconfig=KUBECONFIG)

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        answer = await self.client.call(
            method, path, kind="test", body=body, timeout_s=20.0, **options
        )
        found: dict[str, Any] = json.loads(answer)
        return found

    async def deploy(self, name: str, replicas: int = 1, cpu: str = "10m") -> dict[str, Any]:
        return await self.ask("POST", self.deployments(), _workload(name, replicas, cpu))

    async def deploy_stateful(self, name: str, replicas: int, policy: str) -> dict[str, Any]:
        body = _workload(name, replicas, "10m")
        body["spec"] |= {"serviceName": name, "podManagementPolicy": policy}
        return await self.ask("POST", self.stateful(), body)

    def stateful(self, name: str = "") -> str:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/statefulsets"
        return f"{path}/{name}" if name else path

    def deployments(self, name: str = "") -> str:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments"
        return f"{path}/{name}" if name else path

    def core(self, rest: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/{rest}"

    async def account(self, name: str, *rules: dict[str, Any]) -> KubernetesSettings:
        """A ServiceAccount with these rights, and settings that log in as it."""
        await self.ask("POST", self.core("serviceaccounts"), {"metadata": {"name": name}})
        if rules:
            rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.namespace}"
            role = {"metadata": {"name": name}, "rules": list(rules)}
            await self.ask("POST", f"{rbac}/roles", role)
            binding = {
                "metadata": {"name": name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace}],
            }
            await self.ask("POST", f"{rbac}/rolebindings", binding)
        token = await self.ask("POST", self.core(f"serviceaccounts/{name}/token"), {"spec": {}})
        assert KUBECONFIG is not None
        config = json.loads(Path(KUBECONFIG).read_text())
        config["users"] = [{"name": "admin", "user": {"token": token["status"]["token"]}}]
        path = self.folder / name
        path.write_text(json.dumps(config))
        return KubernetesSettings(kubeconfig=str(path))

    def pool(self, name: str, namespace: str = "") -> Pool:
        namespace = namespace or self.namespace
        return Pool(
            key=PoolKey(f"{namespace}/{name}"),
            name=name,
            tenant=namespace,
            namespace=namespace,
            deployment=name,
            stream="s",
            consumer="c",
            behavior=Behavior(scale_up=RULES, scale_down=RULES),
        )

    async def until(self, holds: Callable[[], object], seconds: float = 30.0) -> None:
        """Return as soon as the condition holds; fail if it does not in time."""
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.02)

    async def until_shown(
        self, path: str, holds: Callable[[dict[str, Any]], object], seconds: float = 30.0
    ) -> dict[str, Any]:
        """The object at this path as soon as the condition holds; fail if it does not in time."""
        async with asyncio.timeout(seconds):
            while not holds(found := await self.ask("GET", path)):
                await asyncio.sleep(0.05)
        return found


def _workload(name: str, replicas: int, cpu: str) -> dict[str, Any]:
    container = {
        "name": "agent",
        "image": "registry.example/agent:1",
        "resources": {"requests": {"cpu": cpu, "memory": "16Mi"}},
    }
    labels = {"app": name}
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
        },
    }
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    access = await Access.load(KubernetesSettings(kubeconfig=KUBECONFIG))
    client = Client(access, WallClock())
    namespace = f"test-{secrets.token_hex(4)}"
    hands = Admin(client, namespace, tmp_path)
    await hands.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    async with asyncio.timeout(20):
        while not await _exists(hands, hands.core("serviceaccounts/default")):
            await asyncio.sleep(0.05)
    yield hands
    await hands.ask("DELETE", f"/api/v1/namespaces/{namespace}")
    await client.close()


async def _exists(hands: Admin, path: str) -> bool:
    try:
        await hands.ask("GET", path)
    except ApiError as error:
        if error.status != 404:
            raise
        return False
    return True
