"""Runs the engines of a controller one after the other: each is made for one state of the fleet
file, out of what lasts as long as the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import metadata
from typing import Final, NamedTuple

from controller.engine.actuate import NoActuator
from controller.engine.clock import SystemClock
from controller.engine.fleet_file import FleetFileWatch
from controller.engine.intents import Switches
from controller.engine.kept_frame import FrameKeeper
from controller.engine.lead import Elector, NoElection
from controller.engine.loop import Engine, Handover, Keeps, Writes
from controller.engine.memory import Keeper
from controller.engine.observe import MetricPolls, Sources
from controller.engine.publish import Shows, journal_findings, stream_findings
from controller.engine.record import Recorder
from controller.engine.show.findings import Found
from controller.engine.show.snapshot import SnapshotBuilder
from controller.engine.supervise import Hub, spare_what_lasts
from controller.kube.cluster import Cluster
from controller.kube.metrics import metric_sources
from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.intents import Intent, IntentKey
from controller.model.settings import Settings
from controller.model.tick import Tick
from controller.nats.bucket import Bucket, WriteRights
from controller.nats.effects import EffectAnswers, effect_now, outlook_now
from controller.nats.feed import SnapshotBucket, SnapshotPublisher
from controller.nats.intent_desk import BucketDesk
from controller.nats.intents import IntentBucket
from controller.nats.journal_stream import JournalStream
from controller.nats.lag import QueueReader
from controller.nats.session import NatsSession
from controller.nats.state import MemoryBucket
from controller.nats.usage import TokenUsageSource
from controller.nats.wake import WakeSubscriptions
from controller.nats.workers import AllowanceBucket, WorkerBuckets
from controller.planning.planner import plan
from controller.planning.whatif import Outlook
from controller.ports import Foreseen, MetricSource, OpenDesk, Person
from controller.record.journal import JournalWriter
from controller.sources.prometheus import PrometheusSource

FIRST_SIGHT_S: Final = 3.0
"""How long the first tick waits for both connections, so that its readings are not all absent."""
VERSION_CHECK_S: Final = 1.0


class Lasting(NamedTuple):
    """What a controller keeps while its fleet file changes. `file` is None where nothing follows
    it.
    """

    cluster: Cluster
    session: NatsSession
    clock: SystemClock
    hub: Hub
    recorder: Recorder
    switches: Switches
    elector: Elector | None
    bucket: Bucket
    intents: IntentBucket
    memories: MemoryBucket
    frames: SnapshotBucket
    queues: QueueReader
    wakes: WakeSubscriptions
    journal: JournalWriter | None
    stream: JournalStream | None
    file: FleetFileWatch | None
    name: str
    process: str
    read_only: bool


class _Now:
    """The engine that runs now, and its fleet: what would change is planned with what it knows, and
    nothing is read for it.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.engine: Engine | None = None

    def look(self) -> Tick | None:
        return None if self.engine is None else self.engine.look()

    async def foresee(self, key: IntentKey, intent: Intent | None) -> Foreseen:
        # two plans of the whole fleet: beside the engine's loop, which goes on ticking
        return await asyncio.to_thread(effect_now, self.look(), self.fleet, key, intent)

    async def look_ahead(self, pool: PoolKey) -> Outlook:
        return await asyncio.to_thread(outlook_now, self.look(), self.fleet, pool)


async def run_engines(
    lasting: Lasting,
    settings: Settings,
    person: Person | None,
    stopping: asyncio.Event,
) -> None:
    """Run one engine after the other until `stopping` is set, or until the NATS server turns out
    to be unsupported. What runs beside them ends with the last one.
    """
    session, hub, file = lasting.session, lasting.hub, lasting.file
    now = _Now(settings.fleet)
    publisher = SnapshotPublisher(session, settings.nats.bucket, lasting.clock)
    beside = [lasting.intents.run(), publisher.run(), lasting.switches.run()]
    if file is not None:
        beside.append(file.run())
    if not lasting.read_only:
        answers = EffectAnswers(session, settings.nats.bucket, lambda: now.fleet, now.look)
        beside.append(answers.run())
    if person is not None:
        rights = WriteRights(session, lasting.bucket)
        beside.append(rights.run())
        desk = BucketDesk(lasting.bucket, person.operator)
        logs = lasting.cluster.logs
        person.at_desk(OpenDesk(desk, now.foresee, now.look_ahead, lambda: rights.refused, logs))
    if lasting.elector is not None:
        beside.append(lasting.elector.run())
    unsubscribe = hub.subscribe(publisher.offer)
    try:
        async with (
            asyncio.TaskGroup() as tasks,
            _recording(lasting.journal, hub),
            _recording(lasting.stream, hub),
        ):
            await lasting.switches.look()
            others = [tasks.create_task(each) for each in beside]
            before = None
            while not stopping.is_set() and session.unsupported is None:
                if file is not None:
                    settings = file.settings
                    file.changed.clear()
                before = await _run_engine(lasting, settings, before, now, stopping)
            for each in others:
                each.cancel()
    finally:
        if person is not None:
            person.at_desk(None)
        unsubscribe()


