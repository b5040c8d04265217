"""The planner's memory on a real nats-server: a save is complete or has no effect."""

from __future__ import annotations

import msgspec
import pytest

from controller.model.ids import PoolKey
from controller.model.memory import Memory
from controller.nats import state as memory_module
from controller.nats.bucket import Bucket, BucketEntry
from controller.nats.state import VERSION, MemoryBucket, head_key, parts_prefix
from controller.ports import StoreAwayError, StoreConflictError, StoreUnreadableError
from tests.integration.nats.conftest import Connect
from tests.integration.nats.kept import NOW, bucket, memory
from tests.support.nats_server import RealNats

HEAD = head_key("memory")
PARTS = parts_prefix("memory")


async def parts(kv: Bucket) -> list[str]:
    return [entry.key for entry in await kv.entries(PARTS) if not entry.deleted]


async def test_what_was_saved_is_loaded_without_loss(url: str, connect: Connect) -> None:
    saved = memory()
    await MemoryBucket(bucket(await connect(url))).save(saved, NOW)
    loaded = await MemoryBucket(bucket(await connect(url))).load()
    assert loaded is not None
    assert (loaded.memory, loaded.saved_at) == (saved, NOW)


async def test_a_memory_from_before_histories_of_queues_were_kept_is_read(kv: Bucket) -> None:
    await kv.create()
    part = b'{"acme/research":{"since":1.0,"standing":{"condition":"ok","since":2.0},"ours":3}}'
    revision = await kv.put(f"{PARTS}.0123456789abcdef.0", part, expected=0)
    head = b'{"version":2,"saved_at":9.0,"parts":[%d]}' % revision
    await kv.put(HEAD, head, expected=0)
    loaded = await MemoryBucket(kv).load()
    assert loaded is not None
    found = loaded.memory.pools[PoolKey("acme/research")]
    assert (found.since, found.ours, found.queues) == (1.0, 3, ())


async def test_the_age_of_a_memory_is_by_the_servers_clock(url: str, connect: Connect) -> None:
    store = MemoryBucket(bucket(await connect(url)))
    await store.save(memory(), NOW)
    loaded = await store.load()
    assert loaded is not None
    assert loaded.age_s is not None
    assert 0.0 <= loaded.age_s < 10.0


async def test_until_when_a_memory_was_all_there_is_and_whether_it_is_partial(kv: Bucket) -> None:
    store = MemoryBucket(kv)
    await store.save(memory(), NOW)
    loaded = await MemoryBucket(kv).load()
    assert loaded is not None
    assert (loaded.seen_s, loaded.is_partial) == (None, False)
    for is_partial in (False, True):
        await store.seen(is_partial=is_partial)
        loaded = await MemoryBucket(kv).load()
        assert loaded is not None
        assert loaded.seen_s is not None
        assert loaded.age_s is not None
        assert loaded.seen_s < loaded.age_s
        assert loaded.is_partial is is_partial
    await store.save(memory(), NOW + 1)
    loaded = await MemoryBucket(kv).load()
    assert loaded is not None
    assert not loaded.is_partial, "what was said of the memory before says nothing of this one"


async def test_another_process_that_notes_too_is_a_conflict(url: str, connect: Connect) -> None:
    one = MemoryBucket(bucket(await connect(url)))
    await one.save(memory(), NOW)
    await one.seen(is_partial=False)
    two = MemoryBucket(bucket(await connect(url)))
    await two.load()
    await two.seen(is_partial=False)
    with pytest.raises(StoreConflictError):
        await one.seen(is_partial=False)


async def test_nothing_was_ever_saved(kv: Bucket) -> None:
    assert await MemoryBucket(kv).load() is None
    await kv.create()
    assert await MemoryBucket(kv).load() is None


async def test_an_empty_memory_is_not_none(url: str, connect: Connect) -> None:
    store = MemoryBucket(bucket(await connect(url)))
    await store.save(memory(), NOW)
    await store.save(Memory(), NOW + 1)
    loaded = await store.load()
    assert loaded is not None
    assert loaded.memory == Memory()


async def test_a_fleet_of_thousands_of_pools_fits_and_only_the_last_set_is_kept(kv: Bucket) -> None:
    store = MemoryBucket(kv)
    await store.save(memory(3_000, replicas=1), NOW)
    await store.save(memory(3_000, replicas=2), NOW)
    loaded = await store.load()
    assert loaded is not None
    assert loaded.memory == memory(3_000, replicas=2)
    sets = {key.rpartition(".")[0] for key in await parts(kv)}
    assert len(sets) == 1


async def test_a_save_that_is_cut_short_leaves_the_one_before(
    kv: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_module, "PART_BYTES", 1)
    store = MemoryBucket(kv)
    await store.save(memory(5, replicas=1), NOW)
    for writes in range(6):
        session = Dying(kv, writes)
        with pytest.raises(StoreAwayError, match="cut"):
            await MemoryBucket(session).save(memory(5, replicas=9), NOW + 1)
        loaded = await MemoryBucket(kv).load()
        assert loaded is not None
        assert loaded.memory == memory(5, replicas=1)
    await store.save(memory(3, replicas=2), NOW + 2)
    assert len(await parts(kv)) == 3, "the parts of the interrupted saves are gone"


