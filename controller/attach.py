"""A controller elsewhere, seen and asked through NATS alone: nothing here knows Kubernetes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from msgspec.structs import replace

from controller.engine.supervise import (
    FatalError,
    Hub,
    SystemClock,
    spare_what_lasts,
    wait_for_event,
)
from controller.model.clock import time_words
from controller.model.ids import PoolKey
from controller.model.intents import Estimate, Intent, IntentKey, Operator, Scope
from controller.model.readings import last_known
from controller.model.settings import NatsSettings, Settings
from controller.model.snapshot import PoolView, Snapshot
from controller.nats.bucket import Bucket, WriteRights
from controller.nats.desk import BucketDesk, ask_effect, ask_outlook
from controller.nats.feed import SnapshotReader, read_recent, recall_snapshot
from controller.nats.jetstream import NatsError
from controller.nats.journal_stream import read_journal
from controller.nats.session import NatsSession
from controller.planning.whatif import Outlook
from controller.ports import Foreseen, IntentDesk, NoEffectError, OpenDesk, Person, StoreError
from controller.record.chain import snapshots_of
from controller.record.frames import OtherVersionError

log = logging.getLogger(__name__)

FIRST_SIGHT_S: Final = 3.0
"""How long a process that begins waits for its connections."""
LOOK_EVERY_S: Final = 0.5
MET_WITHIN_S: Final = 0.7
"""A process that begins finds a controller that runs within so long of the connection to NATS."""
ANSWERS_WITHIN_S: Final = 2.0
"""A controller that runs answers within a few ms; after this time the person is told."""
RECALLS_WITHIN_S: Final = 10.0
"""How long the last snapshot may take to read: of 10,000 pools it has about ten parts."""
REMEMBERED_S: Final = 900.0
"""So much of the time before is asked for: as much as a dashboard keeps of what it sees."""
OLD_AFTER_INTERVALS: Final = 2.0
"""A controller publishes in each interval; after so many without news the person is told."""


class UnsupportedServerError(FatalError):
    """The NATS server cannot be worked with; the message says which and what is needed."""


class Attachment:
    """Hands to a hub what a controller elsewhere publishes. With a `person` it opens a desk: what
    they ask for goes into the bucket, and that controller acts on it. It writes nothing else.

    While no controller answers, it hands over the last snapshot that one has kept.
    """

    def __init__(
        self,
        settings: NatsSettings,
        hub: Hub,
        clock: SystemClock,
        person: Person | None = None,
    ) -> None:
        self._settings = settings
        self._hub = hub
        self._clock = clock
        self._person = person
        self._problem: str | None = None
        self._other_version: str | None = None
        self._arrived_at: float | None = None
        self._arrived = asyncio.Event()
        self._recalled: Snapshot | None = None
        self._unread = ""

    def problem(self) -> str | None:
        """Why there are no snapshots, in words for the user; None while they come."""
        return self._problem

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow them until `stopping`. Raises FatalError for a server that is too old."""
        began = self._clock.now()
        async with NatsSession(self._settings, self._clock) as session:
            reader = SnapshotReader(
                session, self._settings.bucket, self._publish, self._note_other_version
            )
            bucket = Bucket(session, self._settings.bucket)
            rights = WriteRights(session, bucket)
            async with asyncio.TaskGroup() as group:
                beside = [
                    group.create_task(reader.run(), name="snapshots"),
                    group.create_task(self._recall(session, bucket), name="last snapshot"),
                    group.create_task(self._remember(session), name="the time before"),
                ]
                if self._person is not None:
                    beside.append(group.create_task(rights.run(), name="rights"))
                    self._person.at_desk(self._desk(session, rights, self._person))
                try:
                    while not stopping.is_set() and session.unsupported is None:
                        self._problem = self._missing(session, reader, began)
                        await wait_for_event(stopping, LOOK_EVERY_S)
                finally:
                    if self._person is not None:
                        self._person.at_desk(None)
                    for each in beside:
                        each.cancel()
            refusal = session.unsupported
        if refusal is not None:
            raise UnsupportedServerError(str(refusal))

    def _desk(self, session: NatsSession, rights: WriteRights, person: Person) -> OpenDesk:
        bucket = self._settings.bucket

        async def foresee(key: IntentKey, intent: Intent | None) -> Foreseen:
            try:
                return await ask_effect(session, bucket, key, intent)
            except NatsError as error:
                snapshot = self._hub.latest()
                if snapshot is None:
                    raise NoEffectError(str(error)) from error
                return Foreseen(estimate_of(key.scope, snapshot), self._clock.now())

        async def look_ahead(pool: PoolKey) -> Outlook:
            try:
                return await ask_outlook(session, bucket, pool)
            except NatsError as error:
                raise NoEffectError(f"the controller does not answer: {error}") from error

        desk = BucketDesk(Bucket(session, bucket), person.operator)
        tasks = person.tasks(session)
        return OpenDesk(desk, foresee, look_ahead, lambda: rights.refused, tasks=tasks)

    async def _recall(self, session: NatsSession, bucket: Bucket) -> None:
        """Where no controller answers, hand over what the last one kept, once there is some."""
        connected = connected_event(session)
        if session.connected:
            connected.set()
        while True:
            await connected.wait()
            connected.clear()
            await asyncio.sleep(ANSWERS_WITHIN_S)
            if self._hub.latest() is not None:
                return
            try:
                async with asyncio.timeout(RECALLS_WITHIN_S):
                    found = await recall_snapshot(bucket)
            except (StoreError, TimeoutError) as error:
                self._unread = str(error) or f"no answer within {RECALLS_WITHIN_S:g} s"
                continue
            self._unread = ""
            if found is not None and self._arrived_at is None:
                self._recalled = found
                self._problem = recalled_words(found, self._clock.now())
                self._hub.publish(found)

    async def _remember(self, session: NatsSession) -> None:
        """Hand over the time before the first snapshot: what the controller still has, and before
        that what the last ones have written into a stream that our user may read.
        """
        await self._arrived.wait()
        latest = self._hub.latest()
        if latest is None:
            return
        since, before, lines = latest.at - REMEMBERED_S, latest.at, list[bytes]()
        bucket, found = self._settings.bucket, list[Snapshot]()

        def remember(earlier: list[Snapshot]) -> None:
            found[:0] = [each for each in earlier if since <= each.at < before]
            self._hub.remember(tuple(replace(each, attached=True) for each in found))

        try:
            remember(await read_recent(session, bucket, ANSWERS_WITHIN_S))
            before = found[0].at if found else before
            await read_journal(session, bucket, self._clock, lines.append, since=since)
            remember(await asyncio.to_thread(lambda: list(snapshots_of(lines))))
        except NatsError as error:
            log.debug("nothing more is known of the time before: %s", error)
        spare_what_lasts()  # a key would wait for each full collection

    def _publish(self, snapshot: Snapshot) -> None:
        self._recalled = self._other_version = None
        self._arrived_at = self._clock.now()
        self._arrived.set()
        self._hub.publish(replace(snapshot, attached=True))

    def _note_other_version(self, text: str) -> None:
        self._other_version = text

    def _missing(self, session: NatsSession, reader: SnapshotReader, began: float) -> str | None:
        if self._other_version is not None:
            return self._other_version
        now, latest, arrived = self._clock.now(), reader.latest, self._arrived_at
        if self._recalled is not None:
            away = "" if session.connected else f"; NATS is away ({session.link().detail})"
            return recalled_words(self._recalled, now) + away
        if latest is None or arrived is None:
            return None if now - began < ANSWERS_WITHIN_S else self._never(session, began, now)
        # the other process's clock may be wrong: ages are counted from when its news came
        if now - arrived <= max(ANSWERS_WITHIN_S, OLD_AFTER_INTERVALS * latest.interval_s):
            return None
        since, who = time_words(arrived, now, to_seconds=True), latest.process or "the controller"
        if not session.connected:
            detail = session.link().detail
            return f"no news of {who} since {since}; it may well go on: NATS is away ({detail})"
        return f"no news of {who} since {since}: it has stopped, or cannot reach NATS"

    def _never(self, session: NatsSession, began: float, now: float) -> str:
        if not session.connected:
            since = time_words(began, now, to_seconds=True)
            return f"NATS is away since {since} ({session.link().detail}); it is tried again"
        bucket = self._settings.bucket
        unread = f"; the last snapshot cannot be read: {self._unread}" if self._unread else ""
        return (
            f"no controller answers at {session.link().detail}: none runs there with the"
            f" bucket {bucket}, or this NATS user may not use {bucket}.snapshots and"
            f" {bucket}.watchers{unread}"
        )


