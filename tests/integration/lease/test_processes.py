"""Two real controllers beside each other: which of them writes, and when the other takes over."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from nats.aio.client import Client

from agentdash.demo.cluster.objects import DEPLOYMENTS, LEASES
from controller.attach import Attachment
from controller.engine.supervise import Hub, SystemClock
from controller.exit_codes import ExitCode
from controller.model.settings import NatsSettings
from controller.model.snapshot import Role
from fakes.cluster import ApiFault, SimCluster
from support.live import PATIENCE_S, Daemon, daemon, fleet_text, streams, until
from support.nats_server import RealNats
from support.tcp_proxy import TcpProxy

NAMESPACE = "tenant-acme"
NAMES = ["research"]
SHORT = "duration: 4s, renew_deadline: 3s, retry: 300ms"
LONG = "duration: 60s, renew_deadline: 50s, retry: 300ms"
"""So long that a test would end before such a lease does."""


class Fleet:
    """A fleet with controllers that come and go."""

    def __init__(self, folder: Path, server: RealNats, sim: SimCluster, client: Client) -> None:
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.server = server
        self.sim = sim
        self.client = client
        sim.write_kubeconfig(self.kubeconfig)

    def file(self, lease: str, name: str = "fleet.yaml") -> Path:
        text = fleet_text(self.server.url, NAMES, minimum=1)
        path = self.folder / name
        wanted = f"controller: {{interval: 200ms, lease: {{{lease}}}}}"
        path.write_text(text.replace("controller: {interval: 200ms}", wanted), "utf-8")
        return path

    def replicas(self) -> int:
        stored = self.sim.store.get(DEPLOYMENTS, NAMESPACE, "research")
        assert stored is not None
        return int(stored.object["spec"]["replicas"])

    def lease(self) -> dict[str, Any] | None:
        stored = self.sim.store.get(LEASES, "default", "agentdash")
        return None if stored is None else dict(stored.object["spec"])

    def renewed_at(self) -> str:
        return str((self.lease() or {}).get("renewTime"))

    async def stored(self) -> dict[str | None, int]:
        """The last revision of each stream but the tasks'."""
        infos = await self.client.jetstream().streams_info()
        return {
            each.config.name: each.state.last_seq for each in infos if each.config.name != "TASKS"
        }

    async def publish(self, count: int) -> None:
        for _ in range(count):
            await self.client.jetstream().publish("tasks.research", b"work")

    async def finish(self, count: int) -> None:
        pull = await self.client.jetstream().pull_subscribe_bind("research", "TASKS")
        for message in await pull.fetch(count):
            await message.ack_sync()


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    with RealNats(tmp_path / "nats") as server:
        async with streams(server.url, NAMES) as client, SimCluster(speed=50) as sim:
            await sim.create_namespace(NAMESPACE)
            await sim.create_deployment("research", NAMESPACE, replicas=1)
            yield Fleet(tmp_path, server, sim, client)


class Pair:
    """A leader and a follower, both in their stride."""

    def __init__(self, leader: Daemon, follower: Daemon) -> None:
        self.leader = leader
        self.follower = follower


async def pair(stack: AsyncExitStack, fleet: Fleet, lease: str = SHORT) -> Pair:
    path = fleet.file(lease)
    leader = await stack.enter_async_context(daemon(path, fleet.kubeconfig))
    await until(lambda: leader.said("leading"))
    follower = await stack.enter_async_context(daemon(path, fleet.kubeconfig))
    await until(lambda: follower.said("following"))
    while (await follower.get("/readyz"))[0] != 200:
        await asyncio.sleep(0.05)
    return Pair(leader, follower)


def scaled(running: Daemon) -> list[tuple[Any, Any]]:
    return [(line["before"], line["after"]) for line in running.said("scaled")]


def sizes(running: Daemon) -> list[Any]:
    return [after for _, after in scaled(running)]


