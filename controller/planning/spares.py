"""Spares for `warm.slo`: replicas so that this share of the arrivals finds one ready.

Arrivals are taken as Poisson over one time to ready, at the rate that the pool's past tells; a wake
takes milliseconds, so noticing adds nothing. What a rule keeps ready by itself is not added twice.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Final

from controller.planning.draft import Draft
from controller.planning.foresight import expected_arrivals
from controller.planning.warm import warm_spares

# a spare stays while the rate is not further below the one that asked for it
SLACK: Final = 1.25
_DIGITS: Final = 3


def spares_for(draft: Draft) -> int:
    """Spares beyond the recommendation; those that run already stay while the rate is near."""
    warm, native = draft.pool.warm, draft.native
    if warm is None or warm.slo is None or native is None:
        return 0
    arrivals = expected_arrivals(native, draft.now)
    fewest, most = (_spares(round(arrivals * part, _DIGITS), warm.slo) for part in (1, SLACK))
    ready = max(draft.replicas - native.base, 0) if draft.settled else 0
    there = draft.current - draft.replicas + ready
    return max(min(max(there, fewest), most) - ready, 0)


@lru_cache(maxsize=4096)
def _spares(arrivals: float, slo: Decimal) -> int:
    return warm_spares(Decimal(repr(arrivals)), 0, 1, slo)
