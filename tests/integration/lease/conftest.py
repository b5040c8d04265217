"""Both leases on real servers: one in the simulated API over HTTP, one in a real nats-server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentdash.demo.cluster.objects import LEASES
from controller.engine.supervise import SystemClock
from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.writes import KubernetesLease
from controller.model.settings import KubernetesSettings, NatsSettings
from controller.nats.bucket import Bucket
from controller.nats.session import NatsSession
from controller.nats.state import LEASE_KEY, BucketLease
from controller.ports import Lease
from fakes.cluster import ApiFault, SimCluster
from support.live import until
from support.nats_server import RealNats

NAMESPACE = "default"
NAME = "agentdash"


class InCluster:
    """The Lease of a simulated cluster, and what happens to it there."""

    def __init__(self, sim: SimCluster, lease: Lease, other: Lease) -> None:
        self.sim = sim
        self.lease = lease
        self.other = other

    async def delete(self) -> None:
        store = self.sim.store
        stored = store.get(LEASES, NAMESPACE, NAME)
        assert stored is not None
        store.delete(stored)

    async def damage(self, **spec: Any) -> None:
        """Replace the spec behind the API's back."""
        store = self.sim.store
        stored = store.get(LEASES, NAMESPACE, NAME)
        assert stored is not None
        store.update(stored, {**stored.object, "spec": spec})

    async def empty(self) -> None:
        await self.damage()

    async def junk(self) -> None:
        await self.damage(holderIdentity=7, leaseDurationSeconds="soon", renewTime=[], x={"y": 1})

    async def go_away(self) -> Callable[[], Awaitable[None]]:
        number = self.sim.faults.add(ApiFault(path="/leases", status=503))

        async def back() -> None:
            self.sim.faults.remove(number)

        return back


class InBucket:
    """The lease in a bucket of a nats-server."""

    def __init__(self, server: RealNats, session: NatsSession, lease: Lease, other: Lease) -> None:
        self.server = server
        self.bucket = Bucket(session, NAME)
        self.lease = lease
        self.other = other

    async def delete(self) -> None:
        entry = await self.bucket.get(LEASE_KEY)
        assert entry is not None
        await self.bucket.delete(LEASE_KEY, expected=entry.revision, note=b"")

    async def put(self, value: bytes) -> None:
        entry = await self.bucket.get(LEASE_KEY)
        await self.bucket.put(LEASE_KEY, value, expected=0 if entry is None else entry.revision)

    async def empty(self) -> None:
        await self.put(b"")

    async def junk(self) -> None:
        await self.put(b'{"holder": 7, "duration_s": "soon"' + b"[" * 100_000)

    async def go_away(self) -> Callable[[], Awaitable[None]]:
        self.server.freeze()

        async def back() -> None:
            self.server.thaw()

        return back


@asynccontextmanager
async def _in_cluster(folder: Path) -> AsyncIterator[InCluster]:
    async with SimCluster(speed=50) as sim, AsyncExitStack() as stack:
        sim.write_kubeconfig(folder / "kubeconfig")
        access = await Access.load(KubernetesSettings(kubeconfig=str(folder / "kubeconfig")))
        clock = SystemClock()
        leases = []
        for _ in range(2):
            client = Client(access, clock)
            stack.push_async_callback(client.close)
            leases.append(KubernetesLease(client, clock, namespace=NAMESPACE, name=NAME))
        yield InCluster(sim, *leases)


@asynccontextmanager
async def _in_bucket(folder: Path) -> AsyncIterator[InBucket]:
    clock = SystemClock()
    with RealNats(folder / "nats") as server:
        settings = NatsSettings(servers=(server.url,))
        async with NatsSession(settings, clock) as one, NatsSession(settings, clock) as two:
            await until(lambda: one.connected and two.connected)
            leases = [BucketLease(each, Bucket(each, NAME)) for each in (one, two)]
            yield InBucket(server, one, *leases)
            server.thaw()


@pytest.fixture(params=["kubernetes", "nats"])
async def place(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[InCluster | InBucket]:
    kinds = {"kubernetes": _in_cluster, "nats": _in_bucket}
    async with kinds[request.param](tmp_path) as found:
        yield found


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[InCluster]:
    async with _in_cluster(tmp_path) as found:
        yield found


@pytest.fixture
async def watched(place: InCluster | InBucket) -> AsyncIterator[asyncio.Event]:
    """Set at each change that the other process's watch notices."""
    changed = asyncio.Event()
    watching = asyncio.create_task(place.other.watch(changed.set))
    yield changed
    watching.cancel()
    await asyncio.wait({watching})
