"""Builds all objects of the controller from the settings: the only place that knows every class."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from socket import gethostname
from typing import Final, NamedTuple

from controller.attach import UnsupportedServerError
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
from controller.model.fleet import Fleet
from controller.model.settings import Settings
from controller.model.snapshot import Link, Role
from controller.model.tick import TICK_VERSION, Tick
from controller.nats.bucket import Bucket
from controller.nats.intent_desk import BucketDesk
from controller.nats.intents import IntentBucket
from controller.nats.memory import MemoryBucket
from controller.nats.queues import QueueReader
from controller.nats.session import NatsSession
from controller.nats.snapshot_publisher import SnapshotPublisher
from controller.nats.stored_state import StoredState, read_stored_state
from controller.nats.subjects import Subjects
from controller.nats.usage import TokenUsageSource
from controller.nats.wake import WakeSubscriptions
from controller.planning.planner import plan
from controller.planning.remember.resume import resumed
from controller.ports import IntentDesk, MetricSource
from controller.record.journal_files import JournalFiles
from controller.record.journal_writer import JournalWriter
from controller.sources.prometheus import PrometheusSource

FIRST_SIGHT_S: Final = 3.0
"""How long the first tick waits for both connections, so that its readings are not all absent."""
VERSION_CHECK_S: Final = 1.0
LOOK_S: Final = 5.0
"""How long `look_once` waits for the queues, longer than a tick, because no other tick follows."""


class OpenDesk(NamedTuple):
    """Where a user interface beside a running engine asks for something: the desk, the fleet, and
    what a tick would plan from now, None before the first. All of it belongs to the engine's event
    loop.
    """

    desk: IntentDesk
    fleet: Fleet
    look: Callable[[], Tick | None]


class Person(NamedTuple):
    """The person at the user interface; `at_desk` is called in the engine's event loop when the
    desk opens, and with None when it closes.
    """

    operator: Operator
    at_desk: Callable[[OpenDesk | None], None]


async def embedded(
    settings: Settings,
    hub: Hub,
    clock: SystemClock,
    *,
    name: str,
    read_only: bool,
    stopping: asyncio.Event,
    person: Person | None = None,
) -> None:
    """Run a controller that publishes to the hub for a user interface in the same process, until
    `stopping` is set. Without a `person`, nobody can ask for anything there.

    With `read_only` it has no actuator. A server that cannot be reached is shown by its link.
    Raises FatalError for a problem that waiting cannot fix (no kubeconfig, no such context, NATS
    too old).
    """
    recorder = Recorder(writes=not read_only)
    await _run(
        settings,
        hub,
        clock,
        recorder,
        name=name,
        read_only=read_only,
        stopping=stopping,
        person=person,
    )


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
    """Run a controller that serves health and metrics on `host` and `port`, until `stopping` is
    set. `on_serving` is called with the URL.

    Raises ListenError if it cannot listen, and FatalError as `embedded` does.
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
    """The result of `look_once`: the inputs of a tick, the connections, and what NATS stores."""

    tick: Tick
    links: tuple[Link, ...]
    stored: StoredState


async def look_once(settings: Settings, clock: SystemClock, *, fresh: bool) -> Look:
    """Observe the live fleet once, and read the intents and, unless `fresh`, the saved memory.

    It writes nothing, subscribes to nothing and creates no bucket. A server that cannot be reached
    gives absent readings. Raises FatalError as `embedded` does.
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
    person: Person | None = None,
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
            kept = settings.controller.journal
            journal = None if kept is None else JournalWriter(JournalFiles(kept), clock)
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
                    process=f"{gethostname()}/{os.getpid()}",
                    notices=settings.notices,
                ),
                interval_s=interval_s,
                journal=journal,
            )
            publisher = SnapshotPublisher(session, settings.nats.bucket, clock)
            unsubscribe = hub.subscribe(publisher.offer)
            at_desk = _nobody if person is None else person.at_desk
            async with usage.reading(), metrics.reading(), _recording(journal, hub):
                await asyncio.gather(
                    usage.first_read(FIRST_SIGHT_S), metrics.first_read(FIRST_SIGHT_S)
                )
                if person is not None:
                    desk = BucketDesk(bucket, person.operator)
                    at_desk(OpenDesk(desk, fleet, engine.look))
                try:
                    await _until_stopped(
                        engine, (intents.run(), publisher.run()), session, stopping
                    )
                finally:
                    at_desk(None)
                    unsubscribe()
            refusal = session.unsupported
    except ConfigError as error:
        raise FatalError(str(error)) from error
    # raised outside of the task group, which would wrap it in an ExceptionGroup
    if refusal is not None:
        raise UnsupportedServerError(str(refusal))


def _nobody(desk: OpenDesk | None) -> None:
    del desk


@asynccontextmanager
async def _metric_polls(
    settings: Settings, cluster: Cluster, clock: SystemClock
) -> AsyncIterator[MetricPolls]:
    """Poll the sources of the pools' metrics; sources that no pool needs are not asked."""
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


@asynccontextmanager
async def _recording(journal: JournalWriter | None, hub: Hub) -> AsyncIterator[None]:
    """Write what the hub publishes into the journal, if there is one."""
    if journal is None:
        yield
        return
    async with journal.recording():
        unsubscribe = hub.subscribe(journal.offer)
        try:
            yield
        finally:
            unsubscribe()


async def _first_sight(cluster: Cluster, connection: asyncio.Event) -> None:
    """Wait for both connections for a limited time. The loop then starts in any case; a missing
    connection is shown by its link.
    """
    listed = asyncio.create_task(cluster.synced(FIRST_SIGHT_S))
    met = asyncio.create_task(connection.wait())
    try:
        await asyncio.wait({listed, met}, timeout=FIRST_SIGHT_S)
        await asyncio.wait({met}, timeout=FIRST_SIGHT_S)
    finally:
        listed.cancel()
        met.cancel()


async def _until_stopped(
    engine: Engine,
    beside: Iterable[Coroutine[object, object, None]],
    session: NatsSession,
    stopping: asyncio.Event,
) -> None:
    """Tick until `stopping` is set, or until the NATS server turns out to be unsupported. What runs
    `beside` the engine ends with it.
    """
    async with asyncio.TaskGroup() as tasks:
        others = [tasks.create_task(each) for each in beside]
        running = tasks.create_task(engine.run(), name="engine")
        while not stopping.is_set() and not running.done() and session.unsupported is None:
            try:
                async with asyncio.timeout(VERSION_CHECK_S):
                    await stopping.wait()
            except TimeoutError:
                continue
        engine.stop()
        await asyncio.wait({running})
        for each in others:
            each.cancel()
