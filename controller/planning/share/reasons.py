"""Why a pool got what it got: its target with the rule that decided it, and cost alerts, which add
a reason to pools that cost something and change no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from msgspec.structs import replace

from controller.model.decision import Bound, Code, Decision, Number, Reason
from controller.model.fleet import Pool
from controller.model.ids import PoolKey
from controller.planning.share.claims import CostTerms, Entry, budget_setting
from controller.planning.share.rows import Scarcity
from controller.planning.values import Claim, Row, Target, because

_CODES: Final[Mapping[Bound, Code]] = {
    Bound.QUOTA: Code.QUOTA,
    Bound.COST: Code.COST,
    Bound.RATE: Code.RATE,
    Bound.CAPACITY: Code.CAPACITY,
}


def target_of(
    entry: Entry, pool: Pool, replicas: int, refused_by: Row | None, scarcity: Scarcity
) -> Target:
    """The pool's target with these replicas of the division, its bound and its reasons."""
    claim, asked = entry.sharer.claim, entry.target
    numbers: dict[str, Number]
    if claim.fixed and refused_by is not None:
        numbers = {"row": refused_by.name, "capacity": float(refused_by.capacity)}
        above = because(Code.ABOVE_QUOTA, replicas, **numbers)
        return Target(replicas, asked.bound, (*asked.reasons, above))
    if replicas == asked.replicas or claim.fixed:  # of a fixed pool, its gate says why
        return Target(replicas, asked.bound, asked.reasons)
    bound, name = _bound(claim, replicas, refused_by)
    if bound is Bound.BUDGET:
        set_by = budget_setting(pool.tenant, scarcity)
        reason = _budget_reason(pool.tenant, replicas, scarcity)
        return Target(replicas, bound, (*asked.reasons, *set_by, reason))
    if (code := _CODES.get(bound)) is None:
        return Target(replicas, bound, asked.reasons)
    numbers = {"row": name}
    if (row := scarcity.rows.get(name)) is not None:
        numbers["capacity"] = float(row.capacity)
    return Target(replicas, bound, (*asked.reasons, because(code, replicas, **numbers)))


def _bound(claim: Claim, replicas: int, refused_by: Row | None) -> tuple[Bound, str]:
    """The rule that decided the size, and the row or ceiling: a refusal, or what was asked."""
    if refused_by is not None:
        return refused_by.bound, refused_by.name
    if claim.ceiling is not None and claim.ceiling.limit < claim.asked:
        return claim.ceiling.bound, claim.ceiling.name
    if replicas <= claim.demand:
        return Bound.DEMAND, ""
    if replicas <= claim.min:
        return Bound.MIN, ""
    return (Bound.WARM if claim.has_spares else Bound.PIN), ""


def _budget_reason(tenant: str, replicas: int, scarcity: Scarcity) -> Reason:
    found = scarcity.tenants.get(tenant)
    status = None if found is None else found.budget
    if found is None or status is None or found.is_spent:
        return because(Code.BUDGET_SPENT, replicas)
    numbers: dict[str, Number] = {
        "used_percent": round(float(status.gone) * 100, 1),
        "pace_per_minute": round(float(status.pace or 0), 1),
    }
    if status.exhausted_in is not None:
        numbers["exhausted_at"] = round(status.at + float(status.exhausted_in) * 60)
    if status.early is not None:
        numbers["early_s"] = round(float(status.early) * 60)
    return because(Code.BUDGET, replicas, **numbers)


class CostAlert(NamedTuple):
    """A tenant whose pools are planned to cost its `usd_alert` or more; both in USD per hour."""

    tenant: str
    usd_per_hour: Fraction
    usd_alert: Decimal


def cost_alerts(terms: CostTerms, decisions: Mapping[PoolKey, Decision]) -> tuple[CostAlert, ...]:
    """Tenants at their alert, in the fleet's order; pools count with target, else size."""
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
    """The decision with the alert before its last reason, which decided the number."""
    reasons, usd = decision.reasons, round(float(alert.usd_per_hour), 2)
    alarm = because(Code.COST_ALERT, usd_per_hour=usd, usd_alert=float(alert.usd_alert))
    return replace(decision, reasons=(*reasons[:-1], alarm, *reasons[-1:]))


def planned_replicas(decision: Decision | None) -> int:
    """What is planned for a pool: its target; without one, what runs."""
    if decision is None:
        return 0
    return (decision.current if decision.target is None else decision.target) or 0
