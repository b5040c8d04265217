from __future__ import annotations

import asyncio
import logging

import pytest

from controller.engine.actuate import OUTAGE_RETRY_MOST_S, SIZES_LOGGED
from controller.engine.supervise import next_slot
from controller.model.decision import Code, Decision, Gate, Outcome, OutcomeKind
from controller.model.fleet import Behavior, PolicyType, ScalingPolicy, ScalingRules
from controller.model.intents import Scope
from controller.model.observation import QueueDepth, WakeWatch
from controller.model.readings import Absent, Stale, Why
from controller.model.snapshot import NO_WRITE, OVERTAKEN, Finding, Role, Severity
from support.asked import a_cap, intents_of
from support.table import tabled
from support.world import make_pool, settle
from unit.engine.conftest import Harness

RESEARCH = make_pool("research", minimum=1, maximum=10)
SLEEPER = make_pool("browser", maximum=6)
COUNTED = make_pool("digest", maximum=4, activation=3)
STEPS_OF_TWO = Behavior(
    scale_up=ScalingRules(
        stabilization_window_s=0,
        policies=(ScalingPolicy(type=PolicyType.PODS, value=2, period_s=60),),
    ),
    scale_down=ScalingRules(stabilization_window_s=0),
)


async def decided(world: Harness) -> Decision:
    """What is decided now of the only pool."""
    [pool] = (await world.snapshot()).pools
    assert pool.decision is not None
    return pool.decision


async def test_nothing_is_written_when_nothing_changed() -> None:
    world = Harness(RESEARCH, SLEEPER, replicas=0)
    world.cluster.replicas[RESEARCH.key] = 3
    world.queue(RESEARCH, pending=3)
    async with world.running():
        await world.clock.advance(600.0)
        assert world.cluster.writes == []
        assert (await world.snapshot()).loop.ticks >= 600


async def test_a_wake_is_acted_on_without_waiting_for_the_interval_or_a_list() -> None:
    world = Harness(RESEARCH, SLEEPER)
    world.cluster.replicas[RESEARCH.key] = 1
    async with world.running():
        await world.clock.advance(1.5)
        assert SLEEPER.key in world.wakes.watched
        asked = len(world.queues.reads)
        world.cluster.gate = asyncio.Event()
        world.wakes.wake(SLEEPER.key)
        await settle()
        assert world.cluster.writes == [(SLEEPER.key, 1, True)]
        assert len(world.queues.reads) == asked
        world.cluster.gate.set()
        [event] = (await world.snapshot()).events
        assert event.pool == SLEEPER.key


async def test_a_burst_into_an_empty_pool_is_counted_as_soon_as_the_wake_is_written() -> None:
    pool = make_pool("browser")
    world = Harness(pool)
    async with world.running():
        await world.clock.advance(1.5)
        world.queue(pool, pending=20)
        world.wakes.wake(pool.key)
        await settle()
        assert world.cluster.writes == [(pool.key, 1, True), (pool.key, 10, False)]


async def test_wakes_of_the_same_moment_share_a_tick_scoped_to_their_pools() -> None:
    pools = [make_pool(f"p{number}") for number in range(5)]
    world = Harness(*pools)
    async with world.running():
        await world.clock.advance(1.5)
        for pool in pools[:3]:
            world.wakes.wake(pool.key)
        await settle()
        assert {key for key, _, _ in world.cluster.writes} == {pool.key for pool in pools[:3]}


async def test_a_wake_below_an_activation_threshold_asks_for_the_count() -> None:
    world = Harness(COUNTED)
    async with world.running():
        await world.clock.advance(1.5)
        world.queue(COUNTED, pending=2)
        asked = len(world.queues.reads)
        world.wakes.wake(COUNTED.key)
        await settle()
        assert len(world.queues.reads) == asked + 1
        assert world.cluster.writes == []
        world.queue(COUNTED, pending=4)
        world.wakes.wake(COUNTED.key)
        await settle()
        assert world.cluster.writes == [(COUNTED.key, 4, True)]