async def test_a_load_while_others_save_finds_one_of_them_whole(
    kv: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_module, "PART_BYTES", 1)
    store = MemoryBucket(kv)
    await store.save(memory(4, replicas=1), NOW)
    reading = Interrupted(kv, store)
    loaded = await MemoryBucket(reading).load()
    assert loaded is not None
    assert loaded.memory == memory(4, replicas=2)


async def test_another_controller_that_saves_too_is_noticed_and_replaced_next_time(
    url: str, connect: Connect
) -> None:
    ours = MemoryBucket(bucket(await connect(url)))
    theirs = MemoryBucket(bucket(await connect(url)))
    await ours.save(memory(replicas=1), NOW)
    await theirs.save(memory(replicas=2), NOW)
    with pytest.raises(StoreConflictError, match="another memory"):
        await ours.save(memory(replicas=3), NOW)
    loaded = await ours.load()
    assert loaded is not None
    assert loaded.memory == memory(replicas=2)
    await ours.save(memory(replicas=3), NOW)
    loaded = await ours.load()
    assert loaded is not None
    assert loaded.memory == memory(replicas=3)


HEADS = {
    "not-json": (b"{", "cannot be understood"),
    "not-utf8": (b'{"version": "\xff"}', "cannot be understood"),
    "nested": (b'{"version": %d, "parts": %s' % (VERSION, b"[" * 100_000), "nested too deeply"),
    "another-shape": (b'{"version": %d, "surprise": 1}' % VERSION, "cannot be understood"),
    "older": (b'{"version": 1, "saved_at": 1}', f"format 1, this program reads {VERSION}"),
    "newer": (b'{"version": 99, "pools": {}}', f"format 99, this program reads {VERSION}"),
    "no-version": (b"{}", "cannot be understood"),
    "parts-of-nothing": (
        b'{"version": %d, "saved_at": 1, "parts": [999]}' % VERSION,
        "are missing",
    ),
}


@pytest.mark.parametrize(("head", "words"), HEADS.values(), ids=HEADS)
async def test_what_cannot_be_read_is_lost_in_words_and_replaced_by_the_next_save(
    kv: Bucket, head: bytes, words: str
) -> None:
    await kv.put(HEAD, head, expected=0)
    store = MemoryBucket(kv)
    with pytest.raises(StoreUnreadableError, match=words):
        await store.load()
    await store.save(memory(), NOW)
    assert await store.load() is not None


async def test_a_part_that_cannot_be_read_loses_all_of_it(kv: Bucket) -> None:
    revision = await kv.put(
        f"{PARTS}.a.0", b'{"acme/research": {"since": "yesterday"}}', expected=0
    )
    head = msgspec.json.encode({"version": VERSION, "saved_at": NOW, "parts": [revision]})
    await kv.put(HEAD, head, expected=0)
    with pytest.raises(StoreUnreadableError, match="a part of it"):
        await MemoryBucket(kv).load()


async def test_a_server_that_is_away_is_not_an_empty_memory(
    server: RealNats, connect: Connect
) -> None:
    store = MemoryBucket(bucket(await connect(server.url)))
    await store.save(memory(), NOW)
    server.kill()
    with pytest.raises(StoreAwayError):
        await store.load()


class Dying(Bucket):
    """A bucket whose process ends after `writes` writes."""

    def __init__(self, kv: Bucket, writes: int) -> None:
        super().__init__(kv._session, kv.name)
        self._writes = writes

    async def put(self, key: str, value: bytes, *, expected: int) -> int:
        if self._writes == 0:
            raise StoreAwayError("cut")
        self._writes -= 1
        return await super().put(key, value, expected=expected)


class Interrupted(Bucket):
    """A bucket in which another process saves between the first reads of its parts."""

    def __init__(self, kv: Bucket, other: MemoryBucket) -> None:
        super().__init__(kv._session, kv.name)
        self._other: MemoryBucket | None = other

    async def at_revision(self, revision: int) -> BucketEntry | None:
        found = await super().at_revision(revision)
        if self._other is not None:
            other, self._other = self._other, None
            await other.save(memory(4, replicas=2), NOW + 1)
        return found


async def test_after_a_save_that_could_not_read_the_head_the_next_one_replaces_it(
    url: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    kv = bucket(await connect(url))
    await MemoryBucket(kv).save(memory(), NOW)
    store = MemoryBucket(kv)
    get = kv.get

    async def away(key: str) -> BucketEntry | None:
        raise StoreAwayError(key)

    monkeypatch.setattr(kv, "get", away)
    with pytest.raises(StoreAwayError):
        await store.save(memory(), NOW + 1)
    monkeypatch.setattr(kv, "get", get)
    await store.save(memory(), NOW + 2)
    loaded = await MemoryBucket(kv).load()
    assert loaded is not None
    assert loaded.saved_at == NOW + 2
