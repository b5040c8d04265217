"""Rule `hpa` and metrics beside rule `native`, through the whole plan: what the HPA and KEDA would
set, and where the plan goes on from there.
"""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from controller.planning.hpa import HpaMemory, Scale, Settings, Spec, reconcile, settle
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Bound, Code, Decision, Gate
from controller.model.fleet import Behavior, Fleet, Pool, Rule
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.metrics import (
    AverageValueTarget,
    ConditionStatus,
    ContainerRequest,
    ExternalMetric,
    Fallback,
    FallbackBehavior,
    Figure,
    MeasuredMetric,
    MeasuredPod,
    MetricSpec,
    MetricValue,
    Modifiers,
    ObjectMetric,
    PodReadiness,
    PodUsage,
    PodUsages,
    ResourceMetric,
    Series,
    StatusPhase,
    TargetType,
    UtilizationTarget,
    ValueTarget,
)
from controller.model.observation import Observation, Pods, PoolObservation, QueueDepth, Workload
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.planning.demand.metrics.names import reading_name
from controller.planning.recommend.behavior import hpa_defaults
from support.planning import plan
from unit.planning.story import START, behavior, codes, make_pool, percent, pods

AT_ONCE = behavior(down_window_s=0)
LAG = ExternalMetric(name="lag", target=AverageValueTarget(milli=5000))
MEMORY = ResourceMetric(resource="memory", target=UtilizationTarget(percent=75))
SILENT = Absent(why=Why.TIMED_OUT, at=START - 60)


def series(*values: float) -> Fresh[MetricValue]:
    return Fresh(value=Series(values_milli=tuple(int(1000 * one) for one in values)), at=START)


def by_hpa(**fields: object) -> Pool:
    given: dict[str, object] = {"rule": Rule.HPA, "target": 5, "min": 1, "behavior": AT_ONCE}
    return make_pool("research", **{**given, **fields})


class Cluster:
    """A pool over time, with metrics; what is decided happens."""

    def __init__(self, pool: Pool, replicas: int = 0) -> None:
        self.pool, self.replicas = pool, replicas
        self.now = START
        self.memory = Memory()

    def tick(
        self,
        messages: int | None = 0,
        *,
        after_s: float = 1.0,
        measured_pods: tuple[MeasuredPod, ...] = (),
        metrics: dict[str, Reading[MetricValue]] | None = None,
        **named: Reading[MetricValue],
    ) -> Decision:
        queue: Reading[QueueDepth] = (
            SILENT
            if messages is None
            else Fresh(value=QueueDepth(pending=messages, in_flight=0), at=self.now)
        )
        workload = Workload(replicas=self.replicas, current=self.replicas)
        seen = PoolObservation(
            queue=queue,
            workload=Fresh(value=workload, at=self.now),
            pods=Fresh(value=Pods(ready=self.replicas), at=self.now),
            metrics=metrics or named,
            measured_pods=measured_pods,
        )
        observation = Observation(pools={self.pool.key: seen})
        result, self.memory = plan(
            observation, Fleet(pools=(self.pool,)), Intents(), self.memory, self.now
        )
        decision = result.decisions[self.pool.key]
        if decision.next is not None:
            self.replicas = decision.next
        self.now += after_s
        return decision


def reason(decision: Decision, code: Code) -> dict[str, int | float | str]:
    return next(one.numbers for one in decision.reasons if one.code is code)


def test_without_metrics_the_queue_by_target_is_the_metric() -> None:
    decision = Cluster(by_hpa(), 2).tick(23)
    assert (decision.recommendation, decision.demand, decision.next) == (5, 5, 5)
    assert reason(decision, Code.METRIC) == {
        "metric": "queue",
        "measured": 23.0,
        "target": 5.0,
        "per": "per replica",
    }


def test_the_largest_proposal_wins_and_each_is_told() -> None:
    pool = by_hpa(metrics=(LAG, ObjectMetric(name="jobs", target=ValueTarget(milli=10_000))))
    figure: Fresh[MetricValue] = Fresh(value=Figure(value_milli=5_000), at=START)
    decision = Cluster(pool, 2).tick(0, lag=series(20, 15), jobs=figure)
    # 35 of 5 each is 7; the object without a pod that could serve proposes nothing
    assert decision.recommendation == 7
    assert codes(decision).count(Code.METRIC) == 1
    assert reason(decision, Code.METRIC_UNKNOWN)["metric"] == "jobs"


