"""An operator who asks for one thing after another, on a connection of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from controller.engine.supervise import SystemClock
from controller.model.intents import Intent, IntentKey, Operator
from controller.model.settings import NatsSettings
from controller.nats.bucket import Bucket
from controller.nats.desk import BucketDesk
from controller.nats.session import NatsSession
from support.live import until


class Desk:
    """Asks in place of what stands."""

    def __init__(self, session: NatsSession) -> None:
        self._desk = BucketDesk(Bucket(session, "agentdash"), Operator(who="test"))

    async def ask(self, intent: Intent) -> None:
        standing = await self._desk.find(intent.key)
        await self._desk.put(intent, replaces=None if standing is None else standing.revision)

    async def withdraw(self, key: IntentKey) -> None:
        standing = await self._desk.find(key)
        assert standing is not None
        await self._desk.withdraw(key, replaces=standing.revision, why="")


@asynccontextmanager
async def operator(url: str) -> AsyncIterator[Desk]:
    async with NatsSession(NatsSettings(servers=(url,)), SystemClock()) as session:
        await until(lambda: session.connected)
        yield Desk(session)
