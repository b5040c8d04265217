"""The pools that share, by number, with their tenants, tiers and weights: all that depends only on
the fleet file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from controller.planning.allocation.exact import divisors, exact_weight
from controller.planning.allocation.values import Amount, DeclarationError


class Field(NamedTuple):
    """Lists by pool number or by tenant number.

    - `tenant_of`, `tier_of`: by pool. `pools_of`: by tenant. `tiers`: the pools of each tier, the
      highest tier first.
    - `ranks`, `tenant_ranks`: the order that breaks ties: the larger weight first, then the lower
      number. `pool_at` and `tenant_at` are their inverses.
    - `pool_divisors`, `tenant_divisors`: (m, d) of each weight, see `exact.divisors`.
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
    """The field of these pools.

    `pools`, `tenants`, `tiers` and `weights` are columns by pool number. Tenants are numbered in
    the order of their names; one that is missing in `tenant_weights` has weight 1. Raises
    DeclarationError for two pools with one name, WeightError for a weight that is not above zero.
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
    """Each number's rank: the larger weight first, then in the order given."""
    ranks = list(range(len(weights)))
    if len(set(weights)) > 1:
        # with reverse=True, equal elements keep their order
        for rank, number in enumerate(sorted(ranks, key=weights.__getitem__, reverse=True)):
            ranks[number] = rank
    return ranks


def _inverse(ranks: Sequence[int]) -> list[int]:
    at = [0] * len(ranks)
    for number, rank in enumerate(ranks):
        at[rank] = number
    return at
