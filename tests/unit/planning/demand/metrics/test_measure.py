"""A pool's metrics as its rule sees them: fallbacks, formulas, activity, absurd readings."""

from __future__ import annotations

import math

import pytest
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
    MetricSpec,
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
from controller.planning.demand.hpa_metrics import reading_name
from unit.planning.metered import (
    LAG,
    MEMORY,
    by_hpa,
    numbers_of,
    serving,
    usage,
)
from unit.planning.story import SILENT, START, Story, codes, series


def test_a_signal_wakes_the_pool_and_is_named() -> None:
    decision = Story(by_hpa(min=0, metrics=(LAG,)), 0).tick(0, lag=series(0.5))
    assert decision.next == 1
    assert numbers_of(decision, Code.ACTIVATED_BY_METRIC)["metric"] == "lag"


def test_a_fallback_stands_in_after_more_failures_than_its_threshold() -> None:
    pool = by_hpa(metrics=(LAG,), fallback=Fallback(failure_threshold=2, replicas=9))
    metered = Story(pool, 4)
    metered.tick(0, lag=series(20))
    assert [metered.tick(0, lag=SILENT).next for _ in range(4)] == [4, 4, 9, 9]
    assert Code.FALLBACK in codes(metered.tick(0, lag=SILENT))
    assert metered.memory.pools[pool.key].failures == {"lag": 3}
    metered.tick(0, lag=series(20))
    assert metered.memory.pools[pool.key].failures == {}


@pytest.mark.parametrize(
    ("how", "size"),
    [
        (FallbackBehavior.STATIC, 3),
        (FallbackBehavior.CURRENT, 6),
        (FallbackBehavior.CURRENT_IF_HIGHER, 6),
        (FallbackBehavior.CURRENT_IF_LOWER, 3),
    ],
)
def test_the_replicas_that_each_fallback_stands_for(how: FallbackBehavior, size: int) -> None:
    fallback = Fallback(failure_threshold=0, replicas=3, behavior=how)
    metered = Story(by_hpa(metrics=(LAG,), fallback=fallback), 6)
    metered.tick(0, lag=series(30))
    assert metered.tick(0, lag=SILENT).next == size


@pytest.mark.parametrize("how", [FallbackBehavior.STATIC, FallbackBehavior.CURRENT_IF_LOWER])
def test_a_fallback_of_zero_replicas_takes_nothing_away(how: FallbackBehavior) -> None:
    fallback = Fallback(failure_threshold=0, replicas=0, behavior=how)
    metered = Story(by_hpa(min=0, metrics=(LAG,), fallback=fallback, cooldown_s=0.0), 6)
    metered.tick(0, lag=series(30))
    for _ in range(5):
        decision = metered.tick(0, lag=SILENT, after_s=60.0)
        assert (decision.recommendation, decision.next) == (6, 6)


