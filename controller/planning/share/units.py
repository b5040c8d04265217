"""The pools that share and the rows that they draw on, in whole numbers that compare exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import chain
from math import gcd, lcm
from typing import NamedTuple

from controller.planning.values import (
    Amount,
    AmountError,
    DeclarationError,
    ReplicaUses,
    Row,
    exact,
    exact_weight,
)

Uses = tuple[tuple[int, int], ...]
_Raw = list[tuple[int, int | Fraction]]


class Field(NamedTuple):
    """The pools that share, by number: all that depends on the fleet file alone.

    - `tenant_of`: by pool. `pools_of`: by tenant. `tiers`: the tenants of each tier, the
      highest first.
    - `ranks`, `tenant_ranks`: the order that breaks ties: the larger weight first, then the lower
      number. `pool_at` and `tenant_at` are their inverses.
    - `divisors`, `tenant_divisors`: (m, d) of each weight, see `divisors_of`.
    """

    names: tuple[str, ...]
    tenants: tuple[str, ...]
    tenant_of: list[int]
    tiers: list[list[int]]
    pools_of: list[list[int]]
    ranks: list[int]
    pool_at: list[int]
    divisors: list[tuple[int, int]]
    tenant_ranks: list[int]
    tenant_at: list[int]
    tenant_divisors: list[tuple[int, int]]

    def keys(self, pool: int, low: int, high: int, current: int = 0) -> Iterable[int]:
        """The keys of a pool's replicas from `low` to `high`, by which they come in order: its
        level, whether the replica must be started beside the `current` ones, and its rank.
        """
        count, rank, (multiply, divide) = len(self.pool_at), self.ranks[pool], self.divisors[pool]
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


class Draw(NamedTuple):
    """What one more replica takes of each row, and needs left: `strict` and `hard` rows."""

    takes: Uses
    strict: Uses
    hard: Uses


class Profile(NamedTuple):
    """A replica's uses everywhere, and on its class of nodes: the first with enough left."""

    everywhere: Draw
    flavors: tuple[Draw, ...] = ()


def field_of(
    pools: Sequence[str],
    tenants: Sequence[str],
    weights: Sequence[Amount],
    *,
    tiers: Mapping[str, int],
    tenant_weights: Mapping[str, Amount],
) -> Field:
    """The field of these pools: `pools`, `tenants`, `weights` are columns, mappings by tenant
    (default tier 0, weight 1). Raises DeclarationError (name twice), WeightError (not above 0).
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
        tenants=tuple(names),
        tenant_of=tenant_of,
        tiers=[by_tier[tier] for tier in sorted(by_tier)],
        pools_of=pools_of,
        ranks=ranks,
        pool_at=sorted(range(len(ranks)), key=ranks.__getitem__),
        divisors=divisors_of(of_pools),
        tenant_ranks=tenant_ranks,
        tenant_at=sorted(range(len(names)), key=tenant_ranks.__getitem__),
        tenant_divisors=divisors_of(of_tenants),
    )


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
    """Rows, and the uses of replicas, in whole numbers of a unit of each row.

    - `capacity`: by row. `fair`: (row, units of a share that one unit of it is worth).
    - `short`: rows of several tenants that have been too small for all; seldom other ones.
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
        self._short: dict[int, Profile] = {}
        self.short = frozenset[int]()
        self.supply(rows)

    def supply(self, rows: Sequence[Row]) -> None:
        """Take the capacities of these rows. Raises AmountError for one that is not exact."""
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
            self._short.clear()
            self.supply(self.rows)
        return not finer

    def profile(self, uses: ReplicaUses) -> Profile:
        """The profile of uses that were admitted."""
        return self._known[id(uses)][2]

    def shares(self, uses: ReplicaUses) -> tuple[int, ...]:
        """What one replica adds to its tenant's share of each fair row."""
        takes = dict(self.profile(uses).everywhere.takes)
        return tuple([takes.get(row, 0) * part for row, part in self.fair])

    def on_short(self, uses: ReplicaUses) -> Profile:
        """The part of the profile on rows that may refuse: those in `short` and of one tenant."""
        found = self._short.get(id(uses))
        if found is None:
            everywhere, flavors = self.profile(uses)
            parts = [Draw(*map(self._part, each)) for each in (everywhere, *flavors)]
            found = self._short[id(uses)] = Profile(parts[0], tuple(parts[1:]))
        return found

    def add_short(self, rows: frozenset[int]) -> None:
        """Add rows that are short now."""
        if not rows <= self.short:
            self.short |= rows
            self._short.clear()

    def __len__(self) -> int:
        return len(self._known)

    def _part(self, uses: Uses) -> Uses:
        rows, short = self.rows, self.short
        return tuple([each for each in uses if each[0] in short or rows[each[0]].tenant])

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
        return Profile(everywhere, tuple(flavors))

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
