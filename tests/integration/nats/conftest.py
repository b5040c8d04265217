"""Real nats-servers, one for each test that harms it and else a shared one, and sessions that are
stopped with the test.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest

from controller.engine.supervise import SystemClock
from controller.model.settings import NatsSettings
from controller.nats.bucket import Bucket
from controller.nats.session import NatsSession, SessionTiming
from tests.integration.nats.kept import bucket
from tests.support.nats_server import RealNats

CALM = SessionTiming(retry_first_s=0.01, retry_most_s=0.05)
"""Finds a server soon, and bears with one that is busy."""

NERVOUS = msgspec.structs.replace(CALM, connect_s=1.0, ping_every_s=0.1, ping_timeout_s=0.2)
"""Notices a frozen server soon."""

Connect = Callable[..., Awaitable[NatsSession]]
Until = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short path of its own: nats-server keeps thousands of files below it."""
    with tempfile.TemporaryDirectory(prefix="nats") as path:
        yield Path(path)


@pytest.fixture
def server(directory: Path) -> Iterator[RealNats]:
    with RealNats(directory) as running:
        yield running


@pytest.fixture(scope="session")
def shared() -> Iterator[RealNats]:
    with tempfile.TemporaryDirectory(prefix="nats") as path, RealNats(Path(path)) as running:
        yield running


@pytest.fixture
async def url(shared: RealNats) -> str:
    """The address of a server without streams that nothing happens to."""
    await deleted(shared, ".*")
    client = await nats.connect(shared.url)
    jetstream = client.jetstream()
    for stream in await jetstream.streams_info():
        assert stream.config.name is not None
        await jetstream.delete_stream(stream.config.name)
    await client.close()
    await deleted(shared, "*")
    return shared.url


async def deleted(server: RealNats, files: str) -> None:
    """Wait until these files of streams are deleted.

    nats-server 2.15.1 deletes a stream's files after it has answered. It cannot put away those of a
    stream of the same name meanwhile, and the next stream of that name begins with its messages:
    45 of 2,459 did, and none of 2,841 after this wait.
    """
    while server.has_files(files):
        await asyncio.sleep(0.001)


@pytest.fixture
async def session(url: str, connect: Connect) -> NatsSession:
    """A connection to that server."""
    return await connect(url)


@pytest.fixture
async def kv(session: NatsSession) -> Bucket:
    """A bucket that does not exist yet, on that connection."""
    return bucket(session)


@pytest.fixture
def until() -> Until:
    """Wait for what another process does; the test's own time-out ends it."""

    async def wait(condition: Callable[[], object]) -> None:
        while not condition():
            await asyncio.sleep(0.002)

    return wait


@pytest.fixture
async def session_to() -> AsyncIterator[Callable[..., Awaitable[NatsSession]]]:
    """Start a session; it is stopped with the test, and must leave no task behind."""
    async with AsyncExitStack() as stack:

        async def start(
            *servers: str, timing: SessionTiming = CALM, **settings: Any
        ) -> NatsSession:
            wanted = NatsSettings(servers=servers, **settings)
            session = NatsSession(wanted, SystemClock(), timing=timing)
            return await stack.enter_async_context(session)

        yield start
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:  # cancelled tasks may need a turn of the loop
        _, left = await asyncio.wait(left, timeout=0.5)
    assert not left


@pytest.fixture
async def connect(session_to: Connect, until: Until) -> Connect:
    """A session that is connected."""

    async def start(*servers: str, **settings: Any) -> NatsSession:
        session = await session_to(*servers, **settings)
        await until(lambda: session.connected)
        return session

    return start
