"""60 requests a minute shared by ten processes, beside a static split. Reports only.

The processes are real workers on a real nats-server; the provider enforces the limit over HTTP. Two
of them work all the time, the others only in the second half. Each calls two models with the same
limit: of one the shares follow the need, of the other each process has a tenth.

LIMIT and SECONDS in the environment change the run.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from nats.js import JetStreamContext

from agentdash.demo.agents import DemoProvider, ProviderModel
from agentdash.worker.settings import NatsLogin
from agentdash.worker.stores import NatsLink
from controller.config import parse
from controller.engine.supervise import SystemClock
from controller.engine.workers import Allotment
from controller.model.ids import PoolKey
from controller.model.readings import last_known
from controller.model.settings import NatsSettings
from controller.model.worker_messages import WorkerState
from controller.nats.session import NatsSession
from controller.nats.workers import AllowanceBucket, WorkerBuckets
from support.live import until
from tests.support.nats_server import RealNats

PROCESSES = 10
EAGER = 2
LIMIT = int(os.environ.get("LIMIT", "60"))
SECONDS = float(os.environ.get("SECONDS", "56"))
SETTLED_S = 4.0
"""What is measured begins so long after the start and after the change."""
TICK_S = 1.0
START_S = 60.0
pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(120 + SECONDS)]
FLEET = """\
version: 1
nats: {servers: [nats://h]}
models: {shared: {limits: {requests_per_minute: %(limit)d, burst: %(burst)d}}}
tenants: {acme: {tier: growth}}
pools:
  - name: research
    tenant: acme
    queue: {stream: TASKS, consumer: research}
    replicas: {max: 10}
    model: shared
"""
Calls = dict[str, list[tuple[float, str]]]
"""By model: when a call was answered, and by whom it was made."""


async def started(url: str, provider: str, index: int) -> asyncio.subprocess.Process:
    rates = {"static": {"requests_per_minute": LIMIT / PROCESSES}}
    environment = os.environ | {
        "NATS_URL": url,
        "AGENTDASH_TENANT": "acme",
        "AGENTDASH_POOL": "research",
        "AGENTDASH_QUEUES": "TASKS/research",
        "AGENTDASH_WORKER": f"w{index}",
        "AGENTDASH_LISTEN": "off",
        "AGENTDASH_RATES": msgspec.json.encode(rates).decode(),
        "PROVIDER": provider,
        "BEGIN_AFTER": "0" if index < EAGER else str(SECONDS / 2),
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).parents[1] / "support" / "calling_worker.py"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )


def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


async def listen(process: asyncio.subprocess.Process, began: float, calls: Calls) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        model, worker = line.decode().split()
        calls[model].append((time.monotonic() - began, worker))


async def prepare(js: JetStreamContext) -> None:
    await js.add_stream(name="TASKS", subjects=["tasks"])
    await js.add_consumer("TASKS", durable_name="research", max_ack_pending=100)


def registered(buckets: WorkerBuckets, pool: PoolKey) -> tuple[WorkerState, ...]:
    reading = buckets.read(pool)
    known = None if reading is None else last_known(reading)
    return () if known is None else known.states


async def measured(folder: Path) -> tuple[Calls, int]:
    models = [
        ProviderModel(name=name, requests_per_minute=LIMIT, burst=PROCESSES, first_token_s=0.05)
        for name in ("shared", "static")
    ]
    calls: Calls = defaultdict(list)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        server = stack.enter_context(RealNats(folder))
        provider = await stack.enter_async_context(DemoProvider(models))
        link = NatsLink(NatsLogin(servers=(server.url,)))
        await link.open()
        stack.push_async_callback(link.close)
        await prepare(link.jetstream)
        session = NatsSession(NatsSettings(servers=(server.url,)), clock)
        await stack.enter_async_context(session)
        await until(lambda: session.connected)
        fleet = parse(FLEET % {"limit": LIMIT, "burst": PROCESSES}, "fleet.yaml").fleet
        buckets = WorkerBuckets(session, clock, fleet)
        await stack.enter_async_context(buckets.following())
        allotment = Allotment(fleet, buckets, AllowanceBucket(session, fleet), clock)
        processes = []
        for index in range(PROCESSES):
            processes.append(await started(server.url, provider.url, index))
            stack.callback(end, processes[-1])
        pool = fleet.pools[0].key
        await until(lambda: len(registered(buckets, pool)) == PROCESSES, START_S)
        for _ in range(PROCESSES):
            await link.jetstream.publish("tasks", b"call")
        async with asyncio.TaskGroup() as tasks:
            began = time.monotonic()
            listening = [tasks.create_task(listen(each, began, calls)) for each in processes]
            while time.monotonic() - began < SECONDS:
                allotment.begin(tasks, {})
                await asyncio.sleep(TICK_S)
            for process in processes:
                end(process)
            await asyncio.gather(*listening, *(process.wait() for process in processes))
        return calls, sum(each.refused for each in provider.admissions.values())


def per_minute(times: list[float], begin: float, end: float) -> float:
    """The rate between the first and the last call within these seconds."""
    within = sorted(each for each in times if begin <= each <= end)
    return 60 * (len(within) - 1) / (within[-1] - within[0]) if len(within) > 1 else 0.0


def fewest(calls: list[tuple[float, str]], begin: float, end: float) -> int:
    """The calls of the worker that could make the fewest."""
    counts = {f"w{index}": 0 for index in range(PROCESSES)}
    for at, worker in calls:
        counts[worker] += begin <= at <= end
    return min(counts.values())


async def test_ten_processes_share_a_limit(tmp_path: Path) -> None:
    calls, refused = await measured(tmp_path)
    half = SECONDS / 2
    after = half + SETTLED_S
    equal = LIMIT / PROCESSES * (half - SETTLED_S) / 60
    print()
    print(f"{LIMIT} requests/min, {PROCESSES} processes, {SECONDS:.0f} s, {refused} refused (429)")
    for model, name in (("shared", "shares by need"), ("static", "a tenth each")):
        times = [at for at, _ in calls[model]]
        alone, together = per_minute(times, SETTLED_S, half), per_minute(times, after, SECONDS)
        print(
            f"{name}: {EAGER} at work {alone:.1f}/min, all at work {together:.1f}/min, "
            f"fewest calls of a process {fewest(calls[model], after, SECONDS)} "
            f"(an equal share is {equal:.1f})"
        )
