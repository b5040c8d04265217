"""Spare replicas: a configured number, an operator's pin, and those for a service level.

Spares stand on top of what the present work needs, so a spare never counts as work that needs
another spare. The arrivals during one time to ready are assumed to be Poisson distributed, at the
learned rate. A wake-up takes milliseconds, so the time to notice a message is not added.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple

from controller.planning.inputs import PoolInput
from controller.planning.limit.poisson import spares_for_arrivals
from controller.planning.values import Demand

SLACK: Final = 1.25
"""A spare is kept until the arrival rate is lower by this factor than when it was added."""
_ARRIVAL_DIGITS: Final = 3


class Spares(NamedTuple):
    """How many of each kind: configured in the fleet file, pinned by an operator, for arrivals."""

    configured: int
    pinned: int
    for_arrivals: int


NO_SPARES: Final = Spares(0, 0, 0)


def spare_base(demand: Demand, recommendation: int, minimum: int) -> int:
    """The size on top of which spares stand: what the present work needs, and at least min.

    It is only min if the work is not known, or if a window or a policy grants less than the work
    needs. Otherwise spares would bypass that window or policy, because the waiting work would use
    them at once.
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