def test_within_tolerance_the_size_stays_and_says_so() -> None:
    decision = Cluster(by_hpa(), 10).tick(54)
    assert decision.recommendation == 10
    assert reason(decision, Code.TOLERATED)["ratio"] == 1.08


def test_a_tolerance_of_its_own_replaces_the_clusters() -> None:
    strict = replace(AT_ONCE, scale_up=replace(AT_ONCE.scale_up, tolerance=Decimal("0.01")))
    assert Cluster(by_hpa(behavior=strict), 10).tick(54).recommendation == 11


def test_without_a_behavior_block_growth_is_twice_the_size_or_four() -> None:
    pool = by_hpa(max=50, behavior=hpa_defaults(), without_behavior=True)
    cluster = Cluster(pool, 1)
    assert [cluster.tick(200, after_s=15.0).recommendation for _ in range(4)] == [4, 8, 16, 32]
    with_block = Cluster(replace(pool, without_behavior=False), 1)
    assert [with_block.tick(200, after_s=15.0).recommendation for _ in range(4)] == [5, 10, 20, 40]


def test_a_broken_metric_blocks_shrinking_and_is_named() -> None:
    pool = by_hpa(metrics=(LAG, ExternalMetric(name="queue", target=LAG.target)))
    cluster = Cluster(pool, 6)
    decision = cluster.tick(5, lag=SILENT)
    assert (decision.recommendation, decision.next) == (6, 6)
    assert decision.gate is Gate.BLIND
    assert reason(decision, Code.HELD_UNMEASURED)["metric"] == "lag"
    assert cluster.tick(60, lag=SILENT).next == 12


def test_silence_of_a_queue_that_is_not_watched_holds_nothing() -> None:
    cluster = Cluster(by_hpa(metrics=(LAG,)), 6)
    cluster.tick(None, lag=series(30))
    assert cluster.tick(None, lag=series(10)).next == 2


def test_from_zero_goes_to_min_and_at_least_one_as_keda_does() -> None:
    decision = Cluster(by_hpa(min=0), 0).tick(40)
    assert (decision.recommendation, decision.wake) == (1, True)
    assert Code.ACTIVATED in codes(decision)


def test_activation_is_strict() -> None:
    pool = by_hpa(min=0, activation=40)
    assert Cluster(pool, 0).tick(40).next == 0
    assert Cluster(pool, 0).tick(41).next == 1


def test_a_signal_wakes_the_pool_and_is_named() -> None:
    decision = Cluster(by_hpa(min=0, metrics=(LAG,)), 0).tick(0, lag=series(0.5))
    assert decision.next == 1
    assert reason(decision, Code.ACTIVATED_BY_METRIC)["metric"] == "lag"


def test_an_idle_pool_descends_by_policy_and_then_sleeps() -> None:
    pool = by_hpa(min=0, cooldown_s=10.0, behavior=behavior(down_window_s=0, down=(pods(3, 5),)))
    cluster = Cluster(pool, 8)
    cluster.tick(40)
    sizes = [cluster.tick(0, after_s=6.0).next for _ in range(6)]
    assert sizes == [5, 2, 0, 0, 0, 0]


def test_zero_with_a_min_is_left_to_whoever_set_it() -> None:
    decision = Cluster(by_hpa(min=2), 0).tick(40)
    assert (decision.next, codes(decision)[-1]) == (0, Code.SCALED_TO_ZERO_BY_HAND)


@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize("idle", [0, 1])
def test_an_idle_pool_rests_below_min_until_it_is_active(rule: Rule, idle: int) -> None:
    cluster = Cluster(by_hpa(rule=rule, min=3, idle=idle, cooldown_s=10.0), 3)
    cluster.tick(5)
    assert cluster.tick(0, after_s=20.0).next == 3
    assert cluster.tick(0).next == idle
    assert cluster.tick(0).next == idle
    assert cluster.tick(None).next == idle
    assert cluster.tick(1).next == 3


