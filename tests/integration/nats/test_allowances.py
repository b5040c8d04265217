"""What workers may use, over a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import nats
import pytest
from nats.aio.client import Client

from controller.model.ids import PoolKey
from controller.model.worker_messages import ALLOWANCES_BUCKET, PoolAllowance, WorkerTerms
from controller.nats.session import NatsSession
from controller.nats.workers import AllowanceBucket
from controller.ports import StoreError
from support.world import make_fleet, make_pool
from tests.integration.nats.conftest import Connect

POOL = PoolKey("acme/research")


def allowing(model: str) -> PoolAllowance:
    return PoolAllowance(terms=WorkerTerms(model=model))


@pytest.fixture
async def client(url: str) -> AsyncIterator[Client]:
    connected = await nats.connect(url)
    yield connected
    await connected.close()


async def listening(client: Client) -> asyncio.Queue[str]:
    """What workers hear: the model of each allowance."""
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def on_message(message: object) -> None:
        data = getattr(message, "data", b"")
        heard.put_nowait(msgspec.json.decode(data, type=PoolAllowance).terms.model)

    await client.subscribe(f"$KV.{ALLOWANCES_BUCKET}.acme.research", cb=on_message)
    await client.flush()
    return heard


def allowances(session: NatsSession) -> AllowanceBucket:
    return AllowanceBucket(session, make_fleet(make_pool()))


async def test_the_bucket_is_created_although_workers_listen_to_it_already(
    session: NatsSession, client: Client
) -> None:
    """The server delivers the first write to them, so no stream's absence is told."""
    heard = await listening(client)
    store = allowances(session)
    await store.allow(POOL, allowing("small"))
    await store.allow(POOL, allowing("large"))
    assert [await heard.get() for _ in range(2)] == ["small", "large"]


async def test_a_bucket_that_is_deleted_is_made_again(session: NatsSession, client: Client) -> None:
    await listening(client)
    store = allowances(session)
    await store.allow(POOL, allowing("small"))
    await client.jetstream().delete_key_value(ALLOWANCES_BUCKET)
    with pytest.raises(StoreError):
        await store.allow(POOL, allowing("large"))
    await store.allow(POOL, allowing("large"))


async def test_what_another_controller_stored_is_replaced(url: str, connect: Connect) -> None:
    one, other = allowances(await connect(url)), allowances(await connect(url))
    await one.allow(POOL, allowing("small"))
    await other.allow(POOL, allowing("medium"))
    await one.allow(POOL, allowing("large"))
