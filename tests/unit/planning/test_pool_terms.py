"""What the workers of a pool are told of the fleet file."""

from __future__ import annotations

from decimal import Decimal

from controller.config import parse
from controller.model.ids import pool_key
from controller.model.scarcity import ModelTier
from controller.model.worker_messages import (
    ModelTerms,
    SessionLimits,
    UsedTokens,
    WorkerTerms,
)
from controller.planning.provider_shares import pool_terms

FLEET = """\
version: 1
nats: {servers: [nats://h]}
models:
  small: {tier: nano, price: {input: 0.10, output: 0.40}}
  large: {tier: premium, context: 200000, price: {input: 2, output: 8, cached_input: 0.5}}
  local: {}
tenants:
  acme: {tier: growth, budget: {usd_per_workflow: 1.50}}
  globex: {tier: growth}
pools:
  - name: a
    tenant: acme
    queue: {stream: T, consumer: a}
    replicas: {max: 5}
    model: large
    router: [small, large]
    session: {tokens: 1000, duration: 5m}
  - {name: b, tenant: globex, queue: {stream: T, consumer: b}, replicas: {max: 5}, model: local}
"""
SMALL = ModelTerms(
    name="small",
    tier=ModelTier.NANO,
    input_price=Decimal("0.1"),
    output_price=Decimal("0.4"),
)
LARGE = ModelTerms(
    name="large",
    tier=ModelTier.PREMIUM,
    context_tokens=200_000,
    input_price=Decimal(2),
    cached_input_price=Decimal("0.5"),
    output_price=Decimal(8),
)


def test_a_pool_is_told_its_limits_its_models_and_what_a_workflow_may_cost() -> None:
    terms = pool_terms(parse(FLEET, "fleet.yaml").fleet)
    assert terms[pool_key("acme", "a")] == WorkerTerms(
        session=SessionLimits(tokens=1000, duration_s=300.0, tool_calls=200),
        model="large",
        models=(LARGE, SMALL),
        usd_per_workflow=Decimal("1.50"),
        tier=500,
    )
    assert terms[pool_key("globex", "b")] == WorkerTerms(
        session=SessionLimits(tokens=500_000, duration_s=4 * 3600, tool_calls=200),
        model="local",
        models=(ModelTerms(name="local"),),
        tier=500,
    )


def test_tokens_cost_what_their_kind_costs() -> None:
    used = UsedTokens(input=1_000_000, cached_input=1_000_000, output=500_000)
    assert LARGE.usd(used) == Decimal("6.5")
    assert SMALL.usd(used) == Decimal("0.4")  # cached input costs as input
    assert ModelTerms(name="local").usd(used) is None
