"""What workers say and are told, over a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from controller.engine.supervise import SystemClock
from controller.model.ids import PoolKey
from controller.model.observation import Workers
from controller.model.readings import Absent, Fresh
from controller.model.worker_messages import ORDERS_BUCKET, WORKERS_BUCKET, PoolOrders, WorkerState
from controller.nats.bucket import Bucket
from controller.nats.session import NatsSession
from controller.nats.workers import WorkerBuckets
from support.world import make_fleet, make_pool
from tests.integration.nats.conftest import Connect, Until

POOL = PoolKey("acme/research")
FLEET = make_fleet(make_pool())
DRAIN = PoolOrders(drain=("pod-1", "pod-2"))


def workers(session: NatsSession) -> WorkerBuckets:
    return WorkerBuckets(session, SystemClock(), FLEET)


@asynccontextmanager
async def followed(session: NatsSession) -> AsyncIterator[WorkerBuckets]:
    found = workers(session)
    async with found.following():
        await found.first_read(5.0)
        yield found


def seen(found: WorkerBuckets) -> Workers:
    reading = found.read(POOL)
    assert isinstance(reading, Fresh), reading
    return reading.value


async def say(session: NatsSession, worker: str, *, busy: int = 0, obeyed: int = 0) -> None:
    state = WorkerState(worker=worker, slots=1, busy=busy, pulling=True, obeyed=obeyed)
    bucket = Bucket(session, WORKERS_BUCKET, history=1)
    known = await bucket.get(f"acme.research.{worker}") if bucket.highest else None
    await bucket.put(
        f"acme.research.{worker}",
        msgspec.json.encode(state),
        expected=0 if known is None else known.revision,
    )


async def test_what_workers_say_is_read_and_what_they_are_told_is_stored(
    session: NatsSession, until: Until
) -> None:
    async with followed(session) as found:
        assert seen(found) == Workers(), "no bucket, no workers"
        await say(session, "pod-1")
        await until(lambda: [each.worker for each in seen(found).states] == ["pod-1"])
        await found.tell(POOL, DRAIN)
        now = seen(found)
    assert (now.orders, now.revision, now.silent) == (DRAIN, 1, ("pod-2",))
    stored = await Bucket(session, ORDERS_BUCKET).get("acme.research")
    assert stored is not None
    assert msgspec.json.decode(stored.value, type=PoolOrders) == DRAIN


async def test_a_worker_that_has_just_begun_is_found_although_it_was_not_heard_yet(
    session: NatsSession,
) -> None:
    await say(session, "pod-2", busy=1)
    deaf = workers(session)  # it follows nothing: all that it knows it has asked for
    await deaf.tell(POOL, DRAIN)
    assert not deaf.is_unconfirmed(POOL)
    assert [state.worker for state in deaf._states.of(POOL).values()] == ["pod-2"]
    assert deaf._silent_of(POOL) == ("pod-1",)


async def test_the_same_orders_are_not_stored_twice(url: str, connect: Connect) -> None:
    async with followed(await connect(url)) as found:
        await found.tell(POOL, DRAIN)
        await found.tell(POOL, DRAIN)
        assert seen(found).revision == 1


async def test_orders_outlive_the_controller_and_are_confirmed_by_the_next(
    url: str, connect: Connect
) -> None:
    async with followed(await connect(url)) as first:
        await first.tell(POOL, DRAIN)
    async with followed(await connect(url)) as second:
        assert (seen(second).orders, seen(second).silent) == (DRAIN, ())
        assert second.is_unconfirmed(POOL)
        await second.tell(POOL, DRAIN)
        assert (seen(second).revision, seen(second).silent) == (1, ("pod-1", "pod-2"))


async def test_the_orders_of_a_pool_that_left_the_fleet_are_removed(
    url: str, connect: Connect, until: Until
) -> None:
    async with followed(await connect(url)) as found:
        await found.tell(POOL, DRAIN)
        await found.release([POOL, PoolKey("acme/never-told")])
        await until(lambda: seen(found).revision == 0)
        assert seen(found).orders == PoolOrders()
        await found.tell(POOL, DRAIN)
        assert seen(found).revision > 1, "the key goes on where it was"


async def test_a_bucket_that_the_server_lost_is_followed_again_and_forgets_nobody(
    session: NatsSession, until: Until
) -> None:
    await say(session, "pod-1")
    await say(session, "pod-2")
    async with followed(session) as found:
        await session.jetstream().delete_stream(f"KV_{WORKERS_BUCKET}")
        await say(session, "pod-3")
        await until(lambda: isinstance(found.read(POOL), Fresh) and len(seen(found).states) == 3)


async def test_before_the_first_answer_nothing_is_known(url: str, connect: Connect) -> None:
    found = workers(await connect(url))
    assert isinstance(found.read(POOL), Absent)
    await asyncio.wait_for(found.first_read(0.01), 1.0)
