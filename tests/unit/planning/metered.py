"""One pool with metrics over time: every decision takes effect."""

from __future__ import annotations

from typing import Final

from controller.model.decision import Code, Decision, Number
from controller.model.fleet import (
    AverageValueTarget,
    ExternalMetric,
    Pool,
    ResourceMetric,
    Rule,
    UtilizationTarget,
)
from controller.model.observation import (
    ConditionStatus,
    ContainerRequest,
    MeasuredPod,
    MetricValue,
    PodReadiness,
    PodUsage,
    PodUsages,
    StatusPhase,
)
from controller.model.readings import Fresh
from unit.planning.story import START, behavior, make_pool

AT_ONCE: Final = behavior(down_window_s=0)
LAG: Final = ExternalMetric(name="lag", target=AverageValueTarget(milli=5000))
MEMORY: Final = ResourceMetric(resource="memory", target=UtilizationTarget(percent=75))


def by_hpa(**fields: object) -> Pool:
    given: dict[str, object] = {"rule": Rule.HPA, "target": 5, "min": 1, "behavior": AT_ONCE}
    return make_pool("research", **{**given, **fields})


def serving(
    name: str, resource: str = "memory", containers: tuple[str, ...] = ("agent",)
) -> MeasuredPod:
    """A pod that is Ready for long; each of its containers requests one unit."""
    return MeasuredPod(
        name=name,
        phase=StatusPhase.RUNNING,
        started_at=START - 900,
        readiness=PodReadiness(status=ConditionStatus.TRUE, since=START - 800),
        containers=tuple(
            ContainerRequest(name=one, requests_milli={resource: 1000}) for one in containers
        ),
    )


def usage(*used: int) -> Fresh[MetricValue]:
    """What each pod uses, in thousandths."""
    items = tuple(
        PodUsage(pod=str(number), containers={"agent": one}, at=START, window_s=30.0)
        for number, one in enumerate(used)
    )
    return Fresh(value=PodUsages(items=items), at=START)


def numbers_of(decision: Decision, code: Code) -> dict[str, Number]:
    """The numbers of the first reason with this code."""
    return next(one.numbers for one in decision.reasons if one.code is code)
