"""One pass of an HPA: which metric decides, what stops it, what it says and what it remembers."""

from __future__ import annotations

import pytest
from controller.planning.hpa import (
    Action,
    HpaMemory,
    Pass,
    Scale,
    Selector,
    Settings,
    Spec,
    reconcile,
    settle,
)
from msgspec.structs import replace

from controller.model.fleet import (
    Behavior,
    PolicyType,
    ScalingPolicy,
    ScalingRules,
    SelectPolicy,
)
from controller.model.memory import RecommendationRun, ScaleChange
from controller.model.metrics import (
    AverageValueTarget,
    ConditionStatus,
    ContainerRequest,
    ContainerResourceMetric,
    ExternalMetric,
    Figure,
    MeasuredMetric,
    MeasuredPod,
    MetricSpec,
    MetricValue,
    ObjectMetric,
    PodFigure,
    PodFigures,
    PodReadiness,
    PodsMetric,
    PodUsage,
    PodUsages,
    ResourceMetric,
    Series,
    StatusPhase,
    UnknownMetric,
    UtilizationTarget,
    ValueTarget,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.planning.demand.metrics.external import Fault
from controller.planning.recommend.behavior import hpa_defaults

NOW = 100_000.0
NONE: tuple[RecommendationRun, ...] = ()
FRESH_MEMORY = HpaMemory(recommendations=NONE)


def pods(count: int) -> tuple[MeasuredPod, ...]:
    ready = PodReadiness(status=ConditionStatus.TRUE, since=0)
    main = ContainerRequest(name="main", requests_milli={"cpu": 1000, "memory": 1000})
    return tuple(
        MeasuredPod(
            name=str(number),
            phase=StatusPhase.RUNNING,
            started_at=0,
            readiness=ready,
            containers=(main,),
        )
        for number in range(count)
    )


def scale(
    replicas: int, *, status: int | None = None, selector: Selector = Selector.VALID
) -> Scale:
    status = replicas if status is None else status
    return Scale(replicas=replicas, status_replicas=status, pods=pods(replicas), selector=selector)


def external(wanted: int) -> MeasuredMetric:
    """A metric that asks for this many replicas."""
    target = AverageValueTarget(milli=1000)
    return measured(
        ExternalMetric(name="queue", target=target), Series(values_milli=(wanted * 1000,))
    )


def measured(spec: MetricSpec, value: MetricValue) -> MeasuredMetric:
    return MeasuredMetric(spec=spec, reading=Fresh(value=value, at=NOW))


def broken(spec: MetricSpec, reading: Reading[MetricValue] | None = None) -> MeasuredMetric:
    return MeasuredMetric(spec=spec, reading=reading or Absent(why=Why.TIMED_OUT))


BROKEN_EXTERNAL = broken(ExternalMetric(name="q", target=ValueTarget(milli=1)))
BROKEN_PODS = broken(PodsMetric(name="q", target=AverageValueTarget(milli=1)))


def spec(
    *metrics: MeasuredMetric, low: int = 1, high: int = 100, behavior: Behavior | None = None
) -> Spec:
    return Spec(min=low, max=high, metrics=metrics, behavior=behavior)


def run(
    given: Spec,
    target: Scale | None,
    memory: HpaMemory = FRESH_MEMORY,
    settings: Settings | None = None,
) -> Pass:
    return reconcile(given, target, memory, settings or Settings(), NOW)


def said(done: Pass) -> list[str]:
    return [f"{one.type.value}={one.holds} {one.reason}" for one in done.conditions]


def behavior(
    *,
    up: tuple[ScalingPolicy, ...] = (),
    down: tuple[ScalingPolicy, ...] = (),
    up_s: int = 0,
    down_s: int = 0,
    select: SelectPolicy = SelectPolicy.MAX,
) -> Behavior:
    return Behavior(
        scale_up=ScalingRules(stabilization_window_s=up_s, policies=up, select_policy=select),
        scale_down=ScalingRules(stabilization_window_s=down_s, policies=down, select_policy=select),
    )


def policy(kind: PolicyType, value: int, period_s: int = 60) -> ScalingPolicy:
    return ScalingPolicy(type=kind, value=value, period_s=period_s)


def remembered(*recommendations: tuple[int, float]) -> HpaMemory:
    return HpaMemory(
        recommendations=tuple(
            RecommendationRun(replicas=size, first_at=NOW - age_s, last_at=NOW - age_s)
            for size, age_s in recommendations
        )
    )


def test_an_unreadable_target_is_left_as_it_is() -> None:
    done = run(spec(external(9)), None)
    assert said(done) == ["AbleToScale=False FailedGetScale"]
    assert done.desired is None
    assert done.failed
    assert not done.writes


def test_zero_with_a_minimum_means_switched_off() -> None:
    done = run(spec(external(9)), scale(0), HpaMemory())
    assert said(done) == [
        "AbleToScale=True SucceededGetScale",
        "ScalingActive=False ScalingDisabled",
    ]
    assert (done.desired, done.writes, done.failed) == (0, False, False)


def test_zero_without_a_minimum_is_woken_by_its_metrics() -> None:
    assert run(spec(external(3), low=0), scale(0)).desired == 3
    value = ObjectMetric(name="qps", target=ValueTarget(milli=1000))
    assert run(spec(measured(value, Figure(value_milli=1050)), low=0), scale(0)).desired == 2


@pytest.mark.parametrize(
    ("replicas", "desired", "why"),
    [
        (12, 10, "Current number of replicas above Spec.MaxReplicas"),
        (1, 2, "Current number of replicas below Spec.MinReplicas"),
    ],
)
def test_a_size_out_of_bounds_is_corrected_at_once_and_nothing_else_is_said(
    replicas: int, desired: int, why: str
) -> None:
    frozen = behavior(select=SelectPolicy.DISABLED)
    given = spec(BROKEN_EXTERNAL, low=2, high=10, behavior=frozen)
    done = run(given, scale(replicas), remembered((50, 10)))
    assert (done.desired, done.why, done.failed) == (desired, why, False)
    assert said(done) == ["AbleToScale=True SucceededGetScale"]


def test_the_largest_proposal_wins() -> None:
    done = run(spec(external(3), external(7), external(5)), scale(4))
    assert done.desired == 7
    assert done.why == "external metric queue(nil) above target"


def test_a_broken_metric_does_not_stop_growth_but_is_reported() -> None:
    done = run(spec(BROKEN_EXTERNAL, external(7)), scale(4))
    assert done.desired == 7
    assert said(done)[1] == "ScalingActive=True ValidMetricFound"
    assert (done.failed, done.fault) == (True, Fault.UNREADABLE)


def test_a_broken_metric_lets_the_size_stay_where_the_others_want_it() -> None:
    done = run(spec(BROKEN_EXTERNAL, external(4)), scale(4))
    assert said(done)[1] == "ScalingActive=True ValidMetricFound"


def test_a_broken_metric_stops_shrinking_with_the_reason_of_the_first() -> None:
    done = run(spec(BROKEN_PODS, BROKEN_EXTERNAL, external(3)), scale(4))
    assert done.desired == 4
    assert said(done) == [
        "AbleToScale=True SucceededGetScale",
        "ScalingActive=False FailedGetPodsMetric",
    ]


CPU_TARGET = UtilizationTarget(percent=50)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (ExternalMetric(name="q", target=ValueTarget(milli=1)), "FailedGetExternalMetric"),
        (ObjectMetric(name="q", target=ValueTarget(milli=1)), "FailedGetObjectMetric"),
        (PodsMetric(name="q", target=AverageValueTarget(milli=1)), "FailedGetPodsMetric"),
        (ResourceMetric(resource="cpu", target=CPU_TARGET), "FailedGetResourceMetric"),
        (
            ContainerResourceMetric(resource="cpu", container="main", target=CPU_TARGET),
            "FailedGetContainerResourceMetric",
        ),
        (UnknownMetric(source="CheddarCheese"), "InvalidMetricSourceType"),
    ],
)
def test_without_a_valid_metric_nothing_is_done(one: MetricSpec, reason: str) -> None:
    for metric in (broken(one), measured(one, Series(values_milli=()))):
        done = run(spec(metric), scale(4))
        assert (done.desired, done.failed) == (4, True)
        assert said(done)[1] == f"ScalingActive=False {reason}"


