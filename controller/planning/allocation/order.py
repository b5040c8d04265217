"""The order in which the pools of one tenant get their next replicas.

A key is one integer made of (level, whether the replica has to be started, rank), because integers
compare fast. All keys of a pool are known in advance: its level is its replicas per weight.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from controller.planning.allocation.filling import Filling
from controller.planning.allocation.rows import GRANTED

AHEAD: Final = 64
"""About how many replicas of a pool are sorted at a time; it limits memory for large demands."""


def next_key(filling: Filling, pool: int, above: Sequence[int] | None) -> int:
    """The key of a pool's next replica."""
    return _key(filling, pool, filling.have[pool], 0 if above is None else above[pool])


def _key(filling: Filling, pool: int, have: int, offset: int) -> int:
    """The key of the next replica of a pool that has `have` replicas; `offset` of them do not
    count for its level.
    """
    multiply, divide = filling.field.pool_divisors[pool]
    level = max(have - offset, 0) * multiply // divide
    waits = filling.current[pool] <= have
    return (2 * level + waits) * len(filling.field.pool_at) + filling.field.ranks[pool]


class Order:
    """The keys of the pools' next replicas: `ahead`, sorted, with the next one last.

    `goes_on`: more keys come after these. A key modulo the number of all pools is the pool's rank.
    """

    __slots__ = ("_above", "_filling", "_goal", "_pools", "ahead", "goes_on")

    def __init__(
        self,
        filling: Filling,
        pools: Sequence[int],
        goal: Sequence[int],
        above: Sequence[int] | None,
    ) -> None:
        self._filling, self._pools, self._goal, self._above = filling, pools, goal, above
        self.ahead: list[int] = []
        self.goes_on = True

    def head(self) -> int | None:
        """The key of the next replica of a pool that no row has refused; None if there is none."""
        ahead, pool_at, refused_by = (
            self.ahead,
            self._filling.field.pool_at,
            self._filling.refused_by,
        )
        while True:
            while ahead:
                if refused_by[pool_at[ahead[-1] % len(pool_at)]] == GRANTED:
                    return ahead[-1]
                ahead.pop()
            if not self.goes_on:
                return None
            self._look_ahead()

    def _look_ahead(self) -> None:
        """Sort all keys below the horizon into `ahead`."""
        filling, goal, above = self._filling, self._goal, self._above
        have, refused_by = filling.have, filling.refused_by
        pools = [
            pool for pool in self._pools if have[pool] < goal[pool] and refused_by[pool] == GRANTED
        ]
        horizon = self._horizon(pools)
        keys: list[Iterator[int]] = []
        for pool in pools:
            high, offset = goal[pool], 0 if above is None else above[pool]
            if horizon is not None:
                multiply, divide = filling.field.pool_divisors[pool]
                high = min(high, offset + (horizon * divide - 1) // multiply + 1)
            keys.append(self._keys(pool, high, offset))
        self.ahead.extend(chain.from_iterable(keys))
        self.ahead.sort(reverse=True)
        self.goes_on = horizon is not None

    def _horizon(self, pools: Sequence[int]) -> int | None:
        """A level that no pool reaches with more than about `AHEAD` replicas from here; None if
        all missing replicas are fewer.
        """
        filling, goal, above = self._filling, self._goal, self._above
        horizon = None
        for pool in pools:
            counted, offset = filling.have[pool], 0
            if above is not None:
                offset = above[pool]
                counted = max(counted - offset, 0)
            if goal[pool] - offset - counted > AHEAD:
                multiply, divide = filling.field.pool_divisors[pool]
                level = (counted + AHEAD) * multiply // divide
                horizon = level if horizon is None else min(horizon, level)
        return horizon

    def _keys(self, pool: int, high: int, offset: int) -> Iterator[int]:
        """The keys of a pool's replicas after those it has, up to `high`."""
        filling = self._filling
        low, size = filling.have[pool], len(filling.field.pool_at)
        multiply, divide = filling.field.pool_divisors[pool]
        if divide > 1 or low < offset:
            return iter([_key(filling, pool, have, offset) for have in range(low, high)])
        started_from = min(max(filling.current[pool], low), high)
        step = 2 * multiply * size
        first = filling.field.ranks[pool] - offset * step
        return chain(
            range(first + low * step, first + started_from * step, step),
            range(first + size + started_from * step, first + size + high * step, step),
        )
