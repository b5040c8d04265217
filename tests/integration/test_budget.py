"""A daily token budget in a running controller: reached, kept over a kill, and given as reason."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from agentdash.demo.cluster.objects import DEPLOYMENTS
from agentdash.worker.stores import ensure_usage_stream
from controller.model.worker_messages import USAGE_STREAM, usage_subject
from fakes.cluster import SimCluster
from support.forked import agentdash
from support.live import daemon, fleet_text, streams, until
from support.nats_server import RealNats

NAMESPACE = "tenant-acme"
POOL = "research"
BUDGET = 10_000
TASK = 4_000
WORKERS = 3


class Live:
    """A fleet of one tenant with a budget; the test itself is the workers."""

    def __init__(self, folder: Path, server: RealNats, sim: SimCluster, client: Client) -> None:
        self.fleet = folder / "fleet.yaml"
        self.kubeconfig = folder / "kubeconfig"
        self.server = server
        self.sim = sim
        self.stream = client.jetstream()
        self.budget(f"tokens_per_day: {BUDGET}, pacing: never")
        sim.write_kubeconfig(self.kubeconfig)

    def budget(self, keys: str) -> None:
        text = fleet_text(self.server.url, [POOL], maximum=WORKERS)
        plain = f"namespace: {NAMESPACE}}}"
        assert plain in text
        self.fleet.write_text(
            text.replace(plain, f"namespace: {NAMESPACE}, budget: {{{keys}}}}}"), "utf-8"
        )

    @property
    def replicas(self) -> int:
        stored = self.sim.store.get(DEPLOYMENTS, NAMESPACE, POOL)
        assert stored is not None
        return int(stored.object["spec"]["replicas"])

    async def publish(self, tasks: int) -> None:
        for _ in range(tasks):
            await self.stream.publish(f"tasks.{POOL}", b"work")

    async def take(self, tasks: int) -> list[Msg]:
        pull = await self.stream.pull_subscribe_bind(POOL, "TASKS")
        return await pull.fetch(tasks)

    async def finish(self, task: Msg, tokens: int = TASK) -> None:
        """As a worker does: first what was used, then that it is done."""
        event = {"tenant": "acme", "role": POOL, "usage": {"input": tokens}, "seconds": 5.0}
        await self.stream.publish(usage_subject("acme", POOL), json.dumps(event).encode())
        await task.ack_sync()


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    with RealNats(tmp_path / "nats") as server:
        async with streams(server.url, [POOL]) as client, SimCluster(speed=50) as sim:
            await sim.create_namespace(NAMESPACE)
            await sim.create_deployment(POOL, NAMESPACE)
            yield Live(tmp_path, server, sim, client)


async def said_by(verb: str, live: Live, *options: str) -> str:
    place = ("-f", live.fleet, "--kubeconfig", live.kubeconfig)
    said = await agentdash(*place, verb, *options)
    return said.out + said.err


async def test_a_spent_budget_lets_busy_workers_finish_and_starts_no_more(live: Live) -> None:
    await ensure_usage_stream(live.stream)
    async with daemon(live.fleet, live.kubeconfig) as running:
        await live.publish(10)
        await until(lambda: live.replicas == WORKERS)
        first, second, third = await live.take(WORKERS)
        await live.finish(first)
        await live.finish(second)
        # 8,000 are used and 4,000 expected of the third: its worker stays, the idle ones go
        await until(lambda: live.replicas == 1)
        await live.finish(third)
        await until(lambda: live.replicas == 0)
        running.process.kill()
        await running.process.wait()
    # a controller that starts again, with seven messages waiting, knows what was used
    async with daemon(live.fleet, live.kubeconfig) as running:
        await until(lambda: running.said("started"))
        said = await said_by("why", live, f"acme/{POOL}")
        assert live.replicas == 0
        assert "the day's tokens are spent" in said, said


async def test_a_spent_budget_is_not_forgotten_with_the_stream_of_events(live: Live) -> None:
    await ensure_usage_stream(live.stream)
    async with daemon(live.fleet, live.kubeconfig):
        await live.publish(10)
        await until(lambda: live.replicas == WORKERS)
        for task in await live.take(WORKERS):
            await live.finish(task)
        await until(lambda: live.replicas == 0)
    # while no controller runs, the stream is deleted and made again
    await live.stream.delete_stream(USAGE_STREAM)
    await ensure_usage_stream(live.stream)
    for _ in range(2):  # nor with a second restart, from a stream that never had these events
        async with daemon(live.fleet, live.kubeconfig) as running:
            await until(lambda: running.said("started"))
            said = await said_by("why", live, f"acme/{POOL}")
            assert live.replicas == 0
            assert "the day's tokens are spent" in said, said


async def test_without_a_stream_of_events_a_hard_budget_starts_nothing(live: Live) -> None:
    async with daemon(live.fleet, live.kubeconfig) as running:
        await until(lambda: running.said("started"))
        await live.publish(3)
        said = await said_by("plan", live)
        assert "what is left of the budget is not known" in said, said
        assert live.replicas == 0
        await ensure_usage_stream(live.stream)
        await until(lambda: live.replicas == WORKERS)


async def test_a_budget_of_nothing_is_obeyed_at_once(live: Live) -> None:
    await ensure_usage_stream(live.stream)
    live.budget("tokens_per_day: 0")
    await live.publish(3)
    said = await said_by("plan", live)
    assert "the day's tokens are spent" in said, said
