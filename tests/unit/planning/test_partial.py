"""A plan of only some pools: they are decided as in a plan of the whole fleet, on the division that
is kept; the next plan of the whole fleet decides the others.
"""

from __future__ import annotations

from hypothesis import event, given, settings
from hypothesis import strategies as some
from msgspec.structs import replace

from controller.model.decision import Decision, Gate
from controller.model.fleet import Fleet, Pool, Tenant
from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import (
    ClusterRoom,
    Observation,
    PoolObservation,
    Workload,
)
from controller.model.readings import Fresh
from controller.model.scarcity import Resources
from controller.planning.compile import compile_fleet
from controller.planning.planner import plan
from support.planning import seen_pool
from support.world import TIER, make_pool

NOW = 1_700_000_000.0
SMALL, LARGE = Resources(cpu_milli=100), Resources(cpu_milli=700)
A, B = make_pool("a", maximum=10), make_pool("b", maximum=10)


def seen(pending: int, replicas: int, requests: Resources = SMALL) -> PoolObservation:
    return seen_pool(pending, Workload(replicas=replicas, requests=requests), at=NOW)


def fleet_of(*pools: Pool, **fields: object) -> Fleet:
    names = sorted({pool.tenant for pool in pools})
    tenants = tuple(Tenant(name=name, tier=TIER, namespace=f"tenant-{name}") for name in names)
    return replace(Fleet(tenants=tenants, pools=pools), **fields)


def room(**resources: int) -> Fresh[ClusterRoom]:
    return Fresh(value=ClusterRoom(resources=Resources(**resources)), at=NOW)


def alone_and_together(
    fleet: Fleet, observation: Observation, pool: Pool, changed: PoolObservation
) -> tuple[Decision, Decision]:
    """The decision of a pool that has changed: in a plan of it alone, and in one of all pools. Both
    come half a second after a plan of all pools.
    """
    terms = compile_fleet(fleet)
    before = plan(observation, terms, Intents(), Memory(), NOW)
    only = replace(observation, pools={pool.key: changed})
    alone = plan(only, terms, Intents(), before.memory, NOW + 0.5, before.kept)
    whole = replace(observation, pools={**observation.pools, pool.key: changed})
    together = plan(whole, terms, Intents(), before.memory, NOW + 0.5)
    after = plan(whole, terms, Intents(), alone.memory, NOW + 1.0, alone.kept)
    anew = plan(whole, terms, Intents(), alone.memory, NOW + 1.0)
    assert after.plan == anew.plan, "the plan of all pools that follows is the same as without kept"
    return alone.plan.decisions[pool.key], together.plan.decisions[pool.key]


sizes = some.integers(0, 8)


@given(
    numbers=some.lists(some.tuples(sizes, sizes, some.booleans()), min_size=1, max_size=4),
    due=some.integers(0, 3),
    pending=some.integers(0, 30),
    replicas=some.integers(0, 80),
    cpu=some.integers(0, 60_000),
)
@settings(max_examples=150, deadline=None)
def test_alone_or_together_the_decision_is_the_same(
    numbers: list[tuple[int, int, bool]], due: int, pending: int, replicas: int, cpu: int
) -> None:
    pools = [
        make_pool(f"p{number}", tenant=f"t{number % 2}", maximum=8)
        for number in range(len(numbers))
    ]
    observation = Observation(
        pools={
            pool.key: seen(waiting, current, LARGE if large else SMALL)
            for pool, (waiting, current, large) in zip(pools, numbers, strict=True)
        },
        capacity=room(replicas=replicas, cpu_milli=cpu),
    )
    pool = pools[due % len(pools)]
    _, current, large = numbers[due % len(pools)]
    changed = seen(pending, current, LARGE if large else SMALL)
    found, together = alone_and_together(fleet_of(*pools), observation, pool, changed)
    event(f"bound: {found.bound}, gate: {found.gate}")
    assert found == together


def test_a_partial_plan_without_anything_kept_decides_only_those_pools() -> None:
    fleet = fleet_of(A, B)
    terms = compile_fleet(fleet)
    only = Observation(pools={PoolKey(A.key): seen(5, 0)}, capacity=room(replicas=9))
    planned = plan(only, terms, Intents(), Memory(), NOW)
    assert {key: each.next for key, each in planned.plan.decisions.items()} == {A.key: 5}
    assert planned.kept is None
    assert planned.plan.decisions[A.key].gate is not Gate.ROOM


def test_pools_that_were_not_observed_get_no_decision_and_keep_their_memory() -> None:
    """Room for two; the other pool is about to grow by two when this one asks for one."""
    one, other = make_pool("p0", tenant="t0", maximum=8), make_pool("p1", tenant="t1", maximum=8)
    terms = compile_fleet(fleet_of(one, other))
    observation = Observation(
        pools={one.key: seen(2, 0), other.key: seen(0, 0)}, capacity=room(replicas=2)
    )
    before = plan(observation, terms, Intents(), Memory(), NOW)
    assert before.plan.decisions[one.key].next == 2
    only = replace(observation, pools={other.key: seen(1, 0)})
    after = plan(only, terms, Intents(), before.memory, NOW + 0.5, before.kept)
    assert list(after.plan.decisions) == [other.key]
    assert after.memory.pools[one.key] is before.memory.pools[one.key]