async def test_a_pool_that_falls_asleep_is_watched_and_then_listed_again() -> None:
    world = Harness(SLEEPER)
    async with world.running():
        await settle()
        # the first tick found it at zero: a watch was placed, and only then was it asked again
        assert world.wakes.watched == {SLEEPER.key}
        assert world.queues.reads == [(SLEEPER.key,), (SLEEPER.key,)]
        [pool] = (await world.snapshot()).pools
        assert pool.observation.wake is WakeWatch.ARMED


async def test_a_hung_source_does_not_hold_the_tick_and_holds_only_what_it_speaks_for() -> None:
    world = Harness(RESEARCH, replicas=4)
    world.queue(RESEARCH, pending=0)
    async with world.running():
        await world.clock.advance(0.5)
        world.queues.hang = True
        # the deadline of the question is real time: one interval
        await asyncio.sleep(0)
        await world.clock.advance(1.0)
        await asyncio.sleep(1.1)
        await settle()
        snapshot = await world.snapshot()
        decision = snapshot.pools[0].decision
        assert decision is not None
        assert Code.HELD_BLIND in {reason.code for reason in decision.reasons}
        assert dict(snapshot.loop.failures)["nats"] >= 1


async def test_an_absent_queue_is_held_and_named_among_the_findings() -> None:
    world = Harness(RESEARCH, replicas=4)
    world.queues.depths[RESEARCH.key] = Absent(why=Why.CONSUMER_MISSING, detail="gone")
    async with world.running():
        await world.clock.advance(900.0)
        assert world.cluster.writes == []
        snapshot = await world.snapshot()
    [finding] = [each for each in snapshot.findings if each.subject == RESEARCH.key]
    assert "consumer missing" in finding.text


async def test_a_conflict_is_not_repeated_with_the_old_number_but_decided_anew() -> None:
    world = Harness(RESEARCH, replicas=1)
    world.cluster.answers[RESEARCH.key] = [Outcome(kind=OutcomeKind.CONFLICT, status=409)]
    world.queue(RESEARCH, pending=5)
    async with world.running():
        await settle()
        assert len(world.cluster.writes) == 1
        world.cluster.set(RESEARCH, 2)
        await settle()
        assert world.cluster.writes[1:] == [(RESEARCH.key, 5, False)]
        snapshot = await world.snapshot()
    assert [(event.before, event.after) for event in snapshot.events] == [(2, 5)]


async def test_a_failing_pool_is_tried_ever_later_and_stops_nobody_else() -> None:
    other = make_pool("other", minimum=1)
    world = Harness(RESEARCH, other, replicas=1)
    refusal = Outcome(kind=OutcomeKind.FORBIDDEN, status=403, detail="no")
    world.cluster.answers[RESEARCH.key] = [refusal] * 1000
    world.queue(RESEARCH, pending=5)
    world.queue(other, pending=5)
    async with world.running():
        await world.clock.advance(300.0)
        tries = [key for key, _, _ in world.cluster.writes].count(RESEARCH.key)
        assert 5 <= tries <= 12
        assert world.cluster.replicas[other.key] == 5


async def test_after_an_outage_of_minutes_no_pool_is_written_later_than_the_others() -> None:
    """A refusal that is one pool's own is repeated ever later, up to a minute."""
    other = make_pool("other", minimum=1)
    world = Harness(RESEARCH, other, replicas=1)
    outage = Outcome(kind=OutcomeKind.FAILED, status=500, detail="etcd has no leader")
    for pool in (RESEARCH, other):
        world.cluster.answers[pool.key] = [outage] * 1000
        world.queue(pool, pending=5)
    async with world.running():
        await world.clock.advance(310.0)
        assert len(world.cluster.writes) < 2 * 40
        for answers in world.cluster.answers.values():
            answers.clear()
        await world.clock.advance(OUTAGE_RETRY_MOST_S + 2.0)
    assert [world.cluster.replicas[pool.key] for pool in (RESEARCH, other)] == [5, 5]


