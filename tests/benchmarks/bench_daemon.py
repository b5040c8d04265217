"""The daemon at 1 s while nothing changes: a whole tick, processor time, memory, and what it writes
to Kubernetes and to its own bucket.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

import pytest
from nats.aio.client import Client

from support.live import NEW, Daemon, daemon, fleet_text, streams, until
from support.measure import processor_s, report, resident_mb, simulator, spread
from support.nats_server import RealNats

SECONDS = 20
SETTLED_S = 60
"""By then the memory of the first ticks has been saved."""
SCRAPE_EVERY = 5
PER_STREAM = 500
"""A server takes longer for each page of a list the more consumers its stream has: 10,000 in one
stream take it most of a second.
"""
TARGETS = {1_000: "≤ 6 %, ≤ 120 MiB", 10_000: "≤ 40 %, ≤ 350 MiB"}


@pytest.mark.benchmark
@pytest.mark.timeout(900)
@pytest.mark.parametrize("pools", TARGETS)
async def test_nothing_changes(pools: int, tmp_path: Path) -> None:
    names = [f"pool-{number:05}" for number in range(pools)]
    kubeconfig, fleet = tmp_path / "kubeconfig", tmp_path / "fleet.yaml"
    with RealNats(tmp_path / "nats") as server:
        fleet.write_text(
            fleet_text(server.url, names, interval="1s", per_stream=PER_STREAM), "utf-8"
        )
        async with streams(server.url, names, PER_STREAM) as client, simulator(kubeconfig) as sim:
            await sim.namespace("tenant-acme")
            for name in names:
                await sim.deployment("tenant-acme", name)
            bound = [await lists(client, pools // PER_STREAM) for _ in range(5)]
            async with daemon(fleet, kubeconfig, program=NEW) as running:
                await until(lambda: running.said("started"), 60)
                while (await running.get("/readyz"))[0] != 200:
                    await asyncio.sleep(0.1)
                await asyncio.sleep(SETTLED_S)
                await sim.call("DELETE", "/_sim/writes")
                saved = await stored(client)
                ticks, used, began = [], processor_s(running.process.pid), time.monotonic()
                while len(ticks) < SECONDS // SCRAPE_EVERY:
                    await asyncio.sleep(SCRAPE_EVERY)
                    ticks.append(await tick_s(running))
                share = (processor_s(running.process.pid) - used) / (time.monotonic() - began)
                memory = resident_mb(running.process.pid)
                written = json.loads(await sim.call("GET", "/_sim/writes"))["writes"]
                saved = await stored(client) - saved
    report(f"a tick, {pools:,} pools", spread(ticks), f"bound, the lists alone: {spread(bound)}")
    report(
        f"daemon, {pools:,} pools at 1 s, nothing changing",
        f"{share:.1%} of a core, {memory:.0f} MiB",
        f"target {TARGETS[pools]}",
    )
    report(
        "writes to Kubernetes beside the Lease, to the bucket",
        f"{written}, {saved}",
        "target 0, and what goes on with time every 15 s: histories, and until when it watched",
    )
    assert written == 0


async def stored(client: Client) -> int:
    """How many entries were ever written to the daemon's bucket."""
    return (await client.jetstream().stream_info("KV_agentdash")).state.last_seq


async def lists(client: Client, streams: int) -> float:
    """Every page of CONSUMER.LIST of every stream, undecoded: what no reader can be faster than."""

    async def one(stream: str) -> None:
        subject, offset, total = f"$JS.API.CONSUMER.LIST.{stream}", 0, 1
        while offset < total:
            answer = await client.request(subject, json.dumps({"offset": offset}).encode(), 5)
            found = re.search(rb'"total":(\d+)', answer.data)
            total = int(found[1]) if found else 0
            offset += 256

    began = time.perf_counter()
    await asyncio.gather(*(one(f"TASKS-{number}") for number in range(streams)))
    return time.perf_counter() - began


async def tick_s(running: Daemon) -> float:
    _, text = await running.get("/metrics")
    [line] = [row for row in text.splitlines() if row.startswith("agentdash_tick_duration")]
    return float(line.split()[1])
