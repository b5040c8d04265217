"""Stepping back: through a journal, and through what a live dashboard has seen."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from agentdash.tui import view_state
from agentdash.tui.view_state import RecentPast, read_past_moment
from controller.model.snapshot import Snapshot
from controller.ports import PastMoment
from controller.record.journal import JournalPast
from support.past import busy_tick, quiet_tick, write_journal
from support.table import tabled
from tui import scenarios
from tui.dashboards import dashboard
from tui.plain import typed
from tui.sessions import Session, session

Picture = Callable[..., bool]
MINUTES = 14


def recorded() -> list[Snapshot]:
    """A quarter of an hour up to the scenarios' time, a change every 10 s."""
    begin = scenarios.NOW - MINUTES * 60
    fleet = scenarios.mixed_fleet(1)
    found = [
        replace(
            fleet,
            at=begin,
            events=tuple(each for each in fleet.events if each.at <= begin),
            findings=tuple(each for each in fleet.findings if each.since <= begin),
        )
    ]
    while found[-1].at < scenarios.NOW:
        quiet = quiet_tick(found[-1], 5.0)
        found += [quiet, busy_tick(quiet, 5.0)]
    return found


@pytest.fixture
def journal(tmp_path: Path) -> JournalPast:
    path = tmp_path / "journal.jsonl"
    write_journal(path, recorded(), whole_every=30)
    return JournalPast(path)


def shown(running: Session) -> Snapshot:
    snapshot = running.app.frame.snapshot
    assert snapshot is not None
    return snapshot


async def test_a_journal_begins_at_its_end_and_is_stepped_through(journal: JournalPast) -> None:
    written = recorded()
    async with session(None, journal=journal) as running:
        assert shown(running) == written[-1]
        assert "REPLAY 2026-03-02 12:04:49Z, the end" in running.text("#banner")
        assert "[replay]" in running.text("#header")
        assert "STALE" not in running.text("#header")
        await running.keys("<")
        assert shown(running) == written[-3]
        assert "12:04:39Z, 10s before the end" in running.text("#banner")
        await running.keys("{")
        assert shown(running).at == written[-3].at - 60
        await running.keys("}", ">")
        assert shown(running) == written[-1]
        await running.keys(">")
        assert "this is the newest" in running.text("#crumbs")


async def test_a_long_journal_is_read_behind_the_first_picture(tmp_path: Path) -> None:
    """Its end after that, and the rest while the person looks; the banner says how far."""
    path = tmp_path / "journal.jsonl"
    write_journal(path, recorded(), whole_every=30)
    earlier = tmp_path / "journal-20200101T000000.000000Z.jsonl"
    os.mkfifo(earlier)  # reading it waits until something is written
    painted: list[int] = []

    class Noted(JournalPast):
        def last(self) -> PastMoment | None:
            painted.append(running.ready_calls)
            return super().last()

    running = Session(None, journal=Noted(path, end_first=True))
    assert painted == []
    async with running.app.run_test(size=(80, 24)) as running.pilot:
        await running.settled()
        assert shown(running) == recorded()[-1]
        assert 0 not in painted
        await running.until(lambda: "read back to 11:50:49Z" in running.text("#banner"))
        earlier.write_bytes(b"")
        await running.until(lambda: "read back" not in running.text("#banner"))


async def test_every_view_shows_the_moment(journal: JournalPast) -> None:
    async with session(None, journal=journal) as running:
        await running.keys("{", "{")
        most = shown(running).pools[0].max
        await running.keys(*typed(":pools"), "enter")
        row = running.app.frame.row(shown(running).pools[0].key)
        assert row is not None
        assert row.view.max == most
        for view in ("qu", "tn", "po", "no", "mo", "ev"):
            await running.keys(*typed(f":{view}"), "enter")
            assert "REPLAY 2026-03-02 12:02:49Z" in running.text("#banner")
        assert running.app.frame.at == shown(running).at
        await running.keys("w")
        assert "the tasks are not known: the past has none" in running.screen


async def test_a_time_is_gone_to(journal: JournalPast) -> None:
    async with session(None, journal=journal) as running:
        await running.keys(*typed(":at 11:56"), "enter")
        assert "REPLAY 2026-03-02 11:55:59Z, 8m50s before the end" in running.text("#banner")
        await running.keys(*typed(":at -1m"), "enter")
        assert "12:03:49Z" in running.text("#banner")
        await running.keys(*typed(":at 10:00"), "enter")
        assert "nothing before 2026-03-02 11:50:49Z is kept" in running.text("#crumbs")
        await running.keys("<")
        assert "nothing earlier is kept" in running.text("#crumbs")
        await running.keys(*typed(":at noon"), "enter")
        assert running.app.view.prompt.mode == ":"
        await running.keys("escape", ".")
        assert "the end" in running.text("#banner")


async def test_a_replay_stops_no_controller(journal: JournalPast) -> None:
    async with session(None, journal=journal) as running:
        await running.keys("q")
        assert running.app.return_code == 0


async def test_a_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write_journal(path, recorded(), whole_every=30)
    lines = path.read_bytes().split(b"\n")
    lines[40] = b"?"
    path.write_bytes(b"\n".join(lines)[:-5])
    async with session(None, journal=JournalPast(path)) as running:
        assert "is torn: left out" in running.text("#crumbs")
        await running.keys(*typed(":at -10m"), "enter")
        assert "line 41 of journal.jsonl is not JSON" in running.text("#crumbs")


