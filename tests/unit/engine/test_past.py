"""What people saw of the fleet goes on in the next process: since when, and how it went."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from controller.engine.memory import LEFT_FOR_S
from controller.engine.past import PAST_EVERY_S, every_s
from controller.engine.show.tenants import dated
from controller.model.intents import Pause, Scope
from controller.model.readings import Absent, Why
from controller.model.snapshot import Finding, Snapshot, TenantTokens, TenantView, TokenState
from controller.model.tick import FindingSince, ShownPast, TenantSince
from controller.ports import StoreAwayError, StoreConflictError
from support.leadership import FakeLeadership
from support.world import START, make_pool
from unit.engine.conftest import Harness

POOL = make_pool("research", minimum=1, maximum=10)
BLIND = Absent(why=Why.CONSUMER_MISSING, detail="gone")
DOWN_S = 45.0


async def pass_time(world: Harness, seconds: float) -> None:
    """In steps after which what waits to be published has been, which takes real time."""
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
    world.past.kept = tuple(shifted(each, shift) for each in before.past.kept)
    return world


def shifted(past: ShownPast, by_s: float) -> ShownPast:
    findings = tuple(replace(each, since=each.since + by_s) for each in past.findings)
    return replace(past, at=past.at + by_s, findings=findings)


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
    assert world.past.kept[0].histories == last.histories


async def test_a_quiet_fleet_is_saved_once_and_a_store_that_is_away_stops_nothing() -> None:
    world = Harness(POOL, replicas=3)
    world.queue(POOL, pending=3)
    async with world.running():
        await pass_time(world, PAST_EVERY_S - 2)
        assert world.past.saves == 0
        await pass_time(world, 4.0)
        assert world.past.saves == 1
        world.past.error = StoreAwayError("no answer")
        world.queue(POOL, pending=7)
        await pass_time(world, 3 * PAST_EVERY_S)
        assert world.cluster.writes == [(POOL.key, 7, False)]
        world.past.error = None
        await pass_time(world, PAST_EVERY_S)
        assert world.past.saves >= 2


@pytest.mark.parametrize(("pools", "seconds"), [(0, 15), (1_000, 15), (4_000, 60), (10_000, 150)])
def test_a_large_fleet_is_saved_less_often(pools: int, seconds: float) -> None:
    assert every_s(pools) == pytest.approx(seconds)


async def test_a_store_that_cannot_be_read_costs_the_past_and_nothing_else() -> None:
    world = Harness(POOL, replicas=1)
    world.past.error = StoreAwayError("no answer")
    world.queue(POOL, pending=7)
    async with world.running():
        await pass_time(world, 1.0)
        assert world.cluster.writes == [(POOL.key, 7, False)]


async def test_a_past_that_cannot_be_read_is_not_replaced_by_a_younger_one() -> None:
    before = Harness(POOL, replicas=4)
    await left_behind(before)
    world = after(before)
    kept = world.past.kept
    world.past.load_error = StoreAwayError("no answer")
    world.queue(POOL, pending=5)
    async with world.running():
        await pass_time(world, 3 * PAST_EVERY_S)
    assert (world.past.kept, world.past.saves) == (kept, 0)


async def test_a_past_that_is_read_late_is_gone_on_from_and_saved_with_what_came_after() -> None:
    before = Harness(POOL, replicas=4)
    await left_behind(before)
    world = after(before, down_s=60.0)
    world.past.load_error = StoreAwayError("no answer")
    world.queue(POOL, pending=5)
    async with world.running():
        await pass_time(world, 2 * PAST_EVERY_S)
        early = (await world.snapshot()).histories[POOL.key].recent.pending
        world.past.load_error = None
        await pass_time(world, 2 * PAST_EVERY_S)
        late = (await world.snapshot()).histories[POOL.key].recent.pending
    assert 3 not in early
    assert late.index(3) < late.index(5)
    [saved] = world.past.kept
    recent = saved.histories[POOL.key].recent.pending
    assert (3 in recent, 5 in recent) == (True, True)


async def test_a_new_leader_saves_nothing_before_it_has_read_what_the_last_one_left() -> None:
    leadership = FakeLeadership()
    world = Harness(POOL, replicas=4, leadership=leadership)
    world.queue(POOL, pending=5)
    before = Harness(POOL, replicas=4)
    await left_behind(before)
    async with world.running():
        await pass_time(world, LEFT_FOR_S)
        left = tuple(shifted(each, -300.0) for each in before.past.kept)
        world.past.kept, world.past.load_error = left, StoreAwayError("no answer")
        leadership.gain()
        await pass_time(world, 120.0)
        early = world.past.kept
        world.past.load_error = None
        await pass_time(world, 120.0)
    assert early == left
    assert world.past.saves >= 1
    assert 3 in world.past.kept[0].histories[POOL.key].recent.pending


async def test_what_another_process_has_saved_meanwhile_is_read_before_it_is_replaced() -> None:
    world = Harness(POOL, replicas=4)
    world.queue(POOL, pending=5)
    other = Harness(POOL, replicas=4)
    await left_behind(other)
    async with world.running():
        world.past.kept = tuple(shifted(each, -600.0) for each in other.past.kept)
        world.past.error = StoreConflictError("another controller has saved the fleet's past")
        await pass_time(world, PAST_EVERY_S + 5)
        world.past.error = None
        await pass_time(world, 120.0)
    assert world.past.saves >= 1
    assert 3 in world.past.kept[0].histories[POOL.key].recent.pending


async def test_who_does_not_write_saves_nothing() -> None:
    world = Harness(POOL, replicas=1, writes=False)
    world.queue(POOL, pending=7)
    async with world.running():
        await pass_time(world, LEFT_FOR_S)
    assert world.past.saves == 0


async def test_times_and_numbers_that_cannot_be_are_not_gone_on_from() -> None:
    world = Harness(POOL, replicas=4)
    late = FindingSince(subject=POOL.key, kind="queue", since=START - 900)
    world.past.kept = (ShownPast(at=START + 3600, findings=(late,)),)
    world.queues.depths[POOL.key] = BLIND
    async with world.running():
        assert about_the_queue(await world.snapshot()).since >= START


def test_a_tenants_state_and_pause_go_on_where_they_are_the_same() -> None:
    tokens = TenantTokens(cap=10, state=TokenState.HARD, resets_at=START + 9)
    pause = Pause(scope=Scope(tenant="acme"), who="mara")
    view = TenantView(name="acme", tier="t", namespace="n", pools=1, tokens=tokens, pause=pause)
    left = TenantSince(
        name="acme",
        tokens=TokenState.HARD,
        tokens_since=START - 600,
        paused_by="mara",
        pause_since=START - 300,
    )
    same = dated(view, None, START, left)
    assert same.tokens is not None
    assert (same.tokens.since, same.pause_since) == (START - 600, START - 300)
    other = replace(left, tokens=TokenState.WARNED, paused_by="jon")
    anew = dated(view, None, START, other)
    assert anew.tokens is not None
    assert (anew.tokens.since, anew.pause_since) == (START, START)
