"""The journal: every moment is read back as it was, and what cannot be read or written is named."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.engine.show.past import HistoryRecorder
from controller.model.settings import JournalSettings, LeaseView
from controller.model.snapshot import Snapshot
from controller.record.chain import Chain, Encoder, without_link
from controller.record.frames import (
    SNAPSHOT_VERSION,
    ChangeLine,
    SnapshotVersion,
    TickLine,
    UnreadableLineError,
    WholeLine,
    change_line,
    read_line,
    whole_line,
)
from controller.record.journal import (
    JournalError,
    JournalFiles,
    JournalPast,
    JournalWriter,
    earlier_files,
)
from support.newer import grown
from support.past import busy_tick, next_snapshot, quiet_tick, write_journal
from tui import fleet_scenarios, scenarios

DAY_S = 86_400.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


class Clock:
    """The clock of a writer."""

    def __init__(self) -> None:
        self.at = scenarios.NOW

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    def follow_step(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


def ticks(count: int, *, quiet: bool = False) -> list[Snapshot]:
    found = [scenarios.mixed_fleet(1)]
    while len(found) < count:
        found.append((quiet_tick if quiet else busy_tick)(found[-1]))
    return found


def all_of(past: JournalPast) -> list[Snapshot]:
    """All moments that can be stepped to, from the end."""
    moment = past.last()
    found = []
    while moment is not None:
        found.append(moment.snapshot)
        moment = past.before(moment.place)
    return found[::-1]


def test_a_line_says_who_leads_from_then_on() -> None:
    first = replace(scenarios.mixed_fleet(1), lease=LeaseView(name="agentdash", holder="a/1"))
    led = replace(quiet_tick(first), lease=LeaseView(name="agentdash", holder="b/2", is_ours=True))
    without = replace(quiet_tick(led), lease=None)
    known = read_line(whole_line(first, None), None).snapshot
    for before, after in pairwise((first, led, without)):
        known = read_line(change_line(before, after), known).snapshot
        assert known == after


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), whole_every=st.integers(1, 12))
def test_every_moment_is_read_back_as_it_was(
    seed: int, whole_every: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    choose = Random(seed)
    written = [scenarios.mixed_fleet(1)]
    for _ in range(20):
        step = choose.choice([next_snapshot, next_snapshot, lambda each, _: quiet_tick(each)])
        written.append(step(written[-1], choose))
        if choose.random() < 0.05:  # another process
            written[-1] = replace(written[-1], epoch=written[-1].at, sequence=1)
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    write_journal(path, written, whole_every=whole_every)
    past = JournalPast(path)
    assert not past.notes()
    for snapshot in written:
        moment = past.at(snapshot.at)
        assert moment is not None
        known = moment.snapshot.histories
        assert {key: known[key] for key in snapshot.histories} == snapshot.histories
        assert replace(moment.snapshot, histories=snapshot.histories) == snapshot


def test_what_a_second_sink_takes_is_not_made_again() -> None:
    encoder = Encoder()
    file, live = Chain(encoder), Chain(encoder, 60.0)
    for snapshot in ticks(3):
        line, same = file.line(snapshot), live.line(snapshot)
        assert line is same
        file.added(line, snapshot)
        live.added(same, snapshot)
    alone = Chain(encoder)
    assert alone.line(snapshot) == whole_line(snapshot, None)


def test_histories_that_go_on_are_a_few_numbers_in_a_line() -> None:
    views = scenarios.mixed_fleet(1).pools
    recorder = HistoryRecorder([view.key for view in views], ["acme"])
    [tenant, *_] = fleet_scenarios.calm_tenants()
    assert tenant.tokens is not None
    before: Snapshot | None = None
    anew = 0
    for number in range(300):
        at = scenarios.NOW + number * 15
        for index, view in enumerate(views):
            seen = scenarios.pool(pending=(number * index) % 7).observation
            recorder.saw(replace(view, observation=seen), at - index, at)
        tokens = replace(tenant.tokens, burn_per_minute=100.0 * (number % 5))
        recorder.saw_tenants((replace(tenant, tokens=tokens),))
        histories = recorder.pass_time(at)
        snapshot = replace(
            scenarios.mixed_fleet(number + 1),
            pools=views,
            at=at,
            histories=histories.pools,
            tenant_histories=histories.tenants,
        )
        if before is not None and before.histories:
            line = change_line(before, snapshot)
            read, plain = read_line(line, before).snapshot, json.loads(line)
            assert read.histories == snapshot.histories
            assert read.tenant_histories == snapshot.tenant_histories
            assert len(json.dumps(plain.get("tails", {}))) < 180 * len(views)
            assert len(json.dumps(plain.get("tenant_tails", {}))) < 180
            anew += "histories" in plain or "tenant_histories" in plain
        before = snapshot
    assert anew <= 1, "the series of a day begins once"


def test_steps_go_from_change_to_change_and_to_both_ends(path: Path) -> None:
    first = scenarios.mixed_fleet(1)
    written = [first, quiet_tick(first)]
    written.append(busy_tick(written[-1]))
    written += [quiet_tick(written[-1]), quiet_tick(quiet_tick(written[-1]))]
    write_journal(path, written, whole_every=4)
    past = JournalPast(path)
    assert all_of(past) == [written[0], written[2], written[4]]
    begin = past.at(0.0)
    assert begin is not None
    assert past.before(begin.place) is None
    change = past.after(begin.place)
    assert change is not None
    assert change.snapshot == written[2]
    end = past.after(change.place)
    assert end is not None
    assert end.snapshot == written[4]
    assert past.after(end.place) is None


def test_a_torn_last_line_is_left_out_and_named(path: Path) -> None:
    written = ticks(5)
    write_journal(path, written)
    path.write_bytes(path.read_bytes()[:-20])
    past = JournalPast(path)
    assert all_of(past) == written[:4]
    assert past.notes() == ("the last line of journal.jsonl, 5, is torn: left out",)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"what?", "is not JSON"),
        (b"\xff\xfe", "is not UTF-8"),
        (b'["\\n",' + b"[" * 100_000, "is nested too deeply"),
        (b'{"kind":"tick","sequence":[],"at":1}', "is no line of a journal"),
        (b'{"kind":"tick","sequence":1e300,"at":1}', "has a number that no fleet has"),
        (b'{"kind":"tick","sequence":9,"at":99999999999}', "has a time that is none"),
        (b'{"kind":"tick","sequence":9,"at":1,"colour":2}', "is no line of a journal"),
        (b"", "is not JSON"),
    ],
    ids=["text", "bytes", "deep", "type", "absurd", "year", "unknown", "empty"],
)
def test_a_line_that_cannot_be_read_ends_with_its_number(
    path: Path, line: bytes, said: str
) -> None:
    written = ticks(20)
    write_journal(path, written)
    lines = path.read_bytes().split(b"\n")
    lines[3] = line
    path.write_bytes(b"\n".join(lines))
    past = JournalPast(path)
    assert all_of(past) == written[:3] + written[10:]
    broken, note = past.notes()
    assert broken.startswith("line 4 of journal.jsonl does not follow the line before it")
    assert note.startswith(f"line 4 of journal.jsonl {said}")
    assert note.endswith("left out, with what follows up to the next whole snapshot")


def test_texts_from_a_file_are_cleaned() -> None:
    hostile = replace(scenarios.mixed_fleet(1), fleet=scenarios.HOSTILE_TEXT, process="⌈fine⌉ …")
    read = read_line(whole_line(hostile, None), None).snapshot
    assert "\x1b" not in read.fleet
    assert "\u202e" not in read.fleet
    assert read.process == hostile.process


# -- versions -----------------------------------------------------------------------------------


def of_version(line: bytes, major: int, minor: int) -> bytes:
    """The line as that version would write it, with unknown fields everywhere."""
    plain = grown(msgspec.json.decode(line, type=WholeLine | ChangeLine | TickLine))
    assert isinstance(plain, dict)
    if plain["kind"] == "whole":
        begin = {"kind": "whole", "version": major, "minor": minor, "at": plain["at"]}
        plain = begin | plain | begin
    return msgspec.json.encode(plain) + b"\n"


def lines_for(snapshots: list[Snapshot]) -> list[bytes]:
    changes = [change_line(*pair) for pair in pairwise(snapshots)]
    return [whole_line(snapshots[0], None), *changes]


def test_a_journal_of_a_newer_minor_version_is_read_without_its_new_fields(path: Path) -> None:
    written, (major, minor) = ticks(12), SNAPSHOT_VERSION
    newer = [of_version(line, major, minor + 3) for line in lines_for(written)]
    path.write_bytes(b"".join(newer))
    past = JournalPast(path)
    assert all_of(past) == written
    assert past.notes() == ()


MAJOR, MINOR = SNAPSHOT_VERSION


@pytest.mark.parametrize(
    ("major", "minor", "role", "todo"),
    [
        (MAJOR, MINOR + 1, b"unheard of ", "update agentdash"),
        (MAJOR + 1, 4, b"", "update agentdash"),
        (0, 4, b"", "an older agentdash reads it"),
    ],
)
def test_a_journal_that_this_version_cannot_read_names_both_versions(
    path: Path, major: int, minor: int, role: bytes, todo: str
) -> None:
    line = of_version(whole_line(scenarios.mixed_fleet(1), None), major, minor)
    line = line.replace(b'"role":"', b'"role":"' + role)
    path.write_bytes(line)
    ours = f"this agentdash reads {SNAPSHOT_VERSION}: {todo}"
    with pytest.raises(JournalError, match=f"is of snapshot version {major}.{minor}, {ours}"):
        JournalPast(path)
    with pytest.raises(UnreadableLineError, match=f"version {major}.{minor}"):
        read_line(line, None, SnapshotVersion(major, minor))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has no snapshot"),
        (b"hello\n", "line 1 of journal.jsonl is no whole snapshot: hello"),
        (None, "no such file"),
    ],
)
def test_a_file_that_is_no_journal_is_refused(path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(JournalError, match=said):
        JournalPast(path)


# -- files --------------------------------------------------------------------------------------


class FullDisk:
    """Takes so many bytes, and then no more."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, descriptor: int, data: bytes) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = os.write(descriptor, data[: self.room])
        self.room -= written
        return written


