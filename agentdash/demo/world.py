"""The demo's world: a real nats-server, a simulated cluster, real workers, tasks for them; and what
goes wrong once a minute: a node is taken away, and another application uses up a model's limit.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Final, NamedTuple

import nats.errors
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StreamConfig
from openai import AsyncOpenAI, OpenAIError

from agentdash.demo.agents import (
    CYCLE_S,
    LOADS,
    MEDIUM,
    MODELS,
    REQUESTS_PER_MINUTE,
    SMALL,
    DemoAgents,
    DemoCrew,
    DemoPod,
    DemoProvider,
    PoolLoad,
    agent_of,
    payload_of,
    provider_client,
    provider_models,
    run_load,
)
from agentdash.demo.cluster import SimCluster
from agentdash.demo.process import NatsServer, WorldReport
from agentdash.worker import (
    NatsLogin,
    Priority,
    QueueName,
    Task,
    TaskResult,
    TaskStatus,
    TaskTerms,
    Worker,
    WorkerSettings,
)
from agentdash.worker.attempts import PoolTasks
from agentdash.worker.session import RESULTS_BUCKET, message_task, result_key
from agentdash.worker.stores import NatsLink, ensure_usage_stream, messages

log = logging.getLogger(__name__)

BURST_S: Final = 8.0
"""The second of a cycle at which most tasks come at once, see LOADS."""
STARTED_S: Final = 12.0
"""Simulated seconds after which most of the pods for them are ready."""
ENDS: Final = "cloud.google.com/impending-node-termination"
"""The taint by which GKE says that a machine is preempted."""
NOTICE_S: Final = 25.0
"""Seconds from the taint to the machine's end, if workers are at work there so long: the controller
sees it and orders them to hand their tasks back. Its time is no faster than ours.
"""
WITHOUT_NODE_S: Final = 15.0
"""Simulated seconds for which the node takes no pods."""
RIVAL_FOR_S: Final = 8.0
RIVAL_BURST: Final = 10
RIVAL_CALLS_PER_S: Final = 3.0
"""More than the limit of the model. Times are in simulated seconds."""
_MESSAGES: Final[Any] = [{"role": "user", "content": "of another application"}]


async def _take_nodes_away(sim: SimCluster, crew: DemoCrew, speed: float) -> None:
    """The busiest node, as a provider does with spot machines: it is tainted, and once its
    workers have handed back, or when the notice is over, it is drained, and gone for a while.
    """
    loop = asyncio.get_running_loop()
    due = loop.time() + BURST_S + STARTED_S / speed
    while True:
        await asyncio.sleep(due - loop.time())
        node = await crew.busiest_node()
        crew.take_away(sim.pods_on(node))
        sim.taint_node(node, ENDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(NOTICE_S):
                await crew.left(node)
        sim.cordon_node(node)
        crew.gone(sim.evict_pods(node))
        await asyncio.sleep(WITHOUT_NODE_S / speed)
        sim.taint_node(node, ENDS, tainted=False)
        sim.cordon_node(node, cordoned=False)
        due += CYCLE_S


async def _rival(client: AsyncOpenAI, called: asyncio.Event, speed: float) -> None:
    """Another application with the same key, which calls when the fleet has set `called`."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        await asyncio.sleep(due - loop.time())
        called.clear()
        await called.wait()
        ends_at = loop.time() + RIVAL_FOR_S / speed
        async with asyncio.TaskGroup() as calls:
            for _ in range(RIVAL_BURST):
                calls.create_task(_call(client))
            while loop.time() < ends_at:
                calls.create_task(_call(client))
                await asyncio.sleep(1 / RIVAL_CALLS_PER_S / speed)
        due += CYCLE_S


async def _call(client: AsyncOpenAI) -> None:
    try:
        await client.chat.completions.create(
            model=MEDIUM, messages=_MESSAGES, max_completion_tokens=1
        )
    except OpenAIError:
        return  # refused, or the demo ends: this application does not try again


