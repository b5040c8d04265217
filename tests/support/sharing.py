"""Sharing told by pools' names: claims in, allotments out, through the product's own division."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter

import msgspec

from controller.model.decision import Bound
from controller.model.value import Value
from controller.planning import values
from controller.planning.share.bids import GRANTED
from controller.planning.share.divide import Divider
from controller.planning.share.units import Field, field_of
from controller.planning.values import (
    HALF_FED,
    Amount,
    AmountError,
    Ceiling,
    DeclarationError,
    ReplicaUses,
    Row,
    SharingError,
    WeightError,
)

__all__ = [
    "HALF_FED",
    "Allotment",
    "Amount",
    "AmountError",
    "Ceiling",
    "Claim",
    "DeclarationError",
    "Row",
    "SharingError",
    "WeightError",
    "allocate",
]


class Claim(Value, gc=False):
    """What one pool asks for, in replicas, and what each replica takes of each row."""

    pool: str
    tenant: str
    tier: int = 0
    demand: int = 0
    weight: Amount = 1
    min: int = 0
    pin: int = 0
    warm: int = 0
    current: int = 0
    fixed: bool = False
    has_work: bool | None = None
    ceilings: tuple[Ceiling, ...] = ()
    uses: Mapping[str, Amount] = msgspec.field(default_factory=dict)
    flavors: tuple[Mapping[str, Amount], ...] = ()

    @property
    def works(self) -> bool:
        return self.demand > 0 if self.has_work is None else self.has_work


class Allotment(Value, gc=False):
    """What a pool gets, all it would have liked, and the row that refused more."""

    replicas: int
    wanted: int
    bound: Bound | None = None
    limited_by: str = ""


def bounds(claim: Claim) -> tuple[int, int, int]:
    """Floor, need and want under the lowest ceiling."""
    if claim.fixed:
        return (claim.current,) * 3
    cap = min((ceiling.limit for ceiling in claim.ceilings), default=2**31)
    floor = min(cap, claim.min + claim.pin)
    need = min(cap, max(claim.demand, floor))
    return floor, need, min(cap, max(claim.demand, claim.min) + claim.pin + claim.warm)


def allocate(
    claims: Iterable[Claim],
    rows: Iterable[Row] = (),
    tenant_weights: Mapping[str, Amount] | None = None,
    kept: Divider | None = None,
) -> dict[str, Allotment]:
    """What each pool gets, by pool; the same for any order of input. `kept` is a divider of a fleet
    with these pools, weights and tiers. Raises SharingError.
    """
    pools = sorted(claims, key=attrgetter("pool"))
    ordered = sorted(rows, key=attrgetter("name"))
    divider = kept or Divider(field_for(pools, tenant_weights or {}))
    division = divider.divide(
        ordered,
        [_asked(pool) for pool in pools],
        [ReplicaUses(pool.uses, pool.flavors) for pool in pools],
    )
    result = {}
    for number, pool in enumerate(pools):
        refused = division.refused_by[number]
        result[pool.pool] = Allotment(
            replicas=division.have[number],
            wanted=bounds(pool)[2],
            bound=None if refused == GRANTED else ordered[refused].bound,
            limited_by="" if refused == GRANTED else ordered[refused].name,
        )
    return result


def field_for(pools: Iterable[Claim], tenant_weights: Mapping[str, Amount]) -> Field:
    """The pools' names, tenants, tiers and weights."""
    ordered = sorted(pools, key=attrgetter("pool"))
    return field_of(
        [pool.pool for pool in ordered],
        [pool.tenant for pool in ordered],
        [pool.weight for pool in ordered],
        tiers={pool.tenant: pool.tier for pool in ordered},
        tenant_weights=tenant_weights,
    )


def _asked(claim: Claim) -> values.Claim:
    floor, need, want = bounds(claim)
    return values.Claim(
        floor=floor,
        need=need,
        want=want,
        asked=want,
        demand=claim.demand,
        min=claim.min,
        current=claim.current,
        fixed=claim.fixed,
        works=claim.works,
        has_spares=claim.warm > 0,
        ceiling=None,
    )