def test_an_old_value_is_no_value() -> None:
    old = Stale(value=Series(values_milli=(1000,)), at=NOW - 600)
    metric = broken(ExternalMetric(name="q", target=AverageValueTarget(milli=1000)), old)
    assert run(spec(metric), scale(4)).desired == 4


def test_a_value_needs_pods_to_share_it_unless_it_changes_nothing() -> None:
    alone = Scale(replicas=4, status_replicas=4)
    metric = ExternalMetric(name="q", target=ValueTarget(milli=1000))
    outside = run(spec(measured(metric, Series(values_milli=(2000,)))), alone)
    assert (outside.desired, outside.fault) == (4, Fault.NO_PODS)
    inside = run(spec(measured(metric, Series(values_milli=(1000,)))), alone)
    assert (inside.desired, inside.failed) == (4, False)


def test_an_hpa_without_any_metric_does_nothing() -> None:
    done = run(spec(), scale(4))
    assert (done.desired, done.failed) == (4, True)


@pytest.mark.parametrize(
    ("selector", "reason"),
    [
        (Selector.MISSING, "InvalidSelector"),
        (Selector.UNPARSABLE, "InvalidSelector"),
        (Selector.AMBIGUOUS, "AmbiguousSelector"),
    ],
)
def test_without_a_clear_selector_no_metric_is_asked(selector: Selector, reason: str) -> None:
    done = run(spec(external(9)), scale(3, selector=selector))
    assert (done.desired, done.failed) == (3, True)
    assert said(done)[1] == f"ScalingActive=False {reason}"


