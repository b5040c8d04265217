"""What a replica of each pool uses of each row, as integers, and which pools have equal uses.

A tariff depends on the pools' uses and the rows' names, not on capacities or sizes, so it can be
kept over many ticks.
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
    """What one more replica takes of each row, and what must be left for it.

    `strict` has all rows, `lenient` only the hard ones.
    """

    takes: Uses
    strict: Uses
    lenient: Uses


class Profile(NamedTuple):
    """What a replica of some pools uses: everywhere, and on the one class of nodes it runs on.

    `flavors` are the classes in order of preference; the first with enough left is used.
    """

    everywhere: Draw
    flavors: tuple[Draw, ...] = ()


NO_DRAW: Final = Draw((), (), ())


class Tariff:
    """The uses of all pools, in integers. Pools with equal uses share one profile, a number.

    - `profiles`: by profile number. `kinds`: each row's name and `soft`.
    - `scales`: by row, how many units make 1 of the row's own unit; all uses are whole in it.
    - `softs`: by row, the part of a use that must be left of a soft row; None for a hard row.
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
        """`pools` are (name, uses). Raises AmountError for an amount that is negative or not exact,
        DeclarationError for an unknown row or one that is declared twice.
        """
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
        # by id of the uses; they are kept alive here, so that no other object gets the same id
        self._known: dict[int, tuple[ReplicaUses, int]] = {
            key: (uses, self._profile(raw)) for key, (uses, raw) in read.items()
        }

    def profile_of(self, pool: str, uses: ReplicaUses) -> int | None:
        """The profile of a pool with these uses; None if they are not whole in the rows' units.
        Raises SharingError as the constructor does.
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
        """The profiles, by number, with their uses of at least these rows.

        Rows from earlier calls are included, and all rows once new ones were asked for more than
        `_SUBSETS` times. So the list is seldom rebuilt.
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
        """The profiles, by number, with their uses of these rows only and without flavors."""
        known, profiles = self._everywhere
        if known != rows:
            profiles = []
            self._everywhere = rows, profiles
        for profile in self.profiles[len(profiles) :]:
            profiles.append(Profile(_only(profile.everywhere, rows)))
        return profiles

    def most(self, profile: int, row: int) -> tuple[int, int]:
        """The most units that a replica of a profile takes of a row on any class of nodes, and the
        most that must be left for it; (0, 0) if it does not use the row.
        """
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
        """The greatest common divisor of all uses of a row, without those by class of nodes."""
        return self._common_uses.get(row, 0)


def kinds_of(rows: Sequence[Row]) -> tuple[tuple[str, Amount | None], ...]:
    """All that a tariff takes from its rows: each row's name and `soft`."""
    return tuple((row.name, row.soft) for row in rows)


def _soft(row: Row) -> int | Fraction | None:
    if row.soft is None:
        return None
    soft = exact(row.soft, row.name)
    if soft > 1:
        raise AmountError(row.name, f"{row.soft} of a use is more than all of it")
    return soft


def _read(pool: str, uses: ReplicaUses, index: Mapping[str, int]) -> list[_Raw]:
    """The amounts that a pool uses everywhere, then those on each class of nodes."""
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
    """By row, the factor that makes all uses of it whole, and the soft part of each use."""
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
    """What must be left of a row: the whole use, or of a soft row its part, at least 1 unit."""
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
