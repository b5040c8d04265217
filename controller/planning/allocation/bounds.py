"""What one pool alone may have and asks for, before anything is shared."""

from __future__ import annotations

from controller.model.value import Value
from controller.planning.allocation.values import AmountError, Ceiling, Claim


class Bounds(Value, gc=False):
    """Floor, need and want in replicas, none above the ceiling; `asked` is the want without it."""

    floor: int
    need: int
    want: int
    asked: int
    ceiling: Ceiling | None


def bounds_of(claim: Claim) -> Bounds:
    """The bounds of a pool; a fixed one wants what it has. Raises AmountError."""
    demand, least, pin, warm, current = (
        claim.demand,
        claim.min,
        claim.pin,
        claim.warm,
        claim.current,
    )
    if demand < 0 or least < 0 or pin < 0 or warm < 0 or current < 0:
        raise AmountError(claim.pool, "replicas cannot be below zero")
    work = max(demand, least)
    asked = work + pin + warm
    ceiling = _lowest(claim) if claim.ceilings else None
    if claim.fixed:
        return Bounds(floor=current, need=current, want=current, asked=asked, ceiling=ceiling)
    floor = least + pin
    need = max(demand, floor)
    if ceiling is None or ceiling.limit >= asked:
        return Bounds(floor=floor, need=need, want=asked, asked=asked, ceiling=ceiling)
    limit = ceiling.limit
    return Bounds(
        floor=min(floor, limit),
        need=min(need, limit),
        want=limit,
        asked=asked,
        ceiling=ceiling,
    )


def _lowest(claim: Claim) -> Ceiling:
    """The lowest of a pool's ceilings; among equals the first that is listed."""
    lowest = claim.ceilings[0]
    for ceiling in claim.ceilings:
        if ceiling.limit < 0:
            raise AmountError(claim.pool, f"a ceiling of {ceiling.limit}")
        if ceiling.limit < lowest.limit:
            lowest = ceiling
    return lowest
