"""A pool's metrics as its rule sees them: fallbacks, formulas, activity, absurd readings."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Code, Gate
from controller.model.fleet import (
    AverageValueTarget,
    ContainerResourceMetric,
    ExternalMetric,
    Fallback,
    FallbackBehavior,
    Modifiers,
    ObjectMetric,
    Pool,
    Rule,
    TargetType,
    UtilizationTarget,
    ValueTarget,
)
from controller.model.observation import (
    Figure,
    MeasuredPod,
    MetricValue,
    PodUsage,
    PodUsages,
    Series,
)
from controller.model.readings import Fresh, Reading
from support.table import tabled
from unit.planning.metered import (
    LAG,
    MEMORY,
    by_hpa,
    numbers_of,
    serving,
    usage,
)
from unit.planning.story import SILENT, START, Story, codes

QUEUE = ExternalMetric(name="queue", target=AverageValueTarget(milli=5000))
AT_ZERO = {"min": 0, "cooldown_s": 0.0}


def falls_back(replicas: int, after: int = 0, **how: Any) -> dict[str, Any]:
    return {"fallback": Fallback(failure_threshold=after, replicas=replicas, **how)}


def formula(text: str, target_milli: int = 5_000, **more: Any) -> dict[str, Any]:
    return {"modifiers": Modifiers(formula=text, target_milli=target_milli, **more)}


def or_nil(text: str, replicas: int, **more: Any) -> Pool:
    """A formula that gets nil for a metric that has failed more than twice in a row."""
    nil = FallbackBehavior.SCALING_MODIFIERS
    return by_hpa(**formula(text, 2_000, **more), **falls_back(replicas, 2, behavior=nil))


# fmt: off
STORIES = {
    "a signal wakes the pool and is named": (
        by_hpa(min=0, metrics=(LAG,)), 0, "0 lag=0.5 : 1 activated_by_metric metric=lag"),
    "a fallback stands in after more failures than its threshold": (
        by_hpa(metrics=(LAG,), **falls_back(9, 2)), 4, """
        0 lag=20 : 4
        2* 0 lag=? : 4
        2* 0 lag=? : 9 fallback"""),
    "one of a fixed size": (by_hpa(metrics=(LAG,), **falls_back(3)), 6, """
        0 lag=30 : 6
        0 lag=? : 3"""),
    "one of the present size": (
        by_hpa(metrics=(LAG,), **falls_back(3, behavior=FallbackBehavior.CURRENT)), 6, """
        0 lag=30 : 6
        0 lag=? : 6"""),
    "one of the present size if it is larger": (
        by_hpa(metrics=(LAG,), **falls_back(3, behavior=FallbackBehavior.CURRENT_IF_HIGHER)), 6, """
        0 lag=30 : 6
        0 lag=? : 6"""),
    "one of the present size if it is smaller": (
        by_hpa(metrics=(LAG,), **falls_back(3, behavior=FallbackBehavior.CURRENT_IF_LOWER)), 6, """
        0 lag=30 : 6
        0 lag=? : 3"""),
    "a fallback of zero replicas takes nothing away": (
        by_hpa(metrics=(LAG,), **AT_ZERO, **falls_back(0)), 6, """
        0 lag=30 : 6
        5* 0 lag=? after=60 : 6 (6, 6)"""),
    "nor does one of the present size if that is smaller": (
        by_hpa(metrics=(LAG,), **AT_ZERO,
               **falls_back(0, behavior=FallbackBehavior.CURRENT_IF_LOWER)), 6, """
        0 lag=30 : 6
        5* 0 lag=? after=60 : 6 (6, 6)"""),
    "an outage with a fallback wakes a pool at zero as KEDA does": (
        by_hpa(min=0, metrics=(LAG,), **falls_back(2, 1)), 0, """
        0 lag=? : 0
        0 lag=? : 1
        0 lag=? : 2"""),
    "a formula has its own activation": (
        by_hpa(min=0, **formula("queue", activation_milli=8_000)), 0, """
        8 : 0
        9 : 1"""),
    "a fallback is the value of the whole formula": (
        by_hpa(**formula("lag * 100"), **falls_back(7)), 2, "0 lag=? : 7"),
    "a formula with an unknown input names the input": (
        by_hpa(**formula("lag * 2")), 6,
        "0 lag=? : 6 blind metric_unknown held_unmeasured metric=lag why=timed_out"),
    "a fallback beside a formula goes by the metric's own target": (
        by_hpa(metrics=(LAG,), **formula("queue", 1_000), **falls_back(7)), 2, "1 lag=? : 7"),
    "a formula may give a default for an unknown signal": (
        by_hpa(**formula("(lag ?? 20) + queue"),
               **falls_back(1, behavior=FallbackBehavior.SCALING_MODIFIERS)), 2, "10 lag=? : 6"),
    "a formula that has a value without its nil metrics uses it": (
        or_nil("t1 ?? t2", 7), 2, """
        2* 0 t1=? t2=6 : 2
        2* 0 t1=? t2=6 : 3"""),
    "a formula that fails for its known metrics uses no fallback": (
        or_nil("t1 / (t2 - t2)", 7), 2, "4* 0 t1=6 t2=6 : 2 blind"),
    "a nil formula whose fallback is zero replicas takes nothing away": (
        replace(or_nil("t1 ?? t2", 0), **AT_ZERO), 2, "6* 0 t1=? t2=? after=60 : 2 blind"),
    "a nil formula with a fallback wakes a pool at zero": (
        replace(or_nil("t1 ?? t2", 7), min=0), 0, """
        2* 0 t1=? t2=? : 0
        0 t1=? t2=? : 1
        0 t1=? t2=? : 7"""),
    "metrics grow a native pool whose queue is unknown": (
        by_hpa(rule=Rule.NATIVE, metrics=(LAG,)), 2, """
        ? lag=40 : 8
        ? lag=5 : 8 blind held_blind"""),
    "beside rule native an unknown metric lets the queue grow the pool": (
        by_hpa(rule=Rule.NATIVE, metrics=(MEMORY,)), 3, """
        30 memory=? : 6
        0 memory=? : 6 blind held_unmeasured metric=memory"""),
} | {
    f"a formula without a number holds: {text}": (
        by_hpa(**formula(text)), 6, "0 lag=5 : 6 (6, 6) blind metric_unknown")
    for text in ("lag / (lag - lag)", "lag +", "lag + missing", "'x'")
}
BY_BOTH_RULES = {
    # KEDA gives 7 for `t1 ?? t2`, target 2 and fallback.replicas 7, after the threshold
    "a formula whose metrics are all nil uses the replicas of its fallback": (
        or_nil("t1 ?? t2", 7), 2, """
        2* 0 t1=? t2=? : 2 held_unmeasured
        2* 0 t1=? t2=? : 7 fallback !metric_unknown"""),
    "a formula replaces the metrics it names": (
        by_hpa(metrics=(LAG,), **formula("lag + cost * 2", 10_000)), 1,
        "0 lag=30 cost=10 : 5 (5, 5) metric"),
} | {
    f"a metric that is never read lets a pool grow but not shrink: {kind}": (
        by_hpa(metrics=(QUEUE, metric)), 4, """
        40 : 8
        0 after=3600 : 8 blind metric_unknown
        2* 0 : 8""")
    for kind, metric in {
        "average": LAG,
        "value": ExternalMetric(name="lag", target=ValueTarget(milli=30_000)),
        "resource": MEMORY,
    }.items()
}
# fmt: on


@tabled("name", STORIES)
def test_a_story(name: str) -> None:
    pool, size, table = STORIES[name]
    Story(pool, size).tell(table)


@tabled("rule", Rule)
@tabled("name", BY_BOTH_RULES)
def test_a_story_of_both_rules(name: str, rule: Rule) -> None:
    pool, size, table = BY_BOTH_RULES[name]
    Story(replace(pool, rule=rule), size).tell(table)


def test_failures_are_remembered_until_the_metric_is_read_again() -> None:
    pool = by_hpa(metrics=(LAG,), **falls_back(9, 2))
    story = Story(pool, 4).tell("5* 0 lag=? : _")
    assert story.remembered.failures == {"lag": 3}
    assert story.tell("0 lag=20 : _").remembered.failures == {}


def test_a_formula_by_value_is_a_ratio_of_the_whole_and_its_fallback_of_the_ready_pods() -> None:
    """KEDA: scalingModifiers.metricType Value makes the composite metric one of type Value;
    fallback.go: target x replicas / ready pods, and the ratio makes replicas of it again.
    """
    two, by_value = (serving("0"), serving("1")), {"metric_type": TargetType.VALUE}
    decision = Story(by_hpa(**formula("queue", 10_000, **by_value)), 2).tick(30, measured_pods=two)
    assert decision.recommendation == 6
    numbers = numbers_of(decision, Code.METRIC)
    assert (numbers["target"], numbers["metric"]) == (10.0, "composite-metric")
    by_average = Story(by_hpa(**formula("queue", 10_000)), 2).tick(30, measured_pods=two)
    assert by_average.recommendation == 3
    pool = by_hpa(**formula("lag", 6_000, **by_value), **falls_back(4))
    assert Story(pool, 2).tick(0, measured_pods=two, lag=SILENT).recommendation == 4
    assert Story(pool, 2).tick(0, lag=SILENT).recommendation == 2
    with_pods, without = (Story(or_nil("t1 ?? t2", 8, **by_value), 2) for _ in range(2))
    for _ in range(3):
        grown = with_pods.tick(0, measured_pods=two, t1=SILENT, t2=SILENT)
        held = without.tick(0, t1=SILENT, t2=SILENT)
    assert (grown.next, held.next, held.gate) == (8, 2, Gate.BLIND)


def test_memory_beside_rule_native_is_a_safety_metric() -> None:
    pool, two = by_hpa(rule=Rule.NATIVE, metrics=(MEMORY,)), (serving("0"), serving("1"))
    decision = Story(pool, 2).tick(10, measured_pods=two, memory=usage(1500, 1500))
    assert (decision.demand, decision.next) == (4, 4)
    assert numbers_of(decision, Code.METRIC)["per"] == "% of requests"
    assert Story(pool, 2).tick(45, measured_pods=two, memory=usage(700, 700)).next == 9


CONTAINER = ContainerResourceMetric(
    resource="cpu", container="agent", target=UtilizationTarget(percent=50)
)


def container_usage(*used: int | None) -> Fresh[MetricValue]:
    """What the container uses in each pod; None where it has not been measured in the pod."""
    items = tuple(
        PodUsage(
            pod=str(number),
            containers={"proxy": 5} | ({} if one is None else {"agent": one}),
            at=START,
            window_s=30.0,
        )
        for number, one in enumerate(used)
    )
    return Fresh(value=PodUsages(items=items), at=START)


def three_pods() -> tuple[MeasuredPod, ...]:
    return tuple(serving(name, "cpu", ("agent", "proxy")) for name in "012")


@tabled("rule", list(Rule))
def test_a_pod_without_the_container_is_a_missing_sample(rule: Rule) -> None:
    """Two pods at 90 % of a target of 50 %, a third whose container has not been measured: it is
    assumed idle, 60 % of three pods ask for 4 (kubernetes PR 127193).
    """
    metered = Story(by_hpa(rule=rule, metrics=(CONTAINER,)), 3)
    decision = metered.tick(0, measured_pods=three_pods(), cpu=container_usage(900, 900, None))
    assert (decision.demand, decision.next) == (4, 4)
    assert Code.METRIC_UNKNOWN not in codes(decision)


def test_a_container_that_no_pod_has_leaves_the_metric_unknown() -> None:
    metered = Story(by_hpa(metrics=(CONTAINER,)), 3)
    decision = metered.tick(0, measured_pods=three_pods(), cpu=container_usage(None, None, None))
    assert (decision.next, decision.gate) == (3, Gate.BLIND)
    assert numbers_of(decision, Code.METRIC_UNKNOWN) == {"metric": "cpu", "why": "no_container"}


odd_numbers = st.sampled_from([math.nan, math.inf, -math.inf, 10**400, -(10**400), -1, 0, 1.5])
odd_times = st.sampled_from([math.nan, math.inf, -math.inf, 1e300, -1.0, 0.0, START])
odd_values = st.one_of(
    st.builds(Series, values_milli=st.lists(odd_numbers, max_size=3).map(tuple)),
    st.builds(Figure, value_milli=odd_numbers),
    st.builds(
        PodUsages,
        items=st.lists(
            st.builds(
                PodUsage,
                pod=st.sampled_from("01"),
                containers=st.dictionaries(st.just("agent"), st.none() | odd_numbers),
                at=odd_times,
                window_s=odd_times,
            ),
            max_size=2,
        ).map(tuple),
    ),
)
odd_readings = st.builds(Fresh, value=odd_values, at=odd_times) | st.just(SILENT)


@given(
    st.sampled_from(Rule),
    st.integers(0, 5),
    st.fixed_dictionaries(dict.fromkeys(("lag", "memory", "hits"), odd_readings)),
    st.booleans(),
    st.booleans(),
)
def test_no_reading_of_a_metric_makes_the_plan_raise(
    rule: Rule,
    replicas: int,
    readings: dict[str, Reading[MetricValue]],
    by_formula: bool,
    backed: bool,
) -> None:
    pool = by_hpa(
        rule=rule,
        min=0,
        metrics=(LAG, MEMORY, ObjectMetric(name="hits", target=ValueTarget(milli=1000))),
        modifiers=Modifiers(formula="lag * 2", target_milli=1000) if by_formula else None,
        fallback=Fallback(failure_threshold=0, replicas=2) if backed else None,
    )
    metered = Story(pool, replicas)
    decision = metered.tick(3, measured_pods=(serving("0"),), metrics=readings)
    assert decision.next is not None
    assert 0 <= decision.next <= pool.max
