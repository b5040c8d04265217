"""What a plan remembers of earlier ones, as its decisions show it."""

from __future__ import annotations

from controller.model.decision import Code
from unit.planning.story import Story, behavior, codes, make_pool

AT_ONCE = behavior(down_window_s=0)


def test_every_message_begins_the_cooldown_anew() -> None:
    story = Story(make_pool(cooldown_s=60.0, behavior=AT_ONCE), replicas=1)
    story.ticks(100, pending=1)
    assert story.ticks(59) == [1] * 59
    assert story.ticks(3)[-1] == 0


def test_a_step_of_the_clock_ages_no_activity() -> None:
    story = Story(make_pool(cooldown_s=60.0, behavior=AT_ONCE), replicas=1)
    story.ticks(100, pending=1)
    decision = story.tick(clock_step_s=3_600.0)
    assert (decision.next, codes(decision)[-1]) == (1, Code.COOLDOWN)


def test_replicas_that_somebody_started_by_hand_are_kept_for_one_window() -> None:
    story = Story(make_pool(behavior=behavior(down_window_s=60)), replicas=0)
    story.ticks(400)
    story.replicas = 5
    assert story.ticks(60, pending=1) == [5] * 60
    assert story.ticks(2, pending=1)[-1] == 1
