"""What a listener is told of a bucket's keys, also when the bucket is lost or goes back in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.aio.msg import Msg

from controller.nats.bucket import Bucket, BucketEntry
from controller.nats.follow import BucketWatch
from controller.nats.jetstream import NatsError
from tests.support.world import VirtualClock, settle
from tests.unit.nats.fake_nats import Answer
from tests.unit.nats.fake_stream import Server, status


class Watched(BucketWatch):
    """A watch of a bucket that a test plays, and what it was told."""

    def __init__(self) -> None:
        self.server, self.clock = Server("KV_b"), VirtualClock()
        bucket = Bucket(self.server, "b")  # type: ignore[arg-type]  # a fake session
        super().__init__(
            self.server,  # type: ignore[arg-type]
            bucket,
            self.clock,
            "keys",
            keys="k.>",
            may_begin_anew=False,
        )
        self.found_keys: list[list[str]] = []
        self.others: list[bool] = []
        self.changes: list[tuple[str, bool]] = []
        self.losses: list[str] = []
        self._delivered = 0

    def found(self, entries: Mapping[str, BucketEntry], *, is_another: bool) -> None:
        super().found(entries, is_another=is_another)
        self.found_keys.append(sorted(entries))
        self.others.append(is_another)

    def changed(self, entry: BucketEntry) -> None:
        self.changes.append((entry.key, entry.deleted))

    def lost(self, error: NatsError) -> None:
        super().lost(error)
        if self.loss is not None:
            self.losses.append(self.loss.detail)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Watched]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.run())
            await settle()
            yield self
            task.cancel()

    async def writes(self, revision: int, *, pending: int = 0, **headers: str) -> None:
        """The consumer delivers the key `k.REVISION`."""
        self._delivered += 1
        reply = f"$JS.ACK.KV_b.c.1.{revision}.{self._delivered}.1500000000.{pending}"
        subject = f"$KV.b.k.{revision}"
        await self.server.delivers(
            Msg(_client=None, subject=subject, reply=reply, data=b"v", headers=headers or None)  # type: ignore[arg-type]
        )

    async def breaks(self) -> None:
        """The consumer is deleted, and the pause after that passes."""
        self._delivered = 0
        await self.server.delivers(status("409", "Consumer Deleted"))
        await self.clock.advance(5)


@pytest.fixture
def watched() -> Watched:
    return Watched()


async def test_all_keys_are_found_before_the_first_change(watched: Watched) -> None:
    watched.server.pending = 2
    async with watched.running():
        await watched.writes(1, pending=1)
        assert watched.found_keys == []
        await watched.writes(2)
        assert watched.found_keys == [["k.1", "k.2"]]
        await watched.writes(3)
    assert watched.changes == [("k.3", False)]


@pytest.mark.parametrize(
    "headers",
    [{"KV-Operation": "DEL"}, {"KV-Operation": "PURGE"}, {"Nats-Marker-Reason": "MaxAge"}],
    ids=str,
)
async def test_every_kind_of_marker_is_a_deleted_key(
    watched: Watched, headers: dict[str, str]
) -> None:
    async with watched.running():
        await watched.writes(1, **headers)
    assert watched.changes == [("k.1", True)]


async def test_a_bucket_that_was_never_there_has_no_keys(watched: Watched) -> None:
    watched.server.missing = True
    async with watched.running():
        assert watched.found_keys == [[]]
        assert watched.losses == []


async def test_a_bucket_that_is_deleted_is_lost(watched: Watched) -> None:
    async with watched.running():
        await watched.writes(1)
        watched.server.missing = True
        await watched.breaks()
    first, *later = watched.losses
    assert first == "the consumer ended: Consumer Deleted"
    assert set(later) == {"there is no bucket b any longer"}


@pytest.mark.parametrize("changed", ["fewer revisions", "created anew"])
async def test_a_bucket_that_is_another_is_followed_on_and_told_so(
    changed: str, watched: Watched
) -> None:
    async with watched.running():
        await watched.writes(7)
        if changed == "fewer revisions":
            watched.server.info = {"last_seq": 6}
        else:
            watched.server.info = {"last_seq": 7}
            watched.server.created = "2026-05-05T00:00:00Z"
        await watched.breaks()
        assert watched.others == [False, True]
        await watched.writes(2)
        watched.server.info = {"last_seq": 7}
        await watched.breaks()
    assert watched.changes[-1] == ("k.2", False)
    assert watched.others == [False, True, False]


async def test_a_write_while_the_stream_is_asked_is_not_a_bucket_that_went_back_in_time(
    watched: Watched,
) -> None:
    async with watched.running():
        await watched.writes(7)
        answer = watched.server.answer

        def meanwhile(subject: str, payload: dict[str, Any]) -> Answer | None:
            if ".STREAM.INFO." in subject:
                watched.bucket.highest = 8
            return answer(subject, payload)

        watched.server.info = {"last_seq": 7}
        watched.server.answer = meanwhile
        await watched.breaks()
        await watched.writes(8)
    assert watched.losses == ["the consumer ended: Consumer Deleted"]
    assert watched.changes == [("k.7", False), ("k.8", False)]