async def test_of_fifty_writes_the_one_that_fails_is_recorded_as_such() -> None:
    pools = [make_pool(f"p{number:02}", minimum=1) for number in range(50)]
    world, wrong = Harness(*pools, replicas=1), pools[17].key
    refusal = Outcome(kind=OutcomeKind.FORBIDDEN, status=403, detail="no")
    world.cluster.answers[wrong] = [refusal] * 1000
    for pool in pools:
        world.queue(pool, pending=5)
    async with world.running():
        await world.clock.advance(1.0)
        snapshot = await world.snapshot()
    others = {pool.key for pool in pools} - {wrong}
    outcomes = {view.key: view.outcome for view in snapshot.pools}
    assert outcomes[wrong] == refusal
    assert {key for key, each in outcomes.items() if each and each.status == 200} == others
    recorded = {event.pool: event.outcome.kind for event in snapshot.events}
    assert recorded.pop(wrong) is OutcomeKind.FORBIDDEN
    assert recorded == dict.fromkeys(others, OutcomeKind.APPLIED)
    assert snapshot.loop.writes == 49
    assert snapshot.loop.failed_writes == [key for key, *_ in world.cluster.writes].count(wrong) > 0
    assert [world.cluster.replicas[pool.key] for pool in pools].count(5) == 49


async def test_a_server_that_asks_to_wait_is_not_asked_again_before() -> None:
    world = Harness(RESEARCH, replicas=1)
    slow = Outcome(kind=OutcomeKind.THROTTLED, status=429, retry_after_s=30.0)
    world.cluster.answers[RESEARCH.key] = [slow]
    world.queue(RESEARCH, pending=5)
    async with world.running():
        await world.clock.advance(29.0)
        assert len(world.cluster.writes) == 1
        await world.clock.advance(3.0)
        assert len(world.cluster.writes) == 2


async def test_a_pool_has_at_most_one_write_under_way() -> None:
    world = Harness(RESEARCH, replicas=1)
    world.cluster.gate = asyncio.Event()
    world.queue(RESEARCH, pending=5)
    async with world.running():
        await world.clock.advance(10.0)
        assert len(world.cluster.writes) == 1
        world.cluster.gate.set()
        await settle()
        assert world.cluster.replicas[RESEARCH.key] == 5


async def test_a_write_that_was_applied_is_not_repeated_by_an_early_tick_of_other_pools() -> None:
    world = Harness(RESEARCH, SLEEPER)
    world.cluster.set(RESEARCH, 1)
    world.queue(RESEARCH, pending=5)
    async with world.running():
        world.wakes.wake(SLEEPER.key)
        await settle()
        assert world.cluster.writes == [(RESEARCH.key, 5, False), (SLEEPER.key, 1, True)]


async def test_a_wake_during_a_write_is_acted_on_when_the_write_has_ended() -> None:
    pool = make_pool("browser", cooldown_s=0.5)
    world = Harness(pool, replicas=1)
    async with world.running():
        await world.clock.advance(1.0)
        world.cluster.gate = asyncio.Event()
        while not world.cluster.writes:
            await world.clock.advance(1.0)
        assert world.cluster.writes == [(pool.key, 0, False)]
        world.wakes.wake(pool.key)
        await settle()
        world.cluster.gate.set()
        await settle()
        assert world.cluster.writes[1:] == [(pool.key, 1, True)]


async def test_what_operators_ask_for_during_a_write_is_done_when_the_write_has_ended() -> None:
    world = Harness(RESEARCH, replicas=1)
    world.cluster.gate = asyncio.Event()
    world.queue(RESEARCH, pending=5)
    async with world.running():
        await world.clock.advance(0.5)
        assert world.cluster.writes == [(RESEARCH.key, 5, False)]
        cap = a_cap(pool=RESEARCH.key, replicas=2)
        world.intents.set(intents_of(caps=(cap,)), Scope(pool=RESEARCH.key))
        await settle()
        assert len(world.cluster.writes) == 1
        world.cluster.gate.set()
        await settle()
        # without another second going by
        assert world.cluster.writes[1:] == [(RESEARCH.key, 2, False)]


