"""US dollars per hour: what a replica costs, and what a limit on them allows. Decimal in, exact."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import floor

from controller.model.decision import Bound
from controller.planning.allocation.exact import exact
from support.sharing import Amount, Ceiling, Row

FLEET_ROW = "usd"


def replica_usd_per_hour(
    pod_usd_per_hour: Decimal, tokens_per_minute: Amount = 0, usd_per_token: Decimal = Decimal(0)
) -> Fraction:
    """A pod's own price and the tokens it burns in an hour."""
    tokens = exact(tokens_per_minute, "tokens")
    return Fraction(exact(pod_usd_per_hour, "price") + 60 * tokens * exact(usd_per_token, "price"))


def cost_ceiling(usd_per_hour: Decimal, replica_usd_per_hour: Amount | None) -> Ceiling | None:
    """Replicas of a tenant's only pool that fit its limit; None where a replica's price is unknown,
    or it costs nothing.
    """
    if not replica_usd_per_hour:
        return None
    limit = Fraction(exact(usd_per_hour, "usd")) / exact(replica_usd_per_hour, "price")
    return Ceiling(limit=floor(limit), bound=Bound.COST, name=FLEET_ROW)


def cost_row(usd_per_hour: Decimal, tenant: str | None = None) -> Row:
    """A limit over a tenant's pools, or over the whole fleet's; a replica uses its price."""
    name = FLEET_ROW if tenant is None else f"{FLEET_ROW}:{tenant}"
    return Row(name=name, capacity=usd_per_hour, bound=Bound.COST)
