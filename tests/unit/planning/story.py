"""One pool in virtual time: the test says what is seen, the planner decides, the cluster obeys."""

from __future__ import annotations

from math import isfinite

from controller.model.decision import Code, Decision
from controller.model.fleet import (
    Behavior,
    Fleet,
    PolicyType,
    Pool,
    ScalingPolicy,
    ScalingRules,
    SelectPolicy,
)
from controller.model.ids import pool_key
from controller.model.intents import Intents
from controller.model.memory import Memory, PoolMemory
from controller.model.observation import Observation, Pods, PoolObservation, QueueDepth, Workload
from controller.model.readings import Absent, Fresh, Reading, Why
from support.planning import plan

START = 1_700_000_000.0


def behavior(
    *,
    up_window_s: int = 0,
    down_window_s: int = 300,
    up: tuple[ScalingPolicy, ...] = (),
    down: tuple[ScalingPolicy, ...] = (),
    select_down: SelectPolicy = SelectPolicy.MAX,
) -> Behavior:
    return Behavior(
        scale_up=ScalingRules(stabilization_window_s=up_window_s, policies=up),
        scale_down=ScalingRules(
            stabilization_window_s=down_window_s, policies=down, select_policy=select_down
        ),
    )


def pods(value: int, period_s: int) -> ScalingPolicy:
    return ScalingPolicy(type=PolicyType.PODS, value=value, period_s=period_s)


def percent(value: int, period_s: int) -> ScalingPolicy:
    return ScalingPolicy(type=PolicyType.PERCENT, value=value, period_s=period_s)


def make_pool(name: str = "research", **fields: object) -> Pool:
    given: dict[str, object] = {"max": 20, "behavior": behavior(), **fields}
    return Pool(
        key=pool_key("acme", name),
        name=name,
        tenant="acme",
        namespace="tenant-acme",
        deployment=name,
        stream="TASKS",
        consumer=f"acme-{name}",
        **given,  # type: ignore[arg-type]  # a test's own fields of Pool
    )


def codes(decision: Decision) -> list[Code]:
    return [reason.code for reason in decision.reasons]


class Story:
    """A pool's history, tick by tick."""

    def __init__(self, pool: Pool, replicas: int = 0) -> None:
        self.pool = pool
        self.replicas = replicas
        self.now = START
        self.memory = Memory()
        self.decision: Decision | None = None
        self.deaf = False
        self.intents = Intents()

    @property
    def remembered(self) -> PoolMemory:
        return self.memory.pools[self.pool.key]

    def wait(self, seconds: float) -> Story:
        self.now += seconds
        return self

    def forget(self) -> None:
        """The memory is lost, as after a crash without NATS."""
        self.memory = Memory()

    def tick(
        self,
        pending: int = 0,
        in_flight: int = 0,
        *,
        queue: Reading[QueueDepth] | None = None,
        workload: Reading[Workload] | None = None,
        pods: Reading[Pods] | None = None,
        woken_at: float | None = None,
        paused: bool = False,
        clock_step_s: float = 0.0,
        after_s: float = 1.0,
    ) -> Decision:
        """What is seen, decided and, unless the cluster is deaf, done; then time passes."""
        self.now += clock_step_s if isfinite(clock_step_s) else 0.0
        depth = QueueDepth(pending=pending, in_flight=in_flight, paused=paused)
        seen = PoolObservation(
            queue=queue or Fresh(value=depth, at=self.now),
            workload=workload or Fresh(value=Workload(replicas=self.replicas), at=self.now),
            pods=pods or Fresh(value=Pods(ready=self.replicas), at=self.now),
            woken_at=woken_at,
        )
        observation = Observation(pools={self.pool.key: seen}, clock_step_s=clock_step_s)
        fleet = Fleet(pools=(self.pool,))
        result, self.memory = plan(observation, fleet, self.intents, self.memory, self.now)
        decision = self.decision = result.decisions[self.pool.key]
        if decision.changes and not self.deaf and decision.next is not None:
            self.replicas = decision.next
        self.now += after_s
        return decision

    def ticks(self, seconds: int, pending: int = 0, in_flight: int = 0) -> list[int]:
        """A tick a second with the same work; the sizes the cluster had after each."""
        sizes = []
        for _ in range(seconds):
            self.tick(pending, in_flight)
            sizes.append(self.replicas)
        return sizes

    def warmed_up(self, pending: int = 0, in_flight: int = 0) -> Story:
        """The same pool after it has been watched for a window with this work."""
        self.ticks(self.pool.behavior.scale_down.stabilization_window_s + 1, pending, in_flight)
        return self


def silence(why: Why = Why.TIMED_OUT, at: float = START) -> Absent:
    return Absent(why=why, at=at)