async def _run_engine(
    lasting: Lasting,
    settings: Settings,
    before: Handover | None,
    now: _Now,
    stopping: asyncio.Event,
) -> Handover:
    """Run an engine of this fleet until it must end, or until another fleet file is in force."""
    fleet, cluster, session, clock = settings.fleet, lasting.cluster, lasting.session, lasting.clock
    if before is not None:
        watch_pools(cluster, fleet)
        await cluster.synced(FIRST_SIGHT_S)
    usage = TokenUsageSource(session, clock, fleet)
    workers = WorkerBuckets(session, clock, fleet)
    async with (
        metric_polls(settings, cluster, clock) as metrics,
        usage.reading(),
        metrics.reading(),
        workers.following(),
        asyncio.TaskGroup() as tasks,
    ):
        await asyncio.gather(
            usage.first_read(FIRST_SIGHT_S),
            metrics.first_read(FIRST_SIGHT_S),
            workers.first_read(FIRST_SIGHT_S),
        )
        sources = Sources(
            queues=lasting.queues,
            wakes=lasting.wakes,
            workloads=cluster.workloads,
            supply=cluster.supply,
            usage=usage,
            metrics=metrics,
            workers=workers,
        )
        engine = _engine(lasting, settings, before, sources)
        now.fleet, now.engine = fleet, engine
        sparing = tasks.create_task(_spare_what_lasts(lasting.hub))
        await _until_stopped(engine, session, stopping, lasting.file)
        sparing.cancel()
    return engine.handover()


def _engine(
    lasting: Lasting, settings: Settings, before: Handover | None, sources: Sources
) -> Engine:
    fleet, cluster, clock = settings.fleet, lasting.cluster, lasting.clock
    interval_s, journal = settings.controller.interval_s, settings.controller.journal
    writes = not lasting.read_only
    return Engine(
        fleet,
        sources,
        Writes(
            actuator=cluster.actuator if writes else NoActuator(),
            allowances=AllowanceBucket(lasting.session, fleet),
            announcer=cluster.events,
            leadership=(writes and lasting.elector) or NoElection(writes=writes),
            switches=lasting.switches,
        ),
        Keeps(
            Keeper(
                fleet=fleet,
                memories=lasting.memories,
                intents=lasting.intents,
                clock=clock,
                writes=writes,
                histories=lasting.queues,
            ),
            FrameKeeper(lasting.frames, clock),
            before,
        ),
        Shows(
            hub=lasting.hub,
            recorder=lasting.recorder,
            snapshots=SnapshotBuilder(
                fleet=fleet,
                name=lasting.name,
                context=cluster.context,
                interval_s=interval_s,
                epoch=clock.now(),
                process=lasting.process,
                notices=settings.notices,
                journal="" if journal is None else journal.path,
                version=_program_version(),
            ),
            links=[lasting.session, cluster],
            findings=lambda: _findings(lasting),
            failures=cluster.failures,
        ),
        plan=plan,
        clock=clock,
        interval_s=interval_s,
    )


def _findings(lasting: Lasting) -> Iterator[Found]:
    """What is wrong with what lasts as long as the process."""
    if lasting.file is not None:
        yield from lasting.file.findings()
    yield from journal_findings(lasting.journal)
    if lasting.stream is not None:
        yield from stream_findings(lasting.stream.problem())


def watch_pools(cluster: Cluster, fleet: Fleet) -> None:
    """Watch what the pools of this fleet need."""
    cluster.workloads.prepare(fleet.pools)
    cluster.set_namespaces(frozenset(pool.namespace for pool in fleet.pools))


async def _spare_what_lasts(hub: Hub) -> None:
    """When the first tick has made what a process keeps for as long as it runs."""
    first = asyncio.Event()
    unsubscribe = hub.subscribe(lambda _: first.set())
    try:
        await first.wait()
    finally:
        unsubscribe()
    spare_what_lasts()


@asynccontextmanager
async def _recording(
    journal: JournalWriter | JournalStream | None, hub: Hub
) -> AsyncIterator[None]:
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


async def _until_stopped(
    engine: Engine,
    session: NatsSession,
    stopping: asyncio.Event,
    file: FleetFileWatch | None,
) -> None:
    """Tick until `stopping` is set, until the NATS server turns out to be unsupported, or until
    another fleet file is in force.
    """
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(engine.run(), name="engine")
        ends = [tasks.create_task(stopping.wait())]
        if file is not None:
            ends.append(tasks.create_task(file.changed.wait()))
        while not running.done() and session.unsupported is None:
            done, _ = await asyncio.wait(
                {running, *ends}, timeout=VERSION_CHECK_S, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                break
        engine.stop()
        await asyncio.wait({running})
        for each in ends:
            each.cancel()


@asynccontextmanager
async def metric_polls(
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


def _program_version() -> str:
    """The version of the program that runs; empty where it is not installed."""
    try:
        return metadata.version("agentdash-fleet")
    except metadata.PackageNotFoundError:
        return ""