STREAM: Final = "TASKS"
ACK_WAIT_S: Final = 30.0
NODE_COUNT: Final = 3
SLOTS: Final = {"acme-support": 2}
_PRIORITIES: Final = (Priority.HIGH, Priority.NORMAL)
GRACE_S: Final = 25.0
"""Less than that of the pods, 30 s."""


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
        self._published: list[str] = []
        self.report = WorldReport(
            waits_s={load.tenant: [] for load in LOADS},
            priority_waits_s={
                f"{load.tenant}/{load.name}": {each.value: [] for each in _PRIORITIES}
                for load in LOADS
                if load.high_share
            },
        )
        self._crew = DemoCrew(self.report)
        self._provider = DemoProvider(provider_models(speed), speed=speed, seed=seed)
        self.nats = NatsServer(home / "nats")
        self.cluster = SimCluster(speed=speed, seed=seed, nodes=NODE_COUNT, token="demo")  # noqa: S106  it opens nothing but this simulation
        self.fleet_path = home / "fleet.yaml"
        self.kubeconfig_path = home / "kubeconfig"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[DemoWorld]:
        """Start everything, and end it when the block ends. Raises NatsServerError."""
        async with AsyncExitStack() as stack:
            await self.nats.start()
            stack.push_async_callback(self.nats.stop)
            await stack.enter_async_context(self._provider)
            client = await stack.enter_async_context(provider_client(self._provider.url))
            self._agents = DemoAgents(client, self._rng, self._speed, self.report)
            self._login = NatsLogin(servers=(self.nats.url,))
            self._link = NatsLink(self._login, name="agentdash demo")
            await self._link.open()
            stack.push_async_callback(self._link.close)
            stack.push_async_callback(self._count)
            await _prepare_streams(self._link.jetstream)
            stream, publish = self._link.jetstream, self._link.client.publish
            self._tasks = {
                load: PoolTasks(stream, publish, load.tenant, load.name, _queues(load))
                for load in LOADS
            }
            self.cluster.pod_runner = self
            # after the client, so that its workers end before the connection
            await stack.enter_async_context(self.cluster)
            await self._prepare_cluster()
            self._write_files()
            stack.callback(self._crew.end)
            for work in (
                self._run_load(),
                _take_nodes_away(self.cluster, self._crew, self._speed),
                _rival(client, self._agents.called_medium, self._speed),
            ):
                stack.push_async_callback(_cancelled, asyncio.create_task(work))
            yield self

    async def run(self, pod: dict[str, Any], stopping: asyncio.Event) -> None:
        """Work as a Ready pod: as a worker of its pool (called by the simulated kubelet)."""
        metadata = pod["metadata"]
        load = self._loads.get((metadata["namespace"], metadata["labels"].get("app", "")))
        if load is None:
            return
        self.report.pods_started += 1
        write = partial(self.cluster.write_log, metadata["namespace"], metadata["name"])
        place = DemoPod(metadata["name"], pod["spec"]["nodeName"], write)
        write(f"started: works for {load.consumer}")
        settings = WorkerSettings(
            tenant=load.tenant,
            pool=load.name,
            queues=_queues(load),
            worker=metadata["name"],
            slots=SLOTS.get(load.consumer, 1),
            grace_s=GRACE_S / self._speed,
            model=SMALL,
            models=MODELS,
        )
        agent = agent_of(self._agents, load, self._crew, place)
        await Worker(agent, settings, self._login, on_end=self._on_end).work(self._link, stopping)
        write("stopped: the task at hand is finished or handed back")

    def _on_end(self, task: Task, result: TaskResult) -> None:
        if result.status is TaskStatus.DONE:
            self.report.done += 1
            self.report.waits_s[task.tenant].append(task.waited_s)
            waits = self.report.priority_waits_s.get(f"{task.tenant}/{task.pool}")
            if waits is not None:
                waits[task.terms.priority.value].append(task.waited_s)

    async def _run_load(self) -> None:
        async def publish(load: PoolLoad, number: int) -> None:
            task = f"{load.name}-{number}"
            dice = random.Random(f"{self._seed} {task}")
            is_high = dice.random() < load.high_share
            priority = Priority.HIGH if is_high else Priority.NORMAL
            terms = TaskTerms(id=task, priority=priority)
            try:
                await self._tasks[load].submit(payload_of(load, number), terms)
            except nats.errors.Error as error:
                log.warning("a task could not be published", extra={"error": str(error)})
                return
            self._published.append(result_key(load.tenant, load.name, task))
            self.report.published += 1

        await run_load(LOADS, publish, seed=self._seed, for_s=self._load_for_s)

    async def _count(self) -> None:
        if not self._link.problem:
            pools = {
                subject: (load.tenant, load.name)
                for load in LOADS
                for subject in load.subjects.values()
            }
            found = await count(self._link.jetstream, STREAM, self._published, pools)
            self.report.lost, self.report.twice = found or (None, None)

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
        text = template.substitute(
            NATS_URL=self.nats.url,
            REQUESTS_PER_MINUTE=round(REQUESTS_PER_MINUTE[SMALL] * self._speed),
            REVIEW_SECONDS=self._loads["tenant-initech", "review"].service_s / self._speed,
            MEDIUM_REQUESTS_PER_MINUTE=round(REQUESTS_PER_MINUTE[MEDIUM] * self._speed),
        )
        self.fleet_path.write_text(text, encoding="utf-8")
        self.cluster.write_kubeconfig(self.kubeconfig_path)


COUNT_S: Final = 3.0


class Counted(NamedTuple):
    """Tasks that are neither ended nor in their queue, and results that were stored twice."""

    lost: int
    twice: int


async def count(
    stream: JetStreamContext,
    name: str,
    published: Collection[str],
    pools: Mapping[str, tuple[str, str]],
) -> Counted | None:
    """What became of the published tasks, given by the keys of their results; `pools` has the
    tenant and the pool of each subject. The workers must have ended. None if NATS does not answer.
    """
    try:
        async with asyncio.timeout(COUNT_S):
            # one answer has all keys; a bucket's own `keys` may end before its first one has come
            results = await stream.stream_info(f"KV_{RESULTS_BUCKET}", subjects_filter=">")
            stored, prefix = results.state, f"$KV.{RESULTS_BUCKET}."
            ended = {each.removeprefix(prefix) for each in stored.subjects or ()}
            waiting = {
                result_key(
                    *pools[each.subject or ""], message_task(each.headers, name, each.seq or 0)[0]
                )
                async for each in messages(stream, name, ">")
            }
    except (TimeoutError, nats.errors.Error):
        return None
    # each result is created once, and none is deleted: one more message is a second one
    return Counted(lost=len(set(published) - ended - waiting), twice=stored.last_seq - len(ended))


def _queues(load: PoolLoad) -> tuple[QueueName, ...]:
    """The pool's queues, the highest priority first."""
    return tuple(QueueName(STREAM, consumer) for consumer in load.subjects)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


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
    common = ConsumerConfig(
        ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WAIT_S, max_ack_pending=1000
    )
    for consumer, subject in [each for load in LOADS for each in load.subjects.items()]:
        config = common.evolve(durable_name=consumer, filter_subject=subject)
        await stream.add_consumer(STREAM, config)
