"""Up goes only into room that is physically free."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from controller.model.decision import Code, Decision, Gate
from controller.model.fleet import Fleet, Pool, Tenant, Tier
from controller.model.intents import Intents
from controller.model.memory import Memory, PoolMemory, RecommendationRun
from controller.model.observation import (
    Observation,
    Pod,
    PodPhase,
    Pods,
    PoolObservation,
    Workload,
)
from controller.model.readings import Fresh
from controller.model.scarcity import Capacity, Resources
from support.planning import plan, seen_pool
from support.world import START, make_pool

OLD = RecommendationRun(replicas=0, first_at=START - 9000, last_at=START - 9000)
OBSERVED_FOR_LONG = PoolMemory(
    since=START - 9000, last_active_at=START - 9000, recommendations=(OLD,)
)


class Fleetlet:
    """Pools of one tenant each that have been observed for long, and one plan of them."""

    def __init__(self, **capacity: int) -> None:
        self.capacity = Capacity(resources=Resources(**capacity))
        self.pools: list[Pool] = []
        self.tenants: list[Tenant] = []
        self.seen: dict[str, PoolObservation] = {}

    def pool(
        self,
        name: str,
        current: int,
        work: int,
        *,
        terminating: int = 0,
        tier: int = 500,
        weight: int = 1,
        requests: Resources | None = None,
    ) -> Fleetlet:
        pool = replace(
            make_pool("agents", tenant=name, maximum=100), cooldown_s=0.0, requests=requests
        )
        self.pools.append(pool)
        self.tenants.append(
            Tenant(
                name=name,
                tier=Tier(name=f"tier-{tier}", priority=tier),
                namespace=pool.namespace,
                weight=Decimal(weight),
            )
        )
        self.seen[pool.key] = seen_pool(
            work, current, at=START, pods=Pods(ready=current, terminating=terminating)
        )
        return self

    def decide(self) -> dict[str, Decision]:
        fleet = Fleet(tenants=tuple(self.tenants), pools=tuple(self.pools), capacity=self.capacity)
        memory = Memory(pools=dict.fromkeys((pool.key for pool in self.pools), OBSERVED_FOR_LONG))
        result, _ = plan(Observation(pools=self.seen), fleet, Intents(), memory, START)  # type: ignore[arg-type]
        return {pool.tenant: result.decisions[pool.key] for pool in self.pools}

    def added(self) -> dict[str, int]:
        """How many replicas each growing pool gets now."""
        return {
            name: (each.next or 0) - (each.current or 0)
            for name, each in self.decide().items()
            if (each.target or 0) > (each.current or 0)
        }


def test_into_free_room_a_pool_grows_at_once() -> None:
    decision = Fleetlet(replicas=99).pool("a", 2, 20).decide()["a"]
    assert (decision.target, decision.next, decision.gate) == (20, 20, None)


@pytest.mark.parametrize(("terminating", "following"), [(3, 6), (7, 2), (50, 2)])
def test_replicas_that_terminate_still_take_room(terminating: int, following: int) -> None:
    decision = Fleetlet(replicas=9).pool("a", 2, 20, terminating=terminating).decide()["a"]
    assert (decision.target, decision.next, decision.gate) == (9, following, Gate.ROOM)
    assert decision.reasons[-1].code is Code.ROOM
    assert decision.reasons[-1].numbers == {"busy": 0, "row": "replicas"}


@pytest.mark.parametrize(
    ("phase", "room"),
    [(PodPhase.READY, 1), (PodPhase.UNSCHEDULED, 1), (PodPhase.FAILED, 3)],
)
def test_surge_pods_of_a_rollout_take_room_until_they_are_gone(phase: PodPhase, room: int) -> None:
    fleet = Fleetlet(replicas=9).pool("rolling", 4, 4).pool("b", 2, 5)
    key = fleet.pools[0].key
    pods = tuple(
        Pod(name=f"p{index}", phase=PodPhase.READY if index < 4 else phase) for index in range(6)
    )
    rolling = Workload(replicas=4, current=6, updated=2)
    fleet.seen[key] = replace(
        fleet.seen[key],
        workload=Fresh(value=rolling, at=START),
        pods=Fresh(value=Pods(ready=6, items=pods), at=START),
    )
    decisions = fleet.decide()
    assert decisions["rolling"].next == 4
    assert (decisions["b"].target, decisions["b"].next) == (5, 2 + room)


def test_a_count_of_terminating_pods_below_zero_makes_no_room() -> None:
    decision = Fleetlet(replicas=9).pool("a", 2, 20, terminating=-5).decide()["a"]
    assert decision.next == 9
    decisions = Fleetlet(replicas=5).pool("a", 5, 2, terminating=-5).pool("b", 0, 3).decide()
    assert decisions["b"].next == 0


def test_a_replica_that_goes_leaves_no_room_in_the_same_plan() -> None:
    decisions = Fleetlet(replicas=5).pool("a", 5, 2).pool("b", 0, 3).decide()
    assert (decisions["a"].next, decisions["b"].next) == (2, 0)
    assert (decisions["b"].target, decisions["b"].gate) == (3, Gate.ROOM)


def three_growing(weight: int = 1) -> Fleetlet:
    """Room for 5 more beside a pool of 10 that goes; in all there is room for every target."""
    fleet = Fleetlet(replicas=22).pool("a", 4, 9, weight=weight).pool("b", 1, 9)
    return fleet.pool("z", 2, 4, tier=1000).pool("leaving", 10, 0)


def test_room_goes_to_the_higher_tier_first_then_to_the_pool_that_runs_least_per_weight() -> None:
    assert three_growing().added() == {"a": 0, "b": 3, "z": 2}
    assert three_growing(weight=5).added() == {"a": 2, "b": 1, "z": 2}


def test_room_is_counted_in_the_units_of_each_row() -> None:
    large, small = (Resources(memory_bytes=each) for each in (4, 1))
    fleet = Fleetlet(memory_bytes=45).pool("a", 1, 9, requests=large)
    fleet.pool("b", 1, 9, requests=small).pool("leaving", 33, 0, requests=small)
    assert fleet.added() == {"a": 1, "b": 3}


def test_a_pool_above_the_whole_room_gets_no_more_and_loses_nothing_to_it() -> None:
    decision = Fleetlet(replicas=5).pool("a", 8, 9).decide()["a"]
    assert (decision.target, decision.next) == (5, 5)