@pytest.mark.parametrize("store", ["kubernetes", "nats"])
async def test_one_writes_the_other_is_ready_and_follows_at_once_when_it_stops(
    fleet: Fleet, store: str
) -> None:
    settings, hub, stopping = NatsSettings(servers=(fleet.server.url,)), Hub(), asyncio.Event()

    def shows(running: Daemon) -> bool:
        snapshot = hub.latest()
        return snapshot is not None and (snapshot.role, snapshot.process.split("/")[-1]) == (
            Role.LEADER,
            str(running.process.pid),
        )

    async with AsyncExitStack() as stack:
        both = await pair(stack, fleet, f"store: {store}, {LONG}")
        attached = asyncio.create_task(Attachment(settings, hub, SystemClock()).run(stopping))
        await fleet.publish(5)
        await until(lambda: fleet.replicas() == 5)
        await fleet.finish(5)
        await until(lambda: fleet.replicas() == 1)
        # a message may be seen before the one behind it is published
        await until(lambda: sizes(both.leader)[-1:] == [1])
        assert 5 in sizes(both.leader)
        for running, role, metric in ((both.leader, "leader", 1), (both.follower, "follower", 0)):
            status, text = await running.get("/readyz")
            assert (status, text.split()[:2]) == (200, ["ok", role])
            assert f"agentdash_leader {metric}" in (await running.get("/metrics"))[1]
        assert str(both.leader.process.pid) in (await both.follower.get("/readyz"))[1]
        await until(lambda: shows(both.leader))

        fleet.sim.faults.add(ApiFault(verb="patch", path="/scale", latency_s=1.0, times=1))
        await fleet.publish(3)
        await both.leader.pass_ticks(2)
        assert both.follower.said("would scale") == scaled(both.follower) == []
        both.leader.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(both.leader.process.wait(), 10.0) == ExitCode.OK
        # long before the lease would have ended
        await until(lambda: bool(both.follower.said("leading")))
        await until(lambda: shows(both.follower))
        assert fleet.replicas() == 3
        messages = [line["message"] for line in both.leader.lines]
        assert messages.index("lease released") > messages.index("scaled")
        await fleet.publish(2)
        await until(lambda: sizes(both.follower)[-1:] == [5])
        assert scaled(both.follower)[0][0] == 3
        stopping.set()
        await attached


async def test_a_follower_writes_nothing_but_its_look_at_the_lease(fleet: Fleet) -> None:
    async with AsyncExitStack() as stack:
        both = await pair(stack, fleet, LONG)
        # what follows is the follower's alone
        both.leader.process.send_signal(signal.SIGSTOP)
        try:
            fleet.sim.requests.clear()
            stored = await fleet.stored()
            await fleet.publish(4)
            await both.follower.pass_ticks(5)
            assert fleet.sim.requests.writes() == []
            assert await fleet.stored() == stored
        finally:
            both.leader.process.send_signal(signal.SIGCONT)


async def test_a_leader_that_is_frozen_or_killed_is_replaced_and_writes_nothing_when_it_continues(
    fleet: Fleet,
) -> None:
    async with AsyncExitStack() as stack:
        both = await pair(stack, fleet)
        both.leader.process.send_signal(signal.SIGSTOP)
        await until(lambda: bool(both.follower.said("leading")))
        await fleet.publish(3)
        await until(lambda: fleet.replicas() == 3)
        await fleet.finish(3)
        both.leader.process.send_signal(signal.SIGCONT)
        await until(lambda: bool(both.leader.said("no longer leading")))
        await until(lambda: fleet.replicas() == 1)
        await both.leader.pass_ticks(5)
        assert scaled(both.leader) == []
        assert "agentdash_leader 0" in (await both.leader.get("/metrics"))[1]

        both.follower.process.kill()
        await both.follower.process.wait()
        await fleet.publish(3)
        await until(lambda: sizes(both.leader)[-1:] == [3])


async def test_a_leader_that_alone_cannot_see_nats_gives_way_to_one_that_can(fleet: Fleet) -> None:
    address = urlsplit(fleet.server.url)
    assert address.hostname is not None
    assert address.port is not None
    async with TcpProxy(address.hostname, address.port) as proxy, AsyncExitStack() as stack:
        path = fleet.file(SHORT, "proxied.yaml")
        near = path.read_text("utf-8").replace(str(address.port), str(proxy.port))
        path.write_text(near, "utf-8")
        blind = await stack.enter_async_context(daemon(path, fleet.kubeconfig))
        await until(lambda: blind.said("leading"))
        other = await stack.enter_async_context(daemon(fleet.file(SHORT), fleet.kubeconfig))
        await until(lambda: other.said("following"))
        await proxy.cut()
        await fleet.publish(6)
        await until(lambda: fleet.replicas() == 6)
        await until(lambda: sizes(other)[-1:] == [6])
        [line] = [each for each in blind.lines if "lease is given up" in str(each["message"])]
        assert "no queue can be read" in str(line["message"])
        await proxy.open()
        await blind.ready()
        assert "follower" in (await blind.get("/readyz"))[1]


