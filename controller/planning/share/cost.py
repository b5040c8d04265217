"""Costs in US dollars per hour: the cost of a replica, and cost limits as rows. Exact numbers."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Final

from controller.model.decision import Bound
from controller.planning.allocation.exact import exact
from controller.planning.allocation.values import Amount, Row

FLEET_ROW: Final = "usd"
_MINUTES: Final = 60


def replica_usd_per_hour(
    pod_usd_per_hour: Decimal, tokens_per_minute: Amount = 0, usd_per_token: Decimal = Decimal(0)
) -> Fraction:
    """The pod's price per hour plus the price of the tokens that it burns in an hour, in USD.

    Raises AmountError for a number that is negative or not exact.
    """
    tokens = exact(tokens_per_minute, "tokens")
    burnt = _MINUTES * tokens * exact(usd_per_token, "price")
    return Fraction(exact(pod_usd_per_hour, "price") + burnt)


def cost_row(usd_per_hour: Decimal, tenant: str | None = None) -> Row:
    """A cost limit in USD per hour as a row: for a tenant's pools, or for the fleet if None. A
    replica uses its cost of it.
    """
    name = FLEET_ROW if tenant is None else f"{FLEET_ROW}:{tenant}"
    return Row(name=name, capacity=usd_per_hour, bound=Bound.COST)
