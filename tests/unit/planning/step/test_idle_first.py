"""Down goes only what is idle: busy replicas finish, young ones stay where sharing takes them."""

from __future__ import annotations

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
)
from controller.model.scarcity import Resources
from support.asked import a_pause, intents_of
from support.planning import plan, seen_pool
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
    seen = seen_pool(pending, 5, in_flight=in_flight, at=START, pods=Pods(ready=5, items=items))
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


@pytest.mark.parametrize(
    ("in_flight", "slots", "following"),
    [(1, 1, 1), (3, 1, 3), (5, 1, 5), (9, 1, 5), (7, 3, 3), (4, 2, 2), (3, 2, 2), (3, 0, 3)],
)
def test_busy_replicas_finish_first(in_flight: int, slots: int, following: int) -> None:
    decision = decide(in_flight=in_flight, paused=True, slots=slots)
    assert (decision.target, decision.next, decision.gate) == (0, following, Gate.BUSY)
    assert decision.reasons[-1].code is Code.BUSY
    assert decision.reasons[-1].numbers == {"busy": following}


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
