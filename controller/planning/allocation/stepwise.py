"""Progressive filling one replica at a time, for pools that cannot all reach their goals.

The next replicas of a tenant's pools are a sorted list of keys, and the tenants are in a heap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heapreplace

from controller.planning.allocation.filling import Filling
from controller.planning.allocation.order import Order, next_key
from controller.planning.allocation.rows import GRANTED


class StepwiseFilling:
    """Hands out replicas to the `wanting` pools in order, up to `goal` (by pool).

    With `above`, only replicas above that number count for a tenant's share. Soft rows refuse only
    if `strict`.
    """

    __slots__ = (
        "_above",
        "_divisors",
        "_drawn",
        "_filling",
        "_goal",
        "_heap",
        "_least",
        "_pools_in_all",
        "_pools_of",
        "_ranks",
        "_strict",
        "_tenants_in_all",
        "_wanting",
    )

    def __init__(
        self,
        filling: Filling,
        wanting: Sequence[int],
        goal: Sequence[int],
        above: Sequence[int] | None,
        *,
        strict: bool,
    ) -> None:
        self._filling, self._goal, self._above = filling, goal, above
        self._wanting, self._strict = wanting, strict
        self._divisors, self._ranks = filling.field.tenant_divisors, filling.field.tenant_ranks
        self._pools_in_all, self._tenants_in_all = (
            len(filling.field.pool_at),
            len(filling.field.tenant_at),
        )
        self._least: dict[int, int] = {}
        self._pools_of: dict[int, list[int]] = {}
        for pool in wanting:
            self._pools_of.setdefault(filling.field.tenant_of[pool], []).append(pool)
        self._drawn = {tenant: filling.drawn(tenant, above) for tenant in self._pools_of}
        self._heap = [
            self._entry(tenant, min([next_key(filling, pool, above) for pool in pools]))
            for tenant, pools in self._pools_of.items()
        ]
        heapify(self._heap)

    def run(self, units: int | None) -> bool:
        """Hand out at most `units` replicas, or without limit if None. True if a pool may still get
        more: it is below its goal and no row has refused it.
        """
        filling, heap, give = self._filling, self._heap, self._giver()
        have, refused_by = filling.have, filling.refused_by
        pool_at, tenant_at = filling.field.pool_at, filling.field.tenant_at
        pools_in_all, tenants_in_all = self._pools_in_all, self._tenants_in_all
        orders: dict[int, Order] = {}
        parts: dict[int, tuple[int, ...]] = {}
        while heap and units != 0:
            tenant = tenant_at[heap[0] % tenants_in_all]
            order = orders.get(tenant)
            if order is None:
                order = orders[tenant] = self._order(tenant, parts)
            ahead = order.ahead
            pool = pool_at[ahead.pop() % pools_in_all]
            refused = give(pool)
            if refused == GRANTED:
                have[pool] += 1
                units = None if units is None else units - 1
                drawn = self._drawn[tenant]
                for number, part in enumerate(parts[pool]):
                    drawn[number] += part
            else:
                refused_by[pool] = refused
                if self._refuse_all_if_none_fits(refused):
                    return False
            if ahead and refused_by[pool_at[ahead[-1] % pools_in_all]] == GRANTED:
                heapreplace(heap, self._entry(tenant, ahead[-1]))
            elif (key := order.head()) is not None:
                heapreplace(heap, self._entry(tenant, key))
            else:
                heappop(heap)
        return bool(heap)

    def _entry(self, tenant: int, key: int) -> int:
        """The tenant's key in the heap: its level, whether the next replica has to be started, and
        its rank. `key` is the key of its pool's next replica.
        """
        multiply, divide = self._divisors[tenant]
        level = max(self._drawn[tenant]) * multiply // divide
        waits = key // self._pools_in_all & 1
        return (2 * level + waits) * self._tenants_in_all + self._ranks[tenant]

    def _order(self, tenant: int, parts: dict[int, tuple[int, ...]]) -> Order:
        pools = self._pools_of[tenant]
        self._drawn[tenant], shares = self._filling.measure(tenant, pools, self._above)
        parts.update(shares)
        order = Order(self._filling, pools, self._goal, self._above)
        order.head()
        return order

    def _giver(self) -> Callable[[int], int]:
        """`Rows.give` for these pools, with a fast path for pools that use no classes of nodes."""
        rows, strict = self._filling.rows, self._strict
        profiles, profile_of, left = rows.profiles, rows.profile_of, rows.left
        passing = bool(rows.passes)

        def give(pool: int) -> int:
            (takes, hard, lenient), flavors = profiles[profile_of[pool]]
            if flavors or passing:
                return rows.give(pool, strict=strict)
            for row, need in hard if strict else lenient:
                if left[row] < need:
                    return row
            for row, use in takes:
                left[row] -= use
            return GRANTED

        return give

    def _refuse_all_if_none_fits(self, row: int) -> bool:
        """Whether all remaining pools need more of the row than is left; then refuse them all."""
        filling = self._filling
        least = self._least.get(row)
        if least is None:
            least = self._least[row] = self._least_need(row)
        if not least or filling.rows.left[row] >= least or row in filling.rows.passes:
            return False
        for pool in self._wanting:
            if filling.have[pool] < self._goal[pool] and filling.refused_by[pool] == GRANTED:
                filling.refused_by[pool] = filling.rows.give(pool, strict=self._strict)
        return True

    def _least_need(self, row: int) -> int:
        """The least that must be left of a row for one of these pools; 0 if one does not use it."""
        least, rows = 0, self._filling.rows
        for pool in self._wanting:
            draw = rows.profiles[rows.profile_of[pool]].everywhere
            need = dict(draw.strict if self._strict else draw.lenient).get(row, 0)
            if not need:
                return 0
            least = min(least or need, need)
        return least
