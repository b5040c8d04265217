"""A bucket on a real nats-server: created by the first write, written by compare-and-set."""

from __future__ import annotations

from pathlib import Path

import nats
import pytest

from controller.nats.bucket import Bucket
from controller.ports import (
    StoreAwayError,
    StoreConflictError,
    StoreMissingError,
    StoreRefusedError,
)
from tests.integration.nats.conftest import Connect
from tests.integration.nats.kept import BUCKET, Limited, bucket


async def test_reading_makes_no_bucket_and_the_first_write_does(kv: Bucket) -> None:
    with pytest.raises(StoreMissingError, match="there is no bucket agentdash"):
        await kv.get("a")
    with pytest.raises(StoreMissingError):
        await kv.entries("a")
    assert await kv.put("a", b"1", expected=0) == 1
    entry = await kv.get("a")
    assert entry is not None
    assert (entry.key, entry.value, entry.revision, entry.deleted) == ("a", b"1", 1, False)


async def test_a_stale_write_loses(kv: Bucket) -> None:
    first = await kv.put("a", b"1", expected=0)
    second = await kv.put("a", b"2", expected=first)
    for stale in (0, first, second + 1):
        with pytest.raises(StoreConflictError):
            await kv.put("a", b"x", expected=stale)
        with pytest.raises(StoreConflictError):
            await kv.delete("a", expected=stale, note=b"")
    entry = await kv.get("a")
    assert entry is not None
    assert entry.value == b"2"


async def test_a_deleted_key_leaves_a_marker_with_its_note(kv: Bucket) -> None:
    revision = await kv.put("a", b"1", expected=0)
    await kv.delete("a", expected=revision, note=b"why")
    entry = await kv.get("a")
    assert entry is not None
    assert (entry.deleted, entry.value) == (True, b"why")
    assert await kv.put("a", b"2", expected=entry.revision) == entry.revision + 1


async def test_the_latest_value_is_the_keys_and_former_ones_are_its_history(kv: Bucket) -> None:
    first = await kv.put("a", b"1", expected=0)
    second = await kv.put("a", b"2", expected=first)
    latest, former = await kv.get("a"), await kv.at_revision(first)
    assert latest is not None
    assert former is not None
    assert (latest.value, latest.revision, former.value) == (b"2", second, b"1")
    assert [each.revision for each in await kv.history("a")] == [first, second]
    assert [each.value for each in await kv.history(">")] == [b"1", b"2"]
    assert await kv.history("b.>") == []
    assert await kv.get("never") is None
    assert kv.highest == second


async def test_the_keys_below_a_prefix_are_found_and_purged_up_to_a_revision(kv: Bucket) -> None:
    for key in ("a.1", "a.2.x", "ab", "b.1"):
        await kv.put(key, key.encode(), expected=0)
    last = await kv.put("a.3", b"", expected=0)
    assert [entry.key for entry in await kv.entries("a")] == ["a.1", "a.2.x", "a.3"]
    await kv.purge("a", before=last)
    assert [entry.key for entry in await kv.entries("a")] == ["a.3"]
    assert await kv.get("b.1") is not None


async def test_other_tools_see_it_as_the_key_value_bucket_it_is(
    url: str, kv: Bucket, connect: Connect
) -> None:
    revision = await kv.put("a.b", b"1", expected=0)
    client = await nats.connect(url)
    try:
        theirs = await client.jetstream().key_value(BUCKET)
        assert (await theirs.get("a.b")).value == b"1"
        await theirs.delete("a.b")
        entry = await kv.get("a.b")
        assert entry is not None
        assert entry.deleted
        assert entry.revision > revision
    finally:
        await client.close()


async def test_a_bucket_that_its_owner_made_is_used_as_it_is(url: str, connect: Connect) -> None:
    client = await nats.connect(url)
    try:
        await client.jetstream().create_key_value(bucket=BUCKET, history=5)
        kv = bucket(await connect(url))
        await kv.create()
        await kv.put("a", b"1", expected=0)
        status = await (await client.jetstream().key_value(BUCKET)).status()
        assert status.history == 5
    finally:
        await client.close()


async def test_a_stream_that_takes_the_buckets_subjects_is_named(
    url: str, connect: Connect
) -> None:
    client = await nats.connect(url)
    try:
        await client.jetstream().add_stream(name="GREEDY", subjects=["$KV.>"])
        kv = bucket(await connect(url))
        with pytest.raises(StoreAwayError, match="stream GREEDY takes what is meant"):
            await kv.put("a", b"1", expected=0)
    finally:
        await client.close()


async def test_a_user_without_the_right_to_write_is_told_so_and_reads_on(
    directory: Path, connect: Connect
) -> None:
    reads = ["$JS.API.INFO", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*"]
    with Limited(directory, {"allow": reads}) as server:
        await bucket(await connect(server.url)).put("a.b", b"1", expected=0)
        reader = bucket(await connect(server.half))
        assert [entry.value for entry in await reader.entries("a")] == [b"1"]
        with pytest.raises(
            StoreRefusedError, match=r"(?i)may not publish to \$KV\.agentdash\.a\.b"
        ):
            await reader.put("a.b", b"2", expected=1)


async def test_more_copies_than_there_are_servers_are_refused_in_words(
    url: str, connect: Connect
) -> None:
    kv = bucket(await connect(url, replicas=3))
    with pytest.raises(StoreAwayError, match=r"bucket agentdash cannot be created: replicas > 1"):
        await kv.put("a", b"1", expected=0)
