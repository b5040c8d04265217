"""publish → spec.replicas changed for a pool at zero, seen by a watcher of the API.

The API is the simulated one, or the real one that AGENTDASH_TEST_KUBECONFIG names. The pool is the
only one, or one of 1,000. Its rule is `hpa`: rule native would learn that a message comes every
second and keep a replica for the next.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from nats.aio.client import Client

from controller.kube.access import Access
from controller.model.settings import KubernetesSettings
from support.live import NEW, Daemon, daemon, streams, until
from support.measure import Simulator, processor_s, report, simulator, spread
from support.nats_server import RealNats

AT_ONCE = 20
REAL = os.environ.get("AGENTDASH_TEST_KUBECONFIG")
ROUNDS = 200
TARGET = "target p99 ≤ 50 ms, p50 ≤ 2 × the bound"

FLEET = """\
version: 1
nats: {{servers: ["{url}"]}}
controller: {{interval: 0.25s}}
tenants: {{acme: {{tier: growth, namespace: {namespace}}}}}
pools:
"""
POOL = """\
  - name: {name}
    tenant: acme
    queue: {{stream: TASKS, consumer: {name}}}
    rule: hpa
    replicas: {{min: 0, max: 5}}
    cooldown: 0s
    behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}
"""


def path_of(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments"


class Watcher:
    """spec.replicas of one Deployment as a watch tells it."""

    def __init__(self, api: Simulator, namespace: str, name: str) -> None:
        self._api = api
        self._query = f"{path_of(namespace)}?watch=1&fieldSelector=metadata.name%3D{name}"
        self.replicas = 0
        self.seen_at = 0.0

    async def follow(self) -> None:
        async with self._api.session.get(self._api.url + self._query) as answer:
            while line := await answer.content.readline():
                replicas = json.loads(line)["object"]["spec"]["replicas"]
                if replicas != self.replicas:
                    self.replicas, self.seen_at = replicas, time.perf_counter()

    async def reach(self, wanted: bool) -> float:
        while (self.replicas > 0) is not wanted:
            await asyncio.sleep(0.0005)
        return self.seen_at


@pytest.mark.benchmark
@pytest.mark.timeout(900)
@pytest.mark.parametrize("pools", [1, 1_000])
async def test_wake(tmp_path: Path, pools: int) -> None:
    kubeconfig, fleet = Path(REAL or tmp_path / "kubeconfig"), tmp_path / "fleet.yaml"
    namespace = f"bench-{secrets.token_hex(4)}"
    pool_names = ["research", *(f"idle-{number}" for number in range(1, pools))]
    with RealNats(tmp_path / "nats") as server:
        fleet.write_text(
            FLEET.format(url=server.url, namespace=namespace)
            + "".join(POOL.format(name=name) for name in pool_names),
            "utf-8",
        )
        async with (
            streams(server.url, pool_names) as client,
            real(kubeconfig, namespace) if REAL else simulator(kubeconfig) as api,
        ):
            await api.namespace(namespace)
            await deployments(api, namespace, [*pool_names, "bound"])
            bound = await raw_patches(api, namespace)
            async with daemon(fleet, kubeconfig, program=NEW) as running:
                await until(lambda: running.said("started"))
                await asyncio.sleep(3)
                watcher = Watcher(api, namespace, "research")
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
        f"wake from zero, {where}, {pools} pools",
        spread(waits),
        f"{TARGET}; bound, a raw PATCH: {spread(bound)}",
    )
    assert len(waits) == ROUNDS


async def deployments(api: Simulator, namespace: str, names: Sequence[str]) -> None:
    for first in range(0, len(names), AT_ONCE):
        batch = names[first : first + AT_ONCE]
        await asyncio.gather(*(api.deployment(namespace, name) for name in batch))


@asynccontextmanager
async def real(kubeconfig: Path, namespace: str) -> AsyncIterator[Simulator]:
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
            await api.call("DELETE", f"/api/v1/namespaces/{namespace}")


async def raw_patches(api: Simulator, namespace: str) -> list[float]:
    """The same change by a PATCH alone, seen by the same watcher."""
    watcher = Watcher(api, namespace, "bound")
    following = asyncio.create_task(watcher.follow())
    await asyncio.sleep(0.2)
    waits = []
    for _ in range(ROUNDS // 2):
        began = time.perf_counter()
        await patch(api, namespace, 1)
        waits.append(await watcher.reach(True) - began)
        await patch(api, namespace, 0)
        await watcher.reach(False)
    following.cancel()
    return waits


async def patch(api: Simulator, namespace: str, replicas: int) -> None:
    body = {"spec": {"replicas": replicas}}
    await api.call(
        "PATCH", f"{path_of(namespace)}/bound/scale", body, "application/merge-patch+json"
    )


FLOOD, FLOOD_S = 100_000, 20.0


@pytest.mark.benchmark
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "asleep",
    ["", "    activation: 1000000\n"],
    ids=["wakes", "below its activation"],
)
async def test_flood(tmp_path: Path, asleep: str) -> None:
    """A pool at zero gets many messages within some seconds: what they cost the daemon."""
    kubeconfig, fleet = tmp_path / "kubeconfig", tmp_path / "fleet.yaml"
    with RealNats(tmp_path / "nats") as server:
        text = FLEET.format(url=server.url, namespace="tenant-acme") + POOL.format(name="research")
        fleet.write_text(text + asleep, "utf-8")
        async with streams(server.url, ["research"]) as client, simulator(kubeconfig) as api:
            await api.namespace("tenant-acme")
            await api.deployment("tenant-acme", "research")
            async with daemon(fleet, kubeconfig, program=NEW) as running:
                await until(lambda: running.said("leading"))
                quiet = await share_of(running, FLOOD_S / 2)
                flooding = asyncio.create_task(flood(client))
                flooded = await share_of(running, FLOOD_S)
                await flooding
                ticks = await running.ticks()
    report(
        f"{FLOOD:,} messages into a pool at zero within {FLOOD_S:g} s, "
        + ("which stays below its activation" if asleep else "which wakes"),
        f"{flooded:.1%} of a core",
        f"target ≤ 15 %; with no message: {quiet:.1%}; {ticks} ticks in all",
    )


async def share_of(running: Daemon, seconds: float) -> float:
    """The share of a core that the daemon takes from now on."""
    used, began = processor_s(running.process.pid), time.monotonic()
    await asyncio.sleep(seconds)
    return (processor_s(running.process.pid) - used) / (time.monotonic() - began)


async def flood(client: Client) -> None:
    """Publish evenly, so that the messages last for most of the time."""
    batch = 500
    for _ in range(FLOOD // batch):
        for _ in range(batch):
            await client.publish("tasks.research", b"work")
        await client.flush()
        await asyncio.sleep(0.8 * FLOOD_S / (FLOOD / batch))
