"""What a replica takes of which row, when the cluster itself has been looked at."""

from __future__ import annotations

from fractions import Fraction

import pytest
from msgspec.structs import replace

from controller.model.decision import Bound
from controller.model.fleet import Fleet, Pool, Tenant
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import (
    ClusterRoom,
    Observation,
    Pods,
    PoolObservation,
    QueueDepth,
    TenantObservation,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import Capacity, Resources
from controller.planning.share.scarcity import Scarcity, is_shared
from support.planning import plan
from support.sharing import Claim, allocate
from support.world import TIER, make_pool

NOW = 1_700_000_000.0
REQUESTS = Resources(cpu_milli=500, memory_bytes=100)
ROOM = ClusterRoom(
    resources=Resources(replicas=100, cpu_milli=8000, memory_bytes=10_000),
    classes={"spot": Resources(cpu_milli=1000), "on-demand": Resources(cpu_milli=7000)},
)


def observed(
    pool: Pool,
    *,
    requests: Resources = REQUESTS,
    capacity: Reading[ClusterRoom] | None = None,
    quota: Resources | None = None,
) -> Observation:
    workload = Fresh(value=Workload(replicas=1, requests=requests), at=NOW)
    queue = Fresh(value=QueueDepth(pending=1, in_flight=0), at=NOW)
    tenants = {}
    if quota is not None:
        tenants = {pool.tenant: TenantObservation(quota=Fresh(value=quota, at=NOW))}
    return Observation(
        pools={pool.key: PoolObservation(queue=queue, workload=workload)},
        tenants=tenants,
        capacity=capacity or Fresh(value=ROOM, at=NOW),
    )


def fleet(pool: Pool, **fields: object) -> Fleet:
    owner = Tenant(name=pool.tenant, tier=TIER, namespace=pool.namespace)
    return replace(Fleet(tenants=(owner,), pools=(pool,)), **fields)


def test_a_replica_takes_what_its_pods_request_where_no_profile_says_otherwise() -> None:
    pool = make_pool()
    seen = observed(pool, quota=Resources(cpu_milli=4000))
    uses = Scarcity(fleet(pool), seen, NOW).uses(pool)
    assert uses == {"replicas": 1, "cpu": 500, "memory": 100, "quota-cpu:acme": 500}
    own = replace(pool, requests=Resources(cpu_milli=2000))
    assert Scarcity(fleet(own), seen, NOW).uses(own)["cpu"] == 2000
    assert "memory" not in Scarcity(fleet(own), seen, NOW).uses(own), "the profile is the whole"


def test_requests_that_are_not_known_leave_only_the_place() -> None:
    pool = make_pool()
    assert Scarcity(fleet(pool), observed(pool, requests=Resources()), NOW).uses(pool) == {
        "replicas": 1
    }
    unseen = Observation(capacity=Fresh(value=ROOM, at=NOW))
    assert Scarcity(fleet(pool), unseen, NOW).uses(pool) == {"replicas": 1}


def test_a_class_without_a_known_limit_takes_all_that_others_cannot() -> None:
    pool = replace(make_pool(maximum=99), nodes=("on-demand", "spot"))
    room = ClusterRoom(classes={"spot": Resources(), "on-demand": Resources(cpu_milli=1000)})
    scarcity = Scarcity(fleet(pool), observed(pool, capacity=Fresh(value=room, at=NOW)), NOW)
    assert scarcity.flavors(pool) == ({"cpu@on-demand": 500}, {})
    claim = Claim(
        pool=pool.key,
        tenant=pool.tenant,
        tier=1,
        demand=50,
        uses=scarcity.uses(pool),
        flavors=scarcity.flavors(pool),
    )
    given = allocate([claim], scarcity.rows.values(), {pool.tenant: Fraction(1)})
    assert given[pool.key].replicas == 50


def test_classes_limit_by_what_the_pods_request() -> None:
    pool = replace(make_pool(), nodes=("spot", "on-demand"))
    scarcity = Scarcity(fleet(pool), observed(pool), NOW)
    assert scarcity.flavors(pool) == ({"cpu@spot": 500}, {"cpu@on-demand": 500})
    assert scarcity.rows["cpu@spot"].bound is Bound.CAPACITY


def test_classes_that_were_never_seen_are_no_limit() -> None:
    pool = replace(make_pool(), nodes=("spot", "on-demand"))
    blind = observed(pool, capacity=Absent(why=Why.REFUSED))
    assert Scarcity(fleet(pool), blind, NOW).flavors(pool) == ()


def test_a_pool_that_is_being_written_is_not_decided_and_keeps_its_part() -> None:
    pools = [replace(make_pool(name, maximum=50), cooldown_s=0.0) for name in ("a", "b")]
    owner = Tenant(name="acme", tier=TIER, namespace="tenant-acme")
    both = Fleet(tenants=(owner,), pools=tuple(pools))
    queue = Fresh(value=QueueDepth(pending=40, in_flight=0), at=NOW)
    seen = PoolObservation(
        queue=queue,
        workload=Fresh(value=Workload(replicas=1, requests=REQUESTS), at=NOW),
        pods=Fresh(value=Pods(ready=1), at=NOW),
    )
    observation = Observation(
        pools={pool.key: seen for pool in pools},
        capacity=Fresh(value=ClusterRoom(resources=Resources(cpu_milli=10_000)), at=NOW),
        under_way={pools[0].key: 14},
    )
    result, _ = plan(observation, both, Intents(), Memory(), NOW)
    [decision] = result.decisions.values()
    assert (decision.pool, decision.target) == (pools[1].key, 6)
    assert decision.bound is Bound.CAPACITY


@pytest.mark.parametrize("absurd", [-1, 2**63])
def test_an_absurd_number_of_a_pool_that_is_being_written_stops_no_plan(absurd: int) -> None:
    pool = make_pool()
    seen = replace(observed(pool), under_way={pool.key: absurd})
    result, _ = plan(seen, fleet(pool), Intents(), Memory(), NOW)
    assert result.decisions == {}


def test_pools_share_what_the_cluster_was_seen_to_limit() -> None:
    pool = make_pool()
    free = Fresh(value=ClusterRoom(), at=NOW)
    alone = fleet(pool)
    assert not is_shared(alone, Observation())
    assert not is_shared(alone, observed(pool, capacity=free, quota=Resources()))
    assert is_shared(alone, observed(pool, capacity=free, quota=Resources(replicas=3)))
    assert is_shared(alone, observed(pool, capacity=Stale(value=ROOM, at=NOW)))
    assert is_shared(fleet(pool, capacity=Capacity(resources=Resources(replicas=9))), Observation())
