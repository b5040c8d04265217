"""The last key frame outlasts the process: who looks while no controller runs sees it, and the next
process goes on from it: since when, and how it went.
"""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from controller.engine.actuate import Recorder
from controller.engine.memory import KEPT_AGAIN_S, KEPT_EVERY_S, FrameKeeper, every_s
from controller.engine.show.lasting import LEFT_FOR_S
from controller.engine.show.snapshot import MOST_AHEAD_S, SnapshotBuilder
from controller.model.intents import Scope
from controller.model.readings import Absent, Why
from controller.model.snapshot import Finding, Snapshot
from controller.ports import StoreAwayError, StoreConflictError
from support.asked import a_pause, intents_of
from support.leadership import FakeLeadership
from support.past import busy_tick, quiet_tick
from support.stores import FakeSnapshots
from support.table import tabled
from support.world import START, VirtualClock, make_fleet, make_pool, settle
from tui import scenarios
from unit.engine.conftest import Harness

POOL = make_pool("research", minimum=1, maximum=10)
BLIND = Absent(why=Why.CONSUMER_MISSING, detail="gone")
DOWN_S = 45.0


async def pass_time(world: Harness, seconds: float) -> None:
    """In steps after which what waits to be published has been."""
    while seconds > 0:
        step = min(seconds, 10.0)
        await world.clock.advance(step)
        await world.snapshot()
        seconds -= step


def about_the_queue(snapshot: Snapshot) -> Finding:
    [found] = [
        each for each in snapshot.findings if (each.subject, each.kind) == (POOL.key, "queue")
    ]
    return found


async def left_behind(world: Harness, ran_s: float = 400.0) -> Snapshot:
    """The last snapshot of a process that could not see its queue from 100 s on."""
    world.queue(POOL, pending=3)
    async with world.running():
        await pass_time(world, 100.0)
        world.queues.depths[POOL.key] = BLIND
        await pass_time(world, ran_s - 100.0)
        return await world.snapshot()


def after(before: Harness, down_s: float = DOWN_S) -> Harness:
    """The next process, so many seconds later."""
    world = Harness(POOL, replicas=4)
    shift = START - down_s - before.clock.now()
    world.frames.kept = shifted(last_of(before), shift)
    return world


def last_of(world: Harness) -> Snapshot:
    assert world.frames.kept is not None
    return world.frames.kept


def shifted(left: Snapshot, by_s: float) -> Snapshot:
    findings = tuple(replace(each, since=each.since + by_s) for each in left.findings)
    return replace(left, at=left.at + by_s, epoch=left.epoch + by_s, findings=findings)


async def test_a_finding_that_is_still_there_after_a_restart_is_there_since_it_began() -> None:
    before = Harness(POOL, replicas=4)
    last = await left_behind(before)
    world = after(before)
    world.queues.depths[POOL.key] = BLIND
    async with world.running():
        await pass_time(world, 5.0)
        found = about_the_queue(await world.snapshot())
    began_s_ago = last.at - about_the_queue(last).since
    assert began_s_ago > 250
    assert found.since == pytest.approx(START - DOWN_S - began_s_ago, abs=1.0)


async def test_a_finding_that_comes_long_after_a_restart_is_a_new_one() -> None:
    before = Harness(POOL, replicas=4)
    await left_behind(before)
    world = after(before)
    world.queue(POOL, pending=3)
    async with world.running():
        await pass_time(world, LEFT_FOR_S + 10)
        world.queues.depths[POOL.key] = BLIND
        await pass_time(world, 30.0)
        assert about_the_queue(await world.snapshot()).since > START + LEFT_FOR_S


async def test_the_histories_go_on_and_nothing_is_known_of_the_time_between() -> None:
    before = Harness(POOL, replicas=4)
    await left_behind(before)
    world = after(before, down_s=60.0)
    world.queue(POOL, pending=5)
    async with world.running():
        await pass_time(world, 60.0)
        recent = (await world.snapshot()).histories[POOL.key].recent
    began = recent.pending.index(5)
    assert set(recent.pending[began - 3 : began]) == {-1}
    assert 3 in recent.pending[:began]
    assert 3 in recent.ready[:began]


async def test_what_is_saved_at_the_end_is_the_last_that_was_shown() -> None:
    world = Harness(POOL, replicas=4)
    world.queue(POOL, pending=3)
    async with world.running():
        await pass_time(world, 20.0)
        shown = await world.snapshot()
        while (last := await world.snapshot()).histories is shown.histories:
            await world.clock.advance(0.5)
    assert last.histories
    assert last_of(world).histories == last.histories


