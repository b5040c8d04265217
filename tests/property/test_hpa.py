"""The HPA's arithmetic under any metrics: bounds hold, more work never means fewer replicas, and a
broken metric never shrinks anything.
"""

from __future__ import annotations

from controller.planning.hpa import HpaMemory, Scale, Settings, Spec, reconcile, settle
from hypothesis import given
from hypothesis import strategies as st

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
    ExternalMetric,
    MeasuredMetric,
    MeasuredPod,
    ObjectMetric,
    PodReadiness,
    PodsMetric,
    PodUsage,
    PodUsages,
    ResourceMetric,
    Series,
    StatusPhase,
    UtilizationTarget,
    ValueTarget,
)
from controller.model.readings import Absent, Fresh, Why
from controller.notation.formula_syntax import FormulaError
from controller.planning.demand.metrics.external import MetricError, Tolerance
from controller.planning.demand.metrics.formula import compile_formula
from controller.planning.demand.metrics.pods import (
    Sample,
    Startup,
    group_pods,
    pods_average_value,
    resource_utilization,
)

NOW = 100_000.0
SIZES = st.integers(0, 60)
AGES = st.floats(0, 900)

policies = st.builds(
    ScalingPolicy,
    type=st.sampled_from(PolicyType),
    value=st.integers(1, 300),
    period_s=st.integers(1, 600),
)
rules = st.builds(
    ScalingRules,
    stabilization_window_s=st.integers(0, 600),
    select_policy=st.sampled_from(SelectPolicy),
    policies=st.lists(policies, min_size=1, max_size=3).map(tuple),
)
behaviors = st.none() | st.builds(Behavior, scale_up=rules, scale_down=rules)
readinesses = st.none() | st.builds(
    PodReadiness,
    status=st.sampled_from(ConditionStatus),
    since=AGES.map(lambda age: NOW - age),
)


@st.composite
def targets(draw: st.DrawFn) -> tuple[MeasuredPod, ...]:
    return tuple(
        MeasuredPod(
            name=str(number),
            phase=draw(st.sampled_from(StatusPhase)),
            deleting=draw(st.booleans()),
            started_at=draw(st.none() | AGES.map(lambda age: NOW - age)),
            readiness=draw(readinesses),
            containers=(ContainerRequest(name="main", requests_milli={"cpu": 1000}),),
        )
        for number in range(draw(st.integers(0, 6)))
    )


@st.composite
def metrics(draw: st.DrawFn) -> MeasuredMetric:
    milli = draw(st.integers(1, 10_000))
    external = ExternalMetric(
        name="q",
        target=draw(st.sampled_from([ValueTarget(milli=milli), AverageValueTarget(milli=milli)])),
    )
    resource = ResourceMetric(
        resource="cpu",
        target=draw(
            st.sampled_from([UtilizationTarget(percent=milli), AverageValueTarget(milli=milli)])
        ),
    )
    values = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 100_000), max_size=3)
    usages = st.lists(
        st.builds(
            PodUsage,
            pod=st.integers(0, 8).map(str),
            containers=st.dictionaries(
                st.just("main"), st.none() | st.integers(0, 10**6), max_size=1
            ),
            at=AGES.map(lambda age: NOW - age),
            window_s=st.just(60.0),
        ),
        max_size=8,
        unique_by=lambda one: one.pod,
    )
    reading = draw(
        st.one_of(
            values.map(lambda found: Fresh(value=Series(values_milli=tuple(found)), at=NOW)),
            usages.map(lambda found: Fresh(value=PodUsages(items=tuple(found)), at=NOW)),
            st.just(Absent(why=Why.TIMED_OUT)),
        )
    )
    spec = draw(
        st.sampled_from(
            [
                external,
                resource,
                ObjectMetric(name="o", target=ValueTarget(milli=milli)),
                PodsMetric(name="p", target=AverageValueTarget(milli=milli)),
            ]
        )
    )
    return MeasuredMetric(spec=spec, reading=reading)


@st.composite
def passes(draw: st.DrawFn) -> tuple[Spec, Scale, HpaMemory]:
    low = draw(st.integers(0, 20))
    spec = Spec(
        min=low,
        max=draw(st.integers(max(low, 1), 60)),
        metrics=tuple(draw(st.lists(metrics(), max_size=3))),
        behavior=draw(behaviors),
    )
    scale = Scale(replicas=draw(SIZES), status_replicas=draw(SIZES), pods=draw(targets()))
    ages = sorted(draw(st.lists(AGES, max_size=4)), reverse=True)
    history = tuple(
        RecommendationRun(replicas=draw(SIZES), first_at=NOW - age, last_at=NOW - age)
        for age in ages
    )
    events = st.lists(
        st.builds(ScaleChange, change=st.integers(1, 20), at=AGES.map(lambda age: NOW - age)),
        max_size=3,
    ).map(tuple)
    memory = HpaMemory(
        recommendations=draw(st.sampled_from([None, history])),
        scaled_up=draw(events),
        scaled_down=draw(events),
    )
    return spec, scale, memory


