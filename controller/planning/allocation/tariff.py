"""What a replica of each pool uses of each row, in whole units, and which pools use the same.

It depends on what pools and rows are, hardly ever on the moment, so the last few are kept: for uses
in read-only mappings, which cannot have become others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import gcd, lcm
from operator import mul
from types import MappingProxyType
from typing import Final, NamedTuple

from controller.planning.allocation.exact import exact
from controller.planning.allocation.values import (
    Amount,
    AmountError,
    DeclarationError,
    Member,
    Row,
)

Uses = tuple[tuple[int, int], ...]
"""(index of a row, whole units of it), in the order of the rows."""
_Raw = list[tuple[int, int | Fraction]]
_Declared = tuple[Mapping[str, Amount], tuple[Mapping[str, Amount], ...]]
_Column = tuple[list[int], list[int]]
_KEPT: Final = 4


class Draw(NamedTuple):
    """What one more replica takes, and what must be left for it: of every row, and of hard ones."""

    takes: Uses
    strict: Uses
    lenient: Uses


class Profile(NamedTuple):
    """What a replica of some pools draws: everywhere, and on the first class of nodes with room."""

    everywhere: Draw
    flavors: tuple[Draw, ...] = ()


NOTHING: Final = Draw((), (), ())


class Tariff:
    """The uses of all pools; pools with the same are of one profile, a number.

    A row's unit is the largest part that all its uses are whole in: `scales` units make one of the
    row. `softs` are the parts of a use at which soft rows refuse.
    """

    __slots__ = (
        "_all",
        "_asked",
        "_common_uses",
        "_elsewhere",
        "_first",
        "_held",
        "_idle",
        "_names",
        "_numbers",
        "_on_asked",
        "_times_asked",
        "profiles",
        "scales",
        "softs",
    )

    def __init__(self, claims: Iterable[Member], rows: Sequence[Row]) -> None:
        self._names = _names(rows)
        index = {row.name: number for number, row in enumerate(rows)}
        if len(index) != len(rows):
            raise DeclarationError("rows", "two rows have one name")
        self.softs = [_soft(row) for row in rows]
        self._held: dict[tuple[int, int], _Declared] = {}
        raw: list[list[_Raw]] = []
        for claim in claims:
            key = id(claim.uses), id(claim.flavors)
            if key not in self._held:
                self._held[key] = claim.uses, claim.flavors  # so that the ids stay theirs
                raw.append(_read(claim, index))
        self.scales = _scales(raw, self.softs)
        found: dict[tuple[Uses, ...], int] = {}
        self._numbers: dict[tuple[int, int], int] = {}
        self.profiles: list[Profile] = []
        for key, uses in zip(self._held, raw, strict=True):
            whole = tuple([_whole(each, self.scales) for each in uses])
            number = found.setdefault(whole, len(found))
            if number == len(self.profiles):
                everywhere, *flavors = [_draw(each, self.softs) for each in whole]
                self.profiles.append(Profile(everywhere, tuple(flavors)))
            self._numbers[key] = number
        self._first = _by_row((everywhere, *flavors[:1]) for everywhere, flavors in self.profiles)
        self._elsewhere = _by_row(flavors[1:] for _, flavors in self.profiles)
        self._common_uses: dict[int, int] | None = None
        self._idle = [Profile(NOTHING)] * len(self.profiles)
        self._all = frozenset(index.values())
        self._asked: frozenset[int] = frozenset()
        self._times_asked = 0
        self._on_asked = self._idle

    @property
    def lasts(self) -> bool:
        """Whether nobody can change what was read."""
        return all(
            type(uses) is MappingProxyType
            for everywhere, flavors in self._held.values()
            for uses in (everywhere, *flavors)
        )

    def fits(self, rows: Sequence[Row]) -> bool:
        """Whether it was made for rows of these names and kinds, in this order."""
        return self._names == _names(rows)

    def numbers(self, claims: Iterable[Member]) -> list[int]:
        """Each pool's profile. Raises KeyError for uses that are not in this tariff."""
        known = self._numbers
        return [known[id(claim.uses), id(claim.flavors)] for claim in claims]

    def on(self, rows: frozenset[int]) -> list[Profile]:
        """The profiles as far as they draw on these rows, and on others asked for before; where
        every moment asks for others, on all rows.
        """
        if not rows:
            return self._idle
        if not rows <= self._asked:
            self._times_asked += 1
            if self._times_asked > _KEPT:
                self._asked, self._on_asked = self._all, self.profiles
            else:
                self._asked |= rows
                self._on_asked = [_part(profile, self._asked) for profile in self.profiles]
        return self._on_asked

    def drawn_first(self, replicas: Sequence[int]) -> dict[int, int]:
        """What so many replicas of each profile draw on each row, all on their preferred nodes."""
        return _drawn(self._first, replicas)

    def drawn_elsewhere(self, replicas: Sequence[int]) -> dict[int, int]:
        """What they could draw beside that on all other classes of nodes."""
        return _drawn(self._elsewhere, replicas)

    def common_use(self, row: int) -> int:
        """The greatest part that all uses of a row, but those by class of nodes, are whole in."""
        common = self._common_uses
        if common is None:
            common = self._common_uses = {}
            for everywhere, _ in self.profiles:
                for number, use in everywhere.takes:
                    common[number] = gcd(common.get(number, 0), use)
        return common.get(row, 0)


