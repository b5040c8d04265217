"""A dashboard elsewhere: time until it shows the first full view, and what 20 of them cost the
controller, at 1,000 pools of which 50 change every second.

The bound of the first is a round trip to the same server; of the second, the same ticks without a
listener.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from controller.engine.supervise import SystemClock
from controller.model.settings import NatsSettings
from controller.model.snapshot import Snapshot
from controller.nats.feed import (
    LISTENING,
    WHOLE_AT_MOST_EVERY_S,
    SnapshotPublisher,
    SnapshotReader,
    watchers_subject,
)
from controller.nats.session import NatsSession
from support.measure import report, spread
from support.nats_server import RealNats
from tui import scenarios

POOLS, CHANGING, TICKS, ROUNDS = 1_000, 50, 60, 30
LISTENERS = 20


async def connected(stack: AsyncExitStack, url: str) -> NatsSession:
    session = NatsSession(NatsSettings(servers=(url,)), SystemClock())
    await stack.enter_async_context(session)
    while not session.connected:
        await asyncio.sleep(0.001)
    return session


async def first_view(url: str) -> float:
    """Seconds from the start of an attached process's session to its first snapshot."""
    seen: asyncio.Future[Snapshot] = asyncio.get_running_loop().create_future()
    began = time.perf_counter()
    async with NatsSession(NatsSettings(servers=(url,)), SystemClock()) as session:
        reader = SnapshotReader(
            session, "agentdash", lambda each: None if seen.done() else seen.set_result(each)
        )
        reading = asyncio.create_task(reader.run())
        assert len((await seen).pools) == POOLS
        took = time.perf_counter() - began
        reading.cancel()
    return took


@pytest.mark.benchmark
@pytest.mark.timeout(300)
async def test_attach(tmp_path: Path) -> None:
    ticks = [scenarios.many_pools(POOLS)]
    for number in range(1, TICKS):
        views = list(ticks[-1].pools)
        for place in range(CHANGING):
            at = (number * CHANGING + place) % POOLS
            views[at] = replace(views[at], max=100 + number)
        ticks.append(replace(ticks[-1], sequence=number + 1, pools=tuple(views)))
    with RealNats(tmp_path / "nats") as server:
        async with AsyncExitStack() as stack:
            session = await connected(stack, server.url)
            publisher = SnapshotPublisher(session, "agentdash", SystemClock())
            running = asyncio.create_task(publisher.run())
            quiet = await cost(publisher, ticks)
            trips = [await round_trip(session) for _ in range(ROUNDS)]
            publisher.offer(replace(ticks[-1], sequence=TICKS + 1))
            waits = []
            for _ in range(ROUNDS):
                # dashboards that ask within this time get the same snapshot, and wait for it
                await asyncio.sleep(WHOLE_AT_MOST_EVERY_S)
                waits.append(await first_view(server.url))
            report(
                f"attach → first full view of {POOLS:,} pools",
                spread(waits),
                f"target ≤ 300 ms; bound, a round trip: {spread(trips)}",
            )
            await session.send(watchers_subject("agentdash"), LISTENING)
            await round_trip(session)
            later = [replace(each, sequence=each.sequence + 2 * TICKS) for each in ticks]
            heard = await cost(publisher, later)
            report(
                f"{LISTENERS} dashboards attached, {CHANGING} of {POOLS:,} pools change a second",
                f"{(heard - quiet) / TICKS * 100:.2f} % of a core more",
                f"target ≤ 2 %; the same ticks without a listener: {quiet / TICKS * 100:.2f} %; it"
                " is published once, however many listen",
            )
            running.cancel()


async def cost(publisher: SnapshotPublisher, ticks: list[Snapshot]) -> float:
    """Processor seconds of so many snapshots, one a second."""
    began = time.process_time()
    for snapshot in ticks:
        publisher.offer(snapshot)
        while publisher._chain.last is not snapshot:  # it encodes beside the loop
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)
    return time.process_time() - began


async def round_trip(session: NatsSession) -> float:
    began = time.perf_counter()
    await session.request("$JS.API.INFO", b"", 5.0)
    return time.perf_counter() - began
