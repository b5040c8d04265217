"""Progressive filling: one replica at a time to whoever has the least per weight.

Any such order is a picking sequence, so one replica more to share never takes one from anybody
(Chakraborty, Schmidt-Kraepelin, Suksompong: Picking Sequences and Monotonicity in Weighted Fair
Division, IJCAI 2021). A group that fits as a whole is granted at once, which is the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterable, Sequence
from fractions import Fraction
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from controller.planning.allocation.exact import divisors
from controller.planning.allocation.leaping import leap
from controller.planning.allocation.rows import GRANTED, Rows


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
        """One replica for each of these, if no row but a soft one would refuse any of them."""
        profile_of = self.rows.profile_of
        if not self.rows.give_all(Counter(profile_of[pool] for pool in pools), strict=False):
            return False
        for pool in pools:
            self.have[pool] += 1
        return True

    def fill(
        self,
        pools: Iterable[int],
        goal: Sequence[int],
        *,
        strict: bool,
        above: Sequence[int] | None = None,
        units: int | None = None,
    ) -> None:
        """Bring these pools towards their goals until each is there or refused.

        Soft rows refuse only if `strict`. What a pool has counts only as far as it is `above` that
        number, if given. At most `units` replicas are handed out.
        """
        have, refused_by, profile_of = self.have, self.refused_by, self.rows.profile_of
        wanting = [
            pool for pool in pools if have[pool] < goal[pool] and refused_by[pool] == GRANTED
        ]
        missing: dict[int, int] = {}
        for pool in wanting:
            profile = profile_of[pool]
            missing[profile] = missing.get(profile, 0) + goal[pool] - have[pool]
        if units is None or sum(missing.values()) <= units:
            if self.rows.give_all(missing, strict=strict):
                for pool in wanting:
                    have[pool] = goal[pool]
                return
            units = None
        if units is None:
            wanting = self._settle(wanting, goal, self.rows.contested(missing, strict=strict))
            leap(self, wanting, goal, above, strict=strict)
            wanting = [pool for pool in wanting if have[pool] < goal[pool]]
        _Contest(self, wanting, goal, above).run(strict=strict, units=units)

    def _settle(
        self, wanting: Sequence[int], goal: Sequence[int], contested: Container[int]
    ) -> list[int]:
        """Give the tenants that no row can refuse all they want; the pools of the others are left.

        A tenant is settled as a whole, for what one of its pools has counts against the next.
        """
        profile_of, tenant_of = self.rows.profile_of, self.members.tenant_of
        rivals = {tenant_of[pool] for pool in wanting if profile_of[pool] in contested}
        left = []
        for pool in wanting:
            if tenant_of[pool] in rivals:
                left.append(pool)
            else:
                self.rows.seat(pool, goal[pool] - self.have[pool])
                self.have[pool] = goal[pool]
        return left

    def drawn(self, tenant: int, above: Sequence[int] | None = None) -> list[int]:
        """What a tenant has of each fair row, in their common unit."""
        rows, have = self.rows, self.have
        total = [0] * rows.fair
        for pool in self.members.pools_of[tenant]:
            counted = have[pool] if above is None else have[pool] - above[pool]
            if counted > 0:
                for number, part in enumerate(rows.profiles[rows.profile_of[pool]].share):
                    total[number] += part * counted
        return total

    def level(self, tenant: int, drawn: Sequence[int]) -> int:
        """The largest of a tenant's parts of the fair rows, by its weight; comparable exactly."""
        multiply, divide = self.tenant_divisors[tenant]
        return max(drawn) * multiply // divide


class _Contest:
    """One group, of which not everybody can have all: who is next, unit by unit.

    The pools of a tenant wait in its queue, the tenants in one heap; entries are single integers of
    (level, has it already or not, rank), so that they compare as fast as they can.
    """

    __slots__ = ("_above", "_drawn", "_filling", "_goal", "_least", "_queues", "_wanting")

    def __init__(
        self,
        filling: Filling,
        wanting: Sequence[int],
        goal: Sequence[int],
        above: Sequence[int] | None,
    ) -> None:
        self._filling, self._goal, self._above = filling, goal, above
        self._wanting = wanting
        self._least: dict[int, int] = {}
        self._queues: dict[int, list[int]] = {}
        for pool in wanting:
            tenant = filling.members.tenant_of[pool]
            self._queues.setdefault(tenant, []).append(self._pool_entry(pool))
        for queue in self._queues.values():
            heapify(queue)
        self._drawn = {tenant: filling.drawn(tenant, above) for tenant in self._queues}

    def run(self, *, strict: bool, units: int | None) -> None:
        """Hand out until nobody is left, or `units` are gone."""
        filling, queues, goal = self._filling, self._queues, self._goal
        have, give = filling.have, filling.rows.give
        tenant_at, pool_at = filling.tenant_at, filling.pool_at
        heap = [self._tenant_entry(tenant, queue[0]) for tenant, queue in queues.items()]
        heapify(heap)
        while heap and units != 0:
            tenant = tenant_at[heap[0] % len(tenant_at)]
            queue = queues[tenant]
            pool = pool_at[queue[0] % len(pool_at)]
            refused = give(pool, strict=strict)
            if refused == GRANTED:
                have[pool] += 1
                units = None if units is None else units - 1
                self._count(tenant, pool)
            else:
                filling.refused_by[pool] = refused
                if self._nobody_fits(refused, strict=strict):
                    return
            if refused == GRANTED and have[pool] < goal[pool]:
                heapreplace(queue, self._pool_entry(pool))
            else:
                heappop(queue)
            if queue:
                heapreplace(heap, self._tenant_entry(tenant, queue[0]))
            else:
                heappop(heap)

    def _nobody_fits(self, row: int, *, strict: bool) -> bool:
        """Whether everybody who is left needs more of a row than there is; then all are refused."""
        filling = self._filling
        least = self._least.get(row)
        if least is None:
            least = self._least[row] = filling.rows.least_need(self._wanting, row, strict=strict)
        if not least or filling.rows.left[row] >= least or row in filling.rows.passes:
            return False
        for pool in self._wanting:
            if filling.have[pool] < self._goal[pool] and filling.refused_by[pool] == GRANTED:
                filling.refused_by[pool] = row
        return True

    def _count(self, tenant: int, pool: int) -> None:
        rows, drawn = self._filling.rows, self._drawn[tenant]
        for number, part in enumerate(rows.profiles[rows.profile_of[pool]].share):
            drawn[number] += part

    def _pool_entry(self, pool: int) -> int:
        filling = self._filling
        have, members = filling.have[pool], filling.members
        counted = have if self._above is None else max(have - self._above[pool], 0)
        multiply, divide = filling.pool_divisors[pool]
        waits = members.current[pool] <= have
        level = counted * multiply // divide
        return (2 * level + waits) * len(filling.pool_at) + members.ranks[pool]

    def _tenant_entry(self, tenant: int, entry: int) -> int:
        """A tenant is as entitled to the next replica as the pool that would be given it."""
        filling = self._filling
        members, pool = filling.members, filling.pool_at[entry % len(filling.pool_at)]
        multiply, divide = filling.tenant_divisors[tenant]
        waits = members.current[pool] <= filling.have[pool]
        level = max(self._drawn[tenant]) * multiply // divide
        return (2 * level + waits) * len(filling.tenant_at) + members.tenant_ranks[tenant]


def _inverse(ranks: Sequence[int]) -> list[int]:
    at = [0] * len(ranks)
    for number, rank in enumerate(ranks):
        at[rank] = number
    return at
