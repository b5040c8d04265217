"""The demo's world: a real nats-server, a simulated cluster, real workers, and tasks for them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Final

import nats
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StreamConfig
from nats.js.errors import APIError

from agentdash.demo.kubesim import KubeSim
from agentdash.demo.load import LOADS, PoolLoad, run_load
from agentdash.demo.nats_server import NatsServer
from agentdash.demo.report import WorldReport
from agentdash.worker import Agent, Task, UsedTokens, Worker, ensure_usage_stream

log = logging.getLogger(__name__)

STREAM: Final = "TASKS"
ACK_WAIT_S: Final = 30.0
NODE_COUNT: Final = 3
SLOTS: Final = {"acme-support": 2}
RECONNECT_S: Final = 0.2
PUBLISH_TIMEOUT_S: Final = 2.0


class DemoWorld:
    """All that is around the controller. `running` starts and ends it."""

    def __init__(self, home: Path, *, speed: float, seed: int, load_for_s: float | None) -> None:
        """`speed` divides the cluster's and the workers' times; all files lie below `home`."""
        self._home = home
        self._speed = speed
        self._seed = seed
        self._load_for_s = load_for_s
        self._loads = {(f"tenant-{load.tenant}", load.name): load for load in LOADS}
        self._rng = random.Random(seed)
        self._published = 0
        self._pods_started = 0
        self._tokens = UsedTokens()
        self._waits: list[float] = []
        self.nats = NatsServer(home / "nats")
        self.cluster = KubeSim(speed=speed, seed=seed, nodes=NODE_COUNT, admin_token="demo")  # noqa: S106  it opens nothing but this simulation
        self.fleet_path = home / "fleet.yaml"
        self.kubeconfig_path = home / "kubeconfig"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[DemoWorld]:
        """Start everything, and end it when the block ends. Raises NatsServerError."""
        async with AsyncExitStack() as stack:
            await self.nats.start()
            stack.push_async_callback(self.nats.stop)
            client = await _connect(self.nats.url)
            stack.push_async_callback(client.close)
            self._stream = client.jetstream(timeout=PUBLISH_TIMEOUT_S)
            await _prepare_streams(self._stream)
            self.cluster.pod_runner = self
            # after the client, so that its workers end before the connection
            await stack.enter_async_context(self.cluster)
            await self._prepare_cluster()
            self._write_files()
            load = asyncio.create_task(self._run_load(self._stream), name="load")
            stack.push_async_callback(_cancelled, load)
            yield self

    def report(self) -> WorldReport:
        """What has happened so far."""
        return WorldReport(
            published=self._published,
            done=len(self._waits),
            pods_started=self._pods_started,
            input_tokens=self._tokens.input,
            output_tokens=self._tokens.output,
            waits_s=tuple(self._waits),
        )

    async def run(self, pod: dict[str, Any], stopping: asyncio.Event) -> None:
        """Work as a Ready pod: as a worker of its pool (called by the simulated kubelet)."""
        metadata = pod["metadata"]
        load = self._loads.get((metadata["namespace"], metadata["labels"].get("app", "")))
        if load is None:
            return
        self._pods_started += 1
        worker = Worker(
            stream=self._stream,
            stream_name=STREAM,
            consumer=load.consumer,
            agent=self._agent(load),
            tenant=load.tenant,
            role=load.name,
            model="demo-model",
            slots=SLOTS.get(load.consumer, 1),
            ack_wait_s=ACK_WAIT_S,
            on_done=self._done,
        )
        await worker.run(stopping)

    def _agent(self, load: PoolLoad) -> Agent:
        """An agent that does what agents mostly do: it waits for a model, then names its tokens."""

        async def work(_: Task) -> UsedTokens:
            await asyncio.sleep(self._rng.gammavariate(4.0, load.service_s / 4.0) / self._speed)
            return UsedTokens(
                input=self._rng.randint(2_000, 12_000), output=self._rng.randint(100, 900)
            )

        return work

    def _done(self, task: Task, usage: UsedTokens) -> None:
        self._waits.append(task.waited_s)
        self._tokens = UsedTokens(
            input=self._tokens.input + usage.input, output=self._tokens.output + usage.output
        )

    async def _run_load(self, stream: JetStreamContext) -> None:
        async def publish(load: PoolLoad) -> None:
            try:
                await stream.publish(load.subject, b'{"task":"demo"}')
            except (nats.errors.Error, APIError) as error:
                log.warning("a task could not be published", extra={"error": str(error)})
                return
            self._published += 1

        await run_load(LOADS, publish, seed=self._seed, for_s=self._load_for_s)

    async def _prepare_cluster(self) -> None:
        for namespace in sorted({namespace for namespace, _ in self._loads}):
            await self.cluster.create_namespace(namespace)
        for namespace, name in self._loads:
            await self.cluster.create_deployment(
                name,
                namespace,
                replicas=0 if name not in {"research", "support"} else 1,
                cpu="250m",
                memory="512Mi",
                labels={"app": name, "agentdash.dev/managed": "true", "team": "demo"},
            )

    def _write_files(self) -> None:
        template = Template(files("agentdash.demo").joinpath("fleet.yaml").read_text("utf-8"))
        self.fleet_path.write_text(template.substitute(NATS_URL=self.nats.url), encoding="utf-8")
        self.cluster.write_kubeconfig(self.kubeconfig_path)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _connect(url: str) -> Client:
    async def quiet(error: Exception) -> None:
        log.debug("nats: %s", error)

    return await nats.connect(
        url,
        name="agentdash demo",
        error_cb=quiet,
        max_reconnect_attempts=-1,
        reconnect_time_wait=RECONNECT_S,
    )


async def _prepare_streams(stream: JetStreamContext) -> None:
    await stream.add_stream(
        StreamConfig(
            name=STREAM,
            subjects=["tasks.>"],
            retention=RetentionPolicy.WORK_QUEUE,
            max_consumers=1000,
        )
    )
    await ensure_usage_stream(stream)
    for load in LOADS:
        await stream.add_consumer(
            STREAM,
            ConsumerConfig(
                durable_name=load.consumer,
                filter_subject=load.subject,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_S,
                max_ack_pending=1000,
            ),
        )
