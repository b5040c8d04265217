"""Operators' intents on a real nats-server: followed as they change, and kept in force while they
cannot be read.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg

from controller.model.clock import time_words
from controller.model.intents import IntentKind, Intents, Operator, Scope
from controller.nats.bucket import Bucket
from controller.nats.desk import BucketDesk
from controller.nats.intents import FAULTS_SHOWN, IntentBucket, read_intents
from controller.nats.jetstream import stream_info
from controller.nats.session import Listening, NatsSession
from controller.ports import IntentConflictError
from support.asked import a_budget, a_cap, a_freeze, a_pause, a_pin, intents_of, no_growth_of
from tests.integration.nats.conftest import NERVOUS, Connect, Until
from tests.integration.nats.kept import bucket, following
from tests.support.intent_desk import IntentDesk
from tests.support.nats_server import RealNats

RESEARCH = Scope(pool="acme/research")
PIN = a_pin(pool="acme/research", replicas=2, who="ann", why="launch")
PAUSE = a_pause(scope=Scope(tenant="acme"), keep=1, who="ben", why="cost", until=2e9)
FREEZE = a_freeze(scope=Scope(), who="eve", why="incident")


async def test_stored_intents_and_each_change_are_seen(
    session: NatsSession, kv: Bucket, until: Until
) -> None:
    desk = IntentDesk(kv)
    await desk.put(PIN, replaces=None)
    async with following(session, kv) as seen:
        await seen.board.first_read()
        assert seen.board.stored().in_force() == intents_of(pins=(PIN,))
        await desk.put(FREEZE, replaces=None)
        pause = await desk.put(PAUSE, replaces=None)
        await until(lambda: seen.board.stored().in_force().of(IntentKind.PAUSE))
        assert seen.board.stored().in_force() == intents_of(
            pins=(PIN,), pauses=(PAUSE,), freezes=(FREEZE,)
        )
        await desk.withdraw(IntentKind.PAUSE, PAUSE.scope, replaces=pause)
        await until(lambda: not seen.board.stored().in_force().of(IntentKind.PAUSE))
    assert seen.concerned == [RESEARCH, Scope(), PAUSE.scope, PAUSE.scope]
    assert await read_intents(kv) == seen.board.stored()


async def test_entries_written_before_there_were_authors_are_still_read(kv: Bucket) -> None:
    await kv.put("intent.pin.acme.research", b'{"version":1,"who":"ann","replicas":2}', expected=0)
    await kv.put("intent.pause.acme", b'{"version":1,"until":2e9,"keep":1}', expected=0)
    assert (await read_intents(kv)).intents == intents_of(
        pins=(a_pin(pool="acme/research", replicas=2, who="ann"),),
        pauses=(a_pause(scope=Scope(tenant="acme"), keep=1, until=2e9),),
    )


async def test_every_kind_comes_back_as_it_was_asked_for(kv: Bucket) -> None:
    asked = intents_of(
        pins=(PIN,),
        pauses=(PAUSE,),
        freezes=(FREEZE,),
        caps=(a_cap(pool="acme/research", replicas=3, who="ann", why="bill"),),
        no_growths=(no_growth_of(scope=Scope(), who="ben", why="release", until=2e9),),
        budgets=(a_budget(tenant="acme", tokens=8_000_000, who="eve", why="demo"),),
    )
    for intent in asked:
        await IntentDesk(kv).put(intent, replaces=None)
    assert (await read_intents(kv)).intents == asked


async def test_without_a_bucket_there_are_no_intents_and_none_is_created(
    session: NatsSession, kv: Bucket, until: Until
) -> None:
    assert (await read_intents(kv)).in_force() == Intents()
    async with following(session, kv) as seen:
        await seen.board.first_read()
        assert seen.board.stored().read
        assert seen.board.stored().lost_at is None
        streams = await session.request("$JS.API.STREAM.NAMES", b"", 5.0)
        assert b"KV_" not in streams
        await IntentDesk(kv).put(PIN, replaces=None)
        await until(lambda: seen.board.stored().intents.of(IntentKind.PIN))


async def test_intents_that_cannot_be_read_stay_even_past_their_end(
    server: RealNats, connect: Connect, until: Until
) -> None:
    session = await connect(server.url)
    kv = bucket(session)
    async with following(session, kv) as seen:
        await seen.board.first_read()
        await IntentDesk(kv).put(PAUSE, replaces=None)
        await until(lambda: seen.board.stored().intents.of(IntentKind.PAUSE))
        server.kill()
        await until(lambda: seen.board.stored().lost_at)
        [pause] = seen.board.stored().in_force().of(IntentKind.PAUSE)
        assert pause.until is None
        server.start()
        await until(lambda: seen.board.stored().lost_at is None)
        assert seen.board.stored().in_force().of(IntentKind.PAUSE) == (PAUSE,)


async def test_what_changed_while_the_connection_was_away_is_seen_when_it_is_back(
    url: str, connect: Connect, until: Until
) -> None:
    session = await connect(url, timing=NERVOUS)
    kv = bucket(session)
    desk = IntentDesk(bucket(await connect(url)))
    async with following(session, kv) as seen:
        pin = await desk.put(PIN, replaces=None)
        await until(lambda: seen.board.stored().intents.of(IntentKind.PIN))
        assert session._client is not None
        await session._client.close()
        await desk.withdraw(IntentKind.PIN, RESEARCH, replaces=pin)
        await desk.put(FREEZE, replaces=None)
        await until(lambda: seen.board.stored().intents == intents_of(freezes=(FREEZE,)))


async def test_after_a_lost_message_all_intents_are_read_again(
    url: str, connect: Connect, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, drop = await connect(url), asyncio.Event()
    deliver_to = session.deliver_to

    async def losing(on_message: Callable[[Msg | None], None]) -> Listening:
        def take(message: Msg | None) -> None:
            if drop.is_set():
                drop.clear()
            else:
                on_message(message)

        return await deliver_to(take)

    monkeypatch.setattr(session, "deliver_to", losing)
    kv = bucket(session)
    desk = IntentDesk(kv)
    async with following(session, kv) as seen:
        await seen.board.first_read()
        await desk.put(PIN, replaces=None)
        await until(lambda: seen.board.stored().intents.of(IntentKind.PIN))
        drop.set()
        await desk.put(FREEZE, replaces=None)
        await until(lambda: not drop.is_set())
        await desk.put(PAUSE, replaces=None)
        await until(lambda: seen.board.stored().intents.of(IntentKind.PAUSE))
        assert seen.board.stored().intents == intents_of(
            pins=(PIN,), pauses=(PAUSE,), freezes=(FREEZE,)
        )


async def test_a_watch_that_ends_leaves_no_consumer_behind_when_a_new_one_begins(
    url: str, connect: Connect, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IntentBucket, "heartbeat_s", 0.1)
    session, readings = await connect(url), list[object]()
    deliver_to = session.deliver_to

    async def skipping(on_message: Callable[[Msg | None], None]) -> Listening:
        readings.append(on_message)
        heartbeat_of_more = Msg(
            _client=None,  # type: ignore[arg-type]  # it is never answered
            headers={"Status": "100", "Nats-Last-Consumer": "7"},
        )
        if len(readings) < 3:
            on_message(heartbeat_of_more)
        return await deliver_to(on_message)

    monkeypatch.setattr(session, "deliver_to", skipping)
    kv = bucket(session)
    await kv.create()
    async with following(session, kv) as seen:
        await seen.board.first_read()
        await until(lambda: len(readings) == 3)
        await IntentDesk(kv).put(PIN, replaces=None)
        await until(lambda: seen.board.stored().intents.of(IntentKind.PIN))
        answer = await session.request(f"$JS.API.CONSUMER.NAMES.{kv.stream}", b"", 5.0)
        assert json.loads(answer)["total"] == 1


async def test_a_restored_bucket_takes_nothing_back_and_what_is_asked_there_is_obeyed(
    directory: Path, connect: Connect, until: Until
) -> None:
    server = RealNats(directory / "server").start()
    store, older = directory / "server" / "js", directory / "older"
    try:
        session = await connect(server.url)
        kv = bucket(session)
        desk = IntentDesk(kv)
        pin = await desk.put(PIN, replaces=None)
        server.stop()
        shutil.copytree(store, older)
        server.start()
        await until(lambda: session.connected)
        async with following(session, kv) as seen:
            await seen.board.first_read()
            await desk.put(FREEZE, replaces=None)
            await until(lambda: seen.board.stored().intents.of(IntentKind.FREEZE))
            server.stop()
            shutil.rmtree(store)
            older.rename(store)
            server.start()
            await until(lambda: seen.board.stored().kept)
            standing = seen.board.stored()
            assert (standing.lost_at, standing.kept) == (None, 2)
            assert standing.in_force() == intents_of(pins=(PIN,), freezes=(FREEZE,))
            await desk.withdraw(IntentKind.PIN, RESEARCH, replaces=pin)
            await desk.put(PAUSE, replaces=None)
            await until(lambda: seen.board.stored().intents.of(IntentKind.PAUSE))
            standing = seen.board.stored()
            assert standing.intents == intents_of(pauses=(PAUSE,), freezes=(FREEZE,))
            assert standing.kept == 1
    finally:
        server.stop()


async def test_what_was_taken_back_before_its_bucket_was_restored_stays_so_at_every_reading(
    directory: Path, connect: Connect, until: Until
) -> None:
    server = RealNats(directory / "server").start()
    store, older = directory / "server" / "js", directory / "older"
    try:
        session = await connect(server.url)
        kv = bucket(session)
        desk = IntentDesk(kv)
        pin = await desk.put(PIN, replaces=None)
        server.stop()
        shutil.copytree(store, older)
        server.start()
        await until(lambda: session.connected)
        async with following(session, kv) as seen:
            await seen.board.first_read()
            await desk.withdraw(IntentKind.PIN, RESEARCH, replaces=pin)
            await desk.put(FREEZE, replaces=None)
            await until(lambda: seen.board.stored().intents.of(IntentKind.FREEZE))
            server.stop()
            shutil.rmtree(store)
            older.rename(store)
            server.start()
            await until(lambda: seen.board.stored().kept)
            assert seen.board.stored().in_force() == intents_of(freezes=(FREEZE,))
            server.stop()
            await until(lambda: seen.board.stored().lost_at)
            server.start()
            await until(lambda: seen.board.stored().lost_at is None)
            assert seen.board.stored().in_force() == intents_of(freezes=(FREEZE,))
    finally:
        server.stop()


async def test_a_freeze_in_a_bucket_that_was_deleted_and_made_again_is_obeyed(
    url: str, session: NatsSession, kv: Bucket, connect: Connect, until: Until
) -> None:
    async with following(session, kv) as seen:
        await seen.board.first_read()
        for intent in (PIN, PAUSE):
            await IntentDesk(kv).put(intent, replaces=None)
        await until(lambda: seen.board.stored().intents.of(IntentKind.PAUSE))
        await session.request(f"$JS.API.STREAM.DELETE.{kv.stream}", b"", 5.0)
        await until(lambda: seen.board.stored().lost_at)
        other = bucket(await connect(url))
        await IntentDesk(other).put(FREEZE, replaces=None)
        await until(lambda: seen.board.stored().intents.of(IntentKind.FREEZE))
        standing = seen.board.stored()
        assert standing.in_force() == intents_of(pins=(PIN,), pauses=(PAUSE,), freezes=(FREEZE,))
        assert standing.kept == 2


async def test_thousands_of_keys_that_are_no_intents_are_few_findings(
    url: str, session: NatsSession, kv: Bucket, connect: Connect, until: Until
) -> None:
    await IntentDesk(kv).put(PIN, replaces=None)
    client = await nats.connect(url)
    for number in range(5_000):
        await client.publish(f"$KV.agentdash.intent.junk.{number}", b"{")
    await client.flush()
    await client.close()
    while (await stream_info(session, kv.stream, 5.0)).state.last_seq <= 5_000:
        await asyncio.sleep(0.05)
    once = await read_intents(kv)
    assert once.intents == intents_of(pins=(PIN,))
    assert once.more_faults == 5_000 - FAULTS_SHOWN
    async with following(session, kv) as seen:
        await seen.board.first_read()
        standing = seen.board.stored()
        assert standing.intents == intents_of(pins=(PIN,))
        assert len(standing.faults) == FAULTS_SHOWN
        assert len(standing.faults) + standing.more_faults == 5_000
        await BucketDesk(kv, Operator(who="ann")).put(FREEZE, replaces=None)
        await until(lambda: seen.board.stored().intents.of(IntentKind.FREEZE))


UNREADABLE = {
    "freeze": (
        "intent.freeze",
        intents_of(freezes=(a_freeze(scope=Scope(), why="a freeze that cannot be read"),)),
    ),
    "pause": (
        "intent.pause.acme",
        intents_of(
            freezes=(a_freeze(scope=Scope(tenant="acme"), why="a pause that cannot be read"),)
        ),
    ),
    "pin": ("intent.pin.acme.research", Intents()),
    "no-such-kind": ("intent.dance.acme", Intents()),
    "no-such-name": ("intent.freeze.ACME", Intents()),
    "too-deep": ("intent.freeze.acme.research.x", Intents()),
    "pin-of-a-tenant": ("intent.pin.acme", Intents()),
    "no-growth": (
        "intent.no-growth.acme",
        intents_of(
            no_growths=(
                no_growth_of(scope=Scope(tenant="acme"), why="a no-growth that cannot be read"),
            )
        ),
    ),
    "cap": (
        "intent.cap.acme.research",
        intents_of(no_growths=(no_growth_of(scope=RESEARCH, why="a cap that cannot be read"),)),
    ),
    "budget": (
        "intent.budget.acme",
        intents_of(
            no_growths=(
                no_growth_of(scope=Scope(tenant="acme"), why="a budget that cannot be read"),
            )
        ),
    ),
    "cap-of-a-tenant": ("intent.cap.acme", Intents()),
    "budget-of-a-pool": ("intent.budget.acme.research", Intents()),
    "budget-of-the-fleet": ("intent.budget", Intents()),
}


NO_INTENTS = [b"", b"{", b'{"version":2}', b'{"version":1,"who":1}', b"\xff"]
BEYOND_CALENDARS = [b'{"version":1,"until":1e300}', b'{"version":1,"until":253402300800}']


@pytest.mark.parametrize(("key", "held"), UNREADABLE.values(), ids=UNREADABLE)
async def test_an_intent_that_cannot_be_read_is_named_and_a_freeze_freezes(
    kv: Bucket, key: str, held: Intents
) -> None:
    revision = 0
    for value in NO_INTENTS + BEYOND_CALENDARS:
        revision = await kv.put(key, value, expected=revision)
        standing = await read_intents(kv)
        assert standing.intents == held, value
        assert [fault.key for fault in standing.faults] == [key]


async def test_a_pin_that_is_overwritten_with_nonsense_stays_as_it_was(
    session: NatsSession, kv: Bucket, until: Until
) -> None:
    revision = await IntentDesk(kv).put(PIN, replaces=None)
    async with following(session, kv) as seen:
        await seen.board.first_read()
        revision = await kv.put("intent.pin.acme.research", b"?", expected=revision)
        await until(lambda: seen.board.stored().faults)
        assert seen.board.stored().intents == intents_of(pins=(PIN,))
        await kv.delete("intent.pin.acme.research", expected=revision, note=b"")
        await until(lambda: not seen.board.stored().faults)
        assert seen.board.stored().intents == Intents()


async def test_the_second_of_two_operators_is_told_who_and_when(url: str, connect: Connect) -> None:
    desk = IntentDesk(bucket(await connect(url)))
    first = await desk.put(PIN, replaces=None)
    with pytest.raises(IntentConflictError) as caught:
        await desk.put(a_pin(pool="acme/research", replicas=5, who="ben"), replaces=None)
    stored = await desk.read(IntentKind.PIN, RESEARCH)
    assert stored is not None
    assert (caught.value.standing, caught.value.revision) == (stored, first)
    assert (stored.intent, stored.revision) == (PIN, first)
    at = time_words(stored.set_at, stored.set_at)
    assert str(caught.value) == (
        f"ann was first, at {at}: the pin of acme/research is 2 spares kept ready,"
        " until it is taken back (launch)"
    )
    await desk.withdraw(IntentKind.PIN, RESEARCH, replaces=first, who="eve", why="done")
    with pytest.raises(IntentConflictError, match=r"taken back by eve at .* \(done\)") as caught:
        await desk.put(PIN, replaces=first)
    assert caught.value.standing is None
    assert await desk.read(IntentKind.PIN, RESEARCH) is None
    await desk.put(PIN, replaces=caught.value.revision)
