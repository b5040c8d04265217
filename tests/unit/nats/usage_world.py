"""A fleet with token budgets, and the events its workers would publish."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from controller.model.fleet import Fleet, Pool, Tenant, Tier
from controller.model.scarcity import Budget, LlmModel, ModelTier, TaskUsage, TokenCount
from controller.model.worker_messages import usage_subject
from tests.unit.nats.fake_nats import pool

TIER = Tier(name="growth", priority=500)
NEW_YORK = "America/New_York"


def tenant(name: str = "acme", *, timezone: str = "UTC", **budget: Any) -> Tenant:
    return Tenant(
        name=name,
        tier=TIER,
        namespace=f"tenant-{name}",
        timezone=timezone,
        budget=Budget(**({"tokens_per_day": 1_000_000} | budget)),
    )


def fleet(*tenants: Tenant, pools: tuple[Pool, ...] = (), tiers: Iterable[str] = ()) -> Fleet:
    """`tiers`: those of the fleet's models."""
    return Fleet(
        models=tuple(LlmModel(name=tier, tier=ModelTier(tier)) for tier in tiers),
        tiers=(TIER,),
        tenants=tenants,
        pools=pools or tuple(pool("research", tenant=each.name) for each in tenants),
    )


def event(
    tenant: str = "acme",
    role: str = "research",
    *,
    seconds: float | None = None,
    tier: str = "",
    **usage: Any,
) -> tuple[str, bytes]:
    """Where one is published, and what."""
    body: dict[str, Any] = {"tenant": tenant, "role": role, "model": "m", "usage": usage}
    if tier:
        body["tier"] = tier
    if seconds is not None:
        body["seconds"] = seconds
    return usage_subject(tenant, role), json.dumps(body).encode()


__all__ = ["NEW_YORK", "Decimal", "TaskUsage", "TokenCount", "event", "fleet", "tenant"]
