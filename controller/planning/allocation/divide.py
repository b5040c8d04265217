"""Divides all rows over all pools, in phases."""

from __future__ import annotations

from typing import Final

from controller.planning.allocation.baseline import Baseline, owed
from controller.planning.allocation.field import Field
from controller.planning.allocation.fill import fill
from controller.planning.allocation.filling import Filling
from controller.planning.allocation.owners import Owners
from controller.planning.allocation.rows import GRANTED, Rows
from controller.planning.allocation.values import Asks, Division, Phases, SharingPolicy

DEFAULT_POLICY: Final = SharingPolicy()


def divide(
    field: Field,
    asks: Asks,
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
    filling = Filling(field, asks.current, rows, owners)
    for pool in sorted(asks.fixed):
        # a fixed pool keeps its replicas, so what they use is not given to other pools
        filling.have[pool] = asks.current[pool]
        rows.seat(pool, asks.current[pool])
    tiers = field.tiers
    if asks.fixed:
        tiers = {
            tier: [pool for pool in pools if pool not in asks.fixed]
            for tier, pools in tiers.items()
        }
    start = list(filling.have)
    baseline = Baseline(filling, asks)
    baseline.grant(tiers.values(), policy.baseline)
    after_baseline = list(filling.have)
    for pools in tiers.values():
        fill(filling, pools, asks.floors, strict=False)
    after_floors = list(filling.have)
    above = asks.floors if policy.above_floor else None
    for tier, pools in tiers.items():
        left = policy.reserves.get(tier, 0)
        if left:
            left -= sum(filling.have[pool] for pool in pools)
        if left > 0:
            fill(filling, pools, asks.needs, strict=True, above=above, units=left)
    after_reserves = list(filling.have)
    for pools in tiers.values():
        fill(filling, pools, asks.needs, strict=True, above=above)
    after_share = list(filling.have)
    for pools in tiers.values():
        fill(filling, pools, asks.wants, strict=True, above=above)
    phases = Phases(start, after_baseline, after_floors, after_reserves, after_share)
    return Division(
        have=filling.have,
        refused_by=filling.refused_by,
        by_baseline=_by_baseline(filling, asks, baseline, phases),
        phases=phases,
    )


def without_refusals(asks: Asks) -> Division:
    """The division if no row is short: each pool gets all it wants."""
    have = list(asks.wants)
    return Division(have, [GRANTED] * len(have), {})


def _by_baseline(
    filling: Filling, asks: Asks, baseline: Baseline, phases: Phases
) -> dict[int, int]:
    """The refused pools that have only their tenant's baseline and would have no share without it,
    with the index of the row that would have refused the replica.
    """
    refused_by, floors, lenient = filling.refused_by, asks.floors, baseline.lenient
    only = [
        pool
        for pool, (before, after, have) in enumerate(
            zip(phases.start, phases.baseline, filling.have, strict=True)
        )
        if before < after == have > floors[pool] and refused_by[pool] != GRANTED
    ]
    rest = [pool for pool in only if pool not in lenient]
    found = owed(filling, asks, rest) if rest else set()
    return {
        pool: lenient.get(pool, refused_by[pool])
        for pool in only
        if pool in lenient or pool in found
    }
