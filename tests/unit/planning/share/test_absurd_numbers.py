"""Numbers that cannot be measured: none lowers a pool, none lets it grow without limit, and each
has a reason.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import pytest
from msgspec.structs import replace

from controller.model.decision import Bound, Code, Decision
from controller.model.fleet import Fleet, Tenant
from controller.model.intents import Intents, Scope
from controller.model.memory import Memory, PoolMemory, RecommendationRun
from controller.model.observation import (
    ClusterRoom,
    Observation,
    PoolObservation,
    TenantObservation,
    TokenUsage,
    Workload,
)
from controller.model.readings import Fresh, Stale
from controller.model.scarcity import Budget, Capacity, Resources, TaskUsage
from support.asked import a_pause, intents_of
from support.planning import plan, seen_pool
from support.world import START, TIER, make_pool

ABSURD: Final = 2**63
REQUESTS: Final = Resources(cpu_milli=500, memory_bytes=2**20)
USAGE: Final = TaskUsage(input_tokens=1000, seconds=Decimal(60))
ROOM: Final = Resources(cpu_milli=16_000, memory_bytes=2**30)
RESEARCH: Final = replace(make_pool("research", maximum=50), usage=USAGE)
BROWSER: Final = replace(make_pool("browser", maximum=50), usage=USAGE)


def decide(
    *,
    work: int,
    beside: int = 8,
    requests: Resources = REQUESTS,
    usage: TaskUsage | None = None,
    capacity: Capacity | None = None,
    room: ClusterRoom | None = None,
    quota: Resources | None = None,
    budget: Budget | None = None,
    used: int = 0,
    intents: Intents | None = None,
) -> tuple[Decision, Decision]:
    """Two pools of 8, observed for long, that share a cluster of 16,000 millicores. One has so much
    work and these numbers; the other has ordinary numbers and `beside` messages.
    """
    tenant = Tenant(
        name="acme",
        tier=TIER,
        namespace="tenant-acme",
        budget=budget or Budget(),
    )
    pools = {
        RESEARCH.key: seen(work, requests, usage),
        BROWSER.key: seen(beside, REQUESTS, None),
    }
    tenants = {
        "acme": TenantObservation(
            usage=Fresh(value=TokenUsage(used=Decimal(used)), at=START),
            quota=Fresh(value=quota or Resources(), at=START),
        )
    }
    observation = Observation(
        pools=pools,
        tenants=tenants,
        capacity=Fresh(value=room or ClusterRoom(resources=ROOM), at=START),
    )
    fleet = Fleet(
        tiers=(TIER,),
        tenants=(tenant,),
        pools=(RESEARCH, BROWSER),
        capacity=capacity or Capacity(),
    )
    old = RecommendationRun(replicas=0, first_at=START - 9000, last_at=START - 9000)
    memory = PoolMemory(since=START - 9000, last_active_at=START - 9000, recommendations=(old,))
    result, _ = plan(
        observation,
        fleet,
        intents or Intents(),
        Memory(pools=dict.fromkeys(pools, memory)),
        START,
    )
    return result.decisions[RESEARCH.key], result.decisions[BROWSER.key]


def seen(work: int, requests: Resources, usage: TaskUsage | None) -> PoolObservation:
    return seen_pool(work, Workload(replicas=8, requests=requests), at=START, task_usage=usage)


REQUESTED = [
    Resources(cpu_milli=ABSURD),
    Resources(cpu_milli=-1),
    Resources(cpu_milli=500, memory_bytes=ABSURD),
    Resources(cpu_milli=500, memory_bytes=-1),
]
MEASURED = [
    TaskUsage(input_tokens=ABSURD, seconds=Decimal(60)),
    TaskUsage(cached_input_tokens=ABSURD, seconds=Decimal(60)),
    TaskUsage(output_tokens=ABSURD, seconds=Decimal(60)),
    TaskUsage(calls=ABSURD, seconds=Decimal(60)),
    TaskUsage(input_tokens=1000, seconds=Decimal("1e-30")),
    TaskUsage(input_tokens=1000, seconds=Decimal("1e30")),
]


@pytest.mark.parametrize("requests", REQUESTED)
def test_a_pool_with_absurd_requests_keeps_its_size_while_it_should_change(
    requests: Resources,
) -> None:
    for work in (0, 2, 20, 50):
        decision, _ = decide(work=work, requests=requests)
        assert (decision.target, decision.next) == (8, 8)
        assert decision.reasons[-1].code is Code.UNSHAREABLE
        assert decision.reasons[-1].numbers == {"subject": "its pods' requests"}
    assert decide(work=8, requests=requests)[0].next == 8


@pytest.mark.parametrize("usage", MEASURED)
def test_a_pool_with_an_absurd_task_usage_keeps_its_size_while_it_should_change(
    usage: TaskUsage,
) -> None:
    budget = Budget(tokens_per_day=1_000_000)
    for work in (0, 2, 20, 50):
        decision, _ = decide(work=work, usage=usage, budget=budget)
        assert (decision.target, decision.next) == (8, 8)
        assert decision.reasons[-1].code is Code.UNSHAREABLE
        assert decision.reasons[-1].numbers == {"subject": "its tasks' usage"}
    assert decide(work=8, usage=usage, budget=budget)[0].next == 8


@pytest.mark.parametrize("requests", REQUESTED)
def test_absurd_requests_of_one_pool_lower_no_other_pool(requests: Resources) -> None:
    for beside, expected in ((8, 8), (2, 2), (20, 20)):
        _, other = decide(work=20, beside=beside, requests=requests)
        assert other.target == expected


@pytest.mark.parametrize("requests", REQUESTED)
def test_absurd_requests_of_a_pool_that_is_being_written_hold_no_other_pool(
    requests: Resources,
) -> None:
    observation = Observation(
        pools={
            RESEARCH.key: seen(20, requests, None),
            BROWSER.key: seen(20, REQUESTS, None),
        },
        capacity=Fresh(value=ClusterRoom(resources=ROOM), at=START),
        under_way={RESEARCH.key: 8},
    )
    result, _ = plan(observation, Fleet(pools=(RESEARCH, BROWSER)), Intents(), Memory(), START)
    assert result.decisions[BROWSER.key].next == 20


NEGATIVE = Resources(cpu_milli=-1)
LARGER = Resources(cpu_milli=ABSURD)
OBSERVED = [
    pytest.param({"room": ClusterRoom(resources=NEGATIVE)}, "capacity", id="capacity below zero"),
    pytest.param({"room": ClusterRoom(resources=LARGER)}, "capacity", id="capacity of 2^63"),
    pytest.param(
        {"room": ClusterRoom(resources=ROOM, classes={"spot": NEGATIVE})},
        "capacity",
        id="class below zero",
    ),
    pytest.param({"quota": NEGATIVE}, "quota", id="quota below zero"),
    pytest.param({"quota": Resources(replicas=-(2**63))}, "quota", id="quota of -2^63"),
    pytest.param({"quota": LARGER}, "quota", id="quota of 2^63"),
]


@pytest.mark.parametrize(("given", "limit"), OBSERVED)
def test_a_limit_that_cannot_be_lets_no_pool_grow_and_takes_nothing_away(
    given: dict[str, object], limit: str
) -> None:
    for work in (20, 50):
        for decision in decide(work=work, beside=work, **given):  # type: ignore[arg-type]
            assert (decision.target, decision.next) == (8, 8)
            assert decision.bound in {Bound.CAPACITY, Bound.QUOTA}
            assert decision.reasons[-1].code is Code.LIMIT_UNREADABLE
            assert decision.reasons[-1].numbers == {"limit": limit}
    assert [each.next for each in decide(work=8, **given)] == [8, 8]  # type: ignore[arg-type]


@pytest.mark.parametrize(("given", "limit"), OBSERVED)
def test_a_limit_that_cannot_be_lets_pools_shrink(given: dict[str, object], limit: str) -> None:
    assert [each.next for each in decide(work=3, beside=0, **given)] == [3, 0]  # type: ignore[arg-type]


def test_a_stale_limit_that_cannot_be_is_treated_like_a_fresh_one() -> None:
    pool = RESEARCH
    observation = Observation(
        pools={pool.key: seen(20, REQUESTS, None)},
        capacity=Stale(value=ClusterRoom(resources=NEGATIVE), at=START - 60),
    )
    result, _ = plan(observation, Fleet(pools=(pool,)), Intents(), Memory(), START)
    assert result.decisions[pool.key].next == 8


def test_the_other_limits_hold_beside_one_that_cannot_be() -> None:
    quota = Resources(replicas=6, cpu_milli=-1)
    decisions = decide(work=20, beside=20, quota=quota)
    assert sum(each.target or 0 for each in decisions) == 6


@pytest.mark.parametrize(
    "absurd", [{"requests": REQUESTED[0]}, {"usage": MEASURED[0]}], ids=["requests", "usage"]
)
def test_a_pause_stops_a_pool_also_where_its_use_cannot_be(absurd: dict[str, object]) -> None:
    intents = intents_of(pauses=(a_pause(scope=Scope()),))
    decision, _ = decide(work=8, intents=intents, **absurd)  # type: ignore[arg-type]
    assert decision.target == 0


@pytest.mark.parametrize(
    "absurd", [{"requests": REQUESTED[0]}, {"usage": MEASURED[0]}], ids=["requests", "usage"]
)
def test_a_spent_budget_stops_a_pool_also_where_its_use_cannot_be(
    absurd: dict[str, object],
) -> None:
    budget = Budget(tokens_per_day=1000)
    decision, _ = decide(work=8, budget=budget, used=2000, **absurd)  # type: ignore[arg-type]
    assert decision.target == 0
    assert Code.BUDGET_SPENT in {reason.code for reason in decision.reasons}
