"""Divides all rows over all pools, in phases."""

from __future__ import annotations

from typing import Final

from controller.planning.allocation.baseline import Baseline, without_share
from controller.planning.allocation.field import Field
from controller.planning.allocation.fill import fill
from controller.planning.allocation.filling import Filling
from controller.planning.allocation.owners import Owners
from controller.planning.allocation.rows import GRANTED, Rows
from controller.planning.allocation.values import ClaimColumns, Division, Phases, SharingPolicy

DEFAULT_POLICY: Final = SharingPolicy()


def divide(
    field: Field,
    claims: ClaimColumns,
    rows: Rows,
    owners: Owners,
    policy: SharingPolicy = DEFAULT_POLICY,
) -> Division:
    """What each pool gets of these rows; `rows` is changed.

    Five phases, each tier by tier from the highest: the baseline of tenants with work, floors,
    reserves, needs, spares. In each phase the next replica goes to the tenant with the least share
    per weight, and there to the pool with the least replicas per weight. Ties go first to a replica
    that runs already, then to the larger weight, then to the lower number.
    """
    filling = Filling(field, claims.current, rows, owners)
    for pool in sorted(claims.fixed):
        # a fixed pool keeps its replicas, so what they use is not given to other pools
        filling.have[pool] = claims.current[pool]
        rows.place_held(pool, claims.current[pool])
    tiers = field.tiers
    if claims.fixed:
        tiers = {
            tier: [pool for pool in pools if pool not in claims.fixed]
            for tier, pools in tiers.items()
        }
    start = list(filling.have)
    baseline = Baseline(filling, claims)
    baseline.grant(tiers.values(), policy.baseline)
    after_baseline = list(filling.have)
    for pools in tiers.values():
        fill(filling, pools, claims.floors, strict=False)
    after_floors = list(filling.have)
    above = claims.floors if policy.above_floor else None
    for tier, pools in tiers.items():
        left = policy.reserves.get(tier, 0)
        if left:
            left -= sum(filling.have[pool] for pool in pools)
        if left > 0:
            fill(filling, pools, claims.needs, strict=True, above=above, units=left)
    after_reserves = list(filling.have)
    for pools in tiers.values():
        fill(filling, pools, claims.needs, strict=True, above=above)
    after_share = list(filling.have)
    for pools in tiers.values():
        fill(filling, pools, claims.wants, strict=True, above=above)
    phases = Phases(start, after_baseline, after_floors, after_reserves, after_share)
    return Division(
        have=filling.have,
        refused_by=filling.refused_by,
        by_baseline=_by_baseline(filling, claims, baseline, phases),
        phases=phases,
    )


def without_refusals(claims: ClaimColumns) -> Division:
    """The division if no row is short: each pool gets all it wants."""
    have = list(claims.wants)
    return Division(have, [GRANTED] * len(have), {})


def _by_baseline(
    filling: Filling, claims: ClaimColumns, baseline: Baseline, phases: Phases
) -> dict[int, int]:
    """The refused pools that have only their tenant's baseline and would have no share without it,
    with the index of the row that would have refused the replica.
    """
    refused_by, floors, lenient = filling.refused_by, claims.floors, baseline.lenient
    only = [
        pool
        for pool, (before, after, have) in enumerate(
            zip(phases.start, phases.baseline, filling.have, strict=True)
        )
        if before < after == have > floors[pool] and refused_by[pool] != GRANTED
    ]
    rest = [pool for pool in only if pool not in lenient]
    found = without_share(filling, claims, rest) if rest else set()
    return {
        pool: lenient.get(pool, refused_by[pool])
        for pool in only
        if pool in lenient or pool in found
    }