def test_every_kind_of_metric_proposes() -> None:
    figures = PodFigures(
        items=tuple(
            PodFigure(pod=str(pod), value_milli=2000, at=NOW, window_s=60) for pod in range(4)
        )
    )
    usages = PodUsages(
        items=tuple(
            PodUsage(pod=str(pod), containers={"main": 1000}, at=NOW, window_s=60)
            for pod in range(4)
        )
    )
    value, average = ValueTarget(milli=1000), AverageValueTarget(milli=500)
    kinds: list[tuple[MetricSpec, MetricValue, str]] = [
        (
            ExternalMetric(name="q", target=value),
            Series(values_milli=(500, 1500)),
            "external metric q(nil)",
        ),
        (
            ObjectMetric(name="q", target=value, kind="Queue"),
            Figure(value_milli=2000),
            "Queue metric q",
        ),
        (
            ObjectMetric(name="q", target=average),
            Figure(value_milli=4000),
            "external metric q(nil)",
        ),
        (PodsMetric(name="q", target=AverageValueTarget(milli=1000)), figures, "pods metric q"),
        (
            ResourceMetric(resource="memory", target=CPU_TARGET),
            usages,
            "memory resource utilization (percentage of request)",
        ),
        (ResourceMetric(resource="cpu", target=average), usages, "cpu resource"),
        (
            ContainerResourceMetric(resource="cpu", container="main", target=average),
            usages,
            "cpu resource",
        ),
    ]
    for one, read, name in kinds:
        done = run(spec(measured(one, read)), scale(4))
        assert (done.desired, done.why) == (8, f"{name} above target"), one


def test_an_average_inside_the_tolerance_copies_the_status_into_the_spec() -> None:
    assert run(spec(external(5)), scale(4, status=5)).desired == 5


def test_a_fresh_hpa_takes_nothing_away_for_a_window() -> None:
    done = run(spec(external(2)), scale(5), HpaMemory())
    assert done.desired == 5
    assert said(done)[0] == "AbleToScale=True ScaleDownStabilized"
    assert done.memory.recommendations is not None
    assert [one.replicas for one in done.memory.recommendations] == [5, 2]
    later = reconcile(spec(external(2)), scale(5), done.memory, Settings(), NOW + 300.5)
    assert later.desired == 2


def test_the_raw_recommendation_is_remembered_not_the_result() -> None:
    done = run(spec(external(50), high=10), scale(5))
    assert done.memory.recommendations is not None
    assert done.memory.recommendations[-1].replicas == 50


def test_without_behavior_a_recent_peak_may_even_raise_the_size() -> None:
    done = run(spec(external(3)), scale(3), remembered((6, 100)))
    assert (done.desired, done.why) == (6, "")
    assert said(done)[0] == "AbleToScale=True ScaleDownStabilized"


@pytest.mark.parametrize(
    ("wanted", "low", "high", "desired", "limited"),
    [
        (9, 1, 100, 8, "ScalingLimited=True ScaleUpLimit"),
        (9, 1, 7, 7, "ScalingLimited=True TooManyReplicas"),
        (1, 2, 100, 2, "ScalingLimited=True TooFewReplicas"),
        (6, 1, 100, 6, "ScalingLimited=False DesiredWithinRange"),
    ],
)
def test_without_behavior_a_size_at_most_doubles_within_its_bounds(
    wanted: int, low: int, high: int, desired: int, limited: str
) -> None:
    done = run(spec(external(wanted), low=low, high=high), scale(4))
    assert done.desired == desired
    assert said(done)[2] == limited


