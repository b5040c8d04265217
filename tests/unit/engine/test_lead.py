"""What the loop does while it leads, while it follows, and when that changes."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from controller.engine.memory import SAVE_EVERY_S
from controller.model.decision import Code, Decision, Gate, Outcome, OutcomeKind
from controller.model.fleet import Behavior, ScalingRules
from controller.model.memory import Memory, PoolMemory, RecommendationRun, SavedMemory
from controller.model.snapshot import Role, Severity
from controller.ports import StoreAwayError
from support.leadership import FakeLeadership
from support.world import START, make_pool, settle
from unit.engine.conftest import Harness

WINDOW_S = 300
RESEARCH = make_pool("research", minimum=1, maximum=10)
STEADY = make_pool(
    "digest",
    minimum=1,
    behavior=Behavior(
        scale_up=ScalingRules(stabilization_window_s=0),
        scale_down=ScalingRules(stabilization_window_s=WINDOW_S),
    ),
)


async def decided(world: Harness) -> Decision:
    [pool] = (await world.snapshot()).pools
    assert pool.decision is not None
    return pool.decision


def remembered(replicas: int, at: float, *, before: int = 0) -> SavedMemory:
    """The memory of a leader that has seen this recommendation for an hour, `before` it this."""
    earlier = RecommendationRun(replicas=before, first_at=at - 7200.0, last_at=at - 3600.0)
    run = RecommendationRun(replicas=replicas, first_at=at - 3600.0)
    runs = (earlier, run) if before else (run,)
    pool = PoolMemory(since=at - 3600.0, last_active_at=at, recommendations=runs)
    return SavedMemory(memory=Memory(pools={STEADY.key: pool}), saved_at=at)


async def test_a_follower_plans_and_publishes_but_writes_nothing() -> None:
    world = Harness(RESEARCH, replicas=1, leadership=FakeLeadership())
    world.queue(RESEARCH, pending=7)
    async with world.running():
        await world.clock.advance(60.0)
        snapshot = await world.snapshot()
        decision = await decided(world)
    assert world.cluster.writes == []
    assert world.memories.saves == []
    assert snapshot.role is Role.FOLLOWER
    assert snapshot.events == ()
    assert snapshot.loop.decisions == 0
    assert (decision.target, decision.next, decision.gate) == (7, 1, Gate.FOLLOWER)
    assert decision.reasons[-1].code is Code.FOLLOWER
    assert decision.reasons[-1].numbers == {"holder": "other/1", "wanted": 7}


async def test_a_first_message_is_left_to_the_leader() -> None:
    pool = make_pool("browser", maximum=6)
    world = Harness(pool, leadership=FakeLeadership())
    async with world.running():
        world.wakes.wake(pool.key)
        await settle()
        assert (await decided(world)).gate is Gate.FOLLOWER
    assert world.cluster.writes == []


async def test_a_follower_that_takes_over_writes_at_once() -> None:
    leadership = FakeLeadership()
    world = Harness(RESEARCH, replicas=1, leadership=leadership)
    world.queue(RESEARCH, pending=7)
    async with world.running():
        await world.clock.advance(60.0)
        leadership.gain()
        await settle()
        assert world.cluster.writes == [(RESEARCH.key, 7, False)]
        snapshot = await world.snapshot()
    assert snapshot.role is Role.LEADER
    assert snapshot.epoch == START + 60.0
    assert (await decided(world)).gate is None


async def test_a_process_that_leads_from_its_start_decides_in_its_first_tick() -> None:
    world = Harness(RESEARCH, replicas=1, leadership=FakeLeadership(leads=True))
    world.queue(RESEARCH, pending=7)
    async with world.running():
        await settle()
        assert world.cluster.writes == [(RESEARCH.key, 7, False)]


async def test_who_takes_over_continues_the_previous_leaders_windows() -> None:
    leadership = FakeLeadership()
    world = Harness(STEADY, replicas=6, leadership=leadership)
    world.queue(STEADY, pending=2)
    async with world.running():
        await world.clock.advance(20.0)
        # saved by the leader meanwhile: until now it has recommended six
        world.memories.kept = remembered(6, world.clock.now())
        leadership.gain()
        took_over_at = world.clock.now()
        await world.clock.advance(WINDOW_S - 5.0)
        assert world.cluster.writes == []
        decision = await decided(world)
        codes = {reason.code for reason in decision.reasons}
        assert Code.STABILIZED_DOWN in codes
        assert Code.HELD_WARM_UP not in codes
        await world.clock.advance(10.0)
        assert world.cluster.writes == [(STEADY.key, 2, False)]
        assert world.clock.now() - took_over_at < WINDOW_S + 10.0


async def test_what_is_seen_while_the_previous_leaders_memory_is_read_keeps_its_window() -> None:
    leadership = FakeLeadership()
    world = Harness(STEADY, replicas=6, leadership=leadership)
    world.queue(STEADY, pending=2)
    async with world.running():
        await world.clock.advance(2.0 * WINDOW_S)
        world.memories.kept = remembered(2, world.clock.now(), before=6)
        world.memories.load_gate = asyncio.Event()
        leadership.gain()
        for pending in (6, 2):
            world.queue(STEADY, pending=pending)
            await world.clock.advance(1.0)
        world.memories.load_gate.set()
        await world.clock.advance(WINDOW_S - 10.0)
        assert world.cluster.writes == []
        await world.clock.advance(15.0)
        assert world.cluster.writes == [(STEADY.key, 2, False)]


async def test_who_takes_over_after_a_step_of_the_clock_saves_its_memory_in_time() -> None:
    leadership = FakeLeadership()
    world = Harness(STEADY, replicas=6, leadership=leadership)
    world.queue(STEADY, pending=6)
    async with world.running():
        world.clock.step(3600.0)
        await world.clock.advance(5.0)
        world.memories.kept = remembered(6, world.clock.now())
        leadership.gain()
        await settle()
        saves = len(world.memories.saves)
        world.queue(STEADY, pending=2)  # a new recommendation, held by the window
        await world.clock.advance(SAVE_EVERY_S + 2.0)
        assert len(world.memories.saves) > saves
    assert world.cluster.writes == []


@pytest.mark.parametrize("error", [StoreAwayError("nats is away"), None])
async def test_who_finds_no_memory_of_the_previous_leader_holds_each_pool_for_a_window(
    error: StoreAwayError | None,
) -> None:
    leadership = FakeLeadership()
    world = Harness(STEADY, replicas=6, leadership=leadership)
    world.queue(STEADY, pending=2)  # it may have missed what the leader saw
    async with world.running():
        await world.clock.advance(2.0 * WINDOW_S)
        world.memories.error = error
        leadership.gain()
        await world.clock.advance(WINDOW_S - 5.0)
        assert world.cluster.writes == []
        await world.clock.advance(10.0)
        assert world.cluster.writes == [(STEADY.key, 2, False)]


async def test_who_finds_the_memory_late_keeps_what_it_saw_as_a_follower() -> None:
    leadership = FakeLeadership()
    world = Harness(STEADY, replicas=6, leadership=leadership)
    world.queue(STEADY, pending=2)
    async with world.running():
        await world.clock.advance(2.0 * WINDOW_S)
        # the leader saves for the last time; then more work comes for a moment
        world.memories.kept = remembered(2, world.clock.now(), before=6)
        world.queue(STEADY, pending=6)
        await world.clock.advance(5.0)
        world.queue(STEADY, pending=2)
        await world.clock.advance(5.0)
        world.memories.error = StoreAwayError("nats is away")
        leadership.gain()
        await world.clock.advance(5.0)
        world.memories.error = None
        await world.clock.advance(WINDOW_S - 15.0)
        assert world.cluster.writes == []
        await world.clock.advance(25.0)
        assert world.cluster.writes == [(STEADY.key, 2, False)]


async def test_a_leader_that_loses_the_lease_writes_and_saves_nothing_more() -> None:
    leadership = FakeLeadership(leads=True)
    world = Harness(RESEARCH, replicas=1, leadership=leadership)
    async with world.running():
        await world.clock.advance(30.0)
        leadership.lose()
        saved, writes = len(world.memories.saves), list(world.cluster.writes)
        world.queue(RESEARCH, pending=7)
        await world.clock.advance(60.0)
        snapshot = await world.snapshot()
        assert (await decided(world)).gate is Gate.FOLLOWER
    assert world.cluster.writes == writes
    assert len(world.memories.saves) == saved
    assert snapshot.role is Role.FOLLOWER


async def test_what_a_leader_had_not_saved_yet_is_not_saved_after_it_lost_the_lease() -> None:
    leadership = FakeLeadership(leads=True)
    world = Harness(STEADY, replicas=6, leadership=leadership)
    world.queue(STEADY, pending=6)
    async with world.running():
        await world.clock.advance(16.0)
        saved = len(world.memories.saves)
        world.queue(STEADY, pending=2)  # it is remembered, and decides nothing
        await world.clock.advance(2.0)
        assert len(world.memories.saves) == saved
        leadership.lose()
    assert len(world.memories.saves) == saved


async def test_what_the_leader_sets_is_no_quarrel_for_a_follower() -> None:
    world = Harness(RESEARCH, replicas=1, leadership=FakeLeadership())
    async with world.running():
        for size in (7, 3, 7, 3, 7, 3, 7, 3):
            world.queue(RESEARCH, pending=10 - size)
            await world.clock.advance(2.0)
            world.cluster.set(RESEARCH, size)
            await world.clock.advance(2.0)
            assert (await decided(world)).gate is Gate.FOLLOWER


async def test_a_decision_that_was_not_written_in_time_is_dropped_with_the_lease() -> None:
    leadership = FakeLeadership(leads=True)
    world = Harness(RESEARCH, replicas=1, leadership=leadership)
    failed = Outcome(kind=OutcomeKind.FAILED, status=500)
    world.cluster.answers[RESEARCH.key] = [failed] * 3
    world.queue(RESEARCH, pending=7)
    async with world.running():
        await settle()
        tries = len(world.cluster.writes)
        leadership.lose()
        await world.clock.advance(120.0)
        assert len(world.cluster.writes) == tries


async def test_while_renewals_are_missing_nothing_is_written_and_then_the_decision_stands() -> None:
    leadership = FakeLeadership(leads=True)
    world = Harness(RESEARCH, replicas=1, leadership=leadership)
    async with world.running():
        await world.clock.advance(5.0)
        leadership.lapse()
        leadership.problem = "the lease: connection refused"
        saved = len(world.memories.saves)
        writes = list(world.cluster.writes)
        world.queue(RESEARCH, pending=7)
        await world.clock.advance(60.0)
        assert world.cluster.writes == writes
        assert len(world.memories.saves) == saved
        snapshot = await world.snapshot()
        assert snapshot.role is Role.FOLLOWER
        [finding] = [each for each in snapshot.findings if each.subject == "lease"]
        assert finding.severity is Severity.CRITICAL
        assert "connection refused" in finding.text
        assert snapshot.speaks, "nobody else leads: dashboards elsewhere see the problem"
        leadership.renew()
        await world.clock.advance(1.0)
        assert world.cluster.writes == [*writes, (RESEARCH.key, 7, False)]


async def test_a_lease_lost_while_its_memory_is_read_is_not_led() -> None:
    leadership = FakeLeadership()
    world = Harness(RESEARCH, replicas=1, leadership=leadership)
    world.queue(RESEARCH, pending=7)
    async with world.running():
        await world.clock.advance(3.0)
        leadership.gain()
        leadership.lose()
        await world.clock.advance(10.0)
        assert world.cluster.writes == []
        assert (await world.snapshot()).role is Role.FOLLOWER
        assert (await decided(world)).gate is Gate.FOLLOWER


async def test_a_right_that_lapses_while_the_memory_is_read_is_led_by_when_it_is_renewed() -> None:
    """Renewals that succeed again tell nobody that this process leads: it did so before."""
    leadership = FakeLeadership()
    world = Harness(RESEARCH, replicas=1, leadership=leadership)
    world.queue(RESEARCH, pending=7)
    async with world.running():
        await world.clock.advance(3.0)
        leadership.gain()
        leadership.lapse()
        await world.clock.advance(5.0)
        assert world.cluster.writes == []
        leadership.renew()
        await world.clock.advance(2.0)
        assert world.cluster.writes == [(RESEARCH.key, 7, False)]
        assert (await world.snapshot()).role is Role.LEADER


async def test_a_follower_is_silent_only_while_another_process_leads() -> None:
    leadership = FakeLeadership()
    world = Harness(RESEARCH, leadership=leadership)
    async with world.running():
        snapshot = await world.snapshot()
        assert not snapshot.speaks
        nobody = replace(snapshot, lease=replace(leadership.view(), holder=""))
        assert nobody.speaks
        leadership.gain()
        await settle()
        assert (await world.snapshot()).speaks


async def test_an_engine_without_an_actuator_takes_part_in_no_election() -> None:
    world = Harness(RESEARCH, replicas=1, writes=False, leadership=FakeLeadership(leads=True))
    world.queue(RESEARCH, pending=7)
    async with world.running():
        await world.clock.advance(3.0)
        assert (await world.snapshot()).role is Role.READ_ONLY
        assert (await decided(world)).next == 7
    assert world.cluster.writes == []
