"""The state of one division: what each pool has, which row refused it, and each tenant's share.

Progressive filling hands out one replica at a time, to the tenant and pool with the least share per
weight. Any such order is a picking sequence, so with one more replica to share no pool gets less
(Chakraborty, Schmidt-Kraepelin, Suksompong: Picking Sequences and Monotonicity in Weighted Fair
Division, IJCAI 2021).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TypeAlias

from controller.planning.allocation.field import Field
from controller.planning.allocation.owners import Owners
from controller.planning.allocation.rows import GRANTED, Rows

Measured: TypeAlias = tuple[list[int], dict[int, tuple[int, ...]]]
"""A tenant's share of each fair row, and what a replica of each pool adds to it."""


class Filling:
    """The replicas handed out so far; lists are by pool number.

    `have`: replicas. `refused_by`: the index of the row that refused more, or `GRANTED`. `current`:
    the replicas that run now.
    """

    __slots__ = ("current", "field", "have", "owners", "refused_by", "rows")

    def __init__(self, field: Field, current: Sequence[int], rows: Rows, owners: Owners) -> None:
        self.field = field
        self.owners = owners
        self.current = current
        self.rows = rows
        self.have = [0] * len(field.tenant_of)
        self.refused_by = [GRANTED] * len(field.tenant_of)

    def give(self, pool: int, *, strict: bool) -> bool:
        """Grant one replica and return True, or note the row that refuses it and return False."""
        refused = self.rows.give(pool, strict=strict)
        if refused == GRANTED:
            self.have[pool] += 1
            return True
        self.refused_by[pool] = refused
        return False

    def give_one_each(self, pools: Collection[int]) -> bool:
        """Grant one replica to each of these pools if no row refuses any of them; else none, and
        return False.
        """
        profile_of = self.rows.profile_of
        if self.rows.give_all(Counter([profile_of[pool] for pool in pools]), strict=True):
            return False
        for pool in pools:
            self.have[pool] += 1
        return True

    def drawn(self, tenant: int, above: Sequence[int] | None = None) -> list[int]:
        """What a tenant has of each fair row, in their common unit. With `above` (by pool number),
        only replicas above that number count.
        """
        rows, have = self.rows, self.have
        total = [0] * rows.fair
        for pool in self.field.pools_of[tenant]:
            counted = have[pool] if above is None else have[pool] - above[pool]
            if counted > 0:
                for number, part in enumerate(rows.share(rows.profile_of[pool])):
                    total[number] += part * counted
        return total

    def measure(self, tenant: int, pools: Sequence[int], above: Sequence[int] | None) -> Measured:
        """What a tenant has of the fair rows, and what a replica of each of these pools adds.

        Rows that can never become the tenant's largest part are left out.
        """
        rows, drawn = self.rows, self.drawn(tenant, above)
        shares = {pool: rows.share(rows.profile_of[pool]) for pool in pools}
        if len(drawn) == 1:
            return drawn, shares
        kinds = {tuple(drawn), *shares.values()}
        matter: list[int] = []
        for row in range(len(drawn)):
            if not any(all(each[other] >= each[row] for each in kinds) for other in matter):
                matter = [
                    other for other in matter if any(each[other] > each[row] for each in kinds)
                ]
                matter.append(row)
        return (
            [drawn[row] for row in matter],
            {pool: tuple([share[row] for row in matter]) for pool, share in shares.items()},
        )

    def level(self, tenant: int, drawn: Sequence[int]) -> int:
        """The tenant's level: its largest part of a fair row per weight, as an integer that
        compares exactly with the levels of other tenants.
        """
        multiply, divide = self.field.tenant_divisors[tenant]
        return max(drawn) * multiply // divide
