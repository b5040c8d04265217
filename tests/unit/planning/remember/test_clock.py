"""A clock that is set: every remembered time moves with it."""

from __future__ import annotations

import pytest

from controller.model.decision import Code, Decision, Number
from unit.planning.story import START, Story, behavior, codes, make_pool, pods

LIMITED = behavior(up=(pods(4, 60),), down_window_s=0, down=(pods(2, 60),))


def ages(decision: Decision, now: float) -> dict[str, Number]:
    """The numbers of the last reason, its times as seconds from now."""
    return {
        name: number - now if name in {"until", "since"} else number  # type: ignore[operator]
        for name, number in decision.reasons[-1].numbers.items()
    }


@pytest.mark.parametrize("step_s", [3_600.0, -3_600.0])
def test_a_step_of_the_clock_changes_no_age(step_s: float) -> None:
    steady, stepped = (Story(make_pool(cooldown_s=60.0), replicas=5) for _ in range(2))
    for second in range(900):
        work = 5 if second < 320 else 0
        plain = steady.tick(work)
        moved = stepped.tick(work, clock_step_s=step_s if second in {200, 350, 610} else 0.0)
        assert (moved.next, codes(moved)) == (plain.next, codes(plain))
        assert ages(moved, stepped.now) == ages(plain, steady.now)
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


def test_a_clock_set_back_between_two_runs_does_not_hold_an_unconfirmed_write_for_long() -> None:
    story = Story(make_pool(behavior=LIMITED), replicas=3)
    story.ticks(60, pending=20)
    story.ignores_writes = True
    assert story.tick(20).next == 11
    story.now -= 86_400
    story.ticks(32, pending=7)
    assert story.remembered.asked is None


ABSURD_STEPS = [1e12, -1e12, 1e300, -1e300]


@pytest.mark.parametrize("step", ABSURD_STEPS)
def test_a_step_that_no_clock_can_make_is_not_followed(step: float) -> None:
    story = Story(make_pool(cooldown_s=60.0), replicas=8).warmed_up(pending=8)
    before = story.remembered
    decision = story.tick(8, clock_step_s=step)
    assert (decision.next, story.remembered) == (8, before)


@pytest.mark.parametrize("step", ABSURD_STEPS)
def test_after_an_absurd_step_the_window_still_holds_the_pool_and_says_so(step: float) -> None:
    story = Story(make_pool(cooldown_s=60.0), replicas=8).warmed_up(pending=8)
    until = story.now - 1 + 300
    decision = story.tick(0, clock_step_s=step)
    assert (decision.next, codes(decision)[-1]) == (8, Code.STABILIZED_DOWN)
    assert decision.reasons[-1].numbers["until"] == until


@pytest.mark.parametrize("step", [1e9, -1e9])
def test_a_step_of_thirty_years_is_followed(step: float) -> None:
    story = Story(make_pool(cooldown_s=60.0), replicas=8).warmed_up(pending=8)
    assert story.tick(8, clock_step_s=step).next == 8
    assert story.remembered.since == START + step