def journal_of(path: Path, clock: Clock, disk: FullDisk, **limits: float) -> JournalWriter:
    chosen = JournalSettings(
        path=str(path),
        keep_s=limits.get("keep_s", DAY_S),
        max_bytes=int(limits.get("max_bytes", 2**30)),
    )
    return JournalWriter(JournalFiles(chosen, write=disk.write), clock)


async def test_a_full_disk_is_a_problem_in_words_and_the_journal_goes_on_later(path: Path) -> None:
    clock, written = Clock(), ticks(9)
    disk = FullDisk(sum(map(len, [whole_line(written[0], None)])) + 700)
    journal = journal_of(path, clock, disk)
    async with journal.recording():
        for snapshot in written[:6]:
            journal.offer(snapshot)
        while len(journal._backlog) or journal.problem() is None:
            await asyncio.sleep(0.001)
        assert "no space left on device" in str(journal.problem())
        disk.room = 2**20
        for snapshot in written[6:]:
            journal.offer(snapshot)
    assert journal.problem() is None
    past = JournalPast(path)
    assert not past.notes(), "a line that was written in part is taken back"
    assert all_of(past)[-3:] == written[6:]
    assert 3 < len(all_of(past)) < 9


async def test_a_journal_has_one_writer(path: Path) -> None:
    clock, disk = Clock(), FullDisk(2**30)
    first, second = journal_of(path, clock, disk), journal_of(path, clock, disk)
    written = ticks(2)
    async with first.recording():
        first.offer(written[0])
        while not path.exists() or not path.stat().st_size:
            await asyncio.sleep(0.001)
        async with second.recording():
            second.offer(written[1])
        assert "another process writes" in str(second.problem())
    assert all_of(JournalPast(path)) == written[:1]