def test_a_lost_memory_does_not_take_a_resting_pool_for_switched_off() -> None:
    cluster = Cluster(by_hpa(min=3, idle=0), 0)
    assert cluster.tick(0).next == 0
    assert cluster.tick(1).next == 3


def test_a_fallback_stands_in_after_more_failures_than_its_threshold() -> None:
    pool = by_hpa(metrics=(LAG,), fallback=Fallback(failure_threshold=2, replicas=9))
    cluster = Cluster(pool, 4)
    cluster.tick(0, lag=series(20))
    assert [cluster.tick(0, lag=SILENT).next for _ in range(4)] == [4, 4, 9, 9]
    assert Code.FALLBACK in codes(cluster.tick(0, lag=SILENT))
    assert cluster.memory.pools[pool.key].failures == {"lag": 3}
    cluster.tick(0, lag=series(20))
    assert cluster.memory.pools[pool.key].failures == {}


@pytest.mark.parametrize(
    ("how", "size"),
    [
        (FallbackBehavior.STATIC, 3),
        (FallbackBehavior.CURRENT, 6),
        (FallbackBehavior.CURRENT_IF_HIGHER, 6),
        (FallbackBehavior.CURRENT_IF_LOWER, 3),
    ],
)
def test_what_a_fallback_stands_for(how: FallbackBehavior, size: int) -> None:
    fallback = Fallback(failure_threshold=0, replicas=3, behavior=how)
    cluster = Cluster(by_hpa(metrics=(LAG,), fallback=fallback), 6)
    cluster.tick(0, lag=series(30))
    assert cluster.tick(0, lag=SILENT).next == size


@pytest.mark.parametrize("how", [FallbackBehavior.STATIC, FallbackBehavior.CURRENT_IF_LOWER])
def test_a_fallback_of_nothing_never_takes_anything_away(how: FallbackBehavior) -> None:
    fallback = Fallback(failure_threshold=0, replicas=0, behavior=how)
    cluster = Cluster(by_hpa(min=0, metrics=(LAG,), fallback=fallback, cooldown_s=0.0), 6)
    cluster.tick(0, lag=series(30))
    for _ in range(5):
        decision = cluster.tick(0, lag=SILENT, after_s=60.0)
        assert (decision.recommendation, decision.next) == (6, 6)