def recalled_words(snapshot: Snapshot, now: float) -> str:
    """That nothing of now is shown, and of when and whom it is; `now` is Unix seconds."""
    at, who = time_words(snapshot.at, now, to_seconds=True), snapshot.process or "the last one"
    return f"no controller runs; this is what {who} saw at {at}"


async def find_writer(settings: NatsSettings, clock: SystemClock, within_s: float) -> str | None:
    """A controller that writes, if one answers in time; of another version unnamed."""
    try:
        snapshot = await _first(settings, clock, within_s, lambda each: each.role.writes)
    except OtherVersionError:
        return "a controller of another version"
    return None if snapshot is None else snapshot.process


async def find_snapshot(
    settings: NatsSettings, clock: SystemClock, within_s: float
) -> Snapshot | None:
    """What a controller shows now, if one answers. Raises OtherVersionError."""
    snapshot = await _first(settings, clock, within_s, lambda _: True)
    return None if snapshot is None else replace(snapshot, attached=True)


async def find_last_snapshot(settings: NatsSettings, clock: SystemClock) -> Snapshot | None:
    """What the last one kept, `recalled`, or None without NATS. Raises StoreError."""
    try:
        async with connected(settings, clock) as session, asyncio.timeout(RECALLS_WITHIN_S):
            return await recall_snapshot(Bucket(session, settings.bucket))
    except (FatalError, TimeoutError):
        return None


