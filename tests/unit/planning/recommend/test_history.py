"""The history of recommendations: it stays small, and what it drops could decide nothing."""

from __future__ import annotations

import random

import pytest

from controller.model.memory import RecommendationRun
from controller.planning.inputs import Moment
from controller.planning.windows import remember, stabilize
from reference.windows import stabilize as hpa_stabilize
from unit.planning.story import START, Story, behavior, make_pool, silence


def test_a_steady_demand_is_one_run_that_stays_open() -> None:
    story = Story(make_pool(), replicas=3)
    story.ticks(1_000, pending=3)
    assert story.remembered.recommendations == (RecommendationRun(replicas=3, first_at=START),)


def test_a_run_that_ends_lasted_until_the_plan_before() -> None:
    story = Story(make_pool(), replicas=9)
    story.ticks(400, pending=9)
    decision = story.wait(250).tick(3)
    ended, now_open = story.remembered.recommendations
    assert ended == RecommendationRun(replicas=9, first_at=START, last_at=START + 399)
    assert now_open == RecommendationRun(replicas=3, first_at=START + 650)
    # there was no plan for 250 s: the window counts from the last plan, not from the end of the gap
    assert decision.reasons[-1].numbers == {"window_s": 300, "until": START + 699}


def test_a_run_is_open_while_the_queue_is_known_and_ends_when_it_is_not() -> None:
    story = Story(make_pool(), replicas=9)
    story.ticks(10, pending=9)
    story.tick(queue=silence())
    [run] = story.remembered.recommendations
    assert run.last_at == START + 9


def test_a_demand_that_changes_every_tick_leaves_few_runs() -> None:
    story, numbers = Story(make_pool(max=100), replicas=3), random.Random(7)
    for _ in range(2_000):
        story.tick(numbers.randint(0, 100))
        assert len(story.remembered.recommendations) <= 40


@pytest.mark.parametrize("seed", range(20))
def test_what_is_dropped_could_not_have_decided_anything(seed: int) -> None:
    numbers = random.Random(seed)
    rules = behavior(up_window_s=numbers.choice([0, 10, 40]), down_window_s=60)
    everything: list[tuple[float, int]] = []
    kept: tuple[RecommendationRun, ...] = ()
    now = START
    for _ in range(300):
        planned_at, now = now, now + numbers.choice([1, 1, 2, 15])
        current, desired = numbers.randint(0, 9), numbers.randint(0, 9)
        moment = Moment(now)
        stable = stabilize(current, desired, kept, rules, planned_at=planned_at, moment=moment)
        assert stable == hpa_stabilize(current, desired, everything, rules, now)
        everything.append((now, desired))
        kept = remember(kept, desired, 60, planned_at=planned_at, moment=moment)


def test_what_is_older_than_the_window_is_dropped() -> None:
    story = Story(make_pool(), replicas=9)
    story.tick(9)
    story.tick(5, after_s=400.0)
    story.tick(3)
    assert [run.replicas for run in story.remembered.recommendations] == [3]
