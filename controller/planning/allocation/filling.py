"""Where sharing has come to: who has what, which row refused whom, and how far along a tenant is.

Filling is progressive: one replica at a time to whoever has the least per weight. Any such order is
a picking sequence, so one replica more to share never takes one from anybody (Chakraborty,
Schmidt-Kraepelin, Suksompong: Picking Sequences and Monotonicity in Weighted Fair Division, IJCAI
2021).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from controller.planning.allocation.exact import divisors
from controller.planning.allocation.members import Members
from controller.planning.allocation.rows import GRANTED, Rows


class Filling:
    """Replicas handed out so far, and which row refused whom: `have` and `refused_by` by pool."""

    __slots__ = (
        "have",
        "members",
        "pool_at",
        "pool_divisors",
        "refused_by",
        "rows",
        "tenant_at",
        "tenant_divisors",
    )

    def __init__(self, members: Members, rows: Rows) -> None:
        self.members = members
        self.rows = rows
        self.have = [0] * len(members.current)
        self.refused_by = [GRANTED] * len(members.current)
        self.pool_divisors = divisors(members.weights)
        self.tenant_divisors = divisors(members.tenant_weights)
        self.pool_at = _inverse(members.ranks)
        self.tenant_at = _inverse(members.tenant_ranks)

    def give(self, pool: int, *, strict: bool) -> bool:
        """One replica, if no row refuses; the row that does is noted for good."""
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
        for pool in self.members.pools_of[tenant]:
            counted = have[pool] if above is None else have[pool] - above[pool]
            if counted > 0:
                for number, part in enumerate(rows.share(rows.profile_of[pool])):
                    total[number] += part * counted
        return total

    def level(self, tenant: int, drawn: Sequence[int]) -> int:
        """The largest of a tenant's parts of the fair rows, by its weight; comparable exactly."""
        multiply, divide = self.tenant_divisors[tenant]
        return max(drawn) * multiply // divide


def _inverse(ranks: Sequence[int]) -> list[int]:
    at = [0] * len(ranks)
    for number, rank in enumerate(ranks):
        at[rank] = number
    return at