async def test_bulk_is_bounded_and_wakes_are_written_first() -> None:
    pools = [make_pool(f"p{number:03}", minimum=1) for number in range(80)]
    sleeper = make_pool("z-sleeper")
    world = Harness(*pools, sleeper, replicas=1)
    world.cluster.replicas[sleeper.key] = 0
    world.cluster.gate = asyncio.Event()
    for pool in (*pools, sleeper):
        world.queue(pool, pending=3)
    async with world.running():
        await settle()
        assert len(world.cluster.writes) == 50
        assert world.cluster.writes[0] == (sleeper.key, 3, True)
        world.cluster.gate.set()
        await world.clock.advance(2.0)
        assert all(world.cluster.replicas[pool.key] == 3 for pool in pools)


async def test_read_only_decides_and_writes_nothing() -> None:
    world = Harness(RESEARCH, replicas=1, writes=False)
    world.queue(RESEARCH, pending=7)
    async with world.running():
        await world.clock.advance(5.0)
        assert world.cluster.writes == []
        snapshot = await world.snapshot()
    assert snapshot.role is Role.READ_ONLY
    assert snapshot.pools[0].decision is not None
    assert snapshot.pools[0].decision.next == 7
    assert snapshot.loop.decisions == 1


@pytest.mark.parametrize("writes", [False, True])
async def test_only_who_writes_can_be_set_back(writes: bool) -> None:
    world = Harness(RESEARCH, replicas=1, writes=writes)
    world.queue(RESEARCH, pending=5)
    async with world.running():
        for _ in range(4):
            # where nothing is written an HPA sets just what is planned, and then thinks better
            world.cluster.set(RESEARCH, 5)
            await world.clock.advance(2.0)
            world.cluster.set(RESEARCH, 1)
            await world.clock.advance(2.0)
        contested = (await decided(world)).gate is Gate.CONTESTED
    assert contested is writes


async def test_where_nothing_is_written_a_rate_policy_counts_nobody_elses_changes() -> None:
    pool = make_pool("research", minimum=1, behavior=STEPS_OF_TWO)
    world = Harness(pool, replicas=1, writes=False)
    world.queue(pool, pending=9)
    async with world.running():
        await world.clock.advance(2.0)
        assert (await decided(world)).next == 3
        world.cluster.set(pool, 3)
        await world.clock.advance(2.0)
        assert (await decided(world)).next == 5


async def test_a_stop_waits_for_the_write_under_way() -> None:
    world = Harness(RESEARCH, replicas=1)
    world.cluster.gate = asyncio.Event()
    world.queue(RESEARCH, pending=5)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.engine.run())
        await settle()
        world.engine.stop()
        await settle()
        assert not running.done()
        world.cluster.gate.set()
    assert world.cluster.replicas[RESEARCH.key] == 5


async def test_a_step_of_the_clock_changes_no_decision() -> None:
    world = Harness(RESEARCH, replicas=4)
    world.queue(RESEARCH, pending=4)
    async with world.running():
        await world.clock.advance(400.0)
        world.clock.step(7200.0)
        await world.clock.advance(5.0)
        world.clock.step(-7200.0)
        await world.clock.advance(5.0)
        assert world.cluster.writes == []


@pytest.mark.parametrize("step_s", [-7200.0, 7200.0])
async def test_after_a_step_of_the_clock_ticks_and_reads_go_on(step_s: float) -> None:
    world = Harness(RESEARCH, replicas=4)
    world.queue(RESEARCH, pending=4)
    async with world.running():
        await world.clock.advance(100.0)
        world.clock.step(step_s)
        await world.clock.advance(2.0)
        before = (await world.snapshot()).loop
        reads = len(world.queues.reads)
        await world.clock.advance(10.0)
        after = (await world.snapshot()).loop
        assert after.ticks == before.ticks + 10
        assert after.late_ticks == before.late_ticks
        assert len(world.queues.reads) == reads + 10


