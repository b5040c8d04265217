"""A daemon whose NATS is slow, stalled, cut, frozen, full or older than it was."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig
from nats.js.errors import APIError

from controller.model.observation import QueueDepth
from controller.model.readings import Reading, Stale, Why
from controller.record.journal import JournalPast
from support.live import Daemon, daemon, fleet_text, until
from support.live_world import LiveWorld, Servers, servers
from support.tcp_proxy import TcpProxy

GATE = 'agentdash_pool_gate{gate="blind",pool="research",tenant="acme"} 1.0'
BLIND = 'agentdash_queue_reading_blind{pool="research",tenant="acme"} 1.0'
LONG_TICKS = 20
"""At 200 ms, longer than the window (1 s) and the cooldown (2 s) of the pool together."""


class Live(LiveWorld):
    """A server, the relay to it that the daemon uses, and a pool with a simulated Deployment."""

    def __init__(self, folder: Path, found: Servers, proxy: TcpProxy) -> None:
        super().__init__(folder, found)
        self.folder = folder
        self.proxy = proxy
        text = fleet_text(f"nats://127.0.0.1:{proxy.port}", ["research"])
        self.fleet.write_text(text, "utf-8")

    @asynccontextmanager
    async def at_four(self) -> AsyncIterator[Daemon]:
        """A daemon that has scaled the pool to four tasks."""
        journal = self.folder / "journal.jsonl"
        async with daemon(self.fleet, self.kubeconfig, "--journal", str(journal)) as running:
            await until(lambda: running.said("leading"))
            await self.publish(4)
            await until(lambda: self.replicas() == 4)
            yield running

    async def is_held(self, running: Daemon) -> None:
        """Wait until the queue cannot be read, then see that nothing is lowered for long."""
        before = self.replicas()
        await shows(running, BLIND)
        await running.pass_ticks(LONG_TICKS)
        assert self.replicas() == before

    async def goes_on(self, running: Daemon) -> None:
        """Wait until the queue is read again, and one more task is one more replica."""
        before = self.replicas()
        await shows(running, BLIND, wanted=False)
        await self.publish(1)
        await until(lambda: self.replicas() == before + 1)
        sizes = [int(str(line["after"])) for line in running.said("scaled")]
        assert sizes == sorted(sizes), "lowered before any work was done"

    def reading(self) -> Reading[QueueDepth]:
        """What the last tick knew of the queue."""
        last = JournalPast(self.folder / "journal.jsonl").last()
        assert last is not None
        [pool] = last.snapshot.pools
        return pool.observation.queue


async def shows(running: Daemon, series: str, *, wanted: bool = True) -> None:
    """Wait until the metrics have, or no longer have, this line."""
    async with asyncio.timeout(30.0):
        while (series in (await running.get("/metrics"))[1]) is not wanted:
            await asyncio.sleep(0.1)


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with servers(tmp_path, "research", max_file="20MB") as found:
        address = urlsplit(found.nats.url)
        assert address.hostname is not None
        assert address.port is not None
        async with TcpProxy(address.hostname, address.port) as proxy:
            yield Live(tmp_path, found, proxy)


async def test_a_connection_that_is_slow_cut_or_frozen_lowers_nothing_and_is_named(
    live: Live,
) -> None:
    async with live.at_four() as running:
        live.proxy.delay_s = 0.3  # longer than a reading may take
        await live.is_held(running)
        live.proxy.delay_s = 0.0
        await live.goes_on(running)

        live.server.freeze()  # to the daemon, a connection that stalls
        await live.is_held(running)
        await until(lambda: any("no answer to a ping" in line for line in running.text))
        live.server.thaw()
        await live.goes_on(running)

        for _ in range(2):
            await live.proxy.cut()
            await shows(running, BLIND)
            await live.proxy.open()
            await running.pass_ticks(1)
        await live.goes_on(running)
        await live.finish(7)
        await until(lambda: live.replicas() < 7)


async def test_a_store_that_is_full_costs_no_scaling_and_is_said(live: Live) -> None:
    jetstream = live.client.jetstream()
    await jetstream.add_stream(StreamConfig(name="FILL", subjects=["fill"]))
    async with live.at_four() as running:
        for size in (500_000, 2_000):
            await fill(jetstream, size)
        await live.finish(4)
        await until(lambda: live.replicas() == 0)
        unsaved = "memory cannot be saved: "
        await until(lambda: any(str(each["message"]).startswith(unsaved) for each in running.lines))
        await jetstream.purge_stream("FILL")
        await until(lambda: running.said("memory is saved again"), 30.0)


async def fill(jetstream: JetStreamContext, size: int) -> None:
    """Publish messages of so many bytes until the server has no room for another."""
    while True:
        try:
            await jetstream.publish("fill", bytes(size))
        except APIError:
            return


async def create_anew(live: Live) -> None:
    """Replace the consumer: the new one counts only what comes from now on."""
    jetstream = live.client.jetstream()
    await jetstream.delete_consumer("TASKS", "research")
    consumer = ConsumerConfig(
        durable_name="research",
        filter_subject="tasks.research",
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.NEW,
    )
    await jetstream.add_consumer("TASKS", consumer)


async def restore(live: Live) -> None:
    """Start the server on the copy of its store from before there was work."""
    live.server.stop()
    store = live.folder / "nats" / "js"
    shutil.rmtree(store)
    (live.folder / "older").rename(store)
    live.server.start()


@pytest.mark.parametrize("going_back", [create_anew, restore], ids=["new consumer", "older store"])
async def test_a_queue_whose_history_goes_back_lowers_nothing_and_says_why(
    live: Live, going_back: Callable[[Live], Awaitable[None]]
) -> None:
    live.server.stop()
    shutil.copytree(live.folder / "nats" / "js", live.folder / "older")
    live.server.start()
    async with live.at_four() as running:
        # the four are being worked on
        pull = await live.client.jetstream().pull_subscribe_bind("research", "TASKS")
        await pull.fetch(4)
        await running.pass_ticks(2)
        await going_back(live)
        await shows(running, GATE)
        while not is_history(live.reading()):
            await running.pass_ticks(1)
        await running.pass_ticks(LONG_TICKS)
        assert is_history(live.reading())
        assert live.replicas() == 4


async def test_a_queue_made_anew_while_no_daemon_runs_lowers_nothing_and_says_why(
    live: Live,
) -> None:
    async with live.at_four() as running:
        pull = await live.client.jetstream().pull_subscribe_bind("research", "TASKS")
        await pull.fetch(4)
        await running.pass_ticks(2)
    jetstream = live.client.jetstream()
    config = (await jetstream.stream_info("TASKS")).config
    consumer = (await jetstream.consumer_info("TASKS", "research")).config
    await jetstream.delete_stream("TASKS")
    await jetstream.add_stream(config)
    await jetstream.add_consumer("TASKS", consumer)
    journal = live.folder / "journal.jsonl"
    async with daemon(live.fleet, live.kubeconfig, "--journal", str(journal)) as next_one:
        await until(lambda: next_one.said("leading"))
        await shows(next_one, GATE)
        await next_one.pass_ticks(2)
        assert is_history(live.reading())
        await next_one.pass_ticks(LONG_TICKS)
        assert is_history(live.reading())
        assert live.replicas() == 4


def is_history(reading: Reading[QueueDepth]) -> bool:
    return isinstance(reading, Stale) and reading.why is Why.HISTORY_REGRESSED
