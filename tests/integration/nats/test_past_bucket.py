"""What people have seen of a fleet, on a real nats-server."""

from __future__ import annotations

import pytest

from controller.model.ids import PoolKey
from controller.model.snapshot import History, Timeline, TokenState
from controller.model.tick import FindingSince, ShownPast, TenantSince
from controller.nats.past import POOLS_IN_PART, PastBucket
from controller.ports import StoreConflictError
from tests.integration.nats.conftest import Connect
from tests.integration.nats.kept import NOW, bucket
from tests.support.nats_server import RealNats


def past(pools: int, at: float = NOW) -> ShownPast:
    day = Timeline(pending=tuple(range(96)), ready=(3,) * 96, target=(-1,) * 96)
    histories = {PoolKey(f"acme/p{n:05d}"): History(day=day) for n in range(pools)}
    return ShownPast(
        at=at,
        findings=(FindingSince(subject="acme/p00001", kind="queue", since=NOW - 60),),
        tenants=(TenantSince(name="acme", tokens=TokenState.HARD, tokens_since=NOW - 9),),
        histories=histories,
        tenant_histories={"acme": History(recent=Timeline(tokens=(5,) * 60))},
    )


async def test_what_was_saved_is_loaded_in_parts_without_loss(
    server: RealNats, connect: Connect
) -> None:
    saved = past(2 * POOLS_IN_PART + 1)
    await PastBucket(bucket(await connect(server.url))).save(saved)
    first, *rest = await PastBucket(bucket(await connect(server.url))).load()
    assert (first.findings, first.tenants) == (saved.findings, saved.tenants)
    assert first.tenant_histories == saved.tenant_histories
    found = {key: each for part in (first, *rest) for key, each in part.histories.items()}
    assert (len(rest), found) == (2, saved.histories)


async def test_nothing_was_ever_saved(server: RealNats, connect: Connect) -> None:
    kv = bucket(await connect(server.url))
    assert await PastBucket(kv).load() == ()
    await kv.create()
    assert await PastBucket(kv).load() == ()


async def test_a_smaller_fleet_leaves_no_parts_of_the_larger_one(
    server: RealNats, connect: Connect
) -> None:
    kv = bucket(await connect(server.url))
    store = PastBucket(kv)
    await store.save(past(POOLS_IN_PART + 1))
    await store.save(past(1, NOW + 60))
    (part,) = await store.load()
    assert (part.at, len(part.histories)) == (NOW + 60, 1)
    assert len(await kv.history("past.>")) == 1


async def test_another_process_that_saves_is_noticed_once_and_then_replaced(
    server: RealNats, connect: Connect
) -> None:
    ours = PastBucket(bucket(await connect(server.url)))
    theirs = PastBucket(bucket(await connect(server.url)))
    await ours.save(past(1))
    await theirs.save(past(2, NOW + 1))
    with pytest.raises(StoreConflictError, match="another controller"):
        await ours.save(past(1, NOW + 2))
    await ours.save(past(1, NOW + 3))
    (part,) = await theirs.load()
    assert part.at == NOW + 3


@pytest.mark.parametrize("value", [b"", b"junk", b"\x78\x9c\x03\x00\x00\x00\x00\x01"])
async def test_a_part_that_cannot_be_understood_is_left_out(
    server: RealNats, connect: Connect, value: bytes
) -> None:
    kv = bucket(await connect(server.url))
    store = PastBucket(kv)
    await store.save(past(POOLS_IN_PART + 1))
    entry = await kv.get("past.1")
    assert entry is not None
    await kv.put("past.1", value, expected=entry.revision)
    (part,) = await store.load()
    assert len(part.histories) == POOLS_IN_PART
