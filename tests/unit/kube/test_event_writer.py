from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from controller.kube.client import Client
from controller.kube.errors import ApiError
from controller.kube.writes import EVENT_EVERY_S, EventWriter
from controller.model.decision import Announcement
from support.world import FakeCluster, VirtualClock, make_pool, settle

POOL = make_pool("research")
UP = Announcement(reason="ScaledUp", note="scaled from 0 to 1")


class FakeClient(Client):
    """Keeps the requests; a test may make them fail."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Any]] = []
        self.failure: ApiError | None = None

    async def call(self, method: str, path: str, **more: Any) -> bytes:
        self.sent.append((method, path, more["body"]))
        if self.failure is not None:
            raise self.failure
        return b"{}"


class World:
    def __init__(self) -> None:
        self.clock, self.client = VirtualClock(), FakeClient()
        cluster = FakeCluster(self.clock, [POOL])
        self.writer = EventWriter(self.client, cluster, self.clock, "host/1")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.writer.run())
        try:
            yield
        finally:
            task.cancel()

    async def announce(self, *, reason: str = "ScaledUp", note: str = UP.note) -> None:
        self.writer.announce(POOL, Announcement(reason=reason, note=note))
        await self.clock.advance(2.0)


async def test_a_repeated_note_is_one_event_whose_series_counts() -> None:
    world = World()
    async with world.running():
        await world.announce()
        for _ in range(3):
            await world.announce()
        assert len(world.client.sent) == 1
        await world.clock.advance(EVENT_EVERY_S)
        (_, created, event), (method, path, body) = world.client.sent
    assert event["note"] == UP.note
    assert (method, path) == ("PATCH", f"{created}/{event['metadata']['name']}")
    assert body["series"]["count"] == 4


async def test_the_newest_note_is_written_at_most_once_a_minute_for_each_reason() -> None:
    world = World()
    async with world.running():
        for number in range(100):
            await world.announce(note=f"scaled to {number}")
        await world.announce(reason="ScaledDown", note="scaled to 0")
        await world.clock.advance(EVENT_EVERY_S)
    notes = [body["note"] for _, _, body in world.client.sent]
    assert notes[0] == "scaled to 0"
    assert notes[-1] == "scaled to 99"
    times = (100 * 2.0 + 2.0 + EVENT_EVERY_S) / EVENT_EVERY_S
    assert len(notes) <= times + 2
    assert notes.count("scaled to 0") == 2  # the first of its reason, and that of the other


async def test_without_the_right_it_says_so_and_waits_before_it_tries_again() -> None:
    world = World()
    world.client.failure = ApiError(403, "Forbidden", "events is forbidden")
    async with world.running():
        await world.announce()
        await world.announce(reason="ScaledDown")
        await settle()
        assert len(world.client.sent) == 1
        assert "forbidden" in world.writer.refusal()
        world.client.failure = None
        await world.clock.advance(300.0)
        assert len(world.client.sent) == 2
        assert world.writer.refusal() == ""
