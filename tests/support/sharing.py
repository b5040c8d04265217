"""Sharing told by pools' names: claims in, allotments out, through the product's own division."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from operator import attrgetter

import msgspec

from controller.model.decision import Bound
from controller.model.value import Value
from controller.planning.allocation.divide import divide
from controller.planning.allocation.field import Field, field_of
from controller.planning.allocation.owners import owners_of
from controller.planning.allocation.rows import GRANTED, Rows, Wanted, supply_of
from controller.planning.allocation.tariff import Tariff
from controller.planning.allocation.values import (
    HALF_FED,
    Amount,
    AmountError,
    Ceiling,
    ClaimColumns,
    DeclarationError,
    ReplicaUses,
    Row,
    SharingError,
    SharingPolicy,
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
    "PhaseCounts",
    "Row",
    "SharingError",
    "SharingPolicy",
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
    waiting_since: float | None = None
    ceilings: tuple[Ceiling, ...] = ()
    uses: Mapping[str, Amount] = msgspec.field(default_factory=dict)
    flavors: tuple[Mapping[str, Amount], ...] = ()

    @property
    def works(self) -> bool:
        return self.demand > 0 if self.has_work is None else self.has_work


class PhaseCounts(Value, gc=False):
    """In which phase a pool got its replicas."""

    baseline: int = 0
    floor: int = 0
    reserve: int = 0
    share: int = 0
    warm: int = 0


class Allotment(Value, gc=False):
    """What a pool gets, all it would have liked, and why."""

    replicas: int
    wanted: int
    bound: Bound = Bound.DEMAND
    limited_by: str = ""
    phases: PhaseCounts = PhaseCounts()


def bounds(claim: Claim) -> tuple[int, int, int, int, Ceiling | None]:
    """Floor, need and want under the lowest ceiling; what is asked without it; that ceiling."""
    asked = max(claim.demand, claim.min) + claim.pin + claim.warm
    lowest = min(claim.ceilings, key=attrgetter("limit"), default=None)
    if claim.fixed:
        return claim.current, claim.current, claim.current, asked, lowest
    floor = claim.min + claim.pin
    need, want = max(claim.demand, floor), asked
    if lowest is not None:
        floor, need, want = (min(each, lowest.limit) for each in (floor, need, want))
    return floor, need, want, asked, lowest


def allocate(
    claims: Iterable[Claim],
    rows: Iterable[Row] = (),
    tenant_weights: Mapping[str, Amount] | None = None,
    policy: SharingPolicy | None = None,
) -> dict[str, Allotment]:
    """What each pool gets, by pool; the same for any order of input. Raises SharingError."""
    pools = sorted(claims, key=attrgetter("pool"))
    ordered = sorted(rows, key=attrgetter("name"))
    for pool in pools:
        counts = (pool.demand, pool.min, pool.pin, pool.warm, pool.current)
        if min((*counts, *(ceiling.limit for ceiling in pool.ceilings))) < 0:
            raise AmountError(pool.pool, "replicas cannot be below zero")
    field, by_column = columns(pools, tenant_weights or {})
    accounts = rows_for(
        [(pool.pool, ReplicaUses(pool.uses, pool.flavors)) for pool in pools],
        ordered,
        by_column.wants,
    )
    owners = owners_of(field, accounts.tariff, accounts.profile_of)
    division = divide(field, by_column, accounts, owners, policy or SharingPolicy())
    phases = division.phases
    assert phases is not None
    result = {}
    for number, pool in enumerate(pools):
        _, _, _, asked, lowest = bounds(pool)
        have, refused = division.have[number], division.refused_by[number]
        if number in division.by_baseline:
            bound, name = Bound.BASELINE, ordered[division.by_baseline[number]].name
        elif refused != GRANTED:
            bound, name = ordered[refused].bound, ordered[refused].name
        elif lowest is not None and lowest.limit < asked:
            bound, name = lowest.bound, lowest.name
        elif have <= pool.demand:
            bound, name = Bound.DEMAND, ""
        elif have <= pool.min:
            bound, name = Bound.MIN, ""
        else:
            bound, name = (Bound.WARM if pool.warm else Bound.PIN), ""
        steps = [column[number] for column in phases] + [have]
        counts = [after - before for before, after in pairwise(steps)]
        result[pool.pool] = Allotment(
            replicas=have,
            wanted=asked,
            bound=bound,
            limited_by=name,
            phases=PhaseCounts(
                baseline=counts[0],
                floor=counts[1],
                reserve=counts[2],
                share=counts[3],
                warm=counts[4],
            ),
        )
    return result


def columns(
    pools: Sequence[Claim], tenant_weights: Mapping[str, Amount]
) -> tuple[Field, ClaimColumns]:
    """The pools' names, tenants, tiers and weights, and what they ask for."""
    field = field_of(
        [pool.pool for pool in pools],
        tenants=[pool.tenant for pool in pools],
        tiers=[pool.tier for pool in pools],
        weights=[pool.weight for pool in pools],
        tenant_weights=tenant_weights,
    )
    each = [bounds(pool) for pool in pools]
    by_column = ClaimColumns(
        floors=[one[0] for one in each],
        needs=[one[1] for one in each],
        wants=[one[2] for one in each],
        current=[pool.current for pool in pools],
        works=[pool.works for pool in pools],
        fixed=frozenset(number for number, pool in enumerate(pools) if pool.fixed),
        waiting_since={
            number: pool.waiting_since
            for number, pool in enumerate(pools)
            if pool.waiting_since is not None
        },
    )
    return field, by_column


def rows_for(
    pools: Sequence[tuple[str, ReplicaUses]], rows: Sequence[Row], wants: Sequence[int]
) -> Rows:
    """The accounts of these rows for pools with these uses."""
    tariff = Tariff(pools, rows)
    profile_of = []
    wanted = Wanted(len(rows))
    for (name, uses), want in zip(pools, wants, strict=True):
        profile = tariff.profile_of(name, uses)
        assert profile is not None
        profile_of.append(profile)
        wanted.add(tariff, profile, want)
    supply = supply_of(tariff, rows)
    return Rows(supply, tariff, profile_of, wanted.short(supply.left))
