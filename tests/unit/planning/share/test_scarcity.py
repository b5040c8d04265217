"""The rows of one moment: what the cluster, quotas and budgets leave, and what a replica takes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from controller.model.decision import Bound
from controller.model.fleet import Fleet, Pool, Tenant
from controller.model.intents import Intent, Intents
from controller.model.memory import Memory
from controller.model.observation import (
    ClusterRoom,
    Observation,
    Pods,
    PoolObservation,
    QueueDepth,
    TenantObservation,
    TokenUsage,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.model.scarcity import Budget, Resources, TaskUsage
from controller.planning.compile import compile_fleet
from controller.planning.share.rows import Scarcity, scarcity_of, spends_budget
from support.asked import a_budget
from support.planning import plan
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
    pending: int = 1,
    requests: Resources = REQUESTS,
    capacity: Reading[ClusterRoom] | None = None,
    quota: Resources | None = None,
) -> Observation:
    workload = Fresh(value=Workload(replicas=1, requests=requests), at=NOW)
    queue = Fresh(value=QueueDepth(pending=pending, in_flight=0), at=NOW)
    tenants = {}
    if quota is not None:
        tenants = {pool.tenant: TenantObservation(quota=Fresh(value=quota, at=NOW))}
    pods = Fresh(value=Pods(ready=1), at=NOW)
    return Observation(
        pools={pool.key: PoolObservation(queue=queue, workload=workload, pods=pods)},
        tenants=tenants,
        capacity=capacity or Fresh(value=ROOM, at=NOW),
    )


def fleet(pool: Pool, **fields: object) -> Fleet:
    owner = Tenant(name=pool.tenant, tier=TIER, namespace=pool.namespace)
    return replace(Fleet(tenants=(owner,), pools=(pool,)), **fields)


def target(pool: Pool, seen: Observation) -> int | None:
    result, _ = plan(seen, fleet(pool), Intents(), Memory(), NOW)
    return result.decisions[pool.key].target


@pytest.mark.parametrize(
    ("requests", "own", "expected"),
    [
        (REQUESTS, None, 16),
        (REQUESTS, Resources(cpu_milli=2000), 4),
        (Resources(cpu_milli=500, memory_bytes=1000), None, 10),
        (Resources(cpu_milli=500, memory_bytes=1000), Resources(cpu_milli=500), 16),
        (Resources(), None, 50),
    ],
    ids=["its pods'", "its profile's", "memory", "a profile is the whole", "not known"],
)
def test_a_replica_takes_what_its_pods_request_unless_its_profile_says_otherwise(
    requests: Resources, own: Resources | None, expected: int
) -> None:
    pool = replace(make_pool(maximum=99), requests=own)
    assert target(pool, observed(pool, pending=50, requests=requests)) == expected


def test_a_class_without_a_known_limit_takes_all_that_others_cannot() -> None:
    pool = replace(make_pool(maximum=99), nodes=("on-demand", "spot"))
    room = ClusterRoom(classes={"spot": Resources(), "on-demand": Resources(cpu_milli=1000)})
    seen = observed(pool, pending=50, capacity=Fresh(value=room, at=NOW))
    assert target(pool, seen) == 50


def test_classes_limit_by_what_the_pods_request() -> None:
    pool = replace(make_pool(maximum=99), nodes=("spot", "on-demand"))
    seen = observed(pool, pending=50)
    assert target(pool, seen) == 16


def test_classes_that_were_never_seen_are_no_limit() -> None:
    pool = replace(make_pool(maximum=99), nodes=("spot", "on-demand"))
    blind = observed(pool, pending=50, capacity=Absent(why=Why.REFUSED))
    assert target(pool, blind) == 50


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
def test_an_absurd_size_of_a_pool_that_is_being_written_stops_no_plan(absurd: int) -> None:
    pool = make_pool()
    seen = replace(observed(pool), under_way={pool.key: absurd})
    result, _ = plan(seen, fleet(pool), Intents(), Memory(), NOW)
    assert result.decisions == {}


BUDGET = Budget(tokens_per_day=1_000_000)
TASK = TaskUsage(input_tokens=1000, seconds=Decimal(60))


def owner_with(budget: Budget) -> Tenant:
    return Tenant(name="acme", tier=TIER, namespace="tenant-acme", budget=budget)


def paced(
    now: float, used: int = 900_000, *, budget: Budget = BUDGET, asked: tuple[Intent, ...] = ()
) -> Scarcity:
    owner = owner_with(budget)
    pool = replace(make_pool(), usage=TASK)
    usage = Fresh(value=TokenUsage(used=Decimal(used)), at=now)
    seen = Observation(tenants={"acme": TenantObservation(usage=usage)})
    sharing = compile_fleet(Fleet(tenants=(owner,), pools=(pool,))).sharing
    return scarcity_of(sharing, seen, now, None, asked)


MIDNIGHT = NOW - NOW % 86_400 + 86_400


@pytest.mark.parametrize(
    ("seconds_left", "minutes"), [(6_000.0, 100), (5_999.0, 100), (5_940.5, 100), (5_940.0, 99)]
)
def test_the_pace_counts_whole_minutes_to_the_reset_rounded_up(
    seconds_left: float, minutes: int
) -> None:
    """So it stays the same for a minute."""
    row = paced(MIDNIGHT - seconds_left).rows["budget:acme"]
    assert row.capacity * minutes == 100_000


@pytest.mark.parametrize(
    ("planned_with", "asked", "used", "spends"),
    [
        (900_000, None, 999_999, False),
        (900_000, None, 1_000_000, True),
        (1_000_000, None, 1_000_001, False),  # it was planned as spent
        (900_000, 950_000, 950_000, True),
        (900_000, 2_000_000, 1_000_000, False),
    ],
)
def test_tokens_spend_a_hard_budget_once_and_an_operators_counts(
    planned_with: int, asked: int | None, used: int, *, spends: bool
) -> None:
    budgets = () if asked is None else (a_budget(tenant="acme", tokens=asked),)
    planned = paced(NOW, planned_with, asked=budgets)
    assert spends_budget(owner_with(BUDGET), planned, Decimal(used)) is spends


def test_nothing_spends_a_budget_that_only_warns() -> None:
    soft = replace(BUDGET, hard=False)
    planned = paced(NOW, budget=soft)
    assert not spends_budget(owner_with(soft), planned, Decimal(2_000_000))
