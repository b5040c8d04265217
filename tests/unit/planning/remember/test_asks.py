"""What is remembered from tick to tick, and that it stays small."""

from __future__ import annotations

import random

import msgspec
import pytest

from controller.model.decision import Code
from controller.model.memory import Memory, RecommendationRun, ScaleChange
from controller.planning.recommend.behavior import stabilize
from controller.planning.recommend.history import remember
from unit.planning.story import START, Story, behavior, codes, make_pool, pods

LIMITED = behavior(up=(pods(4, 60),), down_window_s=0, down=(pods(2, 60),))


def test_a_write_that_is_seen_counts_from_when_it_was_asked_for() -> None:
    story = Story(make_pool(behavior=LIMITED), replicas=3)
    story.tick(9)
    assert not story.remembered.scaled_up
    story.tick(9)
    assert story.remembered.scaled_up == (ScaleChange(change=4, at=START),)
    assert story.remembered.asked is None


def test_a_write_that_is_not_seen_yet_is_not_counted_and_not_asked_for_anew() -> None:
    story = Story(make_pool(behavior=LIMITED), replicas=3)
    story.deaf = True
    assert [story.tick(9).next for _ in range(29)] == [7] * 29
    asked = story.remembered.asked
    assert asked is not None
    assert asked.at == START
    assert not story.remembered.scaled_up


def test_a_write_whose_answer_was_lost_is_not_stepped_twice() -> None:
    story = Story(make_pool(behavior=LIMITED), replicas=3)
    story.deaf = True
    story.tick(9)
    story.tick(5)  # meanwhile less is wanted: another size is asked for, and refused as outdated
    story.deaf, story.replicas = False, 7  # now the first write shows
    decision = story.tick(20)
    assert decision.next == 7
    assert decision.reasons[-1].code is Code.RATE_LIMITED_UP
    assert story.remembered.scaled_up[0].change == 4


def test_a_write_that_never_shows_is_forgotten() -> None:
    story = Story(make_pool(behavior=LIMITED), replicas=3)
    story.deaf = True
    story.tick(9)
    story.wait(30)
    story.tick(3)
    assert story.remembered.asked is None
    assert not story.remembered.scaled_up


def test_a_change_that_is_not_ours_is_not_counted() -> None:
    story = Story(make_pool(behavior=LIMITED), replicas=3)
    story.deaf = True
    story.tick(9)
    story.replicas = 5
    decision = story.tick(9)
    assert not story.remembered.scaled_up
    assert decision.next == 9


def test_events_that_can_no_longer_count_are_dropped() -> None:
    story = Story(make_pool(behavior=LIMITED, max=1_000), replicas=1)
    for size in range(200):
        story.tick(size * 4)
        story.wait(30)
    assert len(story.remembered.scaled_up) <= 3


def test_without_policies_no_event_is_kept() -> None:
    story = Story(make_pool(), replicas=1)
    story.tick(9)
    story.tick(9)
    assert not story.remembered.scaled_up


def test_a_steady_demand_is_one_run() -> None:
    story = Story(make_pool(), replicas=3)
    story.ticks(1_000, pending=3)
    runs = story.remembered.recommendations
    assert len(runs) == 1
    assert runs[0].last_at == START + 999


def test_a_wild_demand_leaves_few_runs() -> None:
    story, numbers = Story(make_pool(max=100), replicas=3), random.Random(7)
    for _ in range(2_000):
        story.tick(numbers.randint(0, 100))
        assert len(story.remembered.recommendations) <= 40


@pytest.mark.parametrize("seed", range(20))
def test_what_is_dropped_could_not_have_decided_anything(seed: int) -> None:
    numbers = random.Random(seed)
    window_s = behavior(up_window_s=numbers.choice([0, 10, 40]), down_window_s=60)
    everything: list[RecommendationRun] = []
    kept: tuple[RecommendationRun, ...] = ()
    now = START
    for _ in range(300):
        now += numbers.choice([1, 1, 2, 15])
        current, desired = numbers.randint(0, 9), numbers.randint(0, 9)
        assert stabilize(current, desired, kept, window_s, now) == stabilize(
            current, desired, everything, window_s, now
        )
        everything.append(RecommendationRun(replicas=desired, first_at=now, last_at=now))
        kept = remember(kept, desired, now, 60)


def test_what_is_older_than_the_window_is_dropped() -> None:
    story = Story(make_pool(), replicas=9)
    story.tick(9)
    story.tick(5, after_s=400.0)
    story.tick(3)
    assert [run.replicas for run in story.remembered.recommendations] == [3]


def test_an_idle_pool_at_zero_keeps_its_memory_as_it_is() -> None:
    story = Story(make_pool())
    story.tick()
    before = story.memory
    story.tick()
    assert story.memory is before


def test_memory_survives_json_to_the_bit() -> None:
    story = Story(make_pool(behavior=LIMITED), replicas=3)
    for size in (9, 9, 1, 0, 4):
        story.tick(size, after_s=0.1)
    again = msgspec.json.decode(msgspec.json.encode(story.memory), type=Memory)
    assert again == story.memory


def test_a_step_of_the_clock_changes_no_age() -> None:
    steady, stepped = (Story(make_pool(cooldown_s=60.0), replicas=5) for _ in range(2))
    for second in range(900):
        work = 5 if second < 320 else 0
        plain = steady.tick(work)
        moved = stepped.tick(work, clock_step_s=3_600.0 if second in {200, 350, 610} else 0.0)
        assert (moved.next, codes(moved)) == (plain.next, codes(plain))
        assert moved.reasons[-1].numbers == plain.reasons[-1].numbers
    assert steady.replicas == 0


def test_a_step_of_the_clock_gives_no_policy_a_new_period() -> None:
    story = Story(make_pool(behavior=LIMITED), replicas=3)
    story.ticks(3, pending=20)
    decision = story.tick(20, clock_step_s=3_600.0)
    assert decision.next == 7
    assert decision.reasons[-1].code is Code.RATE_LIMITED_UP


def test_a_clock_set_back_between_two_runs_does_not_hold_the_pool_for_long() -> None:
    story = Story(make_pool(cooldown_s=60.0), replicas=5).warmed_up(pending=5)
    story.now -= 86_400
    assert story.ticks(400)[-1] == 0


@pytest.mark.parametrize("step", [float("nan"), float("inf"), float("-inf")])
def test_a_step_of_no_length_is_no_step(step: float) -> None:
    story = Story(make_pool(), replicas=5)
    story.tick(5)
    story.tick(5, clock_step_s=step)
    assert story.remembered.since == START
