"""Tiers and tenants of the fleet file as values."""

from __future__ import annotations

from controller.config.schema.tenants import BlindEntry, BudgetEntry, TenantEntry, TierEntry
from controller.model.fleet import BlindPolicy, Tenant, Tier
from controller.model.scarcity import Budget, Pacing, Resources, TokenCount


def tier(name: str, entry: TierEntry) -> Tier:
    """A tier's value."""
    return Tier(name=name, priority=entry.priority, blind=_blind(entry.blind))


def tenant(name: str, entry: TenantEntry, its_tier: Tier) -> Tenant:
    """A tenant's value. Without a namespace in the file, its namespace has the tenant's name."""
    quota = entry.quota
    return Tenant(
        name=name,
        tier=its_tier,
        namespace=entry.namespace or name,
        timezone=entry.timezone,
        weight=entry.weight,
        quota=Resources(replicas=quota.replicas, cpu_milli=quota.cpu, memory_bytes=quota.memory),
        budget=_budget(entry.budget),
    )


def _blind(entry: BlindEntry | None) -> BlindPolicy | None:
    return BlindPolicy(after_s=entry.after, replicas=entry.replicas) if entry else None


def _budget(entry: BudgetEntry) -> Budget:
    count = entry.count
    return Budget(
        tokens_per_day=entry.tokens_per_day,
        count=TokenCount(input=count.input, output=count.output, cached_input=count.cached_input),
        warn=entry.warn,
        hard=entry.hard,
        pacing=Pacing(entry.pacing),
        usd_per_hour=entry.usd_per_hour,
        usd_alert=entry.usd_alert,
        usd_per_workflow=entry.usd_per_workflow,
    )
