"""Windows and rate policies over time under rule native: the HPA's part."""

from __future__ import annotations

from controller.model.decision import Bound, Code
from controller.model.fleet import SelectPolicy
from unit.planning.story import START, Story, behavior, codes, make_pool, percent, pods


def test_a_lull_shorter_than_the_window_takes_nothing_away() -> None:
    story = Story(make_pool(), replicas=8).warmed_up(pending=8)
    for _ in range(299):
        decision = story.tick(2)
        assert decision.next == 8
        assert codes(decision) == [Code.QUEUE, Code.STABILIZED_DOWN]


def test_after_the_window_the_pool_follows_at_once() -> None:
    story = Story(make_pool(), replicas=8).warmed_up(pending=8)
    sizes = story.ticks(301, pending=2)
    assert sizes[298:301] == [8, 2, 2]


def test_the_reason_of_a_window_says_until_when_it_holds() -> None:
    story = Story(make_pool(), replicas=8).warmed_up(pending=8)
    # the last tick with eight messages was 300 s after the start
    assert story.tick(2).reasons[-1].numbers == {"window_s": 300, "until": START + 600}


def test_an_upward_window_takes_the_lowest_recommendation() -> None:
    story = Story(make_pool(behavior=behavior(up_window_s=30)), replicas=2).warmed_up(pending=2)
    decision = story.tick(9)
    assert decision.next == 2
    assert codes(decision) == [Code.QUEUE, Code.STABILIZED_UP]
    assert story.ticks(30, pending=9)[-2:] == [9, 9]


def test_growth_is_limited_by_the_policy_and_resumes_as_the_period_passes() -> None:
    story = Story(make_pool(max=50, behavior=behavior(up=(pods(10, 60),))), replicas=1)
    assert story.tick(40).next == 11
    limited = story.tick(40)
    assert limited.next == 11
    assert codes(limited) == [Code.QUEUE, Code.RATE_LIMITED_UP]
    assert limited.reasons[-1].numbers == {"policy": "Pods 10 in 60 s", "period_s": 60}
    sizes = story.ticks(60, pending=40)
    assert sizes[57:60] == [11, 21, 21]


def test_a_policy_makes_shrinking_gradual_down_to_one() -> None:
    rules = behavior(down_window_s=0, down=(pods(5, 120),))
    story = Story(make_pool(behavior=rules), replicas=12)
    sizes = story.ticks(400)
    assert sizes[0] == 7
    assert [sizes.count(size) for size in (7, 2)] == [120, 120]
    assert sizes[-1] == 1
    assert Code.RATE_LIMITED_DOWN not in codes(story.tick())


def test_a_shrinking_limit_is_named() -> None:
    rules = behavior(down_window_s=0, down=(percent(50, 60),))
    decision = Story(make_pool(behavior=rules), replicas=11).tick()
    assert decision.next == 5
    assert decision.reasons[-1].code is Code.RATE_LIMITED_DOWN
    assert decision.reasons[-1].numbers["policy"] == "Percent 50% in 60 s"


def test_a_disabled_direction_stays() -> None:
    rules = behavior(down_window_s=0, select_down=SelectPolicy.DISABLED)
    decision = Story(make_pool(behavior=rules), replicas=6).tick(1)
    assert decision.next == 6
    assert decision.reasons[-1].numbers == {"policy": "Disabled"}


def test_both_directions_count_against_a_policy() -> None:
    rules = behavior(down_window_s=0, up=(pods(4, 60),), down=(pods(3, 60),))
    story = Story(make_pool(behavior=rules), replicas=10)
    assert story.tick(1).next == 7
    # there were ten a minute ago: four more than that are allowed, whatever the size is now
    assert story.tick(20).next == 14


def test_a_size_above_max_moves_there_at_once() -> None:
    rules = behavior(down=(pods(1, 60),))
    story = Story(make_pool(max=20, behavior=rules), replicas=20).warmed_up(pending=20)
    story.pool = make_pool(max=4, behavior=rules)
    decision = story.tick(20)
    assert (decision.target, decision.next, decision.bound) == (4, 4, Bound.MAX)
    assert codes(decision) == [Code.QUEUE, Code.AT_MAX]


def test_a_size_below_min_moves_there_at_once() -> None:
    rules = behavior(up_window_s=300, up=(pods(1, 60),))
    decision = Story(make_pool(min=6, behavior=rules), replicas=2).tick()
    assert (decision.target, decision.next, decision.bound) == (6, 6, Bound.MIN)
    assert codes(decision) == [Code.QUEUE, Code.AT_MIN]


def test_a_size_below_min_goes_to_its_demand_in_the_same_tick() -> None:
    assert Story(make_pool(min=3), replicas=1).tick(9).next == 9


def test_an_idle_pool_stays_at_min_and_says_so() -> None:
    story = Story(make_pool(min=2), replicas=2).warmed_up()
    decision = story.tick()
    assert codes(decision) == [Code.QUEUE, Code.AT_MIN]
    assert decision.bound is Bound.MIN


def test_of_a_pool_at_its_demand_only_the_queue_is_named() -> None:
    story = Story(make_pool(), replicas=3).warmed_up(pending=3)
    decision = story.tick(3)
    assert codes(decision) == [Code.QUEUE]
    assert not decision.changes


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
