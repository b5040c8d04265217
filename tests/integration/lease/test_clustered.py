"""The election on a key that three real servers keep, while the server that leads it is lost."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
import pytest
from nats.aio.client import Client

from controller.engine.lead import Elector, WriteRight
from controller.engine.supervise import SystemClock
from controller.model.settings import LeaseTimes, NatsSettings
from controller.nats.bucket import Bucket
from controller.nats.session import NatsSession
from controller.nats.state import BucketLease
from support.live import until
from support.nats_cluster import NatsCluster

pytestmark = pytest.mark.timeout(240)

BUCKET: Final = "agentdash"
PATIENCE_S: Final = 60.0
"""Servers elect another leader after 4 to 9 s of silence; a busy machine may need several tries."""
SHORT: Final = LeaseTimes(duration_s=6.0, renew_deadline_s=4.0, retry_s=0.5)
"""The right to write ends 2 s after a renewal: sooner than servers elect another leader."""


class Span(NamedTuple):
    """A time on the monotonic clock in which a process might have written."""

    began: float
    ended: float


class WatchedRight(WriteRight):
    """Remembers all the time in which a write could have begun."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[Span] = []
        self.renewed_at = 0.0

    def extend(self, until: float) -> None:
        super().extend(until)
        now = self.renewed_at = self.steady()
        if self.spans and self.spans[-1].ended >= now:
            self.spans[-1] = Span(self.spans[-1].began, until)
        elif until > now:
            self.spans.append(Span(now, until))

    def end(self) -> None:
        super().end()
        if self.spans:
            began, ended = self.spans[-1]
            self.spans[-1] = Span(began, min(ended, self.steady()))


class Election:
    """Three processes that elect one of them on a cluster of three servers."""

    def __init__(self, cluster: NatsCluster, client: Client) -> None:
        self.cluster = cluster
        self.client = client
        self.rights: list[WatchedRight] = []

    def writers(self) -> list[int]:
        return [number for number, right in enumerate(self.rights) if right.may_write()]

    async def someone_writes(self, *, after: float) -> None:
        """Wait for a renewal after this time that gives the right to write."""
        await until(
            lambda: any(right.may_write() and right.renewed_at > after for right in self.rights),
            PATIENCE_S,
        )

    def never_two(self) -> None:
        """At no moment did two processes have the right to write."""
        for (one, first), (other, second) in itertools.combinations(enumerate(self.rights), 2):
            for mine, theirs in itertools.product(first.spans, second.spans):
                both = min(mine.ended, theirs.ended) - max(mine.began, theirs.began)
                assert both <= 0, f"{one} and {other} might both have written for {both:.3f} s"

    async def leader_of_the_bucket(self) -> str:
        info = await self.client.jetstream().stream_info(f"KV_{BUCKET}")
        assert info.cluster is not None
        assert info.cluster.leader is not None
        assert info.config.num_replicas == 3
        return info.cluster.leader

    async def leader_of_jetstream(self) -> str:
        """The server that leads the cluster's metadata."""
        server = self.cluster.servers["one"]
        async with aiohttp.ClientSession() as http, http.get(f"{server.monitor}/jsz") as answer:
            return str((await answer.json())["meta_cluster"]["leader"])


@asynccontextmanager
async def election(folder: Path, times: LeaseTimes) -> AsyncIterator[Election]:
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        cluster = stack.enter_context(NatsCluster(folder))
        client = await cluster.connect()
        stack.push_async_callback(client.close)
        settings = NatsSettings(servers=tuple(cluster.urls), bucket=BUCKET, replicas=3)
        found, electors = Election(cluster, client), []
        for number in range(3):
            session = await stack.enter_async_context(NatsSession(settings, clock))
            lease, right = BucketLease(session, Bucket(session, BUCKET)), WatchedRight()
            electors.append(Elector(lease, f"process/{number}", times, right, clock))
            found.rights.append(right)
        running = [asyncio.create_task(each.run()) for each in electors]
        try:
            yield found
            assert not any(each.done() for each in running)
        finally:
            for each in running:
                each.cancel()
            await asyncio.wait(running)


async def lose_leader_of_jetstream(election: Election) -> None:
    election.cluster.servers[await election.leader_of_jetstream()].kill()


async def freeze_leader_of_bucket(election: Election) -> None:
    """It stands still until the others have elected another, then it goes on."""
    server = election.cluster.servers[await election.leader_of_the_bucket()]
    server.freeze()
    try:
        await election.someone_writes(after=election.rights[0].steady())
    finally:
        server.thaw()


@pytest.mark.parametrize(
    ("lose", "times"),
    [
        (lose_leader_of_jetstream, SHORT),
        (freeze_leader_of_bucket, SHORT),
    ],
    ids=["metadata leader killed", "bucket's leader frozen"],
)
async def test_while_servers_elect_another_leader_there_are_never_two_writers_and_then_one(
    tmp_path: Path, times: LeaseTimes, lose: Callable[[Election], Awaitable[None]]
) -> None:
    async with election(tmp_path, times) as found:
        steady = found.rights[0].steady
        await found.someone_writes(after=steady())
        lost_at = steady()
        await lose(found)
        await found.someone_writes(after=lost_at + times.retry_s)
        await found.someone_writes(after=steady())
        found.never_two()


async def test_without_a_majority_of_servers_nobody_may_write_until_it_is_back(
    tmp_path: Path,
) -> None:
    async with election(tmp_path, SHORT) as found:
        steady = found.rights[0].steady
        await found.someone_writes(after=steady())
        lost = [found.cluster.servers[name] for name in ("one", "two")]
        for server in lost:
            server.kill()
        last_at = steady()
        await until(lambda: steady() > last_at + SHORT.right_s)
        assert found.writers() == [], "the right outlives the servers"
        lost[0].start()
        await found.someone_writes(after=steady())
        found.never_two()
