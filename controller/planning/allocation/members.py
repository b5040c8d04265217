"""Who shares: pools and their tenants, numbered, with their weights and places among equals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from controller.planning.allocation.exact import exact_weight
from controller.planning.allocation.values import Amount, Claim, DeclarationError, Member


class Members(NamedTuple):
    """Who shares, as parallel sequences over the pools, and over the tenants.

    A rank is a pool's, or a tenant's, place among equals: larger weight first, then by name.
    """

    current: Sequence[int]
    weights: Sequence[int | Fraction]
    ranks: Sequence[int]
    tenant_of: Sequence[int]
    tenant_weights: Sequence[int | Fraction]
    tenant_ranks: Sequence[int]
    pools_of: Sequence[Sequence[int]]


def members_of(pools: Sequence[Member], tenant_weights: Mapping[str, Amount]) -> Members:
    """Pools in the order given and their tenants by name, with their places among equals."""
    weights = [exact_weight(member.weight, member.pool) for member in pools]
    if len({member.pool for member in pools}) != len(pools):
        raise DeclarationError("pools", "two pools have one name")
    tenants = [member.tenant for member in pools]
    names = sorted(set(tenants))
    number_of = {name: number for number, name in enumerate(names)}
    of_tenants = [exact_weight(tenant_weights.get(name, 1), name) for name in names]
    tenant_of = [number_of[name] for name in tenants]
    pools_of: list[list[int]] = [[] for _ in names]
    for pool, tenant in enumerate(tenant_of):
        pools_of[tenant].append(pool)
    return Members(
        current=[member.current for member in pools],
        weights=weights,
        ranks=_ranks(weights),
        tenant_of=tenant_of,
        tenant_weights=of_tenants,
        tenant_ranks=_ranks(of_tenants),
        pools_of=pools_of,
    )


def tiers_of(claims: Sequence[Claim]) -> dict[int, list[int]]:
    """The pools that may be given something, by tier, the highest first."""
    tiers: dict[int, list[int]] = {}
    for pool, claim in enumerate(claims):
        if not claim.fixed:
            tiers.setdefault(claim.tier, []).append(pool)
    return dict(sorted(tiers.items(), reverse=True))


def _ranks(weights: Sequence[int | Fraction]) -> list[int]:
    """Places among equals: the larger weight first, then in the order given, which is by name."""
    ranks = list(range(len(weights)))
    if len(set(weights)) > 1:
        # a reversed sort leaves equals in the order given, too
        for rank, number in enumerate(sorted(ranks, key=weights.__getitem__, reverse=True)):
            ranks[number] = rank
    return ranks
