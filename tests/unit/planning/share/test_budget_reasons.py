"""The reasons of a pool that a token budget holds back: paced, spent, or its use is not known."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from controller.model.decision import Bound, Code, Decision
from controller.model.fleet import Fleet, Tenant
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import (
    Observation,
    TenantObservation,
    TokenUsage,
)
from controller.model.readings import Fresh
from controller.model.scarcity import Budget, TaskUsage
from controller.planning.explain import sentence
from support.asked import a_budget, intents_of
from support.planning import plan, seen_pool
from support.world import START, TIER, make_pool

TASK = TaskUsage(input_tokens=5000, seconds=Decimal(10))
FIRST, SECOND = make_pool("first"), make_pool("second")


def decided(
    used: int,
    *,
    task: TaskUsage | None,
    hard: bool = True,
    intents: Intents = Intents(),  # noqa: B008 - a frozen value
    known: bool = True,
) -> list[Decision]:
    """Two pools of one tenant with a day of 100,000 tokens, each with work for four."""
    budget = Budget(tokens_per_day=100_000, hard=hard)
    tenant = Tenant(name="acme", tier=TIER, namespace="tenant-acme", budget=budget)
    pools = tuple(replace(pool, usage=task) for pool in (FIRST, SECOND))
    seen = seen_pool(4, 0, at=START)
    usage = Fresh(value=TokenUsage(used=Decimal(used)), at=START)
    observation = Observation(
        pools={pool.key: seen for pool in pools},
        tenants={"acme": TenantObservation(usage=usage) if known else TenantObservation()},
    )
    fleet = Fleet(tiers=(TIER,), tenants=(tenant,), pools=pools)
    decisions, _ = plan(observation, fleet, intents, Memory(), START)
    return [decisions.decisions[pool.key] for pool in pools]


def codes(decision: Decision) -> list[Code]:
    return [reason.code for reason in decision.reasons]


def test_a_tenant_that_is_paced_keeps_one_replica_and_its_budget_is_not_called_spent() -> None:
    decisions = decided(90_000, task=TASK)
    assert sorted(decision.target or 0 for decision in decisions) == [0, 1]
    for decision in decisions:
        assert decision.bound is Bound.BUDGET
        assert Code.BUDGET in codes(decision)
        assert Code.BUDGET_SPENT not in codes(decision)


@pytest.mark.parametrize("task", [TASK, None], ids=["known tasks", "unknown tasks"])
def test_a_spent_budget_stops_every_pool_and_says_so(task: TaskUsage | None) -> None:
    for decision in decided(100_000, task=task):
        assert decision.target == 0
        assert decision.bound is Bound.BUDGET
        assert Code.BUDGET_SPENT in codes(decision)


def test_a_budget_that_is_not_hard_stops_no_pool() -> None:
    assert sum(each.target or 0 for each in decided(200_000, task=TASK, hard=False)) == 1
    assert [each.target for each in decided(200_000, task=None, hard=False)] == [4, 4]


def budget(tokens: int, until: float | None = None) -> Intents:
    asked = a_budget(tenant="acme", tokens=tokens, until=until, who="mara", why="OPS-1")
    return intents_of(budgets=(asked,))


@pytest.mark.parametrize("task", [TASK, None], ids=["known tasks", "unknown tasks"])
def test_an_operators_budget_takes_the_place_of_the_fleet_files(task: TaskUsage | None) -> None:
    raised = decided(100_000, task=task, intents=budget(100_000_000))
    assert [decision.target for decision in raised] == [4, 4]
    for decision in decided(50_000, task=task, intents=budget(50_000)):
        assert (decision.target, decision.bound) == (0, Bound.BUDGET)
        assert codes(decision)[-2:] == [Code.BUDGET_SET, Code.BUDGET_SPENT]
        assert sentence(decision.reasons[-2], START) == (
            "mara set the day's budget to 50,000 tokens (OPS-1)"
        )


def test_an_operators_budget_that_has_ended_or_is_anothers_changes_nothing() -> None:
    fleet_files = decided(90_000, task=TASK)
    assert decided(90_000, task=TASK, intents=budget(10**9, until=START)) == fleet_files
    other = intents_of(budgets=(a_budget(tenant="globex", tokens=10**9),))
    assert decided(90_000, task=TASK, intents=other) == fleet_files
    assert decided(90_000, task=TASK, intents=budget(10**9, until=START + 1)) != fleet_files


def test_a_budget_below_zero_is_none_at_all_and_one_without_known_use_still_holds() -> None:
    assert [each.target for each in decided(0, task=TASK, intents=budget(-5))] == [0, 0]
    blind = decided(0, task=TASK, intents=budget(10**9), known=False)
    assert [each.target for each in blind] == [0, 0]
    assert all(Code.USAGE_UNKNOWN in codes(each) for each in blind)


def paced(measured: TaskUsage | None) -> Decision:
    """How many replicas a pace of 1,000 tokens a minute feeds, by what a task was measured to take;
    the fleet file says 5,000 tokens in 10 seconds.
    """
    now = START - START % 86_400 + 86_400 - 100 * 60
    budget = Budget(tokens_per_day=1_000_000)
    tenant = Tenant(name="acme", tier=TIER, namespace="tenant-acme", budget=budget)
    pool = replace(FIRST, usage=TASK)
    seen = seen_pool(9, 0, at=now, task_usage=measured)
    usage = Fresh(value=TokenUsage(used=Decimal(900_000)), at=now)
    observation = Observation(
        pools={pool.key: seen}, tenants={"acme": TenantObservation(usage=usage)}
    )
    fleet = Fleet(tiers=(TIER,), tenants=(tenant,), pools=(pool,))
    decisions, _ = plan(observation, fleet, Intents(), Memory(), now)
    return decisions.decisions[pool.key]


def test_the_pace_feeds_as_many_as_measured_tasks_allow() -> None:
    assert paced(None).target == 1
    assert paced(TaskUsage(input_tokens=500, seconds=Decimal(120))).target == 4


@pytest.mark.parametrize(
    "absurd",
    [
        TaskUsage(input_tokens=-500, seconds=Decimal(120)),
        TaskUsage(input_tokens=500, seconds=Decimal(0)),
        TaskUsage(input_tokens=500, seconds=Decimal("NaN")),
        TaskUsage(input_tokens=500, calls=-1, seconds=Decimal(120)),
    ],
    ids=["tokens below zero", "no time", "no number", "calls below zero"],
)
def test_a_pool_whose_measured_usage_cannot_be_keeps_its_present_size(absurd: TaskUsage) -> None:
    """It was ignored before: then the pool grew as if its tasks took what the fleet file says."""
    decision = paced(absurd)
    assert (decision.current, decision.target) == (0, 0)
    assert codes(decision)[-1] is Code.UNSHAREABLE
    assert decision.reasons[-1].numbers == {"subject": "its tasks' usage"}
