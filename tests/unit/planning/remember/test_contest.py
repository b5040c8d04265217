"""A pool whose sizes another writer keeps replacing is left alone; other changes are no contest."""

from __future__ import annotations

import msgspec
import pytest

from controller.model.decision import Code, Decision, Gate
from controller.model.fleet import Fleet, Tenant, Tier
from controller.model.intents import Intents, Scope
from controller.model.memory import Memory
from controller.model.observation import Observation, PoolObservation, Workload
from controller.model.readings import Fresh
from controller.model.scarcity import Resources
from support.asked import a_freeze, intents_of
from support.planning import plan, seen_pool
from unit.planning.story import Story, behavior, codes, make_pool, pods, silence

QUICK = behavior(down_window_s=0)
CONTESTED_S = 600


def settled(**fields: object) -> Story:
    """A pool that the plan itself has set to 5, the size that its work needs."""
    story = Story(make_pool(**{"behavior": QUICK, **fields}), replicas=3)
    story.ticks(3, pending=5)
    assert story.replicas == 5
    return story


def set_by_hand(story: Story, replicas: int, work: int = 5) -> Decision:
    """Another writer sets the size; the plan decides, and its decision, if any, is seen."""
    story.replicas = replicas
    decision = story.tick(work)
    story.tick(work)
    return decision


def contested(**fields: object) -> Story:
    story = settled(**fields)
    for _ in range(3):
        set_by_hand(story, 9)
    assert story.replicas == 9
    return story


def test_a_pool_that_is_set_back_three_times_is_left_alone_with_a_reason() -> None:
    story = settled()
    assert [set_by_hand(story, 9).next for _ in range(2)] == [5, 5]
    decision = set_by_hand(story, 9)
    assert (decision.target, decision.next, decision.gate) == (5, 9, Gate.CONTESTED)
    assert codes(decision) == [Code.QUEUE, Code.CONTESTED]
    assert decision.reasons[-1].numbers == {
        "times": 3,
        "ours": 5,
        "theirs": 9,
        "window_s": 600.0,
        "until": story.now - 2 + 600,
    }


@pytest.mark.parametrize("theirs", [2, 9])
def test_a_contest_ends_ten_minutes_after_the_last_change(theirs: int) -> None:
    story = settled()
    for _ in range(3):
        set_by_hand(story, theirs)
    sizes = story.ticks(CONTESTED_S, pending=5)
    assert sizes.index(5) == CONTESTED_S - 2
    assert not story.remembered.set_back


def test_the_pool_is_left_alone_for_as_long_as_the_changes_go_on() -> None:
    story = contested()
    for size in (11, 9, 12, 9, 10, 9, 11, 9, 12, 9):
        story.ticks(500, pending=5)
        assert set_by_hand(story, size).gate is Gate.CONTESTED
    assert story.ticks(CONTESTED_S, pending=5)[-1] == 5


def limited(replicas: int) -> Tenant:
    return Tenant(
        name="acme",
        tier=Tier(name="growth", priority=500),
        namespace="tenant-acme",
        quota=Resources(replicas=replicas),
    )


def test_no_other_pool_gets_what_a_contested_pool_has() -> None:
    story, other = settled(), make_pool("browser", behavior=QUICK)
    for _ in range(2):
        set_by_hand(story, 9)
    fleet = Fleet(tenants=(limited(11),), pools=(story.pool, other))
    for size in (9, 8):
        pools = {story.pool.key: seen(5, size, story.now), other.key: seen(20, 1, story.now)}
        result, story.memory = plan(
            Observation(pools=pools), fleet, Intents(), story.memory, story.now
        )
        decision = result.decisions[story.pool.key]
        assert (decision.next, decision.gate) == (size, Gate.CONTESTED)
        assert decision.reasons[-1].numbers["until"] == story.now + 600
        assert result.decisions[other.key].next == 11 - size
        story.wait(100)


def seen(work: int, replicas: int, now: float) -> PoolObservation:
    return seen_pool(work, replicas, at=now)


def test_three_changes_further_apart_are_no_contest() -> None:
    story = settled()
    for _ in range(9):
        assert set_by_hand(story, 9).next == 5
        story.ticks(300, pending=5)


def test_zero_is_no_contest_where_the_plan_wants_zero_as_well() -> None:
    story = settled(cooldown_s=600.0)
    story.ticks(300)
    for _ in range(5):
        assert story.replicas == 1
        story.wait(600)
        set_by_hand(story, 0, work=0)
        assert not story.remembered.set_back
        story.ticks(3, pending=1)


def test_a_change_to_what_the_plan_wants_is_no_contest() -> None:
    story = settled()
    for size in (7, 4, 6, 8, 3, 9):
        decision = set_by_hand(story, size, work=size)
        assert (decision.next, decision.gate) == (size, None)
        assert not story.remembered.set_back


def test_while_contested_a_change_to_what_the_plan_wants_does_not_prolong_it() -> None:
    story = contested()
    story.ticks(300, pending=5)
    decision = set_by_hand(story, 5)
    assert decision.reasons[-1].numbers["until"] == story.now - 2 + 298
    story.ticks(100, pending=6)
    assert story.ticks(200, pending=6)[-1] == 6


def test_zero_by_hand_switches_a_pool_off_and_is_no_contest() -> None:
    story = settled(min=2)
    for _ in range(5):
        decision = set_by_hand(story, 0)
        assert codes(decision)[-1] is Code.SCALED_TO_ZERO_BY_HAND
        story.replicas = 2
        story.ticks(3, pending=5)
    assert not story.remembered.set_back


