"""Ceilings that do not apply because nobody knows a number are named, each once."""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from controller.engine.show.findings import model_findings
from controller.model.fleet import Fleet, Pool, Tenant, Tier
from controller.model.observation import PoolObservation
from controller.model.scarcity import Budget, Capacity, LlmModel, Price, RateLimits, TaskUsage
from controller.model.snapshot import Severity
from support.world import make_pool

PRICE = Price(input=Decimal(1), output=Decimal(2))
LIMITS = RateLimits(requests_per_minute=60)
USAGE = TaskUsage(input_tokens=1000, seconds=Decimal(30))


def found(
    model: LlmModel,
    *names: str,
    usage: TaskUsage | None = None,
    measured: TaskUsage | None = None,
    budget: Budget | None = None,
    capacity: Capacity | None = None,
) -> list[tuple[str, str, str]]:
    """What is said of a fleet whose pools all use the model: subject, kind and text."""
    pools: list[Pool] = [
        replace(make_pool(name), model=model.name, usage=usage) for name in names or ("research",)
    ]
    tier = Tier(name="growth", priority=500)
    tenant = Tenant(name="acme", tier=tier, namespace="n", budget=budget or Budget())
    fleet = Fleet(
        tenants=(tenant,),
        pools=tuple(pools),
        models=(model,),
        capacity=capacity or Capacity(),
    )
    findings = list(
        model_findings(fleet, {pool.key: PoolObservation(task_usage=measured) for pool in pools})
    )
    assert all(severity is Severity.INFO for severity, *_ in findings)
    return [(subject, kind, text) for _, subject, kind, text in findings]


def test_a_model_in_use_without_limits_is_named_with_its_pools_and_how_to_say_there_are_none() -> (
    None
):
    names = ("a", "b", "c", "d", "e")
    assert found(LlmModel(name="gpt", price=PRICE), *names, usage=USAGE) == [
        (
            "fleet file",
            "models.gpt.limits",
            (
                "models.gpt has no limits, so no rate limit applies to acme/a, acme/b, acme/c and "
                "2 more; write `limits: {}` if the provider sets none"
            ),
        )
    ]


def test_a_model_that_is_said_to_have_no_limits_is_not_named() -> None:
    model = LlmModel(name="gpt", price=PRICE, limits=RateLimits())
    assert found(model, usage=USAGE) == []
    assert found(model) == []


def test_a_model_that_no_pool_uses_is_not_named() -> None:
    fleet = Fleet(pools=(make_pool(),), models=(LlmModel(name="gpt"),))
    assert list(model_findings(fleet, {})) == []


def test_a_limit_does_not_hold_pools_whose_tasks_are_neither_declared_nor_measured() -> None:
    model = LlmModel(name="gpt", limits=LIMITS)
    assert found(model) == [
        (
            "fleet file",
            "models.gpt unmeasured",
            (
                "the limit of gpt does not apply to acme/research: the tokens per task are not "
                "measured yet; until then their key `usage` can state them"
            ),
        )
    ]
    assert found(model, usage=USAGE) == found(model, measured=USAGE) == []


def test_neither_does_a_budget_nor_money_and_each_is_said_once_for_all_pools() -> None:
    model = LlmModel(name="gpt", limits=RateLimits(), price=PRICE)
    budget = Budget(tokens_per_day=1000, usd_per_hour=Decimal(5))
    findings = found(model, "a", "b", budget=budget, capacity=Capacity(usd_per_hour=Decimal(50)))
    assert [(subject, kind) for subject, kind, _ in findings] == [
        ("acme", "tokens unmeasured"),
        ("acme", "usd unmeasured"),
        ("fleet file", "usd unmeasured"),
    ]
    assert all("acme/a, acme/b" in text for *_, text in findings)


def test_without_a_price_the_fleet_files_own_notice_is_enough() -> None:
    model = LlmModel(name="gpt", limits=RateLimits())
    assert found(model, budget=Budget(usd_per_hour=Decimal(5))) == []
