"""Divides rows over pools: a tenant is a sorted list of bids, and sharing is a merge of the lists.

Always the bid with the lowest key is next, which is a picking sequence, so with one more replica to
share no pool gets less (Chakraborty, Schmidt-Kraepelin, Suksompong: Picking Sequences and
Monotonicity in Weighted Fair Division, IJCAI 2021).

Up to the first refusal of a row that several tenants draw on, a tenant's list depends on that
tenant alone. Below the highest level up to which all lists fit, nothing is refused: those bids are
granted at once, the rest one by one. A row only empties, so a pool is closed at its first refusal.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from operator import add, is_not, itemgetter, le
from typing import Final, NamedTuple

from controller.planning.share.bids import (
    FLOOR,
    GRANTED,
    NEED,
    SPARE,
    Bidder,
    Bids,
    Drawn,
    Turns,
    drawn_of,
)
from controller.planning.share.claims import NO_USES, KnownUses, Sharer
from controller.planning.share.rows import Scarcity, SharingTerms
from controller.planning.share.units import Field, Profile, Units, kinds_of
from controller.planning.values import Claim, ReplicaUses, Row, SharingError

_PRECISION_BITS: Final = 9
_HINT_BITS: Final = 5
_USES_PER_POOL: Final = 4


class Division(NamedTuple):
    """By pool number: its replicas, and the index of the row that refused more, or `GRANTED`."""

    have: list[int]
    refused_by: list[int]


class Divider:
    """What is kept between the divisions of one fleet: it saves time and changes no result.

    `_claims` and `_uses` are those of the last division. By row, `_wanted` is what all replicas use
    on their preferred nodes, `_elsewhere` on the others. `_hints`: by phase and tier, the level of
    the last division.
    """

    def __init__(self, field: Field) -> None:
        self.field = field
        self._tenants: dict[int, Bidder] = {}
        self._hints: dict[tuple[int, int], int] = {}
        self._units: Units | None = None
        self._context: tuple[object, ...] = ()
        self._claims: list[Claim | None] = []
        self._uses: list[ReplicaUses | None] = []

    def divide(
        self, rows: Sequence[Row], claims: Sequence[Claim | None], uses: Sequence[ReplicaUses]
    ) -> Division:
        """What each pool gets of these rows (sorted by name). `claims` (None: takes no part) and
        `uses` are by pool number. Raises SharingError.
        """
        units = self._learn(rows, claims, uses)
        wanted, capacity = self._wanted, units.capacity
        if all(map(le, wanted, capacity)):
            have = [0 if claim is None else claim.want for claim in claims]
            return Division(have, [GRANTED] * len(have))
        own: dict[str, list[int]] = defaultdict(list)
        short = []
        for row, most in enumerate(map(add, wanted, self._elsewhere)):
            if most > capacity[row] and not rows[row].tenant:
                short.append(row)
            elif wanted[row] > capacity[row]:
                own[rows[row].tenant].append(row)
        units.add_short(frozenset(short))
        context = units.short, units.fair, [capacity[row] for row in units.short]
        if context != self._context:
            self._context = context
        for number, name in enumerate(self.field.tenants):
            self._tenants[number].make(self._context, own.get(name, ()))
        return _Merge(self.field, units, self._tenants, self._hints).run()

    def _learn(
        self, rows: Sequence[Row], claims: Sequence[Claim | None], uses: Sequence[ReplicaUses]
    ) -> Units:
        """Take in what has changed of the rows, the claims and the uses."""
        names, units = self.field.names, self._units
        most = _USES_PER_POOL * len(names) + 4  # measured uses change all the time
        if units is None or units.kinds != kinds_of(rows) or len(units) > most:
            units = self._begin(Units(rows))
        elif units.rows != tuple(rows):
            units.supply(rows)
        new_uses = list(compress(range(len(names)), map(is_not, uses, self._uses)))
        try:
            admitted = [units.admit(names[pool], uses[pool]) for pool in new_uses]
        except SharingError:
            self._units = None  # what it has read may not agree with what is kept
            raise
        if not all(admitted):
            self._begin(units)  # an amount was finer than all before: each use is another number
        changed = set(compress(range(len(names)), map(is_not, claims, self._claims)))
        for pool in changed.union(new_uses):
            self._count(units, self._claims[pool], self._uses[pool], -1)
            self._count(units, claims[pool], uses[pool], 1)
        self._claims, self._uses = list(claims), list(uses)
        tenants = {self.field.tenant_of[pool] for pool in changed.union(new_uses)}
        for number in tenants if self._tenants else range(len(self.field.tenants)):
            self._tenants[number] = Bidder(number, self.field, claims, uses, units)
        return units

    def _begin(self, units: Units) -> Units:
        """Forget all but these units."""
        self._units, self._tenants, self._context = units, {}, ()
        self._wanted, self._elsewhere = [0] * len(units.rows), [0] * len(units.rows)
        self._claims = [None] * len(self.field.names)
        self._uses = [None] * len(self.field.names)
        return units

    def _count(
        self, units: Units, claim: Claim | None, uses: ReplicaUses | None, sign: int
    ) -> None:
        """Add what one pool wants, or take it away."""
        if claim is None or uses is None:
            return
        everywhere, flavors = units.profile(uses)
        for place, draw in enumerate((everywhere, *flavors)):
            total = self._wanted if place < 2 else self._elsewhere
            for row, use in draw.takes:
                total[row] += sign * use * claim.want


class _Merge:
    """One division of rows of which at least one is short.

    `others` are the tenants to which a shared row may have refused something: they no longer get
    what they would get alone, so `left` has their own rows, too, and `draws` their pools. `above`:
    by tier, what its fixed pools hold of shared rows above their tenants' quotas.
    """

    def __init__(
        self,
        field: Field,
        units: Units,
        tenants: Mapping[int, Bidder],
        hints: dict[tuple[int, int], int],
    ) -> None:
        self._field, self._units, self._tenants, self._hints = field, units, tenants, hints
        self._have = [0] * len(field.names)
        self._refused_by = [GRANTED] * len(field.names)
        self._left = list(units.capacity)
        self._passes: set[int] = set()
        self._draws: dict[int, Profile] = {}
        self._others: set[int] = set()
        self._above: list[Counter[int]] = [Counter() for _ in field.tiers]

    def run(self) -> Division:
        """Fixed pools, then each phase, in it the highest tier first. What is held above a quota
        takes no floor, and nothing from a tier above its own: needs and spares from there on pay.
        """
        tiers = [[self._tenants[each] for each in numbers] for numbers in self._field.tiers]
        self._place_fixed(tiers)
        for tenants in tiers:
            self._grant_baselines(tenants)
        for phase in (FLOOR, NEED, SPARE):
            for tier, tenants in enumerate(tiers):
                if phase != FLOOR:
                    self._draw(self._above[tier].items(), 1)
                self._fill(tenants, phase, tier)
            for above in self._above if phase != FLOOR else ():
                self._draw(above.items(), -1)
        return Division(self._have, self._refused_by)

    def _draw(self, uses: Iterable[tuple[int, int]], times: int) -> None:
        for row, units in uses:
            self._left[row] -= units * times

    def _place_fixed(self, tiers: Sequence[Sequence[Bidder]]) -> None:
        """Fixed pools have what they have, whether it fits or not: they count on their first class
        of nodes with room, then the next; what fits nowhere on the last.
        """
        rows, placed = self._units.rows, list[tuple[int, int, tuple[int, int], Profile]]()
        for tier, tenants in enumerate(tiers):
            for tenant in tenants:
                for pool, replicas in tenant.fixed.items():
                    self._have[pool] = replicas
                self._draw(tenant.held.items(), 1)
                for pool, row in tenant.closed.items():
                    self._refused_by[pool] = row
                placed += [(p, tier, each, tenant.draws[p]) for p, each in tenant.placed.items()]
        placed.sort(key=itemgetter(0))
        for _, _, (within, _), profile in placed:
            self._place(profile, within)
        for _, tier, (_, above), profile in placed:
            of_several = [each for each in profile.everywhere.takes if not rows[each[0]].tenant]
            self._draw(of_several, above)
            self._above[tier].update({row: use * above for row, use in of_several})
            self._above[tier].update(self._place(profile, above))
        for uses in self._above:
            self._draw(uses.items(), -1)

    def _place(self, profile: Profile, replicas: int) -> Counter[int]:
        """Take what a fixed pool's replicas use of classes of nodes; what they take, by row."""
        left, taken, rest = self._left, Counter[int](), replicas
        for number, flavor in enumerate(profile.flavors, 1):
            most = [max(left[row], 0) // use for row, use in flavor.takes]
            fitting = rest if number == len(profile.flavors) else min([rest, *most])
            self._draw(flavor.takes, fitting)
            taken.update({row: use * fitting for row, use in flavor.takes})
            rest -= fitting
        return taken

    def _grant_baselines(self, tenants: Sequence[Bidder]) -> None:
        """One replica for each tenant with work; all at once if all fit, else the tenant with the
        least share first, and a refused pool is followed by the tenant's next. No soft row refuses.
        """
        rows, left = self._units.rows, self._left
        first = {tenant.baseline: tenant for tenant in tenants if tenant.baseline is not None}
        drawn: dict[int, int] = defaultdict(int)
        for pool, tenant in first.items():
            everywhere, flavors = tenant.draws[pool]
            for draw in (everywhere, *flavors[:1]):
                for row, use in draw.takes:
                    if not rows[row].tenant:
                        drawn[row] += use
        if all(units <= left[row] or rows[row].soft is not None for row, units in drawn.items()):
            for pool in first:
                self._have[pool] = 1
            for row, units in drawn.items():
                left[row] -= units
            return
        for tenant in first.values():
            self._set_apart(tenant)
        for tenant in sorted(first.values(), key=self._turn):
            for pool in tenant.candidates():
                if self._refused_by[pool] == GRANTED and self._give(pool, strict=False):
                    break

    def _turn(self, tenant: Bidder) -> tuple[int, bool, int]:
        have, field = self._have, self._field
        runs = any(tenant.pools[pool].current > have[pool] for pool in tenant.candidates())
        multiply, divide = field.tenant_divisors[tenant.number]
        level = max(drawn_of(tenant.shares, have)) * multiply // divide
        return level, not runs, field.tenant_ranks[tenant.number]

    def _set_apart(self, tenant: Bidder) -> None:
        """Make the tenant one of `others`."""
        if tenant.number in self._others:
            return
        self._others.add(tenant.number)
        have, start = self._have, tenant.start
        for row, uses in tenant.own.items():
            taken = sum([have[pool] * use for pool, use in uses.items()])
            self._left[row] = start.left[row] - taken
            if row in start.passes and not taken:
                self._passes.add(row)
        self._draws.update(tenant.draws)

    def _bids(self, tenant: Bidder, phase: int) -> Bids | None:
        if tenant.number not in self._others:
            return tenant.bids[phase]
        have, refused_by = self._have, self._refused_by
        state = Drawn(
            {pool: have[pool] for pool in tenant.pools},
            {pool: row for pool in tenant.pools if (row := refused_by[pool]) != GRANTED},
            {row: self._left[row] for row in tenant.start.left},
            self._passes & tenant.start.passes,
        )
        return tenant.bids_of(state, phase)

    def _fill(self, tenants: Iterable[Bidder], phase: int, tier: int) -> None:
        found = [(tenant, self._bids(tenant, phase)) for tenant in tenants]
        entries = [(tenant, bids) for tenant, bids in found if bids is not None]
        if not entries:
            return
        level = self._level([bids for _, bids in entries], phase, tier)
        turns, strict = Turns(self._field, self._refused_by), phase != FLOOR
        for tenant, bids in entries:
            following = self._grant(tenant, bids, level)
            if following is not None:
                self._set_apart(tenant)
                turns.join(tenant.number, bids.keys, following, tenant.shares, self._have)
        turns.deal(lambda pool: self._give(pool, strict=strict))
        for tenant, bids in entries:
            self._add(tenant, bids.rest)

    def _level(self, lists: Sequence[Bids], phase: int, tier: int) -> int | None:
        """A level, close to the highest, below which no shared row refuses; None if none does."""
        rows, left = self._units.rows, self._left
        columns: dict[int, list[tuple[int, list[int]]]] = {}
        for index, bids in enumerate(lists):
            for row, sums in bids.sums.items():
                columns.setdefault(row, []).append((index, sums))
        tight = [
            (left[row], column)
            for row, column in columns.items()
            if (phase != FLOOR or rows[row].soft is None)
            and sum([sums[-1] for _, sums in column]) > left[row]
        ]
        if not tight:
            return None

        def fits(level: int) -> bool:
            places = [bisect_left(bids.level, level, 0, len(bids.pools)) for bids in lists]
            return all(
                sum([sums[places[index]] for index, sums in column]) <= there
                for there, column in tight
            )

        low, high = 0, 1 + max(bids.level[-1] for bids in lists)
        hint = self._hints.get((phase, tier), 0)
        step = 1 + (hint >> _HINT_BITS)
        if 0 < hint < high and fits(hint):
            low, high = hint, hint + step if hint + step < high and not fits(hint + step) else high
        elif 0 < hint < high:
            low, high = hint - step if hint > step and fits(hint - step) else 0, hint
        while high - low > max(1, low >> _PRECISION_BITS):
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        self._hints[phase, tier] = low
        return low

    def _grant(self, tenant: Bidder, bids: Bids, level: int | None) -> int | None:
        """Grant all bids below the level. Returns the next key's index; None when all are done."""
        many = len(bids.pools)
        place = many if level is None else bisect_left(bids.level, level, 0, many)
        counts, is_whole = (bids.counts, True) if place == many else (None, False)
        self._add(tenant, Counter(bids.pools[:place]) if counts is None else counts, bids, place)
        for position, pool, row in bids.refused:
            if level is None or bids.level[position] < level:
                self._refused_by[pool] = row
            else:
                is_whole = False
        if is_whole:
            return None
        if not place:
            return 0
        return place if bids.at is None else bids.at[place - 1] + 1

    def _add(
        self, tenant: Bidder, counts: Mapping[int, int], bids: Bids | None = None, place: int = 0
    ) -> None:
        """Grant so many replicas; of shared rows they take what `bids` has at `place`."""
        have, left, rows = self._have, self._left, self._units.rows
        is_other = tenant.number in self._others
        if bids is not None:
            for row, sums in bids.sums.items():
                left[row] -= sums[place]
        for pool, count in counts.items():
            have[pool] += count
            if is_other or bids is None:
                takes, own = tenant.draws[pool].everywhere.takes, tenant.start.left
                for row, use in takes:
                    if (is_other and row in own) or (bids is None and not rows[row].tenant):
                        left[row] -= use * count
                if self._passes:
                    self._passes.difference_update([row for row, _ in takes])

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
                    self._draw(flavor.takes, 1)
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


class Shared(NamedTuple):
    """One division of all rows. Lists are by pool number; `sharers` and `claims` have None for a
    pool that takes no part. `known` and `divider` only save time.
    """

    rows: tuple[Row, ...]
    sharers: list[Sharer | None]
    claims: list[Claim | None]
    uses: list[ReplicaUses]
    division: Division
    known: KnownUses
    divider: Divider

    def refused_by(self, number: int) -> Row | None:
        """The row that refused a pool more."""
        row = self.division.refused_by[number]
        return None if row == GRANTED else self.rows[row]


def shared_of(
    terms: SharingTerms,
    scarcity: Scarcity,
    sharers: Mapping[int, Sharer | None],
    before: Shared | None,
) -> Shared:
    """The division with these sharers in place of those `before`, by number; without it, of these
    alone. `before` itself if nothing has changed. Raises SharingError if an input cannot be used.
    """
    if isinstance(terms.field, SharingError):
        raise terms.field
    rows, names, classes = tuple(scarcity.rows.values()), tuple(scarcity.rows), scarcity.classes
    all_sharers: list[Sharer | None] = [None] * len(terms.pools)
    claims: list[Claim | None] = [None] * len(terms.pools)
    uses, divider = [NO_USES] * len(terms.pools), Divider(terms.field)
    known, changed = KnownUses(names, classes), sharers
    if before is not None:
        changed = {number: s for number, s in sharers.items() if s != before.sharers[number]}
        if not changed and rows == before.rows:
            return before
        all_sharers, claims, divider = list(before.sharers), list(before.claims), before.divider
        if (before.known.names, before.known.classes) == (names, classes):
            known, uses = before.known, list(before.uses)
        else:
            changed = {**dict(enumerate(all_sharers)), **changed}
    for number, sharer in changed.items():
        pool = terms.pools[number]
        all_sharers[number], uses[number], claims[number] = sharer, NO_USES, None
        if sharer is not None:
            tenant, model = terms.tenants.get(pool.tenant), terms.models.get(pool.model or "")
            requests, usage = sharer.requests, sharer.usage
            uses[number] = known.of(pool, requests, usage, tenant=tenant, model=model)
            claims[number] = sharer.claim
    division = divider.divide(rows, claims, uses)
    return Shared(rows, all_sharers, claims, uses, division, known, divider)