def test_a_change_while_the_plan_is_blind_is_no_contest() -> None:
    story = settled()
    for size in (9, 8, 7, 9, 8):
        story.tick(5)
        story.replicas = size
        decision = story.tick(queue=silence())
        assert (decision.next, decision.gate) == (size, Gate.BLIND)
    assert not story.remembered.set_back


def test_a_late_write_of_the_plan_is_no_contest() -> None:
    story = settled()
    for _ in range(5):
        story.ignores_writes = True
        story.tick(9)
        story.tick(7)
        story.ignores_writes, story.replicas = (
            False,
            9,
        )  # now the first write is seen
        decision = story.tick(5)
        assert (decision.next, decision.gate) == (5, None)
        story.tick(5)
    assert not story.remembered.set_back


def test_a_controller_that_is_faster_than_a_tick_is_noticed_by_the_generation() -> None:
    story = Story(make_pool(behavior=QUICK), replicas=9)
    story.ignores_writes = True
    generation, decisions = 4, []
    for _ in range(4):
        workload = Workload(replicas=9, generation=generation)
        decisions.append(story.tick(5, workload=Fresh(value=workload, at=story.now)))
        generation += 2  # written, and replaced before the next look
    assert [decision.gate for decision in decisions] == [None, None, None, Gate.CONTESTED]
    assert decisions[-1].reasons[-1].numbers["ours"] == 5
    assert decisions[-1].reasons[-1].numbers["theirs"] == 9


def test_a_rollout_between_two_writes_that_fail_is_no_contest() -> None:
    story = Story(make_pool(behavior=QUICK), replicas=9)
    story.ignores_writes = True
    for generation in range(4, 40):
        workload = Workload(replicas=9, generation=generation)
        decision = story.tick(5, workload=Fresh(value=workload, at=story.now))
        assert (decision.next, decision.gate) == (5, None)


def test_a_restart_remembers_the_contest() -> None:
    story = contested()
    story.memory = msgspec.json.decode(msgspec.json.encode(story.memory), type=Memory)
    assert story.tick(5).gate is Gate.CONTESTED


def test_a_step_of_the_clock_does_not_end_the_contest() -> None:
    story = contested()
    until = story.tick(5).reasons[-1].numbers["until"]
    decision = story.tick(5, clock_step_s=3_600.0)
    assert decision.reasons[-1].numbers["until"] == float(until) + 3_600
    assert story.ticks(CONTESTED_S, pending=5)[-1] == 5


def test_a_clock_that_was_set_back_between_two_runs_does_not_prolong_the_contest() -> None:
    story = contested()
    story.now -= 86_400
    assert story.ticks(CONTESTED_S + 2, pending=5)[-1] == 5


def test_an_idle_pool_that_is_woken_by_hand_goes_back_to_zero_three_times() -> None:
    story = settled(cooldown_s=20.0)
    story.ticks(100)
    assert [set_by_hand(story, 1, work=0).gate for _ in range(3)] == [None, None, Gate.CONTESTED]
    assert story.replicas == 1


def test_a_size_that_a_policy_keeps_for_a_while_is_still_contested() -> None:
    story = settled(behavior=behavior(down_window_s=0, down=(pods(4, 60),)))
    story.wait(60)
    set_by_hand(story, 9)
    for _ in range(2):
        assert story.replicas == 5
        story.replicas = 9
        decision = story.tick(5)
        assert (decision.next, codes(decision)[-1]) == (9, Code.RATE_LIMITED_DOWN)
        story.ticks(62, pending=5)
    assert story.tick(5).gate is Gate.CONTESTED


def test_another_change_to_a_size_of_another_writer_is_no_contest() -> None:
    story = settled()
    for _ in range(2):
        set_by_hand(story, 9)
    set_by_hand(story, 7, work=7)
    assert set_by_hand(story, 4, work=7).gate is None


def test_a_size_that_only_a_quota_forbids_is_contested_too() -> None:
    story = settled()
    fleet = Fleet(tenants=(limited(5),), pools=(story.pool,))
    gates, size = [], 5
    for _ in range(4):
        for size in (9, 5):
            observation = Observation(pools={story.pool.key: seen(9, size, story.now)})
            result, story.memory = plan(observation, fleet, Intents(), story.memory, story.now)
            gates.append(result.decisions[story.pool.key].gate)
            story.wait(1)
    assert gates[:4] == [None] * 4
    assert gates[4] is Gate.CONTESTED


def test_a_change_that_stood_for_more_than_ten_minutes_is_forgotten() -> None:
    story = settled(behavior=behavior(down_window_s=0, down=(pods(4, 900),)))
    for _ in range(5):
        story.replicas = 9
        assert [story.tick(5).gate for _ in range(1_000)].count(Gate.CONTESTED) == 0
        assert story.replicas == 5


def test_a_change_during_an_operators_freeze_is_no_contest() -> None:
    story = settled()
    frozen = intents_of(freezes=(a_freeze(scope=Scope()),))
    fleet = Fleet(pools=(story.pool,))
    for size in (9, 8, 9, 7, 9):
        observation = Observation(pools={story.pool.key: seen(5, size, story.now)})
        result, story.memory = plan(observation, fleet, frozen, story.memory, story.now)
        assert result.decisions[story.pool.key].gate is Gate.FREEZE
        story.wait(1)
    assert not story.remembered.set_back
