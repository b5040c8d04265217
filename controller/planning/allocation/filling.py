"""The state of one division: what each pool has, which row refused which pool, and how large each
tenant's share is.

Filling is progressive: one replica at a time, to the tenant and pool with the least per weight. Any
such order is a picking sequence, so one more replica to share never takes one from any pool
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
"""What a tenant has of each fair row, and what a replica of each pool adds."""


class Filling:
    """Replicas handed out so far: `have` by pool, and in `refused_by` the row that refused more.
    `current` is what each pool runs.
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
        """One replica, if no row refuses it; a row that does is noted for good."""
        refused = self.rows.give(pool, strict=strict)
        if refused == GRANTED:
            self.have[pool] += 1
            return True
        self.refused_by[pool] = refused
        return False

    def give_one_each(self, pools: Collection[int]) -> bool:
        """One replica for each of these, if no row would refuse any of them."""
        profile_of = self.rows.profile_of
        if self.rows.give_all(Counter([profile_of[pool] for pool in pools]), strict=True):
            return False
        for pool in pools:
            self.have[pool] += 1
        return True

    def drawn(self, tenant: int, above: Sequence[int] | None = None) -> list[int]:
        """What a tenant has of each fair row, in their common unit; of each pool only what is above
        that number, if given.
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
        """What a tenant has of the fair rows, and what a replica of each of these pools adds; of
        the rows only those that can come to be the tenant's largest part.
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
        """The largest of a tenant's parts of the fair rows, by its weight; comparable exactly."""
        multiply, divide = self.field.tenant_divisors[tenant]
        return max(drawn) * multiply // divide
