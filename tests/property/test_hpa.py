"""The HPA's arithmetic under any metrics: bounds hold, more work never means fewer replicas, and a
broken metric never shrinks anything.
"""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Decision
from controller.model.fleet import (
    AverageValueTarget,
    Behavior,
    ExternalMetric,
    Fleet,
    MetricSpec,
    ObjectMetric,
    PodsMetric,
    PolicyType,
    Pool,
    ResourceMetric,
    Rule,
    ScalingPolicy,
    ScalingRules,
    SelectPolicy,
    UtilizationTarget,
    ValueTarget,
)
from controller.model.intents import Intents
from controller.model.memory import Memory, PoolMemory, RecommendationRun, ScaleChange
from controller.model.observation import (
    ConditionStatus,
    ContainerRequest,
    MeasuredPod,
    MetricValue,
    Observation,
    PodReadiness,
    Pods,
    PodUsage,
    PodUsages,
    PoolObservation,
    Series,
    StatusPhase,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.notation.formula import FormulaError, compute, read_formula
from property.fleets import BY_DEFAULT, member
from property.worlds import as_bytes
from support.planning import plan, seen_pool

NOW = 100_000.0
LONG_AGO = 1_000.0
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


class Measured(NamedTuple):
    """A metric, the name of its reading, and what was read."""

    spec: MetricSpec
    name: str
    reading: Reading[MetricValue]


@st.composite
def metrics(draw: st.DrawFn) -> Measured:
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
    reading: Reading[MetricValue] = draw(
        st.one_of(
            values.map(lambda found: Fresh(value=Series(values_milli=tuple(found)), at=NOW)),
            usages.map(lambda found: Fresh(value=PodUsages(items=tuple(found)), at=NOW)),
            st.just(Absent(why=Why.TIMED_OUT)),
        )
    )
    named: list[tuple[MetricSpec, str]] = [
        (external, "q"),
        (resource, "cpu"),
        (ObjectMetric(name="o", target=ValueTarget(milli=milli)), "o"),
        (PodsMetric(name="p", target=AverageValueTarget(milli=milli)), "p"),
    ]
    spec, name = draw(st.sampled_from(named))
    return Measured(spec, name, reading)


class Pass(NamedTuple):
    """One plan of a pool of rule hpa."""

    pool: Pool
    seen: PoolObservation
    memory: PoolMemory

    def decision(self) -> Decision:
        key = self.pool.key
        memory = Memory(pools={key: self.memory}, planned_at=NOW - 15.0)
        observation = Observation(pools={key: self.seen})
        decided, _ = plan(observation, Fleet(pools=(self.pool,)), Intents(), memory, NOW)
        return decided.decisions[key]


@st.composite
def passes(draw: st.DrawFn) -> Pass:
    low = draw(st.integers(0, 20))
    behavior = draw(behaviors)
    found = draw(st.lists(metrics(), max_size=3, unique_by=lambda one: one.name))
    fields = {
        "rule": Rule.HPA,
        "min": low,
        "max": draw(st.integers(max(low, 1), 60)),
        "behavior": behavior or BY_DEFAULT,
        "without_behavior": behavior is None,
        "metrics": tuple(one.spec for one in found),
    }
    size = draw(SIZES)
    seen = seen_pool(
        draw(st.integers(0, 9)),
        Workload(replicas=size, current=draw(SIZES)),
        at=NOW,
        pods=Pods(),
        metrics={one.name: one.reading for one in found},
        measured_pods=draw(targets()),
    )
    ages = sorted(draw(st.lists(AGES, max_size=4)), reverse=True)
    history = tuple(
        RecommendationRun(replicas=draw(SIZES), first_at=NOW - age, last_at=NOW - age)
        for age in ages
    )
    events = st.lists(
        st.builds(ScaleChange, change=st.integers(1, 20), at=AGES.map(lambda age: NOW - age)),
        max_size=3,
    ).map(tuple)
    memory = PoolMemory(
        since=LONG_AGO,
        last_active_at=draw(st.sampled_from([None, LONG_AGO, NOW - 1.0])),
        recommendations=draw(st.sampled_from([(), history])),
        scaled_up=draw(events),
        scaled_down=draw(events),
    )
    return Pass(member("acme", "research", [fields]), seen, memory)


@given(passes())
def test_a_pass_sets_only_sizes_within_the_bounds(one: Pass) -> None:
    """Zero is the size of an idle pool."""
    decision = one.decision()
    assert decision.next is not None
    if decision.changes:
        assert one.pool.min <= decision.next <= one.pool.max


@given(passes())
def test_a_pass_is_a_function_of_what_it_is_given(one: Pass) -> None:
    assert as_bytes(one.decision()) == as_bytes(one.decision())


@given(passes())
def test_a_broken_metric_never_shrinks_a_size_within_its_bounds(one: Pass) -> None:
    broken = ExternalMetric(name="x", target=ValueTarget(milli=1))
    metrics = {**one.seen.metrics, "x": Absent(why=Why.TIMED_OUT)}
    pool = replace(one.pool, metrics=(*one.pool.metrics, broken))
    decision = Pass(pool, replace(one.seen, metrics=metrics), one.memory).decision()
    assert decision.next is not None
    assert decision.current is not None
    assert decision.next >= min(decision.current, pool.max)


pod_values = st.dictionaries(st.integers(0, 8).map(str), st.integers(0, 10**6), max_size=9)


def asked(
    pods: tuple[MeasuredPod, ...],
    values: dict[str, int],
    target: UtilizationTarget | AverageValueTarget,
    current: int,
) -> int | None:
    """What a metric of the pods' CPU asks for in a plan; None where it cannot be used."""
    fields = {
        "rule": Rule.HPA,
        "max": 1000,
        "metrics": (ResourceMetric(resource="cpu", target=target),),
    }
    usages = (
        PodUsage(pod=pod, containers={"main": value}, at=NOW, window_s=60.0)
        for pod, value in values.items()
    )
    seen = seen_pool(
        0,
        Workload(replicas=current, current=current),
        at=NOW,
        pods=Pods(),
        metrics={"cpu": Fresh(value=PodUsages(items=tuple(usages)), at=NOW)},
        measured_pods=pods,
    )
    pool = member("acme", "research", [fields])
    return Pass(pool, seen, PoolMemory(since=LONG_AGO)).decision().demand


@given(
    targets(),
    pod_values,
    st.integers(1, 300),
    st.integers(1, 20),
)
def test_the_sample_of_an_unknown_pod_changes_nothing(
    pods: tuple[MeasuredPod, ...], values: dict[str, int], target_percent: int, current: int
) -> None:
    known = {pod: values[pod] for pod in values if pod in {each.name for each in pods}}
    for target in (UtilizationTarget(percent=target_percent), AverageValueTarget(milli=400)):
        assert asked(pods, values, target, current) == asked(pods, known, target, current)


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
        named = {str(number): value for number, value in enumerate(values)}
        target = UtilizationTarget(percent=target_percent)
        return asked(pods, named, target, len(pods)) or 0

    busier = list(uses)
    busier[which % len(uses)] += more
    assert wanted(uses) <= wanted(busier)


@given(st.text(alphabet="ab12 .+-*/%^<>=!&|?:()[]{},#nilmaxsumcount", max_size=60))
def test_any_text_is_a_number_or_a_mistake_with_a_place(text: str) -> None:
    position = 0
    try:
        compute(read_formula(text, ["a", "b"]), {"a": 1.5, "b": None})
    except FormulaError as error:
        position = error.position
    assert 0 <= position <= len(text)
