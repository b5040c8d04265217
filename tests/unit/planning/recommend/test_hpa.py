"""Rule hpa through the plan: what an HPA recommends, with KEDA's steps from and to zero."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Code
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
from support.table import tabled
from unit.planning.metered import LAG, by_hpa, numbers_of
from unit.planning.story import START, Story, behavior, codes, percent, pods, series

HPA_DEFAULTS = replace(
    BY_DEFAULT, scale_down=replace(BY_DEFAULT.scale_down, stabilization_window_s=300)
)
IN_STEPS = behavior(down_window_s=0, down=(pods(3, 5),))

# fmt: off
STORIES = {
    "without metrics the queue by target is the metric": (
        by_hpa(), 2, "23 : 5 (5, 5) metric"),
    "within tolerance the size stays and says so": (by_hpa(), 10, "54 : 10 (10, 10) tolerated"),
    "an unknown metric blocks shrinking and is named, and does not block growth": (
        by_hpa(metrics=(LAG, ExternalMetric(name="queue", target=LAG.target))), 6, """
        5 lag=? : 6 (6, 6) blind held_unmeasured metric=lag
        60 lag=? : 12"""),
    "an unknown queue that is no metric holds nothing": (
        by_hpa(metrics=(LAG,)), 6, """
        ? lag=30 : 6
        ? lag=10 : 2"""),
    "an idle pool shrinks by policy and then sleeps": (
        by_hpa(min=0, cooldown_s=10.0, behavior=IN_STEPS), 8, """
        40 : 8
        0 after=6 : 5
        0 after=6 : 2
        4* 0 after=6 : 0"""),
    "zero by hand with a min above zero is left alone": (
        by_hpa(min=2), 0, "40 : 0 scaled_to_zero_by_hand"),
    "after a lost memory a resting pool is not taken for switched off": (
        by_hpa(min=3, idle=0), 0, """
        0 : 0
        1 : 3"""),
    "min is named where it decides": (
        by_hpa(min=2), 3, """
        15 : 3
        0 : 2 min"""),
}
# fmt: on


@tabled("name", STORIES)
def test_a_story(name: str) -> None:
    pool, size, table = STORIES[name]
    Story(pool, size).tell(table)


def test_the_largest_proposal_wins_and_each_is_explained() -> None:
    numbers = numbers_of(Story(by_hpa(), 2).tick(23), Code.METRIC)
    assert numbers == {"metric": "queue", "measured": 23.0, "target": 5.0, "per": "per replica"}
    assert numbers_of(Story(by_hpa(), 10).tick(54), Code.TOLERATED)["ratio"] == 1.08
    pool = by_hpa(metrics=(LAG, ObjectMetric(name="jobs", target=ValueTarget(milli=10_000))))
    figure: Fresh[MetricValue] = Fresh(value=Figure(value_milli=5_000), at=START)
    decision = Story(pool, 2).tick(0, lag=series(20, 15), jobs=figure)
    # 35 of 5 each is 7; the object without a pod that could serve proposes nothing
    assert decision.recommendation == 7
    assert codes(decision).count(Code.METRIC) == 1
    assert numbers_of(decision, Code.METRIC_UNKNOWN)["metric"] == "jobs"


@tabled("rule", list(Rule))
def test_a_min_that_a_schedule_sets_holds_for_an_idle_pool(rule: Rule) -> None:
    """The window is open for 100 s after START, 22:13:20 on a Tuesday."""
    evening = WeeklyWindow(days=(1,), from_minute=22 * 60, until_minute=22 * 60 + 15)
    schedules = (Schedule(window=evening, min=3),)
    pool = by_hpa(rule=rule, idle=0, cooldown_s=10.0, schedules=schedules)
    Story(pool, 3).tell("""
        5 : 3
        4* 0 after=30 : 3
        0 : 0""")


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
    story = Story(pool, replicas)
    naive = NaiveHpa(None if without else rules, most=20, target=5)
    for messages, after_s in history:
        size, now = story.replicas, story.now
        expected = naive.recommended(size, messages, now)
        decision = story.tick(messages, after_s=after_s)
        assert decision.recommendation == expected
        # a gate may hold what the HPA would take: then nothing was written
        if decision.next == expected != size:
            naive.changes.append((now, expected - size))
