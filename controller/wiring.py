"""Builds all objects of the controller from the settings: the only place that knows every class."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from socket import gethostname
from typing import Final, NamedTuple

from msgspec.structs import replace

from controller.attach import UnsupportedServerError
from controller.config.document import FleetSource
from controller.engine.clock import SystemClock
from controller.engine.fleet_file import FleetFileWatch
from controller.engine.intents import SignalSwitch, Switches
from controller.engine.lead import Elector, WriteRight
from controller.engine.observe import Observer, Sources
from controller.engine.record import Recorder
from controller.engine.show.snapshot import SnapshotBuilder
from controller.engine.supervise import FatalError, Hub
from controller.engines import FIRST_SIGHT_S, Lasting, metric_polls, run_engines, watch_pools
from controller.expose.server import TickWatch, serving, unable_to_decide
from controller.kube.cluster import Cluster
from controller.kube.errors import ConfigError
from controller.kube.lease import KubernetesLease
from controller.model.intents import Intent, IntentKey, Intents, Operator
from controller.model.lease import LeaseStore
from controller.model.memory import Memory
from controller.model.readings import Fresh
from controller.model.settings import Settings
from controller.model.snapshot import Link, Role, Snapshot
from controller.model.tick import TICK_VERSION, Tick
from controller.nats.bucket import Bucket
from controller.nats.effects import ask_effect
from controller.nats.feed import SnapshotBucket
from controller.nats.intent_desk import BucketDesk
from controller.nats.intents import IntentBucket
from controller.nats.jetstream import NatsError
from controller.nats.journal_stream import JournalStream
from controller.nats.lag import QueueReader
from controller.nats.lease import BucketLease
from controller.nats.session import NatsSession
from controller.nats.state import MemoryBucket, StoredState, read_stored_state
from controller.nats.usage import TokenUsageSource
from controller.nats.wake import Subjects, WakeSubscriptions
from controller.nats.workers import WorkerBuckets
from controller.planning.compile import compile_fleet
from controller.planning.planner import plan
from controller.planning.resume import doubted, on_this_clock, resumed
from controller.ports import Foreseen, IntentDesk, Lease, NoEffectError, Person
from controller.record.journal import JournalFiles, JournalWriter

log = logging.getLogger(__name__)

LOOK_S: Final = 5.0
"""How long `look_once` waits for the queues, longer than a tick, because no other tick follows."""


async def embedded(
    settings: Settings,
    hub: Hub,
    clock: SystemClock,
    *,
    name: str,
    read_only: bool,
    stopping: asyncio.Event,
    person: Person | None = None,
    signals: SignalSwitch | None = None,
    source: FleetSource | None = None,
    reread: Callable[[Callable[[], None]], None] = lambda _callback: None,
    recorder: Recorder | None = None,
) -> None:
    """Run a controller that publishes to the hub, until `stopping` is set: one engine after the
    other, each for one state of the fleet file. Without a `person`, nobody can ask for anything in
    the same process.

    With a `source` the fleet file is read again when it changes; `reread` gets what makes it be
    read again. With `read_only` there is no actuator. A server that cannot be reached is shown by
    its link.
    Raises FatalError for a problem that waiting cannot fix (no kubeconfig, no such context, NATS
    too old).
    """
    interval_s = settings.controller.interval_s
    process = f"{gethostname()}/{os.getpid()}"
    right = WriteRight()
    takes_part = settings.controller.lease.store is not LeaseStore.NONE and not read_only
    kept, freeze_file = settings.controller.journal, settings.controller.freeze_file
    journal = None if kept is None else JournalWriter(JournalFiles(kept), clock)
    signals = signals or SignalSwitch()
    switches = Switches(freeze_file, signals, clock, interval_s=interval_s, journal=journal)

    def may_write() -> bool:
        return switches.allow() and (right.may_write() if takes_part else not read_only)

    try:
        async with (
            Cluster.connect(
                settings.kubernetes,
                clock,
                may_write=may_write,
                write_timeout_s=settings.controller.lease.times.write_s,
                process=process,
            ) as cluster,
            NatsSession(settings.nats, clock) as session,
            _lease(settings, cluster, session, clock) as lease,
            _election(settings, lease, right, clock, process, takes_part=takes_part) as elector,
        ):
            connection = asyncio.Event()
            session.on_connected(connection.set)
            watch_pools(cluster, settings.fleet)
            await _first_sight(cluster, connection)
            bucket = Bucket(session, settings.nats.bucket)
            queues = QueueReader(session, clock, timeout_s=interval_s)
            lasting = Lasting(
                cluster=cluster,
                session=session,
                clock=clock,
                hub=hub,
                recorder=recorder or Recorder(writes=not read_only),
                switches=switches,
                elector=elector,
                bucket=bucket,
                intents=IntentBucket(session, bucket, clock),
                memories=MemoryBucket(bucket),
                frames=SnapshotBucket(bucket),
                queues=queues,
                wakes=WakeSubscriptions(session, Subjects(session, clock, queues.filters)),
                journal=journal,
                stream=_journal_stream(settings, session, clock, read_only=read_only),
                file=None if source is None else FleetFileWatch(source, settings, clock),
                name=name,
                process=process,
                read_only=read_only,
            )
            if lasting.file is not None:
                reread(lasting.file.reread)
            if elector is not None:
                hub.subscribe(lambda snapshot: elector.unable(unable_to_decide(snapshot)))
            await run_engines(lasting, settings, person, stopping)
            refusal = session.unsupported
    except ConfigError as error:
        raise FatalError(str(error)) from error
    # raised outside of the task group, which would wrap it in an ExceptionGroup
    if refusal is not None:
        raise UnsupportedServerError(str(refusal))


async def headless(
    settings: Settings,
    *,
    name: str,
    read_only: bool,
    host: str,
    port: int,
    stopping: asyncio.Event,
    signals: SignalSwitch,
    source: FleetSource,
    reread: Callable[[Callable[[], None]], None],
    on_serving: Callable[[str], None],
) -> None:
    """Run a controller that serves health and metrics on `host` and `port`, until `stopping` is
    set. `on_serving` is called with the URL, `reread` with what makes the fleet file of `source`
    be read again.

    Raises ListenError if it cannot listen, and FatalError as `embedded` does.
    """
    clock, hub, recorder = SystemClock(), Hub(), Recorder(writes=not read_only)
    ticks = TickWatch(settings.controller.interval_s)
    hub.subscribe(ticks.saw)
    async with serving(
        host,
        port,
        latest=hub.latest,
        scaled=lambda: recorder.scaled,
        liveness=ticks.liveness,
    ) as url:
        on_serving(url)
        await embedded(
            settings,
            hub,
            clock,
            recorder=recorder,
            name=name,
            read_only=read_only,
            stopping=stopping,
            signals=signals,
            source=source,
            reread=reread,
        )


class Look(NamedTuple):
    """The result of `look_once`: the inputs of a tick, the connections, what NATS stores, and the
    kubeconfig's context.
    """

    tick: Tick
    links: tuple[Link, ...]
    stored: StoredState
    context: str = ""


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
            metric_polls(settings, cluster, clock) as metrics,
        ):
            connection = asyncio.Event()
            session.on_connected(connection.set)
            cluster.workloads.prepare(pools)
            cluster.set_namespaces(frozenset(pool.namespace for pool in pools))
            await _first_sight(cluster, connection)
            queues = QueueReader(session, clock, timeout_s=LOOK_S)
            usage = TokenUsageSource(session, clock, settings.fleet)
            workers = WorkerBuckets(session, clock, settings.fleet)
            sources = Sources(
                queues=queues,
                wakes=WakeSubscriptions(session, Subjects(session, clock, queues.filters)),
                workloads=cluster.workloads,
                supply=cluster.supply,
                usage=usage,
                metrics=metrics,
                workers=workers,
            )
            observer = Observer(settings.fleet, sources, clock, deadline_s=LOOK_S)
            bucket = Bucket(session, settings.nats.bucket)
            stored = await read_stored_state(bucket, with_memory=not fresh, timeout_s=LOOK_S)
            async with usage.reading(), metrics.reading(), workers.following():
                await asyncio.gather(
                    observer.ask(pools),
                    usage.first_read(LOOK_S),
                    metrics.first_read(LOOK_S),
                    workers.first_read(LOOK_S),
                )
                seen, now = observer.see(pools), clock.now()
            links, refusal = (session.link(), cluster.link()), session.unsupported
            context = cluster.context
    except ConfigError as error:
        raise FatalError(str(error)) from error
    if refusal is not None:
        raise UnsupportedServerError(str(refusal))
    memory = None
    if stored.saved_memory is not None:
        seen_sizes = {
            key: each.workload.value.replicas
            for key, each in seen.pools.items()
            if isinstance(each.workload, Fresh)
        }
        saved = stored.saved_memory
        # a controller that runs says so for a moment between two saves
        saved = replace(saved, memory=on_this_clock(saved, now), is_partial=False)
        left = resumed(saved, settings.fleet, now)
        memory = doubted(left, seen_sizes, now)
    tick = Tick(
        version=TICK_VERSION, now=now, observation=seen, intents=stored.intents, memory=memory
    )
    return Look(tick, links, stored, context)


def snapshot_of(look: Look, settings: Settings, name: str) -> Snapshot:
    """What a dashboard would show of one look: its observations and one plan. `name` is the fleet
    file's. It has no scale events and no rates: those are seen over time.
    """
    tick, fleet = look.tick, settings.fleet
    intents = tick.intents or Intents()
    planned = plan(
        tick.observation, compile_fleet(fleet), intents, tick.memory or Memory(), tick.now, None
    )
    builder = SnapshotBuilder(
        fleet=fleet,
        name=name,
        context=look.context,
        interval_s=settings.controller.interval_s,
        epoch=tick.now,
        process=f"{gethostname()}/{os.getpid()}",
        notices=settings.notices,
    )
    builder.saw(tick.observation)
    builder.decided(planned.plan.decisions)
    builder.planned(planned.kept, intents)
    return builder.snapshot(
        links=look.links,
        recorder=Recorder(writes=False),
        notices=(),
        failures=(),
        now=tick.now,
        role=Role.READ_ONLY,
    )


@asynccontextmanager
async def operating(
    settings: Settings, clock: SystemClock, operator: Operator
) -> AsyncIterator[IntentDesk]:
    """The desk at which this operator asks for something, on a connection of its own.

    Nothing is asked of Kubernetes. Raises FatalError if there is no connection within 3 s.
    """
    async with connected(settings, clock) as session:
        yield BucketDesk(Bucket(session, settings.nats.bucket), operator)


async def find_effect(
    settings: Settings, clock: SystemClock, key: IntentKey, intent: Intent | None
) -> Foreseen | None:
    """What a running controller of this fleet says that this would change; None where none can.

    Raises FatalError if there is no connection within 3 s.
    """
    async with connected(settings, clock) as session:
        try:
            return await ask_effect(session, settings.nats.bucket, key, intent)
        except (NatsError, NoEffectError) as error:
            log.debug("no controller says what changes: %s", error)
            return None


@asynccontextmanager
async def connected(settings: Settings, clock: SystemClock) -> AsyncIterator[NatsSession]:
    """A connection of its own. Raises FatalError if there is none within 3 s."""
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
        yield session


def _journal_stream(
    settings: Settings, session: NatsSession, clock: SystemClock, *, read_only: bool
) -> JournalStream | None:
    """The stream of the journal, if this process may come to write it."""
    journal = settings.controller.journal
    if read_only or journal is None or journal.stream is None:
        return None
    return JournalStream(session, settings.nats.bucket, journal.stream, clock)


@asynccontextmanager
async def _lease(
    settings: Settings, cluster: Cluster, session: NatsSession, clock: SystemClock
) -> AsyncIterator[Lease]:
    """The lease of the fleet. One in the cluster has connections of its own."""
    wanted = settings.controller.lease
    if wanted.store is LeaseStore.NATS:
        yield BucketLease(session, Bucket(session, settings.nats.bucket), clock)
        return
    client = cluster.client.apart(clock)
    try:
        yield KubernetesLease(client, clock, namespace=wanted.namespace, name=wanted.name)
    finally:
        await client.close()


@asynccontextmanager
async def _election(
    settings: Settings,
    lease: Lease,
    right: WriteRight,
    clock: SystemClock,
    process: str,
    *,
    takes_part: bool,
) -> AsyncIterator[Elector | None]:
    """The election in which this process takes part, if it does. At the end of the block, when all
    writes have settled, the lease is given back.
    """
    if not takes_part:
        yield None
        return
    identity = f"{process}_{secrets.token_hex(4)}"  # a restarted Pod has the same host and pid
    elector = Elector(
        lease,
        identity,
        settings.controller.lease.times,
        right,
        clock,
        interval_s=settings.controller.interval_s,
    )
    try:
        yield elector
    finally:
        await elector.release()


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
