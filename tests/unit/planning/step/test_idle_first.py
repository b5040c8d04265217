"""Down goes only what is idle: busy replicas finish, young ones stay where sharing takes them."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from controller.model.decision import Code, Decision, Gate
from controller.model.fleet import Fleet, Tenant
from controller.model.intents import Scope
from controller.model.memory import Memory, PoolMemory, RecommendationRun
from controller.model.observation import (
    Observation,
    Pod,
    PodPhase,
    Pods,
    PoolObservation,
    QueueDepth,
    Workload,
)
from controller.model.readings import Absent, Fresh, Stale, Why
from controller.model.scarcity import Resources
from controller.planning.step import busy_replicas
from support.asked import a_pause, intents_of
from support.planning import plan
from support.world import START, TIER, make_pool

OLD = RecommendationRun(replicas=0, first_at=START - 9000, last_at=START - 9000)
OBSERVED_FOR_LONG = PoolMemory(
    since=START - 9000, last_active_at=START - 9000, recommendations=(OLD,)
)


def decide(
    *,
    in_flight: int = 0,
    pending: int = 0,
    young: int = 0,
    quota: int | None = None,
    paused: bool = False,
    slots: int = 1,
) -> Decision:
    """A pool of 5, observed for long, whose replicas have a minimum runtime of a minute."""
    pool = replace(make_pool(), minimum_runtime_s=60.0, cooldown_s=0.0, slots=slots)
    items = tuple(
        Pod(name=f"p{n}", phase=PodPhase.READY, ready_at=START - (59 if n < young else 60))
        for n in range(5)
    )
    seen = PoolObservation(
        queue=Fresh(value=QueueDepth(pending=pending, in_flight=in_flight), at=START),
        workload=Fresh(value=Workload(replicas=5), at=START),
        pods=Fresh(value=Pods(ready=5, items=items), at=START),
    )
    tenant = Tenant(
        name="acme", tier=TIER, namespace="tenant-acme", quota=Resources(replicas=quota)
    )
    intents = intents_of(pauses=(a_pause(scope=Scope()),) if paused else ())
    result, _ = plan(
        Observation(pools={pool.key: seen}),
        Fleet(tenants=(tenant,), pools=(pool,)),
        intents,
        Memory(pools={pool.key: OBSERVED_FOR_LONG}),
        START,
    )
    return result.decisions[pool.key]


def test_idle_replicas_go_at_once() -> None:
    decision = decide(pending=2)
    assert (decision.target, decision.next, decision.gate) == (2, 2, None)


@pytest.mark.parametrize(("in_flight", "following"), [(1, 1), (3, 3), (5, 5), (9, 5)])
def test_busy_replicas_finish_first(in_flight: int, following: int) -> None:
    decision = decide(in_flight=in_flight, paused=True)
    assert (decision.target, decision.next, decision.gate) == (0, following, Gate.BUSY)
    assert decision.reasons[-1].code is Code.BUSY
    assert decision.reasons[-1].numbers == {"busy": following}


def test_a_replica_with_several_slots_is_busy_with_as_many_messages() -> None:
    assert decide(in_flight=7, paused=True, slots=3).next == 3


@pytest.mark.parametrize(("young", "following"), [(0, 2), (2, 2), (3, 3), (5, 5)])
def test_sharing_takes_no_replica_back_before_its_minimum_runtime(
    young: int, following: int
) -> None:
    decision = decide(pending=5, quota=2, young=young)
    assert (decision.target, decision.next) == (2, following)
    if following > 2:
        assert decision.gate is Gate.MINIMUM_RUNTIME
        assert decision.reasons[-1].code is Code.MINIMUM_RUNTIME


def test_a_pool_that_needs_fewer_itself_waits_for_no_minimum_runtime() -> None:
    assert decide(pending=2, young=5).next == 2


def test_an_operators_pause_waits_for_the_minimum_runtime_too() -> None:
    decision = decide(pending=5, paused=True, young=5)
    assert (decision.target, decision.next, decision.gate) == (0, 5, Gate.MINIMUM_RUNTIME)


@pytest.mark.parametrize(
    ("in_flight", "slots", "busy"),
    [(0, 1, 0), (1, 1, 1), (3, 2, 2), (4, 2, 2), (99, 1, 8), (-1, 1, 0), (10**12, 1, 0), (3, 0, 3)],
)
def test_busy_replicas_are_those_that_the_messages_in_flight_fill(
    in_flight: int, slots: int, busy: int
) -> None:
    depth = QueueDepth(pending=0, in_flight=in_flight)
    assert busy_replicas(Fresh(value=depth, at=START), slots, 8) == busy
    assert busy_replicas(Stale(value=depth, at=START - 60), slots, 8) == busy


def test_of_an_unknown_queue_no_replica_is_known_to_be_busy() -> None:
    assert busy_replicas(Absent(why=Why.TIMED_OUT), 1, 8) == 0
    depth = QueueDepth(pending=0, in_flight=math.nan)  # type: ignore[arg-type]
    assert busy_replicas(Fresh(value=depth, at=START), 1, 8) == 0
