"""Every fleet of up to four pools, three tiers and six replicas: nothing is left to chance."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement, product

import pytest

from controller.planning.share.divide import Divider
from property.sharing_worlds import TIERS
from support.sharing import Allotment, Claim, Row, allocate, bounds, field_for

KINDS = tuple(product(TIERS, (0, 1, 3), (0, 1)))
CAPACITIES = range(7)


def worlds(pools: int) -> Iterator[list[Claim]]:
    for kinds in combinations_with_replacement(KINDS, pools):
        yield [
            Claim(
                pool=f"p{number}",
                tenant=f"t{number}",
                tier=tier,
                demand=demand,
                min=floor,
                uses={"replicas": 1},
            )
            for number, (tier, demand, floor) in enumerate(kinds)
        ]


def check(claims: list[Claim], capacity: int, result: dict[str, Allotment]) -> None:
    wants = {claim.pool: bounds(claim)[2] for claim in claims}
    have = {pool: allotment.replicas for pool, allotment in result.items()}
    assert sum(have.values()) == min(capacity, sum(wants.values()))
    least = {claim.pool: max(bounds(claim)[0], int(claim.works)) for claim in claims}
    if sum(least.values()) <= capacity:
        assert all(have[pool] >= floor for pool, floor in least.items())
    for claim in claims:
        pool = claim.pool
        assert 0 <= have[pool] <= wants[pool]
        assert (have[pool] < wants[pool]) == (result[pool].limited_by == "replicas")
        for lower in claims:
            if have[pool] < bounds(claim)[1] and lower.tier < claim.tier:
                assert have[lower.pool] <= least[lower.pool]


@pytest.mark.parametrize("pools", [1, 2, 3, 4])
def test_every_small_world_keeps_every_promise(pools: int) -> None:
    for claims in worlds(pools):
        before: dict[str, int] | None = None
        kept = Divider(field_for(claims, {}))
        for capacity in CAPACITIES:
            rows = [Row(name="replicas", capacity=capacity, fair=True)]
            result = allocate(claims, rows, kept=kept)
            check(claims, capacity, result)
            have = {pool: allotment.replicas for pool, allotment in result.items()}
            if before is not None:
                assert all(have[pool] >= number for pool, number in before.items())
            before = have