async def test_an_old_reading_keeps_its_age_when_the_clock_is_set_back() -> None:
    world = Harness(RESEARCH, replicas=4)
    world.queue(RESEARCH, pending=4)
    async with world.running():
        await world.clock.advance(100.0)
        read_at = world.clock.now()
        depth = QueueDepth(pending=4, in_flight=0)
        for why in (Why.TIMED_OUT, Why.DISCONNECTED):
            world.queues.depths[RESEARCH.key] = Stale(value=depth, at=read_at, why=why)
            await world.clock.advance(5.0)
            world.clock.step(-7200.0)
            await world.clock.advance(5.0)
        [pool] = (await world.snapshot()).pools
        assert pool.observation.queue.at == pytest.approx(read_at - 14_400.0, abs=1.0)


async def test_a_held_fleet_is_ticked_and_read_like_any_other() -> None:
    world = Harness(RESEARCH, replicas=4)
    world.queues.depths[RESEARCH.key] = Absent(why=Why.DISCONNECTED)
    async with world.running():
        await world.clock.advance(1.0)
        assert (await decided(world)).gate is Gate.BLIND
        reads = len(world.queues.reads)
        await world.clock.advance(10.0)
        assert len(world.queues.reads) == reads + 10
        assert (await world.snapshot()).loop.ticks >= 11


async def test_a_change_that_no_watch_reports_is_found_by_reading_the_deployment_alone() -> None:
    world = Harness(RESEARCH, replicas=2)
    world.queue(RESEARCH, pending=2)
    async with world.running():
        await world.clock.advance(3.0)
        world.cluster.set_unseen(RESEARCH, 3)
        world.queue(RESEARCH, pending=5)
        await world.clock.advance(2.0)
        assert not world.cluster.reread_pools
        await world.clock.advance(4.0)
        assert world.cluster.reread_pools == [RESEARCH.key]
        assert world.cluster.replicas[RESEARCH.key] == 5
        kinds = {finding.kind for finding in (await world.snapshot()).findings}
        assert OVERTAKEN in kinds, "the watch has still not reported anything"
        world.cluster.set(RESEARCH, 5)
        await world.clock.advance(1.0)
        assert OVERTAKEN not in {finding.kind for finding in (await world.snapshot()).findings}


async def test_conflicts_of_a_pool_that_needs_no_change_after_all_are_forgotten() -> None:
    world = Harness(RESEARCH, replicas=2)
    world.queue(RESEARCH, pending=2)
    async with world.running():
        await world.clock.advance(3.0)
        world.cluster.set_unseen(RESEARCH, 5)
        world.queue(RESEARCH, pending=5)
        await world.clock.advance(6.0)
        assert len(world.cluster.writes) == 3
        assert world.cluster.reread_pools == [RESEARCH.key]
        assert (await decided(world)).changes is False
        assert OVERTAKEN not in {finding.kind for finding in (await world.snapshot()).findings}


async def test_a_tick_logs_its_changes_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    pools = [make_pool(f"p{number}", minimum=1, maximum=10) for number in range(40)]
    world = Harness(*pools, replicas=1)
    for pool in pools:
        world.queue(pool, pending=5)
    with caplog.at_level(logging.DEBUG, "controller.engine.actuate"):
        async with world.running():
            await world.clock.advance(3.0)
    said = [line for line in caplog.records if line.message == "scaled"]
    [summary] = [line for line in said if line.levelno == logging.INFO]
    assert summary.__dict__["changes"] == 40
    assert (summary.__dict__["up"], summary.__dict__["down"]) == (40, 0)
    assert summary.__dict__["sizes"].items() <= {pool.key: 5 for pool in pools}.items()
    assert len(summary.__dict__["sizes"]) == SIZES_LOGGED
    assert len([line for line in said if line.levelno == logging.DEBUG]) == 40


