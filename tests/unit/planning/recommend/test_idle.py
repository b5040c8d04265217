"""From zero and back to zero: activation and cooldown, KEDA's part."""

from __future__ import annotations

import pytest

from controller.model.decision import Bound, Code, Decision
from controller.model.fleet import Rule
from controller.model.observation import Workload
from controller.model.readings import Fresh
from controller.planning.inputs import FORCE_ACTIVATION
from unit.planning.story import START, Story, behavior, codes, make_pool, percent, pods, silence


def test_at_zero_twenty_tasks_take_the_pool_to_its_demand_at_once() -> None:
    decision = Story(make_pool(max=50)).tick(20)
    assert (decision.next, decision.wake) == (20, True)
    assert codes(decision) == [Code.QUEUE, Code.ACTIVATED]


def test_a_burst_takes_a_pool_from_one_to_ten_in_one_tick() -> None:
    decision = Story(make_pool(max=10), replicas=1).tick(20)
    assert decision.next == 10
    assert decision.bound is Bound.MAX
    assert codes(decision) == [Code.QUEUE, Code.AT_MAX]


def test_neither_windows_nor_policies_delay_the_first_replica() -> None:
    rules = behavior(up_window_s=300, up=(percent(100, 60),))
    story = Story(make_pool(behavior=rules), replicas=1)
    story.ticks(1_300)
    assert story.replicas == 0
    decision = story.tick(9)
    assert decision.next == 1
    assert Code.ACTIVATED in codes(decision)


def test_the_last_replica_goes_only_after_the_cooldown_has_passed() -> None:
    story = Story(make_pool(cooldown_s=900.0, behavior=behavior(down_window_s=0)), replicas=1)
    story.tick(1)
    last_active = story.now - 1
    while story.now <= last_active + 900:
        decision = story.tick()
        assert codes(decision) == [Code.QUEUE, Code.COOLDOWN]
        assert decision.next == 1
    assert decision.reasons[-1].numbers == {"until": START + 900}
    asleep = story.tick()
    assert codes(asleep) == [Code.QUEUE, Code.ASLEEP]
    assert asleep.next == 0


def test_at_zero_without_work_only_the_queue_is_named() -> None:
    story = Story(make_pool(cooldown_s=10.0, behavior=behavior(down_window_s=0)), replicas=1)
    story.ticks(30)
    assert codes(story.tick()) == [Code.QUEUE]


def test_a_pool_whose_work_does_not_activate_shrinks_by_its_behavior_and_then_sleeps() -> None:
    rules = behavior(down_window_s=30, down=(pods(1, 10),))
    story = Story(make_pool(activation=50, target=10, cooldown_s=60.0, behavior=rules), replicas=4)
    sizes = story.ticks(200, pending=40)
    assert sizes[:60] == [4] * 60
    assert sorted(sizes, reverse=True) == sizes
    assert [sizes.count(size) for size in (3, 2, 1)] == [10, 10, 10]
    assert sizes[-1] == 0


def test_while_inactive_work_cools_down_it_says_so() -> None:
    story = Story(make_pool(activation=50, target=10), replicas=4)
    assert codes(story.tick(40)) == [Code.QUEUE, Code.INACTIVE, Code.COOLDOWN]


def test_every_step_to_zero_obeys_the_policies() -> None:
    rules = behavior(down_window_s=0, down=(pods(3, 60),))
    story = Story(make_pool(cooldown_s=10.0, behavior=rules), replicas=7)
    sizes = story.ticks(200)
    assert [sizes.count(size) for size in (4, 1)] == [60, 60]
    assert sizes[-1] == 0


def test_a_pool_never_active_waits_for_the_initial_cooldown_from_when_it_first_ran() -> None:
    rules = behavior(down_window_s=0)
    story = Story(make_pool(initial_cooldown_s=50.0, cooldown_s=900.0, behavior=rules))
    story.tick()
    story.replicas = 1
    assert story.ticks(60).index(0) == 51


def test_work_while_the_deployment_is_unknown_keeps_the_pool_awake() -> None:
    story = Story(make_pool(cooldown_s=60.0, behavior=behavior(down_window_s=0)), replicas=1)
    story.tick(1)
    for _ in range(100):
        story.tick(1, workload=silence())
    assert codes(story.tick())[-1] is Code.COOLDOWN


