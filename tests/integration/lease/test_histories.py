"""Histories over a stop and a killed leader: the next controller goes on with them."""

from __future__ import annotations

import asyncio
import json
import math
import signal
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from agentdash.worker.stores import ensure_usage_stream
from controller.attach import Attachment
from controller.engine.show.past import RECENT_SLOT_S
from controller.engine.supervise import Hub, SystemClock
from controller.model.ids import PoolKey
from controller.model.settings import NatsSettings
from controller.model.snapshot import NOT_KNOWN, History, Snapshot, Timeline
from controller.model.worker_messages import usage_subject
from fakes.cluster import SimCluster
from support.live import Daemon, daemon, fleet_text, streams, until
from support.nats_server import RealNats

NAMESPACE, POOL, TENANT = "tenant-acme", PoolKey("acme/research"), "acme"
LEASE = "lease: {duration: 4s, renew_deadline: 3s, retry: 300ms}"
BUDGET = "budget: {tokens_per_day: 1000000, pacing: never}"
# a slot ends every 15 s, and the machine may be busy
SLOTS_S = 90.0


def fleet_file(folder: Path, url: str) -> Path:
    text = fleet_text(url, ["research"], minimum=1)
    text = text.replace(f"namespace: {NAMESPACE}}}", f"namespace: {NAMESPACE}, {BUDGET}}}")
    text = text.replace("{interval: 200ms}", f"{{interval: 200ms, {LEASE}}}")
    assert LEASE in text
    assert BUDGET in text
    path = folder / "fleet.yaml"
    path.write_text(text, "utf-8")
    return path


class Watching:
    """What a dashboard elsewhere sees of whichever controller leads."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    @property
    def seen(self) -> Snapshot:
        found = self._hub.latest()
        assert found is not None
        return found

    def shows(self, running: Daemon) -> bool:
        found = self._hub.latest()
        return found is not None and found.process.endswith(f"/{running.process.pid}")

    def pool(self) -> Timeline:
        return self.seen.histories.get(POOL, History()).recent

    def tenant(self) -> Timeline:
        return self.seen.tenant_histories.get(TENANT, History()).recent

    async def another_slot(self, running: Daemon) -> Snapshot:
        """Wait until that process has ended one more slot than there are now."""
        slots = (known(self.pool().ready), known(self.tenant().tokens))

        def ended() -> bool:
            now = (known(self.pool().ready), known(self.tenant().tokens))
            return self.shows(running) and all(map(int.__gt__, now, slots))

        await until(lambda: self.shows(running), SLOTS_S)
        await until(ended, SLOTS_S)
        return self.seen


def known(series: tuple[int, ...]) -> int:
    return sum(number != NOT_KNOWN for number in series)


def longest_hole(series: tuple[int, ...]) -> int:
    """How many slots are not known in a row, between two that are."""
    places = [place for place, number in enumerate(series) if number != NOT_KNOWN]
    return max((later - place - 1 for place, later in pairwise(places)), default=0)


@pytest.mark.timeout(400)
async def test_histories_go_on_over_a_stop_and_a_killed_leader_without_a_hole_beyond_it(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(RealNats(tmp_path / "nats"))
        client = await stack.enter_async_context(streams(server.url, ["research"]))
        sim = await stack.enter_async_context(SimCluster(speed=50))
        await sim.create_namespace(NAMESPACE)
        await sim.create_deployment("research", NAMESPACE, replicas=1)
        kubeconfig = tmp_path / "kubeconfig"
        sim.write_kubeconfig(kubeconfig)
        stream = client.jetstream()
        await ensure_usage_stream(stream)
        event = {"tenant": TENANT, "role": "research", "usage": {"input": 500}, "seconds": 5.0}
        await stream.publish(usage_subject(TENANT, "research"), json.dumps(event).encode())
        path, hub, stopping = fleet_file(tmp_path, server.url), Hub(), asyncio.Event()
        watching = Watching(hub)
        settings = NatsSettings(servers=(server.url,))
        attached = asyncio.create_task(Attachment(settings, hub, SystemClock()).run(stopping))

        async with daemon(path, kubeconfig) as first:
            await until(lambda: watching.shows(first))
            await watching.another_slot(first)
            first.process.send_signal(signal.SIGTERM)
            await first.process.wait()
        stopped = watching.seen
        leader = await stack.enter_async_context(daemon(path, kubeconfig))
        await until(lambda: watching.shows(leader))
        restarted = watching.seen
        follower = await stack.enter_async_context(daemon(path, kubeconfig))
        await until(lambda: bool(follower.said("following")))
        await follower.ready()
        led = await watching.another_slot(leader)
        assert known(led.histories[POOL].recent.ready) > known(stopped.histories[POOL].recent.ready)
        leader.process.kill()
        await leader.process.wait()
        killed = watching.seen
        await until(lambda: watching.shows(follower), SLOTS_S)
        taken_over = watching.seen
        after = await watching.another_slot(follower)

        away_s = max(restarted.at - stopped.at, taken_over.at - killed.at)
        for series, before in (
            (after.histories[POOL].recent.ready, killed.histories[POOL].recent.ready),
            (after.histories[POOL].recent.target, killed.histories[POOL].recent.target),
            (after.histories[POOL].recent.pending, killed.histories[POOL].recent.pending),
            (
                after.tenant_histories[TENANT].recent.tokens,
                killed.tenant_histories[TENANT].recent.tokens,
            ),
        ):
            assert known(series) > known(before)
            assert longest_hole(series) <= math.ceil(away_s / RECENT_SLOT_S)
        # what came before the follower was there is the first process's own
        ready = after.histories[POOL].recent.ready
        assert {number for number in ready if number != NOT_KNOWN} == {1}
        # the follower has looked on by itself: the kill costs no slot at all
        slots = int(after.at // RECENT_SLOT_S) - int(restarted.at // RECENT_SLOT_S) - 1
        assert longest_hole(ready[-slots:]) == 0
        assert NOT_KNOWN not in ready[-slots:]
        stopping.set()
        await attached
