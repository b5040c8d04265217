"""The bids of each tenant: its pools' next replicas in order, as far as it depends on itself alone.

A bid is one more replica of one pool; its key is (phase, tier, level, must start, rank). Phases are
baseline, floors, needs and spares; a level is what there is already per weight: of the tenant its
largest part of a fair row, of the pool its replicas. Rows that only this tenant draws on cut the
list when it is made. All numbers are whole.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from itertools import accumulate, chain
from math import inf
from operator import add
from typing import Final

from controller.model.decision import Bound
from controller.planning.share.units import Draw, Field, Units, Uses
from controller.planning.values import Claim, ReplicaUses

Shares = Mapping[int, Sequence[int]]
"""By pool, what a replica adds to its tenant's part of each fair row that can be its largest."""
Have = Mapping[int, int] | Sequence[int]
"""Replicas by pool."""
GRANTED: Final = -1
"""In place of the row that refused: none did."""
FLOOR, NEED, SPARE = range(3)


class Bids:
    """The next replicas of a tenant's pools in order.

    - `keys`: of all bids. `pools`: those that the tenant's own rows grant, `at`: their indexes in
      `keys` (None: all), `counts`: how many of each pool. `refused`: (granted bids before it, pool,
      row) of the others.
    - `level`: the tenant's, before each granted bid and after the last. `sums`: by row of several
      tenants, what the first n granted bids take, from n = 0.
    - `rest`: replicas that no row can refuse, and that come after all bids that one can.
    """

    __slots__ = ("at", "counts", "keys", "level", "pools", "refused", "rest", "sums")

    def __init__(self, keys: list[int], pools: list[int], rest: dict[int, int]) -> None:
        self.keys, self.pools, self.rest = keys, pools, rest
        self.at: list[int] | None = None
        self.refused: list[tuple[int, int, int]] = []
        self.counts: Mapping[int, int] = {}
        self.level: list[int] = []
        self.sums: dict[int, list[int]] = {}


class Drawn:
    """A tenant's pools on the way: `have` replicas and `closed` by a row, both by pool; `left` by
    own row that is short. Rows in `passes` still grant their first replica in any case.
    """

    __slots__ = ("closed", "have", "left", "passes")

    def __init__(
        self, have: dict[int, int], closed: dict[int, int], left: dict[int, int], passes: set[int]
    ) -> None:
        self.have, self.closed, self.left, self.passes = have, closed, left, passes

    def refusing(self, needs: Uses) -> int:
        """The first own row with too little left, or `GRANTED`."""
        for row, need in needs:
            if self.left.get(row, need) < need and row not in self.passes:
                return row
        return GRANTED

    def take(self, takes: Iterable[tuple[int, int]], replicas: int) -> None:
        """Take the uses of so many replicas from the tenant's own rows."""
        for row, use in takes:
            if row in self.left:
                self.left[row] -= use * replicas
        if self.passes and replicas:
            self.passes.difference_update([row for row, _ in takes])

    def copy(self) -> Drawn:
        """A copy that can be changed."""
        return Drawn(dict(self.have), dict(self.closed), dict(self.left), set(self.passes))