@pytest.mark.parametrize("moves", [True, False], ids=["moved", "deleted"])
async def test_a_journal_that_is_taken_away_is_begun_again(path: Path, moves: bool) -> None:
    journal, written = journal_of(path, Clock(), FullDisk(2**30)), ticks(6)
    async with journal.recording():
        for snapshot in written[:3]:
            journal.offer(snapshot)
        while not path.exists() or path.read_bytes().count(b"\n") < 3:
            await asyncio.sleep(0.001)
        if moves:
            path.rename(path.with_suffix(".taken"))
        else:
            path.unlink()
        for snapshot in written[3:]:
            journal.offer(snapshot)
    assert journal.problem() is None
    assert all_of(JournalPast(path)) == written[3:]


async def test_a_disk_that_hangs_is_down_while_it_does_and_holds_nobody_at_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.record.journal.HUNG_S", 0.02)
    monkeypatch.setattr("controller.record.journal._FINISH_S", 0.02)
    goes_on, disk = threading.Event(), FullDisk(2**30)

    class HungDisk(FullDisk):
        def write(self, descriptor: int, data: bytes) -> int:
            goes_on.wait()
            return disk.write(descriptor, data)

    journal, written = journal_of(path, Clock(), HungDisk(0)), ticks(3)
    async with journal.recording():
        journal.offer(written[0])
        while journal.down() is None:
            await asyncio.sleep(0.001)
        assert "the disk hangs" in str(journal.down())
        goes_on.set()
        while journal.down() is not None:
            await asyncio.sleep(0.001)
        goes_on.clear()
        journal.offer(written[1])
    assert not goes_on.is_set(), "the end has come before the disk"
    goes_on.set()


