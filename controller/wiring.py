"""Builds all objects of the controller from the settings: the only place that knows every class.

Engines run one after the other: each is made for one state of the fleet file, out of what lasts as
long as the process.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from importlib import metadata
from socket import gethostname
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from controller.attach import FIRST_SIGHT_S, UnsupportedServerError, connected_event
from controller.config.document import FleetSource
from controller.engine.actuate import Recorder
from controller.engine.intents import FleetFileWatch, Switches
from controller.engine.lead import Elector, WriteRight
from controller.engine.loop import Engine, Handover, Keeps, Shows, Writes
from controller.engine.memory import Keeper
from controller.engine.observe import MetricPolls, Observer, Sources
from controller.engine.show.findings import Found, found
from controller.engine.show.snapshot import SnapshotBuilder
from controller.engine.supervise import FatalError, Hub, SignalSwitch, SystemClock, spare_what_lasts
from controller.expose.server import unable_to_decide
from controller.kube.cluster import Cluster
from controller.kube.errors import ConfigError
from controller.kube.metrics import metric_sources
from controller.kube.writes import KubernetesLease
from controller.model.fleet import Fleet
from controller.model.intents import Intents
from controller.model.memory import TICK_VERSION, Memory, Tick
from controller.model.readings import Fresh
from controller.model.settings import LeaseStore, Settings
from controller.model.snapshot import Link, PodInFull, Role, Snapshot
from controller.nats.bucket import Bucket, WriteRights
from controller.nats.desk import BucketDesk, EffectAnswers
from controller.nats.feed import SnapshotBucket, SnapshotPublisher
from controller.nats.intents import IntentBucket
from controller.nats.journal_stream import JournalStream
from controller.nats.lag import QueueReader
from controller.nats.session import NatsSession
from controller.nats.state import BucketLease, MemoryBucket, StoredState, read_stored_state
from controller.nats.usage import TokenUsageSource
from controller.nats.wake import WakeSubscriptions
from controller.nats.workers import AllowanceBucket, WorkerBuckets
from controller.planning.compile import compile_fleet
from controller.planning.planner import plan
from controller.planning.resume import doubted, on_this_clock, resumed
from controller.ports import Lease, MetricSource, OpenDesk, Person, PodUnknownError, beside
from controller.record.chain import Encoder
from controller.record.journal import JournalFiles, JournalWriter
from controller.sources import open_sources

LOOK_S: Final = 5.0
"""How long `look_once` waits for the queues, longer than a tick, because no other tick follows."""
VERSION_CHECK_S: Final = 1.0


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
    """Run a controller that publishes to the hub, until `stopping` is set. Without a `person`,
    nobody can ask for anything in the same process.

    With a `source` the fleet file is read again when it changes; `reread` gets what makes it be
    read again. With `read_only` nothing is written. A server that cannot be reached is shown by its
    link.
    Raises FatalError for a problem that waiting cannot fix (no kubeconfig, no such context, NATS
    too old).
    """
    control = settings.controller
    right = WriteRight()
    takes_part = control.lease.store is not LeaseStore.NONE and not read_only
    journal, encoder = None, Encoder()
    if control.journal is not None:
        journal = JournalWriter(JournalFiles(control.journal), clock, encoder)
    switches = Switches(
        control.freeze_file,
        signals or SignalSwitch(),
        clock,
        interval_s=control.interval_s,
        journal_down=(lambda: None) if journal is None else journal.down,
    )

    def may_write() -> bool:
        return switches.allow() and (right.may_write() if takes_part else not read_only)

    try:
        async with (
            Cluster.connect(
                settings.kubernetes,
                clock,
                may_write=may_write,
                write_timeout_s=control.lease.times.write_s,
                process=_process(),
            ) as cluster,
            NatsSession(settings.nats, clock) as session,
            (
                _election(settings, cluster, session, clock, right) if takes_part else nullcontext()
            ) as elector,
        ):
            world = await _World.of(
                settings, cluster, session, clock, settings.controller.interval_s
            )
            controller = _Controller(
                settings,
                world,
                hub,
                recorder or Recorder(writes=not read_only),
                switches,
                elector=elector,
                journal=journal,
                encoder=encoder,
                file=None if source is None else FleetFileWatch(source, settings, clock),
                name=name,
                read_only=read_only,
            )
            if controller.file is not None:
                reread(controller.file.reread)
            if elector is not None:
                hub.subscribe(lambda snapshot: elector.unable(unable_to_decide(snapshot)))
            await controller.run(person, stopping)
            refusal = session.unsupported
    except ConfigError as error:
        raise FatalError(str(error)) from error
    # raised outside of the task group, which would wrap it in an ExceptionGroup
    if refusal is not None:
        raise UnsupportedServerError(str(refusal))


class _World(NamedTuple):
    """The connections of a process, and what it reads of queues."""

    cluster: Cluster
    session: NatsSession
    clock: SystemClock
    queues: QueueReader
    wakes: WakeSubscriptions

    @classmethod
    async def of(
        cls,
        settings: Settings,
        cluster: Cluster,
        session: NatsSession,
        clock: SystemClock,
        timeout_s: float,
    ) -> _World:
        """Wait for both connections for a limited time: a missing one is shown by its link."""
        connection = connected_event(session)
        queues = QueueReader(session, clock, timeout_s=timeout_s)
        wakes = WakeSubscriptions(session, clock, queues.filters)
        world = cls(cluster, session, clock, queues, wakes)
        world.watch(settings.fleet)
        listed = asyncio.create_task(cluster.synced(FIRST_SIGHT_S))
        met = asyncio.create_task(connection.wait())
        try:
            await asyncio.wait({listed, met}, timeout=FIRST_SIGHT_S)
            await asyncio.wait({met}, timeout=FIRST_SIGHT_S)
        finally:
            listed.cancel()
            met.cancel()
        return world

    def watch(self, fleet: Fleet) -> None:
        """Watch what the pools of this fleet need."""
        self.cluster.workloads.prepare(fleet.pools)
        self.cluster.set_namespaces(frozenset(pool.namespace for pool in fleet.pools))


@dataclass
class _Controller:
    """What lasts as long as the process; `engine` runs now, `file` may follow the file."""

    settings: Settings
    world: _World
    hub: Hub
    recorder: Recorder
    switches: Switches
    elector: Elector | None
    journal: JournalWriter | None
    encoder: Encoder
    file: FleetFileWatch | None
    name: str
    read_only: bool

    def __post_init__(self) -> None:
        self._cluster, self._session, self._clock = self.world[:3]
        self._engine: Engine | None = None
        name, kept = self.settings.nats.bucket, self.settings.controller.journal
        self._bucket = Bucket(self._session, name)
        self._intents = IntentBucket(self._session, self._bucket, self._clock)
        self._memories, self._frames = MemoryBucket(self._bucket), SnapshotBucket(self._bucket)
        self._stream = None
        if kept is not None and kept.stream is not None and not self.read_only:
            self._stream = JournalStream(
                self._session, name, kept.stream, self._clock, self.encoder
            )

    async def run(self, person: Person | None, stopping: asyncio.Event) -> None:
        """Run one engine after the other until `stopping` is set, or until the NATS server turns
        out to be unsupported. What runs beside them ends with the last one.
        """
        session, hub, bucket = self._session, self.hub, self.settings.nats.bucket
        publisher = SnapshotPublisher(session, bucket, self._clock, self.encoder)
        beside = [self._intents.run(), publisher.run(), self.switches.run()]
        if self.file is not None:
            beside.append(self.file.run())
        answers = EffectAnswers(
            session,
            bucket,
            lambda: self.settings.fleet,
            self._look,
            lambda: self._intents.stored().intents,
        )
        if not self.read_only:
            beside.append(answers.run())
        if person is not None:
            rights = WriteRights(session, self._bucket)
            beside.append(rights.run())
            desk, pods = BucketDesk(self._bucket, person.operator), self._cluster.pods
            reads, is_refused = person.tasks(session), lambda: rights.refused
            ask = (answers.foresee, answers.look_ahead)
            person.at_desk(OpenDesk(desk, *ask, is_refused, pods, reads))
        if self.elector is not None:
            beside.append(self.elector.run())
        unsubscribe = hub.subscribe(publisher.offer)
        try:
            async with asyncio.TaskGroup() as tasks, AsyncExitStack() as recording:
                for journal in (self.journal, self._stream):
                    if journal is not None:
                        await recording.enter_async_context(journal.recording())
                        recording.callback(hub.subscribe(journal.offer))
                await self.switches.look()
                others = [tasks.create_task(each) for each in beside]
                before = None
                while not stopping.is_set() and session.unsupported is None:
                    before = await self._run_engine(before, stopping)
                for each in others:
                    each.cancel()
        finally:
            if person is not None:
                person.at_desk(None)
            unsubscribe()

    def _look(self) -> Tick | None:
        return None if self._engine is None else self._engine.look()

    async def _run_engine(self, before: Handover | None, stopping: asyncio.Event) -> Handover:
        """Run an engine of the fleet file in force until it must end, or until another one is."""
        if self.file is not None:
            settings = self.file.settings
            self.file.changed.clear()
        else:
            settings = self.settings
        if before is not None:
            self.world.watch(settings.fleet)
            await self._cluster.synced(FIRST_SIGHT_S)
        async with _sources(settings, self.world, FIRST_SIGHT_S) as (sources, first_read):
            await first_read
            engine = self._engine_of(settings, before, sources)
            self.settings, self._engine = settings, engine
            async with beside(_spare_what_lasts(self.hub)):
                await self._until_stopped(engine, stopping)
        return engine.handover()

    def _engine_of(self, settings: Settings, before: Handover | None, sources: Sources) -> Engine:
        fleet, clock, writes = settings.fleet, self._clock, not self.read_only
        interval_s, journal = settings.controller.interval_s, settings.controller.journal
        keeper = Keeper(
            fleet=fleet,
            memories=self._memories,
            intents=self._intents,
            clock=clock,
            histories=self.world.queues,
            usage=sources.usage,
        )
        snapshots = SnapshotBuilder(
            fleet=fleet,
            recorder=self.recorder,
            name=self.name,
            context=self._cluster.context,
            interval_s=interval_s,
            epoch=clock.now(),
            process=_process(),
            notices=settings.notices,
            journal="" if journal is None else journal.path,
            version=_program_version(),
        )
        return Engine(
            fleet,
            sources,
            Writes(
                actuator=self._cluster.actuator,
                allowances=AllowanceBucket(self._session, fleet),
                announcer=self._cluster.events,
                switches=self.switches,
                leadership=self.elector,
                writes=writes,
            ),
            Keeps(keeper, self._frames, before),
            Shows(
                hub=self.hub,
                snapshots=snapshots,
                links=[self._session.link, self._cluster.link],
                findings=self._findings,
                failures=self._cluster.failures,
            ),
            plan=plan,
            clock=clock,
            interval_s=interval_s,
        )

    def _findings(self) -> Iterator[Found]:
        """What is wrong with what lasts as long as the process."""
        if self.file is not None:
            yield from self.file.findings()
        journal, stream = self.journal, self._stream
        if journal is not None and not journal.down() and (why := journal.problem()):
            yield found("incomplete", "journal", why=why)
        if stream is not None and (why := stream.problem()):
            yield found("stream", "journal", why=why)

    async def _until_stopped(self, engine: Engine, stopping: asyncio.Event) -> None:
        """Tick until `stopping`, an unsupported NATS server, or another fleet file."""
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(engine.run(), name="engine")
            ends = [tasks.create_task(stopping.wait())]
            if self.file is not None:
                ends.append(tasks.create_task(self.file.changed.wait()))
            while not running.done() and self._session.unsupported is None:
                done, _ = await asyncio.wait(
                    {running, *ends}, timeout=VERSION_CHECK_S, return_when=asyncio.FIRST_COMPLETED
                )
                if done:
                    break
            engine.stop()
            await asyncio.wait({running})
            for each in ends:
                each.cancel()


class Look(NamedTuple):
    """Of `look_once`: a tick's inputs, links, what NATS stores, the kubeconfig's context."""

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
        ):
            world = await _World.of(settings, cluster, session, clock, LOOK_S)
            bucket = Bucket(session, settings.nats.bucket)
            stored = await read_stored_state(bucket, with_memory=not fresh, timeout_s=LOOK_S)
            async with _sources(settings, world, LOOK_S) as (sources, first_read):
                if stored.saved_memory is not None:
                    sources.usage.go_on_from(stored.saved_memory.memory.spent)
                observer = Observer(settings.fleet, sources, clock, deadline_s=LOOK_S)
                await asyncio.gather(observer.ask(pools), first_read)
                seen, now = observer.see(pools), clock.now()
            links, refusal = (session.link(), cluster.link()), session.unsupported
            context = cluster.context
    except ConfigError as error:
        raise FatalError(str(error)) from error
    if refusal is not None:
        raise UnsupportedServerError(str(refusal))
    memory, saved = None, stored.saved_memory
    if saved is not None:
        # a controller that runs says so for a moment between two saves
        saved = replace(saved, memory=on_this_clock(saved, now), is_partial=False)
        workloads = {
            key: each.workload.value
            for key, each in seen.pools.items()
            if isinstance(each.workload, Fresh)
        }
        memory = doubted(resumed(saved, settings.fleet, now), workloads, now)
    tick = Tick(
        version=TICK_VERSION, now=now, observation=seen, intents=stored.intents, memory=memory
    )
    return Look(tick, links, stored, context)


async def pod_now(
    settings: Settings, clock: SystemClock, namespace: str, pod: str
) -> PodInFull | str:
    """What no list of pods brings of this one, or why that is not known."""
    try:
        async with Cluster.connect(settings.kubernetes, clock, may_write=lambda: False) as cluster:
            try:
                return await cluster.pods.look(namespace, pod)
            except PodUnknownError as error:
                return str(error)
    except ConfigError as error:
        return str(error)


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
        recorder=Recorder(writes=False),
        name=name,
        context=look.context,
        interval_s=settings.controller.interval_s,
        epoch=tick.now,
        process=_process(),
        notices=settings.notices,
    )
    builder.saw(tick.observation)
    builder.decided(planned.plan.decisions)
    builder.planned(planned.kept, intents)
    return builder.snapshot(now=tick.now, role=Role.READ_ONLY, links=look.links)


@asynccontextmanager
async def _election(
    settings: Settings,
    cluster: Cluster,
    session: NatsSession,
    clock: SystemClock,
    right: WriteRight,
) -> AsyncIterator[Elector]:
    """The election of the process that leads the fleet, by a lease in NATS or, with connections of
    its own, in the cluster. At the end, when all writes have settled, the lease is given back.
    """
    wanted = settings.controller.lease
    async with AsyncExitStack() as stack:
        lease: Lease
        if wanted.store is LeaseStore.NATS:
            lease = BucketLease(session, Bucket(session, settings.nats.bucket))
        else:
            client = cluster.client.apart()
            stack.push_async_callback(client.close)
            lease = KubernetesLease(client, clock, namespace=wanted.namespace, name=wanted.name)
        # a restarted Pod has the same host and pid
        identity = f"{_process()}_{secrets.token_hex(4)}"
        interval_s = settings.controller.interval_s
        elector = Elector(lease, identity, wanted.times, right, clock, interval_s=interval_s)
        stack.push_async_callback(elector.release)
        yield elector


def _process() -> str:
    return f"{gethostname()}/{os.getpid()}"


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
async def _sources(
    settings: Settings, world: _World, wait_s: float
) -> AsyncIterator[tuple[Sources, asyncio.Future[Any]]]:
    """All that a fleet is observed by, and what ends when each source has been read for the first
    time, at the latest after `wait_s`. Sources of metrics that no pool needs are not asked.
    """
    cluster, session, clock = world.cluster, world.session, world.clock
    pools, selector = settings.fleet.pools, settings.kubernetes.selector or ""
    async with AsyncExitStack() as stack:
        of_cluster = metric_sources(cluster.client, cluster.workloads, pools, clock, selector)
        read: list[MetricSource] = [*await stack.enter_async_context(of_cluster)]
        read += await stack.enter_async_context(open_sources(settings, clock))
        metrics = MetricPolls(read, clock, interval_s=settings.controller.interval_s)
        usage = TokenUsageSource(session, clock, settings.fleet)
        workers = WorkerBuckets(session, clock, settings.fleet)
        for each in (usage.reading(), metrics.reading(), workers.following()):
            await stack.enter_async_context(each)
        first_read = asyncio.gather(
            usage.first_read(wait_s), metrics.first_read(wait_s), workers.first_read(wait_s)
        )
        stack.callback(first_read.cancel)
        sources = Sources(
            queues=world.queues,
            wakes=world.wakes,
            workloads=cluster.workloads,
            supply=cluster.workloads,
            usage=usage,
            metrics=metrics,
            workers=workers,
        )
        yield sources, first_read


def _program_version() -> str:
    """The version of the program that runs; empty where it is not installed."""
    try:
        return metadata.version("agentdash-fleet")
    except metadata.PackageNotFoundError:
        return ""