@tabled(("pools", "seconds"), [(0, 15), (1_000, 15), (4_000, 60), (10_000, 150)])
def test_a_large_fleet_is_saved_less_often(pools: int, seconds: float) -> None:
    assert every_s(pools) == pytest.approx(seconds)


async def test_a_past_that_cannot_be_read_is_not_replaced_by_a_younger_one() -> None:
    before = Harness(POOL, replicas=4)
    await left_behind(before)
    world = after(before)
    kept = world.frames.kept
    world.frames.load_error = StoreAwayError("no answer")
    world.queue(POOL, pending=5)
    async with world.running():
        await pass_time(world, 3 * KEPT_EVERY_S)
    assert (world.frames.kept, world.frames.saves) == (kept, 0)


async def test_a_past_that_is_read_late_is_gone_on_from_and_saved_with_what_came_after() -> None:
    before = Harness(POOL, replicas=4)
    await left_behind(before)
    world = after(before, down_s=60.0)
    world.frames.load_error = StoreAwayError("no answer")
    world.queue(POOL, pending=5)
    async with world.running():
        await pass_time(world, 2 * KEPT_EVERY_S)
        early = (await world.snapshot()).histories[POOL.key].recent.pending
        world.frames.load_error = None
        await pass_time(world, 2 * KEPT_EVERY_S)
        late = (await world.snapshot()).histories[POOL.key].recent.pending
    assert 3 not in early
    assert late.index(3) < late.index(5)
    recent = last_of(world).histories[POOL.key].recent.pending
    assert (3 in recent, 5 in recent) == (True, True)


async def test_a_new_leader_saves_nothing_before_it_has_read_what_the_last_one_left() -> None:
    leadership = FakeLeadership()
    world = Harness(POOL, replicas=4, leadership=leadership)
    world.queue(POOL, pending=5)
    before = Harness(POOL, replicas=4)
    await left_behind(before)
    async with world.running():
        await pass_time(world, LEFT_FOR_S)
        left = shifted(last_of(before), -300.0)
        world.frames.kept, world.frames.load_error = left, StoreAwayError("no answer")
        leadership.gain()
        await pass_time(world, 120.0)
        early = world.frames.kept
        world.frames.load_error = None
        await pass_time(world, 120.0)
    assert early == left
    assert world.frames.saves >= 1
    assert 3 in last_of(world).histories[POOL.key].recent.pending


async def test_what_another_process_has_saved_meanwhile_is_read_before_it_is_replaced() -> None:
    world = Harness(POOL, replicas=4)
    world.queue(POOL, pending=5)
    other = Harness(POOL, replicas=4)
    await left_behind(other)
    async with world.running():
        world.frames.kept = shifted(last_of(other), -600.0)
        world.frames.error = StoreConflictError("another controller has saved the fleet's past")
        await pass_time(world, KEPT_EVERY_S + 5)
        world.frames.error = None
        await pass_time(world, 120.0)
    assert world.frames.saves >= 1
    assert 3 in last_of(world).histories[POOL.key].recent.pending


async def test_times_and_numbers_that_cannot_be_are_not_gone_on_from() -> None:
    world = Harness(POOL, replicas=4)
    before = Harness(POOL, replicas=4)
    await left_behind(before)
    world.frames.kept = shifted(last_of(before), START + 3600 - last_of(before).at)
    world.queues.depths[POOL.key] = BLIND
    async with world.running():
        assert about_the_queue(await world.snapshot()).since >= START


async def test_a_new_process_says_since_when_a_pool_stands_and_a_tenant_is_paused() -> None:
    pause = a_pause(scope=Scope(tenant="acme"), keep=4, who="mara")
    worlds = [Harness(POOL, replicas=4), Harness(POOL, replicas=4)]
    for world in worlds:
        world.queue(POOL, pending=4)
        world.intents.set(intents_of(pauses=(pause,)), pause.scope)
    before, world = worlds
    async with before.running():
        await pass_time(before, 60.0)
        left = await before.snapshot()
    by_s = START - 300 - before.clock.now()
    began = START + by_s
    standing = left.pools[0].standing
    assert standing is not None
    moved = replace(standing, since=began, bound_since=began)
    world.frames.kept = replace(
        shifted(left, by_s),
        pools=(replace(left.pools[0], standing=moved),),
        tenants=(replace(left.tenants[0], pause_since=began),),
    )
    async with world.running():
        shown = await world.snapshot()
        assert shown.pools[0].standing == moved
        assert shown.tenants[0].pause_since == began
        await pass_time(world, 5.0)
        world.intents.set(intents_of(pauses=(replace(pause, who="jon"),)), pause.scope)
        assert (await world.snapshot()).tenants[0].pause_since == world.clock.now()


