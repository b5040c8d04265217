"""The desk at which operators write, on a real nats-server: two at once, without rights, with a
server that is lost, with what has ended, and undo.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from controller.model.intents import IntentChange, IntentKey, IntentKind, Operator, Scope
from controller.nats.bucket import Bucket
from controller.nats.desk import BucketDesk
from controller.nats.intents import read_intents
from controller.ports import (
    IntentConflictError,
    StoreAwayError,
    StoreRefusedError,
    UndoRefusedError,
)
from support.asked import a_budget, a_cap, a_freeze, a_pause, a_pin
from tests.integration.nats.conftest import NERVOUS, Connect
from tests.integration.nats.kept import Limited, bucket
from tests.support.nats_server import RealNats

RESEARCH = Scope(pool="acme/research")
PAUSE = a_pause(scope=RESEARCH, why="OPS-1")
PAUSED = PAUSE.key
ANN, BEN = Operator(who="ann@desk", origin="192.0.2.7"), Operator(who="ben@laptop")


class Desks:
    """Two operators, each with a connection, and the bucket as a third sees it."""

    def __init__(self, ann: Bucket, ben: Bucket, third: Bucket) -> None:
        self.ann, self.ben = BucketDesk(ann, ANN), BucketDesk(ben, BEN)
        self.bucket = third

    async def now(self) -> float:
        at = (await self.bucket.look()).at
        assert at is not None
        return at

    async def last(self) -> IntentChange:
        return (await self.ann.audit()).changes[-1]


@pytest.fixture
async def desks(url: str, connect: Connect) -> Desks:
    buckets = [bucket(await connect(url)) for _ in range(3)]
    await buckets[0].create()
    return Desks(*buckets)


async def test_an_intent_bears_the_name_of_who_asked_whatever_it_said_before(desks: Desks) -> None:
    done = await desks.ann.put(replace(PAUSE, who="somebody@else"), replaces=None)
    [standing] = await desks.ben.standing()
    assert standing.intent == replace(PAUSE, who="ann@desk")
    assert (standing.revision, standing.origin) == (done.revision, "192.0.2.7")
    assert abs(standing.set_at - await desks.now()) < 5
    assert (await read_intents(desks.bucket)).intents.of(IntentKind.PAUSE) == (standing.intent,)


async def test_of_two_operators_who_write_at_once_one_wins_and_the_other_is_told(
    desks: Desks,
) -> None:
    for round_number in range(5):
        key = IntentKey(IntentKind.PAUSE, Scope(pool=f"acme/p{round_number}"))
        asked = a_pause(scope=key.scope, why="at once")
        found = await asyncio.gather(
            desks.ann.put(asked, replaces=None),
            desks.ben.put(asked, replaces=None),
            return_exceptions=True,
        )
        [won] = [each for each in found if isinstance(each, IntentChange)]
        [lost] = [each for each in found if isinstance(each, IntentConflictError)]
        assert lost.standing is not None
        assert lost.standing.intent == won.after
        assert (lost.revision, won.who in str(lost)) == (won.revision, True)
        # to replace it is said in so many words: by the revision that one was told
        loser = desks.ben if won.who == ANN.who else desks.ann
        await loser.put(asked, replaces=lost.revision)


async def test_every_change_is_in_the_audit_with_what_was_before(desks: Desks) -> None:
    first = await desks.ann.put(PAUSE, replaces=None)
    second = await desks.ben.put(replace(PAUSE, amount=2, why="a few"), replaces=first.revision)
    third = await desks.ann.withdraw(PAUSED, replaces=second.revision, why="over")
    audit = await desks.ben.audit()
    by_ann, by_ben = replace(PAUSE, who="ann@desk"), replace(PAUSE, amount=2, why="a few")
    by_ben = replace(by_ben, who="ben@laptop")
    assert [(each.who, each.origin, each.why) for each in audit.changes] == [
        ("ann@desk", "192.0.2.7", "OPS-1"),
        ("ben@laptop", "", "a few"),
        ("ann@desk", "192.0.2.7", "over"),
    ]
    assert [(each.before, each.after) for each in audit.changes] == [
        (None, by_ann),
        (by_ann, by_ben),
        (by_ben, None),
    ]
    assert audit.kept_of_each == 64
    # what the writer is told is what the audit says, but for the time of the server's answer
    for told, kept in zip((first, second, third), audit.changes, strict=True):
        assert abs(told.at - kept.at) < 1
        assert replace(told, at=kept.at) == kept
    times = [each.at for each in audit.changes]
    assert times == sorted(times)


async def test_a_write_and_its_audit_entry_are_one(desks: Desks) -> None:
    """Other tools that write the bucket are in the audit too, without an author."""
    await desks.bucket.put("intent.freeze", b'{"version":1,"why":"by hand"}', expected=0)
    await desks.bucket.put("intent.cap.acme.research", b"?", expected=0)
    by_hand, unreadable = (await desks.ann.audit()).changes
    assert (by_hand.who, by_hand.after) == ("", a_freeze(scope=Scope(), why="by hand"))
    assert (unreadable.after, "cannot be read" in unreadable.problem) == (None, True)


async def test_the_audit_keeps_the_last_changes_of_each_intent_and_of_none_fewer(
    desks: Desks,
) -> None:
    await desks.ben.put(a_freeze(scope=Scope()), replaces=None)
    revision = None
    for number in range(70):
        revision = (await desks.ann.put(replace(PAUSE, amount=number), replaces=revision)).revision
    changes = (await desks.ann.audit()).changes
    assert [each.key for each in changes].count(PAUSED) == 64
    oldest = next(each for each in changes if each.key == PAUSED)
    assert (oldest.before, oldest.is_whole) == (None, False)
    assert any(each.who == "ben@laptop" for each in changes)


@pytest.mark.parametrize("ends_with", ["withdraw", "replace", "nothing"])
async def test_undo_makes_what_was_before(desks: Desks, ends_with: str) -> None:
    first = await desks.ann.put(PAUSE, replaces=None)
    standing = first.after
    if ends_with == "withdraw":
        change = await desks.ben.withdraw(PAUSED, replaces=first.revision, why="over")
    elif ends_with == "replace":
        change = await desks.ben.put(replace(PAUSE, amount=3), replaces=first.revision)
    else:
        change, standing = first, None
    undone = await desks.ben.undo(change)
    assert undone.after == standing, "ann's intent is ann's again"
    assert [each.intent for each in await desks.ann.standing()] == (
        [] if standing is None else [standing]
    )
    last = await desks.last()
    assert (last.who, last.undoes, last.revision) == (
        "ben@laptop",
        change.revision,
        undone.revision,
    )
    with pytest.raises(UndoRefusedError):
        await desks.ben.undo(change)


async def test_undo_goes_back_step_by_step(desks: Desks) -> None:
    changes, revision = [], None
    for keep in (1, 2, 3):
        change = await desks.ann.put(replace(PAUSE, amount=keep), replaces=revision)
        changes.append(change)
        revision = change.revision
    for change, kept in zip(reversed(changes), (2, 1, None), strict=True):
        await desks.ann.undo(change)
        standing = await desks.ann.find(PAUSED)
        found = None if standing is None else standing.intent
        assert (None if found is None else found.amount) == kept


async def test_undo_after_anothers_change_is_refused_and_says_whose(desks: Desks) -> None:
    first = await desks.ann.put(PAUSE, replaces=None)
    await desks.ben.put(replace(PAUSE, amount=2, why="a few"), replaces=first.revision)
    with pytest.raises(UndoRefusedError, match=r"ben@laptop has changed the pause of .* \(a few\)"):
        await desks.ann.undo(first)
    [standing] = await desks.ann.standing()
    assert standing.intent.who == "ben@laptop"


async def test_undo_that_another_overtakes_in_the_middle_changes_nothing(
    desks: Desks, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await desks.ann.put(PAUSE, replaces=None)
    put, delete = desks.ben.put, Bucket.delete

    async def overtaken(self: Bucket, key: str, *, expected: int, note: bytes) -> int:
        monkeypatch.setattr(Bucket, "delete", delete)
        await put(replace(PAUSE, amount=9), replaces=first.revision)
        return await delete(self, key, expected=expected, note=note)

    monkeypatch.setattr(Bucket, "delete", overtaken)
    with pytest.raises(IntentConflictError, match="ben@laptop was first"):
        await desks.ann.undo(first)


async def test_undo_of_what_is_not_known_whole_is_refused(desks: Desks) -> None:
    await desks.bucket.put("intent.pause.acme.research", b"?", expected=0)
    with pytest.raises(IntentConflictError, match="cannot be read") as caught:
        await desks.ann.find(PAUSED)
    change = await desks.ann.put(PAUSE, replaces=caught.value.revision)
    with pytest.raises(UndoRefusedError, match="what was before"):
        await desks.ann.undo(change)


async def test_what_has_ended_is_cleared_away_by_the_next_write_and_stays_in_the_audit(
    desks: Desks,
) -> None:
    now = await desks.now()
    ended = b'{"version":1,"who":"ann@desk","until":%d}' % (now - 1)
    await desks.bucket.put("intent.pause.acme.research", ended, expected=0)
    lasting = a_cap(pool="acme/browser", replicas=3, until=now + 600)
    await desks.ben.put(lasting, replaces=None)
    assert [each.kind for each in (await read_intents(desks.bucket)).intents] == [IntentKind.CAP]
    changes = (await desks.ann.audit()).changes
    [last] = [each for each in changes if each.expired]
    assert (last.key, last.who, last.after) == (PAUSED, "ann@desk", None)
    assert last.before is not None
    assert last.before.kind is IntentKind.PAUSE


async def test_what_ends_by_itself_has_its_line_before_anyone_writes_and_cannot_be_undone(
    desks: Desks,
) -> None:
    ends = await desks.now() + 0.3
    put = await desks.ann.put(replace(PAUSE, until=ends), replaces=None)
    while await desks.now() <= ends:
        await asyncio.sleep(0.02)
    begun, ended = (await desks.ben.audit()).changes
    assert (begun.revision, begun.expired) == (put.revision, False)
    assert (ended.expired, ended.at, ended.who) == (True, ends, begun.who)
    with pytest.raises(UndoRefusedError, match="has ended by itself at"):
        await desks.ann.undo(put)


async def test_what_has_ended_stands_in_nobodys_way_and_is_not_undone(desks: Desks) -> None:
    soon = await desks.now() + 0.3
    first = await desks.ann.put(replace(PAUSE, until=soon), replaces=None)
    with pytest.raises(IntentConflictError):
        await desks.ben.put(PAUSE, replaces=None)
    second = await desks.ben.put(PAUSE, replaces=first.revision)
    while await desks.now() <= soon:
        await asyncio.sleep(0.02)
    # what was before has ended by now, so nothing is put back
    assert (await desks.ben.undo(second)).after is None
    again = await desks.ann.put(replace(PAUSE, until=await desks.now() + 0.2), replaces=None)
    while (ends := again.after) is None or (ends.until or 0) > await desks.now():
        await asyncio.sleep(0.02)
    assert await desks.ann.find(PAUSED) is None
    await desks.ben.put(PAUSE, replaces=None)


async def test_an_end_in_the_past_by_the_servers_clock_is_refused(desks: Desks) -> None:
    with pytest.raises(ValueError, match="the NATS server's clock"):
        await desks.ann.put(replace(PAUSE, until=await desks.now() - 1), replaces=None)
    assert (await desks.ann.audit()).changes == ()


async def test_without_the_right_to_write_one_is_told_so_and_nothing_changes(
    directory: Path, connect: Connect
) -> None:
    denied = ["$KV.agentdash.intent.>", "$JS.API.STREAM.CREATE.>"]
    with Limited(directory, {"deny": denied}) as server:
        owner = BucketDesk(bucket(await connect(server.url)), ANN)
        reader = BucketDesk(bucket(await connect(server.half)), BEN)
        refused = r"(?i)our NATS user may not publish to"
        with pytest.raises(StoreRefusedError, match=refused):
            await reader.put(PAUSE, replaces=None)  # it may not make the bucket either
        first = await owner.put(PAUSE, replaces=None)
        with pytest.raises(StoreRefusedError, match=refused):
            await reader.put(a_freeze(scope=Scope()), replaces=None)
        with pytest.raises(StoreRefusedError, match=refused):
            await reader.withdraw(PAUSED, replaces=first.revision, why="")
        with pytest.raises(StoreRefusedError, match=refused):
            await reader.undo(first)
        assert [each.intent for each in await reader.standing()] == [first.after]
        assert len((await reader.audit()).changes) == 1


async def test_a_server_that_is_lost_in_the_middle_leaves_the_change_whole_or_out(
    directory: Path, server: RealNats, connect: Connect
) -> None:
    ann = BucketDesk(bucket(await connect(server.url, timing=NERVOUS)), ANN)
    first = await ann.put(PAUSE, replaces=None)
    server.freeze()
    with pytest.raises(StoreAwayError):
        await ann.put(replace(PAUSE, amount=1), replaces=first.revision)
    with pytest.raises(StoreAwayError):
        await ann.audit()
    server.kill()
    server.start()
    again = BucketDesk(bucket(await connect(server.url)), ANN)
    changes = (await again.audit()).changes
    standing = await again.find(PAUSED)
    # whichever it is, the audit and what stands agree
    assert standing is not None
    assert (standing.intent, standing.revision) == (changes[-1].after, changes[-1].revision)
    await again.put(replace(PAUSE, amount=2), replaces=standing.revision)


async def test_names_cannot_leave_their_place(desks: Desks) -> None:
    pools = ("a.*/x", ">/x", "a b/x", "a\n/x", "../x", "a/b/c", f"{'a' * 64}/x", "A/x")
    for intent in (
        *(a_pin(pool=pool, replicas=1) for pool in pools),
        *(a_freeze(scope=Scope(pool=pool)) for pool in pools),
        a_cap(pool="acme", replicas=1),
        a_budget(tenant="acme.>", tokens=1),
    ):
        with pytest.raises(ValueError, match=r"DNS label|only a pool"):
            await desks.ann.put(intent, replaces=None)


async def test_text_is_cleaned_where_it_is_written_and_where_it_is_read(kv: Bucket) -> None:
    evil = BucketDesk(kv, Operator(who="a\x1b[31m@h", origin="b\u202e"))
    await evil.put(replace(PAUSE, why="c\x00"), replaces=None)
    raw = await kv.get("intent.pause.acme.research")
    assert raw is not None
    assert b"\x1b" not in raw.value
    value = msgspec.json.encode({"version": 1, "who": "x\x1b", "by": "y\x1b", "origin": "z\x1b"})
    await kv.put("intent.freeze", value, expected=0)
    texts = [
        text
        for each in (await evil.audit()).changes
        for text in (each.who, each.origin, each.why, each.after.who if each.after else "")
    ]
    assert any("\ufffd" in text for text in texts)
    assert all(text.isprintable() for text in texts)
