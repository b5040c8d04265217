"""What a replica of each pool uses of each row, in whole units, and which pools use the same.

It depends on what pools and rows are, hardly ever on the moment, so a tariff can be used again as
long as the uses are the same objects.
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
    DeclarationError,
    ReplicaUses,
    Row,
)

Uses = tuple[tuple[int, int], ...]
"""(index of a row, whole units of it), in the order of the rows."""
_Raw = list[tuple[int, int | Fraction]]
_SUBSETS: Final = 4


class Draw(NamedTuple):
    """What one more replica takes, and what must be left for it: of every row, and of hard ones."""

    takes: Uses
    strict: Uses
    lenient: Uses


class Profile(NamedTuple):
    """What a replica of some pools draws: everywhere, and on the first class of nodes with room."""

    everywhere: Draw
    flavors: tuple[Draw, ...] = ()


NO_DRAW: Final = Draw((), (), ())


class Tariff:
    """The uses of all pools; pools with the same uses are of one profile, a number.

    A row's unit is the largest part in which all its uses are whole: `scales` units make one of the
    row. `softs` are the parts of a use at which soft rows refuse.
    """

    __slots__ = (
        "_all",
        "_asked",
        "_common_uses",
        "_everywhere",
        "_found",
        "_idle",
        "_index",
        "_known",
        "_most",
        "_on_asked",
        "_times_asked",
        "kinds",
        "profiles",
        "scales",
        "softs",
    )

    def __init__(self, pools: Iterable[tuple[str, ReplicaUses]], rows: Sequence[Row]) -> None:
        """`pools` are names and uses. Raises SharingError for what cannot be shared by."""
        self.kinds = kinds_of(rows)
        self._index = {row.name: number for number, row in enumerate(rows)}
        if len(self._index) != len(rows):
            raise DeclarationError("rows", "two rows have one name")
        self.softs = [_soft(row) for row in rows]
        read: dict[int, tuple[ReplicaUses, list[_Raw]]] = {}
        for pool, uses in pools:
            if id(uses) not in read:
                read[id(uses)] = uses, _read(pool, uses, self._index)
        self.scales = _scales([raw for _, raw in read.values()], self.softs)
        self.profiles: list[Profile] = []
        self._found: dict[tuple[Uses, ...], int] = {}
        self._common_uses: dict[int, int] = {}
        self._idle: list[Profile] = []
        self._most: dict[int, dict[int, tuple[int, int]]] = {}
        self._everywhere: tuple[frozenset[int], list[Profile]] = frozenset(), []
        self._all = frozenset(self._index.values())
        self._asked: frozenset[int] = frozenset()
        self._times_asked = 0
        self._on_asked = self._idle
        # uses and their profile; the uses stay alive, so that their ids stay their own
        self._known: dict[int, tuple[ReplicaUses, int]] = {
            key: (uses, self._profile(raw)) for key, (uses, raw) in read.items()
        }

    def profile_of(self, pool: str, uses: ReplicaUses) -> int | None:
        """The profile of a pool with these uses; None where they are not whole in the row's units.
        Raises SharingError for what cannot be shared by.
        """
        known = self._known.get(id(uses))
        if known is None:
            raw = _read(pool, uses, self._index)
            if any(self.scales[row] % use.denominator for each in raw for row, use in each):
                return None
            known = self._known[id(uses)] = uses, self._profile(raw)
        return known[1]

    def _profile(self, raw: list[_Raw]) -> int:
        whole = tuple([_whole(each, self.scales) for each in raw])
        number = self._found.setdefault(whole, len(self.profiles))
        if number == len(self.profiles):
            everywhere, *flavors = [_draw(each, self.softs) for each in whole]
            profile = Profile(everywhere, tuple(flavors))
            self.profiles.append(profile)
            self._idle.append(Profile(NO_DRAW))
            if self._on_asked is not self._idle and self._on_asked is not self.profiles:
                self._on_asked.append(_part(profile, self._asked))
            common = self._common_uses
            for row, use in everywhere.takes:
                common[row] = gcd(common.get(row, 0), use)
        return number

    def on(self, rows: frozenset[int]) -> list[Profile]:
        """The profiles as far as they draw on these rows, and on others asked for before; on all
        rows where other ones are asked for again and again.
        """
        if not rows:
            return self._idle
        if not rows <= self._asked:
            self._times_asked += 1
            if self._times_asked > _SUBSETS:
                self._asked, self._on_asked = self._all, self.profiles
            else:
                self._asked |= rows
                self._on_asked = [_part(profile, self._asked) for profile in self.profiles]
        return self._on_asked

    def everywhere_on(self, rows: frozenset[int]) -> list[Profile]:
        """The profiles as far as they draw on these rows, whatever the class of nodes."""
        known, profiles = self._everywhere
        if known != rows:
            profiles = []
            self._everywhere = rows, profiles
        for profile in self.profiles[len(profiles) :]:
            profiles.append(Profile(_only(profile.everywhere, rows)))
        return profiles

    def most(self, profile: int, row: int) -> tuple[int, int]:
        """What a replica of a profile takes of a row at the most, and what must be left for it."""
        found = self._most.get(profile)
        if found is None:
            everywhere, flavors = self.profiles[profile]
            found = self._most[profile] = {}
            for draw in (everywhere, *flavors):
                for (number, use), (_, need) in zip(draw.takes, draw.strict, strict=True):
                    most_use, most_need = found.get(number, (0, 0))
                    found[number] = max(use, most_use), max(need, most_need)
        return found.get(row, (0, 0))

    def common_use(self, row: int) -> int:
        """The greatest part in which all uses of a row are whole, those by class of nodes aside."""
        return self._common_uses.get(row, 0)


def kinds_of(rows: Sequence[Row]) -> tuple[tuple[str, Amount | None], ...]:
    """What a tariff depends on of its rows."""
    return tuple((row.name, row.soft) for row in rows)


def _soft(row: Row) -> int | Fraction | None:
    if row.soft is None:
        return None
    soft = exact(row.soft, row.name)
    if soft > 1:
        raise AmountError(row.name, f"{row.soft} of a use is more than all of it")
    return soft


def _read(pool: str, uses: ReplicaUses, index: Mapping[str, int]) -> list[_Raw]:
    """What a pool uses everywhere, then on each class of nodes."""
    if any(flavor.keys() & uses.everywhere.keys() for flavor in uses.flavors):
        raise DeclarationError(pool, "a row is drawn on both everywhere and by class")
    return [_amounts(pool, each, index) for each in (uses.everywhere, *uses.flavors)]


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
        return NO_DRAW
    if draw.strict is draw.takes:
        return Draw(takes, takes, takes)
    return Draw(
        takes,
        tuple([need for need in draw.strict if need[0] in rows]),
        tuple([need for need in draw.lenient if need[0] in rows]),
    )
