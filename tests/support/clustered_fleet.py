"""A fleet of one pool on a cluster of three NATS servers, for tests that lose one of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from nats import errors
from nats.aio.client import Client

from agentdash.demo.cluster.objects import DEPLOYMENTS
from fakes.cluster import SimCluster
from support.live import Daemon, fleet_text
from support.nats_cluster import NatsCluster, lead_consumer, make_queues

NAMESPACE = "tenant-acme"
BLIND = 'agentdash_queue_reading_blind{pool="research",tenant="acme"} '
ELECTION_S: Final = 40.0
"""Servers elect another leader after 4 to 9 s of silence; a busy machine may need several tries."""


class ClusteredFleet:
    """Pool research, whose Deployment is simulated."""

    def __init__(self, cluster: NatsCluster, client: Client, sim: SimCluster) -> None:
        self.cluster = cluster
        self.client = client
        self.sim = sim

    def replicas(self) -> int:
        stored = self.sim.store.get(DEPLOYMENTS, NAMESPACE, "research")
        assert stored is not None
        return int(stored.object["spec"]["replicas"])

    async def publish(self, count: int) -> None:
        """Publish tasks one by one, each until a leader of the stream has taken it."""
        for _ in range(count):
            # a leader that was lost may have taken it before
            headers = {"Nats-Msg-Id": uuid4().hex}
            async with asyncio.timeout(ELECTION_S):
                while not await self._taken(headers):
                    await asyncio.sleep(0.1)

    async def _taken(self, headers: dict[str, str]) -> bool:
        try:
            await self.client.jetstream().publish("tasks.research", b"", 1.0, headers=headers)
        except errors.Error:
            return False
        return True

    async def finish(self, count: int) -> None:
        pull = await self.client.jetstream().pull_subscribe_bind("research", "TASKS")
        for message in await pull.fetch(count, timeout=10.0):
            await message.ack_sync(5.0)

    async def copies(self, stream: str) -> int | None:
        return (await self.client.jetstream().stream_info(stream)).config.num_replicas


@asynccontextmanager
async def cluster_of_three(folder: Path) -> AsyncIterator[ClusteredFleet]:
    """The servers and the simulated API, with `fleet.yaml` and `kubeconfig` in the folder."""
    with NatsCluster(folder / "nats") as cluster:
        client = await cluster.connect()
        try:
            await make_queues(client, "TASKS", ["research"])
            async with SimCluster(speed=50) as sim:
                sim.write_kubeconfig(folder / "kubeconfig")
                await sim.create_namespace(NAMESPACE)
                await sim.create_deployment("research", NAMESPACE)
                text = fleet_text(cluster.urls, ["research"], nats_options=", replicas: 3")
                (folder / "fleet.yaml").write_text(text, "utf-8")
                yield ClusteredFleet(cluster, client, sim)
        finally:
            await client.close()


def server_of(running: Daemon, cluster: NatsCluster) -> str:
    """The name of the server that the daemon is connected to."""
    said = [str(line["message"]) for line in running.lines]
    url = [line for line in said if line.startswith("nats connected: ")][-1].split()[-1]
    [name] = [name for name, server in cluster.servers.items() if server.url == url]
    return name


async def is_blind(running: Daemon) -> bool:
    """Whether the daemon cannot read the queue now."""
    return BLIND + "1.0" in (await running.get("/metrics"))[1]


async def lose_leader(fleet: ClusteredFleet, running: Daemon, *, own: bool) -> tuple[str, float]:
    """Kill the server that leads the consumer: the one that the daemon is connected to, or another.

    Returns its name and the seconds until the daemon reads the queue again, when it has been blind.
    """
    cluster, mine = fleet.cluster, server_of(running, fleet.cluster)
    lost = mine if own else next(name for name in cluster.servers if name != mine)
    await lead_consumer(fleet.client, "TASKS", "research", lost)
    async with asyncio.timeout(ELECTION_S):
        while await is_blind(running):
            await asyncio.sleep(0.02)
        began = time.monotonic()
        cluster.servers[lost].kill()
        while not await is_blind(running):
            await asyncio.sleep(0.02)
        while await is_blind(running):
            await asyncio.sleep(0.02)
    return lost, time.monotonic() - began
