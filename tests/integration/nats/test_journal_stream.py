"""The journal in a stream of a real nats-server: one chain over restarts, fail-overs and faults."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from controller.attach import Attachment
from controller.engine.supervise import Hub, SystemClock
from controller.model.settings import (
    JournalStreamSettings,
    NatsSettings,
)
from controller.model.snapshot import Role, Snapshot
from controller.nats import journal_stream
from controller.nats.jetstream import NatsDisconnectedError, NatsRefusedError, StreamMissingError
from controller.nats.journal_stream import JournalStream, _Pending, _Tail, parts_of, read_journal
from controller.nats.session import NatsSession
from controller.record.chain import hash_of, link_of
from controller.record.journal import JournalPast
from tests.integration.nats.conftest import Connect, Until
from tests.integration.nats.kept import BUCKET, Limited
from tests.integration.nats.test_snapshots import SMALL_MESSAGES, Controller, running
from tests.support.nats_server import RealNats
from tests.support.past import busy_tick, next_snapshot, quiet_tick
from tui import scenarios

LEADS = replace(scenarios.mixed_fleet(), role=Role.LEADER, process="one/1")
STREAM = "agentdash_journal"
LIMITS = JournalStreamSettings(max_bytes=16 * 2**20)


def writer(session: NatsSession) -> JournalStream:
    return JournalStream(session, BUCKET, LIMITS, SystemClock())


async def write(session: NatsSession, *snapshots: Snapshot) -> None:
    """A process that leads, publishes these and stops."""
    stream = writer(session)
    async with stream.recording():
        for each in snapshots:
            stream.offer(each)
    assert stream.problem() is None


async def lines_in(session: NatsSession) -> list[bytes]:
    found: list[bytes] = []
    await read_journal(session, BUCKET, SystemClock(), found.append)
    return found


def replayed(lines: Sequence[bytes], folder: Path) -> JournalPast:
    path = folder / "read.jsonl"
    path.write_bytes(b"".join(lines))
    return JournalPast(path)


def is_one_chain(lines: Sequence[bytes]) -> bool:
    return all(link_of(after) == hash_of(before) for before, after in pairwise(lines))


def has_written_all(stream: JournalStream) -> bool:
    """Whether each snapshot that it was offered is made into a line, and each line stored."""
    return stream._chain.last is stream._latest and not stream._lines


def days(first: Snapshot, ticks: int, seed: int = 1) -> list[Snapshot]:
    choose, found = Random(seed), [first]
    while len(found) < ticks:
        found.append(next_snapshot(found[-1], choose))
    return found


async def test_every_moment_is_there_again_from_the_stream_alone(
    url: str, connect: Connect, tmp_path: Path
) -> None:
    session, shown = await connect(url), days(LEADS, 60)
    await write(session, *shown)
    lines = await lines_in(session)
    past = replayed(lines, tmp_path)
    assert is_one_chain(lines)
    assert past.notes() == ()
    assert [past.at(each.at) for each in shown] != [None] * len(shown)
    for each in shown:
        moment = past.at(each.at)
        assert moment is not None
        assert moment.snapshot == each


async def test_a_line_larger_than_a_message_comes_in_parts(
    directory: Path, connect: Connect, tmp_path: Path
) -> None:
    with RealNats(directory, SMALL_MESSAGES) as server:
        session = await connect(server.url)
        first = replace(LEADS, pools=scenarios.many_pools(40).pools)
        last = busy_tick(first)
        await write(session, first, last)
        info = await session.jetstream().stream_info(STREAM)
        assert info.state.messages > 3
        found = replayed(await lines_in(session), tmp_path).last()
        assert found is not None
        assert found.snapshot == last


async def test_the_next_leader_goes_on_with_the_chain_of_the_one_before(
    url: str, connect: Connect, tmp_path: Path
) -> None:
    one, two = await connect(url), await connect(url)
    await write(one, *days(LEADS, 5))
    follows = writer(two)
    async with follows.recording():
        taken = replace(LEADS, process="two/2", epoch=LEADS.epoch + 60, at=LEADS.at + 60)
        for number in range(5):
            follows.offer(replace(taken, role=Role.FOLLOWER, sequence=number))
        follows.offer(taken)
        follows.offer(busy_tick(taken))
    lines = await lines_in(one)
    past = replayed(lines, tmp_path)
    assert is_one_chain(lines)
    assert all(map(link_of, lines[1:]))
    assert len(lines) == 5 + 2, "a follower writes nothing"
    assert past.notes() == ()
    last = past.last()
    assert last is not None
    assert last.snapshot == busy_tick(taken)
    before = past.at(LEADS.at + 59)
    assert before is not None
    assert before.snapshot.process == "one/1"


async def test_who_is_overtaken_by_another_writer_makes_no_second_chain(
    url: str, session: NatsSession, connect: Connect, until: Until, tmp_path: Path
) -> None:
    zombie, shown = writer(await connect(url)), LEADS
    async with zombie.recording():
        zombie.offer(shown)
        await until(lambda: has_written_all(zombie))
        await write(session, replace(LEADS, process="two/2", epoch=LEADS.epoch + 1))
        shown = busy_tick(shown)
        zombie.offer(shown)
        await until(lambda: "another controller writes it, too" in (zombie.problem() or ""))
        await until(lambda: zombie.problem() is None)
    lines = await lines_in(session)
    assert is_one_chain(lines)
    assert [b'"kind":"whole"' in line for line in lines] == [True] * 3
    last = replayed(lines, tmp_path).last()
    assert last is not None
    assert last.snapshot == shown


async def test_a_server_that_is_away_loses_nothing_and_is_named(
    server: RealNats, connect: Connect, until: Until, tmp_path: Path
) -> None:
    stream = writer(await connect(server.url))
    shown = days(LEADS, 30)
    async with stream.recording():
        for each in shown[:10]:
            stream.offer(each)
        await until(lambda: has_written_all(stream))
        server.kill()
        for each in shown[10:]:
            stream.offer(each)
            await until(lambda: not len(stream._backlog))
        await until(lambda: "20 lines wait" in (stream.problem() or ""))
        assert f"stream {STREAM} is not written since " in (stream.problem() or "")
        server.start()
        await until(lambda: stream.problem() is None)
    lines = await lines_in(await connect(server.url))
    past = replayed(lines, tmp_path)
    assert is_one_chain(lines)
    assert len(lines) == len(shown)
    assert past.notes() == ()


async def test_what_no_longer_fits_is_left_out_in_words_and_the_next_line_has_all_that_changed(
    server: RealNats, connect: Connect, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_stream, "MOST_LINES_BYTES", 1000)
    stream = writer(await connect(server.url))
    shown = days(LEADS, 20)
    async with stream.recording():
        stream.offer(shown[0])
        await until(lambda: has_written_all(stream))
        server.kill()
        await until(lambda: not stream._session.connected)
        for each in shown[1:-1]:
            stream.offer(each)
            await until(lambda: not len(stream._backlog))
        assert "moments were left out of it, and the file has them" in (stream.problem() or "")
        server.start()
        await until(lambda: not stream._lines)
        stream.offer(shown[-1])
    lines = await lines_in(await connect(server.url))
    past = replayed(lines, Path(server._directory))
    assert len(lines) < len(shown)
    assert is_one_chain(lines)
    assert past.notes() == ()
    last = past.last()
    assert last is not None
    assert last.snapshot == shown[-1]


class Deaf(JournalStream):
    """It does not hear the server's answers to the first messages."""

    unheard = 3

    async def _publish(self, pending: _Pending, tail: _Tail) -> _Tail:
        after = await super()._publish(pending, tail)
        if self.unheard:
            self.unheard -= 1
            raise NatsDisconnectedError("the answer was lost")
        return after