FORCED = {FORCE_ACTIVATION: "true"}


def annotated(story: Story, annotations: dict[str, str], pending: int = 0) -> Decision:
    """A tick of a pool whose Deployment has these annotations."""
    workload = Workload(replicas=story.replicas, annotations=annotations)
    return story.tick(pending, workload=Fresh(value=workload, at=story.now))


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize(("minimum", "replicas"), [(0, 1), (2, 2)])
def test_forced_activation_wakes_a_pool_at_zero_and_min_applies(
    minimum: int, replicas: int, rule: Rule
) -> None:
    decision = annotated(Story(make_pool(min=minimum, rule=rule)), FORCED)
    assert (decision.next, decision.wake) == (replicas, True)
    assert Code.ACTIVATION_FORCED in codes(decision)


@pytest.mark.parametrize("rule", Rule)
def test_forced_activation_wakes_a_pool_that_was_scaled_to_zero_by_hand(rule: Rule) -> None:
    story = Story(make_pool(min=2, rule=rule), replicas=3).warmed_up(pending=3)
    story.replicas = 0
    assert codes(story.tick())[-1] is Code.SCALED_TO_ZERO_BY_HAND
    decision = annotated(story, FORCED)
    assert decision.next == 2
    assert Code.ACTIVATION_FORCED in codes(decision)


@pytest.mark.parametrize("rule", Rule)
def test_forced_activation_ends_the_rest_below_min(rule: Rule) -> None:
    story = Story(make_pool(min=3, idle=0, rule=rule))
    assert story.tick().next == 0
    assert annotated(story, FORCED).next == 3


@pytest.mark.parametrize("rule", Rule)
def test_while_activation_is_forced_no_cooldown_takes_the_last_replica(rule: Rule) -> None:
    rules = behavior(down_window_s=0)
    story = Story(make_pool(cooldown_s=5.0, rule=rule, behavior=rules), replicas=1)
    for _ in range(30):
        assert annotated(story, FORCED).next == 1
    assert story.ticks(10)[-1] == 0


def test_work_that_wakes_a_pool_is_named_before_the_forced_activation() -> None:
    decision = annotated(Story(make_pool()), FORCED, pending=3)
    assert decision.next == 3
    assert codes(decision) == [Code.QUEUE, Code.ACTIVATED]


def test_the_reason_of_a_window_says_until_when_it_holds() -> None:
    story = Story(make_pool(), replicas=8).warmed_up(pending=8)
    # the last tick with eight messages was 300 s after the start
    assert story.tick(2).reasons[-1].numbers == {"window_s": 300, "until": START + 600}


def test_a_shrinking_limit_is_named() -> None:
    rules = behavior(down_window_s=0, down=(percent(50, 60),))
    decision = Story(make_pool(behavior=rules), replicas=11).tick()
    assert decision.next == 5
    assert decision.reasons[-1].code is Code.RATE_LIMITED_DOWN
    assert decision.reasons[-1].numbers["policy"] == "Percent 50% in 60 s"


def test_a_size_below_min_goes_to_its_demand_in_the_same_tick() -> None:
    assert Story(make_pool(min=3), replicas=1).tick(9).next == 9


def test_an_idle_pool_stays_at_min_and_says_so() -> None:
    story = Story(make_pool(min=2), replicas=2).warmed_up()
    decision = story.tick()
    assert codes(decision) == [Code.QUEUE, Code.AT_MIN]
    assert decision.bound is Bound.MIN


def test_zero_by_hand_is_left_alone_where_min_is_more() -> None:
    story = Story(make_pool(min=2), replicas=3).warmed_up(pending=3)
    story.replicas = 0
    decision = story.tick(9)
    assert codes(decision) == [Code.QUEUE, Code.SCALED_TO_ZERO_BY_HAND]
    assert (decision.next, decision.wake) == (0, False)
    story.replicas = 1
    assert story.tick(2).next == 2


def test_a_pool_that_the_plan_scaled_to_zero_follows_a_min_that_is_raised() -> None:
    story = Story(make_pool(cooldown_s=5.0, behavior=behavior(down_window_s=0)), replicas=1)
    story.ticks(20)
    assert (story.replicas, story.remembered.own_zero) == (0, True)
    story.pool = make_pool(min=2)
    assert story.tick().next == 2
