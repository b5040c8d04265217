"""The last snapshot outlasts the process: who looks while no controller runs sees it."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from controller.engine.last_snapshot import LAST_AGAIN_S, LAST_EVERY_S, LastKeeper
from controller.engine.show.snapshot import MOST_AHEAD_S
from controller.model.snapshot import Snapshot
from controller.ports import StoreAwayError
from support.past import busy_tick, quiet_tick
from support.stores import FakeSnapshots
from support.world import START, VirtualClock, make_pool, settle
from tui import scenarios
from unit.engine.conftest import Harness
from unit.engine.test_past import pass_time

POOL = make_pool("research", minimum=1, maximum=10)


def fleet(pending: int = 3, *, writes: bool = True) -> Harness:
    world = Harness(POOL, replicas=3, writes=writes)
    world.queue(POOL, pending=pending)
    return world


async def kept(world: Harness) -> Snapshot:
    assert world.last.kept is not None
    return world.last.kept


async def test_a_quiet_fleet_is_saved_once_and_again_after_minutes() -> None:
    clock, store, shown = VirtualClock(), FakeSnapshots(), quiet_tick(scenarios.mixed_fleet())
    keeper = LastKeeper(store, clock)
    async with asyncio.TaskGroup() as tasks:

        async def tick(seconds: float) -> None:
            nonlocal shown
            shown = quiet_tick(shown, seconds)
            await clock.advance(seconds)
            keeper.remember(shown, tasks)
            await settle()

        await tick(1.0)
        assert store.saves == 1
        while shown.at < scenarios.mixed_fleet().at + LAST_AGAIN_S - LAST_EVERY_S:
            await tick(1.0)
        assert store.saves == 1
        for _ in range(int(3 * LAST_EVERY_S)):
            await tick(1.0)
        assert store.saves == 2
        shown = busy_tick(shown)
        for _ in range(int(LAST_EVERY_S) + 1):
            await tick(1.0)
        assert store.saves == 3


async def test_a_fleet_that_changes_all_the_time_is_saved_every_fifteen_seconds() -> None:
    world = fleet()
    async with world.running():
        for number in range(60):
            world.queue(POOL, pending=number)
            await pass_time(world, 1.0)
    assert 60 / LAST_EVERY_S <= world.last.saves <= 60 / LAST_EVERY_S + 2


async def test_a_graceful_stop_leaves_what_was_seen_last() -> None:
    world = fleet()
    async with world.running():
        await pass_time(world, 2.0)
        world.queue(POOL, pending=9)
        await pass_time(world, 2.0)
        seen = await world.snapshot()
        assert (await kept(world)).pools != seen.pools
    assert (await kept(world)).pools == seen.pools
    assert (await kept(world)).at >= seen.at


async def test_who_does_not_write_leaves_none() -> None:
    world = fleet(writes=False)
    async with world.running():
        await pass_time(world, 3 * LAST_EVERY_S)
    assert world.last.saves == 0


async def test_a_store_that_is_away_stops_no_tick_and_no_write(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    world = fleet(pending=7)
    world.last.error = StoreAwayError("no answer")
    async with world.running():
        await pass_time(world, 10 * LAST_EVERY_S)
        assert world.cluster.writes == [(POOL.key, 7, False)]
        world.last.error = None
        await pass_time(world, LAST_EVERY_S + 1.0)
        assert world.last.saves == 1
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
    world.last.kept = left_by_another(events=(late, *events))
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
    world.last.kept = left_by_another(epoch=START + ahead_s, sequence=99_999)
    async with world.running():
        shown = await world.snapshot()
    assert (shown.epoch > START + ahead_s) is (goes_on or ahead_s < 0)
    assert (shown.epoch == START) is not goes_on
