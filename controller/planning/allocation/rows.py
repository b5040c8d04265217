"""What is left of each row, as integers, and whether one more replica may use it.

Only rows that cannot give every pool all it wants are counted, because the others never refuse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import gcd, lcm
from operator import le
from typing import Final, NamedTuple

from controller.model.decision import Bound
from controller.planning.allocation.exact import exact
from controller.planning.allocation.tariff import Draw, Tariff, Uses
from controller.planning.allocation.values import Row

GRANTED: Final = -1
"""Returned by `Rows.give` if no row refused."""


class RowSupply(NamedTuple):
    """The full capacity of the rows in the units of a tariff; rows are named by their index.

    - `left`: units by row. `soft`: the soft rows. `first_passes`: the rows whose first replica is
      always granted.
    - `fair_units`: (row, divide, multiply) of each fair row. `use // divide * multiply` is the
      use's part of the capacity, in one integer unit for all fair rows.
    - `quotas`: the rows of tenants' quotas.
    - `shares`: a cache: what a replica of each profile adds to its tenant's share.
    """

    left: list[int]
    soft: frozenset[int]
    first_passes: frozenset[int]
    quotas: frozenset[int]
    fair_units: list[tuple[int, int, int]]
    shares: dict[int, tuple[int, ...]]


def supply_of(tariff: Tariff, rows: Sequence[Row]) -> RowSupply:
    """The supply of these rows. Raises AmountError for a capacity that is negative or inexact."""
    capacities = [
        exact(row.capacity, row.name) * scale
        for row, scale in zip(rows, tariff.scales, strict=True)
    ]
    return RowSupply(
        # Rounded down, as all uses are whole. Rounded up for soft 0, where any rest is enough.
        left=[
            -(-capacity.numerator // capacity.denominator) if soft == 0 else int(capacity)
            for capacity, soft in zip(capacities, tariff.softs, strict=True)
        ],
        soft=frozenset(number for number, row in enumerate(rows) if row.soft is not None),
        first_passes=frozenset(number for number, row in enumerate(rows) if row.first_passes),
        quotas=frozenset(number for number, row in enumerate(rows) if row.bound is Bound.QUOTA),
        fair_units=_fair_units(
            tariff,
            {
                number: capacities[number]
                for number, row in enumerate(rows)
                if row.fair and capacities[number] > 0
            },
        ),
        shares={},
    )


class Wanted:
    """The units that all pools want of each row: `first` with every replica on its preferred class
    of nodes, `elsewhere` the further units if all of them ran on their other classes.
    """

    __slots__ = ("elsewhere", "first")

    def __init__(self, rows: int) -> None:
        self.first = [0] * rows
        self.elsewhere = [0] * rows

    def copy(self) -> Wanted:
        """A copy that can be changed."""
        copied = Wanted(0)
        copied.first, copied.elsewhere = list(self.first), list(self.elsewhere)
        return copied

    def add(self, tariff: Tariff, profile: int, replicas: int) -> None:
        """Add so many replicas of a profile; a negative number removes them."""
        if not replicas:
            return
        everywhere, flavors = tariff.profiles[profile]
        for row, use in everywhere.takes:
            self.first[row] += use * replicas
        if flavors:
            for row, use in flavors[0].takes:
                self.first[row] += use * replicas
            for flavor in flavors[1:]:
                for row, use in flavor.takes:
                    self.elsewhere[row] += use * replicas

    def short(self, left: Sequence[int]) -> frozenset[int]:
        """The indexes of the rows that may have too little; empty if everything fits on the
        preferred nodes. `left` is units by row.
        """
        first, elsewhere = self.first, self.elsewhere
        if all(map(le, first, left)):
            return frozenset()
        return frozenset(
            row for row, available in enumerate(left) if first[row] + elsewhere[row] > available
        )


class Rows:
    """What is left of each row during one division. It only decreases, so a pool that was refused
    once stays refused.

    - `left`: units by row. `profile_of`: by pool number, its index in `profiles`.
    - `passes`: rows that still grant their first replica in any case.
    - `fair`: the length of a tenant's share: one number per fair row, at least 1.
    """

    __slots__ = (
        "_quotas",
        "_shares",
        "_soft",
        "_units",
        "fair",
        "left",
        "passes",
        "profile_of",
        "profiles",
        "tariff",
    )

    def __init__(
        self,
        supply: RowSupply,
        tariff: Tariff,
        profile_of: Sequence[int],
        short: frozenset[int],
    ) -> None:
        """All rows with their full capacity; `short` are those that may refuse."""
        self.tariff, self.profile_of = tariff, profile_of
        self.left = list(supply.left)
        self._soft = supply.soft
        self._quotas = supply.quotas
        self.passes = set(short & supply.first_passes)
        self.profiles = tariff.on(short)
        self._units = supply.fair_units
        self._shares = supply.shares
        self.fair = len(self._units) or 1

    @classmethod
    def of_room(
        cls, supply: RowSupply, tariff: Tariff, profile_of: Sequence[int], rows: frozenset[int]
    ) -> Rows:
        """Only these rows, and without classes of nodes."""
        made = cls(supply, tariff, profile_of, frozenset())
        made.profiles = tariff.everywhere_on(rows)
        return made

    def share(self, number: int) -> tuple[int, ...]:
        """What a replica of a profile adds to its tenant's share: one number per fair row, in a
        common unit; without fair rows, (1,), which counts replicas.
        """
        found = self._shares.get(number)
        if found is None:
            uses = dict(self.tariff.profiles[number].everywhere.takes)
            parts = [uses.get(row, 0) // divide * by for row, divide, by in self._units]
            found = self._shares[number] = tuple(parts) or (1,)
        return found

    def largest_share(self, number: int) -> int:
        """The largest number in `share`."""
        found = self._shares.get(number)
        return max(self.share(number) if found is None else found)

    def most(self, pool: int, row: int) -> tuple[int, int]:
        """`Tariff.most` of the pool's profile."""
        return self.tariff.most(self.profile_of[pool], row)

    def give(self, pool: int, *, strict: bool) -> int:
        """Take one replica's use from all rows and return `GRANTED`; or take nothing and return the
        index of the row that refuses. Soft rows refuse only if `strict`.
        """
        profile = self.profiles[self.profile_of[pool]]
        refused = self._refusing(profile.everywhere, strict=strict)
        if refused != GRANTED:
            return refused
        chosen = None
        for flavor in profile.flavors:
            refused = self._refusing(flavor, strict=strict)
            if refused == GRANTED:
                chosen = flavor
                break
        if refused != GRANTED:
            return refused
        self.take(profile.everywhere.takes, 1)
        if chosen is not None:
            self.take(chosen.takes, 1)
        return GRANTED

    def _refusing(self, draw: Draw, *, strict: bool) -> int:
        """The first row with too little left for one more replica, or `GRANTED`."""
        left = self.left
        for row, need in draw.strict if strict else draw.lenient:
            if left[row] < need and row not in self.passes:
                return row
        return GRANTED

    def take(self, takes: Uses, replicas: int) -> None:
        """Take the use of so many replicas, whether enough is left or not."""
        left = self.left
        for row, use in takes:
            left[row] -= use * replicas
        if self.passes and replicas:
            self.passes.difference_update(row for row, _ in takes)

    def place_running(self, pool: int, replicas: int) -> None:
        """Take the use of replicas that run already, whether enough is left or not. Which nodes
        they run on is not known: they count on the pool's first class of nodes with room, then the
        next; those that fit nowhere count on the last.
        """
        profile = self.profiles[self.profile_of[pool]]
        self.take(profile.everywhere.takes, replicas)
        for number, flavor in enumerate(profile.flavors, start=1):
            fitting = replicas
            if number < len(profile.flavors):
                for row, use in flavor.takes:
                    fitting = min(fitting, max(self.left[row], 0) // use)
            self.take(flavor.takes, fitting)
            replicas -= fitting

    def place_held(self, pool: int, replicas: int) -> None:
        """Take the use of replicas that a pool keeps, even if other pools get less. What exceeds
        the quota of its tenant counts against that quota only: a tenant that holds its own
        Deployment above its quota takes no room from others.
        """
        takes = self.profiles[self.profile_of[pool]].everywhere.takes
        quotas = tuple((row, use) for row, use in takes if row in self._quotas)
        within = min([replicas, *(max(self.left[row], 0) // use for row, use in quotas if use)])
        self.place_running(pool, within)
        self.take(quotas, replicas - within)

    def give_all(self, replicas: Mapping[int, int], *, strict: bool) -> set[int]:
        """Take so many replicas of each profile (by index) if no row refuses any of them, and
        return an empty set. Else take nothing, and return the rows that may have too little, on any
        class of nodes. Soft rows refuse only if `strict`.
        """
        left, drawn = self.left, [0] * len(self.left)
        elsewhere: dict[int, int] = {}
        for number, count in replicas.items():
            everywhere, flavors = self.profiles[number]
            for row, use in everywhere.takes:
                drawn[row] += use * count
            if flavors:
                for row, use in flavors[0].takes:
                    drawn[row] += use * count
                for flavor in flavors[1:]:
                    for row, use in flavor.takes:
                        elsewhere[row] = elsewhere.get(row, 0) + use * count
        over = {row for row, units in enumerate(drawn) if units > left[row]}
        if over and (strict or not over <= self._soft):
            for row, units in elsewhere.items():
                if drawn[row] + units > left[row]:
                    over.add(row)
            return over
        for row, units in enumerate(drawn):
            left[row] -= units
        if self.passes:
            self.passes -= {row for row, units in enumerate(drawn) if units}
        return set()


def use_of(uses: Uses, row: int) -> int:
    """The units of a row among these uses; 0 if it is not used."""
    for number, use in uses:
        if number == row:
            return use
    return 0


def _fair_units(
    tariff: Tariff, capacities: Mapping[int, int | Fraction]
) -> list[tuple[int, int, int]]:
    unit = lcm(*(capacity.numerator for capacity in capacities.values()))
    parts = {
        row: unit // capacity.numerator * capacity.denominator * tariff.common_use(row)
        for row, capacity in capacities.items()
    }
    common = gcd(*parts.values()) or 1
    return [(row, tariff.common_use(row) or 1, part // common) for row, part in parts.items()]
