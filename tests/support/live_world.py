"""What tests of a real daemon share: a real nats-server, the simulated API and a fleet file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from nats.aio.client import Client

from agentdash.demo.cluster.objects import DEPLOYMENTS
from fakes.cluster import SimCluster
from support import requests_seen
from support.live import streams
from support.nats_server import RealNats

NAMESPACE = "tenant-acme"
SCALE = r"/deployments/\w+/scale"


class Servers(NamedTuple):
    """Those that a daemon talks to: a consumer and a Deployment for each pool, all empty."""

    nats: RealNats
    sim: SimCluster
    client: Client


@asynccontextmanager
async def servers(
    folder: Path, *pools: str, replicas: int = 0, max_file: str = "1GB"
) -> AsyncIterator[Servers]:
    with RealNats(folder / "nats", max_file=max_file) as server:
        async with streams(server.url, list(pools)) as client, SimCluster(speed=50) as sim:
            await sim.create_namespace(NAMESPACE)
            for name in pools:
                await sim.create_deployment(name, NAMESPACE, replicas=replicas)
            yield Servers(server, sim, client)


class LiveWorld:
    """The servers, the kubeconfig and the place of the fleet file, which each test writes."""

    def __init__(self, folder: Path, found: Servers) -> None:
        self.fleet, self.kubeconfig = folder / "fleet.yaml", folder / "kubeconfig"
        self.server, self.sim, self.client = found
        self.sim.write_kubeconfig(self.kubeconfig)

    @property
    def patches(self) -> int:
        """How often a size was set."""
        return requests_seen.count(self.sim.requests, path_regex=SCALE, method="PATCH")

    def deployment(self, name: str = "research") -> Any:
        stored = self.sim.store.get(DEPLOYMENTS, NAMESPACE, name)
        assert stored is not None
        return stored.object

    def replicas(self, name: str = "research") -> int:
        return int(self.deployment(name)["spec"]["replicas"])

    async def publish(self, count: int, name: str = "research") -> None:
        for _ in range(count):
            await self.client.jetstream().publish(f"tasks.{name}", b"work")

    async def finish(self, count: int, name: str = "research") -> None:
        """As workers do that have ended so many tasks."""
        pull = await self.client.jetstream().pull_subscribe_bind(name, "TASKS")
        for message in await pull.fetch(count):
            await message.ack_sync()