_lately: Final[deque[Tariff]] = deque(maxlen=_KEPT)


def tariff_of(claims: Sequence[Member], rows: Sequence[Row]) -> tuple[Tariff, list[int]]:
    """The tariff, and each pool's profile. Raises SharingError for what cannot be shared by."""
    for tariff in tuple(_lately):
        if tariff.fits(rows):
            try:
                return tariff, tariff.numbers(claims)
            except KeyError:
                continue
    tariff = Tariff(claims, rows)
    if tariff.lasts:
        _lately.append(tariff)
    return tariff, tariff.numbers(claims)


def _by_row(draws_of: Iterable[Iterable[Draw]]) -> dict[int, _Column]:
    """Who draws on each row, and what one replica takes."""
    columns: dict[int, _Column] = {}
    for number, draws in enumerate(draws_of):
        for draw in draws:
            for row, use in draw.takes:
                numbers, uses = columns.setdefault(row, ([], []))
                numbers.append(number)
                uses.append(use)
    return columns


def _drawn(columns: Mapping[int, _Column], replicas: Sequence[int]) -> dict[int, int]:
    return {
        row: sum(map(mul, uses, map(replicas.__getitem__, numbers)))
        for row, (numbers, uses) in columns.items()
    }


def _names(rows: Sequence[Row]) -> list[tuple[str, Amount | None]]:
    return [(row.name, row.soft) for row in rows]


def _soft(row: Row) -> int | Fraction | None:
    if row.soft is None:
        return None
    soft = exact(row.soft, row.name)
    if soft > 1:
        raise AmountError(row.name, f"{row.soft} of a use is more than all of it")
    return soft


def _read(claim: Member, index: Mapping[str, int]) -> list[_Raw]:
    """What a pool uses everywhere, then on each class of nodes."""
    if any(flavor.keys() & claim.uses.keys() for flavor in claim.flavors):
        raise DeclarationError(claim.pool, "a row is drawn on both everywhere and by class")
    return [_amounts(claim.pool, uses, index) for uses in (claim.uses, *claim.flavors)]


def _amounts(pool: str, uses: Mapping[str, Amount], index: Mapping[str, int]) -> _Raw:
    found: _Raw = []
    for name, amount in uses.items():
        row = index.get(name)
        if row is None:
            raise DeclarationError(pool, f"it draws on {name}, and there is no such row")
        use = amount if type(amount) is int and amount >= 0 else exact(amount, pool)
        if use:
            found.append((row, use))
    found.sort()
    return found


def _scales(raw: Iterable[Iterable[_Raw]], softs: Sequence[int | Fraction | None]) -> list[int]:
    """What makes all uses of each row whole, and the soft part of each."""
    parts: list[set[int]] = [set() for _ in softs]
    for claimed in raw:
        for uses in claimed:
            for row, use in uses:
                if type(use) is not int:
                    parts[row].add(use.denominator)
    return [
        lcm(*denominators) * (1 if soft is None else soft.denominator)
        for denominators, soft in zip(parts, softs, strict=True)
    ]


def _whole(uses: _Raw, scales: Sequence[int]) -> Uses:
    return tuple([(row, scales[row] // use.denominator * use.numerator) for row, use in uses])


def _draw(takes: Uses, softs: Sequence[int | Fraction | None]) -> Draw:
    if all(softs[row] is None for row, _ in takes):
        return Draw(takes, takes, takes)
    strict = tuple([(row, _need(softs[row], use)) for row, use in takes])
    return Draw(takes, strict, tuple([use for use in takes if softs[use[0]] is None]))


def _need(soft: int | Fraction | None, use: int) -> int:
    """What must be left of a row: all of a use, or of a soft row its part; more than nothing."""
    return use if soft is None else max(int(soft * use), 1)


def _part(profile: Profile, rows: frozenset[int]) -> Profile:
    everywhere, flavors = profile
    return Profile(_only(everywhere, rows), tuple([_only(flavor, rows) for flavor in flavors]))


def _only(draw: Draw, rows: frozenset[int]) -> Draw:
    takes = tuple([use for use in draw.takes if use[0] in rows])
    if not takes:
        return NOTHING
    if draw.strict is draw.takes:
        return Draw(takes, takes, takes)
    return Draw(
        takes,
        tuple([need for need in draw.strict if need[0] in rows]),
        tuple([need for need in draw.lenient if need[0] in rows]),
    )
