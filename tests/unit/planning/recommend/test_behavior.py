"""The HPA's rates, bounds and windows by themselves."""

from __future__ import annotations

import pytest

from controller.model.fleet import Behavior, ScalingPolicy, ScalingRules, SelectPolicy
from controller.model.memory import RecommendationRun, ScaleChange
from controller.planning.inputs import Moment
from controller.planning.windows import (
    Limited,
    LimitReason,
    clamp_without_behavior,
    limit_change,
    stabilize_down,
)
from unit.planning.story import percent, pods

NOW = 1_000.0
FREE = ScalingRules(stabilization_window_s=0)


def limited(
    current: int,
    desired: int,
    *policies: ScalingPolicy,
    select: SelectPolicy = SelectPolicy.MAX,
    added: int = 0,
    removed: int = 0,
) -> Limited:
    """With these policies for the direction of the move, and changes half a minute ago."""
    rules = ScalingRules(stabilization_window_s=0, select_policy=select, policies=policies)
    up = desired > current
    return limit_change(
        current,
        desired,
        low=1,
        high=100,
        behavior=Behavior(scale_up=rules if up else FREE, scale_down=FREE if up else rules),
        added=(ScaleChange(change=added, at=NOW - 30),) if added else (),
        removed=(ScaleChange(change=removed, at=NOW - 30),) if removed else (),
        moment=Moment(NOW),
    )


@pytest.mark.parametrize(
    ("current", "policies", "select", "replicas"),
    [
        (10, (pods(4, 60),), SelectPolicy.MAX, 14),
        (10, (percent(25, 60),), SelectPolicy.MAX, 13),  # rounded up
        (1, (percent(10, 60),), SelectPolicy.MAX, 2),
        (10, (pods(4, 60), percent(100, 60)), SelectPolicy.MAX, 20),
        (10, (pods(4, 60), percent(100, 60)), SelectPolicy.MIN, 14),
        (10, (pods(4, 60),), SelectPolicy.DISABLED, 10),
    ],
)
def test_growth_within_a_period(
    current: int, policies: tuple[ScalingPolicy, ...], select: SelectPolicy, replicas: int
) -> None:
    answer = limited(current, 50, *policies, select=select)
    assert (answer.replicas, answer.reason) == (replicas, LimitReason.SCALE_UP_LIMIT)


@pytest.mark.parametrize(
    ("policies", "select", "replicas"),
    [
        ((pods(4, 60),), SelectPolicy.MAX, 6),
        ((percent(25, 60),), SelectPolicy.MAX, 7),  # truncated: more is removed
        ((pods(4, 60), percent(90, 60)), SelectPolicy.MAX, 1),
        ((pods(4, 60), percent(90, 60)), SelectPolicy.MIN, 6),
        ((pods(4, 60),), SelectPolicy.DISABLED, 10),
    ],
)
def test_shrinking_within_a_period(
    policies: tuple[ScalingPolicy, ...], select: SelectPolicy, replicas: int
) -> None:
    assert limited(10, 0, *policies, select=select).replicas == replicas


def test_a_limit_that_is_exceeded_already_forces_no_opposite_move() -> None:
    assert limited(10, 20, pods(4, 60), added=9).replicas == 10
    assert limited(10, 1, pods(4, 60), removed=9).replicas == 10


def test_changes_of_the_other_direction_give_room() -> None:
    assert limited(10, 50, pods(4, 60), removed=3).replicas == 17
    assert limited(10, 1, pods(4, 60), added=3).replicas == 3


def test_a_change_one_period_ago_no_longer_counts() -> None:
    assert limited(10, 50, pods(4, 31), added=4).replicas == 10
    assert limited(10, 50, pods(4, 30), added=4).replicas == 14


def test_max_and_min_win_over_a_policy_that_allows_more() -> None:
    assert limited(90, 500, pods(50, 60)) == (100, LimitReason.TOO_MANY, None)
    assert limited(10, 0, pods(50, 60)) == (1, LimitReason.TOO_FEW, None)


def test_the_policy_that_decides_is_named() -> None:
    assert limited(10, 50, pods(4, 60), percent(100, 15)).policy == percent(100, 15)


@pytest.mark.parametrize(
    ("current", "desired", "replicas", "reason"),
    [
        (1, 9, 4, LimitReason.SCALE_UP_LIMIT),
        (5, 50, 10, LimitReason.SCALE_UP_LIMIT),
        (10, 50, 20, LimitReason.TOO_MANY),
        (10, 0, 2, LimitReason.TOO_FEW),
        (10, 3, 3, LimitReason.WITHIN_RANGE),
    ],
)
def test_without_behavior_a_size_at_most_doubles(
    current: int, desired: int, replicas: int, reason: LimitReason
) -> None:
    assert clamp_without_behavior(current, desired, 2, 20) == (replicas, reason, None)


def test_without_behavior_only_the_way_down_has_a_window() -> None:
    history = tuple(
        RecommendationRun(replicas=size, first_at=at, last_at=at)
        for size, at in ((9, NOW - 300.5), (7, NOW - 300), (2, NOW - 1))
    )
    assert stabilize_down(3, history, 300, planned_at=NOW, moment=Moment(NOW)) == 7
