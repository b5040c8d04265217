"""What tenants' pools are planned to cost per hour, and the alerts that it reaches.

An alert changes no number: it is said beside the reasons of the pools that cost something.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from msgspec.structs import replace

from controller.model.decision import Code, Decision, Reason
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.scarcity import Price
from controller.planning.cost import replica_usd_per_hour
from controller.planning.terms import tasks_per_minute, usd_per_task


class Alert(NamedTuple):
    """A tenant whose pools are planned to cost its `usd_alert` or more; both in USD per hour."""

    tenant: str
    usd_per_hour: Fraction
    usd_alert: Decimal


def usd_per_hour(fleet: Fleet, decisions: Mapping[PoolKey, Decision]) -> dict[str, Fraction]:
    """What each tenant's targets cost, all slots at work; without a target, what runs. A pool
    without a model, its price or its usage costs nothing.
    """
    prices = {model.name: model.price for model in fleet.models}
    spent: defaultdict[str, Fraction] = defaultdict(Fraction)
    for pool in fleet.pools:
        decision, replica = decisions.get(pool.key), _replica_usd(pool, prices)
        if decision is not None and replica:
            replicas = decision.current if decision.target is None else decision.target
            spent[pool.tenant] += replica * (replicas or 0)
    return dict(spent)


def alerts(fleet: Fleet, decisions: Mapping[PoolKey, Decision]) -> tuple[Alert, ...]:
    """The tenants at or above their alert, in the fleet file's order."""
    watched = {
        tenant.name: tenant.budget.usd_alert
        for tenant in fleet.tenants
        if tenant.budget.usd_alert is not None
    }
    if not watched:
        return ()
    spent = usd_per_hour(fleet, decisions)
    return tuple(
        Alert(tenant, spent[tenant], limit)
        for tenant, limit in watched.items()
        if tenant in spent and spent[tenant] >= limit
    )


def with_alerts(decisions: dict[PoolKey, Decision], fleet: Fleet) -> dict[PoolKey, Decision]:
    """The same decisions, where an alert is reached with it among the reasons; the last of them,
    which decided the number, stays the last.
    """
    found = {alert.tenant: alert for alert in alerts(fleet, decisions)}
    if not found:
        return decisions
    prices = {model.name: model.price for model in fleet.models}
    said = dict(decisions)
    for pool in fleet.pools:
        decision, alert = decisions.get(pool.key), found.get(pool.tenant)
        if decision is not None and alert is not None and _replica_usd(pool, prices):
            reasons = decision.reasons
            alerted = (*reasons[:-1], _reason(alert), *reasons[-1:])
            said[pool.key] = replace(decision, reasons=alerted)
    return said


def _replica_usd(pool: Pool, prices: Mapping[str, Price | None]) -> Fraction:
    price, usage = prices.get(pool.model or ""), pool.usage
    if price is None or usage is None or usage.seconds <= 0:
        return Fraction(0)
    return replica_usd_per_hour(
        Decimal(0), tasks_per_minute(pool, usage), usd_per_task(usage, price)
    )


def _reason(alert: Alert) -> Reason:
    return Reason(
        code=Code.COST_ALERT,
        numbers={
            "usd_per_hour": round(float(alert.usd_per_hour), 2),
            "usd_alert": float(alert.usd_alert),
        },
    )