async def test_a_message_whose_answer_was_lost_is_stored_once(
    server: RealNats, connect: Connect, until: Until
) -> None:
    session = await connect(server.url)
    # the server forgets the ids of messages before they are sent again
    await session.jetstream().add_stream(
        name=STREAM, subjects=[f"{BUCKET}.journal"], duplicate_window=0.1
    )
    stream, shown = Deaf(session, BUCKET, LIMITS, SystemClock()), days(LEADS, 6)
    async with stream.recording():
        for each in shown:
            stream.offer(each)
        await until(lambda: not stream.unheard and has_written_all(stream))
    lines = await lines_in(session)
    assert len(lines) == len(set(lines)) == len(shown)
    assert is_one_chain(lines)


async def test_a_line_that_a_killed_writer_left_unfinished_is_passed_over(
    server: RealNats, connect: Connect, tmp_path: Path
) -> None:
    session = await connect(server.url)
    await write(session, *days(LEADS, 3))
    half = b'{"kind":"whole"' + bytes(str([n * n for n in range(90_000)]), "ascii") + b"}\n"
    parts = parts_of(half, 100_000)
    assert len(parts) > 2
    for part in parts[:2]:
        headers = {"Nats-Msg-Id": str(part.id)}
        await session.jetstream().publish(f"{BUCKET}.journal", part.data, headers=headers)
    await session.jetstream().publish(f"{BUCKET}.journal", b"something else")
    last = busy_tick(replace(LEADS, at=LEADS.at + 60, epoch=LEADS.epoch + 60))
    for part in parts[:2]:  # beyond the time in which the server remembers ids
        headers = {"Nats-Msg-Id": f"{'f' * 32}-{part.id.number}-{part.id.parts}"}
        await session.jetstream().publish(f"{BUCKET}.journal", part.data, headers=headers)
    await write(session, last)
    lines = await lines_in(session)
    found = replayed(lines, tmp_path).last()
    assert found is not None
    assert found.snapshot == last
    assert len(lines) == 4