async def test_a_leader_with_a_full_journal_gives_way_to_one_that_can_write(fleet: Fleet) -> None:
    path = fleet.file(SHORT)
    async with AsyncExitStack() as stack:
        journal = ("--journal", str(fleet.folder / "journal.jsonl"))
        full = await stack.enter_async_context(daemon(path, fleet.kubeconfig, *journal))
        await until(lambda: full.said("leading"))
        other = await stack.enter_async_context(daemon(path, fleet.kubeconfig))
        await until(lambda: other.said("following"))
        # only then: one that cannot write before it has the lease leaves it to others for 30 s
        resource.prlimit(full.process.pid, resource.RLIMIT_FSIZE, (0, 0))
        await full.not_ready("journal_down: ")
        await fleet.publish(6)
        await until(lambda: fleet.replicas() == 6)
        await until(lambda: sizes(other)[-1:] == [6])


async def test_slow_writes_cost_no_lease_and_after_damage_to_it_there_is_one_leader_again(
    fleet: Fleet,
) -> None:
    async with AsyncExitStack() as stack:
        both = await pair(stack, fleet)
        fleet.sim.faults.add(ApiFault(verb="patch", path="/scale", status=429, retry_after=30))
        fleet.sim.faults.add(ApiFault(path="/(pods|deployments)", latency_s=2.0))
        await fleet.publish(3)
        await until(lambda: bool(both.leader.said("not scaled")))
        renewals = set[str]()
        # these take longer than the leader may go without one
        await until(lambda: len(renewals.add(fleet.renewed_at()) or renewals) > 12)
        assert both.leader.said("no longer leading") == both.follower.said("leading") == []
        fleet.sim.faults.clear()

        store = fleet.sim.store
        for damage in (
            None,
            {"holderIdentity": "", "leaseDurationSeconds": 15},
            {"holderIdentity": ["?"], "renewTime": {"a": None}, "more": "x" * 1000},
            {
                "holderIdentity": "a person",
                "leaseDurationSeconds": 1,
                "renewTime": "2099-01-01T00:00:00.000000Z",
            },
        ):
            stored = store.get(LEASES, "default", "agentdash")
            assert stored is not None
            if damage is None:
                store.delete(stored)
            else:
                store.update(stored, {**stored.object, "spec": damage})
            await until(lambda: str((fleet.lease() or {}).get("holderIdentity")).count("/") == 1)
            async with asyncio.timeout(PATIENCE_S):
                leaders = 0
                while leaders != 1:  # it says so with the tick after it has taken the lease
                    await asyncio.sleep(0.1)
                    pages = [await each.get("/metrics") for each in (both.leader, both.follower)]
                    leaders = sum("\nagentdash_leader 1" in text for _, text in pages)
        await until(lambda: (sizes(both.leader) + sizes(both.follower))[-1:] == [3])


async def test_a_lone_leader_names_the_right_it_lacks_outlives_its_servers_and_stops_in_time(
    fleet: Fleet,
) -> None:
    fleet.sim.faults.add(ApiFault(path="/leases", status=403))
    async with daemon(fleet.file(SHORT), fleet.kubeconfig) as running:
        await until(lambda: bool(running.said("started")))
        await fleet.publish(3)
        await running.not_ready("lease")
        await running.pass_ticks(5)
        _, text = await running.get("/readyz")
        assert "resources [leases], verbs [get, create, patch, watch]" in text
        finding = 'agentdash_finding{kind="lease",severity="critical",subject="lease"} 1'
        assert finding in (await running.get("/metrics"))[1]
        assert fleet.sim.requests.writes() == []
        fleet.sim.faults.clear()
        await until(lambda: fleet.replicas() == 3)

        fleet.server.kill()
        await until(lambda: any("given up" in str(each["message"]) for each in running.lines))
        fleet.server.start()
        await running.ready()
        await fleet.publish(3)
        await until(lambda: fleet.replicas() == 6)

        fleet.sim.faults.add(ApiFault(verb="patch", hang=True))
        await fleet.publish(3)
        await running.pass_ticks(2)
        running.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.process.wait(), 10.0) == ExitCode.OK


async def test_without_an_election_each_writes_and_says_so(fleet: Fleet) -> None:
    async with daemon(fleet.file("store: none"), fleet.kubeconfig) as running:
        await until(lambda: running.said("started"))
        await fleet.publish(3)
        await until(lambda: fleet.replicas() == 3)
        await running.pass_ticks(1)
        assert (await running.get("/readyz"))[1] == "ok\nactive\n"
        assert "agentdash_leader" not in (await running.get("/metrics"))[1]
    assert fleet.lease() is None