async def test_a_disk_that_is_too_slow_leaves_out_the_oldest_and_says_so(path: Path) -> None:
    journal = journal_of(path, clock := Clock(), FullDisk(2**30))
    written = ticks(100)
    for snapshot in written:
        journal.offer(snapshot)
    assert journal.problem() == "the disk is too slow, 36 snapshots were left out"
    async with journal.recording():
        pass
    assert all_of(JournalPast(path)) == written[36:]
    clock.at += 61
    assert journal.problem() is None


def kept_of(path: Path, written: Iterable[Snapshot], **limits: Any) -> list[Snapshot]:
    """What is left of these, each in a whole line."""
    files = JournalFiles(JournalSettings(path=str(path), **limits))
    for snapshot in written:
        files.is_new(snapshot.at)
        files.append(whole_line(snapshot, None), snapshot.at, to_disk=False)
    files.close()
    return all_of(JournalPast(path))


def test_files_are_cut_by_size_and_the_oldest_go(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written = ticks(400)
    most = len(whole_line(written[0], None)) * 40
    kept = kept_of(path, written, max_bytes=most)
    said = [each for each in caplog.records if "less than keep" in each.message]
    assert said, "that it is not kept for as long as was asked"
    assert said[-1].holds_s < said[-1].keep_s == DAY_S  # type: ignore[attr-defined]  # its extra
    sizes = [file.stat().st_size for file in (*earlier_files(path), path)]
    assert most * 0.7 < sum(sizes) <= most
    assert len(sizes) > 4
    assert kept[-1] == written[-1]
    assert all(after.sequence == before.sequence + 1 for before, after in pairwise(kept))


def test_files_are_cut_by_age_and_the_oldest_go(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = path.with_name("journal-other.jsonl")
    other.write_text("not ours")
    written = [scenarios.mixed_fleet(1)]
    while written[-1].at < written[0].at + 2990:
        written.append(busy_tick(written[-1], 10.0))
    kept = kept_of(path, written, keep_s=800.0)
    assert not [each for each in caplog.records if "less than keep" in each.message]
    assert 790 <= kept[-1].at - kept[0].at <= 920
    assert other.exists()


async def test_the_disk_is_waited_for_only_where_the_cluster_was_written_to(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    first = quiet_tick(scenarios.mixed_fleet(1))
    acted = replace(quiet_tick(first), loop=replace(first.loop, writes=first.loop.writes + 1))
    journal = journal_of(path, Clock(), FullDisk(2**30))
    async with journal.recording():
        journal.offer(replace(first, loop=replace(first.loop, writes=0)))
        journal.offer(acted)
        journal.offer(quiet_tick(acted))
    assert len(synced) == 1


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


BROKEN = "does not follow the line before it: lines were changed, removed or put in there"


@pytest.mark.parametrize("gone", [None, 3, 10])
def test_a_line_that_was_changed_or_removed_is_found(path: Path, gone: int | None) -> None:
    """By the hash in the line after it."""
    write_journal(path, ticks(20))
    lines = lines_of(path)
    if gone is None:
        lines[6] = lines[6].replace(b'"ticks":', b'"ticks": ', 1)
    else:
        del lines[gone]
    path.write_bytes(b"".join(lines))
    number = 8 if gone is None else gone + 1
    assert f"line {number} of journal.jsonl {BROKEN}" in JournalPast(path).notes()


def test_the_chain_goes_on_over_files_and_processes_and_a_torn_end(path: Path) -> None:
    written = ticks(9)
    write_journal(path, written[:3])
    with path.open("ab") as torn:
        torn.write(b'{"kind":"change","sequ')
    write_journal(path, written[3:6])
    write_journal(path, written[6:])
    assert len(earlier_files(path)) == 2
    past = JournalPast(path)
    assert all_of(past) == written
    assert [note for note in past.notes() if BROKEN in note] == []
    earlier_files(path)[1].unlink()
    past = JournalPast(path)
    past.at(0.0)  # reads all files
    assert f"line 1 of journal.jsonl {BROKEN}" in past.notes()


def test_a_journal_of_an_earlier_version_carries_no_hashes_and_is_read(path: Path) -> None:
    written = ticks(5)
    write_journal(path, written)
    path.write_bytes(b"".join(without_link(line) + b"\n" for line in lines_of(path)))
    past = JournalPast(path)
    assert all_of(past) == written
    assert past.notes() == ()


async def test_a_journal_that_cannot_be_opened_is_down_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    files = JournalFiles(JournalSettings(path=str(tmp_path / "file" / "journal.jsonl")))
    writer = JournalWriter(files, Clock())
    async with writer.recording():
        assert "file" in str(writer.down())


def test_the_newest_file_is_shown_before_the_earlier_ones_are_read(path: Path) -> None:
    written = ticks(5)
    write_journal(path, written)
    earlier = path.parent / "journal-20200101T000000.000000Z.jsonl"
    os.mkfifo(earlier)  # reading it waits until something is written
    past = JournalPast(path)
    last = past.last()
    assert last is not None
    assert last.snapshot == written[-1]
    change = past.before(last.place)
    assert change is not None
    assert change.snapshot == written[-2]
    assert past.notes() == ()
    assert past.begins_at() == written[0].at
    earlier.write_bytes(b"no journal\n")
    assert all_of(past) == written
    assert past.notes() == (f"line 1 of {earlier.name} is no whole snapshot: no journal ",)
    assert past.begins_at() is None


@pytest.mark.parametrize("broken", ["", "torn", "a line", "the last key frame", "its begin"])
def test_its_end_can_be_read_first_and_then_it_is_the_same(path: Path, broken: str) -> None:
    write_journal(path, ticks(48))
    lines = lines_of(path)
    at = {"a line": 7, "the last key frame": 40, "its begin": 0}.get(broken)
    if at is not None:
        lines[at] = lines[at].replace(b'"at":', b'"at":?', 1)
    cut = len(lines[-1]) // 2 if broken == "torn" else None
    path.write_bytes(b"".join(lines)[: cut and -cut])
    whole, from_end = JournalPast(path), JournalPast(path, end_first=True)
    found = all_of(from_end)
    assert found == all_of(whole)
    assert found
    assert set(from_end.notes()) == set(whole.notes())
    assert bool(from_end.notes()) == bool(broken)
