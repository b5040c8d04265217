"""publish → spec.replicas changed for a pool at zero, seen by a watcher of the API.

The API is the simulated one, or the real one that AGENTDASH_TEST_KUBECONFIG names. The pool's rule
is `hpa`: rule native would learn that a message comes every second and keep a replica for the next.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from controller.kube.access import Access
from controller.model.settings import KubernetesSettings
from support.live import daemon, streams, until
from support.measure import Simulator, report, simulator, spread
from support.nats_server import RealNats

REAL = os.environ.get("AGENTDASH_TEST_KUBECONFIG")
ROUNDS = 200
TARGET = "target p99 ≤ 50 ms"
NAMESPACE = f"bench-{secrets.token_hex(4)}"
PATH = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"

FLEET = """\
version: 1
nats: {{servers: ["{url}"]}}
controller: {{interval: 0.25s}}
tenants: {{acme: {{tier: growth, namespace: {namespace}}}}}
pools:
  - name: research
    tenant: acme
    queue: {{stream: TASKS, consumer: research}}
    rule: hpa
    replicas: {{min: 0, max: 5}}
    cooldown: 0s
    behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}
"""


class Watcher:
    """spec.replicas of one Deployment as a watch tells it."""

    def __init__(self, api: Simulator, name: str) -> None:
        self._api = api
        self._name = name
        self.replicas = 0
        self.seen_at = 0.0

    async def follow(self) -> None:
        url = f"{self._api.url}{PATH}?watch=1&fieldSelector=metadata.name%3D{self._name}"
        async with self._api.session.get(url) as answer:
            while line := await answer.content.readline():
                replicas = json.loads(line)["object"]["spec"]["replicas"]
                if replicas != self.replicas:
                    self.replicas, self.seen_at = replicas, time.perf_counter()

    async def reach(self, wanted: bool) -> float:
        while (self.replicas > 0) is not wanted:
            await asyncio.sleep(0.0005)
        return self.seen_at


@pytest.mark.benchmark
@pytest.mark.timeout(600)
async def test_wake(tmp_path: Path) -> None:
    kubeconfig, fleet = Path(REAL or tmp_path / "kubeconfig"), tmp_path / "fleet.yaml"
    names = ["research", "bound"]
    with RealNats(tmp_path / "nats") as server:
        fleet.write_text(FLEET.format(url=server.url, namespace=NAMESPACE), "utf-8")
        async with (
            streams(server.url, names) as client,
            real(kubeconfig) if REAL else simulator(kubeconfig) as api,
        ):
            await api.namespace(NAMESPACE)
            for name in names:
                await api.deployment(NAMESPACE, name)
            bound = await raw_patches(api)
            async with daemon(fleet, kubeconfig) as running:
                await until(lambda: running.said("started"))
                await asyncio.sleep(3)
                watcher = Watcher(api, "research")
                following = asyncio.create_task(watcher.follow())
                stream = client.jetstream()
                pull = await stream.pull_subscribe_bind("research", "TASKS")
                waits = []
                for _ in range(ROUNDS):
                    began = time.perf_counter()
                    await stream.publish("tasks.research", b"work")
                    waits.append(await watcher.reach(True) - began)
                    for message in await pull.fetch(1, timeout=5):
                        await message.ack_sync()
                    await watcher.reach(False)
                    # another phase of the daemon's clock each time, past the LIST that certifies
                    await asyncio.sleep(0.3 + waits[-1] * 7 % 0.25)
                following.cancel()
    where = "real API" if REAL else "simulated API"
    report(
        f"wake from zero, {where}", spread(waits), f"{TARGET}; bound, a raw PATCH: {spread(bound)}"
    )
    assert len(waits) == ROUNDS


@asynccontextmanager
async def real(kubeconfig: Path) -> AsyncIterator[Simulator]:
    """The same questions to a real API; the namespace is removed again at the end."""
    configuration = (
        await Access.load(KubernetesSettings(kubeconfig=str(kubeconfig)))
    ).configuration
    trusted = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    token = {"Authorization": configuration.api_key["BearerToken"]}
    connector = aiohttp.TCPConnector(ssl=trusted)
    async with aiohttp.ClientSession(connector=connector, headers=token) as session:
        api = Simulator(configuration.host, session)
        try:
            yield api
        finally:
            await api.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}")


async def raw_patches(api: Simulator) -> list[float]:
    """The same change by a PATCH alone, seen by the same watcher."""
    watcher = Watcher(api, "bound")
    following = asyncio.create_task(watcher.follow())
    await asyncio.sleep(0.2)
    waits = []
    for _ in range(ROUNDS // 2):
        began = time.perf_counter()
        await patch(api, 1)
        waits.append(await watcher.reach(True) - began)
        await patch(api, 0)
        await watcher.reach(False)
    following.cancel()
    return waits


async def patch(api: Simulator, replicas: int) -> None:
    body = {"spec": {"replicas": replicas}}
    await api.call("PATCH", f"{PATH}/bound/scale", body, "application/merge-patch+json")