def test_an_outage_with_a_fallback_wakes_a_sleeping_pool_as_keda_does() -> None:
    pool = by_hpa(min=0, metrics=(LAG,), fallback=Fallback(failure_threshold=1, replicas=2))
    cluster = Cluster(pool, 0)
    assert [cluster.tick(0, lag=SILENT).next for _ in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("rule", list(Rule))
def test_a_formula_replaces_the_metrics_it_names(rule: Rule) -> None:
    pool = by_hpa(
        rule=rule,
        metrics=(LAG,),
        modifiers=Modifiers(formula="lag + cost * 2", target_milli=10_000),
    )
    decision = Cluster(pool, 1).tick(0, lag=series(30), cost=series(10))
    assert decision.recommendation == 5
    assert reason(decision, Code.METRIC)["metric"] == "composite-metric"


def test_a_formula_has_its_own_activation() -> None:
    modifiers = Modifiers(formula="queue", target_milli=5_000, activation_milli=8_000)
    assert Cluster(by_hpa(min=0, modifiers=modifiers), 0).tick(8).next == 0
    assert Cluster(by_hpa(min=0, modifiers=modifiers), 0).tick(9).next == 1


@pytest.mark.parametrize("formula", ["lag / (lag - lag)", "lag +", "lag + missing", "'x'"])
def test_a_formula_without_a_number_holds(formula: str) -> None:
    modifiers = Modifiers(formula=formula, target_milli=5_000)
    decision = Cluster(by_hpa(modifiers=modifiers), 6).tick(0, lag=series(5))
    assert (decision.recommendation, decision.gate) == (6, Gate.BLIND)
    assert Code.METRIC_UNKNOWN in codes(decision)


def test_a_fallback_is_the_value_of_the_whole_formula() -> None:
    pool = by_hpa(
        modifiers=Modifiers(formula="lag * 100", target_milli=5_000),
        fallback=Fallback(failure_threshold=0, replicas=7),
    )
    assert Cluster(pool, 2).tick(0, lag=SILENT).next == 7


def test_a_formula_without_its_input_names_the_input() -> None:
    modifiers = Modifiers(formula="lag * 2", target_milli=5_000)
    decision = Cluster(by_hpa(modifiers=modifiers), 6).tick(0, lag=SILENT)
    assert reason(decision, Code.METRIC_UNKNOWN)["metric"] == "lag"
    assert reason(decision, Code.HELD_UNMEASURED)["why"] == "timed_out"


def test_a_fallback_beside_a_formula_goes_by_the_metrics_own_target() -> None:
    pool = by_hpa(
        metrics=(LAG,),
        modifiers=Modifiers(formula="queue", target_milli=1_000),
        fallback=Fallback(failure_threshold=0, replicas=7),
    )
    assert Cluster(pool, 2).tick(1, lag=SILENT).next == 7


def test_a_formula_may_give_a_default_for_a_silent_signal() -> None:
    fallback = Fallback(
        failure_threshold=0, replicas=1, behavior=FallbackBehavior.SCALING_MODIFIERS
    )
    modifiers = Modifiers(formula="(lag ?? 20) + queue", target_milli=5_000)
    decision = Cluster(by_hpa(modifiers=modifiers, fallback=fallback), 2).tick(10, lag=SILENT)
    assert decision.next == 6


def serving(name: str) -> MeasuredPod:
    return MeasuredPod(
        name=name,
        phase=StatusPhase.RUNNING,
        started_at=START - 900,
        readiness=PodReadiness(status=ConditionStatus.TRUE, since=START - 800),
        containers=(ContainerRequest(name="agent", requests_milli={"memory": 1000}),),
    )


def usage(*used: int) -> Fresh[MetricValue]:
    items = tuple(
        PodUsage(pod=str(number), containers={"agent": one}, at=START, window_s=30.0)
        for number, one in enumerate(used)
    )
    return Fresh(value=PodUsages(items=items), at=START)


def test_memory_beside_rule_native_is_a_safety_metric() -> None:
    pool = by_hpa(rule=Rule.NATIVE, metrics=(MEMORY,))
    cluster = Cluster(pool, 2)
    two = (serving("0"), serving("1"))
    decision = cluster.tick(10, measured_pods=two, memory=usage(1500, 1500))
    assert (decision.demand, decision.next) == (4, 4)
    assert reason(decision, Code.METRIC)["per"] == "% of requests"
    busy = Cluster(pool, 2).tick(45, measured_pods=two, memory=usage(700, 700))
    assert busy.next == 9


def test_a_broken_metric_beside_rule_native_lets_the_queue_grow_the_pool_alone() -> None:
    cluster = Cluster(by_hpa(rule=Rule.NATIVE, metrics=(MEMORY,)), 3)
    assert cluster.tick(30, memory=SILENT).next == 6
    held = cluster.tick(0, memory=SILENT)
    assert (held.next, held.gate) == (6, Gate.BLIND)
    assert reason(held, Code.HELD_UNMEASURED)["metric"] == "memory"


def test_metrics_grow_a_native_pool_whose_queue_is_silent() -> None:
    cluster = Cluster(by_hpa(rule=Rule.NATIVE, metrics=(LAG,)), 2)
    assert cluster.tick(None, lag=series(40)).next == 8
    held = cluster.tick(None, lag=series(5))
    assert (held.next, held.gate) == (8, Gate.BLIND)
    assert Code.HELD_BLIND in codes(held)


def test_a_size_out_of_bounds_is_corrected_at_once() -> None:
    slow = behavior(up=(pods(1, 60),), down=(pods(1, 60),))
    decision = Cluster(by_hpa(min=4, behavior=slow), 1).tick(0)
    assert (decision.recommendation, decision.next) == (4, 4)
    above = Cluster(by_hpa(max=4, behavior=slow), 9).tick(0)
    assert above.recommendation == 4


def test_min_is_named_where_it_decides() -> None:
    cluster = Cluster(by_hpa(min=2), 3)
    cluster.tick(15)
    assert cluster.tick(0).bound is Bound.MIN


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (LAG, "lag"),
        (replace(LAG, selector="team=globex"), "lag{team=globex}"),
        (
            ObjectMetric(name="hits", target=LAG.target, kind="Ingress", object_name="m"),
            "Ingress/m/hits",
        ),
        (MEMORY, "memory"),
    ],
)
def test_the_name_of_a_reading(spec: MetricSpec, name: str) -> None:
    assert reading_name(spec) == name


