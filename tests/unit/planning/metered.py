"""One pool with metrics over time: every decision takes effect."""

from __future__ import annotations

from typing import Final

from controller.model.decision import Code, Decision, Number
from controller.model.fleet import (
    AverageValueTarget,
    ExternalMetric,
    Fleet,
    Pool,
    ResourceMetric,
    Rule,
    UtilizationTarget,
)
from controller.model.intents import Intents
from controller.model.memory import Memory
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
    QueueDepth,
    Series,
    StatusPhase,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.planning.compile import compile_fleet
from controller.planning.planner import plan
from unit.planning.story import START, KeepingPlanner, behavior, make_pool

AT_ONCE: Final = behavior(down_window_s=0)
LAG: Final = ExternalMetric(name="lag", target=AverageValueTarget(milli=5000))
MEMORY: Final = ResourceMetric(resource="memory", target=UtilizationTarget(percent=75))
SILENT: Final = Absent(why=Why.TIMED_OUT, at=START - 60)


def series(*values: float) -> Fresh[MetricValue]:
    return Fresh(value=Series(values_milli=tuple(int(1000 * one) for one in values)), at=START)


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


class Metered:
    """A pool whose metrics the test sets, tick by tick."""

    def __init__(self, pool: Pool, replicas: int = 0) -> None:
        self.pool, self.replicas = pool, replicas
        self.now = START
        self.memory = Memory()
        self._terms = compile_fleet(Fleet(pools=(pool,)))
        self._keeping = KeepingPlanner()

    def tick(
        self,
        messages: int | None = 0,
        *,
        after_s: float = 1.0,
        measured_pods: tuple[MeasuredPod, ...] = (),
        annotations: dict[str, str] | None = None,
        metrics: dict[str, Reading[MetricValue]] | None = None,
        **named: Reading[MetricValue],
    ) -> Decision:
        """One plan; the queue is unknown where `messages` is None."""
        queue: Reading[QueueDepth] = (
            SILENT
            if messages is None
            else Fresh(value=QueueDepth(pending=messages, in_flight=0), at=self.now)
        )
        workload = Workload(
            replicas=self.replicas, current=self.replicas, annotations=annotations or {}
        )
        seen = PoolObservation(
            queue=queue,
            workload=Fresh(value=workload, at=self.now),
            pods=Fresh(value=Pods(ready=self.replicas), at=self.now),
            metrics=metrics or named,
            measured_pods=measured_pods,
        )
        observation, before = Observation(pools={self.pool.key: seen}), self.memory
        planned = plan(observation, self._terms, Intents(), before, self.now)
        result, self.memory = planned.plan, planned.memory
        kept = self._keeping.plan(observation, self._terms, Intents(), before, self.now)
        assert kept == (result.decisions, self.memory), "a planner that keeps decides otherwise"
        decision = result.decisions[self.pool.key]
        if decision.next is not None:
            self.replicas = decision.next
        self.now += after_s
        return decision
