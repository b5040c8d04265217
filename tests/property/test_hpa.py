"""The HPA's arithmetic of pods' metrics: samples of unknown pods do not count, and more use never
means fewer replicas; and the formulas of composite metrics.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.model.fleet import (
    AverageValueTarget,
    Fleet,
    ResourceMetric,
    Rule,
    UtilizationTarget,
)
from controller.model.intents import Intents
from controller.model.memory import Memory, PoolMemory
from controller.model.observation import (
    ConditionStatus,
    ContainerRequest,
    MeasuredPod,
    Observation,
    PodReadiness,
    Pods,
    PodUsage,
    PodUsages,
    StatusPhase,
    Workload,
)
from controller.model.readings import Fresh
from controller.notation.formula import FormulaError, compute, read_formula
from property.fleets import member
from support.planning import plan, seen_pool

NOW = 100_000.0
LONG_AGO = 1_000.0
SIZES = st.integers(0, 60)
AGES = st.floats(0, 900)

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
    memory = Memory(pools={pool.key: PoolMemory(since=LONG_AGO)}, planned_at=NOW - 15.0)
    observation = Observation(pools={pool.key: seen})
    decided, _ = plan(observation, Fleet(pools=(pool,)), Intents(), memory, NOW)
    return decided.decisions[pool.key].demand


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
        compute(read_formula(text), {"a": 1.5, "b": None})
    except FormulaError as error:
        position = error.position
    assert 0 <= position <= len(text)
