"""Snapshots from a controller to dashboards elsewhere, over a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import nats
import pytest
from msgspec.structs import replace
from nats.aio.msg import Msg

from controller.attach import Attachment, find_snapshot, find_writer
from controller.engine.supervise import Hub, SystemClock
from controller.model.settings import LeaseView, NatsSettings
from controller.model.snapshot import Role, Snapshot
from controller.nats import feed
from controller.nats.feed import (
    RECENT_S,
    WHOLE,
    SnapshotPublisher,
    SnapshotReader,
    read_recent,
)
from controller.nats.session import NatsSession
from controller.record.frames import SNAPSHOT_VERSION, OtherVersionError
from support.live import PATIENCE_S
from tests.integration.nats.conftest import Connect, Until
from tests.integration.nats.kept import Limited
from tests.support.nats_server import RealNats
from tui import scenarios

BUCKET = "agentdash"
SMALL_MESSAGES = "max_payload: 1024\n"


class Controller:
    """A controller's publisher and the snapshot it is at."""

    def __init__(self, session: NatsSession, snapshot: Snapshot) -> None:
        self.publisher = SnapshotPublisher(session, BUCKET, SystemClock())
        self.snapshot = snapshot
        self.publisher.offer(snapshot)

    def tick(self, **changes: object) -> Snapshot:
        self.snapshot = replace(self.snapshot, sequence=self.snapshot.sequence + 1, **changes)
        self.publisher.offer(self.snapshot)
        return self.snapshot


@asynccontextmanager
async def running(
    *parts: SnapshotPublisher | SnapshotReader,
) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def reader_on(session: NatsSession) -> tuple[SnapshotReader, list[Snapshot]]:
    seen: list[Snapshot] = []
    return SnapshotReader(session, BUCKET, seen.append), seen


async def test_a_dashboard_gets_the_snapshot_there_is_and_then_every_change(
    url: str, connect: Connect, until: Until
) -> None:
    controller = Controller(await connect(url), scenarios.mixed_fleet())
    reader, seen = reader_on(await connect(url))
    async with running(controller.publisher, reader):
        await until(lambda: seen)
        assert seen == [controller.snapshot]
        for number in range(5):
            views = list(controller.snapshot.pools)
            views[number] = replace(views[number], max=99)
            after = controller.tick(pools=tuple(views))
            await until(lambda after=after: seen[-1] == after)
        assert len(seen) == 6


async def test_without_a_dashboard_nothing_is_published(
    server: RealNats, connect: Connect, until: Until
) -> None:
    controller = Controller(await connect(server.url), scenarios.mixed_fleet())
    spy = await nats.connect(server.url)
    messages = []

    async def take(message: object) -> None:
        messages.append(message)

    await spy.subscribe(f"{BUCKET}.snapshots", cb=take)
    await spy.flush()
    async with running(controller.publisher):
        for _ in range(20):
            controller.tick()
            await asyncio.sleep(0)
        await spy.flush()
        assert messages == []
        reader, seen = reader_on(await connect(server.url))
        async with running(reader):
            await until(lambda: seen)
            # the server may deliver to the spy after the reader
            await until(lambda: messages)
    await spy.close()


async def test_a_dashboard_that_missed_a_change_asks_for_the_whole(
    url: str, connect: Connect, until: Until
) -> None:
    controller = Controller(await connect(url), scenarios.mixed_fleet())
    reader, seen = reader_on(await connect(url))
    forger = await nats.connect(url)
    async with running(controller.publisher, reader):
        await until(lambda: seen)
        await forger.publish(
            f"{BUCKET}.snapshots", b"AGDS\0\1\0\4 and something that is no snapshot"
        )
        await forger.flush()
        after = controller.tick(fleet="another")
        await until(lambda: seen[-1] == after)
    await forger.close()