@given(passes(), st.booleans())
def test_a_pass_writes_only_sizes_within_the_bounds(
    given_pass: tuple[Spec, Scale, HpaMemory], written: bool
) -> None:
    spec, scale, memory = given_pass
    done = reconcile(spec, scale, memory, Settings(), NOW)
    assert done.desired is not None
    if done.writes:
        assert spec.min <= done.desired <= spec.max
    settled = settle(done, spec, NOW, written=written)
    assert settled.desired == (done.desired if written else scale.replicas)


@given(passes())
def test_a_pass_is_a_function_of_what_it_is_given(
    given_pass: tuple[Spec, Scale, HpaMemory],
) -> None:
    spec, scale, memory = given_pass
    once = reconcile(spec, scale, memory, Settings(), NOW)
    assert once == reconcile(spec, scale, memory, Settings(), NOW)


@given(passes())
def test_a_broken_metric_never_shrinks_a_size_within_its_bounds(
    given_pass: tuple[Spec, Scale, HpaMemory],
) -> None:
    spec, scale, memory = given_pass
    broken = MeasuredMetric(
        spec=ExternalMetric(name="x", target=ValueTarget(milli=1)),
        reading=Absent(why=Why.TIMED_OUT),
    )
    with_it = Spec(
        min=spec.min, max=spec.max, metrics=(*spec.metrics, broken), behavior=spec.behavior
    )
    done = reconcile(with_it, scale, memory, Settings(), NOW)
    assert done.desired is not None
    assert done.desired >= min(scale.replicas, spec.max)


pod_values = st.dictionaries(st.integers(0, 8).map(str), st.integers(0, 10**6), max_size=9)


@given(targets(), pod_values, st.sampled_from(["cpu", "memory"]))
def test_every_pod_is_in_exactly_one_group(
    pods: tuple[MeasuredPod, ...], values: dict[str, int], resource: str
) -> None:
    samples = {pod: Sample(value, NOW, 60) for pod, value in values.items()}
    groups = group_pods(pods, samples, resource, Startup(), NOW)
    named = [groups.unready, groups.missing, groups.ignored]
    assert groups.ready + sum(map(len, named)) == len(pods)
    assert len(frozenset().union(*named)) == sum(map(len, named))


@given(
    targets(),
    pod_values,
    st.integers(1, 300),
    st.integers(1, 20),
)
def test_a_pod_that_nobody_knows_changes_nothing(
    pods: tuple[MeasuredPod, ...], values: dict[str, int], target_percent: int, current: int
) -> None:
    known = {pod.name for pod in pods}
    assert answer(pods, values, target_percent, current) == answer(
        pods,
        {pod: value for pod, value in values.items() if pod in known},
        target_percent,
        current,
    )


def answer(
    pods: tuple[MeasuredPod, ...], values: dict[str, int], target: int, current: int
) -> object:
    """What both kinds of resource targets propose; nothing where they cannot."""
    samples = {pod: Sample(value, NOW, 60) for pod, value in values.items()}
    try:
        used = resource_utilization(
            samples,
            target,
            current=current,
            pods=pods,
            resource="cpu",
            tolerance=Tolerance(),
            startup=Startup(),
            now=NOW,
        )
        average = pods_average_value(
            samples,
            target,
            current=current,
            pods=pods,
            tolerance=Tolerance(),
            startup=Startup(),
            now=NOW,
            resource="cpu",
        )
    except MetricError:
        return None
    return used, average


@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=6),
    st.integers(0, 5),
    st.integers(0, 3000),
    st.integers(1, 200),
    st.integers(0, 3),
)
def test_more_use_never_means_fewer_replicas(
    uses: list[int], which: int, more: int, target_percent: int, silent: int
) -> None:
    """With as many pods as the spec says; the others of them may be silent."""
    ready = PodReadiness(status=ConditionStatus.TRUE, since=0)
    main = ContainerRequest(name="main", requests_milli={"cpu": 1000})
    pods = tuple(
        MeasuredPod(
            name=str(number),
            phase=StatusPhase.RUNNING,
            started_at=0,
            readiness=ready,
            containers=(main,),
        )
        for number in range(len(uses) + silent)
    )

    def wanted(values: list[int]) -> int:
        return resource_utilization(
            {str(number): Sample(value, NOW, 60) for number, value in enumerate(values)},
            target_percent,
            current=len(pods),
            pods=pods,
            resource="cpu",
            tolerance=Tolerance(),
            startup=Startup(),
            now=NOW,
        ).replicas

    busier = list(uses)
    busier[which % len(uses)] += more
    assert wanted(uses) <= wanted(busier)


@given(st.text(alphabet="ab12 .+-*/%^<>=!&|?:()[]{},#nilmaxsumcount", max_size=60))
def test_any_text_is_a_number_or_a_mistake_with_a_place(text: str) -> None:
    position = 0
    try:
        compile_formula(text, ["a", "b"]).compute({"a": 1.5, "b": None})
    except FormulaError as error:
        position = error.position
    assert 0 <= position <= len(text)
