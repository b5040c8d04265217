"""Fail-over, and what comes back after a loss.

Between two daemons: from the signal to the leader until the next one leads, and the
work that came meanwhile has changed the Deployment.

The bound of a graceful stop is the duration of the leader's own end; of a kill, the lease's
duration at the default times, counted from the last renewal.

Of a NATS server and an API server: from its return until the daemon reads fresh again and has
scaled for the work that came meanwhile. Of a cluster of three NATS servers: from the kill of the
server that leads the consumer until its queue is read again, most of which the servers need to
elect another.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path

import pytest
from nats.aio.client import Client

from agentdash.demo.cluster.objects import DEPLOYMENTS
from fakes.cluster import ApiFault, SimCluster
from support.clustered_fleet import cluster_of_three, lose_leader
from support.live import NEW, Daemon, daemon, fleet_text, streams, until
from support.measure import Simulator, report, simulator, spread
from support.nats_server import RealNats

NAMESPACE = "tenant-acme"
STOPS, KILLS = 5, 2
RETURNS, AWAY_S, LOSSES = 5, 3.0, 2


async def replicas(sim: Simulator) -> int:
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/research"
    return int(json.loads(await sim.call("GET", path))["spec"]["replicas"])


async def until_scaled(sim: Simulator, wanted: int) -> None:
    async with asyncio.timeout(30.0):
        while await replicas(sim) != wanted:
            await asyncio.sleep(0.005)


async def leading(running: Daemon) -> None:
    await until(lambda: running.said("leading"), 30.0)


async def fail_over(
    fleet: Path, kubeconfig: Path, sim: Simulator, client: Client, number: signal.Signals
) -> tuple[float, float]:
    """Seconds from the signal until the next one leads and the work has its replica, and until the
    end of the first process.
    """
    async with daemon(fleet, kubeconfig, program=NEW) as first:
        await leading(first)
        async with daemon(fleet, kubeconfig, program=NEW) as second:
            await until(lambda: second.said("following"))
            while (await second.get("/readyz"))[0] != 200:
                await asyncio.sleep(0.05)
            before = await replicas(sim)
            began = time.monotonic()
            first.process.send_signal(number)
            await client.jetstream().publish("tasks.research", b"work")
            ended = asyncio.create_task(first.process.wait())
            ended_at: list[float] = []
            ended.add_done_callback(lambda _: ended_at.append(time.monotonic() - began))
            # the leader may still have written it, before it heard the signal
            await leading(second)
            took_s = time.monotonic() - began
            await until_scaled(sim, before + 1)
            took_s = max(took_s, time.monotonic() - began)
            await ended
    return took_s, ended_at[0]


@pytest.mark.benchmark
@pytest.mark.timeout(300)
async def test_fail_over(tmp_path: Path) -> None:
    kubeconfig, fleet = tmp_path / "kubeconfig", tmp_path / "fleet.yaml"
    with RealNats(tmp_path / "nats") as server:
        fleet.write_text(fleet_text(server.url, ["research"], maximum=100), "utf-8")
        async with streams(server.url, ["research"]) as client, simulator(kubeconfig) as sim:
            await sim.namespace(NAMESPACE)
            await sim.deployment(NAMESPACE, "research")
            ends, stops, kills = [], [], []
            for _ in range(STOPS):
                took_s, ended_s = await fail_over(fleet, kubeconfig, sim, client, signal.SIGTERM)
                stops.append(took_s)
                ends.append(ended_s)
            for _ in range(KILLS):
                took_s, _ = await fail_over(fleet, kubeconfig, sim, client, signal.SIGKILL)
                kills.append(took_s)
                # the one that took over was stopped, so the next starts at once
    report(
        "SIGTERM of the leader → the next leads, the work has its replica",
        spread(stops),
        f"target ≤ 1 s; the leader's own end: {spread(ends)}",
    )
    report(
        "kill -9 of the leader → the same, default times",
        spread(kills),
        "target ≤ 17 s; bound: 15 s after its last renewal",
    )


async def is_blind(running: Daemon) -> bool:
    page = (await running.get("/metrics"))[1]
    return 'agentdash_queue_reading_blind{pool="research",tenant="acme"} 1.0' in page


@pytest.mark.benchmark
@pytest.mark.timeout(300)
async def test_nats_is_back(tmp_path: Path) -> None:
    kubeconfig, fleet = tmp_path / "kubeconfig", tmp_path / "fleet.yaml"
    back = []
    with RealNats(tmp_path / "nats") as server:
        text = fleet_text(server.url, ["research"], maximum=100, interval="1s")
        fleet.write_text(text, "utf-8")
        async with (
            streams(server.url, ["research"]) as client,
            simulator(kubeconfig) as sim,
            daemon(fleet, kubeconfig, program=NEW) as running,
        ):
            await sim.namespace(NAMESPACE)
            await sim.deployment(NAMESPACE, "research")
            await leading(running)
            await client.jetstream().publish("tasks.research", b"work")
            await until_scaled(sim, 1)
            for _ in range(RETURNS):
                server.kill()
                away = time.monotonic() + AWAY_S
                await until(lambda away=away: time.monotonic() > away)
                while not await is_blind(running):
                    await asyncio.sleep(0.01)
                server.start()
                began = time.monotonic()
                while await is_blind(running):
                    await asyncio.sleep(0.01)
                back.append(time.monotonic() - began)
    report(
        f"a NATS server is back after {AWAY_S:g} s → fresh readings, interval 1 s",
        spread(back),
        "target ≤ 2 s",
    )


@pytest.mark.benchmark
@pytest.mark.timeout(300)
async def test_api_server_is_back(tmp_path: Path) -> None:
    fleet, back = tmp_path / "fleet.yaml", []
    with RealNats(tmp_path / "nats") as server:
        text = fleet_text(server.url, ["research"], maximum=100, interval="1s")
        fleet.write_text(text, "utf-8")
        async with streams(server.url, ["research"]) as client, SimCluster(speed=50) as sim:
            sim.write_kubeconfig(tmp_path / "kubeconfig")
            await sim.create_namespace(NAMESPACE)
            await sim.create_deployment("research", NAMESPACE)

            def size() -> int:
                stored = sim.store.get(DEPLOYMENTS, NAMESPACE, "research")
                return int(stored.object["spec"]["replicas"]) if stored else 0

            async with daemon(fleet, tmp_path / "kubeconfig", program=NEW) as running:
                await leading(running)
                for number in range(1, RETURNS + 1):
                    sim.faults.add(ApiFault(path=".*", status=503))
                    sim.faults.drop_watches()
                    await client.jetstream().publish("tasks.research", b"work")
                    away = time.monotonic() + AWAY_S
                    await until(lambda away=away: time.monotonic() > away)
                    assert size() < number
                    sim.faults.clear()
                    began = time.monotonic()
                    await until(lambda number=number: size() == number, 60.0)
                    back.append(time.monotonic() - began)
    report(
        f"the API server is back after {AWAY_S:g} s of 503 → the work that came meanwhile has its "
        "replica",
        spread(back),
        "writes that fail are tried again after 1, 2, 4 s and so on",
    )


@pytest.mark.benchmark
@pytest.mark.timeout(300)
@pytest.mark.parametrize("own", [True, False], ids=["own", "another"])
async def test_the_leader_of_the_consumer_is_lost(tmp_path: Path, own: bool) -> None:
    took = []
    async with (
        cluster_of_three(tmp_path) as of_three,
        daemon(tmp_path / "fleet.yaml", tmp_path / "kubeconfig", program=NEW) as running,
    ):
        await leading(running)
        await of_three.publish(1)
        for _ in range(LOSSES):
            lost, seconds = await lose_leader(of_three, running, own=own)
            took.append(seconds)
            of_three.cluster.servers[lost].start()
    which = "the daemon's own server" if own else "another server"
    report(
        f"kill -9 of the consumer's leader in a cluster of three, {which} → fresh readings",
        spread(took),
        "bound: the servers' election, 4 to 9 s",
    )
