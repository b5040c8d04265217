"""What is left of everything scarce, in whole units, and whether one more replica may draw on it.

Only the rows that cannot give every pool all it wants are kept: the others never refuse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import gcd, lcm
from operator import le
from typing import Final, NamedTuple

from controller.planning.allocation.exact import exact
from controller.planning.allocation.tariff import Draw, Tariff, Uses
from controller.planning.allocation.values import Row

GRANTED: Final = -1
"""What `Rows.give` answers when no row refused."""


class RowSupply(NamedTuple):
    """What rows have in all, in the units of a tariff: it stays the same as long as both do.

    - `left`: units of each row. `soft`: rows that may give their last replica too little.
      `first_passes`: rows on which one replica may always draw.
    - `fair_units`: (row, divide, multiply) of each fair row: a use of the row divided and
      multiplied by them is its part of the capacity, in one whole unit for all rows.
    - `shares`: what a replica of each profile adds to its tenant's share, as far as it was asked.
    """

    left: list[int]
    soft: frozenset[int]
    first_passes: frozenset[int]
    fair_units: list[tuple[int, int, int]]
    shares: dict[int, tuple[int, ...]]


def supply_of(tariff: Tariff, rows: Sequence[Row]) -> RowSupply:
    """The supply of these rows. Raises SharingError for a capacity that cannot be one."""
    capacities = [
        exact(row.capacity, row.name) * scale
        for row, scale in zip(rows, tariff.scales, strict=True)
    ]
    return RowSupply(
        # what is too small for any use is like nothing, but a soft row of part 0 takes any rest
        left=[
            -(-capacity.numerator // capacity.denominator) if soft == 0 else int(capacity)
            for capacity, soft in zip(capacities, tariff.softs, strict=True)
        ],
        soft=frozenset(number for number, row in enumerate(rows) if row.soft is not None),
        first_passes=frozenset(number for number, row in enumerate(rows) if row.first_passes),
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
    """What all pools could draw on each row at most: on their preferred nodes, and elsewhere."""

    __slots__ = ("elsewhere", "first")

    def __init__(self, rows: int) -> None:
        self.first = [0] * rows
        self.elsewhere = [0] * rows

    def copy(self) -> Wanted:
        """The same, to be changed."""
        copied = Wanted(0)
        copied.first, copied.elsewhere = list(self.first), list(self.elsewhere)
        return copied

    def add(self, tariff: Tariff, profile: int, replicas: int) -> None:
        """So many replicas of a profile more, or fewer where negative."""
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
        """The rows that cannot give every pool all it wants, on any class of nodes."""
        first, elsewhere = self.first, self.elsewhere
        if all(map(le, first, left)):
            return frozenset()
        return frozenset(
            row for row, available in enumerate(left) if first[row] + elsewhere[row] > available
        )


class Rows:
    """The accounts of one division. Rows only shrink: a pool that is refused once stays refused.

    `left` is what each row has left, in whole units. `profile_of` is each pool's place in
    `profiles`. `passes` are the rows whose first replica may pass and has not come yet. A tenant's
    share is `fair` numbers.
    """

    __slots__ = (
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
        """The rows with all they have; `short` are those that may refuse."""
        self.tariff, self.profile_of = tariff, profile_of
        self.left = list(supply.left)
        self._soft = supply.soft
        self.passes = set(short & supply.first_passes)
        self.profiles = tariff.on(short)
        self._units = supply.fair_units
        self._shares = supply.shares
        self.fair = len(self._units) or 1

    @classmethod
    def of_room(
        cls, supply: RowSupply, tariff: Tariff, profile_of: Sequence[int], rows: frozenset[int]
    ) -> Rows:
        """These rows alone, on any class of nodes."""
        made = cls(supply, tariff, profile_of, frozenset())
        made.profiles = tariff.everywhere_on(rows)
        return made

    def share(self, number: int) -> tuple[int, ...]:
        """What a replica of a profile adds to its tenant's share of each fair row, in one unit;
        replicas are counted where nothing is fair to measure by.
        """
        found = self._shares.get(number)
        if found is None:
            uses = dict(self.tariff.profiles[number].everywhere.takes)
            parts = [uses.get(row, 0) // divide * by for row, divide, by in self._units]
            found = self._shares[number] = tuple(parts) or (1,)
        return found

    def largest_share(self, number: int) -> int:
        """The largest part of a fair row that a replica of a profile adds."""
        found = self._shares.get(number)
        return max(self.share(number) if found is None else found)

    def most(self, pool: int, row: int) -> tuple[int, int]:
        """What one replica of a pool takes of a row at the most, and what must be left for it."""
        return self.tariff.most(self.profile_of[pool], row)

    def give(self, pool: int, *, strict: bool) -> int:
        """Take one replica's use from every row, or name the row that refuses: its index."""
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
        """The first row with too little left for one replica more."""
        left = self.left
        for row, need in draw.strict if strict else draw.lenient:
            if left[row] < need and row not in self.passes:
                return row
        return GRANTED

    def take(self, takes: Uses, replicas: int) -> None:
        """Draw for so many replicas, whether there is enough or not."""
        left = self.left
        for row, use in takes:
            left[row] -= use * replicas
        if self.passes and replicas:
            self.passes.difference_update(row for row, _ in takes)

    def seat(self, pool: int, replicas: int) -> None:
        """Draw for replicas that are there already, on the nodes where they most likely are: the
        preferred ones, then the next; what fits in no class is counted on the last.
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

    def give_all(self, replicas: Mapping[int, int], *, strict: bool) -> set[int]:
        """Take so many replicas of each profile (by index) if no row would refuse any of them; else
        take nothing, and answer the rows that could not give so many on any class of nodes.
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
    """What is used of a row."""
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
