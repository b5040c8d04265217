"""Settings → object graph: the one place that knows every class."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, NamedTuple

from controller.engine.clock import SystemClock
from controller.engine.hub import Hub
from controller.engine.keep import Keeper
from controller.engine.loop import Engine
from controller.engine.metric_polls import MetricPolls
from controller.engine.observe import Observer
from controller.engine.record import Recorder
from controller.engine.snapshots import SnapshotBuilder
from controller.engine.supervise import FatalError
from controller.expose.server import serving
from controller.kube.cluster import Cluster
from controller.kube.errors import ConfigError
from controller.kube.metrics_source import metric_sources
from controller.model.audit import Operator
from controller.model.settings import Settings
from controller.model.snapshot import Link, Role
from controller.model.tick import TICK_VERSION, Tick
from controller.nats.bucket import Bucket
from controller.nats.intent_desk import BucketDesk
from controller.nats.intents import IntentBucket
from controller.nats.memory import MemoryBucket
from controller.nats.queues import QueueReader
from controller.nats.session import NatsSession
from controller.nats.stored_state import StoredState, read_stored_state
from controller.nats.subjects import Subjects
from controller.nats.usage import TokenUsageSource
from controller.nats.wake import WakeSubscriptions
from controller.planning.planner import plan
from controller.planning.remember.resume import resumed
from controller.ports import IntentDesk, MetricSource
from controller.sources.prometheus import PrometheusSource

FIRST_SIGHT_S: Final = 3.0
"""How long the first tick waits for both connections, so that it does not begin blind."""
VERSION_CHECK_S: Final = 1.0
LOOK_S: Final = 5.0
"""How long a single look waits for the queues: there is no next tick to hope for."""


class UnsupportedServerError(FatalError):
    """The NATS server cannot be worked with; the message says which and what is needed."""


async def embedded(
    settings: Settings,
    hub: Hub,
    clock: SystemClock,
    *,
    name: str,
    read_only: bool,
    stopping: asyncio.Event,
) -> None:
    """A controller for a face beside it: publishes to the hub until `stopping`.

    A read-only one is never given a hand to write with. Servers that are away are shown as such;
    raises FatalError for what no waiting can mend (no kubeconfig, no such context, NATS too old).
    """
    recorder = Recorder(writes=not read_only)
    await _run(settings, hub, clock, recorder, name=name, read_only=read_only, stopping=stopping)


async def headless(
    settings: Settings,
    *,
    name: str,
    read_only: bool,
    host: str,
    port: int,
    stopping: asyncio.Event,
    on_serving: Callable[[str], None],
) -> None:
    """A controller that serves health and metrics; `on_serving` is told the URL.

    Raises ListenError, and FatalError as `embedded` does.
    """
    clock, hub, recorder = SystemClock(), Hub(), Recorder(writes=not read_only)
    async with serving(
        host,
        port,
        latest=hub.latest,
        scaled=lambda: recorder.scaled,
        now=clock.now,
        interval_s=settings.controller.interval_s,
    ) as url:
        on_serving(url)
        await _run(
            settings, hub, clock, recorder, name=name, read_only=read_only, stopping=stopping
        )


class Look(NamedTuple):
    """One look: what a tick would see now, each connection, and what is stored in NATS."""

    tick: Tick
    links: tuple[Link, ...]
    stored: StoredState


async def look_once(settings: Settings, clock: SystemClock, *, fresh: bool) -> Look:
    """One look at the live fleet, with the controller's memory unless `fresh`, and the intents.

    Nothing is there to write with, nothing is subscribed to and no bucket is made. Servers that are
    away leave absent readings; raises FatalError as `embedded` does.
    """
    pools = settings.fleet.pools
    try:
        async with (
            Cluster.connect(settings.kubernetes, clock, may_write=lambda: False) as cluster,
            NatsSession(settings.nats, clock) as session,
            _metric_polls(settings, cluster, clock) as metrics,
        ):
            connection = asyncio.Event()
            session.on_connected(connection.set)
            cluster.workloads.measure(pools)
            cluster.set_namespaces(frozenset(pool.namespace for pool in pools))
            await _first_sight(cluster, connection)
            queues = QueueReader(session, clock, timeout_s=LOOK_S)
            usage = TokenUsageSource(session, clock, settings.fleet)
            observer = Observer(
                fleet=settings.fleet,
                queues=queues,
                wakes=WakeSubscriptions(session, Subjects(session, clock, queues.filters)),
                workloads=cluster.workloads,
                supply=cluster.supply,
                clock=clock,
                deadline_s=LOOK_S,
                usage=usage,
                metrics=metrics,
            )
            bucket = Bucket(session, settings.nats.bucket)
            stored = await read_stored_state(bucket, with_memory=not fresh, timeout_s=LOOK_S)
            async with usage.reading(), metrics.reading():
                await asyncio.gather(
                    observer.ask(pools), usage.first_read(LOOK_S), metrics.first_read(LOOK_S)
                )
                seen, now = observer.see(pools), clock.now()
            links, refusal = (session.link(), cluster.link()), session.unsupported
    except ConfigError as error:
        raise FatalError(str(error)) from error
    if refusal is not None:
        raise UnsupportedServerError(str(refusal))
    memory = None
    if stored.saved_memory is not None:
        memory = resumed(stored.saved_memory.memory, settings.fleet, now)
    tick = Tick(
        version=TICK_VERSION, now=now, observation=seen, intents=stored.intents, memory=memory
    )
    return Look(tick, links, stored)


@asynccontextmanager
async def operating(
    settings: Settings, clock: SystemClock, operator: Operator
) -> AsyncIterator[IntentDesk]:
    """The desk at which this operator asks for something, on a connection of its own.

    Nothing is asked of Kubernetes. Raises FatalError if there is no connection within 3 s.
    """
    async with NatsSession(settings.nats, clock) as session:
        connection = asyncio.Event()
        session.on_connected(connection.set)
        try:
            async with asyncio.timeout(FIRST_SIGHT_S):
                await connection.wait()
        except TimeoutError:
            if session.unsupported is not None:
                raise UnsupportedServerError(str(session.unsupported)) from None
            link = session.link()
            raise FatalError(f"nats is {link.state}: {link.detail}".rstrip(": ")) from None
        yield BucketDesk(Bucket(session, settings.nats.bucket), operator)


async def _run(
    settings: Settings,
    hub: Hub,
    clock: SystemClock,
    recorder: Recorder,
    *,
    name: str,
    read_only: bool,
    stopping: asyncio.Event,
) -> None:
    fleet, interval_s = settings.fleet, settings.controller.interval_s
    try:
        async with (
            Cluster.connect(settings.kubernetes, clock) as cluster,
            NatsSession(settings.nats, clock) as session,
            _metric_polls(settings, cluster, clock) as metrics,
        ):
            connection = asyncio.Event()
            session.on_connected(connection.set)
            cluster.workloads.measure(fleet.pools)
            cluster.set_namespaces(frozenset(pool.namespace for pool in fleet.pools))
            await _first_sight(cluster, connection)
            queues = QueueReader(session, clock, timeout_s=interval_s)
            bucket = Bucket(session, settings.nats.bucket)
            intents = IntentBucket(session, bucket, clock)
            usage = TokenUsageSource(session, clock, fleet)
            engine = Engine(
                fleet=fleet,
                plan=plan,
                queues=queues,
                wakes=WakeSubscriptions(session, Subjects(session, clock, queues.filters)),
                workloads=cluster.workloads,
                supply=cluster.supply,
                usage=usage,
                metrics=metrics,
                actuator=None if read_only else cluster.actuator,
                keeper=Keeper(
                    fleet=fleet,
                    memories=MemoryBucket(bucket),
                    intents=intents,
                    clock=clock,
                    writes=not read_only,
                ),
                links=[session, cluster],
                clock=clock,
                hub=hub,
                recorder=recorder,
                snapshots=SnapshotBuilder(
                    fleet=fleet,
                    name=name,
                    context=cluster.context,
                    role=Role.READ_ONLY if read_only else Role.ACTIVE,
                    interval_s=interval_s,
                    epoch=clock.now(),
                    notices=settings.notices,
                ),
                interval_s=interval_s,
            )
            async with usage.reading(), metrics.reading():
                await asyncio.gather(
                    usage.first_read(FIRST_SIGHT_S), metrics.first_read(FIRST_SIGHT_S)
                )
                await _until_stopped(engine, intents, session, stopping)
            refusal = session.unsupported
    except ConfigError as error:
        raise FatalError(str(error)) from error
    # raised out here, because a task group would wrap it
    if refusal is not None:
        raise UnsupportedServerError(str(refusal))


@asynccontextmanager
async def _metric_polls(
    settings: Settings, cluster: Cluster, clock: SystemClock
) -> AsyncIterator[MetricPolls]:
    """Everything that pools' metrics are read from; nothing is asked that no pool speaks of."""
    pools = settings.fleet.pools
    async with AsyncExitStack() as stack:
        of_cluster = metric_sources(
            cluster.client, cluster.workloads, pools, clock, settings.kubernetes.selector or ""
        )
        sources: list[MetricSource] = [*await stack.enter_async_context(of_cluster)]
        if settings.prometheus is not None:
            prometheus = PrometheusSource.connect(settings.prometheus.url, pools, clock)
            sources.append(await stack.enter_async_context(prometheus))
        yield MetricPolls(sources, clock, interval_s=settings.controller.interval_s)


async def _first_sight(cluster: Cluster, connection: asyncio.Event) -> None:
    """Wait a moment for both; who is missing then is shown by its link, and the loop goes on."""
    listed = asyncio.create_task(cluster.synced(FIRST_SIGHT_S))
    met = asyncio.create_task(connection.wait())
    try:
        await asyncio.wait({listed, met}, timeout=FIRST_SIGHT_S)
        await asyncio.wait({met}, timeout=FIRST_SIGHT_S)
    finally:
        listed.cancel()
        met.cancel()


async def _until_stopped(
    engine: Engine, intents: IntentBucket, session: NatsSession, stopping: asyncio.Event
) -> None:
    """Tick until told to stop, or until the server turns out to be one we cannot work with."""
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(intents.run(), name="intents")
        running = tasks.create_task(engine.run(), name="engine")
        while not stopping.is_set() and not running.done() and session.unsupported is None:
            try:
                async with asyncio.timeout(VERSION_CHECK_S):
                    await stopping.wait()
            except TimeoutError:
                continue
        engine.stop()
        await asyncio.wait({running})
        following.cancel()
