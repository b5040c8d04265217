"""One pool in virtual time: the test says what is observed, the planner decides, and the size that
it decides is observed next.
"""

from __future__ import annotations

from math import isfinite

from msgspec.structs import replace

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
from controller.planning.compile import FleetTerms, compile_fleet
from controller.planning.memo import Kept
from controller.planning.memory import LARGEST_STEP_S
from controller.planning.planner import plan

START = 1_700_000_000.0
COMPARED_PLANS = 700
"""Longer than the default windows take; a whole hour would double the time of these tests."""


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
    """A pool's history, tick by tick.

    While `ignores_writes` no write takes effect. Beside each of the first plans a second planner
    keeps what it has worked out; it must decide and remember the same.
    """

    def __init__(self, pool: Pool, replicas: int = 0) -> None:
        self.pool = pool
        self.replicas = replicas
        self.now = START
        self.memory = Memory()
        self.decision: Decision | None = None
        self.ignores_writes = False
        self.intents = Intents()
        self._terms: FleetTerms | None = None
        self._keeping = KeepingPlanner()
        self._compared = 0

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
        queues: tuple[Reading[QueueDepth], ...] = (),
        workload: Reading[Workload] | None = None,
        pods: Reading[Pods] | None = None,
        woken_at: float | None = None,
        paused: bool = False,
        clock_step_s: float = 0.0,
        after_s: float = 1.0,
    ) -> Decision:
        """One plan of what is observed now. Its size is set, and then time passes. The clock itself
        makes the step that is observed, unless no clock can.
        """
        self.now += clock_step_s if abs(clock_step_s) < LARGEST_STEP_S else 0.0
        depth = QueueDepth(pending=pending, in_flight=in_flight, paused=paused)
        seen = PoolObservation(
            queue=queue or Fresh(value=depth, at=self.now),
            queues=queues,
            workload=workload or Fresh(value=Workload(replicas=self.replicas), at=self.now),
            pods=pods or Fresh(value=Pods(ready=self.replicas), at=self.now),
            woken_at=woken_at,
        )
        observation = Observation(pools={self.pool.key: seen}, clock_step_s=clock_step_s)
        decision = self.decide(observation, Fleet(pools=(self.pool,)))
        if decision.changes and not self.ignores_writes and decision.next is not None:
            self.replicas = decision.next
        self.now += after_s
        return decision

    def decide(self, observation: Observation, fleet: Fleet) -> Decision:
        """The decision of the pool in this fleet, now."""
        before = self.memory
        if self._terms is None or fleet != self._terms.fleet:
            self._terms = compile_fleet(fleet)
        planned = plan(observation, self._terms, self.intents, before, self.now)
        result, self.memory = planned.plan, planned.memory
        if self._compared < COMPARED_PLANS:
            self._compared += 1
            kept = self._keeping.plan(observation, self._terms, self.intents, before, self.now)
            assert kept == (result.decisions, self.memory), "a planner that keeps decides otherwise"
        decision = self.decision = result.decisions[self.pool.key]
        return decision

    def ticks(self, seconds: int, pending: int = 0, in_flight: int = 0) -> list[int]:
        """A tick a second with the same work; the sizes of the pool after each."""
        sizes = []
        for _ in range(seconds):
            self.tick(pending, in_flight)
            sizes.append(self.replicas)
        return sizes

    def warmed_up(self, pending: int = 0, in_flight: int = 0) -> Story:
        """The same pool after it has been observed for a window with this work."""
        self.ticks(self.pool.behavior.scale_down.stabilization_window_s + 1, pending, in_flight)
        return self


class KeepingPlanner:
    """Plans from plan to plan as the engine does: it hands on what was kept, and a pool of which
    nothing has changed but the times of its readings is the same object.
    """

    def __init__(self) -> None:
        self._kept: Kept | None = None
        self._memory: Memory | None = None
        self._seen: dict[str, PoolObservation] = {}

    def plan(
        self,
        observation: Observation,
        terms: FleetTerms,
        intents: Intents,
        memory: Memory,
        now: float,
    ) -> tuple[dict[str, Decision], Memory]:
        """The decisions and the memory after them."""
        if memory == self._memory:
            memory = self._memory  # the same objects, as the engine hands them on
        pools = {key: self._known(key, seen) for key, seen in observation.pools.items()}
        planned = plan(replace(observation, pools=pools), terms, intents, memory, now, self._kept)
        self._kept, self._memory = planned.kept, planned.memory
        return planned.plan.decisions, planned.memory

    def _known(self, key: str, seen: PoolObservation) -> PoolObservation:
        before = self._seen.get(key)
        if before is not None and _without_times(before) == _without_times(seen):
            return before
        self._seen[key] = seen
        return seen


def _without_times(seen: PoolObservation) -> PoolObservation:
    """The same, with no time at which something was read successfully."""
    fresh = {
        name: replace(reading, at=0.0)
        for name, reading in (
            ("queue", seen.queue),
            ("workload", seen.workload),
            ("pods", seen.pods),
        )
        if isinstance(reading, Fresh) and isfinite(reading.at)
    }
    return replace(seen, **fresh)


def silence(why: Why = Why.TIMED_OUT, at: float = START) -> Absent:
    return Absent(why=why, at=at)
