"""What is left of everything scarce, in whole units, and whether one more replica may draw on it.

Only the rows that cannot give everybody all they want are kept: the others never refuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import gcd, lcm
from typing import Final, NamedTuple

from controller.planning.allocation.exact import exact
from controller.planning.allocation.values import (
    Amount,
    AmountError,
    Claim,
    DeclarationError,
    Row,
)

GRANTED: Final = -1
"""What `Rows.give` answers when no row refused."""

Uses = tuple[tuple[int, int], ...]
"""(index of a row, whole units of it)."""
_Raw = tuple[tuple[int, int | Fraction], ...]


class Draw(NamedTuple):
    """What one more replica takes, and what must be left for it: of every row, and of hard ones."""

    takes: Uses
    strict: Uses
    lenient: Uses


class Profile(NamedTuple):
    """What a replica of some pools draws: everywhere, and on the first class of nodes with room.
    `share` is what it adds to its tenant's share of each fair row, all in one common unit.
    """

    everywhere: Draw
    flavors: tuple[Draw, ...]
    share: tuple[int, ...]


class Rows:
    """The open accounts of one allocation. Rows only shrink: who is refused once stays refused."""

    __slots__ = ("fair", "left", "passes", "profile_of", "profiles")

    def __init__(self, claims: Sequence[Claim], rows: Sequence[Row], wants: Sequence[int]) -> None:
        index = {row.name: number for number, row in enumerate(rows)}
        if len(index) != len(rows):
            raise DeclarationError("rows", "two rows have one name")
        raw, self.profile_of = _profiles(claims, index)
        wanted = [0] * len(raw)
        for number, want in zip(self.profile_of, wants, strict=True):
            wanted[number] += want
        ledger = _Ledger(rows, raw)
        self.left = ledger.capacities
        short = ledger.short(wanted)
        self.profiles = ledger.profiles(short)
        self.fair = max((len(profile.share) for profile in self.profiles), default=1)
        self.passes = {number for number in short if rows[number].first_passes}

    def least_need(self, pools: Iterable[int], row: int, *, strict: bool) -> int:
        """What must be left of a row for any of these pools; 0 if one does without it."""
        least = 0
        for pool in pools:
            draw = self.profiles[self.profile_of[pool]].everywhere
            need = dict(draw.strict if strict else draw.lenient).get(row, 0)
            if not need:
                return 0
            least = min(least or need, need)
        return least

    def give(self, pool: int, *, strict: bool) -> int:
        """Take one replica's use from every row, or name the row that refuses: its index."""
        profile = self.profiles[self.profile_of[pool]]
        left, draw = self.left, profile.everywhere
        for row, need in draw.strict if strict else draw.lenient:
            if left[row] < need and row not in self.passes:
                return row
        if profile.flavors:
            refused = self._give_flavor(profile.flavors, strict=strict)
            if refused != GRANTED:
                return refused
        self.take(draw.takes, 1)
        return GRANTED

    def take(self, takes: Uses, replicas: int) -> None:
        """Draw for so many replicas, whether there is enough or not."""
        left = self.left
        for row, use in takes:
            left[row] -= use * replicas
        if self.passes and replicas:
            self.passes.difference_update(row for row, _ in takes)

    def seat(self, pool: int, replicas: int) -> None:
        """Draw for replicas that are there already, on the nodes they most likely are on: the
        preferred ones, then the next; what no class has room for is on the last.
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

    def give_all(self, replicas: Mapping[int, int], *, strict: bool) -> bool:
        """Take so many replicas of each profile (by index) if no row would refuse any of them."""
        drawn: dict[int, int] = {}
        for number, count in replicas.items():
            profile = self.profiles[number]
            draws = (profile.everywhere, *profile.flavors[:1])
            for draw in draws:
                for row, use in draw.takes:
                    drawn[row] = drawn.get(row, 0) + use * count
        hard = {row for number in replicas for row, _ in self._tested(number, strict=strict)}
        if any(self.left[row] < units for row, units in drawn.items() if row in hard):
            return False
        for row, units in drawn.items():
            self.left[row] -= units
            if units:
                self.passes.discard(row)
        return True

    def contested(self, replicas: Mapping[int, int], *, strict: bool) -> set[int]:
        """The profiles that meet a row which could not give so many of each, on any class of nodes;
        the others cannot be refused.
        """
        drawn: dict[int, int] = {}
        tested: dict[int, set[int]] = {}
        for number, count in replicas.items():
            profile = self.profiles[number]
            for draw in (profile.everywhere, *profile.flavors):
                for row, use in draw.takes:
                    drawn[row] = drawn.get(row, 0) + use * count
                for row, _ in draw.strict if strict else draw.lenient:
                    tested.setdefault(row, set()).add(number)
        full = [numbers for row, numbers in tested.items() if drawn[row] > self.left[row]]
        return set().union(*full)

    def _tested(self, number: int, *, strict: bool) -> Uses:
        profile = self.profiles[number]
        tested: Uses = ()
        for draw in (profile.everywhere, *profile.flavors[:1]):
            tested += draw.strict if strict else draw.lenient
        return tested

    def _give_flavor(self, flavors: tuple[Draw, ...], *, strict: bool) -> int:
        refused = GRANTED
        for flavor in flavors:
            for row, need in flavor.strict if strict else flavor.lenient:
                if self.left[row] < need and row not in self.passes:
                    refused = row
                    break
            else:
                self.take(flavor.takes, 1)
                return GRANTED
        return refused


class _Ledger:
    """Rows and what replicas use of them, before it is known which of the rows are short."""

    def __init__(self, rows: Sequence[Row], raw: Sequence[tuple[_Raw, tuple[_Raw, ...]]]) -> None:
        self.rows = rows
        self.softs = [_soft(row) for row in rows]
        parts: list[set[int]] = [set() for _ in rows]
        for everywhere, flavors in raw:
            for uses in (everywhere, *flavors):
                for row, use in uses:
                    parts[row].add(use.denominator)
        self.capacities: list[int] = []
        self.scales: list[int] = []
        for limit, soft, denominators in zip(rows, self.softs, parts, strict=True):
            capacity = exact(limit.capacity, limit.name)
            whole = lcm(*denominators) * (1 if soft is None else soft.denominator)
            scale = lcm(whole, capacity.denominator)
            self.scales.append(scale)
            self.capacities.append(int(capacity * scale))
        self.raw = [
            (self._whole(everywhere), tuple(self._whole(flavor) for flavor in flavors))
            for everywhere, flavors in raw
        ]

    def short(self, wanted: Sequence[int]) -> set[int]:
        """The rows that cannot give so many replicas of each profile, on any class of nodes."""
        first, anywhere = [0] * len(self.rows), [0] * len(self.rows)
        for (everywhere, flavors), count in zip(self.raw, wanted, strict=True):
            for row, use in everywhere:
                first[row] += use * count
                anywhere[row] += use * count
            for number, flavor in enumerate(flavors):
                for row, use in flavor:
                    anywhere[row] += use * count
                    first[row] += 0 if number else use * count
        capacities = self.capacities
        if all(drawn <= capacity for drawn, capacity in zip(first, capacities, strict=True)):
            return set()
        return {row for row, capacity in enumerate(capacities) if anywhere[row] > capacity}

    def profiles(self, short: set[int]) -> list[Profile]:
        """What a replica of each profile draws on the rows that are short."""
        fair = [
            number
            for number, row in enumerate(self.rows)
            if row.fair and self.capacities[number] > 0
        ]
        unit = lcm(*(self.capacities[number] for number in fair))
        parts = {row: (at, unit // self.capacities[row]) for at, row in enumerate(fair)}
        shares = []
        for everywhere, _ in self.raw:
            share = [0] * len(fair) or [1]  # nothing is fair to measure by: replicas are counted
            for row, use in everywhere:
                if row in parts:
                    at, part = parts[row]
                    share[at] = use * part
            shares.append(share)
        common = gcd(*(part for share in shares for part in share)) or 1
        return [
            Profile(
                self._draw(everywhere, short),
                tuple(self._draw(flavor, short) for flavor in flavors) if short else (),
                tuple([part // common for part in share]),
            )
            for (everywhere, flavors), share in zip(self.raw, shares, strict=True)
        ]

    def _whole(self, uses: _Raw) -> Uses:
        scales = self.scales
        return tuple([(row, scales[row] // use.denominator * use.numerator) for row, use in uses])

    def _draw(self, uses: Uses, short: set[int]) -> Draw:
        takes = tuple([use for use in uses if use[0] in short])
        softs = self.softs
        for row, _ in takes:
            if softs[row] is not None:
                break
        else:
            return Draw(takes, takes, takes)
        strict = tuple([(row, self._need(row, use)) for row, use in takes])
        return Draw(takes, strict, tuple([use for use in takes if softs[use[0]] is None]))

    def _need(self, row: int, use: int) -> int:
        soft = self.softs[row]
        return use if soft is None else max(int(soft * use), 1)


def _soft(row: Row) -> int | Fraction | None:
    if row.soft is None:
        return None
    soft = exact(row.soft, row.name)
    if soft > 1:
        raise AmountError(row.name, f"{row.soft} of a use is more than all of it")
    return soft


def _profiles(
    claims: Sequence[Claim], index: Mapping[str, int]
) -> tuple[list[tuple[_Raw, tuple[_Raw, ...]]], list[int]]:
    """Pools whose replicas draw the same, each told once, and the number of every pool's."""
    numbers: dict[object, int] = {}
    raw: list[tuple[_Raw, tuple[_Raw, ...]]] = []
    profile_of: list[int] = []
    for claim in claims:
        key: object = tuple(claim.uses.items())
        if claim.flavors:
            key = (key, tuple(tuple(flavor.items()) for flavor in claim.flavors))
        number = numbers.get(key)
        if number is None:
            number = numbers[key] = len(raw)
            flavors = tuple(_raw(claim.pool, flavor, index) for flavor in claim.flavors)
            if any(flavor.keys() & claim.uses.keys() for flavor in claim.flavors):
                raise DeclarationError(claim.pool, "a row is drawn on both everywhere and by class")
            raw.append((_raw(claim.pool, claim.uses, index), flavors))
        profile_of.append(number)
    return raw, profile_of


def _raw(pool: str, uses: Mapping[str, Amount], index: Mapping[str, int]) -> _Raw:
    found: list[tuple[int, int | Fraction]] = []
    for name, amount in uses.items():
        if name not in index:
            raise DeclarationError(pool, f"it draws on {name}, and there is no such row")
        use = amount if type(amount) is int and amount >= 0 else exact(amount, pool)
        if use:
            found.append((index[name], use))
    return tuple(sorted(found))
