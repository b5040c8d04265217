"""What a tenant's pools are planned to cost, and the alert that this reaches."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from msgspec.structs import replace

from controller.model.decision import Code, Decision
from controller.model.fleet import Fleet, Pool, Tenant, Tier
from controller.model.ids import pool_key
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import Observation
from controller.model.scarcity import Budget, LlmModel, Price, TaskUsage
from controller.planning.explain import sentence
from controller.planning.share.claims import cost_terms_of
from controller.planning.share.reasons import CostAlert, cost_alerts
from support.planning import plan, seen_pool
from unit.planning.story import START, make_pool

MODEL = LlmModel(name="gpt", price=Price(input=Decimal("2.50"), output=Decimal("10.00")))
# 60 tasks an hour of 800 x 2.50 + 200 x 10.00 USD per million tokens: 0.24 USD an hour each
USAGE = TaskUsage(input_tokens=800, output_tokens=200, seconds=Decimal(60))
TIER = Tier(name="growth", priority=500)


def fleet(*pools: Pool, usd_alert: str | None = "1.20") -> Fleet:
    alert = None if usd_alert is None else Decimal(usd_alert)
    return Fleet(
        tenants=(
            Tenant(name="acme", tier=TIER, namespace="acme", budget=Budget(usd_alert=alert)),
            Tenant(name="globex", tier=TIER, namespace="globex"),
        ),
        pools=pools,
        models=(MODEL, LlmModel(name="unpriced")),
    )


def paid(name: str, tenant: str = "acme", model: str = "gpt") -> Pool:
    pool = replace(make_pool(name), tenant=tenant, key=pool_key(tenant, name), max=100)
    return replace(pool, slots=1, target=1, model=model, usage=USAGE)


def decide(fleet: Fleet, **waiting: int) -> dict[str, Decision]:
    """The decisions for pools of 1 replica with so many messages each."""
    seen = {pool.key: seen_pool(waiting[pool.name], 1, at=START) for pool in fleet.pools}
    result, _ = plan(Observation(pools=seen), fleet, Intents(), Memory(), START)
    return {pool.name: result.decisions[pool.key] for pool in fleet.pools}


def alerts_of(decision: Decision) -> list[str]:
    return [sentence(one, START) for one in decision.reasons if one.code is Code.COST_ALERT]


def test_costs_are_exact_and_by_tenant() -> None:
    world = fleet(paid("a"), paid("b"), paid("c", "globex"))
    found = {each.pool: each for each in decide(world, a=2, b=3, c=7).values()}
    terms = cost_terms_of(world)
    assert cost_alerts(terms, found) == (CostAlert("acme", Fraction("1.2"), Decimal("1.20")),)
    above = cost_terms_of(fleet(*world.pools, usd_alert="1.21"))
    assert cost_alerts(above, found) == ()


def test_tasks_without_a_duration_have_no_known_cost() -> None:
    endless = replace(paid("a"), usage=replace(USAGE, seconds=Decimal(0)))
    assert alerts_of(decide(fleet(endless, usd_alert="0"), a=1)["a"]) == []
