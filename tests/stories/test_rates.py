"""Rates, bounds and windows of `behavior`, through plan(): the size, and the code that says why."""

from __future__ import annotations

from controller.model.decision import Code, Decision
from controller.model.fleet import Behavior, ScalingPolicy, ScalingRules, SelectPolicy
from controller.model.memory import Memory, PoolMemory, RecommendationRun, ScaleChange
from property.fleets import BY_DEFAULT
from support.table import tabled
from unit.planning.metered import by_hpa, numbers_of
from unit.planning.story import START, Story, codes, percent, pods

FREE = ScalingRules(stabilization_window_s=0)
LONG_AGO = RecommendationRun(replicas=0, first_at=0.0, last_at=0.0)


def decided(
    current: int,
    desired: int,
    *policies: ScalingPolicy,
    select: SelectPolicy = SelectPolicy.MAX,
    added: int = 0,
    removed: int = 0,
) -> Decision:
    """With these policies for the direction of the move, and changes half a minute ago."""
    rules = ScalingRules(stabilization_window_s=0, select_policy=select, policies=policies)
    up = desired > current
    behavior = Behavior(scale_up=rules if up else FREE, scale_down=FREE if up else rules)
    metered = Story(by_hpa(target=1, max=100, behavior=behavior), current)
    then = START - 30
    memory = PoolMemory(
        since=0.0,
        recommendations=(LONG_AGO,),
        scaled_up=(ScaleChange(change=added, at=then),) if added else (),
        scaled_down=(ScaleChange(change=removed, at=then),) if removed else (),
    )
    metered.memory = Memory(pools={metered.pool.key: memory}, planned_at=START - 1)
    return metered.tick(desired)


@tabled(
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
    decision = decided(current, 50, *policies, select=select)
    assert decision.recommendation == replicas
    assert Code.RATE_LIMITED_UP in codes(decision)


@tabled(
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
    decision = decided(10, 0, *policies, select=select)
    assert decision.recommendation == replicas
    assert (Code.RATE_LIMITED_DOWN in codes(decision)) == (replicas > 1)


@tabled(
    ("desired", "policy", "added", "removed", "replicas"),
    [
        # a limit that is exceeded already forces no opposite move
        (20, pods(4, 60), 9, 0, 10),
        (1, pods(4, 60), 0, 9, 10),
        # changes of the other direction give room
        (50, pods(4, 60), 0, 3, 17),
        (1, pods(4, 60), 3, 0, 3),
        # a change one period ago no longer counts
        (50, pods(4, 31), 4, 0, 10),
        (50, pods(4, 30), 4, 0, 14),
    ],
)
def test_changes_within_a_period_count(
    desired: int, policy: ScalingPolicy, added: int, removed: int, replicas: int
) -> None:
    assert decided(10, desired, policy, added=added, removed=removed).recommendation == replicas


def test_max_and_min_win_over_a_policy_that_allows_more() -> None:
    most, least = decided(90, 500, pods(50, 60)), decided(10, 0, pods(50, 60))
    assert (most.recommendation, least.recommendation) == (100, 1)
    assert Code.AT_MAX in codes(most)
    assert Code.AT_MIN in codes(least)


def test_the_policy_that_decides_is_named() -> None:
    decision = decided(10, 50, pods(4, 60), percent(100, 15))
    assert "100" in str(numbers_of(decision, Code.RATE_LIMITED_UP)["policy"])


@tabled(
    ("current", "desired", "replicas", "code"),
    [
        (1, 9, 4, Code.RATE_LIMITED_UP),
        (5, 50, 10, Code.RATE_LIMITED_UP),
        (10, 50, 20, Code.AT_MAX),
        (10, 0, 1, Code.AT_MIN),
    ],
)
def test_without_behavior_a_size_at_most_doubles(
    current: int, desired: int, replicas: int, code: Code
) -> None:
    pool = by_hpa(target=1, behavior=BY_DEFAULT, without_behavior=True)
    metered = Story(pool, current)
    memory = PoolMemory(since=0.0, recommendations=(LONG_AGO,))
    metered.memory = Memory(pools={pool.key: memory}, planned_at=START - 1)
    decision = metered.tick(desired)
    assert decision.recommendation == replicas
    assert code in codes(decision)


def test_without_behavior_only_the_way_down_has_a_window() -> None:
    pool = by_hpa(target=1, behavior=BY_DEFAULT, without_behavior=True)
    metered = Story(pool, 10)
    history = tuple(
        RecommendationRun(replicas=size, first_at=at, last_at=at)
        for size, at in ((9, START - 300.5), (7, START - 300), (2, START - 1))
    )
    memory = PoolMemory(since=0.0, recommendations=history)
    metered.memory = Memory(pools={pool.key: memory}, planned_at=START - 1)
    assert metered.tick(3).recommendation == 7
