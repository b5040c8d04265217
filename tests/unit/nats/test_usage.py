"""Whether the token totals are fresh, stale or absent, and what plan() makes of midnight."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from nats.aio.msg import Msg

from controller.engine.show.findings import usage_findings
from controller.model.decision import Code, Decision
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import (
    Observation,
    Pods,
    PoolObservation,
    QueueDepth,
    RefusedEvents,
    TenantObservation,
    TierUsage,
    TokenUsage,
    Workload,
)
from controller.model.readings import Fresh, Reading, Stale, Why
from controller.model.scarcity import ModelTier
from controller.model.worker_messages import USAGE_STREAM
from controller.nats.usage import TokenUsageSource
from support.planning import plan
from tests.support.world import VirtualClock, make_pool, settle
from tests.unit.nats.fake_stream import Server, status
from tests.unit.nats.usage_world import NEW_YORK, event, fleet, tenant

EVENING = datetime(2026, 10, 31, 23, 30, tzinfo=ZoneInfo(NEW_YORK)).timestamp()
POOL = make_pool("research")


def idle(_: PoolKey) -> int:
    """No task of any pool is running."""
    return 0


class World:
    """A source on a server that a test plays, and a clock that the test moves."""

    def __init__(self, tenants: Fleet) -> None:
        self.fleet = tenants
        self.clock = VirtualClock(EVENING)
        self.server = Server()
        self.source = TokenUsageSource(self.server, self.clock, tenants)
        self._number = self.removed = 0

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[World]:
        async with self.source.reading():
            await settle()
            yield self

    async def uses(self, tokens: int, *, at: float | None = None, tier: str = "") -> None:
        """A worker of acme reports what a task used, now or `at`."""
        self._number += 1
        stored = int((at or self.clock.now()) * 1e9)
        subject, data = event(input=tokens, tier=tier)
        sequences = f"{self.removed + self._number}.{self._number}"
        reply = f"$JS.ACK.{USAGE_STREAM}.c.1.{sequences}.{stored}.0"
        message = Msg(_client=None, subject=subject, reply=reply, data=data)  # type: ignore[arg-type]
        await self.server.delivers(message)

    async def passes(self, seconds: float) -> None:
        """Only heartbeats come for `seconds`."""
        await self.clock.advance(seconds)
        await self.server.delivers(status("100"))

    def ledger_begins(self) -> float:
        """Midnight in New York."""
        return EVENING - 23.5 * 3600

    def of(self, name: str = "acme") -> Reading[TokenUsage]:
        return self.source.read(idle)[name]

    def decided(self, replicas: int, pending: int) -> Decision:
        """What plan() makes of it for a pool with work waiting."""
        now = self.clock.now()
        seen = PoolObservation(
            queue=Fresh(value=QueueDepth(pending=pending, in_flight=0), at=now),
            workload=Fresh(value=Workload(replicas=replicas, ready=replicas), at=now),
            pods=Fresh(value=Pods(ready=replicas), at=now),
        )
        observation = Observation(
            pools={POOL.key: seen}, tenants={"acme": TenantObservation(usage=self.of())}
        )
        decisions, _ = plan(observation, self.fleet, Intents(), Memory(), now)
        return decisions.decisions[POOL.key]


def new_york(pool: Pool = POOL) -> Fleet:
    return fleet(tenant(timezone=NEW_YORK, tokens_per_day=10_000), pools=(pool,))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(new_york()).reading() as running:
        yield running


async def test_a_spent_tenant_starts_again_at_midnight_in_its_time_zone(world: World) -> None:
    await world.uses(12_000)
    spent = world.decided(replicas=3, pending=4)
    assert spent.target == 0
    assert Code.BUDGET_SPENT in [reason.code for reason in spent.reasons]
    await world.passes(30 * 60 - 1)
    assert world.decided(replicas=0, pending=4).target == 0
    await world.passes(1)
    assert world.decided(replicas=0, pending=4).target == 4


async def test_the_day_in_which_an_hour_comes_twice_has_twenty_five_hours(world: World) -> None:
    await world.passes(30 * 60)
    await world.uses(12_000)
    await world.passes(25 * 3600 - 1)
    assert world.decided(replicas=0, pending=4).target == 0
    await world.passes(1)
    assert world.decided(replicas=0, pending=4).target == 4


async def test_an_event_from_a_server_whose_clock_is_ahead_counts_today(world: World) -> None:
    await world.uses(12_000, at=EVENING + 3600)
    assert world.decided(replicas=0, pending=4).target == 0
    await world.passes(1800)
    assert world.decided(replicas=0, pending=4).target == 4


async def test_a_budget_is_trusted_for_ten_minutes_of_silence_and_no_longer(
    world: World,
) -> None:
    await world.uses(700)
    world.server.connected = False
    await world.clock.advance(600)
    assert world.decided(replicas=1, pending=4).target == 4
    await world.clock.advance(1)
    assert world.decided(replicas=1, pending=4).target == 1


async def test_a_feed_that_falls_silent_is_not_fresh(world: World) -> None:
    await world.passes(1)
    assert isinstance(world.of(), Fresh)
    await world.clock.advance(13)
    reading = world.of()
    assert isinstance(reading, Stale)
    assert reading.why is Why.TIMED_OUT


async def test_without_a_budget_of_tokens_nothing_is_read() -> None:
    world = World(fleet(tenant(tokens_per_day=None), pools=(POOL,)))
    async with world.reading():
        await world.source.first_read(5.0)
        assert world.source.read(idle) == {}
        assert world.server.asked == []


async def test_shares_of_tiers_are_read_without_a_budget_and_say_when_they_are_old() -> None:
    free = fleet(tenant(tokens_per_day=None), pools=(POOL,), tiers=["nano", "premium"])
    async with World(free).reading() as world:
        await world.uses(700, tier="nano")
        tokens = {ModelTier.NANO: 700}
        assert world.source.tiers() == {"acme": TierUsage(tokens=tokens)}
        world.server.connected = False
        assert world.source.tiers() == {"acme": TierUsage(tokens=tokens, is_old=True)}
        assert world.source.read(idle) == {}


async def test_tokens_by_model_are_read_without_a_budget_and_say_when_they_are_old() -> None:
    free = fleet(tenant(tokens_per_day=None), pools=(POOL,), tiers=["nano"])
    async with World(free).reading() as world:
        await world.uses(700, tier="nano")
        (used,) = world.source.by_model().values()
        assert (used.total, used.is_old) == (700, False)
        world.server.connected = False
        assert world.source.by_model()["acme"].is_old


async def test_a_reconnect_to_a_stream_that_lost_unread_events_says_so(world: World) -> None:
    await world.uses(5)
    today = world.ledger_begins()
    world.server.info = {"first_seq": 9, "last_seq": 12, "messages": 4, "first_ts": utc(today + 60)}
    await world.server.delivers(None)
    world.server.reconnect()
    await settle()
    assert lower_bound(world.of()) == 5


@pytest.mark.parametrize(
    ("first", "messages", "seconds", "is_missed"),
    [
        (1, 1, 60, False),
        (50, 1, -1, False),
        (50, 1, 60, True),
        (50, 0, -1, False),
        (50, 0, 60, True),
    ],
    ids=["never removed", "removed before", "removed since", "emptied before", "emptied since"],
)
async def test_what_was_removed_since_the_beginning_is_missed(
    first: int, messages: int, seconds: float, *, is_missed: bool
) -> None:
    world = World(new_york())
    at = utc(world.ledger_begins() + seconds)
    world.server.info |= {"first_seq": first, "messages": messages, "first_ts": at, "last_ts": at}
    async with world.reading():
        assert isinstance(world.of(), Stale if is_missed else Fresh)


async def test_what_was_spent_is_not_forgotten_with_its_stream(world: World) -> None:
    await world.uses(9_000)
    await world.passes(1)
    left = world.source.spent()
    for created, events, used in (
        ("2026-10-31T12:00:00Z", (3_000,), 12_000),  # made again since: this comes after it
        ("2026-10-31T12:00:00Z", (), 9_000),
        (None, (9_500,), 9_500),  # the same stream: what came since, with what was counted
        (None, (2_000,), 9_000),  # emptied
    ):
        after = World(new_york())
        if created is not None:
            after.server.created = created
        after.server.pending = len(events)
        after.source.go_on_from(left)
        async with after.reading():
            for tokens in events:
                await after.uses(tokens)
            await after.passes(1)
            found = after.of()
            assert isinstance(found, Fresh)
            assert found.value.used == used
            assert after.decided(0, 4).next == (0 if used >= 10_000 else 4)
            notes = usage_findings({"acme": TenantObservation(usage=found)}, RefusedEvents())
            assert [each.kind for each in notes] == ["remembered"] * (found.value.remembered > 0)
            # what a third process goes on from counts nothing twice, nor does a second time here
            left_again = after.source.spent()
            after.source.go_on_from(left_again)
            assert after.of() == found


@pytest.mark.parametrize(
    ("first", "since", "used"),
    [(2, (), 12_000), (2, (500,), 12_500), (5, (), None)],
    ids=["emptied", "emptied, and used since", "emptied, with others unread"],
)
async def test_what_is_removed_from_the_stream_is_known_to_the_next_process(
    world: World, first: int, since: tuple[int, ...], used: int | None
) -> None:
    await world.uses(12_000)
    await world.passes(1)
    left = world.source.spent()
    after = World(new_york())
    at = utc(world.clock.now())
    after.server.info |= {"first_seq": first, "messages": len(since), "last_ts": at, "first_ts": at}
    after.server.pending = len(since)
    after.removed = first - 1
    after.source.go_on_from(left)
    async with after.reading():
        for tokens in since:
            await after.uses(tokens)
        await after.passes(1)
        if used is None:
            assert lower_bound(after.of()) == 12_000
            return
        found = after.of()
        assert isinstance(found, Fresh)
        assert found.value.used == used
        reasons = [reason.code for reason in after.decided(0, 4).reasons]
        assert Code.BUDGET_SPENT in reasons, "spent, and not unknown"
        after.server.reconnect()
        await settle()
        await after.passes(1)
        assert isinstance(after.of(), Fresh), "nor after a reconnect"
        assert {each.read for each in after.source.spent().values()} == {1 + len(since)}


def utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def lower_bound(reading: Reading[TokenUsage]) -> int:
    assert isinstance(reading, Stale)
    assert reading.why is Why.INCOMPLETE
    return int(reading.value.used)
