"""A node that is about to end: its workers hand their tasks back before it is gone."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentdash.demo.cluster.objects import PODS
from agentdash.worker import NatsLogin, QueueName, TaskTerms
from agentdash.worker.attempts import PoolTasks
from agentdash.worker.stores import NatsLink, bucket
from controller.model.worker_messages import WORKERS_BUCKET, WorkerState, worker_key
from fakes.cluster import SimCluster
from support.forked import forked
from support.live import daemon, fleet_text, streams, until
from support.nats_server import RealNats

NAMESPACE = "tenant-acme"
QUEUE = QueueName("TASKS", "research")
AGENT = """\
async def work(task, session):
    if session.resumed is not None:
        return session.resumed
    await session.stopping.wait()
    await session.checkpoint(task.payload)
"""


class Cluster:
    """A simulated cluster, in each of whose pods a worker process runs."""

    def __init__(self, home: Path, url: str) -> None:
        (home / "waiting.py").write_text(AGENT, "utf-8")
        self._home, self._url = home, url
        self.sim = SimCluster(speed=50, nodes=2)
        self.sim.pod_runner = self

    async def run(self, pod: dict[str, Any], stopping: asyncio.Event) -> None:
        environment = {
            "NATS_URL": self._url,
            "AGENTDASH_TENANT": "acme",
            "AGENTDASH_POOL": "research",
            "AGENTDASH_QUEUES": "/".join(QUEUE),
            "AGENTDASH_LISTEN": "off",
            "AGENTDASH_WORKER": pod["metadata"]["name"],
        }
        words, env = ("agentdash", "worker", "waiting:work"), {**os.environ, **environment}
        process = await forked(*words, cwd=self._home, env=env)
        try:
            await stopping.wait()
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()

    def nodes(self) -> dict[str, str]:
        """The node of each pod."""
        pods = (each.object for each in self.sim.store.each(PODS, NAMESPACE))
        return {pod["metadata"]["name"]: pod["spec"].get("nodeName", "") for pod in pods}


@pytest.fixture
async def link(tmp_path: Path) -> AsyncIterator[NatsLink]:
    with RealNats(tmp_path / "nats") as server:
        async with streams(server.url, ["research"]):
            opened = NatsLink(NatsLogin(servers=(server.url,)), name="tests")
            await opened.open()
            yield opened
            await opened.close()


async def busy(link: NatsLink, pods: list[str]) -> list[str]:
    """The pods whose worker is at work; none before all are registered."""
    states = []
    for pod in pods:
        try:
            entry = await bucket(link.jetstream, WORKERS_BUCKET).get(
                worker_key("acme", "research", pod)
            )
        except Exception:  # noqa: BLE001  not registered yet, or no bucket yet
            return []
        states.append(msgspec.json.decode(entry.value or b"", type=WorkerState))
    return [state.worker for state in states if state.busy]


async def test_a_task_on_a_node_that_ends_goes_on_elsewhere(tmp_path: Path, link: NatsLink) -> None:
    url = link.client.connected_url
    assert url is not None
    cluster = Cluster(tmp_path, url.geturl())
    fleet, kubeconfig = tmp_path / "fleet.yaml", tmp_path / "kubeconfig"
    text = fleet_text(url.geturl(), ["research"], minimum=2, maximum=2)
    fleet.write_text(f"{text}kubernetes: {{ending_taints: [example.com/ends]}}\n", "utf-8")
    async with cluster.sim as sim:
        await sim.create_namespace(NAMESPACE)
        await sim.create_deployment("research", NAMESPACE, replicas=2)
        sim.write_kubeconfig(kubeconfig)
        async with daemon(fleet, kubeconfig) as running:
            await until(lambda: running.said("started"))
            await until(lambda: len(set(cluster.nodes().values()) - {""}) == 2)
            nodes = cluster.nodes()
            tasks = PoolTasks(link.jetstream, link.client.publish, "acme", "research", (QUEUE,))
            await tasks.submit("its state", TaskTerms(id="one"))
            while not (at_work := await busy(link, sorted(nodes))):
                await asyncio.sleep(0.05)
            cluster.sim.taint_node(nodes[at_work[0]], "example.com/ends")
            while (found := await tasks.results.get("one")) is None:
                await asyncio.sleep(0.05)
            assert cluster.nodes() == nodes
    assert found.result.result == "its state"
    assert found.result.worker in set(nodes) - set(at_work)
