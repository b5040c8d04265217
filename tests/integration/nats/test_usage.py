"""The token ledger on the real server: rebuilt, followed, and stale whenever it may be wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from controller.engine.supervise import SystemClock
from controller.model.ids import PoolKey
from controller.model.observation import TokenUsage
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.worker_messages import USAGE_STREAM, USAGE_SUBJECT_PREFIX
from controller.nats.session import NatsSession
from controller.nats.usage import TokenUsageSource
from tests.integration.nats.conftest import NERVOUS, Connect, Until
from tests.integration.nats.kept import Limited
from tests.support.nats_server import RealNats
from tests.unit.nats.usage_world import event, fleet, tenant

PATIENCE_S = 10.0


async def make_stream(session: NatsSession, **more: object) -> JetStreamContext:
    js = session.jetstream(timeout_s=5.0)
    subjects = [f"{USAGE_SUBJECT_PREFIX}.>"]
    await js.add_stream(StreamConfig(name=USAGE_STREAM, subjects=subjects, **more))
    return js


async def publish(js: JetStreamContext, *events: tuple[str, bytes]) -> None:
    await asyncio.gather(*(js.publish(subject, data) for subject, data in events))


def value_of(reading: Reading[TokenUsage]) -> TokenUsage:
    assert not isinstance(reading, Absent)
    return reading.value


class Ledger:
    """A source that reads, and the totals of its tenants."""

    def __init__(self, source: TokenUsageSource) -> None:
        self.source = source

    def of(self, name: str = "acme") -> Reading[TokenUsage]:
        return self.source.read(lambda _: 0)[name]

    def used(self, name: str = "acme") -> Decimal | None:
        reading = self.of(name)
        return None if isinstance(reading, Absent) else reading.value.used

    def is_fresh(self) -> bool:
        return isinstance(self.of(), Fresh)


@asynccontextmanager
async def ledger(session: NatsSession) -> AsyncIterator[Ledger]:
    source = TokenUsageSource(session, SystemClock(), fleet(tenant(), tenant("globex")))
    async with source.reading():
        await source.first_read(PATIENCE_S)
        yield Ledger(source)


async def test_what_was_used_before_the_controller_began_is_counted(session: NatsSession) -> None:
    js = await make_stream(session)
    await publish(js, *[event(input=100, output=10) for _ in range(2500)])
    await publish(js, event("globex", input=7))
    async with ledger(session) as tokens:
        assert isinstance(tokens.of(), Fresh)
        assert tokens.used() == 2500 * 110
        assert tokens.used("globex") == 7


async def test_without_a_stream_nothing_is_known_and_it_says_what_is_missing(
    session: NatsSession,
) -> None:
    async with ledger(session) as tokens:
        reading = tokens.of()
        assert isinstance(reading, Absent)
        assert reading.why is Why.STREAM_MISSING
        assert f"no stream {USAGE_STREAM}" in reading.detail


async def test_a_server_killed_and_started_again_counts_nothing_twice_and_forgets_nothing(
    server: RealNats, connect: Connect, until: Until
) -> None:
    session = await connect(server.url)
    js = await make_stream(session)
    await publish(js, *[event(input=10) for _ in range(300)])
    async with ledger(session) as tokens:
        assert tokens.used() == 3000
        server.kill()
        await until(lambda: not session.connected)
        away = tokens.of()
        assert isinstance(away, Stale)
        assert away.why is Why.DISCONNECTED
        assert away.value.used == 3000
        server.start()
        await until(lambda: session.connected)
        await publish(session.jetstream(), event(input=5))
        await until(lambda: tokens.used() == 3005)
        await until(tokens.is_fresh)
        async with ledger(session) as another:
            assert another.used() == 3005


async def test_a_frozen_server_makes_the_totals_stale(
    server: RealNats, session_to: Connect, until: Until
) -> None:
    session = await session_to(server.url, timing=NERVOUS)
    await until(lambda: session.connected)
    js = await make_stream(session)
    await publish(js, event(input=10))
    async with ledger(session) as tokens:
        assert tokens.is_fresh()
        server.freeze()
        try:
            await until(lambda: not tokens.is_fresh())
            assert tokens.used() == 10
        finally:
            server.thaw()
        await until(tokens.is_fresh)


async def test_a_deleted_stream_is_missed_and_a_new_one_adds_to_what_was_used(
    session: NatsSession, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TokenUsageSource, "retry_most_s", 0.02)
    js = await make_stream(session)
    await publish(js, *[event(input=10) for _ in range(5)])
    async with ledger(session) as tokens:
        await js.delete_stream(USAGE_STREAM)
        await until(lambda: isinstance(tokens.of(), Absent))
        await make_stream(session)
        await publish(js, event(input=1))
        await until(lambda: tokens.used() == 51)
        assert tokens.is_fresh()


async def test_what_was_counted_of_a_stream_that_is_purged_is_known_to_the_next_process(
    session: NatsSession, until: Until
) -> None:
    js = await make_stream(session)
    await publish(js, *[event(input=10) for _ in range(5)])
    async with ledger(session) as tokens:
        await until(lambda: tokens.used() == 50)
        left = tokens.source.spent()
    await js.purge_stream(USAGE_STREAM)
    async with ledger(session) as after:
        assert not after.is_fresh(), "before it has what was left, it knows of nothing"
        after.source.go_on_from(left)
        assert (after.used(), after.is_fresh()) == (50, True)
        await publish(js, event(input=1))
        await until(lambda: after.used() == 51)
        assert after.is_fresh()


async def test_a_day_that_is_purged_in_part_is_known_exactly_to_each_next_process(
    session: NatsSession, until: Until
) -> None:
    js = await make_stream(session)
    await publish(js, *[event(input=10, seconds=1.0) for _ in range(10)])
    async with ledger(session) as tokens:
        await until(lambda: tokens.used() == 100)
        left = tokens.source.spent()
    await js.purge_stream(USAGE_STREAM, seq=8)
    # no process counts these
    await publish(js, *[event(input=1, seconds=3.0) for _ in range(4)], event("globex", input=7))
    async with ledger(session) as alone, ledger(session) as after:
        assert alone.used() == 3 * 10 + 4
        assert not after.is_fresh(), "before it has what was left, it knows of a part"
        after.source.go_on_from(left)
        assert not after.is_fresh(), "what was left lacks what came after it"
        await until(after.is_fresh)
        assert (after.used(), after.used("globex")) == (104, 7)
        # its rates are as of one that read each event once
        burns = [value_of(each.of()).burn_per_minute for each in (alone, after)]
        assert burns[1] == pytest.approx(burns[0], rel=Decimal("0.01"))
        task = after.source.measured(PoolKey("acme/research"))
        assert task is not None
        assert task == alone.source.measured(PoolKey("acme/research"))
        await publish(js, event(input=1))
        await until(lambda: after.used() == 105)
        assert after.is_fresh()
        left = after.source.spent()
        await publish(js, event(input=1))
        await until(lambda: after.used() == 106)
        # it hands over and takes over again, with what the other has saved
        after.source.go_on_from(left)
        await until(after.is_fresh)
        assert after.used() == 106
    async with ledger(session) as last:
        last.source.go_on_from(left)
        await until(last.is_fresh)
        assert (last.used(), last.used("globex")) == (106, 7)


async def test_a_deleted_consumer_is_created_again_where_it_was(
    session: NatsSession, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TokenUsageSource, "retry_most_s", 0.02)
    js = await make_stream(session)
    await publish(js, event(input=10))
    async with ledger(session) as tokens:
        [consumer] = await js.consumers_info(USAGE_STREAM)
        await js.delete_consumer(USAGE_STREAM, consumer.name)
        await publish(js, event(input=1))
        await until(lambda: tokens.used() == 11)
        await until(tokens.is_fresh)


async def test_a_silent_stream_is_asked_for_nothing(directory: Path, session: NatsSession) -> None:
    js = await make_stream(session)
    await publish(js, event(input=10))
    async with ledger(session) as tokens:
        assert tokens.is_fresh()
        before = (await js.account_info()).api.total
        await asyncio.sleep(0.3)
        assert (await js.account_info()).api.total == before + 1


@pytest.mark.parametrize(
    "missing",
    [
        f"$JS.API.STREAM.INFO.{USAGE_STREAM}",
        f"$JS.API.CONSUMER.CREATE.{USAGE_STREAM}",
        f"$JS.API.CONSUMER.MSG.NEXT.{USAGE_STREAM}.>",
    ],
)
async def test_a_user_who_may_not_read_the_stream_is_told_what_it_lacks(
    directory: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr("controller.nats.follow.HEARTBEATS_MISSED", 0.02)
    with Limited(directory, {"deny": [missing]}) as server:
        await publish(await make_stream(await connect(server.url)), event(input=10))
        async with ledger(await connect(server.half)) as tokens:
            reading = tokens.of()
            assert isinstance(reading, Absent)
            assert missing.lower() in reading.detail.lower()
