"""What a plan remembers; while nothing happens the memory stays the same."""

from __future__ import annotations

import msgspec

from controller.model.decision import Code
from controller.model.fleet import Fleet
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import Observation
from support.planning import plan
from unit.planning.story import START, Story, behavior, codes, make_pool, pods, silence

AT_ONCE = behavior(down_window_s=0)
LIMITED = behavior(up=(pods(4, 60),), down_window_s=0, down=(pods(2, 60),))


def test_every_message_starts_the_cooldown_again() -> None:
    story = Story(make_pool(cooldown_s=60.0, behavior=AT_ONCE), replicas=1)
    story.ticks(100, pending=1)
    assert story.ticks(59) == [1] * 59
    assert story.ticks(3)[-1] == 0


def test_a_step_of_the_clock_ages_no_activity() -> None:
    story = Story(make_pool(cooldown_s=60.0, behavior=AT_ONCE), replicas=1)
    story.ticks(100, pending=1)
    decision = story.tick(clock_step_s=3_600.0)
    assert (decision.next, codes(decision)[-1]) == (1, Code.COOLDOWN)


def test_a_step_of_the_clock_ages_no_activity_that_has_ended() -> None:
    story = Story(make_pool(cooldown_s=60.0, behavior=AT_ONCE), replicas=1)
    story.ticks(100, pending=1)
    story.ticks(10)
    decision = story.tick(clock_step_s=3_600.0)
    assert (decision.next, codes(decision)[-1]) == (1, Code.COOLDOWN)


def test_replicas_that_were_started_by_hand_are_kept_for_one_window() -> None:
    story = Story(make_pool(behavior=behavior(down_window_s=60)), replicas=0)
    story.ticks(400)
    story.replicas = 5
    assert story.ticks(60, pending=1) == [5] * 60
    assert story.ticks(2, pending=1)[-1] == 1


def test_an_idle_pool_at_zero_keeps_its_memory_as_it_is() -> None:
    story = Story(make_pool())
    story.tick()
    before = story.memory.pools
    story.ticks(600)
    assert story.memory.pools is before


def test_a_steady_pool_keeps_the_same_memory_however_often_it_is_planned() -> None:
    story = Story(make_pool(), replicas=4).warmed_up(pending=4)
    before = story.memory.pools
    story.ticks(600, pending=4)
    assert story.memory.pools is before


def test_every_plan_says_when_it_was_made_also_one_that_observed_nothing() -> None:
    story = Story(make_pool(), replicas=4)
    assert story.memory.planned_at is None
    for _ in range(3):
        at = story.now
        story.tick(4)
        assert story.memory.planned_at == at
    fleet = Fleet(pools=(story.pool,))
    _, after = plan(Observation(), fleet, Intents(), story.memory, story.now)
    assert after.planned_at == story.now
    assert after.pools is story.memory.pools


def test_activity_is_open_while_there_is_work_and_ends_with_the_last_plan_that_saw_it() -> None:
    story = Story(make_pool(cooldown_s=60.0, behavior=AT_ONCE), replicas=1)
    story.ticks(30, pending=1)
    assert story.remembered.active_since == START
    decision = story.wait(20).tick()
    assert story.remembered.active_since is None
    assert story.remembered.last_active_at == START + 29
    assert decision.reasons[-1].numbers == {"until": START + 29 + 60}


def test_work_beside_an_unknown_deployment_counts_as_activity_until_the_last_plan() -> None:
    story = Story(make_pool(cooldown_s=60.0, behavior=AT_ONCE), replicas=1)
    story.tick()
    for _ in range(40):
        story.tick(1, workload=silence())
    story.tick()
    assert story.remembered.last_active_at == START + 40


def test_a_memory_whose_last_plan_lies_ahead_counts_what_was_still_so_until_now() -> None:
    """The clock was set back between two processes, and no step was observed."""
    story = Story(make_pool(cooldown_s=60.0, behavior=AT_ONCE), replicas=1)
    story.ticks(100, pending=1)
    story.now -= 86_400
    decision = story.tick()
    assert decision.reasons[-1].numbers == {"until": story.now - 1 + 60}


def test_memory_is_the_same_after_json() -> None:
    story = Story(make_pool(behavior=LIMITED), replicas=3)
    for size in (9, 9, 1, 0, 4):
        story.tick(size, after_s=0.1)
    again = msgspec.json.decode(msgspec.json.encode(story.memory), type=Memory)
    assert again == story.memory
