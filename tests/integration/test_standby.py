"""Pools that sleep while others stand by for them: NATS, daemon, cluster and workers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from agentdash.worker import NatsLogin, QueueName, Session, Task, Worker, WorkerSettings
from agentdash.worker.settings import Served
from agentdash.worker.stores import NatsLink
from support.live import daemon, fleet_text, until
from support.live_world import NAMESPACE, LiveWorld, servers

POOLS = ("research", "writer")


def served(pool: str) -> Served:
    return Served("acme", pool, (QueueName("TASKS", pool),))


class Pods:
    """The workers of the pods: of a pool's own, and of those that stand by."""

    def __init__(self, link: NatsLink, login: NatsLogin) -> None:
        self._link, self._login = link, login
        self.began: list[tuple[str, str]] = []  # (Deployment, pool)
        self.end = asyncio.Event()

    async def run(self, pod: dict[str, Any], stopping: asyncio.Event) -> None:
        name, app = pod["metadata"]["name"], pod["metadata"]["name"].rsplit("-", 2)[0]
        settings = WorkerSettings(
            tenant="acme",
            pool=app,
            queues=served(app).queues if app in POOLS else (),
            stands_by_for=() if app in POOLS else tuple(map(served, POOLS)),
            worker=name,
            grace_s=0.05,
            listen=None,
        )

        async def agent(task: Task, _: Session) -> None:
            self.began.append((app, task.pool))
            if task.goal == "long":
                await self.end.wait()

        await Worker(agent, settings, self._login).work(self._link, stopping)


async def test_first_messages_wake_no_pool_and_more_than_are_free_wake_their_own(
    tmp_path: Path,
) -> None:
    async with servers(tmp_path, *POOLS) as found:
        world = LiveWorld(tmp_path, found)
        login = NatsLogin(servers=(world.server.url,))
        link = NatsLink(login)
        await link.open()
        pods = world.sim.pod_runner = Pods(link, login)
        await world.sim.create_deployment("spare", NAMESPACE, replicas=2)
        # however fast the machine is, the standbys are enough for short tasks
        standby = (
            "{name: spare, tenant: acme, pools: [research, writer], least: 2, most: 2, share: 50}"
        )
        world.fleet.write_text(
            fleet_text(world.server.url, [*POOLS]) + f"\nstandby: [{standby}]\n", "utf-8"
        )
        async with daemon(world.fleet, world.kubeconfig) as running:
            await running.ready()
            js = world.client.jetstream()
            for pool in POOLS:
                while ((await js.consumer_info("TASKS", pool)).num_waiting or 0) < 2:
                    await asyncio.sleep(0.05)
            # only a controller that has read the queues and the states of both leaves work to them
            await running.pass_ticks(3)
            for _ in range(5):
                await js.publish("tasks.research", b"short")
                await running.pass_ticks(2)
            assert pods.began == [("spare", "research")] * 5
            assert world.replicas("research") == 0
            for _ in range(3):
                await js.publish("tasks.writer", b"long")
            await until(lambda: world.replicas("writer") > 0)
            await until(lambda: ("writer", "writer") in pods.began)
            assert pods.began.count(("spare", "writer")) == 2
            assert world.replicas("research") == 0
            pods.end.set()
        await link.close()
