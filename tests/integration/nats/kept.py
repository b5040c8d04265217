"""A bucket of its own for a test, on a connected session, and a world to remember."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from controller.engine.supervise import SystemClock
from controller.model.ids import PoolKey
from controller.model.intents import Scope
from controller.model.memory import (
    AckMark,
    Memory,
    PendingWrite,
    PoolMemory,
    QueueMark,
    RecommendationRun,
    ScaleChange,
)
from controller.nats.bucket import Bucket
from controller.nats.intents import IntentBucket
from controller.nats.session import NatsSession
from tests.support.nats_server import RealNats

BUCKET = "agentdash"
NOW = 1_700_000_000.0


def bucket(session: NatsSession) -> Bucket:
    return Bucket(session, BUCKET)


def pool_memory(replicas: int = 3) -> PoolMemory:
    return PoolMemory(
        since=NOW - 900,
        last_active_at=NOW - 5.25,
        recommendations=(RecommendationRun(replicas=replicas, first_at=NOW - 60, last_at=NOW),),
        scaled_up=(ScaleChange(change=2, at=NOW - 30.125),),
        asked=PendingWrite(before=1, after=replicas, at=NOW - 1, earlier=(2,)),
        own_zero=True,
        failures={"queue": 2},
        queues=(
            QueueMark(
                stream="TASKS",
                consumer="research",
                created="2026-01-01T00:00:00.5Z",
                at=NOW - 2,
                pending=1,
                in_flight=2,
                delivered=9,
                sequence=8,
                acks=AckMark(consumer_seq=7, stream_seq=6, last_active="2026-01-01T00:00:01Z"),
                max_deliver=5,
            ),
        ),
    )


def memory(pools: int = 2, replicas: int = 3) -> Memory:
    keys = (PoolKey(f"acme/p{number:05}") for number in range(pools))
    return Memory(pools={key: pool_memory(replicas) for key in keys})


class Limited(RealNats):
    """A server with two users: one who may do everything, and `half`, who has these rights."""

    def __init__(
        self,
        directory: Path,
        publish: Mapping[str, Sequence[str]],
        subscribe: Sequence[str] = ("_INBOX.>",),
    ) -> None:
        rights = {"publish": publish, "subscribe": {"allow": subscribe}}
        users = [
            {"user": "free", "password": "free"},
            {"user": "half", "password": "half", "permissions": rights},
        ]
        account = json.dumps({"jetstream": "enabled", "users": users})
        super().__init__(directory, f"accounts {{ A: {account} }}\nno_auth_user: free\n")

    @property
    def half(self) -> str:
        """The address at which one is that user."""
        return self.url.replace("//", "//half:half@")


class Followed:
    """A board that follows a bucket, and what it called back with."""

    def __init__(self, session: NatsSession, kv: Bucket) -> None:
        self.board = IntentBucket(session, kv, SystemClock())
        self.concerned: list[Scope] = []
        self.board.on_change(self._changed)

    def _changed(self, scopes: Collection[Scope]) -> None:
        self.concerned += scopes


@asynccontextmanager
async def following(session: NatsSession, kv: Bucket) -> AsyncIterator[Followed]:
    followed = Followed(session, kv)
    running = asyncio.create_task(followed.board.run())
    try:
        yield followed
    finally:
        running.cancel()
        await asyncio.wait({running})
