"""The replicas that arriving and waiting work asks for, from rates and times: the plain formula."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from controller.model.value import Value
from controller.planning.allocation.exact import exact
from support.sharing import Amount


class MeasuredWork(Value):
    """Work as it is measured: arrivals per second now and as forecast, seconds a task takes (None
    if not known), messages waiting and in flight.

    A replica has `slots`, of which the part `occupancy` may be busy. `drain_s` is the time to
    ready: a backlog that is gone by then asks for no new replica.
    """

    rate_per_s: Amount = 0
    forecast_per_s: Amount = 0
    service_s: Amount | None = None
    pending: int = 0
    in_flight: int = 0
    slots: int = 1
    occupancy: Amount = 1
    drain_s: Amount = 9
    target: int | None = None


def replicas_for(work: MeasuredWork, previous: int | None = None, tolerance: Amount = 0) -> int:
    """Demand in replicas; `previous` is kept while the new one is within `tolerance` of it and it
    still covers the work in flight.
    """
    demand = _formula(work)
    if not previous or demand == previous:
        return demand
    near = abs(Fraction(demand, previous) - 1) <= exact(tolerance, "tolerance")
    return previous if near and previous >= ceil(Fraction(work.in_flight, work.slots)) else demand


def _formula(work: MeasuredWork) -> int:
    if work.service_s is None:
        return ceil(Fraction(work.pending + work.in_flight, work.target or work.slots))
    service_s = exact(work.service_s, "service")
    rate = max(exact(work.rate_per_s, "rate"), exact(work.forecast_per_s, "forecast"))
    busy = rate * service_s + work.pending * service_s / Fraction(exact(work.drain_s, "drain"))
    return max(
        ceil(busy / Fraction(work.slots * exact(work.occupancy, "occupancy"))),
        ceil(Fraction(work.in_flight, work.slots)),
        1 if work.pending or work.in_flight else 0,
    )