def test_with_behavior_the_windows_pull_the_size_into_their_range_before_the_rates() -> None:
    rules = behavior(up=(policy(PolicyType.PODS, 2),), up_s=60, down_s=60)
    given = spec(external(20), behavior=rules)
    done = run(given, scale(5), remembered((9, 30)))
    assert done.desired == 7
    assert said(done) == [
        "AbleToScale=True ScaleUpStabilized",
        "ScalingActive=True ValidMetricFound",
        "ScalingLimited=True ScaleUpLimit",
    ]


def test_with_behavior_a_peak_never_raises_the_size() -> None:
    done = run(spec(external(3), behavior=behavior(down_s=300)), scale(3), remembered((6, 100)))
    assert done.desired == 3


def test_with_behavior_a_recommendation_as_old_as_the_window_is_out() -> None:
    given = spec(external(2), behavior=behavior(down_s=300))
    assert run(given, scale(5), remembered((5, 300))).desired == 2
    assert run(given, scale(5), remembered((5, 299.9))).desired == 5
    assert said(run(given, scale(5), remembered((5, 1))))[0].endswith("ScaleDownStabilized")


def test_the_default_behavior_is_not_the_same_as_none() -> None:
    default = hpa_defaults()
    assert run(spec(external(50), behavior=default), scale(1)).desired == 5
    assert run(spec(external(50), behavior=default), scale(10)).desired == 20
    assert run(spec(external(50)), scale(1)).desired == 4
    # both hold what has been asked for within five minutes
    assert run(spec(external(1), behavior=default), scale(9), remembered((9, 299))).desired == 9
    assert run(spec(external(1), behavior=default), scale(9), remembered((9, 301))).desired == 1


def test_a_written_change_is_logged_in_its_direction_and_counts_against_the_rate() -> None:
    given = spec(external(20), behavior=behavior(up=(policy(PolicyType.PODS, 3),)))
    done = run(given, scale(5))
    outcome = settle(done, given, NOW, written=True)
    assert (outcome.desired, outcome.action) == (8, Action.SCALE_UP)
    assert outcome.memory.scaled_up == (ScaleChange(change=3, at=NOW),)
    assert outcome.event == (
        "SuccessfulRescale",
        "New size: 8; reason: external metric queue(nil) above target",
    )
    later = reconcile(given, scale(8), outcome.memory, Settings(), NOW + 59)
    assert later.desired == 8
    assert reconcile(given, scale(8), outcome.memory, Settings(), NOW + 60).desired == 11


def test_shrinking_is_logged_too() -> None:
    given = spec(external(2), behavior=behavior(down=(policy(PolicyType.PODS, 2),)))
    outcome = settle(run(given, scale(5)), given, NOW, written=True)
    assert (outcome.desired, outcome.action) == (3, Action.SCALE_DOWN)
    assert outcome.memory.scaled_down == (ScaleChange(change=2, at=NOW),)
    assert outcome.event == ("SuccessfulRescale", "New size: 3; reason: All metrics below target")


def test_without_behavior_no_change_is_logged() -> None:
    given = spec(external(8))
    outcome = settle(run(given, scale(4)), given, NOW, written=True)
    assert (outcome.memory.scaled_up, outcome.memory.scaled_down) == ((), ())


def test_a_refused_write_changes_nothing_and_says_so() -> None:
    given = spec(external(6), behavior=behavior())
    outcome = settle(run(given, scale(4)), given, NOW, written=False)
    assert (outcome.desired, outcome.action, outcome.failed) == (4, Action.NONE, True)
    assert outcome.conditions[0].reason == "FailedUpdateScale"
    assert not outcome.conditions[0].holds
    assert outcome.memory.scaled_up == ()
    assert outcome.event is not None
    assert outcome.event[0] == "FailedRescale"


def test_a_pass_without_a_change_has_no_event() -> None:
    given = spec(external(4))
    outcome = settle(run(given, scale(4)), given, NOW, written=False)
    assert (outcome.event, outcome.action, outcome.failed) == (None, Action.NONE, False)
    assert outcome.conditions[0].reason == "ReadyForNewScale"


def test_the_same_pass_again_says_the_same() -> None:
    given = spec(external(4), BROKEN_PODS)
    once = run(given, scale(4))
    again = run(given, scale(4), replace(once.memory))
    assert (once.conditions, once.desired, once.statuses) == (
        again.conditions,
        again.desired,
        again.statuses,
    )