async def test_a_single_change_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    world = Harness(RESEARCH, replicas=1)
    world.queue(RESEARCH, pending=5)
    with caplog.at_level(logging.INFO, "controller.engine.actuate"):
        async with world.running():
            await world.clock.advance(3.0)
    [line] = [line for line in caplog.records if line.message == "scaled"]
    assert (line.__dict__["before"], line.__dict__["after"]) == (1, 5)
    assert line.__dict__["why"]


async def test_writes_that_go_on_losing_are_tried_ever_later() -> None:
    world = Harness(RESEARCH, replicas=2)
    world.queue(RESEARCH, pending=5)
    conflict = Outcome(kind=OutcomeKind.CONFLICT, status=409, detail="modified")
    world.cluster.answers[RESEARCH.key] = [conflict] * 1_000
    async with world.running():
        await world.clock.advance(300.0)
    assert len(world.cluster.writes) <= 15
    assert len(world.cluster.reread_pools) == len(world.cluster.writes) - 2


@pytest.mark.parametrize(
    "ends", [None, OutcomeKind.APPLIED, OutcomeKind.CONFLICT, OutcomeKind.GONE, OutcomeKind.INVALID]
)
async def test_a_cluster_that_takes_no_write_is_a_finding(ends: OutcomeKind | None) -> None:
    """Until it takes one up, or nothing is to be written."""
    world = Harness(RESEARCH, replicas=2)
    world.queue(RESEARCH, pending=5)
    refused = Outcome(kind=OutcomeKind.UNAUTHORIZED, status=401, detail="Unauthorized")
    world.cluster.answers[RESEARCH.key] = [refused] * 1_000

    async def found() -> list[Finding]:
        return [each for each in (await world.snapshot()).findings if each.kind == NO_WRITE]

    async with world.running():
        await world.clock.advance(9.0)
        assert await found() == []
        await world.clock.advance(3.0)
        [finding] = await found()
        assert (finding.severity, finding.subject) == (Severity.CRITICAL, "kubernetes")
        assert finding.text == (
            "no write succeeds: Unauthorized; see that the ServiceAccount or user of this process "
            "still exists"
        )
        if ends is None:
            world.queue(RESEARCH, pending=2)
        else:
            world.cluster.answers[RESEARCH.key] = [Outcome(kind=ends)] * 1_000
        await world.clock.advance(20.0)
        assert await found() == []


@tabled(
    ("now", "expected"),
    [
        pytest.param(10.5, (11.0, 0), id="in-time"),
        pytest.param(11.0, (11.0, 0), id="just-in-time"),
        pytest.param(11.2, (12.0, 1), id="one-slot-missed"),
        pytest.param(14.5, (15.0, 4), id="four-slots-missed"),
    ],
)
def test_a_late_tick_is_skipped_and_counted(now: float, expected: tuple[float, int]) -> None:
    assert next_slot(10.0, now, 1.0) == expected


async def test_a_signal_freezes_all_pools_within_a_tick_and_the_snapshot_says_so() -> None:
    world = Harness(RESEARCH, replicas=1)
    async with world.running():
        world.signals.is_on = True
        await world.switches.look()
        world.queue(RESEARCH, pending=7)
        await world.clock.advance(30.0)
        assert world.cluster.writes == []
        snapshot = await world.snapshot()
        assert snapshot.frozen_by == ("SIGUSR1: a signal to this process; SIGUSR2 ends it",)
        decision = await decided(world)
        assert (decision.gate, decision.target, decision.next) == (Gate.FREEZE, 7, 1)
        world.signals.is_on = False
        await world.switches.look()
        await settle()
        assert world.cluster.writes == [(RESEARCH.key, 7, False)]
        assert (await world.snapshot()).frozen_by == ()
