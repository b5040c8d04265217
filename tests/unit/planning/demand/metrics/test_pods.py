"""What metrics of pods propose: which pods count, and what is assumed of pods without a sample."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from controller.model.metrics import (
    ConditionStatus,
    ContainerRequest,
    MeasuredPod,
    PodFigures,
    PodReadiness,
    PodUsage,
    PodUsages,
    StatusPhase,
)
from controller.planning.demand.hpa_metrics import (
    MetricError,
    MetricFault,
    Proposal,
    Sample,
    figure_samples,
    group_pods,
    pod_requests,
    pod_samples,
    pods_average_value,
    resource_utilization,
    serving_pods,
)
from controller.planning.inputs import Moment, Tolerance

NOW = 100_000.0
TENTH = Tolerance()
TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


def pod(
    name: str,
    *,
    phase: StatusPhase = StatusPhase.RUNNING,
    deleting: bool = False,
    started: float | None = 0.0,
    status: ConditionStatus | None = TRUE,
    since: float = 0.0,
    request: int | None = 1000,
) -> MeasuredPod:
    return MeasuredPod(
        name=name,
        phase=phase,
        deleting=deleting,
        started_at=started,
        readiness=None if status is None else PodReadiness(status=status, since=since),
        containers=(container("main", request),),
    )


def container(name: str, cpu: int | None) -> ContainerRequest:
    return ContainerRequest(name=name, requests_milli={} if cpu is None else {"cpu": cpu})


def many(count: int) -> list[MeasuredPod]:
    return [pod(str(number)) for number in range(count)]


def samples(*values: int, at: float = NOW) -> dict[str, Sample]:
    return {str(number): Sample(value, at, 60) for number, value in enumerate(values)}


def utilization(
    pods: list[MeasuredPod],
    found: Mapping[str, Sample],
    target_percent: int = 50,
    *,
    current: int | None = None,
    tolerance: Tolerance = TENTH,
    resource: str = "cpu",
) -> Proposal:
    return resource_utilization(
        found,
        target_percent,
        current=len(pods) if current is None else current,
        pods=pods,
        resource=resource,
        tolerance=tolerance,
        moment=Moment(NOW),
    )


def average(
    pods: list[MeasuredPod],
    found: Mapping[str, Sample],
    target_milli: int = 1000,
    *,
    current: int | None = None,
    resource: str = "",
) -> Proposal:
    return pods_average_value(
        found,
        target_milli,
        current=len(pods) if current is None else current,
        pods=pods,
        tolerance=TENTH,
        moment=Moment(NOW),
        resource=resource,
    )


def group_of(one: MeasuredPod, *, resource: str = "cpu", sample_at: float | None = NOW) -> str:
    found = {} if sample_at is None else {one.name: Sample(1, sample_at, 60)}
    groups = group_pods([one], found, resource, Moment(NOW))
    named = {"unready": groups.unready, "missing": groups.missing, "ignored": groups.ignored}
    return next((name for name, pods in named.items() if pods), "ready")


@pytest.mark.parametrize(
    ("one", "group"),
    [
        (pod("a", deleting=True, phase=StatusPhase.PENDING), "ignored"),
        (pod("a", phase=StatusPhase.FAILED), "ignored"),
        (pod("a", phase=StatusPhase.PENDING), "unready"),
        (pod("a", phase=StatusPhase.SUCCEEDED), "ready"),
        (pod("a", status=None), "unready"),
        (pod("a", started=None), "unready"),
        # young: within the initialisation period of 300 s
        (pod("a", started=NOW - 299, since=NOW - 60), "ready"),
        (pod("a", started=NOW - 299, since=NOW - 59), "unready"),
        (pod("a", started=NOW - 299, status=FALSE, since=NOW - 200), "unready"),
        (pod("a", started=NOW - 299, status=UNKNOWN, since=NOW - 200), "ready"),
        # old: only a pod that has never been ready does not count
        (pod("a", started=NOW - 300, since=NOW - 1), "ready"),
        (pod("a", started=NOW - 300, status=FALSE, since=NOW - 271), "unready"),
        (pod("a", started=NOW - 300, status=FALSE, since=NOW - 270), "ready"),
        (pod("a", started=NOW - 300, status=UNKNOWN, since=NOW - 300), "ready"),
    ],
)
def test_a_pod_counts_by_its_phase_its_age_and_its_readiness(one: MeasuredPod, group: str) -> None:
    assert group_of(one) == group


def test_readiness_does_not_matter_for_memory_and_custom_metrics() -> None:
    never_ready = pod("a", started=NOW, status=FALSE, since=NOW)
    assert group_of(never_ready) == "unready"
    assert group_of(never_ready, resource="memory") == "ready"
    assert group_of(never_ready, resource="") == "ready"


def test_a_pod_without_a_sample_is_missing_unless_it_cannot_have_one() -> None:
    assert group_of(pod("a"), sample_at=None) == "missing"
    assert group_of(pod("a", phase=StatusPhase.PENDING), sample_at=None) == "unready"
    assert group_of(pod("a", phase=StatusPhase.FAILED), sample_at=None) == "ignored"


def test_utilisation_is_a_ratio_of_sums_and_truncated() -> None:
    pods = [pod("0", request=100), pod("1", request=900)]
    assert utilization(pods, samples(100, 99)) == Proposal(1, 19, 1)


def test_the_ready_pods_count_not_the_spec() -> None:
    assert utilization(many(3), samples(800, 800, 800), current=5).replicas == 5
    assert utilization(many(1), samples(1000), current=4).replicas == 2


@pytest.mark.parametrize(
    ("use", "replicas"), [(449, 3), (450, 7), (500, 7), (550, 7), (559, 7), (560, 4)]
)
def test_within_the_tolerance_both_ends_included_the_spec_stays(use: int, replicas: int) -> None:
    assert utilization(many(3), samples(use, use, use), current=7).replicas == replicas


def test_each_direction_has_its_own_tolerance() -> None:
    wide_up = Tolerance(down=0.0, up=0.5)
    assert utilization(many(2), samples(750, 750), tolerance=wide_up).replicas == 2
    assert utilization(many(2), samples(490, 490), 50, current=3, tolerance=wide_up).replicas == 2


def test_on_the_way_down_a_pod_without_a_sample_is_assumed_full() -> None:
    # 2 × 10 % and one at 100 % of its request: 40 % of a target of 50 %
    assert utilization(many(3), samples(100, 100)) == Proposal(3, 10, 3)
    # with a target above 100 % it is assumed to be at the target
    assert utilization(many(3), samples(100, 100), 300).replicas == 2


def test_on_the_way_up_a_pod_without_a_sample_is_assumed_idle() -> None:
    assert utilization(many(3), samples(900, 900)).replicas == 4
    assert utilization(many(4), samples(900, 900)).replicas == 4


def test_at_the_target_nothing_is_assumed() -> None:
    assert utilization(many(3), samples(500, 500), current=3).replicas == 3
    exact = Tolerance(down=0.0, up=0.0)
    assert utilization(many(9), samples(500, 500), current=9, tolerance=exact).replicas == 9


def test_what_is_assumed_never_reverses_the_direction() -> None:
    # 60 % over one pod; with two idle ones assumed it would be 20 %
    assert utilization(many(3), samples(600)).replicas == 3
    # 160 % over one of two asks for 4 of the 9 there are: not fewer, on the way up
    assert utilization(many(2), samples(1600), current=9).replicas == 9
    # 10 % over two of three asks for 2.4, never for more than there are
    assert utilization(many(3), samples(100, 100), current=1).replicas == 1


def test_an_unready_pod_matters_only_on_the_way_up() -> None:
    young = pod("2", started=NOW, status=FALSE, since=NOW)
    assert utilization([*many(2), young], samples(900, 900, 5000)).replicas == 4
    assert utilization([*many(2), young], samples(100, 100, 5000)).replicas == 1
    # 74 % over two asks for 3; with an idle third it is 49 %, which is as it should be
    assert utilization([*many(2), young], samples(740, 740, 0), current=2).replicas == 2


def test_samples_of_unknown_pods_never_count() -> None:
    found = samples(500, 500, 9000, 9000)
    assert utilization(many(2), found) == Proposal(2, 50, 2)
    assert average(many(2), samples(1000, 1000, 9000)) == Proposal(2, 1000, 2)
    # nor do they when pods are assumed
    assert utilization([*many(2), pod("9")], samples(900, 900, 9000)).replicas == 4


def test_a_raw_value_assumes_the_target_on_the_way_down_and_nothing_on_the_way_up() -> None:
    assert average(many(3), samples(100, 100)) == Proposal(2, 100, 2)
    assert average(many(3), samples(2000, 2000)) == Proposal(4, 2000, 4)


def test_averages_are_truncated_towards_zero() -> None:
    assert average(many(3), samples(1, 1, 0), 1).usage == 0
    assert average(many(3), samples(-1, -1, 0), 1).usage == 0
    assert average(many(2), samples(-3, 0), 1).usage == -1


def test_absurd_use_saturates() -> None:
    assert average(many(1), samples(2**62), 1).replicas == 2**31 - 1


def fault_of(*, pods: list[MeasuredPod], found: Mapping[str, Sample]) -> MetricFault:
    with pytest.raises(MetricError) as caught:
        utilization(pods, found)
    return caught.value.fault


def test_each_reason_for_no_proposal_is_named() -> None:
    assert fault_of(pods=[], found=samples(1)) is MetricFault.NO_PODS
    assert fault_of(pods=many(1), found={}) is MetricFault.NO_SAMPLES
    unready = pod("0", phase=StatusPhase.PENDING)
    assert fault_of(pods=[unready], found=samples(1)) is MetricFault.NO_SAMPLES
    assert fault_of(pods=many(1), found={"other": Sample(1, NOW, 60)}) is MetricFault.UNKNOWN_PODS
    some = [pod("0"), pod("1", request=None)]
    assert fault_of(pods=some, found=samples(1, 1)) is MetricFault.NO_REQUEST


def test_an_answer_without_pods_is_refused() -> None:
    for empty in (
        lambda: pod_samples(PodUsages(items=())),
        lambda: figure_samples(PodFigures(items=())),
    ):
        with pytest.raises(MetricError) as caught:
            empty()
        assert caught.value.fault is MetricFault.NO_SERIES


def usages(**containers: int | None) -> PodUsages:
    return PodUsages(items=(PodUsage(pod="a", containers=containers, at=NOW, window_s=60),))


def test_a_pods_use_is_that_of_all_its_containers_or_of_one() -> None:
    assert pod_samples(usages(main=1, side=2))["a"].value_milli == 3
    assert pod_samples(usages(main=1, side=2), "side")["a"].value_milli == 2


def test_a_pod_with_a_figure_missing_has_no_sample() -> None:
    assert pod_samples(usages(main=1, side=None)) == {}
    assert pod_samples(usages()) == {}
    assert pod_samples(usages(main=1, side=None), "side") == {}


def test_a_container_that_no_pod_has_is_an_error() -> None:
    with pytest.raises(MetricError) as caught:
        pod_samples(usages(main=1), "other")
    assert caught.value.fault is MetricFault.NO_CONTAINER


def test_a_pod_without_the_container_has_no_sample_where_another_pod_has_one() -> None:
    """Kubernetes PR 127193: a container that has not been measured yet is a missing sample."""
    both = PodUsages(
        items=(
            PodUsage(pod="a", containers={"main": 1, "side": 2}, at=NOW, window_s=60),
            PodUsage(pod="b", containers={"main": 3}, at=NOW, window_s=60),
        )
    )
    assert pod_samples(both, "side") == {"a": Sample(2, NOW, 60)}
    assert pod_samples(both, "main").keys() == {"a", "b"}
    # a container that is there without a figure is not missing from all pods
    assert pod_samples(usages(main=1, side=None), "side") == {}


def asking() -> MeasuredPod:
    return MeasuredPod(
        name="a",
        phase=StatusPhase.RUNNING,
        containers=(container("main", 100), container("other", 50)),
        sidecars=(container("side", 7),),
        requests_milli={"cpu": 800},
    )


def test_requests_are_the_pods_own_or_the_sum_of_its_containers_and_sidecars() -> None:
    assert pod_requests([asking()], "cpu") == {"a": 800}
    without = replace(asking(), requests_milli={})
    assert pod_requests([without], "cpu") == {"a": 157}


def test_a_named_container_counts_its_own_request() -> None:
    assert pod_requests([asking()], "cpu", "other") == {"a": 50}
    assert pod_requests([asking()], "cpu", "side") == {"a": 7}
    with pytest.raises(MetricError) as caught:
        pod_requests([asking()], "cpu", "none")
    assert caught.value.fault is MetricFault.NO_CONTAINER


def test_every_container_of_a_pod_needs_a_request() -> None:
    with pytest.raises(MetricError, match="missing request for memory in container main of Pod a"):
        pod_requests([asking()], "memory")


def test_serving_pods_are_running_and_ready_even_while_they_terminate() -> None:
    pods = [
        pod("a"),
        pod("b", deleting=True),
        pod("c", status=FALSE),
        pod("d", status=UNKNOWN),
        pod("e", status=None),
        pod("f", phase=StatusPhase.PENDING),
    ]
    assert serving_pods(pods) == 2
    assert serving_pods(pods[2:]) == 0
    assert serving_pods([]) is None


def test_needed_is_what_the_use_takes_without_any_tolerance() -> None:
    kept = utilization(many(20), samples(*[460] * 20))
    assert (kept.replicas, kept.needed) == (20, 19)
    assert average(many(20), samples(*[910] * 20))[::2] == (20, 19)
    assert utilization(many(3), samples(800, 800, 800)).needed == 5
