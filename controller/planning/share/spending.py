"""The planned cost per hour of each tenant's pools, and the cost alerts.

An alert changes no replica count: it only adds a reason to the pools that cost something.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from msgspec.structs import replace

from controller.model.decision import Code, Decision, Reason
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.scarcity import Price
from controller.planning.share.cost import replica_usd_per_hour
from controller.planning.share.uses import tasks_per_minute, usd_per_task


class CostTerms(NamedTuple):
    """By tenant, for tenants with an alert: the alert, and the cost of one replica of each pool
    with all slots busy; both in USD per hour. A pool without model, price or usage costs nothing.
    """

    alerts: Mapping[str, Decimal]
    pools: Mapping[str, Mapping[PoolKey, Fraction]]


class CostAlert(NamedTuple):
    """A tenant whose pools are planned to cost its `usd_alert` or more; both in USD per hour."""

    tenant: str
    usd_per_hour: Fraction
    usd_alert: Decimal


def cost_terms_of(fleet: Fleet) -> CostTerms:
    """The cost terms of this fleet."""
    prices = {model.name: model.price for model in fleet.models}
    alerts = {
        tenant.name: tenant.budget.usd_alert
        for tenant in fleet.tenants
        if tenant.budget.usd_alert is not None
    }
    pools: dict[str, dict[PoolKey, Fraction]] = {name: {} for name in alerts}
    for pool in fleet.pools:
        if pool.tenant in alerts and (usd := _replica_usd(pool, prices)):
            pools[pool.tenant][pool.key] = usd
    return CostTerms(alerts, pools)


def cost_alerts(terms: CostTerms, decisions: Mapping[PoolKey, Decision]) -> tuple[CostAlert, ...]:
    """The tenants at or above their alert, in the fleet file's order. A pool counts with its
    target, or with its present size if it has no target.
    """
    found = []
    for tenant, limit in terms.alerts.items():
        spent = sum(
            (
                usd * planned_replicas(decisions.get(key))
                for key, usd in terms.pools[tenant].items()
            ),
            Fraction(0),
        )
        if spent >= limit and any(key in decisions for key in terms.pools[tenant]):
            found.append(CostAlert(tenant, spent, limit))
    return tuple(found)


def with_alert(decision: Decision, alert: CostAlert) -> Decision:
    """The decision with the alert added before its last reason, because the last reason is the one
    that decided the number.
    """
    reasons = decision.reasons
    return replace(decision, reasons=(*reasons[:-1], _reason(alert), *reasons[-1:]))


def planned_replicas(decision: Decision | None) -> int:
    """What is planned for a pool: its target; without one, what runs."""
    if decision is None:
        return 0
    return (decision.current if decision.target is None else decision.target) or 0


def _replica_usd(pool: Pool, prices: Mapping[str, Price | None]) -> Fraction:
    price, usage = prices.get(pool.model or ""), pool.usage
    if price is None or usage is None or usage.seconds <= 0:
        return Fraction(0)
    return replica_usd_per_hour(
        Decimal(0), tasks_per_minute(pool, usage), usd_per_task(usage, price)
    )


def _reason(alert: CostAlert) -> Reason:
    return Reason(
        code=Code.COST_ALERT,
        numbers={
            "usd_per_hour": round(float(alert.usd_per_hour), 2),
            "usd_alert": float(alert.usd_alert),
        },
    )