policies = st.builds(pods, st.integers(1, 20), st.integers(1, 120)) | st.builds(
    percent, st.integers(1, 200), st.integers(1, 120)
)
behaviors = st.builds(
    behavior,
    up_window_s=st.integers(0, 120),
    down_window_s=st.integers(0, 120),
    up=st.lists(policies, max_size=2).map(tuple),
    down=st.lists(policies, max_size=2).map(tuple),
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
    pool = by_hpa(behavior=hpa_defaults() if without else rules, without_behavior=without)
    cluster = Cluster(pool, replicas)
    spec_behavior = None if without else rules
    remembered = HpaMemory()
    for messages, after_s in history:
        size, now = cluster.replicas, cluster.now
        reading: Fresh[MetricValue] = Fresh(value=Series(values_milli=(1000 * messages,)), at=now)
        metric = MeasuredMetric(
            spec=ExternalMetric(name="queue", target=AverageValueTarget(milli=5000)),
            reading=reading,
        )
        spec = Spec(min=1, max=20, metrics=(metric,), behavior=spec_behavior)
        expected = reconcile(
            spec, Scale(replicas=size, status_replicas=size), remembered, Settings(), now
        )
        decision = cluster.tick(messages, after_s=after_s)
        assert decision.recommendation == expected.desired
        # a gate may hold what the HPA would take: then nothing was written
        followed = decision.next == expected.desired
        remembered = settle(expected, spec, now, written=followed).memory


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
    cluster = Cluster(pool, replicas)
    decision = cluster.tick(3, measured_pods=(serving("0"),), metrics=readings)
    assert decision.next is not None
    assert 0 <= decision.next <= pool.max


def test_a_formula_by_value_is_a_ratio_of_the_whole() -> None:
    """KEDA: scalingModifiers.metricType Value makes the composite metric one of type Value."""
    two = (serving("0"), serving("1"))
    by_value = Modifiers(formula="queue", target_milli=10_000, metric_type=TargetType.VALUE)
    decision = Cluster(by_hpa(modifiers=by_value), 2).tick(30, measured_pods=two)
    assert decision.recommendation == 6
    assert reason(decision, Code.METRIC)["target"] == 10.0
    by_average = Modifiers(formula="queue", target_milli=10_000)
    assert Cluster(by_hpa(modifiers=by_average), 2).tick(30, measured_pods=two).recommendation == 3


def test_a_fallback_of_a_formula_by_value_is_spread_over_the_ready_pods() -> None:
    """KEDA, fallback.go: target x replicas / ready pods; the ratio makes replicas of it again."""
    pool = by_hpa(
        modifiers=Modifiers(formula="lag", target_milli=6_000, metric_type=TargetType.VALUE),
        fallback=Fallback(failure_threshold=0, replicas=4),
    )
    two = (serving("0"), serving("1"))
    assert Cluster(pool, 2).tick(0, measured_pods=two, lag=SILENT).recommendation == 4
    assert Cluster(pool, 2).tick(0, lag=SILENT).recommendation == 2


@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize(
    "metric", [LAG, ExternalMetric(name="lag", target=ValueTarget(milli=30_000)), MEMORY]
)
def test_a_metric_that_nobody_reads_lets_a_pool_grow_but_never_shrink(
    rule: Rule, metric: MetricSpec
) -> None:
    queue = ExternalMetric(name="queue", target=AverageValueTarget(milli=5000))
    cluster = Cluster(by_hpa(rule=rule, metrics=(queue, metric)), 4)
    assert cluster.tick(40).next == 8
    held = cluster.tick(0)
    assert (held.next, held.gate) == (8, Gate.BLIND)
    assert reason(held, Code.METRIC_UNKNOWN)["metric"] == reading_name(metric)
    assert cluster.tick(0, after_s=3600.0).next == 8
    assert cluster.tick(0).next == 8