def test_an_outage_with_a_fallback_wakes_a_pool_at_zero_as_keda_does() -> None:
    pool = by_hpa(min=0, metrics=(LAG,), fallback=Fallback(failure_threshold=1, replicas=2))
    metered = Story(pool, 0)
    assert [metered.tick(0, lag=SILENT).next for _ in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("rule", list(Rule))
def test_a_formula_replaces_the_metrics_it_names(rule: Rule) -> None:
    pool = by_hpa(
        rule=rule,
        metrics=(LAG,),
        modifiers=Modifiers(formula="lag + cost * 2", target_milli=10_000),
    )
    decision = Story(pool, 1).tick(0, lag=series(30), cost=series(10))
    assert decision.recommendation == 5
    assert numbers_of(decision, Code.METRIC)["metric"] == "composite-metric"


def test_a_formula_has_its_own_activation() -> None:
    modifiers = Modifiers(formula="queue", target_milli=5_000, activation_milli=8_000)
    assert Story(by_hpa(min=0, modifiers=modifiers), 0).tick(8).next == 0
    assert Story(by_hpa(min=0, modifiers=modifiers), 0).tick(9).next == 1


@pytest.mark.parametrize("formula", ["lag / (lag - lag)", "lag +", "lag + missing", "'x'"])
def test_a_formula_without_a_number_holds(formula: str) -> None:
    modifiers = Modifiers(formula=formula, target_milli=5_000)
    decision = Story(by_hpa(modifiers=modifiers), 6).tick(0, lag=series(5))
    assert (decision.recommendation, decision.gate) == (6, Gate.BLIND)
    assert Code.METRIC_UNKNOWN in codes(decision)


def test_a_fallback_is_the_value_of_the_whole_formula() -> None:
    pool = by_hpa(
        modifiers=Modifiers(formula="lag * 100", target_milli=5_000),
        fallback=Fallback(failure_threshold=0, replicas=7),
    )
    assert Story(pool, 2).tick(0, lag=SILENT).next == 7


def test_a_formula_with_an_unknown_input_names_the_input() -> None:
    modifiers = Modifiers(formula="lag * 2", target_milli=5_000)
    decision = Story(by_hpa(modifiers=modifiers), 6).tick(0, lag=SILENT)
    assert numbers_of(decision, Code.METRIC_UNKNOWN)["metric"] == "lag"
    assert numbers_of(decision, Code.HELD_UNMEASURED)["why"] == "timed_out"


def test_a_fallback_beside_a_formula_goes_by_the_metrics_own_target() -> None:
    pool = by_hpa(
        metrics=(LAG,),
        modifiers=Modifiers(formula="queue", target_milli=1_000),
        fallback=Fallback(failure_threshold=0, replicas=7),
    )
    assert Story(pool, 2).tick(1, lag=SILENT).next == 7


def test_a_formula_may_give_a_default_for_an_unknown_signal() -> None:
    fallback = Fallback(
        failure_threshold=0, replicas=1, behavior=FallbackBehavior.SCALING_MODIFIERS
    )
    modifiers = Modifiers(formula="(lag ?? 20) + queue", target_milli=5_000)
    decision = Story(by_hpa(modifiers=modifiers, fallback=fallback), 2).tick(10, lag=SILENT)
    assert decision.next == 6


def test_a_formula_by_value_is_a_ratio_of_the_whole() -> None:
    """KEDA: scalingModifiers.metricType Value makes the composite metric one of type Value."""
    two = (serving("0"), serving("1"))
    by_value = Modifiers(formula="queue", target_milli=10_000, metric_type=TargetType.VALUE)
    decision = Story(by_hpa(modifiers=by_value), 2).tick(30, measured_pods=two)
    assert decision.recommendation == 6
    assert numbers_of(decision, Code.METRIC)["target"] == 10.0
    by_average = Modifiers(formula="queue", target_milli=10_000)
    assert Story(by_hpa(modifiers=by_average), 2).tick(30, measured_pods=two).recommendation == 3


def test_a_fallback_of_a_formula_by_value_is_spread_over_the_ready_pods() -> None:
    """KEDA, fallback.go: target x replicas / ready pods; the ratio makes replicas of it again."""
    pool = by_hpa(
        modifiers=Modifiers(formula="lag", target_milli=6_000, metric_type=TargetType.VALUE),
        fallback=Fallback(failure_threshold=0, replicas=4),
    )
    two = (serving("0"), serving("1"))
    assert Story(pool, 2).tick(0, measured_pods=two, lag=SILENT).recommendation == 4
    assert Story(pool, 2).tick(0, lag=SILENT).recommendation == 2


@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize(
    "metric", [LAG, ExternalMetric(name="lag", target=ValueTarget(milli=30_000)), MEMORY]
)
def test_a_metric_that_is_never_read_lets_a_pool_grow_but_not_shrink(
    rule: Rule, metric: MetricSpec
) -> None:
    queue = ExternalMetric(name="queue", target=AverageValueTarget(milli=5000))
    metered = Story(by_hpa(rule=rule, metrics=(queue, metric)), 4)
    assert metered.tick(40).next == 8
    held = metered.tick(0)
    assert (held.next, held.gate) == (8, Gate.BLIND)
    assert numbers_of(held, Code.METRIC_UNKNOWN)["metric"] == reading_name(metric)
    assert metered.tick(0, after_s=3600.0).next == 8
    assert metered.tick(0).next == 8


def test_memory_beside_rule_native_is_a_safety_metric() -> None:
    pool = by_hpa(rule=Rule.NATIVE, metrics=(MEMORY,))
    metered = Story(pool, 2)
    two = (serving("0"), serving("1"))
    decision = metered.tick(10, measured_pods=two, memory=usage(1500, 1500))
    assert (decision.demand, decision.next) == (4, 4)
    assert numbers_of(decision, Code.METRIC)["per"] == "% of requests"
    busy = Story(pool, 2).tick(45, measured_pods=two, memory=usage(700, 700))
    assert busy.next == 9


def test_beside_rule_native_an_unknown_metric_lets_the_queue_grow_the_pool() -> None:
    metered = Story(by_hpa(rule=Rule.NATIVE, metrics=(MEMORY,)), 3)
    assert metered.tick(30, memory=SILENT).next == 6
    held = metered.tick(0, memory=SILENT)
    assert (held.next, held.gate) == (6, Gate.BLIND)
    assert numbers_of(held, Code.HELD_UNMEASURED)["metric"] == "memory"


def test_metrics_grow_a_native_pool_whose_queue_is_unknown() -> None:
    metered = Story(by_hpa(rule=Rule.NATIVE, metrics=(LAG,)), 2)
    assert metered.tick(None, lag=series(40)).next == 8
    held = metered.tick(None, lag=series(5))
    assert (held.next, held.gate) == (8, Gate.BLIND)
    assert Code.HELD_BLIND in codes(held)


NIL = FallbackBehavior.SCALING_MODIFIERS


def by_formula(formula: str, replicas: int, **fields: object) -> Pool:
    """A pool whose formula gets nil for a metric that has failed more than twice in a row."""
    return by_hpa(
        modifiers=Modifiers(formula=formula, target_milli=2_000),
        fallback=Fallback(failure_threshold=2, replicas=replicas, behavior=NIL),
        **fields,
    )


@pytest.mark.parametrize("rule", list(Rule))
def test_a_formula_whose_metrics_are_all_nil_uses_the_replicas_of_its_fallback(rule: Rule) -> None:
    """KEDA gives 7 for `t1 ?? t2`, target 2 and fallback.replicas 7, after the threshold."""
    metered = Story(by_formula("t1 ?? t2", 7, rule=rule), 2)
    decisions = [metered.tick(0, t1=SILENT, t2=SILENT) for _ in range(4)]
    assert [decision.next for decision in decisions] == [2, 2, 7, 7]
    assert Code.HELD_UNMEASURED in codes(decisions[1])
    assert Code.FALLBACK in codes(decisions[2])
    assert numbers_of(decisions[2], Code.FALLBACK)["metric"] == "t1"
    assert Code.METRIC_UNKNOWN not in codes(decisions[2])


def test_a_formula_that_has_a_value_without_its_nil_metrics_uses_it() -> None:
    metered = Story(by_formula("t1 ?? t2", 7), 2)
    sizes = [metered.tick(0, t1=SILENT, t2=series(6)).next for _ in range(4)]
    assert sizes == [2, 2, 3, 3]


def test_a_formula_that_fails_for_its_known_metrics_uses_no_fallback() -> None:
    metered = Story(by_formula("t1 / (t2 - t2)", 7), 2)
    for _ in range(4):
        decision = metered.tick(0, t1=series(6), t2=series(6))
        assert (decision.next, decision.gate) == (2, Gate.BLIND)


def test_a_nil_formula_whose_fallback_is_zero_replicas_takes_nothing_away() -> None:
    metered = Story(by_formula("t1 ?? t2", 0, min=0, cooldown_s=0.0), 2)
    for _ in range(6):
        decision = metered.tick(0, after_s=60.0, t1=SILENT, t2=SILENT)
        assert (decision.next, decision.gate) == (2, Gate.BLIND)


def test_a_nil_formula_by_value_divides_its_fallback_by_the_ready_pods() -> None:
    pool = replace(
        by_formula("t1 ?? t2", 8),
        modifiers=Modifiers(formula="t1 ?? t2", target_milli=2_000, metric_type=TargetType.VALUE),
    )
    two = (serving("0"), serving("1"))
    with_pods, without = Story(pool, 2), Story(pool, 2)
    for _ in range(3):
        grown = with_pods.tick(0, measured_pods=two, t1=SILENT, t2=SILENT)
        held = without.tick(0, t1=SILENT, t2=SILENT)
    assert grown.next == 8
    assert (held.next, held.gate) == (2, Gate.BLIND)


def test_a_nil_formula_with_a_fallback_wakes_a_pool_at_zero() -> None:
    metered = Story(by_formula("t1 ?? t2", 7, min=0), 0)
    assert [metered.tick(0, t1=SILENT, t2=SILENT).next for _ in range(4)] == [0, 0, 1, 7]


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


@pytest.mark.parametrize("rule", list(Rule))
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
