"""The last snapshot of a fleet in its bucket, on a real nats-server, and who reads it there."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from agentdash.tui.view import is_newer
from controller.attach import Attachment
from controller.engine.supervise import Hub, SystemClock
from controller.model.settings import NatsSettings
from controller.model.snapshot import History, Timeline
from controller.nats import feed
from controller.nats.bucket import Bucket
from controller.nats.feed import FORMAT, SnapshotBucket, recall_snapshot
from controller.nats.session import NatsSession
from controller.nats.state import head_key
from controller.ports import (
    StoreError,
    StoreUnreadableError,
)
from controller.record.frames import SNAPSHOT_VERSION, whole_line
from tests.integration.nats.conftest import Connect, Until
from tests.integration.nats.kept import Limited, bucket
from tests.integration.nats.test_snapshots import SMALL_MESSAGES, Controller, running
from tests.support.nats_server import RealNats
from tui import scenarios

FLEET = replace(scenarios.mixed_fleet(), process="host/4711")
HEARS = ["agentdash.snapshots", "_INBOX.>"]
READS = "$JS.API.STREAM.MSG.GET.KV_agentdash"


async def test_what_was_saved_is_recalled_with_its_histories(
    url: str, kv: Bucket, connect: Connect
) -> None:
    histories = {
        FLEET.pools[0].key: History(recent=Timeline(pending=(1,), ready=(2,), target=(3,)))
    }
    saved = replace(FLEET, histories=histories)
    await kv.create()
    await kv.put("past.0", b"histories of the version before", expected=0)
    await SnapshotBucket(kv).save(saved)
    assert await kv.get("past.0") is None
    recalled = await recall_snapshot(bucket(await connect(url)))
    assert recalled == replace(saved, attached=True, recalled=True)


async def test_a_large_fleet_is_saved_in_messages_that_a_small_server_takes(
    directory: Path, connect: Connect
) -> None:
    with RealNats(directory, SMALL_MESSAGES) as server:
        kv = bucket(await connect(server.url))
        for number in (300, 200):
            saved = scenarios.many_pools(number)
            await SnapshotBucket(kv).save(saved)
        assert await SnapshotBucket(kv).load() == saved
        sets = {each.key.rpartition(".")[0] for each in await kv.entries("snapshot.set")}
        assert len(sets) == 1, "the parts of the first are gone"


async def test_one_that_is_too_large_is_not_kept_and_says_its_size(
    url: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SnapshotBucket(bucket(await connect(url)))
    await store.save(FLEET)
    monkeypatch.setattr(feed, "MOST_KEPT_BYTES", 1000)
    with pytest.raises(StoreError, match="more than the 1,000 kept"):
        await store.save(scenarios.many_pools(100))
    assert await store.load() == FLEET


LINE = whole_line(FLEET, None)
OURS = b'"version":%d,' % SNAPSHOT_VERSION.major
DAMAGES = {
    "no frame": (b"", b"{}", "it is no line of a journal"),
    "another version": (b"", LINE.replace(OURS, b'"version":99,'), "is of snapshot version 99"),
    "cannot be unpacked": (b"", b"junk", "cannot be unpacked"),
    "cut": (b"", zlib.compress(LINE)[:-9], "is cut"),
    "too many parts": (b'{"version":2,"saved_at":1,"parts":[%s1]}' % (b"1," * 5000), b"", "5,001"),
}


@pytest.mark.parametrize(("head", "part", "words"), DAMAGES.values(), ids=DAMAGES)
async def test_what_cannot_be_read_is_refused_in_words_and_replaced_by_the_next_save(
    kv: Bucket, head: bytes, part: bytes, words: str
) -> None:
    await damage(kv, head, part)
    store = SnapshotBucket(kv)
    with pytest.raises(StoreUnreadableError, match=words):
        await store.load()
    await store.save(FLEET)
    assert await store.load() == FLEET


async def test_who_attaches_is_told_why_the_last_one_cannot_be_read(url: str, kv: Bucket) -> None:
    await damage(kv, b"{", b"")
    async with attached(NatsSettings(servers=(url,))) as (hub, attachment):
        told = "the last snapshot cannot be read: its head cannot be understood"
        while told not in (attachment.problem() or ""):
            await asyncio.sleep(0.01)
        assert hub.latest() is None


async def damage(kv: Bucket, head: bytes, part: bytes) -> None:
    revision = await kv.put("snapshot.set.a.0", part, expected=0)
    valid = {"version": FORMAT, "saved_at": 1.0, "parts": [revision]}
    await kv.put(head_key("snapshot"), head or json.dumps(valid).encode(), expected=0)


# -- who attaches ----------------------------------------------------------------------------


async def test_while_no_controller_runs_the_last_one_is_shown_as_the_past(
    url: str, session: NatsSession, until: Until
) -> None:
    await SnapshotBucket(bucket(session)).save(FLEET)
    async with attached(NatsSettings(servers=(url,))) as (hub, attachment):
        await until(lambda: hub.latest() is not None)
        shown = hub.latest()
        assert shown == replace(FLEET, attached=True, recalled=True)
        at = "2026-03-02 12:04:48Z"
        words = f"no controller runs; this is what host/4711 saw at {at}"
        await until(lambda: attachment.problem() == words)
        # whose clock is behind: what is published is newer than what was kept all the same
        behind = replace(FLEET, epoch=FLEET.epoch - 900, sequence=1, at=FLEET.at - 900)
        async with running(Controller(session, behind).publisher):
            await until(lambda: hub.latest() == replace(behind, attached=True))
            await until(lambda: attachment.problem() is None)
            live = hub.latest()
            assert live is not None
            assert is_newer(live, shown)
            assert not is_newer(shown, live)


async def test_where_a_controller_answers_what_was_kept_is_not_shown(
    url: str, session: NatsSession, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.attach.ANSWERS_WITHIN_S", 0.3)
    await SnapshotBucket(bucket(session)).save(replace(FLEET, epoch=FLEET.epoch + 900))
    controller = Controller(session, FLEET)
    async with (
        running(controller.publisher),
        attached(NatsSettings(servers=(url,))) as (hub, _),
    ):
        await until(lambda: hub.latest() is not None)
        seen = []
        hub.subscribe(seen.append)
        ends = asyncio.get_running_loop().time() + 1.0
        while asyncio.get_running_loop().time() < ends:
            controller.tick()
            await asyncio.sleep(0.02)
        assert seen
        assert not any(each.recalled for each in seen)


async def test_without_the_right_to_read_it_a_sentence_says_so(
    directory: Path, connect: Connect, until: Until
) -> None:
    with Limited(directory, {"allow": ["agentdash.watchers"]}, HEARS) as server:
        await SnapshotBucket(bucket(await connect(server.url))).save(FLEET)
        async with attached(NatsSettings(servers=(server.half,))) as (hub, attachment):
            await until(lambda: "the last snapshot cannot be read" in (attachment.problem() or ""))
            assert "our NATS user may not publish to $js.api.stream.msg.get" in str(
                attachment.problem()
            )
            assert hub.latest() is None


async def test_the_rights_that_the_readme_names_are_enough(
    directory: Path, connect: Connect, until: Until
) -> None:
    readme = (Path(__file__).parents[3] / "docs/pages/on-a-cluster.md").read_text("utf-8")
    told = readme.partition("To see what the last controller saw")[2].partition(".\n")[0]
    assert f"`{READS}`" in told
    assert "`_INBOX.>`" in told
    with Limited(directory, {"allow": ["agentdash.watchers", READS]}, HEARS) as server:
        await SnapshotBucket(bucket(await connect(server.url))).save(FLEET)
        async with attached(NatsSettings(servers=(server.half,))) as (hub, _):
            await until(lambda: hub.latest() is not None)
            assert hub.latest() == replace(FLEET, attached=True, recalled=True)


@asynccontextmanager
async def attached(settings: NatsSettings) -> AsyncIterator[tuple[Hub, Attachment]]:
    hub, stopping = Hub(), asyncio.Event()
    attachment = Attachment(settings, hub, SystemClock())
    task = asyncio.create_task(attachment.run(stopping))
    try:
        yield hub, attachment
    finally:
        stopping.set()
        await task