# -- what is saved, and when ---------------------------------------------------------------------


def fleet(pending: int = 3, *, writes: bool = True) -> Harness:
    world = Harness(POOL, replicas=3, writes=writes)
    world.queue(POOL, pending=pending)
    return world


async def test_a_quiet_fleet_is_saved_once_and_again_after_minutes() -> None:
    clock, store, shown = VirtualClock(), FakeSnapshots(), quiet_tick(scenarios.mixed_fleet())
    snapshots = SnapshotBuilder(
        fleet=make_fleet(POOL),
        recorder=Recorder(writes=True),
        name="f",
        context="c",
        interval_s=1.0,
        epoch=START,
    )
    keeper = FrameKeeper(store, clock, snapshots)
    async with asyncio.TaskGroup() as tasks:

        async def tick(seconds: float) -> None:
            nonlocal shown
            shown = quiet_tick(shown, seconds)
            await clock.advance(seconds)
            keeper.remember(shown, tasks)
            await settle()

        await tick(1.0)  # reads what is there
        await tick(1.0)
        assert store.saves == 1
        while shown.at < scenarios.mixed_fleet().at + KEPT_AGAIN_S - KEPT_EVERY_S:
            await tick(1.0)
        assert store.saves == 1
        for _ in range(int(3 * KEPT_EVERY_S)):
            await tick(1.0)
        assert store.saves == 2
        shown = busy_tick(shown)
        for _ in range(int(KEPT_EVERY_S) + 1):
            await tick(1.0)
        assert store.saves == 3


async def test_a_fleet_that_changes_all_the_time_is_saved_every_fifteen_seconds() -> None:
    world = fleet()
    async with world.running():
        for number in range(60):
            world.queue(POOL, pending=number)
            await pass_time(world, 1.0)
    assert 60 / KEPT_EVERY_S <= world.frames.saves <= 60 / KEPT_EVERY_S + 2


async def test_a_graceful_stop_leaves_what_was_seen_last() -> None:
    world = fleet()
    async with world.running():
        await pass_time(world, 2.0)
        world.queue(POOL, pending=9)
        await pass_time(world, 2.0)
        seen = await world.snapshot()
        assert last_of(world).pools != seen.pools
    assert last_of(world).pools == seen.pools
    assert last_of(world).at >= seen.at


async def test_a_store_that_is_away_stops_no_tick_and_no_write(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    world = fleet(pending=7)
    world.frames.error = StoreAwayError("no answer")
    async with world.running():
        await pass_time(world, 10 * KEPT_EVERY_S)
        assert world.cluster.writes == [(POOL.key, 7, False)]
        world.frames.error = None
        await pass_time(world, KEPT_EVERY_S + 1.0)
        assert world.frames.saves == 1
        world.frames.error = StoreAwayError("no answer")
        world.queue(POOL, pending=8)
        await pass_time(world, 10 * KEPT_EVERY_S)
        assert world.cluster.writes[1:] == [(POOL.key, 8, False)]
        world.frames.error = None
        await pass_time(world, KEPT_EVERY_S + 1.0)
        assert world.frames.saves > 1
    said = [each.getMessage() for each in caplog.records if "last snapshot" in each.getMessage()]
    assert said == [
        "the last snapshot cannot be read: no answer",
        "the last snapshot cannot be saved: no answer",
    ]


def left_by_another(**changes: object) -> Snapshot:
    return replace(scenarios.mixed_fleet(), **changes)


async def test_the_scale_events_of_the_process_before_go_on() -> None:
    events = tuple(replace(each, at=START - 60.0 - n) for n, each in enumerate(scenarios.events()))
    late = replace(events[0], at=START + 3600.0)
    world = fleet(pending=7)
    world.frames.kept = left_by_another(events=(late, *events))
    async with world.running():
        await pass_time(world, 2.0)
        shown = (await world.snapshot()).events
    assert [each.pool for each in shown[:1]] == [POOL.key]
    assert shown[1:] == events


@pytest.mark.parametrize(
    ("ahead_s", "goes_on"), [(-60.0, False), (0.0, True), (600.0, True), (MOST_AHEAD_S + 60, False)]
)
async def test_snapshots_are_newer_than_those_of_a_leader_whose_clock_was_ahead(
    ahead_s: float, goes_on: bool
) -> None:
    world = fleet()
    world.frames.kept = left_by_another(epoch=START + ahead_s, sequence=99_999)
    async with world.running():
        shown = await world.snapshot()
    assert (shown.epoch > START + ahead_s) is (goes_on or ahead_s < 0)
    assert (shown.epoch == START) is not goes_on
