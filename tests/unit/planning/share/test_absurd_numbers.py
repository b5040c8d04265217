"""Numbers that cannot be measured: none lowers a pool, none lets it grow without limit, and each
has a reason.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from msgspec.structs import replace

from controller.model.decision import Bound, Code, Decision
from controller.model.fleet import Fleet, Tenant
from controller.model.intents import Intents, Scope
from controller.model.memory import Memory
from controller.model.observation import (
    ClusterRoom,
    Observation,
    TenantObservation,
    TokenUsage,
    Workload,
)
from controller.model.readings import Fresh, Stale
from controller.model.scarcity import Budget, Resources, TaskUsage
from support.asked import a_pause, intents_of
from support.planning import plan, seen_pool
from support.table import tabled
from support.world import START, TIER, make_pool
from unit.planning.story import OBSERVED_FOR_LONG

ABSURD: Final = 2**63
REQUESTS: Final = Resources(cpu_milli=500, memory_bytes=2**20)
USAGE: Final = TaskUsage(input_tokens=1000, seconds=Decimal(60))
ROOM: Final = ClusterRoom(resources=Resources(cpu_milli=16_000, memory_bytes=2**30))
NEGATIVE, LARGER = Resources(cpu_milli=-1), Resources(cpu_milli=ABSURD)
RESEARCH: Final = replace(make_pool("research", maximum=50), usage=USAGE)
BROWSER: Final = replace(make_pool("browser", maximum=50), usage=USAGE)


def workload(requests: Resources) -> Workload:
    return Workload(replicas=8, requests=requests)


def decide(
    work: int,
    beside: int = 8,
    *,
    requests: Resources = REQUESTS,
    usage: TaskUsage | None = None,
    room: ClusterRoom = ROOM,
    quota: Resources | None = None,
    budget: Budget | None = None,
    used: int = 0,
    intents: Intents | None = None,
    under_way: dict[Any, int] | None = None,
) -> list[Decision]:
    """Two pools of 8, observed for long, that share a cluster of 16,000 millicores. One has so much
    work and these numbers; the other has ordinary numbers and `beside` messages.
    """
    tenant = Tenant(name="acme", tier=TIER, namespace="a", budget=budget or Budget())
    pools = {
        RESEARCH.key: seen_pool(
            work, Workload(replicas=8, requests=requests), at=START, task_usage=usage
        ),
        BROWSER.key: seen_pool(beside, Workload(replicas=8, requests=REQUESTS), at=START),
    }
    of_tenant = TenantObservation(
        usage=Fresh(value=TokenUsage(used=Decimal(used)), at=START),
        quota=Fresh(value=quota or Resources(), at=START),
    )
    observation = Observation(
        pools=pools,
        tenants={"acme": of_tenant},
        capacity=Stale(value=room, at=START - 60) if under_way else Fresh(value=room, at=START),
        under_way=under_way or {},
    )
    fleet = Fleet(tiers=(TIER,), tenants=(tenant,), pools=(RESEARCH, BROWSER))
    memory = Memory(pools=dict.fromkeys(pools, OBSERVED_FOR_LONG))
    result, _ = plan(observation, fleet, intents or Intents(), memory, START)
    return [result.decisions[pool.key] for pool in fleet.pools if pool.key in result.decisions]


OF_A_POOL: list[tuple[str, dict[str, Any]]] = [
    *(
        ("its pods' requests", {"requests": each})
        for each in (
            LARGER,
            NEGATIVE,
            replace(REQUESTS, memory_bytes=ABSURD),
            replace(REQUESTS, memory_bytes=-1),
        )
    ),
    *(
        ("its tasks' usage", {"usage": replace(USAGE, **{name: number})})
        for name, number in {
            "input_tokens": ABSURD,
            "cached_input_tokens": ABSURD,
            "output_tokens": ABSURD,
            "calls": ABSURD,
            "seconds": Decimal("1e-30"),
        }.items()
    ),
    ("its tasks' usage", {"usage": replace(USAGE, seconds=Decimal("1e30"))}),
]


@tabled(("subject", "absurd"), OF_A_POOL)
def test_a_pool_with_absurd_numbers_keeps_its_size_and_lowers_no_other(
    subject: str, absurd: dict[str, Any]
) -> None:
    budget = Budget(tokens_per_day=1_000_000)
    for work in (0, 20, 50):
        decision, other = decide(work, 20, budget=budget, **absurd)
        assert (decision.target, decision.next, other.target) == (8, 8, 20)
        assert decision.reasons[-1].code is Code.UNSHAREABLE
        assert decision.reasons[-1].numbers == {"subject": subject}
    assert [each.next for each in decide(8, 2, **absurd)] == [8, 2]
    [beside] = decide(20, 20, under_way={RESEARCH.key: 8}, **absurd)
    assert beside.next == 20, "while it is being written"
    paused = intents_of(pauses=(a_pause(scope=Scope()),))
    assert decide(8, intents=paused, **absurd)[0].target == 0
    spent = decide(8, budget=Budget(tokens_per_day=1000), used=2000, **absurd)[0]
    assert spent.target == 0
    assert Code.BUDGET_SPENT in {reason.code for reason in spent.reasons}


OBSERVED: list[tuple[str, dict[str, Any]]] = [
    ("capacity", {"room": ClusterRoom(resources=NEGATIVE)}),
    ("capacity", {"room": ClusterRoom(resources=LARGER)}),
    ("capacity", {"room": replace(ROOM, classes={"spot": NEGATIVE})}),
    ("quota", {"quota": NEGATIVE}),
    ("quota", {"quota": Resources(replicas=-(2**63))}),
    ("quota", {"quota": LARGER}),
]


@tabled(("limit", "given"), OBSERVED)
def test_a_limit_that_cannot_be_lets_no_pool_grow_and_takes_nothing_away(
    limit: str, given: dict[str, Any]
) -> None:
    for work in (20, 50):
        for decision in decide(work, work, **given):
            assert (decision.target, decision.next) == (8, 8)
            assert decision.bound in {Bound.CAPACITY, Bound.QUOTA}
            assert decision.reasons[-1].code is Code.LIMIT_UNREADABLE
            assert decision.reasons[-1].numbers == {"limit": limit}
    assert [each.next for each in decide(8, **given)] == [8, 8]
    assert [each.next for each in decide(3, 0, **given)] == [3, 0], "they may shrink"


def test_the_other_limits_hold_beside_one_that_cannot_be_and_a_stale_one_is_as_bad() -> None:
    decisions = decide(20, 20, quota=Resources(replicas=6, cpu_milli=-1))
    assert sum(each.target or 0 for each in decisions) == 6
    [stale] = decide(20, 20, room=ClusterRoom(resources=NEGATIVE), under_way={BROWSER.key: 8})
    assert stale.next == 8
