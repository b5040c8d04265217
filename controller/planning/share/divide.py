"""Divides rows over pools: a tenant is a sorted list of bids, and sharing is a merge of the lists.

A bid is one more replica of one pool; its key is (phase, tier, level, must start, rank). Phases are
baseline, floors, needs and spares; a level is what there is already per weight: of the tenant its
largest part of a fair row, of the pool its replicas. Always the lowest key is next. It is a picking
sequence, so with one more replica to share no pool gets less (Chakraborty, Schmidt-Kraepelin,
Suksompong: Picking Sequences and Monotonicity in Weighted Fair Division, IJCAI 2021).

Up to the first refusal of a row that several tenants draw on, a tenant's list depends on its own
pools and rows alone, so it is kept until one of them changes. Below the highest level up to which
all lists fit, nothing is refused: those bids are granted at once, the rest one by one. A row only
empties, so a pool is closed at its first refusal. What is kept changes the time and no result.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from heapq import heapify, heappop, heapreplace
from itertools import accumulate, chain
from math import gcd, inf, lcm
from operator import add, itemgetter, le
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from controller.model.decision import Bound
from controller.planning.amounts import (
    Amount,
    AmountError,
    Claim,
    DeclarationError,
    ReplicaUses,
    Row,
    SharingError,
    exact,
    exact_weight,
)

GRANTED: Final = -1
"""In place of the row that refused: none did."""
NOTHING: Final[Mapping[str, int]] = MappingProxyType({})
FLOOR, NEED, SPARE = range(3)
PRECISION_BITS: Final = 9
HINT_BITS: Final = 5


class Field(NamedTuple):
    """The pools that share, by number: all that depends on the fleet file alone.

    - `tenant_of`: by pool. `pools_of`: by tenant. `pick`: by tenant, what a list by pool number has
      for its pools. `tiers`: the tenants of each tier, the highest first.
    - `ranks`, `tenant_ranks`: the order that breaks ties: the larger weight first, then the lower
      number. `pool_at` and `tenant_at` are their inverses.
    - `divisors`, `tenant_divisors`: (m, d) of each weight, see `divisors_of`.
    """

    names: tuple[str, ...]
    tenant_of: list[int]
    tiers: list[list[int]]
    pools_of: list[list[int]]
    pick: list[Callable[[Sequence[Any]], tuple[Any, ...]]]
    ranks: list[int]
    pool_at: list[int]
    divisors: list[tuple[int, int]]
    tenant_ranks: list[int]
    tenant_at: list[int]
    tenant_divisors: list[tuple[int, int]]


class Division(NamedTuple):
    """By pool number: its replicas, and the index of the row that refused more, or `GRANTED`."""

    have: list[int]
    refused_by: list[int]


class Draw(NamedTuple):
    """What one more replica takes of each row (by index), and what must be left for it.

    `strict` has all rows, `hard` only those that are not soft.
    """

    takes: tuple[tuple[int, int], ...]
    strict: tuple[tuple[int, int], ...]
    hard: tuple[tuple[int, int], ...]

    def on(self, rows: frozenset[int]) -> Draw:
        """The part on these rows."""
        return Draw(*(tuple([each for each in part if each[0] in rows]) for part in self))


class Profile(NamedTuple):
    """What a replica uses everywhere, and on the one class of nodes it runs on: the first with
    enough left.
    """

    everywhere: Draw
    flavors: tuple[Draw, ...] = ()

    def on(self, rows: frozenset[int]) -> Profile:
        """The part on these rows; the others can refuse nothing."""
        return Profile(self.everywhere.on(rows), tuple([each.on(rows) for each in self.flavors]))


def field_of(
    pools: Sequence[str],
    tenants: Sequence[str],
    weights: Sequence[Amount],
    *,
    tiers: Mapping[str, int],
    tenant_weights: Mapping[str, Amount],
) -> Field:
    """The field of these pools: `pools`, `tenants` and `weights` are columns, the mappings are by
    tenant, by default tier 0 and weight 1. Raises DeclarationError for two pools with one name,
    WeightError for a weight that is not above zero.
    """
    if len(set(pools)) != len(pools):
        raise DeclarationError("pools", "two pools have one name")
    of_pools = [exact_weight(weight, pool) for weight, pool in zip(weights, pools, strict=True)]
    names = sorted(set(tenants))
    number_of = {name: number for number, name in enumerate(names)}
    of_tenants = [exact_weight(tenant_weights.get(name, 1), name) for name in names]
    tenant_of = [number_of[name] for name in tenants]
    pools_of: list[list[int]] = [[] for _ in names]
    for pool, tenant in enumerate(tenant_of):
        pools_of[tenant].append(pool)
    by_tier: dict[int, list[int]] = {}
    for tenant, name in enumerate(names):
        by_tier.setdefault(-tiers.get(name, 0), []).append(tenant)
    ranks, tenant_ranks = _ranks(of_pools), _ranks(of_tenants)
    return Field(
        names=tuple(pools),
        tenant_of=tenant_of,
        tiers=[by_tier[tier] for tier in sorted(by_tier)],
        pools_of=pools_of,
        pick=[_picker(each) for each in pools_of],
        ranks=ranks,
        pool_at=sorted(range(len(ranks)), key=ranks.__getitem__),
        divisors=divisors_of(of_pools),
        tenant_ranks=tenant_ranks,
        tenant_at=sorted(range(len(names)), key=tenant_ranks.__getitem__),
        tenant_divisors=divisors_of(of_tenants),
    )


def _picker(pools: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    if len(pools) > 1:
        return itemgetter(*pools)
    [pool] = pools
    return lambda column: (column[pool],)


def _ranks(weights: Sequence[int | Fraction]) -> list[int]:
    """Each number's rank: the larger weight first, then in the order given."""
    ranks = [0] * len(weights)
    for rank, number in enumerate(
        sorted(range(len(weights)), key=lambda each: weights[each], reverse=True)
    ):
        ranks[number] = rank
    return ranks


