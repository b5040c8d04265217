"""The pools that share, numbered, with their tenants, tiers and weights: what never changes while
the fleet stays the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from controller.planning.allocation.exact import divisors, exact_weight
from controller.planning.allocation.values import Amount, DeclarationError


class Field(NamedTuple):
    """Parallel sequences over the pools, and over the tenants.

    A rank is the place of a pool, or of a tenant, among equals: the larger weight first, then by
    number. `pool_at` and `tenant_at` are the inverse of the ranks. `tiers` are the pools of each
    tier, the highest tier first. The divisors compare shares by weight exactly.
    """

    tenant_of: list[int]
    tier_of: list[int]
    tiers: Mapping[int, list[int]]
    pools_of: list[list[int]]
    ranks: list[int]
    pool_at: list[int]
    pool_divisors: list[tuple[int, int]]
    tenant_ranks: list[int]
    tenant_at: list[int]
    tenant_divisors: list[tuple[int, int]]


def field_of(
    pools: Sequence[str],
    *,
    tenants: Sequence[str],
    tiers: Sequence[int],
    weights: Sequence[Amount],
    tenant_weights: Mapping[str, Amount],
) -> Field:
    """The field of these pools, in the order given; their tenants are numbered by name. A tenant
    weighs 1 unless given. Raises SharingError.
    """
    if len(set(pools)) != len(pools):
        raise DeclarationError("pools", "two pools have one name")
    of_pools = [exact_weight(weight, pool) for weight, pool in zip(weights, pools, strict=True)]
    names = sorted(set(tenants))
    number_of = {name: number for number, name in enumerate(names)}
    of_tenants = [exact_weight(tenant_weights.get(name, 1), name) for name in names]
    tenant_of = [number_of[name] for name in tenants]
    pools_of: list[list[int]] = [[] for _ in names]
    by_tier: dict[int, list[int]] = {}
    for pool, (tenant, tier) in enumerate(zip(tenant_of, tiers, strict=True)):
        pools_of[tenant].append(pool)
        by_tier.setdefault(tier, []).append(pool)
    ranks, tenant_ranks = _ranks(of_pools), _ranks(of_tenants)
    return Field(
        tenant_of=tenant_of,
        tier_of=list(tiers),
        tiers=dict(sorted(by_tier.items(), reverse=True)),
        pools_of=pools_of,
        ranks=ranks,
        pool_at=_inverse(ranks),
        pool_divisors=divisors(of_pools),
        tenant_ranks=tenant_ranks,
        tenant_at=_inverse(tenant_ranks),
        tenant_divisors=divisors(of_tenants),
    )


def _ranks(weights: Sequence[int | Fraction]) -> list[int]:
    """Places among equals: the larger weight first, then in the order given."""
    ranks = list(range(len(weights)))
    if len(set(weights)) > 1:
        # a reversed sort leaves equals in the order given, too
        for rank, number in enumerate(sorted(ranks, key=weights.__getitem__, reverse=True)):
            ranks[number] = rank
    return ranks


def _inverse(ranks: Sequence[int]) -> list[int]:
    at = [0] * len(ranks)
    for number, rank in enumerate(ranks):
        at[rank] = number
    return at
