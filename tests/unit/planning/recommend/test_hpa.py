"""Rule hpa through the plan: what an HPA recommends, with KEDA's steps from and to zero."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Bound, Code, Gate
from controller.model.fleet import (
    Behavior,
    ExternalMetric,
    ObjectMetric,
    Rule,
    Schedule,
    SelectPolicy,
    ValueTarget,
    WeeklyWindow,
)
from controller.model.observation import Figure, MetricValue
from controller.model.readings import Fresh
from property.fleets import BY_DEFAULT
from reference.windows import NaiveHpa
from unit.planning.metered import (
    LAG,
    SILENT,
    Metered,
    by_hpa,
    numbers_of,
    series,
)
from unit.planning.story import START, behavior, codes, percent, pods

HPA_DEFAULTS = replace(
    BY_DEFAULT, scale_down=replace(BY_DEFAULT.scale_down, stabilization_window_s=300)
)


def test_without_metrics_the_queue_by_target_is_the_metric() -> None:
    decision = Metered(by_hpa(), 2).tick(23)
    assert (decision.recommendation, decision.demand, decision.next) == (5, 5, 5)
    assert numbers_of(decision, Code.METRIC) == {
        "metric": "queue",
        "measured": 23.0,
        "target": 5.0,
        "per": "per replica",
    }


def test_the_largest_proposal_wins_and_each_is_explained() -> None:
    pool = by_hpa(metrics=(LAG, ObjectMetric(name="jobs", target=ValueTarget(milli=10_000))))
    figure: Fresh[MetricValue] = Fresh(value=Figure(value_milli=5_000), at=START)
    decision = Metered(pool, 2).tick(0, lag=series(20, 15), jobs=figure)
    # 35 of 5 each is 7; the object without a pod that could serve proposes nothing
    assert decision.recommendation == 7
    assert codes(decision).count(Code.METRIC) == 1
    assert numbers_of(decision, Code.METRIC_UNKNOWN)["metric"] == "jobs"


def test_within_tolerance_the_size_stays_and_says_so() -> None:
    decision = Metered(by_hpa(), 10).tick(54)
    assert decision.recommendation == 10
    assert numbers_of(decision, Code.TOLERATED)["ratio"] == 1.08


def test_an_unknown_metric_blocks_shrinking_and_is_named() -> None:
    pool = by_hpa(metrics=(LAG, ExternalMetric(name="queue", target=LAG.target)))
    metered = Metered(pool, 6)
    decision = metered.tick(5, lag=SILENT)
    assert (decision.recommendation, decision.next) == (6, 6)
    assert decision.gate is Gate.BLIND
    assert numbers_of(decision, Code.HELD_UNMEASURED)["metric"] == "lag"
    assert metered.tick(60, lag=SILENT).next == 12


def test_an_unknown_queue_that_is_no_metric_holds_nothing() -> None:
    metered = Metered(by_hpa(metrics=(LAG,)), 6)
    metered.tick(None, lag=series(30))
    assert metered.tick(None, lag=series(10)).next == 2


def test_an_idle_pool_shrinks_by_policy_and_then_sleeps() -> None:
    pool = by_hpa(min=0, cooldown_s=10.0, behavior=behavior(down_window_s=0, down=(pods(3, 5),)))
    metered = Metered(pool, 8)
    metered.tick(40)
    sizes = [metered.tick(0, after_s=6.0).next for _ in range(6)]
    assert sizes == [5, 2, 0, 0, 0, 0]


def test_zero_by_hand_with_a_min_above_zero_is_left_alone() -> None:
    decision = Metered(by_hpa(min=2), 0).tick(40)
    assert (decision.next, codes(decision)[-1]) == (0, Code.SCALED_TO_ZERO_BY_HAND)


@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize("idle", [0, 1])
def test_an_idle_pool_rests_below_min_until_it_is_active(rule: Rule, idle: int) -> None:
    metered = Metered(by_hpa(rule=rule, min=3, idle=idle, cooldown_s=10.0), 3)
    metered.tick(5)
    assert metered.tick(0, after_s=20.0).next == 3
    assert metered.tick(0).next == idle
    assert metered.tick(0).next == idle
    assert metered.tick(None).next == idle
    assert metered.tick(1).next == 3


@pytest.mark.parametrize("rule", list(Rule))
def test_a_min_that_a_schedule_sets_holds_for_an_idle_pool(rule: Rule) -> None:
    """The window is open for 100 s after START, 22:13:20 on a Tuesday."""
    evening = WeeklyWindow(days=(1,), from_minute=22 * 60, until_minute=22 * 60 + 15)
    schedules = (Schedule(window=evening, min=3),)
    metered = Metered(by_hpa(rule=rule, idle=0, cooldown_s=10.0, schedules=schedules), 3)
    metered.tick(5)
    assert [metered.tick(0, after_s=30.0).next for _ in range(5)] == [3, 3, 3, 3, 0]


def test_after_a_lost_memory_a_resting_pool_is_not_taken_for_switched_off() -> None:
    metered = Metered(by_hpa(min=3, idle=0), 0)
    assert metered.tick(0).next == 0
    assert metered.tick(1).next == 3


def test_min_is_named_where_it_decides() -> None:
    metered = Metered(by_hpa(min=2), 3)
    metered.tick(15)
    assert metered.tick(0).bound is Bound.MIN


policies = st.builds(pods, st.integers(1, 20), st.integers(1, 120)) | st.builds(
    percent, st.integers(1, 200), st.integers(1, 120)
)
behaviors = st.builds(
    behavior,
    up_window_s=st.integers(0, 120),
    down_window_s=st.integers(0, 120),
    up=st.lists(policies, max_size=2).map(tuple),
    down=st.lists(policies, max_size=2).map(tuple),
    select_down=st.sampled_from(SelectPolicy),
)


@given(
    behaviors,
    st.booleans(),
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 150), st.floats(1, 90)), min_size=1, max_size=15),
)
def test_the_recommendation_is_the_hpas_over_any_history(
    rules: Behavior, without: bool, replicas: int, history: list[tuple[int, float]]
) -> None:
    pool = by_hpa(behavior=HPA_DEFAULTS if without else rules, without_behavior=without)
    metered = Metered(pool, replicas)
    naive = NaiveHpa(None if without else rules, most=20, target=5)
    for messages, after_s in history:
        size, now = metered.replicas, metered.now
        expected = naive.recommended(size, messages, now)
        decision = metered.tick(messages, after_s=after_s)
        assert decision.recommendation == expected
        # a gate may hold what the HPA would take: then nothing was written
        if decision.next == expected != size:
            naive.changes.append((now, expected - size))