def divisors_of(weights: Sequence[int | Fraction]) -> list[tuple[int, int]]:
    """(m, d) for each weight, so that for integers n, `n * m // d` sorts as n / weight does.

    Two different quotients n/w differ by at least 1 / (product of the numerators of their weights).
    So a scale of twice the square of the largest numerator keeps them apart after rounding down. If
    the lcm of the numerators is not larger, it is used instead, as it needs no rounding.
    """
    numerators = {weight.numerator for weight in weights}
    enough = 2 * max(numerators, default=1) ** 2
    scale = 1
    for numerator in numerators:
        scale = min(lcm(scale, numerator), enough)
        if scale == enough:
            break
    found = {}
    for weight in set(weights):
        common = gcd(multiplied := weight.denominator * scale, weight.numerator)
        found[weight] = multiplied // common, weight.numerator // common
    return [found[weight] for weight in weights]


class Units:
    """The uses of replicas in whole units of each row; equal uses give the same profile.

    `left`: by row, the capacity. `fair`: (row, units of a share that one unit of it is worth).
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = tuple(rows)
        self.kinds = kinds_of(rows)
        self._index = {row.name: number for number, row in enumerate(rows)}
        if len(self._index) != len(rows):
            raise DeclarationError("rows", "two rows have one name")
        self._softs = [_soft(row) for row in rows]
        self._scales = [1 if soft is None else soft.denominator for soft in self._softs]
        # by id of the uses; they are kept alive here, so that no other object gets the same id
        self._known: dict[int, tuple[ReplicaUses, list[_Raw], Profile]] = {}
        self._alike: dict[Profile, Profile] = {}
        self.supply(rows)

    def supply(self, rows: Sequence[Row], taken: Mapping[str, int] = NOTHING) -> None:
        """Take the capacities of these rows, less what is taken already, in whole numbers of their
        own units. Raises AmountError for one that is not exact.
        """
        self.rows = tuple(rows)
        capacities = [
            exact(row.capacity, row.name) * scale
            for row, scale in zip(rows, self._scales, strict=True)
        ]
        # Rounded down, as all uses are whole. Rounded up for soft 0, where any rest is enough.
        self.capacity = [
            -(-capacity.numerator // capacity.denominator) if soft == 0 else int(capacity)
            for capacity, soft in zip(capacities, self._softs, strict=True)
        ]
        self.left = [
            capacity - taken.get(row.name, 0) * scale
            for row, capacity, scale in zip(rows, self.capacity, self._scales, strict=True)
        ]
        fair = {
            number: capacities[number]
            for number, row in enumerate(rows)
            if row.fair and capacities[number]
        }
        unit = lcm(*(capacity.numerator for capacity in fair.values()))
        parts = {row: unit // each.numerator * each.denominator for row, each in fair.items()}
        common = gcd(*parts.values()) or 1
        self.fair = tuple([(row, part // common) for row, part in parts.items()])

    def admit(self, pool: str, uses: ReplicaUses) -> bool:
        """Take these uses. False if that made a row's unit smaller, so that all profiles are new.
        Raises AmountError for an amount that is not exact, DeclarationError for an unknown row.
        """
        if id(uses) in self._known:
            return True
        if any(flavor.keys() & uses.everywhere.keys() for flavor in uses.flavors):
            raise DeclarationError(pool, "a row is drawn on both everywhere and by class")
        raw = [self._read(pool, each) for each in (uses.everywhere, *uses.flavors)]
        finer = False
        for row, use in chain.from_iterable(raw):
            soft = self._softs[row]
            parts = use.denominator * (1 if soft is None else soft.denominator)
            if self._scales[row] % parts:
                self._scales[row], finer = lcm(self._scales[row], parts), True
        self._known[id(uses)] = uses, raw, self._profile(raw)
        if finer:
            for key, (known, amounts, _) in self._known.items():
                self._known[key] = known, amounts, self._profile(amounts)
            self.supply(self.rows)
        return not finer

    def profile(self, uses: ReplicaUses) -> Profile:
        """The profile of uses that were admitted."""
        return self._known[id(uses)][2]

    def __len__(self) -> int:
        return len(self._known)

    def _read(self, pool: str, uses: Mapping[str, Amount]) -> _Raw:
        found: _Raw = []
        for name, amount in uses.items():
            row = self._index.get(name)
            if row is None:
                raise DeclarationError(pool, f"it draws on {name}, and there is no such row")
            if use := exact(amount, pool):
                found.append((row, use))
        # a tenant's own rows first, so that it is told of its quota before the cluster's capacity
        return sorted(found, key=lambda each: (not self.rows[each[0]].tenant, each[0]))

    def _profile(self, raw: Sequence[_Raw]) -> Profile:
        everywhere, *flavors = [self._draw(each) for each in raw]
        profile = Profile(everywhere, tuple(flavors))
        return self._alike.setdefault(profile, profile)

    def _draw(self, raw: _Raw) -> Draw:
        scales, softs = self._scales, self._softs
        takes = tuple([(row, scales[row] // use.denominator * use.numerator) for row, use in raw])
        # of a soft row the part of the use must be left, at least 1 unit
        strict = tuple(
            [
                (row, use if (soft := softs[row]) is None else max(int(soft * use), 1))
                for row, use in takes
            ]
        )
        return Draw(takes, strict, tuple([each for each in takes if softs[each[0]] is None]))


_Raw = list[tuple[int, int | Fraction]]
_Context = tuple[frozenset[int], tuple[tuple[int, int], ...], dict[int, int]]


def kinds_of(rows: Iterable[Row]) -> tuple[tuple[object, ...], ...]:
    """All that `Units` takes from its rows besides their capacities."""
    return tuple([(row.name, row.soft) for row in rows])


def _soft(row: Row) -> int | Fraction | None:
    if row.soft is None:
        return None
    soft = exact(row.soft, row.name)
    if soft > 1:
        raise AmountError(row.name, f"{row.soft} of a use is more than all of it")
    return soft


class _Bids:
    """The next replicas of a tenant's pools in order.

    - `keys`: of all bids. `pools`: those that the tenant's own rows grant, `at`: their indexes in
      `keys` (None: all). `refused`: (granted bids before it, pool, row) of the others.
    - `level`: the tenant's, before each granted bid. `sums`: by row of several tenants, what the
      first n granted bids take, from n = 0.
    - `rest`: replicas that no row can refuse, and that are behind all bids that one can.
    """

    __slots__ = ("at", "counts", "keys", "level", "pools", "refused", "rest", "sums")

    def __init__(self, keys: list[int], pools: list[int], rest: dict[int, int]) -> None:
        self.keys, self.pools, self.rest = keys, pools, rest
        self.at: list[int] | None = None
        self.refused: list[tuple[int, int, int]] = []
        self.level: list[int] = []
        self.sums: dict[int, list[int]] = {}
        self.counts: Mapping[int, int] = {}


class _Tenant:
    """What is known of a tenant: its claims and uses, and all that follows from them alone.

    By pool: `draws` are its uses of rows that are short, `shares` what a replica adds to the
    tenant's part of each fair row, in one unit; without fair rows 1, which counts replicas.
    """

    __slots__ = (
        "alone",
        "claims",
        "draws",
        "elsewhere",
        "given",
        "own",
        "pools",
        "profiles",
        "shares",
        "uses",
        "wants",
    )

    def __init__(
        self,
        pools: Sequence[int],
        claims: tuple[Claim | None, ...],
        uses: tuple[ReplicaUses, ...],
        units: Units,
    ) -> None:
        self.claims, self.uses = claims, uses
        self.profiles = {pool: units.profile(each) for pool, each in zip(pools, uses, strict=True)}
        self.pools = {
            pool: claim for pool, claim in zip(pools, claims, strict=True) if claim is not None
        }
        wants: dict[int, int] = defaultdict(int)
        elsewhere: dict[int, int] = defaultdict(int)
        for pool, claim in self.pools.items():
            everywhere, flavors = self.profiles[pool]
            for number, draw in enumerate((everywhere, *flavors)):
                for row, use in draw.takes:
                    (wants if number < 2 else elsewhere)[row] += use * claim.want
        self.wants, self.elsewhere = wants, elsewhere
        self.own = [row for row in wants if units.rows[row].tenant]
        self.given: tuple[object, object] = (None, None)
        self.alone: _Alone | None = None
        self.draws: dict[int, Profile] = {}
        self.shares: dict[int, tuple[int, ...]] = {}

    def drawn(self, have: Mapping[int, int] | list[int]) -> list[int]:
        """What it has of each fair row."""
        parts = [
            [part * replicas for part in share]
            for pool, share in self.shares.items()
            if (replicas := have[pool])
        ]
        if parts:
            return list(map(sum, zip(*parts, strict=True)))
        return [0] * max(map(len, self.shares.values()), default=1)


class _Alone(NamedTuple):
    """A tenant's plan as far as it depends on itself alone.

    - `start`: the replicas of fixed pools.
    - `held`: by shared row, what fixed pools take; `placed`: fixed pools that use classes of nodes,
      with their replicas there. `left`: by own row, what is left beside them; `passes`: own rows
      that still grant their first replica in any case.
    - `baseline`: the pool that gets it. `bids`: by phase. `closed`: pools that have no bids, as the
      tenant's own rows refused them the baseline.
    """

    start: dict[int, int]
    held: dict[int, int]
    placed: list[tuple[int, int]]
    left: dict[int, int]
    passes: frozenset[int]
    baseline: int | None
    closed: dict[int, int]
    bids: list[_Bids | None]


class _State:
    """A tenant's pools on the way: `have` and `closed` by pool, `left` by own row."""

    __slots__ = ("closed", "have", "left", "passes")

    def __init__(
        self,
        have: dict[int, int],
        closed: dict[int, int],
        left: dict[int, int],
        passes: set[int],
    ) -> None:
        self.have, self.closed, self.left, self.passes = have, closed, left, passes

    def refusing(self, needs: Iterable[tuple[int, int]]) -> int:
        """The first own row with too little left, or `GRANTED`."""
        left, passes = self.left, self.passes
        for row, need in needs:
            if row in left and left[row] < need and row not in passes:
                return row
        return GRANTED

    def take(self, takes: Iterable[tuple[int, int]], replicas: int) -> None:
        """Take the uses of so many replicas from the tenant's own rows."""
        left = self.left
        for row, use in takes:
            if row in left:
                left[row] -= use * replicas
        if self.passes and replicas:
            self.passes.difference_update([row for row, _ in takes])


