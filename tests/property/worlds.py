"""Small worlds for the planner: strategies for pools, for good and bad readings, and histories."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Decision, Plan, Reason
from controller.model.fleet import (
    Behavior,
    Fleet,
    PolicyType,
    Pool,
    ScalingPolicy,
    ScalingRules,
    SelectPolicy,
)
from controller.model.ids import PoolKey, pool_key
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import (
    Observation,
    Pods,
    PoolObservation,
    QueueDepth,
    WakeWatch,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from support.planning import plan, seen_pool

START = 1_700_000_000.0
ABSURD_COUNTS = (-1, -(2**63), 2**63, 10**12, math.nan, math.inf, -math.inf)
ABSURD_TIMES = (math.nan, math.inf, -math.inf)

policies = st.builds(
    ScalingPolicy,
    type=st.sampled_from(PolicyType),
    value=st.integers(1, 120),
    period_s=st.sampled_from([1, 5, 15, 60]),
)
rules = st.builds(
    ScalingRules,
    stabilization_window_s=st.sampled_from([0, 3, 10, 30]),
    select_policy=st.sampled_from(SelectPolicy),
    policies=st.lists(policies, max_size=2).map(tuple),
)
behaviors = st.builds(Behavior, scale_up=rules, scale_down=rules)


@st.composite
def pools(draw: st.DrawFn, name: str = "research") -> Pool:
    low = draw(st.integers(0, 3))
    return Pool(
        key=pool_key("acme", name),
        name=name,
        tenant="acme",
        namespace="tenant-acme",
        deployment=name,
        stream="TASKS",
        consumer=name,
        behavior=draw(behaviors),
        target=draw(st.sampled_from([1, 1, 3, 10])),
        min=low,
        max=draw(st.integers(max(low, 1), 12)),
        activation=draw(st.sampled_from([0, 0, 5])),
        cooldown_s=draw(st.sampled_from([0.0, 5.0, 20.0])),
        initial_cooldown_s=draw(st.sampled_from([0.0, 7.0])),
    )


counts = st.one_of(st.just(0), st.integers(0, 30), st.integers(0, 10**12 - 1))
sizes = st.integers(0, 14)
times = st.floats(START - 100, START + 100)


def readings(values: st.SearchStrategy[object]) -> st.SearchStrategy[Reading[object]]:
    """Any reading: fresh, stale or absent, at any time, also at impossible ones."""
    at = st.one_of(times, st.sampled_from(ABSURD_TIMES), st.just(0.0))
    whys = st.sampled_from(Why)
    return st.one_of(
        st.builds(Fresh, value=values, at=at),
        st.builds(Stale, value=values, at=at, why=whys),
        st.builds(Absent, why=whys, at=at),
    )


any_count = st.one_of(counts, st.sampled_from(ABSURD_COUNTS))
any_depth = st.builds(QueueDepth, pending=any_count, in_flight=any_count, paused=st.booleans())
any_size = st.one_of(sizes, st.sampled_from([-1, -(2**31), 2**31 - 1, 2**31, 2**63]))
any_observation = st.builds(
    PoolObservation,
    queue=readings(any_depth),
    workload=readings(st.builds(Workload, replicas=any_size)),
    pods=readings(st.just(Pods())),
    woken_at=st.one_of(st.none(), times, st.sampled_from(ABSURD_TIMES)),
    wake=st.sampled_from(WakeWatch),
)

steps = st.lists(
    st.tuples(st.sampled_from([1.0, 1.0, 1.0, 4.0, 31.0]), st.integers(0, 30)), max_size=40
)
"""Ticks: seconds to the next one, and the messages waiting then."""


def healthy(pool: Pool, replicas: int, messages: int, now: float) -> PoolObservation:
    return seen_pool(messages, replicas, at=now)


class World:
    """Pools whose Deployments follow every decision, in virtual time."""

    def __init__(self, replicas: Mapping[Pool, int]) -> None:
        self.pools = tuple(replicas)
        self.replicas = {pool.key: size for pool, size in replicas.items()}
        self.memory = Memory()
        self.now = START

    def seen(self, messages: int) -> dict[PoolKey, PoolObservation]:
        return {
            pool.key: healthy(pool, self.replicas[pool.key], messages, self.now)
            for pool in self.pools
        }

    def ask(self, seen: Mapping[PoolKey, PoolObservation]) -> Plan:
        """What would be decided; nothing is written."""
        return self._plan(seen)[0]

    def tick(self, messages: int) -> Plan:
        """Decide, remember and write."""
        result, self.memory = self._plan(self.seen(messages))
        for key, decision in result.decisions.items():
            if decision.next is not None:
                self.replicas[key] = decision.next
        return result

    def _plan(self, seen: Mapping[PoolKey, PoolObservation]) -> tuple[Plan, Memory]:
        observation = Observation(pools=dict(seen))
        return plan(observation, Fleet(pools=self.pools), Intents(), self.memory, self.now)


def lived(pool: Pool, replicas: int, history: list[tuple[float, int]]) -> World:
    """A world after these ticks."""
    world = World({pool: replicas})
    for wait_s, messages in history:
        world.tick(messages)
        world.now += wait_s
    return world


def moved(decision: Decision, by_s: float) -> Decision:
    """The decision with every time that its reasons name moved, as when the clock is set."""
    return replace(decision, reasons=tuple(_moved(reason, by_s) for reason in decision.reasons))


def _moved(reason: Reason, by_s: float) -> Reason:
    numbers = {
        name: number + by_s
        if isinstance(number, float) and (name in {"since", "until"} or name.endswith("_at"))
        else number
        for name, number in reason.numbers.items()
    }
    return replace(reason, numbers=numbers)


def as_bytes(value: object) -> bytes:
    return msgspec.json.encode(value, order="deterministic")