async def test_a_dashboard_that_reads_nothing_costs_the_controller_and_the_others_nothing(
    url: str, session: NatsSession, connect: Connect, until: Until
) -> None:
    controller = Controller(session, scenarios.mixed_fleet())
    reader, seen = reader_on(await connect(url))
    address = urlsplit(url)
    _, deaf = await asyncio.open_connection(address.hostname, address.port, limit=1)
    deaf.write(f"CONNECT {{}}\r\nSUB {BUCKET}.snapshots 1\r\n".encode())
    await deaf.drain()
    async with running(controller.publisher, reader):
        await until(lambda: seen)
        client = session._client
        assert client is not None
        sent = client.stats["out_msgs"]
        for number in range(50):
            after = controller.tick(fleet=f"fleet {number}")
            await until(lambda after=after: seen[-1] == after)
        assert client.stats["out_msgs"] - sent == 50, "what one does not read is not sent again"
        assert client.pending_data_size == 0
    deaf.close()


async def test_who_attaches_gets_what_the_controller_has_of_the_last_15_minutes(
    url: str, connect: Connect, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, first = await connect(url), scenarios.mixed_fleet()
    controller = Controller(session, replace(first, at=first.at - RECENT_S - 700.0))
    shown = [controller.snapshot]
    async with running(controller.publisher):
        for number in range(24):  # a key frame is due every 300 s
            await until(lambda: controller.publisher._chain.last is shown[-1])
            shown.append(controller.tick(at=shown[-1].at + 100.0, fleet=f"fleet {number}"))
        await until(lambda: controller.publisher._chain.last is shown[-1])
        found = await read_recent(await connect(url), BUCKET, 5.0)
        assert found == shown[-len(found) :]
        assert RECENT_S <= found[-1].at - found[0].at < RECENT_S + 400.0
        monkeypatch.setattr(feed, "MOST_RECENT_BYTES", 1000)
        controller.tick()
        await until(lambda: controller.publisher._chain.last is controller.snapshot)
        assert await read_recent(session, BUCKET, 5.0) == [], "what is kept is bounded"
    assert await read_recent(session, BUCKET, 0.05) == [], "none answers"


async def test_a_server_that_comes_back_brings_the_snapshots_back(
    server: RealNats, connect: Connect, until: Until
) -> None:
    sessions = [await connect(server.url), await connect(server.url)]
    controller = Controller(sessions[0], scenarios.mixed_fleet())
    reader, seen = reader_on(sessions[1])
    async with running(controller.publisher, reader):
        await until(lambda: seen)
        server.kill()
        await until(lambda: not any(session.connected for session in sessions))
        server.start()
        await until(lambda: all(session.connected for session in sessions))
        after = controller.tick(fleet="after the restart")
        await until(lambda: seen[-1] == after)


async def test_an_older_process_is_ignored(url: str, connect: Connect, until: Until) -> None:
    now = scenarios.mixed_fleet()
    before = replace(now, epoch=now.epoch - 900, sequence=99_999, fleet="older")
    newer = Controller(await connect(url), now)
    reader, seen = reader_on(await connect(url))
    async with running(newer.publisher, reader):
        await until(lambda: seen)
        older = Controller(await connect(url), before)
        async with running(older.publisher):
            older.tick()
            after = newer.tick()
            await until(lambda: seen[-1] == after)
    assert "older" not in {snapshot.fleet for snapshot in seen}


async def test_the_next_leader_is_shown_although_its_clock_is_behind(
    url: str, connect: Connect, until: Until
) -> None:
    now = replace(scenarios.mixed_fleet(), interval_s=0.1, process="one/1")
    behind = replace(now, epoch=now.epoch - 900, sequence=1, process="two/2")
    one = Controller(await connect(url), now)
    reader, seen = reader_on(await connect(url))
    async with running(reader):
        async with running(one.publisher):
            await until(lambda: seen)
        two = Controller(await connect(url), behind)
        async with running(two.publisher):
            await until(lambda: two.tick() and seen[-1].process == "two/2")


async def test_a_follower_is_silent_and_publishes_nothing_of_its_past(
    url: str, session: NatsSession, connect: Connect, until: Until
) -> None:
    led = replace(scenarios.mixed_fleet(), role=Role.LEADER)
    one = Controller(await connect(url), led)
    one.tick(role=Role.FOLLOWER, lease=LeaseView(name="the lease", holder="two/2"))
    reader, seen = reader_on(session)
    async with running(one.publisher, reader):
        for _ in range(20):
            one.tick()
            await session.request("$JS.API.INFO", b"", 5.0)  # what was sent before has come
        assert seen == []
        after = one.tick(role=Role.LEADER)
        await until(lambda: after in seen)


async def test_who_attaches_needs_two_subjects_and_no_other_right(
    directory: Path, connect: Connect, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "controller.attach")
    rights = {"allow": ["agentdash.watchers"]}
    with Limited(directory, rights, ["agentdash.snapshots"]) as server:
        controller = Controller(await connect(server.url), scenarios.mixed_fleet())
        reader, seen = reader_on(await connect(server.half))
        async with running(controller.publisher, reader):
            await until(lambda: seen)
            after = controller.tick(fleet="seen with two rights")
            await until(lambda: seen[-1] == after)
            hub, stopping = Hub(), asyncio.Event()
            attachment = Attachment(NatsSettings(servers=(server.half,)), hub, SystemClock())
            task = asyncio.create_task(attachment.run(stopping))
            await until(lambda: "more is known of the time before" in caplog.text)
            later = controller.tick(fleet="seen without the right to the past")
            await until(lambda: hub.latest() == replace(later, attached=True))
            await until(lambda: attachment.problem() is None)
            stopping.set()
            await task


async def test_a_writer_is_found_and_one_that_only_reads_is_not(url: str, connect: Connect) -> None:
    settings, clock = NatsSettings(servers=(url,)), SystemClock()
    assert await find_writer(settings, clock, 0.3) is None
    writer = replace(scenarios.mixed_fleet(), process="host/1", role=Role.ACTIVE)
    controller = Controller(await connect(url), writer)
    async with running(controller.publisher):
        assert await find_writer(settings, clock, 5.0) == "host/1"
        controller.tick(role=Role.READ_ONLY)
        assert await find_writer(settings, clock, 0.3) is None


async def test_an_attached_dashboard_says_whose_snapshots_it_shows_and_why_there_are_none(
    server: RealNats, connect: Connect, until: Until
) -> None:
    hub, stopping = Hub(), asyncio.Event()
    attachment = Attachment(NatsSettings(servers=(server.url,)), hub, SystemClock())
    task = asyncio.create_task(attachment.run(stopping))
    await until(attachment.problem)
    assert "no controller answers at " in (attachment.problem() or "")
    controller = Controller(await connect(server.url), scenarios.mixed_fleet())
    async with running(controller.publisher):
        await until(lambda: hub.latest() is not None and attachment.problem() is None)
        latest = hub.latest()
        assert latest is not None
        assert latest.attached
        assert replace(latest, attached=False) == controller.snapshot
        server.kill()
        await until(attachment.problem)
        assert "NATS is away" in (attachment.problem() or "")
    stopping.set()
    await task


async def test_a_controller_of_another_version_is_named_and_one_that_follows_it_is_shown(
    url: str, connect: Connect, until: Until
) -> None:
    """The dashboard stays, and shows the controller as soon as that is updated."""
    settings, clock = NatsSettings(servers=(url,)), SystemClock()
    forger = await nats.connect(url)
    asked: list[bytes] = []

    async def speak(message: Msg) -> None:
        asked.append(message.data)
        await forger.publish(f"{BUCKET}.snapshots", b"AGDS\0\5\0\2 as of then")

    await forger.subscribe(f"{BUCKET}.watchers", cb=speak)
    await forger.flush()
    hub, stopping = Hub(), asyncio.Event()
    attachment = Attachment(settings, hub, clock)
    task = asyncio.create_task(attachment.run(stopping))
    await until(attachment.problem)
    ours = f"this dashboard {SNAPSHOT_VERSION}: update this agentdash"
    said = f"this controller speaks snapshot version 5.2, {ours}"
    assert attachment.problem() == said
    assert asked == [WHOLE]
    # it may write, so nobody may lead beside it
    assert await find_writer(settings, clock, PATIENCE_S) == "a controller of another version"
    with pytest.raises(OtherVersionError, match=r"5\.2"):
        await find_snapshot(settings, clock, PATIENCE_S)
    await forger.close()
    controller = Controller(await connect(url), scenarios.mixed_fleet())
    async with running(controller.publisher):
        await until(lambda: controller.publisher._heard_at)
        controller.tick()
        await until(lambda: hub.latest() is not None and attachment.problem() is None)
    stopping.set()
    await task