async def test_a_live_dashboard_steps_back_and_returns() -> None:
    written = recorded()
    async with session(written[0]) as running:
        for snapshot in written[1:]:
            running.clock.now = snapshot.at
            await running.publish(snapshot)
        await running.keys("<", "<")
        assert shown(running) == written[-5]
        said = running.text("#banner")
        assert "PAST 2026-03-02 12:04:29Z, 20s ago" in said
        assert "[past]" in running.text("#header")
        later = busy_tick(written[-1], 5.0)
        running.clock.now = later.at
        await running.publish(later)
        assert shown(running) == written[-5]
        assert "25s ago" in running.text("#banner")
        await running.keys(".")
        assert shown(running) == later
        assert "PAST" not in running.text("#header")
        await running.keys("<")
        await running.keys(*typed(":live"), "enter")
        assert shown(running) == later
        await running.keys("<", ">")
        assert shown(running) == later
        assert "[RW]" in running.text("#header")
        await running.publish(next_one := busy_tick(later, 5.0))
        assert shown(running) == next_one


async def test_a_still_picture_is_stepped_back_from_where_it_stands() -> None:
    written = recorded()
    async with session(written[0]) as running:
        for snapshot in written[1:20]:
            await running.publish(snapshot)
        await running.keys(".")
        for snapshot in written[20:]:
            await running.publish(snapshot)
        await running.keys("<")
        assert shown(running) == written[18]
        await running.keys(".")
        assert shown(running) == written[-1]


async def test_leaving_from_the_past_is_asked_as_ever() -> None:
    written = recorded()
    async with session(written[0]) as running:
        await running.publish(written[2])
        await running.keys("<", "q")
        assert running.app.return_code is None
        assert "leaving stops the controller" in running.text("#crumbs")


async def test_what_the_controller_remembers_is_stepped_back_to_by_who_attaches_now() -> None:
    written = recorded()
    async with session(written[-3]) as running:
        running.feed.before = tuple(written)
        await running.keys("<")
        assert shown(running) == written[-5]
        await running.keys(".")
        for snapshot in written[-2:]:
            await running.publish(snapshot)
        await running.keys("<")
        assert shown(running) == written[-3]
        await running.keys("<", "<")
        assert shown(running) == written[-7]
        await running.keys(*typed(":at -12m"), "enter")
        assert shown(running).at < written[-1].at - 11 * 60
        await running.keys(">")
        assert shown(running) in written


async def test_without_a_snapshot_there_is_nothing_to_step_to() -> None:
    async with session(None) as running:
        await running.keys("<")
        assert "no snapshot yet" in running.text("#crumbs")
        await running.keys(*typed(":at 11:00"), "enter")
        assert "no snapshot yet" in running.text("#crumbs")


def test_what_is_kept_is_bounded_in_time_and_in_views(monkeypatch: pytest.MonkeyPatch) -> None:
    past, snapshot = RecentPast(), scenarios.mixed_fleet(1)
    begin = snapshot.at
    for _ in range(400):
        past.keep(snapshot)
        snapshot = busy_tick(snapshot, 5.0)
    first, last = past.at(0.0), past.last()
    assert first is not None
    assert last is not None
    assert last.snapshot.at - first.snapshot.at == view_state.RECENT_S
    monkeypatch.setattr(view_state, "MOST_VIEWS", 30)
    past.keep(snapshot)
    first = past.at(begin)
    assert first is not None
    assert len(past._kept) < 40


def test_a_clock_that_was_set_back_begins_anew() -> None:
    past, snapshot = RecentPast(), scenarios.mixed_fleet(1)
    past.keep(snapshot)
    earlier = replace(busy_tick(snapshot), at=snapshot.at - 3600)
    past.keep(earlier)
    first = past.at(0.0)
    assert first is not None
    assert first.snapshot == earlier


END = datetime(2026, 11, 22, 12, 0, 3, tzinfo=UTC).timestamp()


@tabled(
    ("text", "time"),
    [
        ("11:50", "2026-11-22T11:50:00+00:00"),
        ("11:50:07Z", "2026-11-22T11:50:07+00:00"),
        ("23:00", "2026-11-21T23:00:00+00:00"),
        ("-15m", "2026-11-22T11:45:03+00:00"),
        ("2026-11-22T11:00", "2026-11-22T11:00:00+00:00"),
        ("2026-11-22T11:00+02:00", "2026-11-22T09:00:00+00:00"),
    ],
)
def test_times_as_people_type_them(text: str, time: str) -> None:
    assert datetime.fromtimestamp(read_past_moment(text, END), UTC).isoformat() == time


@tabled("text", ["noon", "25:00", "15m", "-x", "-99999999999h", "0001-01-01"])
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="is no time: 11:50, 11:50:03, -15m"):
        read_past_moment(text, END)


def replaying(tmp_path: Path) -> JournalPast:
    write_journal(tmp_path / "journal.jsonl", recorded(), whole_every=30)
    return JournalPast(tmp_path / "journal.jsonl")


def test_replay_160x45(picture: Picture, tmp_path: Path) -> None:
    """The same on a wide screen, with all keys in the banner."""
    app = dashboard(scenarios.FakeFeed(None), journal=replaying(tmp_path))
    assert picture(app, press=[*typed(":at -12m"), "enter"], terminal_size=(160, 45))


def test_past_80x24(picture: Picture) -> None:
    """A live dashboard that was stepped back: how long ago, and the key that returns."""
    feed = scenarios.FakeFeed(recorded()[-20])
    app = dashboard(feed)

    async def step_back(pilot: object) -> None:
        for snapshot in recorded()[-9:]:
            feed.publish(snapshot)
            await pilot.pause()  # type: ignore[attr-defined]

    assert picture(app, run_before=step_back, press=["<", "<"], terminal_size=(80, 24))