async def test_of_a_quiet_fleet_there_is_a_line_a_minute(
    url: str, connect: Connect, until: Until
) -> None:
    session, shown = await connect(url), [LEADS]
    while shown[-1].at < LEADS.at + 150:
        shown.append(quiet_tick(shown[-1]))
    stream = writer(session)
    async with stream.recording():
        for each in shown:
            stream.offer(each)
            await until(lambda: not len(stream._backlog))
    assert [line[:16] for line in await lines_in(session)] == [
        b'{"kind":"whole",',
        b'{"kind":"tick","',
        b'{"kind":"tick","',
    ]


async def test_only_what_is_asked_for_is_read(
    session: NatsSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_stream, "STREAM_WHOLE_EVERY_S", 10.0)
    await write(session, *days(LEADS, 40))
    found: list[bytes] = []
    clock = SystemClock()
    await read_journal(session, BUCKET, clock, found.append, since=clock.now() + 3600)
    assert found == []
    reading = await read_journal(session, BUCKET, clock, found.append, since=clock.now() - 60)
    assert (len(found), reading.lines, reading.unread) == (40, 40, 0)


# -- rights ----------------------------------------------------------------------------------


PAGES = Path(__file__).parents[3] / "docs/pages"


def rights_of_the_docs(page: str, after: str) -> list[str]:
    """The subjects of the row or paragraph that begins so."""
    text = (PAGES / page).read_text("utf-8").partition(after)[2].partition("\n\n")[0]
    return [each for each in text.split("`")[1::2] if each.startswith(("$JS", BUCKET))]


async def test_the_rights_that_the_readme_names_are_enough_to_write_and_to_read(
    directory: Path, connect: Connect
) -> None:
    writes = rights_of_the_docs("on-a-cluster.md", "The journal's stream needs")
    assert len(writes) == 3, "the paragraph has moved"
    with Limited(directory, {"allow": ["$JS.API.STREAM.INFO.*", *writes]}) as server:
        await write(await connect(server.half), *days(LEADS, 3))
    reads = rights_of_the_docs("operating.md", "Who reads it (`agentdash journal`) needs")
    assert len(reads) == 4, "the paragraph has moved"
    with Limited(directory, {"allow": reads}) as server:
        assert len(await lines_in(await connect(server.half))) == 3


async def test_without_the_right_to_write_it_a_sentence_says_so(
    directory: Path, connect: Connect, until: Until
) -> None:
    with Limited(directory, {"allow": ["$JS.API.STREAM.INFO.*"]}) as server:
        session = await connect(server.half)
        stream = writer(session)
        async with stream.recording():
            stream.offer(LEADS)
            await until(stream.problem)
            refused = "our NATS user may not publish to $js.api.stream.msg.get"
            assert refused in (stream.problem() or "")
        with pytest.raises(StreamMissingError, match=f"there is no stream {STREAM}"):
            await lines_in(session)
        owner = (await connect(server.url)).jetstream()
        await owner.add_stream(name=STREAM, subjects=[f"{BUCKET}.journal"])
        with pytest.raises(NatsRefusedError, match="may not"):
            await lines_in(session)


async def test_who_attaches_gets_what_the_stream_has_of_the_last_15_minutes(
    url: str, session: NatsSession, until: Until
) -> None:
    old = [replace(LEADS, at=LEADS.at - 3600 + number, sequence=number + 1) for number in range(3)]
    recent = days(replace(LEADS, sequence=100), 20)
    await write(session, *old, *recent)
    hub, stopping = Hub(), asyncio.Event()
    attachment = Attachment(NatsSettings(servers=(url,)), hub, SystemClock())
    task = asyncio.create_task(attachment.run(stopping))
    async with running(Controller(session, recent[-1]).publisher):
        await until(hub.earlier)
    assert hub.earlier() == tuple(replace(each, attached=True) for each in recent[:-1])
    stopping.set()
    await task
