"""From zero and back to zero: activation and cooldown, KEDA's part."""

from __future__ import annotations

import pytest

from controller.model.decision import Bound, Code, Decision
from controller.model.fleet import Rule, SelectPolicy
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


@pytest.mark.parametrize("messages", [0, 49, 50])
def test_as_many_messages_as_the_activation_do_not_wake(messages: int) -> None:
    decision = Story(make_pool(activation=50, target=10)).tick(messages)
    assert decision.next == 0
    assert (Code.INACTIVE in codes(decision)) == (messages > 0)


def test_one_more_message_than_the_activation_wakes() -> None:
    assert Story(make_pool(activation=50, target=10)).tick(51).next == 6


def test_neither_windows_nor_policies_delay_the_first_replica() -> None:
    rules = behavior(up_window_s=300, up=(percent(100, 60),))
    story = Story(make_pool(behavior=rules), replicas=1)
    story.ticks(1_300)
    assert story.replicas == 0
    decision = story.tick(9)
    assert decision.next == 1
    assert Code.ACTIVATED in codes(decision)


def test_policies_limit_all_but_the_first_replica() -> None:
    decision = Story(make_pool(behavior=behavior(up=(pods(4, 60),)))).tick(9)
    assert decision.next == 4
    assert codes(decision) == [Code.QUEUE, Code.RATE_LIMITED_UP, Code.ACTIVATED]


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


def test_a_disabled_direction_keeps_the_last_replica_too() -> None:
    rules = behavior(down_window_s=0, select_down=SelectPolicy.DISABLED)
    story = Story(make_pool(cooldown_s=10.0, behavior=rules), replicas=1)
    story.ticks(20)
    decision = story.tick()
    assert codes(decision) == [Code.QUEUE, Code.RATE_LIMITED_DOWN]
    assert decision.next == 1


def test_the_last_replica_does_not_wait_for_the_window() -> None:
    story = Story(make_pool(cooldown_s=10.0), replicas=1).warmed_up(pending=1)
    assert story.ticks(20).index(0) == 10


def test_with_min_above_zero_activation_does_not_matter() -> None:
    story = Story(make_pool(min=1, activation=50, target=10, cooldown_s=5.0), replicas=4)
    story.ticks(600, pending=40)
    assert story.replicas == 4
    assert codes(story.tick(40)) == [Code.QUEUE]


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


@pytest.mark.parametrize("value", ["false", "0"])
def test_a_forced_activation_that_is_off_wakes_nothing(value: str) -> None:
    assert annotated(Story(make_pool()), {FORCE_ACTIVATION: value}).next == 0


def test_work_that_wakes_a_pool_is_named_before_the_forced_activation() -> None:
    decision = annotated(Story(make_pool()), FORCED, pending=3)
    assert decision.next == 3
    assert codes(decision) == [Code.QUEUE, Code.ACTIVATED]
