"""Spare replicas: those that the fleet file or an operator names, and those for arrivals.

Spares are a floor over what the present work takes, so a spare never counts as work that needs
another spare. Arrivals are taken as Poisson over one time to ready, at the rate that was learned; a
wake-up takes milliseconds, so noticing a message adds nothing.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple

from controller.planning.demand.demand import Demand
from controller.planning.given.pool_input import PoolInput
from controller.planning.limit.poisson import spares_for_arrivals

SLACK: Final = 1.25
"""A spare stays while the rate is not further below the rate that asked for it."""
_ARRIVAL_DIGITS: Final = 3


class Spares(NamedTuple):
    """How many of each: named in the fleet file, pinned by an operator, for arrivals."""

    configured: int
    pinned: int
    for_arrivals: int


NO_SPARES: Final = Spares(0, 0, 0)


def spare_base(demand: Demand, recommendation: int, minimum: int) -> int:
    """The size on top of which spares stand: what the present work takes, and min at least.

    Only min where the work is not known, or where a window or a policy grants less than the work
    needs: spares would be the growth that it forbids, and the waiting work would take them at once.
    """
    needed = demand.needed
    if needed is None or needed > recommendation:
        return minimum
    return max(needed, minimum)


def spares_of(given: PoolInput, demand: Demand, base: int) -> Spares:
    """The spares that are asked for on top of `base`."""
    pin, configured = given.override.pin, given.terms.configured_spares
    pinned = 0 if pin is None else max(pin.replicas, 0)
    warm = given.terms.pool.warm
    if warm is None or warm.slo is None or demand.arrivals is None:
        return Spares(configured, pinned, 0) if configured or pinned else NO_SPARES
    fewest = _for_arrivals(round(demand.arrivals, _ARRIVAL_DIGITS), warm.slo)
    most = _for_arrivals(round(demand.arrivals * SLACK, _ARRIVAL_DIGITS), warm.slo)
    there = given.current - base - configured - pinned
    return Spares(configured, pinned, min(max(there, fewest), most))


@lru_cache(maxsize=4096)
def _for_arrivals(arrivals: float, slo: Decimal) -> int:
    return spares_for_arrivals(Decimal(repr(arrivals)), slo)
