"""The daemon on 1,000 pools at 1 s: a whole tick, processor time, memory, and what it writes."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

import pytest

from support.live import Daemon, daemon, fleet_text, streams, until
from support.measure import processor_s, report, resident_mb, simulator, spread
from support.nats_server import RealNats

POOLS = 1000
SECONDS = 20


@pytest.mark.benchmark
@pytest.mark.timeout(300)
async def test_a_thousand_pools(tmp_path: Path) -> None:
    names = [f"pool-{number:04}" for number in range(POOLS)]
    kubeconfig, fleet = tmp_path / "kubeconfig", tmp_path / "fleet.yaml"
    with RealNats(tmp_path / "nats") as server:
        fleet.write_text(fleet_text(server.url, names), "utf-8")
        async with streams(server.url, names) as client, simulator(kubeconfig) as sim:
            await sim.namespace("tenant-acme")
            for name in names:
                await sim.deployment("tenant-acme", name)
            bound = [await one_list(client) for _ in range(5)]
            async with daemon(fleet, kubeconfig) as running:
                await until(lambda: running.said("started"))
                while (await running.get("/readyz"))[0] != 200:
                    await asyncio.sleep(0.1)
                await asyncio.sleep(5)
                await sim.call("DELETE", "/_sim/requests")
                ticks, used, began = [], processor_s(running.process.pid), time.monotonic()
                while len(ticks) < SECONDS:
                    await asyncio.sleep(1)
                    ticks.append(await tick_s(running))
                share = (processor_s(running.process.pid) - used) / (time.monotonic() - began)
                memory = resident_mb(running.process.pid)
                written = json.loads(await sim.call("GET", "/_sim/requests"))
    report(
        "a tick, 1,000 pools", spread(ticks), f"target ≤ 100 ms; bound, LIST alone: {spread(bound)}"
    )
    report(
        "daemon, 1,000 pools at 1 s", f"{share:.1%} of a core, {memory:.0f} MB", "≤ 15 %, ≤ 120 MB"
    )
    report("writes in steady state", str(written["writes"]), "target 0")
    assert written["writes"] == 0


async def one_list(client: object) -> float:
    """Every page of CONSUMER.LIST, undecoded: what no reader can be faster than."""
    began, offset, total = time.perf_counter(), 0, 1
    while offset < total:
        answer = await client.request(  # type: ignore[attr-defined]  # nats-py's client
            "$JS.API.CONSUMER.LIST.TASKS", json.dumps({"offset": offset}).encode(), timeout=5
        )
        found = re.search(rb'"total":(\d+)', answer.data)
        total = int(found[1]) if found else 0
        offset += 256
    return time.perf_counter() - began


async def tick_s(running: Daemon) -> float:
    _, text = await running.get("/metrics")
    [line] = [row for row in text.splitlines() if row.startswith("agentdash_tick_duration")]
    return float(line.split()[1])
