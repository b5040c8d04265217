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

from controller.planning.allocation.field import Field
from controller.planning.allocation.rows import GRANTED, Rows


class Filling:
    """Replicas handed out so far: `have` by pool, and in `refused_by` the row that refused more.
    `current` is what each pool runs.
    """

    __slots__ = ("current", "field", "have", "refused_by", "rows")

    def __init__(self, field: Field, current: Sequence[int], rows: Rows) -> None:
        self.field = field
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

    def level(self, tenant: int, drawn: Sequence[int]) -> int:
        """The largest of a tenant's parts of the fair rows, by its weight; comparable exactly."""
        multiply, divide = self.field.tenant_divisors[tenant]
        return max(drawn) * multiply // divide