class Divider:
    """What is kept between the divisions of one fleet: it saves time and changes no result.

    It is valid for any claims: whatever it knows of a tenant is compared with that tenant's claims
    and uses before it is used.
    """

    def __init__(self, field: Field) -> None:
        self.field = field
        self._units: Units | None = None
        self.tenants: list[_Tenant] = []
        self._wanted: list[int] = []
        self._elsewhere: list[int] = []
        self._short: frozenset[int] = frozenset()
        self._context: _Context = (frozenset(), (), {})
        self._limits: dict[int, int] = {}
        self.hints: dict[tuple[int, int], int] = {}

    def divide(
        self,
        rows: Sequence[Row],
        claims: Sequence[Claim | None],
        uses: Sequence[ReplicaUses],
        taken: Mapping[str, int] = NOTHING,
    ) -> Division:
        """What each pool gets of these rows, which are sorted by name. `claims` (None for a pool
        that takes no part) and `uses` are by pool number; `taken` is by row what is not there to
        share, in whole numbers. Raises SharingError.
        """
        units = self._take_in(rows, claims, uses)
        if taken:
            units.supply(rows, taken)
        short = self._find_short(units)
        if not short:
            have = [0 if claim is None else claim.want for claim in claims]
            return Division(have, [GRANTED] * len(have))
        shared = frozenset([row for row in short if not rows[row].tenant])
        if not shared <= self._short:
            self._short |= shared
        limits = {row: units.capacity[row] for row in self._short}
        if self._context != (self._short, units.fair, limits):
            self._context = self._short, units.fair, limits
        self._limits = limits
        alone = [self._alone(number, tenant, units) for number, tenant in enumerate(self.tenants)]
        return _Run(self, units, alone).run()

    def _take_in(
        self, rows: Sequence[Row], claims: Sequence[Claim | None], uses: Sequence[ReplicaUses]
    ) -> Units:
        """Learn what has changed of the rows, the claims and the uses."""
        field, units = self.field, self._units
        many = 4 * len(field.names) + 4  # measured uses change all the time
        if units is None or units.kinds != kinds_of(rows) or len(units) > many:
            units = self._units = Units(rows)
            self._forget(units)
        elif units.rows != tuple(rows):
            units.supply(rows)
        changed = [
            number
            for number, (tenant, pick) in enumerate(zip(self.tenants, field.pick, strict=True))
            if tenant.claims != pick(claims) or tenant.uses != pick(uses)
        ]
        new = [pool for number in changed for pool in field.pools_of[number]]
        try:
            admitted = [units.admit(field.names[pool], uses[pool]) for pool in new]
        except SharingError:
            self._units = None  # what it has read may not agree with what is kept of tenants
            raise
        if not all(admitted):
            self._forget(units)  # an amount was finer than all before: each use is another number
            changed = list(range(len(field.pick)))
        for number in changed:
            pick = field.pick[number]
            tenant = _Tenant(field.pools_of[number], pick(claims), pick(uses), units)
            self._put(number, tenant)
        return units

    def _forget(self, units: Units) -> None:
        self.tenants = [_Tenant((), (), (), units)] * len(self.field.pick)
        self._wanted, self._elsewhere = [0] * len(units.rows), [0] * len(units.rows)
        self._short, self._context = frozenset(), (frozenset(), (), {})

    def _put(self, number: int, tenant: _Tenant) -> None:
        before, self.tenants[number] = self.tenants[number], tenant
        for each, sign in ((before, -1), (tenant, 1)):
            for row, units in each.wants.items():
                self._wanted[row] += sign * units
            for row, units in each.elsewhere.items():
                self._elsewhere[row] += sign * units

    def _find_short(self, units: Units) -> list[int]:
        """The rows that may have too little; none if all fits on the preferred nodes."""
        wanted, left = self._wanted, units.left
        if all(map(le, wanted, left)):
            return []
        both = map(add, wanted, self._elsewhere)
        return [
            row for row, (most, there) in enumerate(zip(both, left, strict=True)) if most > there
        ]

    def _alone(self, number: int, tenant: _Tenant, units: Units) -> _Alone:
        """The tenant's plan on its own; the one from before if nothing of it has changed."""
        left, wants = units.left, tenant.wants
        own = tuple(
            [
                (row, left[row], units.rows[row].first_passes)
                for row in tenant.own
                if wants[row] > left[row]
            ]
        )
        if tenant.alone is None or tenant.given[0] is not self._context or tenant.given[1] != own:
            tenant.given = self._context, own
            tenant.alone = self._made_alone(number, tenant, units, own)
        return tenant.alone

    def _made_alone(
        self, number: int, tenant: _Tenant, units: Units, own: Iterable[tuple[int, int, bool]]
    ) -> _Alone:
        own_left = {row: left for row, left, _ in own}
        short = self._short.union(own_left)
        draws = {pool: tenant.profiles[pool].on(short) for pool in tenant.pools}
        tenant.draws = draws
        for pool in tenant.pools:
            uses = dict(tenant.profiles[pool].everywhere.takes)
            tenant.shares[pool] = tuple([uses.get(row, 0) * part for row, part in units.fair]) or (
                1,
            )
        passes = {row for row, _, first_passes in own if first_passes}
        state = _State(dict.fromkeys(tenant.pools, 0), {}, own_left, passes)
        held: dict[int, int] = defaultdict(int)
        placed, start = [], {}
        for pool, claim in tenant.pools.items():
            if claim.fixed:
                state.have[pool] = start[pool] = claim.current
                within = _hold(draws[pool].everywhere, claim.current, state, held, units)
                if draws[pool].flavors:
                    placed.append((pool, within))
        left, kept_passes = dict(state.left), frozenset(state.passes)
        baseline = self._baseline(tenant, draws, state)
        closed = dict(state.closed)
        bids = [self.bids(number, tenant, state, phase) for phase in (FLOOR, NEED, SPARE)]
        return _Alone(start, held, placed, left, kept_passes, baseline, closed, bids)

    def _baseline(self, tenant: _Tenant, draws: Mapping[int, Profile], state: _State) -> int | None:
        """Grant the tenant its baseline, one replica, as far as its own rows are concerned."""
        for pool in candidates(tenant):
            draw = draws[pool].everywhere
            refused = state.refusing(draw.hard)
            if refused == GRANTED:
                state.have[pool] = 1
                state.take(draw.takes, 1)
                return pool
            state.closed[pool] = refused
        return None

    def bids(
        self,
        number: int,
        tenant: _Tenant,
        state: _State,
        phase: int,
    ) -> _Bids | None:
        """The tenant's next bids of a phase; `state` becomes what it is after them."""
        draws, shares = tenant.draws, tenant.shares
        goals = {
            pool: goal
            for pool, claim in tenant.pools.items()
            if (goal := (claim.floor, claim.need, claim.want)[phase]) > state.have[pool]
            and pool not in state.closed
        }
        if not goals:
            return None
        field, count = self.field, len(self.field.pool_at)
        highs, rest = self._within_reach(goals, draws, state, phase)
        keys = sorted(
            chain.from_iterable(
                self._keys(pool, state.have[pool], high, tenant.pools[pool].current)
                for pool, high in highs.items()
            )
        )
        bids = _Bids(keys, [field.pool_at[key % count] for key in keys], rest)
        drawn = tenant.drawn(state.have)
        if state.left:
            _refuse(bids, draws, state, phase)
        bids.counts = Counter(bids.pools)
        columns = [
            accumulate([shares[pool][part] for pool in bids.pools], initial=begin)
            for part, begin in enumerate(drawn)
        ]
        multiply, divide = field.tenant_divisors[number]
        largest = columns[0] if len(columns) == 1 else map(max, *columns)
        bids.level = [each * multiply // divide for each in largest]
        uses: dict[int, dict[int, int]] = {}
        for pool in highs:
            everywhere, flavors = draws[pool]
            for draw in (everywhere, *flavors[:1]):
                for row, use in draw.takes:
                    if row not in state.left:
                        uses.setdefault(row, dict.fromkeys(highs, 0))[pool] = use
        for row, of_pool in uses.items():
            bids.sums[row] = list(accumulate([of_pool[pool] for pool in bids.pools], initial=0))
        for pool, gained in chain(bids.counts.items(), rest.items()):
            state.have[pool] += gained
        for pool, gained in rest.items():
            state.take(draws[pool].everywhere.takes, gained)
        return bids

    def _within_reach(
        self, goals: dict[int, int], draws: Mapping[int, Profile], state: _State, phase: int
    ) -> tuple[dict[int, int], dict[int, int]]:
        """The goals without what a row refuses for certain; and the replicas that nothing can
        refuse and that come after all that can be.
        """
        highs: dict[int, int] = {}
        free: dict[int, int] = {}
        field, last = self.field, 0
        for pool, goal in goals.items():
            everywhere, flavors = draws[pool]
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
                multiply, divide = field.divisors[pool]
                highs[pool] = min(goal, state.have[pool] + int(reach))
                last = max(last, (highs[pool] - 1) * multiply // divide + 1)
        rest = {}
        for pool, goal in free.items():
            multiply, divide = field.divisors[pool]
            highs[pool] = min(goal, max(-(-last * divide // multiply), highs[pool]))
            if highs[pool] < goal:
                rest[pool] = goal - highs[pool]
        return highs, rest

    def _most(self, draw: Draw, state: _State, phase: int) -> float:
        """The most bids of a pool until one is refused for certain; infinite if none is."""
        takes = dict(draw.takes)
        needs = draw.hard if phase == FLOOR else draw.strict
        return min(
            [
                max(state.left.get(row, self._limits.get(row, 0)), 0) // takes[row] + 2
                for row, _ in needs
            ],
            default=inf,
        )

    def _keys(self, pool: int, low: int, high: int, current: int) -> Iterable[int]:
        """The keys of a pool's replicas from `low` to `high`: its level, whether the replica must
        be started, and its rank.
        """
        field, count = self.field, len(self.field.pool_at)
        multiply, divide = field.divisors[pool]
        rank = field.ranks[pool]
        if divide > 1:
            return [
                (2 * (have * multiply // divide) + (current <= have)) * count + rank
                for have in range(low, high)
            ]
        started, step = min(max(current, low), high), 2 * multiply * count
        return chain(
            range(rank + low * step, rank + started * step, step),
            range(rank + count + started * step, rank + count + high * step, step),
        )


def candidates(tenant: _Tenant) -> list[int]:
    """The pools for the tenant's baseline: first those that run already, then by number. None if a
    fixed pool is at work.
    """
    if any(each.fixed and each.works and each.current > 0 for each in tenant.pools.values()):
        return []
    working = [
        (claim.current <= 0, pool)
        for pool, claim in tenant.pools.items()
        if claim.works and claim.need > 0 and not claim.fixed
    ]
    return [pool for _, pool in sorted(working)]


def _hold(draw: Draw, replicas: int, state: _State, held: dict[int, int], units: Units) -> int:
    """Take the uses of a fixed pool's replicas, whether enough is left or not, and return how many
    are within the quota. What exceeds the quota of its tenant counts against that quota only: a
    tenant that holds its own Deployment above its quota takes no room from others.
    """
    quotas = [each for each in draw.takes if units.rows[each[0]].bound is Bound.QUOTA]
    within = min([replicas, *(max(state.left.get(row, 0), 0) // use for row, use in quotas)])
    state.take(draw.takes, within)
    state.take(quotas, replicas - within)
    for row, use in draw.takes:
        if row not in state.left:
            held[row] += use * within
    return within


def _refuse(bids: _Bids, draws: Mapping[int, Profile], state: _State, phase: int) -> None:
    """Take the bids from the tenant's own rows, and take out those that they refuse."""
    order, gone = bids.pools, set[int]()
    everywhere = {pool: draws[pool].everywhere for pool in set(order)}
    wanted: dict[int, int] = defaultdict(int)
    for pool, count in Counter(order).items():
        for row, use in everywhere[pool].takes:
            wanted[row] += use * count
    if all(wanted[row] <= left for row, left in state.left.items()):
        for row in state.left:
            state.left[row] -= wanted[row]
        state.passes.difference_update([row for row, units in wanted.items() if units])
        return
    needs = {
        pool: each.hard if phase == FLOOR else each.strict for pool, each in everywhere.items()
    }
    bids.pools, bids.at = [], []
    for index, pool in enumerate(order):
        if pool in gone:
            continue
        refused = state.refusing(needs[pool])
        if refused == GRANTED:
            state.take(everywhere[pool].takes, 1)
            bids.pools.append(pool)
            bids.at.append(index)
        else:
            bids.refused.append((len(bids.pools), pool, refused))
            state.closed[pool] = refused
            gone.add(pool)
            if len(gone) == len(everywhere):
                break


class _Run:
    """One division while it is made."""

    def __init__(self, kept: Divider, units: Units, alone: list[_Alone]) -> None:
        self._kept, self._field, self._units = kept, kept.field, units
        self._alone = alone
        self._have = [0] * len(self._field.names)
        self._refused_by = [GRANTED] * len(self._field.names)
        self._left = list(units.left)
        self._passes: set[int] = set()
        self._draws: dict[int, Profile] = {}
        self._others: set[int] = set()  # tenants to which a shared row has refused something

    def run(self) -> Division:
        """All phases, in each the highest tier first."""
        self._place_fixed()
        for tenants in self._field.tiers:
            self._grant_baselines(tenants)
        for phase in (FLOOR, NEED, SPARE):
            for tier, tenants in enumerate(self._field.tiers):
                self._fill(tenants, phase, tier)
        return Division(self._have, self._refused_by)

    def _place_fixed(self) -> None:
        """Fixed pools first, whether they fit or not. Which nodes they run on is not known: they
        count on the pool's first class of nodes with room, then the next; those that fit nowhere
        count on the last.
        """
        left = self._left
        placed: list[tuple[int, int, Profile]] = []
        for each, tenant in zip(self._alone, self._kept.tenants, strict=True):
            for pool, replicas in each.start.items():
                self._have[pool] = replicas
            for row, units in each.held.items():
                left[row] -= units
            placed.extend((pool, within, tenant.draws[pool]) for pool, within in each.placed)
            for pool, row in each.closed.items():
                self._refused_by[pool] = row
        for _, replicas, profile in sorted(placed, key=itemgetter(0)):
            left_over = replicas
            for flavor in profile.flavors[:-1]:
                fitting = min([replicas, *(max(left[row], 0) // use for row, use in flavor.takes)])
                self._take(flavor, fitting)
                left_over -= fitting
            self._take(profile.flavors[-1], left_over)

    def _take(self, draw: Draw, replicas: int) -> None:
        for row, use in draw.takes:
            self._left[row] -= use * replicas

    def _grant_baselines(self, tenants: Iterable[int]) -> None:
        """One replica for each tenant with work; all at once if all fit, else the tenant with the
        least share first, and a refused pool is followed by the tenant's next. No soft row refuses.
        """
        first = {t: pool for t in tenants if (pool := self._alone[t].baseline) is not None}
        drawn: dict[int, int] = defaultdict(int)
        for tenant, pool in first.items():
            everywhere, flavors = self._tenant(tenant).draws[pool]
            for draw in (everywhere, *flavors[:1]):
                for row, use in draw.takes:
                    drawn[row] += use
        rows, left = self._units.rows, self._left
        shared = {row: units for row, units in drawn.items() if not rows[row].tenant}
        if all(units <= left[row] or rows[row].soft is not None for row, units in shared.items()):
            for pool in first.values():
                self._have[pool] = 1
            for row, units in shared.items():
                left[row] -= units
            return
        for tenant in first:
            self._part(tenant)
        for tenant in sorted(first, key=self._turn):
            for pool in candidates(self._tenant(tenant)):
                if self._refused_by[pool] == GRANTED and self._give(pool, strict=False):
                    break

    def _tenant(self, number: int) -> _Tenant:
        return self._kept.tenants[number]

    def _turn(self, number: int) -> tuple[int, bool, int]:
        tenant, field = self._tenant(number), self._field
        runs = any(tenant.pools[pool].current > self._have[pool] for pool in candidates(tenant))
        multiply, divide = field.tenant_divisors[number]
        level = max(tenant.drawn(self._have)) * multiply // divide
        return level, not runs, field.tenant_ranks[number]

    def _part(self, number: int) -> None:
        """From now on what the tenant gets is not what it would get alone: take its own rows, and
        what its pools have, into account.
        """
        if number in self._others:
            return
        self._others.add(number)
        alone, have = self._alone[number], self._have
        state = _State({}, {}, dict(alone.left), set(alone.passes))
        for pool, profile in self._tenant(number).draws.items():
            if pool not in alone.start:
                state.take(profile.everywhere.takes, have[pool])
        for row, units in state.left.items():
            self._left[row] = units
        self._passes |= state.passes
        self._draws.update(self._tenant(number).draws)

    def _bids(self, number: int, phase: int) -> _Bids | None:
        alone = self._alone[number]
        if number not in self._others:
            return alone.bids[phase]
        tenant = self._tenant(number)
        refused_by = self._refused_by
        state = _State(
            {pool: self._have[pool] for pool in tenant.pools},
            {pool: row for pool in tenant.pools if (row := refused_by[pool]) != GRANTED},
            {row: self._left[row] for row in alone.left},
            {row for row in alone.left if row in self._passes},
        )
        return self._kept.bids(number, tenant, state, phase)

    def _fill(self, tenants: Iterable[int], phase: int, tier: int) -> None:
        found = [(number, self._bids(number, phase)) for number in tenants]
        entries = [(number, bids) for number, bids in found if bids is not None]
        if not entries:
            return
        level = self._level(entries, phase, tier)
        waiting = []
        for number, bids in entries:
            place = self._grant(number, bids, level)
            if place is not None:
                waiting.append((number, bids, place))
        if waiting:
            self._one_by_one(waiting, strict=phase != FLOOR)
        for number, bids in entries:
            for pool, replicas in bids.rest.items():
                self._add(number, pool, replicas)

    def _add(self, number: int, pool: int, replicas: int) -> None:
        rows, is_other = self._units.rows, number in self._others
        self._have[pool] += replicas
        for row, use in self._tenant(number).draws[pool].everywhere.takes:
            if is_other or not rows[row].tenant:
                self._left[row] -= use * replicas

    def _level(self, entries: Sequence[tuple[int, _Bids]], phase: int, tier: int) -> int | None:
        """A level below which no bid is refused by a shared row, close to the highest; None if none
        is refused at all. It is looked for from where it was last time.
        """
        rows, left = self._units.rows, self._left
        columns: dict[int, list[tuple[int, list[int]]]] = {}
        for index, (_, bids) in enumerate(entries):
            for row, sums in bids.sums.items():
                columns.setdefault(row, []).append((index, sums))
        room = {
            row: there
            for row, column in columns.items()
            if (phase != FLOOR or rows[row].soft is None)
            and sum([sums[-1] for _, sums in column]) > (there := left[row])
        }
        if not room:
            return None

        def fits(level: int) -> bool:
            places = [bisect_left(bids.level, level, 0, len(bids.pools)) for _, bids in entries]
            return all(
                sum([sums[places[index]] for index, sums in columns[row]]) <= there
                for row, there in room.items()
            )

        hints = self._kept.hints
        low, high = 0, 1 + max(bids.level[-1] for _, bids in entries)
        hint = hints.get((phase, tier), 0)
        step = hint >> HINT_BITS
        if 0 < hint < high:
            if fits(hint):
                low, high = hint, high if hint + step >= high or fits(hint + step) else hint + step
            else:
                low, high = hint - step if fits(hint - step) else 0, hint
        while high - low > max(1, low >> PRECISION_BITS):
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        hints[phase, tier] = low
        return low

    def _grant(self, number: int, bids: _Bids, level: int | None) -> int | None:
        """Grant all bids below the level. Returns the index of the next key, None if no pool has
        one.
        """
        all_bids = len(bids.pools)
        place = all_bids if level is None else bisect_left(bids.level, level, 0, all_bids)
        is_whole = place == all_bids
        counts = bids.counts if is_whole else Counter(bids.pools[:place])
        have, left, is_other = self._have, self._left, number in self._others
        for pool, count in counts.items():
            have[pool] += count
        for row, sums in bids.sums.items():
            left[row] -= sums[place]
        if is_other:
            draws, own = self._draws, self._alone[number].left
            for pool, count in counts.items():
                for row, use in draws[pool].everywhere.takes:
                    if row in own:
                        left[row] -= use * count
                        self._passes.discard(row)
        for position, pool, row in bids.refused:
            if level is None or bids.level[position] < level:
                self._refused_by[pool] = row
            else:
                is_whole = False
        if is_whole:
            return None
        self._part(number)
        if not place:
            return 0
        return place if bids.at is None else bids.at[place - 1] + 1

    def _one_by_one(self, waiting: Sequence[tuple[int, _Bids, int]], *, strict: bool) -> None:
        """The definition: the tenant with the least share takes its next replica."""
        field, have, refused_by = self._field, self._have, self._refused_by
        pool_at, tenant_at = field.pool_at, field.tenant_at
        pools, tenants = len(pool_at), len(tenant_at)
        after: dict[int, tuple[list[int], int]] = {}
        drawn: dict[int, list[int]] = {}
        shares: dict[int, tuple[int, ...]] = {}

        def entry(number: int) -> int:
            """The tenant's key in the heap; -1 if it has no more bids."""
            keys, index = after[number]
            while index < len(keys) and refused_by[pool_at[keys[index] % pools]] != GRANTED:
                index += 1
            after[number] = keys, index
            if index == len(keys):
                return -1
            multiply, divide = field.tenant_divisors[number]
            level, must_start = max(drawn[number]) * multiply // divide, keys[index] // pools & 1
            return (2 * level + must_start) * tenants + field.tenant_ranks[number]

        for number, bids, index in waiting:
            tenant = self._tenant(number)
            after[number], drawn[number] = (bids.keys, index), tenant.drawn(have)
            shares.update(tenant.shares)
        heap = [key for number in after if (key := entry(number)) >= 0]
        heapify(heap)
        while heap:
            number = tenant_at[heap[0] % tenants]
            keys, index = after[number]
            pool = pool_at[keys[index] % pools]
            after[number] = keys, index + 1
            if self._give(pool, strict=strict):
                drawn[number] = list(map(add, drawn[number], shares[pool]))
            if (key := entry(number)) >= 0:
                heapreplace(heap, key)
            else:
                heappop(heap)

    def _give(self, pool: int, *, strict: bool) -> bool:
        """Grant a pool one replica and take its uses, or close it by the first row that refuses."""
        left, passes = self._left, self._passes
        everywhere, flavors = self._draws[pool]
        for row, need in everywhere.strict if strict else everywhere.hard:
            if left[row] < need and row not in passes:
                self._refused_by[pool] = row
                return False
        if flavors:
            refused = GRANTED
            for flavor in flavors:
                needs = flavor.strict if strict else flavor.hard
                refused = next((row for row, need in needs if left[row] < need), GRANTED)
                if refused == GRANTED:
                    self._take(flavor, 1)
                    break
            if refused != GRANTED:
                self._refused_by[pool] = refused
                return False
        for row, use in everywhere.takes:
            left[row] -= use
        if passes:
            passes.difference_update([row for row, _ in everywhere.takes])
        self._have[pool] += 1
        return True