@asynccontextmanager
async def operating(
    settings: Settings, clock: SystemClock, operator: Operator
) -> AsyncIterator[IntentDesk]:
    """The operator's desk on a connection of its own. Raises FatalError without one in 3 s."""
    async with connected(settings.nats, clock) as session:
        yield BucketDesk(Bucket(session, settings.nats.bucket), operator)


async def find_effect(
    settings: Settings, clock: SystemClock, key: IntentKey, intent: Intent | None
) -> Foreseen | None:
    """What a controller foresees of this change, or None. Raises FatalError without a link."""
    async with connected(settings.nats, clock) as session:
        try:
            return await ask_effect(session, settings.nats.bucket, key, intent)
        except (NatsError, NoEffectError) as error:
            log.debug("no controller says what changes: %s", error)
            return None


@asynccontextmanager
async def connected(settings: NatsSettings, clock: SystemClock) -> AsyncIterator[NatsSession]:
    """A connection of its own. Raises FatalError if there is none within 3 s."""
    async with NatsSession(settings, clock) as session:
        try:
            async with asyncio.timeout(FIRST_SIGHT_S):
                await connected_event(session).wait()
        except TimeoutError:
            if session.unsupported is not None:
                raise UnsupportedServerError(str(session.unsupported)) from None
            link = session.link()
            raise FatalError(f"nats is {link.state}: {link.detail}".rstrip(": ")) from None
        yield session


def connected_event(session: NatsSession) -> asyncio.Event:
    """Is set with each connection from now on."""
    event = asyncio.Event()
    session.on_connected(event.set)
    return event


async def _first(
    settings: NatsSettings,
    clock: SystemClock,
    within_s: float,
    is_wanted: Callable[[Snapshot], bool],
) -> Snapshot | None:
    found: asyncio.Future[Snapshot] = asyncio.get_running_loop().create_future()

    def take(snapshot: Snapshot) -> None:
        if is_wanted(snapshot) and not found.done():
            found.set_result(snapshot)

    def refuse(text: str) -> None:
        if not found.done():
            found.set_exception(OtherVersionError(text))

    async with NatsSession(settings, clock) as session:
        reader = SnapshotReader(session, settings.bucket, take, refuse)
        reading = asyncio.create_task(reader.run())
        try:
            async with asyncio.timeout(within_s):
                return await found
        except TimeoutError:
            return None
        finally:
            reading.cancel()


def estimate_of(scope: Scope, snapshot: Snapshot) -> Estimate:
    """What an intent for this scope is about."""
    views = [view for view in snapshot.pools if scope.pool in {None, view.key}]
    views = [view for view in views if scope.tenant in {None, view.tenant}]
    known = [each for each in map(_at_work, views) if each is not None]
    return Estimate(
        pools=len(views),
        ready=sum(ready for ready, _ in known),
        busy=sum(busy for _, busy in known),
        unknown=len(views) - len(known),
    )


def _at_work(view: PoolView) -> tuple[int, int] | None:
    """Replicas that are ready, and the least that can hold what is in flight; None if unknown."""
    workload = last_known(view.observation.workload)
    queue = last_known(view.observation.queue)
    if workload is None or queue is None:
        return None
    return workload.ready, min(workload.ready, -(-queue.in_flight // max(view.slots, 1)))
