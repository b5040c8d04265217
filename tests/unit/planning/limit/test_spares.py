"""Spares are a floor over what the present work takes: they stand on nothing else that keeps a pool
large.
"""

from __future__ import annotations

import pytest

from controller.model.decision import Bound, Code
from controller.model.fleet import (
    Behavior,
    PolicyType,
    Rule,
    ScalingPolicy,
    ScalingRules,
    SelectPolicy,
)
from controller.model.metrics import AverageValueTarget, ExternalMetric
from controller.model.observation import Workload
from controller.model.readings import Fresh
from controller.model.scarcity import Warm
from support.asked import a_pin, intents_of
from unit.planning.story import Story, behavior, codes, make_pool, pods, silence

WARM = Warm(replicas=2)
KEPT = Behavior(
    scale_up=ScalingRules(stabilization_window_s=0),
    scale_down=ScalingRules(stabilization_window_s=0, select_policy=SelectPolicy.DISABLED),
)
SLOWLY = Behavior(
    scale_up=ScalingRules(
        stabilization_window_s=0,
        policies=(ScalingPolicy(type=PolicyType.PODS, value=1, period_s=60),),
    ),
    scale_down=ScalingRules(stabilization_window_s=300),
)
rules = pytest.mark.parametrize("rule", list(Rule))


@rules
def test_a_blind_pool_with_spares_does_not_grow_by_them_again_and_again(rule: Rule) -> None:
    story = Story(make_pool(rule=rule, warm=WARM), replicas=3)
    sizes = {story.tick(queue=silence()).next for _ in range(5)}
    assert sizes == {3}


def test_a_blind_pool_still_has_its_spares_on_top_of_min() -> None:
    story = Story(make_pool(min=2, warm=WARM), replicas=2)
    assert story.tick(queue=silence()).next == 4


@rules
def test_a_pool_that_may_not_shrink_does_not_grow_by_its_spares(rule: Rule) -> None:
    story = Story(make_pool(rule=rule, warm=WARM, behavior=KEPT), replicas=6)
    assert story.ticks(5) == [6] * 5


@rules
def test_spares_open_no_way_around_a_policy_on_growth(rule: Rule) -> None:
    story = Story(make_pool(rule=rule, warm=WARM, behavior=SLOWLY), replicas=1)
    assert story.ticks(20, pending=9) == [2] * 20


def test_spares_follow_once_the_policy_has_granted_what_the_work_needs() -> None:
    story = Story(make_pool(warm=WARM, behavior=behavior(up=(pods(4, 15),))), replicas=1)
    assert story.ticks(40, pending=9)[-1] == 11


def test_spares_that_woke_an_idle_pool_are_not_taken_for_work() -> None:
    story = Story(make_pool(warm=WARM), replicas=0)
    assert story.ticks(20) == [2] * 20


def test_spares_do_not_stand_on_what_a_window_keeps() -> None:
    """The window keeps 4. The spares are a floor over the work there is: max(4, work + 2)."""
    story = Story(make_pool(warm=WARM), replicas=6).warmed_up(pending=4)
    assert [story.tick(pending=work).next for work in (4, 0, 3, 0, 4)] == [6, 4, 5, 4, 6]


def test_spares_do_not_stand_on_what_a_cooldown_keeps() -> None:
    story = Story(make_pool(warm=WARM, cooldown_s=60.0, behavior=behavior(down_window_s=0)))
    story.tick(pending=1)
    assert story.replicas == 3
    assert story.ticks(100) == [2] * 100


def test_spares_do_not_stand_on_what_a_policy_keeps() -> None:
    slow = behavior(down_window_s=0, down=(pods(1, 60),))
    story = Story(make_pool(warm=WARM, behavior=slow), replicas=9).warmed_up(pending=7)
    assert story.ticks(1, pending=1) == [8]
    assert story.ticks(600, pending=1)[-1] == 3


@rules
def test_spares_are_named_also_where_the_recommendation_covers_them(rule: Rule) -> None:
    story = Story(make_pool(rule=rule, warm=WARM, behavior=KEPT), replicas=6)
    decision = story.tick(pending=1)
    assert (decision.next, decision.bound) == (6, Bound.DEMAND)
    assert Code.WARM_SPARES in codes(decision)


def test_without_a_known_demand_spares_stand_on_min_alone() -> None:
    story = Story(make_pool(min=1, warm=WARM), replicas=2)
    decision = story.tick(queue=silence())
    assert (decision.target, decision.bound) == (3, Bound.WARM)


def test_a_pin_in_a_young_memory_counts_what_runs() -> None:
    story = Story(make_pool(), replicas=6)
    story.intents = intents_of(pins=(a_pin(pool=story.pool.key, replicas=3),))
    assert story.tick(pending=1).next == 6
    assert story.tick(pending=5).next == 8


def test_a_pool_with_just_its_spares_is_not_held_while_memory_is_young() -> None:
    story = Story(make_pool(warm=WARM), replicas=5)
    decision = story.tick(pending=3)
    assert (decision.target, decision.next, decision.gate) == (5, 5, None)


@rules
@pytest.mark.parametrize("watched_s", [0, 20])
def test_spares_open_no_way_around_an_upward_window(rule: Rule, watched_s: int) -> None:
    patient = behavior(up_window_s=10, down_window_s=5)
    story = Story(make_pool(rule=rule, min=1, warm=WARM, behavior=patient), replicas=3)
    assert set(story.ticks(watched_s)) <= {3}
    sizes = story.ticks(14, pending=6)
    assert sizes[:8] == [3] * 8
    assert sizes[-1] == 8


@pytest.mark.parametrize("messages", [191, 199, 201, 209])
def test_spares_beside_a_tolerated_size_come_once_and_stay(messages: int) -> None:
    metric = ExternalMetric(name="queue", target=AverageValueTarget(milli=10_000))
    at_once = behavior(down_window_s=0)
    pool = make_pool(rule=Rule.HPA, max=60, warm=WARM, behavior=at_once, metrics=(metric,))
    needed = -(-messages // 10) + 2
    for replicas in (1, needed - 2, needed, 30):
        story = Story(pool, replicas=replicas)
        sizes = []
        for _ in range(10):
            workload = Workload(replicas=story.replicas, current=story.replicas)
            story.tick(messages, workload=Fresh(value=workload, at=story.now))
            sizes.append(story.replicas)
        assert sizes[-5:] == [needed] * 5


def test_a_spare_beside_a_cooldown_comes_once() -> None:
    story = Story(make_pool(cooldown_s=60.0, behavior=behavior(down_window_s=10)), replicas=0)
    story.tick(pending=1, after_s=1.0)
    story.replicas = 0  # the message is gone, and the replica was removed by hand
    story.intents = intents_of(pins=(a_pin(pool=story.pool.key, replicas=1),))
    assert story.ticks(20) == [1] * 20