class Bidder:
    """A tenant's claims and uses, and all that follows from them alone.

    - `pools`: its claims, by pool. `draws`: by pool, its uses of rows that may refuse. `shares`:
      what a replica adds to the tenant's part of each fair row that can be its largest.
    - `fixed`: the replicas of fixed pools, `start`: the state with those alone. `held`: by shared
      row, what they take within their quota. `placed`: of those that use classes of nodes or exceed
      a quota, the replicas within it and those above it.
    - `own`: by own row that is short, what a replica of each pool that is not fixed takes.
    - `baseline`: the pool that gets it, `closed`: those that own rows refused it. `bids`: by phase.
    """

    __slots__ = (
        "_field",
        "_made_of",
        "_units",
        "_uses",
        "baseline",
        "bids",
        "closed",
        "draws",
        "fixed",
        "held",
        "number",
        "own",
        "placed",
        "pools",
        "shares",
        "start",
    )

    def __init__(
        self,
        number: int,
        field: Field,
        claims: Sequence[Claim | None],
        uses: Sequence[ReplicaUses],
        units: Units,
    ) -> None:
        self.number, self._field, self._units = number, field, units
        self.pools: dict[int, Claim] = {}
        self._uses: dict[int, ReplicaUses] = {}
        for pool in field.pools_of[number]:
            if (claim := claims[pool]) is not None:
                self.pools[pool], self._uses[pool] = claim, uses[pool]
        self.fixed = {p: claim.current for p, claim in self.pools.items() if claim.fixed}
        self._made_of: tuple[object, object] = (None, None)

    def make(self, context: object, short: Sequence[int]) -> None:
        """Make the lists unless made of the same: `context` is another object when a row of several
        tenants got short or changed; `short` are the tenant's own short rows.
        """
        units, rows = self._units, self._units.rows
        left = {row: units.capacity[row] for row in short}
        if self._made_of[0] is context and self._made_of[1] == left:
            return
        self._made_of = context, left.copy()
        self.draws = {pool: units.on_short(uses) for pool, uses in self._uses.items()}
        self.shares = _telling({pool: units.shares(uses) for pool, uses in self._uses.items()})
        passes = {row for row in short if rows[row].first_passes}
        self.start = Drawn(dict.fromkeys(self.pools, 0), {}, left, passes)
        self.own: dict[int, dict[int, int]] = {row: {} for row in short}
        for pool in self.pools.keys() - self.fixed.keys() if short else ():
            for row, use in self.draws[pool].everywhere.takes:
                if row in self.own:
                    self.own[row][pool] = use
        self.held: dict[int, int] = defaultdict(int)
        self.placed: dict[int, tuple[int, int]] = {}
        for pool, replicas in self.fixed.items():
            self._hold(pool, replicas)
        state = self.start.copy()
        self.baseline = self._grant_baseline(state)
        self.closed = dict(state.closed)
        self.bids = [self.bids_of(state, phase) for phase in (FLOOR, NEED, SPARE)]

    def _hold(self, pool: int, replicas: int) -> None:
        """Take the uses of a fixed pool's replicas, whether enough is left or not. What exceeds a
        quota counts against that quota alone, so the tenant's other pools pay first: see `_Merge`.
        """
        state, (everywhere, flavors) = self.start, self.draws[pool]
        rows = self._units.rows
        quotas = [
            (row, use)
            for row, use in everywhere.takes
            if row in state.left and rows[row].bound is Bound.QUOTA
        ]
        within = min([replicas, *(max(state.left[row], 0) // use for row, use in quotas)])
        if within < replicas:
            state.closed[pool] = next(r for r, use in quotas if state.left[r] < use * (within + 1))
        state.take(everywhere.takes, within)
        state.take(quotas, replicas - within)
        state.have[pool] = replicas
        for row, use in everywhere.takes:
            if not rows[row].tenant:
                self.held[row] += use * within
        if flavors or within < replicas:
            self.placed[pool] = within, replicas - within

    def candidates(self) -> list[int]:
        """The pools for the baseline: running ones first; None if a fixed pool is at work."""
        pools = self.pools.items()
        if any(claim.fixed and claim.works and claim.current > 0 for _, claim in pools):
            return []
        working = [
            (claim.current <= 0, pool)
            for pool, claim in pools
            if claim.works and claim.need > 0 and not claim.fixed
        ]
        return [pool for _, pool in sorted(working)]

    def _grant_baseline(self, state: Drawn) -> int | None:
        """Grant one replica, as far as the tenant's own rows are concerned."""
        for pool in self.candidates():
            draw = self.draws[pool].everywhere
            refused = state.refusing(draw.hard)
            if refused == GRANTED:
                state.have[pool] = 1
                state.take(draw.takes, 1)
                return pool
            state.closed[pool] = refused
        return None

    def bids_of(self, state: Drawn, phase: int) -> Bids | None:
        """The next bids of a phase; `state` becomes what it is after them."""
        goals = {
            pool: goal
            for pool, claim in self.pools.items()
            if (goal := (claim.floor, claim.need, claim.want)[phase]) > state.have[pool]
            and pool not in state.closed
        }
        if not goals:
            return None
        field, draws = self._field, self.draws
        highs, rest = self._within_reach(goals, state, phase)
        keys = sorted(
            chain.from_iterable(
                [
                    field.keys(pool, state.have[pool], high, self.pools[pool].current)
                    for pool, high in highs.items()
                ]
            )
        )
        count, pool_at = len(field.pool_at), field.pool_at
        bids = Bids(keys, [pool_at[key % count] for key in keys], rest)
        drawn = drawn_of(self.shares, state.have)
        if state.left:
            self._refuse(bids, state, phase)
        bids.counts = Counter(bids.pools)
        columns = [
            _sums(bids.pools, {pool: self.shares[pool][part] for pool in highs}, begin)
            for part, begin in enumerate(drawn)
        ]
        multiply, divide = field.tenant_divisors[self.number]
        largest: Iterable[int] = columns[0] if len(columns) == 1 else map(max, *columns)
        bids.level = [each * multiply // divide for each in largest]
        uses: dict[int, dict[int, int]] = {}
        for pool in highs:
            everywhere, flavors = draws[pool]
            for row, use in chain(everywhere.takes, *[each.takes for each in flavors[:1]]):
                if not self._units.rows[row].tenant:
                    uses.setdefault(row, dict.fromkeys(highs, 0))[pool] = use
        bids.sums = {row: _sums(bids.pools, of_pool, 0) for row, of_pool in uses.items()}
        for pool, gained in chain(bids.counts.items(), rest.items()):
            state.have[pool] += gained
        for pool, gained in rest.items():
            state.take(draws[pool].everywhere.takes, gained)
        return bids

    def _within_reach(
        self, goals: dict[int, int], state: Drawn, phase: int
    ) -> tuple[dict[int, int], dict[int, int]]:
        """The goals within rows that surely refuse, and the replicas that none can refuse."""
        divisors, last = self._field.divisors, 0
        highs, free = dict[int, int](), dict[int, int]()
        for pool, goal in goals.items():
            everywhere, flavors = self.draws[pool]
            reach = self._most(everywhere, state, phase)
            if flavors:
                each_class = [self._most(flavor, state, phase) for flavor in flavors]
                reach = min(reach, sum(each_class))
                if reach == inf:  # a class with room for all; but the others have to be full first
                    reach = sum([most for most in each_class if most < inf])
                    free[pool] = goal
            if reach == inf:
                highs[pool], free[pool] = state.have[pool], goal
            else:
                multiply, divide = divisors[pool]
                highs[pool] = min(goal, state.have[pool] + int(reach))
                last = max(last, (highs[pool] - 1) * multiply // divide + 1)
        rest = {}
        for pool, goal in free.items():
            multiply, divide = divisors[pool]
            highs[pool] = min(goal, max(-(-last * divide // multiply), highs[pool]))
            if highs[pool] < goal:
                rest[pool] = goal - highs[pool]
        return highs, rest

    def _most(self, draw: Draw, state: Drawn, phase: int) -> float:
        """The most bids of a pool until one is refused for certain; infinite if none is."""
        takes, capacity, short = dict(draw.takes), self._units.capacity, self._units.short
        there = [
            (row, state.left[row] if row in state.left else capacity[row])
            for row, _ in (draw.hard if phase == FLOOR else draw.strict)
            if row in state.left or row in short
        ]
        return min([max(left, 0) // takes[row] + 2 for row, left in there], default=inf)

    def _refuse(self, bids: Bids, state: Drawn, phase: int) -> None:
        """Take the bids from the tenant's own rows, and take out those that they refuse."""
        order, counts = bids.pools, Counter(bids.pools)
        everywhere = {pool: self.draws[pool].everywhere for pool in counts}
        wanted: dict[int, int] = defaultdict(int)
        for pool, count in counts.items():
            for row, use in everywhere[pool].takes:
                wanted[row] += use * count
        if all(wanted[row] <= left for row, left in state.left.items()):
            state.take(tuple(wanted.items()), 1)
            return
        needs = {
            pool: each.hard if phase == FLOOR else each.strict for pool, each in everywhere.items()
        }
        bids.pools, bids.at = [], []
        for index, pool in enumerate(order):
            if pool in state.closed:
                continue
            refused = state.refusing(needs[pool])
            if refused == GRANTED:
                state.take(everywhere[pool].takes, 1)
                bids.pools.append(pool)
                bids.at.append(index)
            else:
                bids.refused.append((len(bids.pools), pool, refused))
                state.closed[pool] = refused
                if len(bids.refused) == len(counts):
                    break


def drawn_of(shares: Shares, have: Have) -> list[int]:
    """What a tenant with so many replicas has of each fair row in `shares`."""
    parts = [
        [part * replicas for part in share]
        for pool, share in shares.items()
        if (replicas := have[pool])
    ]
    if parts:
        return list(map(sum, zip(*parts, strict=True)))
    return [0] * max(map(len, shares.values()), default=1)


def _sums(pools: Iterable[int], of_pool: Mapping[int, int], begin: int) -> list[int]:
    """The running sum of what each of these pools adds, from `begin`."""
    return list(accumulate(map(of_pool.__getitem__, pools), initial=begin))


def _telling(shares: dict[int, tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    """The shares of fair rows that can be the tenant's largest; else each replica counts 1."""
    kinds = set(shares.values())
    telling: list[int] = []
    for part in range(max(map(len, kinds), default=0)):
        if not any(all(each[other] >= each[part] for each in kinds) for other in telling):
            telling = [o for o in telling if any(each[o] > each[part] for each in kinds)]
            telling.append(part)
    return {
        pool: tuple([share[part] for part in telling]) or (1,) for pool, share in shares.items()
    }


class Turns:
    """Sharing: the tenant with the least share is next. `refused_by`: row by pool, or GRANTED."""

    def __init__(self, field: Field, refused_by: Sequence[int]) -> None:
        self._field, self._refused_by = field, refused_by
        self._cursors: dict[int, _Cursor] = {}

    def join(self, number: int, keys: list[int], index: int, shares: Shares, have: Have) -> None:
        """Let a tenant take part, with its keys from this index on; its pools `have` so many."""
        drawn = drawn_of(shares, have)
        self._cursors[self._field.tenant_ranks[number]] = _Cursor(
            number, keys, index, shares, drawn
        )

    def deal(self, give: Callable[[int], bool]) -> None:
        """Call `give` for one pool after the other until all are done; False: it was refused."""
        tenants, cursors = len(self._field.tenant_at), self._cursors
        heap = [
            key * tenants + rank for rank, each in cursors.items() if (key := self._next(each)) >= 0
        ]
        heapify(heap)
        while heap:
            rank = heap[0] % tenants
            cursor = cursors[rank]
            if give(cursor.pool):
                cursor.drawn = list(map(add, cursor.drawn, cursor.shares[cursor.pool]))
            if (key := self._next(cursor)) >= 0:
                heapreplace(heap, key * tenants + rank)
            else:
                heappop(heap)

    def _next(self, cursor: _Cursor) -> int:
        """Move to the next bid of an open pool; returns its level and start, -1 without one."""
        keys, refused_by, pool_at = cursor.keys, self._refused_by, self._field.pool_at
        pools = len(pool_at)
        for index in range(cursor.index, len(keys)):
            pool = pool_at[keys[index] % pools]
            if refused_by[pool] == GRANTED:
                cursor.index, cursor.pool = index + 1, pool
                multiply, divide = self._field.tenant_divisors[cursor.number]
                return 2 * (max(cursor.drawn) * multiply // divide) + (keys[index] // pools & 1)
        return -1


class _Cursor:
    """A tenant's place in its keys, and what it has drawn of each fair row in `shares`."""

    __slots__ = ("drawn", "index", "keys", "number", "pool", "shares")

    def __init__(
        self, number: int, keys: list[int], index: int, shares: Shares, drawn: list[int]
    ) -> None:
        self.number, self.keys, self.index = number, keys, index
        self.shares, self.drawn, self.pool = shares, drawn, GRANTED
